#!/bin/bash
# The chart in containers, with the programs of a build folder: run_test.sh BUILD-FOLDER. Only when VIRP_TEST_K8S=1: it takes half an
# hour, root, and a Debian archive. The machine and the images stay in /var/tmp/virp-k8s for the next time.
set -euo pipefail
[ "${VIRP_TEST_K8S:-}" = 1 ] || { echo "VIRP_TEST_K8S is not 1"; exit 77; }
here=$(realpath "$(dirname "$0")")
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
(cd "$1" && cpack -B "$packages") > "$packages/log" || { cat "$packages/log"; exit 1; }
"$here/../../k8s/run/run" --packages "$packages" --all
