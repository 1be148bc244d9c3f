#!/bin/sh
# random_sizes.sh - random models with free dimensions, at many sizes.
count=120
[ -z "${TAMIS_QUICK:-}" ] || count=40
"$BUILDDIR/random_sizes" --count=$count || exit 1
exec "$BUILDDIR/random_sizes" --seed=100000 --count=$((count / 8)) --every
