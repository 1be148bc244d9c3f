#!/bin/sh
# fashion.sh - the Fashion-MNIST net: pruned weights against dense ones, and
# the pruned weights compiled as if they were dense (--sparsity=off).
#   bench/fashion.sh [BUILD_DIR [ROUNDS]]
# Needs python3-venv; numpy comes from PyPI into BUILD_DIR/bench/venv.
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-$src/build}" && pwd)
out=$build/bench
mkdir -p "$out"
net=$src/examples/fashion/fashion.tam
pruned=--weights=$src/examples/fashion/sparse.safetensors
[ -x "$out/venv/bin/python" ] || python3 -m venv "$out/venv"
"$out/venv/bin/python" -c 'import numpy' 2>/dev/null ||
  "$out/venv/bin/pip" install -q numpy
"$build/tamis" build "$net" --prefix=dense -o "$out/libfdense.so"
"$build/tamis" build "$net" "$pruned" --prefix=sparse -o "$out/libfsparse.so"
"$build/tamis" build "$net" "$pruned" --sparsity=off --prefix=off \
  -o "$out/libfoff.so"
exec "$out/venv/bin/python" "$src/bench/interleave.py" \
  --rounds "${2:-100}" --json "$out/fashion.json" \
  "dense=$out/libfdense.so" "sparse=$out/libfsparse.so" "off=$out/libfoff.so"
