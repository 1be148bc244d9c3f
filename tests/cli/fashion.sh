#!/bin/sh
# fashion.sh - the demonstration's claims: logits as PyTorch's on 1,000
# images, accuracy of dense and sparse on all 10,000 test images (Debian's
# dataset-fashion-mnist).
set -eu
sh "$SRCDIR/examples/fashion/demo.sh"
[ -s "$BUILDDIR/demo/fashion.png" ]
data=/usr/share/datasets/fashion-mnist
"$BUILDDIR/demo/demo" --idx "$data/t10k-images-idx3-ubyte.gz" \
  "$data/t10k-labels-idx1-ubyte.gz"

# Files of no images, and of labels for none.
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
printf '\0\0\010\003\0\0\0\0\0\0\0\034\0\0\0\034' >"$t/images"
printf '\0\0\010\001\0\0\0\0' >"$t/labels"
refused() {   # PATTERN IMAGES LABELS
  ! "$BUILDDIR/demo/demo" --idx "$2" "$3" 2>"$t/log"
  cat "$t/log"
  grep -q "$1" "$t/log"
}
refused 'expected images, found none' "$t/images" "$t/labels"
refused 'for each of 10000 images, found 0' \
  "$data/t10k-images-idx3-ubyte.gz" "$t/labels"
