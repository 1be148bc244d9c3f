#!/bin/sh
# fuzz.sh KIND SECONDS [DIR] - build fuzz_KIND with clang and the sanitizers
# in DIR (kept, so that the next call builds less; default /tmp/tamis-fuzz)
# and run it from its corpus (of onnx: the models of Debian's libonnx-testdata
# and those of tests/onnx/make_bad.py).  What it finds is put in DIR/found.
# CLANG names the compiler (clang-19).
set -eu

kind=$1
seconds=$2
dir=${3:-/tmp/tamis-fuzz}
src=$(cd "$(dirname "$0")/../.." && pwd)

mkdir -p "$dir/found" "$dir/corpus/$kind"
cd "$dir"
if [ ! -f Makefile ]; then
  CC=${CLANG:-clang-19} CFLAGS='-g -O1 -fsanitize=fuzzer-no-link' \
    "$src/configure" --enable-asan >configure.log
fi
make frontend/parser.h frontend/onnx.pb-c.h >make.log
make "fuzz_$kind" >>make.log
corpus=$src/tests/fuzz/corpus/$kind
data=/usr/include/onnx/backend/test/data
if [ "$kind" = onnx ]; then
  corpus=$dir/seeds
  if [ ! -d "$data" ]; then
    echo "fuzz.sh: no $data (Debian package libonnx-testdata)" >&2
    exit 1
  fi
  PYTHONDONTWRITEBYTECODE=1 python3 "$src/tests/onnx/make_bad.py" "$corpus"
  find "$data/" -name model.onnx -size -16 | while read -r f; do
    name=${f%/model.onnx}
    cp "$f" "$corpus/${name##*/}.onnx"
  done
fi
dict=$src/tests/fuzz/$kind.dict
[ -f "$dict" ] && set -- -dict="$dict" || set --
exec "./fuzz_$kind" "$@" -max_total_time="$seconds" -timeout=20 \
  -rss_limit_mb=2500 -max_len=8192 -artifact_prefix="$dir/found/$kind-" \
  "$dir/corpus/$kind" "$corpus"
