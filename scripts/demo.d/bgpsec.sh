# shellcheck shell=bash
# A BGPsec router key from the router's own key pair to a path that verifies, and to its revocation. Sourced by scripts/demo,
# which sets home, temporary, build and trust_domain; the key manager runs with rpki_options.
: "${home:?}" "${temporary:?}" "${trust_domain:?}"

# The options that make the key manager a certification authority, one a line.
rpki_options() {
  printf '%s\n' --rpki-base-uri rsync://rpki.example.net/virp/ --rpki-as 64500-64501 --rpki-address 192.0.2.0/24 \
    --rpki-publication "$home/publication" --expiry-calendar "$home/certificates.ics"
}

# What Debian's rpki-client finds in the publication, offline: AS and key identifier, a line each. Started by root it gives up its
# rights for a user of its own, so it works on a copy, in a place that this user can reach.
relying_party() {
  local where=$temporary
  [ "$(id -u)" -ne 0 ] || where=/tmp
  party=$(mktemp -d "$where/virp-demo-rp.XXXXXX")  # finish() removes it when we are stopped here
  mkdir -p "$party/cache/ta/demo" "$party/cache/rpki.example.net" "$party/out"
  cp "$home/demo.tal" "$party/demo.tal"
  cp "$home/ta.cer" "$party/cache/ta/demo/ta.cer"
  cp -rL "$home/publication/current" "$party/cache/rpki.example.net/virp"
  if [ "$(id -u)" -eq 0 ]; then chown -R _rpki-client "$party"; chmod 755 "$party"; fi
  rpki-client -n -j -d "$party/cache" -t "$party/demo.tal" "$party/out" > "$home/rpki-client.log" 2>&1 || :
  sed -n 's/.*"asn": \([0-9]*\), "ski": "\([0-9A-F]*\)".*/AS\1 \2/p' "$party/out/json"
  rm -rf "$party"
  party=
}
# trusts AS: whether the relying party has a key for it; its answer is kept for show.
trusts() { relying_party > "$home/router-keys"; grep -q "^$1 " "$home/router-keys"; }
trusts_not() { ! trusts "$1"; }
certificate_of() { find "$home/publication/current/ca" -name "*-$1-*.cer" -printf '%p\n' -quit; }

# The certificate is in the publication and the manager has recorded that it is.
published() { [ "$(virpctl keys rpki publication --output json | sed -n 's/.*"certificates": *"\([0-9]*\)".*/\1/p')" = "$1" ]; }

bgpsec_router() {
  local request
  use operator noc
  brief 0 keys rpki set-up --yes --reason "router keys of the demo" --save ta.cer --tal demo.tal
  echo '{"id": "edge-a", "bgpId": 3221225985, "asns": [64500], "agent": "spiffe://'"$trust_domain"'/router/edge-a"}' > edge-a.router.json
  whole 0 keys router register --file edge-a.router.json --reason "the demo"
  use router edge-a
  brief 0 router keygen --key router.key --request router.csr --yes
  brief 3 keys router submit --file router.csr --as 64500 --reason "its first key"
  use operator noc-2
  request=$(virpctl keys router pending --output json | sed -n 's/.*"id": *"\([0-9a-f]*\)".*/\1/p')
  brief 0 keys router approve "$request" --yes --reason "compared with the router's console"
  use router edge-a
  virpctl keys router certs edge-a/64500 --key-version 1 --save certs.p7 > last
  whole 0 router check certs.p7 --key router.key --trust-anchor ta.cer --as 64500
}
