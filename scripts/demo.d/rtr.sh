# shellcheck shell=bash
# An RTR bridge, and a BIRD that follows it. Sourced by scripts/demo, which sets home, build, origin and trust_domain; the key
# manager, the O-Node and the collector run.
: "${home:?}" "${build:?}" "${origin:?}" "${trust_domain:?}"

# A table as one writes it by hand; the router keys come from the key manager.
write_table() {
  cat > "$home/vrps.new" << J
{"roas": [{"prefix": "198.51.100.0/24", "maxLength": 24, "asn": "AS64501"},
          {"prefix": "203.0.113.0/24", "maxLength": 24, "asn": "$1"}]}
J
  mv "$home/vrps.new" "$home/vrps.json"
}

start_bridge() {
  local command
  write_table AS64510
  cat > "$home/bridge-1.json" << J
{"name": "bridge-1", "suite": "SUITE_ED25519", "keyVersion": 1, "vantage": "VANTAGE_SERVICE", "types": [17, 18, 21, 22, 23, 24],
 "subjectPrefixes": ["rtr/bridge-1/"], "carriedBy": ["spiffe://$trust_domain/rtr-bridge/bridge-1"]}
J
  mapfile -t command < <(tls rtr-bridge-bridge-1)
  start bridge "$build/services/rtr-bridge/virp-rtr-bridge" --name bridge-1 --onode "${port_of[onode]}" --origin "$origin" \
    --checkpoint-key "$(cat "$home/chain.key")" --keys "$home/no-keys" --key-manager "127.0.0.1:$keymgr_port" --key-state "$home/bridge-keys" \
    --spool "$home/bridge-spool" --state "$home/bridge-state" --vrps "$home/vrps.json" --vrps "keymgr:127.0.0.1:$keymgr_port" \
    --source-max-age 0 --max-drop 100% --notify-interval 0s \
    --rtr 127.0.0.1:0 --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 "${command[@]}"
  wait_for 20 serving bridge
  port_of[rtr]=$(logged bridge routers)
  export VIRPCTL_RTR_BRIDGE
  VIRPCTL_RTR_BRIDGE=$(logged bridge address)
  issue bridge-1 rtr-bridge/bridge-1 >> keys.log 2>&1
}

# A router that asks the bridge: its tables are all that it has.
start_bird() {
  mkdir "$home/bird"
  cat > "$home/bird/bird.conf" << C
router id 192.0.2.1;
roa4 table r4;
protocol device { }
protocol rpki bridge_1 {
  roa4 { table r4; };
  remote 127.0.0.1 port ${port_of[rtr]##*:};
  retry keep 1;
  transport tcp;
}
C
  start bird "$bird" -f -c "$home/bird/bird.conf" -s "$home/bird/ctl" -P "$home/bird/pid"
}
# What BIRD has: PREFIX-MAXLENGTH AS, a line each.
bird_table() { birdc -r -s "$home/bird/ctl" show route table r4 | sed -n 's/^\([0-9./-]* AS[0-9]*\) .*/\1/p'; }
bird_has() { bird_table | grep -qx -- "$1"; }
# The bridge sends a router key, or none.
has_router_key() { virpctl rtr dump "tcp://${port_of[rtr]}" --save "$home/served.json" && grep -q '"ski"' "$home/served.json"; }
has_no_router_key() { ! has_router_key; }
# The O-Node's chain has it that BIRD was told what is served now.
on_record() {
  local set
  set=$(virpctl rtr status | sed -n 's/^set *//p')
  virpctl rtr served bridge-1 127.0.0.1 | grep -q "^served: .* set $set:"
}
