# shellcheck shell=bash
# What scripts/demo is made of: a folder, processes that end with it, development keys, a key manager, an O-Node, a collector, two
# routers that report; the third one, which follows an RTR bridge, is in rtr.sh.
# Everything listens on loopback and on ports that were free. Set by the caller: build (a build folder), keep (yes or no).
: "${build:?}" "${keep:?}"
unset "${!VIRP@}"  # options that the user's own environment would give to our programs

declare -A pid_of port_of
declare -r origin=virp.example.net/demo trust_domain=demo.example bgpd=/usr/lib/frr/bgpd bird=/usr/sbin/bird

die() { printf 'demo: %s\n' "$*" >&2; exit 1; }
for program in "$bgpd" "$bird"; do
  [ -x "$program" ] || die "there is no $program; scripts/bootstrap installs it"
done
[ -x "$build/tools/virpctl/virpctl" ] || die "$build has no virpctl; build virp-onode, virp-collector, virp-keymgr, virp-rtr-bridge and virpctl"
# The module for bgpd, and who speaks through it: nobody where it was not built.
module=$build/integrations/frr/bgpd_virp.so
bgpds=(edge-a.bgpd edge-b.bgpd)
[ -e "$module" ] || module='' bgpds=()
temporary=${TMPDIR:-/tmp}
[ "${#temporary}" -lt 70 ] || die "TMPDIR=$temporary is too long for sockets below it (107 characters each)"
home=$(mktemp -d "$temporary/virp-demo.XXXXXX")  # mode 0700

# ---- processes

# start NAME COMMAND...: in the background, out of reach of the terminal, its output in $home/NAME.log.
start() {
  local name=$1 leash=(setpriv --pdeathsig TERM --)  # ends with this shell, even when that is killed
  shift
  [ "$keep" = no ] || leash=()
  setsid "${leash[@]}" "$@" > "$home/$name.log" 2>&1 < /dev/null &
  pid_of[$name]=$!
}

stop_all() {
  local name deadline=$((SECONDS + 10))
  for name in "${!pid_of[@]}"; do kill "${pid_of[$name]}" 2> /dev/null || :; done
  for name in "${!pid_of[@]}"; do
    while kill -0 "${pid_of[$name]}" 2> /dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.05; done
    kill -KILL "${pid_of[$name]}" 2> /dev/null || :
  done
  wait
}

# The end, however it comes. With --keep only a demo that went well goes on running.
finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  if [ "$status" -eq 0 ] && [ "$keep" = yes ]; then return; fi
  stop_all
  rm -rf ${party:+"$party"}
  case $status in
    0 | 129 | 130 | 143) rm -rf "$home" ;;  # done, or told to stop
    *) echo "demo: failed (status $status); what everybody said is in $home" >&2 ;;
  esac
  exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_for SECONDS COMMAND...: until it succeeds. A process of ours that ended meanwhile is the better message.
wait_for() {
  local deadline=$((SECONDS + $1)) name
  shift
  until "$@" > "$home/last" 2>&1; do
    for name in "${!pid_of[@]}"; do
      kill -0 "${pid_of[$name]}" 2> /dev/null || { tail -n 5 "$home/$name.log" >&2; die "$name has ended"; }
    done
    [ "$SECONDS" -lt "$deadline" ] || { cat "$home/last" >&2; die "waited in vain for: $*"; }
    sleep 0.1
  done
}

# ---- development keys and certificates

virpctl() { "$build/tools/virpctl/virpctl" "$@"; }

# use ROLE NAME: who virpctl is from here on.
use() { export VIRPCTL_TLS_CERTIFICATE="$home/pki/$1-$2.crt" VIRPCTL_TLS_KEY="$home/pki/$1-$2.key"; }

