#!/bin/sh
# Proof: the bundle alone installs bapsim, and its demo runs, on a machine whose network is off.
# The network is off by a namespace of its own; where the kernel gives none, that is said, and pip is still kept
# from every index by --no-index.
set -eu
cd "$(dirname "$0")/.."
make --no-print-directory bundle
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
cp -r bundle "$target/bundle"
cat > "$target/prove.sh" << 'END'
set -eu
cd "$1"
echo "network interfaces: $(ls /proc/self/net/dev_snmp6 2> /dev/null | tr '\n' ' ')"
sh bundle/install.sh "$1/env"
mkdir demo && cd demo
"$1/env/bin/bapsim" demo
END
run="env -i PATH=$PATH HOME=$target LC_ALL=C.UTF-8 OMP_NUM_THREADS=1 PIP_CONFIG_FILE=/dev/null"
if unshare -n true 2> /dev/null; then
    echo "network namespace: unshare -n"
    unshare -n $run sh "$target/prove.sh" "$target"
elif unshare -rn true 2> /dev/null; then
    echo "network namespace: unshare -rn"
    unshare -rn $run sh "$target/prove.sh" "$target"
else
    echo "network namespace: none to be had here; proven with --no-index only"
    $run sh "$target/prove.sh" "$target"
fi
echo "air-gapped: installed from the bundle, and the demo ran"
