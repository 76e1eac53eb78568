#!/bin/bash
# Runs integrations/frr/lab on what was built: frr_lab_test.sh BUILD-FOLDER. A day of four routers in three autonomous systems,
# which has to end without a finding, and to notice what is spoilt; then a lab that stays, is asked, and is stopped; then one that
# is told to stop in the middle. Exits with 77 where this machine gives no namespaces.
set -uo pipefail
here=$(realpath "$(dirname "$0")")
TMPDIR=$(mktemp -d)
export TMPDIR
lab=("$here/../../integrations/frr/lab/lab")
small=(--built "$1" --routers 2)

fail() { printf 'frr_lab_test: %s\n' "$*" >&2; exit 1; }
left() { pgrep -f -- "$TMPDIR/virp-lab"; }
clean_up() {
  "${lab[@]}" down > /dev/null 2>&1
  # shellcheck disable=SC2046
  kill -KILL $(left) 2> /dev/null
  rm -rf "$TMPDIR"
}
trap clean_up EXIT
nothing_is_left() {
  local i
  for i in $(seq 100); do [ -z "$(left)" ] && break; sleep 0.1; done  # the kernel ends the namespace's processes
  [ -z "$(left)" ] || fail "$1: processes are left: $(left)"
  [ -z "$(ls -d "$TMPDIR"/virp-lab.* 2> /dev/null)" ] || fail "$1: files are left: $(ls -A "$TMPDIR")"
}

unshare --net --mount --pid --fork true 2> /dev/null || unshare --user --map-root-user --net --mount --pid --fork true || {
  echo "frr_lab_test: this machine gives no namespaces"
  exit 77
}

output=$("${lab[@]}" run --built "$1" --routers 4 --doubt --acts morning announcements withdrawals hijack router_killed \
  collector_outage key_roll key_manager 2>&1) || { printf '%s\n' "$output"; fail "the day of four routers"; }
for words in "4 routers in 3 autonomous systems" "verified offline by virpctl" "of version 1" " RED frames" "9 of 9 spoilt copies noticed" \
  "nothing missing, nothing invented"; do
  grep -q -- "$words" <<< "$output" || { printf '%s\n' "$output"; fail "it did not say $words"; }
done
nothing_is_left "the day"

output=$("${lab[@]}" up "${small[@]}" 2>&1) || { printf '%s\n' "$output"; fail "lab up"; }
"${lab[@]}" status | grep -q '^b1 .* 1 of 1 .* connected$' || fail "lab status: $("${lab[@]}" status)"
"${lab[@]}" vty b1 show bgp virp status | grep -q '^State: enabled' || fail "lab vty"
"${lab[@]}" act announcements | grep -q done || fail "lab act"
"${lab[@]}" compare | grep -q "nothing missing" || fail "lab compare: $("${lab[@]}" compare)"
"${lab[@]}" up "${small[@]}" 2> /dev/null && fail "a second lab was let up"
"${lab[@]}" down || fail "lab down"
"${lab[@]}" status 2> /dev/null && fail "it answers after its end"
nothing_is_left "the lab that stayed"

"${lab[@]}" run "${small[@]}" > "$TMPDIR/stopped" 2>&1 &
pid=$!
until [ -n "$(pgrep -f -- "$TMPDIR/virp-lab.*/b1")" ]; do
  kill -0 "$pid" 2> /dev/null || { cat "$TMPDIR/stopped"; fail "it ended before it could be stopped"; }
  sleep 0.05
done
kill -INT "$pid"
wait "$pid"
status=$?
[ "$status" -eq 130 ] || fail "stopped by SIGINT it ended with $status: $(cat "$TMPDIR/stopped")"
nothing_is_left "the stopped lab"
echo "frr_lab_test: passed"