make_keys() {
  export VIRPCTL_TRUST_DOMAIN=$trust_domain VIRPCTL_TLS_ROOTS="$home/pki/ca.crt" VIRPCTL_STATE="$home/seen"
  virpctl pki init --dir "$home/pki"
  local who
  for who in onode/node-1 collector/collector-1 keymgr/keymgr-1 rtr-bridge/bridge-1 operator/noc operator/noc-2 reader/app router/edge-a; do
    virpctl pki issue --dir "$home/pki" --role "${who%/*}" --name "${who#*/}" --dns localhost --ip 127.0.0.1
  done
  virpctl keys create "$origin" --dir "$home/own-key"
  virpctl keys create "$origin" --dir "$home/checkpoint-keys"
  # The manager's own key is a file, and all else comes from the manager: what reads no file here has an empty folder.
  virpctl keys create keymgr-1 --dir "$home/manager/own"
  (umask 077; mkdir -p "$home/no-keys" "$home/public-keys" "$home/manager/kek")
  publish keymgr-1 "$home/manager/own" keys
  # The routers' keys stay with their routers: collector and O-Node have the public halves.
  local router
  for router in "${bgpds[@]}"; do
    virpctl keys create "$router" --dir "$home/$router"
    publish "$router" "$home/$router" keys public-keys
  done
  (umask 077; head -c 32 /dev/urandom > "$home/manager/kek/1.kek"; chmod 0400 "$home/manager/kek/1.kek")
}

# publish SOURCE FOLDER TO...: the public half of the one key in FOLDER, into folders below the demo's.
publish() {
  local source=$1 folder=$2 to
  for to in "${@:3}"; do
    (umask 077; mkdir -p "$home/$to/$source")
    virpctl keys list --dir "$folder" --output json | sed -n 's/.*"publicKey": *"\([0-9a-f]*\)".*/\1/p' > "$home/$to/$source/1.pub"
  done
}

# What the collector and the O-Node are told about who may speak. FRR 8.4 does not say where most dumps end: "quiet" has to be short
# here, or the second beat would say that BMP is not connected yet.
make_configuration() {
  cat > "$home/scopes.json" << 'J'
{"scopes": [{"role": "operator", "name": "*", "origins": ["**"], "sources": ["*"]}]}
J
  local frames='' router
  for router in "${bgpds[@]}"; do
    frames+=${frames:+, }'{"listen": "unix:'"$home/$router.sock"'", "source": "'"$router"'", "spelling": "v2"}'
  done
  cat > "$home/sources.json" << J
{"frames": [$frames],
 "bmp": {"listen": ["127.0.0.1:0"], "quiet": "2s",
         "routers": [{"source": "edge-a.bmp", "addresses": ["127.0.0.1"], "sys_name": "edge-a", "mode": "routes"}]}}
J
  daemon edge-a 192.0.2.1 "$edge_a"
  daemon edge-b 192.0.2.2 "$edge_b"
  cat > "$home/edge-a.bmp.json" << J
{"name": "edge-a.bmp", "suite": "SUITE_ED25519", "keyVersion": 1, "vantage": "VANTAGE_BMP", "types": [1, 2, 3, 22],
 "routers": [{"name": "edge-a", "bgpIds": ["192.0.2.1"]}], "carriedBy": ["spiffe://$trust_domain/collector/collector-1"]}
J
  cat > "$home/keymgr-1.json" << J
{"name": "keymgr-1", "suite": "SUITE_ED25519", "keyVersion": 1, "vantage": "VANTAGE_SERVICE", "types": [19, 22, 24],
 "carriedBy": ["spiffe://$trust_domain/keymgr/keymgr-1"]}
J
  cat > "$home/collector-1.json" << J
{"name": "collector-1", "suite": "SUITE_ED25519", "keyVersion": 1, "vantage": "VANTAGE_SERVICE", "types": [22, 23, 24],
 "carriedBy": ["spiffe://$trust_domain/collector/collector-1"]}
J
}

# daemon ROUTER BGP-ID ADDRESS: what the module of its bgpd may say.
daemon() {
  cat > "$home/$1.bgpd.json" << J
{"name": "$1.bgpd", "suite": "SUITE_ED25519", "keyVersion": 1, "vantage": "VANTAGE_DAEMON", "types": [1, 2, 3, 4, 22, 24],
 "routers": [{"name": "$1", "bgpIds": ["$2"], "addresses": ["$3"]}], "carriedBy": ["spiffe://$trust_domain/collector/collector-1"]}
J
}

tls() { printf '%s\n' --tls-certificate "$home/pki/$1.crt" --tls-key "$home/pki/$1.key" --tls-roots "$home/pki/ca.crt" --trust-domain "$trust_domain"; }

# ---- O-Node and collector

