#!/bin/sh
# mobilenet.sh - MobileNetV2 1.0 at 224, one thread: dense and with random
# 4x1 blocks at 90 % zeros in its pointwise layers, against ONNX Runtime.
#   bench/mobilenet.sh [BUILD_DIR [ROUNDS]]
# Needs Debian's python3-torch and python3-venv; onnx and onnxruntime come from
# PyPI into BUILD_DIR/bench/venv.
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-$src/build}" && pwd)
out=$build/bench
mkdir -p "$out"
net=$src/examples/mobilenet/mobilenet.tam
[ -x "$out/venv/bin/python" ] || python3 -m venv "$out/venv"
"$out/venv/bin/python" -c 'import onnx, onnxruntime' 2>/dev/null ||
  "$out/venv/bin/pip" install -q numpy onnx onnxruntime
if [ ! -s "$out/mobilenet.onnx" ]; then
  /usr/bin/python3 "$src/bench/export_mobilenet.py" export "$out/new.onnx"
  "$out/venv/bin/python" "$src/bench/export_mobilenet.py" pads "$out/new.onnx"
  mv "$out/new.onnx" "$out/mobilenet.onnx"
fi
for v in dense sparse; do
  recipe=
  [ $v = dense ] || recipe=--recipe=sparse
  "$build/tamis" build "$net" --random-weights=1 $recipe --prefix=$v \
    --report="$out/$v.json" -o "$out/lib$v.so"
done
exec env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_NUM_THREADS=1 \
  "$out/venv/bin/python" "$src/bench/interleave.py" \
  --onnx "$out/mobilenet.onnx" --rounds "${2:-60}" \
  --json "$out/mobilenet.json" "dense=$out/libdense.so" \
  "sparse=$out/libsparse.so"
