#!/bin/sh
# peers.sh - compile the peers of the layer bench whose libraries are here.
#   bench/peers.sh OUT_DIR
# OUT_DIR/peer_NAME.so is made, or OUT_DIR/NAME.why says what is missing.
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
out=$1
mkdir -p "$out"

# peer NAME PACKAGE HEADER LIBRARIES...
peer() {
  name=$1 package=$2 header=$3
  shift 3
  rm -f "$out/peer_$name.so" "$out/$name.why"
  if ! echo "#include <$header>" | ${CC:-cc} -E - >/dev/null 2>&1; then
    echo "$package is not installed" >"$out/$name.why"
  elif ! ${CC:-cc} -O2 -std=c11 -Wall -Wextra -D_GNU_SOURCE -shared -fPIC \
    -I"$src" -o "$out/peer_$name.so" "$src/bench/peer_$name.c" "$@" \
    2>"$out/$name.log"; then
    echo "does not compile with this version of $package" >"$out/$name.why"
  fi
  if [ -s "$out/$name.why" ]; then
    echo "peer_$name: skipped: $(cat "$out/$name.why")" >&2
  fi
}

peer dnnl libdnnl-dev oneapi/dnnl/dnnl.h -ldnnl
peer xnnpack libxnnpack-dev xnnpack.h -lXNNPACK -lpthreadpool
peer openblas libopenblas-dev cblas.h -lopenblas
peer xsmm libxsmm-dev libxsmm.h -lxsmm -lopenblas -ldl -lm -lpthread
