#!/bin/sh
# graphs_aarch64.sh - random models for 64-bit Arm, run under qemu.
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
. "$SRCDIR/tests/run/aarch64.sh"
count=300
[ -z "${TAMIS_QUICK:-}" ] || count=10
"$BUILDDIR/random_graphs" --count=$count --target=$arm --runner="$runner"
