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
