#!/bin/sh
# face.sh - MediaPipe's sparse face detector, one thread: its zeros left out
# against the same file compiled as dense (--sparsity=off) and against TFLite's
# runtime (XNNPACK), which gets the same file.
#   bench/face.sh [BUILD_DIR [ROUNDS]]
# The net comes from npm, ai-edge-litert and numpy from PyPI into
# BUILD_DIR/bench; without them the script says why and exits with 77.
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-$src/build}" && pwd)
out=$build/bench
mkdir -p "$out"
package=@mediapipe/face_detection@0.4.1657300184
file=$out/mediapipe-face_detection-0.4.1657300184.tgz
net=$out/face_detection_full_range_sparse.tflite
skip() {
  echo "face.sh: skipped: $1" >&2
  exit 77
}

if [ ! -s "$net" ]; then
  command -v npm >/dev/null || skip 'there is no npm'
  (cd "$out" && npm pack --silent "$package" >/dev/null) ||
    skip "npm does not give $package"
  tar -xzOf "$file" "package/${net##*/}" >"$net.new"
  mv "$net.new" "$net"
fi
[ -x "$out/venv/bin/python" ] || python3 -m venv "$out/venv"
"$out/venv/bin/python" -c 'import ai_edge_litert, numpy' 2>/dev/null ||
  "$out/venv/bin/pip" install -q ai-edge-litert numpy ||
  skip 'PyPI does not give ai-edge-litert'

rounds=${2:-60}
set --
for v in sparse off sparse_v3 off_v3; do
  how=auto cpu=native
  case $v in off*) how=off ;; esac
  case $v in
  *_v3)
    [ "$(uname -m)" = x86_64 ] || continue
    cpu=x86-64-v3
    ;;
  esac
  "$build/tamis" build "$net" --cpu=$cpu --sparsity=$how --prefix=$v \
    -o "$out/libface_$v.so"
  set -- "$@" "$v=$out/libface_$v.so"
done
exec "$out/venv/bin/python" "$src/bench/interleave.py" --tflite "$net" \
  --rounds "$rounds" --json "$out/face.json" "$@"
