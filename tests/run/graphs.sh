#!/bin/sh
# graphs.sh - random models on this CPU against the reference evaluator.
count=400
[ -z "${TAMIS_QUICK:-}" ] || count=60
exec "$BUILDDIR/random_graphs" --count=$count
