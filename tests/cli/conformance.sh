#!/bin/sh
# conformance.sh - ONNX's backend tests as Debian has them, against
# tests/conformance/table.md: none fails, and what passed there passes.  In
# quick runs by the evaluator alone; with the sanitizers a fifth of them.
set -u
data=/usr/include/onnx/backend/test/data
if [ ! -d "$data/node" ]; then
  echo "FAIL: no $data (Debian package libonnx-testdata)"
  exit 1
fi
if ! command -v python3 >/dev/null; then
  echo "FAIL: no python3 (Debian package python3)"
  exit 1
fi
PYTHONDONTWRITEBYTECODE=1 exec python3 \
  "$SRCDIR/tests/conformance/conformance.py" "$TAMIS" "$data" \
  ${TAMIS_QUICK:+--reference} ${ASAN:+--every=5} \
  --check="$SRCDIR/tests/conformance/table.md"
