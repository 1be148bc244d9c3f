#!/bin/sh
# graphs_v3.sh - the same models for a CPU with AVX2 and no more.
grep -qw avx2 /proc/cpuinfo 2>/dev/null || exit 77
count=300
[ -z "${TAMIS_QUICK:-}" ] || count=60
# Parts that cleared pixels of others (1031, 41139).
for seed in 1031 41139; do
  "$BUILDDIR/random_graphs" --seed=$seed --count=1 --cpu=x86-64-v3 || exit 1
done
exec "$BUILDDIR/random_graphs" --count=$count --cpu=x86-64-v3
