#!/bin/bash
# Runs scripts/demo as it is, on what was built: demo_test.sh BUILD-FOLDER. Then with --keep, and all that this tells people to do.
set -uo pipefail
here=$(realpath "$(dirname "$0")")
build=$1
TMPDIR=$(mktemp -d)
export TMPDIR
demo=("$here/../../scripts/demo" --built "$build")

fail() { printf 'demo_test: %s\n' "$*" >&2; exit 1; }
# The demo's processes, by the folder that all their command lines name.
left() { pgrep -f -- "$TMPDIR/virp-demo"; }
clean_up() {
  # shellcheck disable=SC2046
  kill $(left) 2> /dev/null
  rm -rf "$TMPDIR"
}
trap clean_up EXIT
nothing_is_left() {
  [ -z "$(left)" ] || fail "$1: processes are left: $(left)"
  [ -z "$(ls -A "$TMPDIR")" ] || fail "$1: files are left: $(ls -A "$TMPDIR")"
}

# It ends by itself, says what was promised, and leaves nothing behind.
output=$("${demo[@]}" 2>&1) || { printf '%s\n' "$output"; fail "scripts/demo failed"; }
for words in "AS64500 [0-9A-F]*" "1 signatures verified" router_key_compromised RETIRED "the version before" peer_status_changed CONFIRMED "proofs .* verified" VERIFIED CONSISTENT_BUT_UNAUTHENTICATED YELLOW REFUTED \
  "203.0.113.0/24-24 AS64510" "203.0.113.0/24-24 AS64501" "served: .*, proven" "confirmed: .*, proven" BROKEN "first broken entry: [0-9]"; do
  grep -q -- "$words" <<< "$output" || { printf '%s\n' "$output"; fail "scripts/demo did not say $words"; }
done
# Where bgpd signs by itself, both claims on two sources are confirmed, and neither source is enough alone.
if [ -e "$build/integrations/frr/bgpd_virp.so" ]; then
  claims() { sed -n "/^   \\$ virpctl claim peer .*--min-sources 2 --independence $1/,/^\$/p" <<< "$output"; }
  for words in "signer CONFIRMED" "signer edge-a.bgpd +AGREES +yes" "signer edge-a.bmp +AGREES +yes" "signer INSUFFICIENT MIN_SOURCES" \
    "router CONFIRMED" "router edge-a.bgpd +AGREES +yes" "router edge-b.bgpd +AGREES +yes" "router INSUFFICIENT MIN_SOURCES"; do
    claims "${words%% *}" | grep -Eq "^   \| ${words#* }" || { printf '%s\n' "$output"; fail "the claims with independence ${words%% *} do not say ${words#* }"; }
  done
fi
nothing_is_left "the demo"

# Told to stop in the middle it does so, and leaves nothing behind either.
"${demo[@]}" > "$TMPDIR/stopped" 2>&1 &
pid=$!
until [ -n "$(pgrep -f -- "$TMPDIR/virp-demo.*/edge-b")" ]; do
  kill -0 "$pid" 2> /dev/null || { cat "$TMPDIR/stopped"; fail "the demo ended before it could be stopped"; }
  sleep 0.05
done
kill -TERM "$pid"
wait "$pid"
status=$?
[ "$status" -eq 143 ] || fail "stopped by SIGTERM it ended with $status"
rm "$TMPDIR/stopped"
nothing_is_left "the stopped demo"

# What --keep prints for people to type works as printed; grpcurl's place is taken by a program of its spelling.
output=$("${demo[@]}" --keep 2>&1) || { printf '%s\n' "$output"; fail "scripts/demo --keep failed"; }
grpcurl() { "$here/grpcurl.py" "$@"; }
typed() {  # typed PATTERN STATUS [WORDS]: the printed line that matches; how it has to end, and what it has to say
  local line status
  line=$(sed -n "s|^  \($1\)$|\1|p" <<< "$output")
  if [ -z "$line" ] || [ "$(wc -l <<< "$line")" -ne 1 ]; then
    printf '%s\n' "$output"
    fail "not one line is '$1'"
  fi
  eval "${prefix:-} $line" > "$TMPDIR/said" 2>&1
  status=$?
  if [ "$status" -ne "$2" ] || { [ $# -gt 2 ] && ! grep -q -- "$3" "$TMPDIR/said"; }; then
    cat "$TMPDIR/said"
    fail "'$line' ended with $status"
  fi
  rm "$TMPDIR/said"
}
[ "$(grep -c '^  [.a-z]' <<< "$output")" -eq 9 ] || { printf '%s\n' "$output"; fail "other than nine commands are printed"; }
typed '\. .*' 0
typed 'virpctl status' 0 "state *OK"
typed 'virpctl claim peer.*' 1 REFUTED
typed 'virpctl rtr sessions' 0 127.0.0.1
prefix="timeout 2" typed 'virpctl observations watch.*' 124 peer_backward_transition  # for ever
typed 'grpcurl .* list' 0 virp.verify.v1.VerifyService
typed 'grpcurl .*/VerifyClaim' 0 VERDICT_REFUTED
typed 'vtysh .*' 0
again=$(sed -n 's/^  \(virpctl claim peer.*\)/\1/p' <<< "$output")
for _ in {1..100}; do eval "$again" > /dev/null && break; sleep 0.1; done
typed 'virpctl claim peer.*' 0 CONFIRMED
typed 'kill .*' 0
for _ in {1..100}; do [ -n "$(left)" ] || break; sleep 0.1; done
nothing_is_left "the kept demo, stopped as it says,"
