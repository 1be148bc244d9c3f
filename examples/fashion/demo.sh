#!/bin/sh
# demo.sh - what `./bootstrap demo` shows: the Fashion-MNIST net compiled
# dense and sparse, run on real pictures.  Run by `make demo`, which sets
# TAMIS, SRCDIR, BUILDDIR and CC.
set -eu
here=$SRCDIR/examples/fashion
out=$BUILDDIR/demo
mkdir -p "$out"

say() { printf '\n$ %s\n' "$*"; }

cd "$here"
say tamis build fashion.tam --prefix=dense -o libdense.so
"$TAMIS" build fashion.tam --prefix=dense -o "$out/libdense.so"
say tamis build fashion.tam --weights=sparse.safetensors --prefix=sparse \
  -o libsparse.so
"$TAMIS" build fashion.tam --weights=sparse.safetensors --prefix=sparse \
  -o "$out/libsparse.so"

say "tamis show --before=bnfold fashion.tam    # one layer"
"$TAMIS" show --before=bnfold fashion.tam --weights=sparse.safetensors |
  sed -n '/^  [a-z].* as res\.a[. ]/p'
say "tamis show --after=fuse fashion.tam       # the same"
"$TAMIS" show --after=fuse fashion.tam --weights=sparse.safetensors |
  sed -n '/^  [a-z].* as res\.a[. ]/p'
say "tamis show --after=plan fashion.tam       # as it is compiled"
"$TAMIS" show --after=plan fashion.tam --weights=sparse.safetensors |
  sed -n '/^  [a-z].* as res\.a[. ]/p'

say "cc demo.c ... libdense.so libsparse.so -o demo && ./demo"
# shellcheck disable=SC2046,SC2086
$CC -O2 -I"$out" -I"$SRCDIR/runtime" demo.c dataset.c picture.c \
  "$out/libdense.so" "$out/libsparse.so" -Wl,-rpath,"$out" \
  $(pkg-config --cflags --libs libpng zlib) -lm -o "$out/demo"
"$out/demo" images.npy labels.npy dense.expect.npy sparse.expect.npy \
  "$out/fashion.png"