serving() { grep -q ': serving ' "$home/$1.log"; }
# logged NAME KEY: what the process logged under that key when it began to serve.
logged() { sed -n "/: serving /s/.* $2=\\([^ ]*\\).*/\\1/p" "$home/$1.log"; }

# onode DATABASE STATE ARGUMENTS...: the O-Node's command line, one argument a line.
onode() {
  local database=$1 state=$2
  shift 2
  printf '%s\n' "$build/services/onode/virp-onode" --store "sqlite:$home/$database" --state "$home/$state" --keys "$home/keys" \
    --key-manager "127.0.0.1:$keymgr_port" --key-state "$home/$state-keys" --own-key "$home/own-key" --checkpoint-keys "$home/checkpoint-keys" --scopes "$home/scopes.json" --reflection \
    --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 "$@"
  tls onode-node-1
}

start_onode() {  # start_onode NAME DATABASE STATE ARGUMENTS...
  local name=$1 command
  shift
  mapfile -t command < <(onode "$@")
  start "$name" "${command[@]}"
  wait_for 20 serving "$name"
  port_of[$name]=$(logged "$name" address)
}

start_keymgr() {
  local command
  mapfile -t command < <(tls keymgr-keymgr-1; rpki_options)
  start keymgr "$build/services/keymgr/virp-keymgr" --name keymgr-1 --store "sqlite:$home/manager/keymgr.db" --own-key "$home/manager/own" \
    --kek "$home/manager/kek" --state "$home/manager/state" --onode "${port_of[onode]}" --origin "$origin" --checkpoint-key "$(cat "$home/chain.key")" \
    --lease 1s --listen "127.0.0.1:$keymgr_port" --admin-listen 127.0.0.1:0 "${command[@]}"
  wait_for 20 serving keymgr
  export VIRPCTL_KEYMGR=127.0.0.1:$keymgr_port
  wait_for 20 virpctl keys admin status
}

# issue SOURCE SIGNER: its first O-Key. The signer makes it, one operator asks for it and another lets it in, the O-Node has it in
# its chain before the signer uses it.
issue() {
  use operator noc
  virpctl keys o-keys create "$1" --signer "spiffe://$trust_domain/$2" --reason "the demo"
  virpctl keys o-keys prepare "$1" --suite ed25519 --reason "its first key"
  wait_for 20 key_is "$1" PENDING
  use operator noc-2
  virpctl keys o-keys approve "$1" --key-version 1 --reason "compared"
  use operator noc
  wait_for 20 virpctl sources register --file "$1.json" --reason "the demo"
  virpctl keys o-keys roll "$1" --yes --reason "in use from now on"
}
key_is() { virpctl keys o-keys show "$1" | grep -q -- "$2"; }

start_collector() {
  local command
  mapfile -t command < <(tls collector-collector-1)
  start collector "$build/services/collector/virp-collector" --name collector-1 --onode "${port_of[onode]}" --origin "$origin" \
    --checkpoint-key "$(cat "$home/chain.key")" --keys "$home/public-keys" --key-manager "127.0.0.1:$keymgr_port" --key-state "$home/collector-keys" \
    --spool "$home/spool" --sources "$home/sources.json" \
    --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 "${command[@]}"
  wait_for 20 serving collector
  port_of[bmp]=$(logged collector bmp_ports)
}

# ---- two real routers: FRR's bgpd, twice, each in a folder of its own; no zebra, no kernel routes, no change of user

# Addresses of 127.0.0.0/8 and a port that nobody listens on: neither another demo nor the machine's own FRR is met.
find_network() {
  local network
  while :; do
    network=127.$((16 + RANDOM % 200)).$((RANDOM % 256))
    bgp_port=$((20000 + RANDOM % 10000))
    keymgr_port=$((30000 + RANDOM % 2000))
    [ -n "$(ss -Hltn "sport = :$bgp_port or sport = :$keymgr_port")" ] || break
  done
  edge_a=$network.1
  edge_b=$network.2
}

start_router() {  # start_router NAME ADDRESS; its configuration is standard input
  mkdir "$home/$1"
  { printf 'hostname %s\nlog file %s/%s/log\n' "$1" "$home" "$1"; cat; } > "$home/$1/bgpd.conf"
  : > "$home/$1/vtysh.conf"
  start "$1" "$bgpd" -n -Z -S -P 0 -l "$2" -p "$bgp_port" -i "$home/$1/pid" --vty_socket "$home/$1" -f "$home/$1/bgpd.conf" -M bmp ${module:+-M "$module"}
  wait_for 10 router "$1" 'show version'
}

