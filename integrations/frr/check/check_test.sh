#!/bin/bash
# The published steps: make a key, run the program, read its last line.
set -euo pipefail
check=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
openssl rand -hex 32 > "$folder/bgp.key"
chmod 600 "$folder/bgp.key"
said=$("$check" --key "$folder/bgp.key")
[ "$(tail -n 1 <<< "$said")" = "5/5 PASS" ] || { echo "$said" >&2; exit 1; }
chmod 644 "$folder/bgp.key"
if "$check" --key "$folder/bgp.key" 2> "$folder/why"; then
  echo "a key that everybody can read was taken" >&2
  exit 1
fi
grep -q "open to others" "$folder/why"
