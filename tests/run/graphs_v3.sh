#!/bin/sh
# graphs_v3.sh - the same models for a CPU with AVX2 and no more.
grep -qw avx2 /proc/cpuinfo 2>/dev/null || exit 77
count=2000
[ -z "${TAMIS_QUICK:-}" ] || count=60
exec "$BUILDDIR/random_graphs" --count=$count --cpu=x86-64-v3