router() {  # router NAME COMMAND...: as vtysh would on that router
  local name=$1 arguments=() command
  shift
  for command in "$@"; do arguments+=(-c "$command"); done
  VTYSH_PAGER='cat' vtysh --vty_socket "$home/$name" --config_dir "$home/$name" -d bgpd "${arguments[@]}"
}

# signing ROUTER: the lines of its configuration that make its bgpd sign; none without the module.
signing() {
  [ -n "$module" ] || return 0
  printf ' virp %s\n' "frame-version 2" "source-name $1.bgpd" "hmac-key $home/$1.bgpd/$1.bgpd/1.seed" "state-file $home/$1/epoch" \
    "onode-socket $home/$1.bgpd.sock" enable
}

# edge-a (AS 64500) is the monitored one; inbound soft reconfiguration keeps what was received before policy, which FRR 8.4
# needs to report it. edge-b (AS 64501) has a route map for what it will originate: as if AS 64510 had announced it.
start_routers() {
  local common="\
 bgp allow-martian-nexthop
 no bgp ebgp-requires-policy
 no bgp network import-check
 coalesce-time 20"
  start_router edge-a "$edge_a" << C
router bgp 64500
 bgp router-id 192.0.2.1
$common
 neighbor $edge_b remote-as 64501
 neighbor $edge_b port $bgp_port
 neighbor $edge_b disable-connected-check
 neighbor $edge_b update-source $edge_a
 neighbor $edge_b passive
$(signing edge-a)
 address-family ipv4 unicast
  neighbor $edge_b soft-reconfiguration inbound
 exit-address-family
 bmp targets virp
  bmp connect 127.0.0.1 port ${port_of[bmp]} min-retry 100 max-retry 500
  bmp monitor ipv4 unicast pre-policy
C
  start_router edge-b "$edge_b" << C
route-map BEHIND permit 10
 set as-path prepend 64510
router bgp 64501
 bgp router-id 192.0.2.2
$common
 neighbor $edge_a remote-as 64500
 neighbor $edge_a port $bgp_port
 neighbor $edge_a disable-connected-check
 neighbor $edge_a update-source $edge_b
 neighbor $edge_a timers connect 1
 neighbor $edge_a advertisement-interval 0
$(signing edge-b)
C
}

# ---- with --keep

how_to_go_on() {
  cat > "$home/env" << E
export PATH="$build/tools/virpctl:\$PATH"
export VIRPCTL_ONODE=${port_of[onode]} VIRPCTL_TRUST_DOMAIN=$trust_domain VIRPCTL_STATE=$home/seen VIRPCTL_TRUST=$home/chain.key
export VIRPCTL_RTR_BRIDGE=$VIRPCTL_RTR_BRIDGE
export VIRPCTL_TLS_ROOTS=$home/pki/ca.crt VIRPCTL_TLS_CERTIFICATE=$home/pki/reader-app.crt VIRPCTL_TLS_KEY=$home/pki/reader-app.key
E
  local grpcurl="grpcurl -cacert $home/pki/ca.crt -cert $home/pki/reader-app.crt -key $home/pki/reader-app.key"
  local vtysh="vtysh --vty_socket $home/edge-b --config_dir $home/edge-b -d bgpd"
  cat << K

All of it is still running, in $home (the broken copy: ${port_of[copy]}). Ask it with virpctl:

  . $home/env
  virpctl status
  virpctl claim peer --router edge-a --peer $edge_b
  virpctl observations watch --after 0
  virpctl rtr sessions

or by gRPC, which describes itself (reflection):

  $grpcurl ${port_of[onode]} list
  $grpcurl -d '{"claim": {"peer": {"router": "edge-a", "peerAddress": "$edge_b"}}}' ${port_of[onode]} virp.verify.v1.VerifyService/VerifyClaim

Let the routers peer again, after which the claim is confirmed; or stop everything:

  $vtysh -c 'configure terminal' -c 'router bgp 64501' -c 'no neighbor $edge_a shutdown'
  kill ${pid_of[*]} && rm -rf $home
K
}
