#!/bin/sh
# nets_aarch64.sh - the example nets on 64-bit Arm, under qemu, against what
# PyTorch gave: pictures of Fashion-MNIST dense and sparse, MobileNetV2.
set -eu
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
. "$SRCDIR/tests/run/aarch64.sh"
count=50
[ -z "${TAMIS_QUICK:-}" ] || count=5

f=$SRCDIR/examples/fashion
for kind in dense sparse; do
  "$TAMIS" build "$f/fashion.tam" --weights="$f/$kind.safetensors" \
    --target=$arm --cpu=generic --prefix=$kind -o "$out/lib$kind.so"
  $runner "$out/lib$kind.so" ${kind}_model "$f/images.npy" \
    "$f/$kind.expect.npy" $count
done

m=$SRCDIR/examples/mobilenet
echo 'model same(x: f32[1,3,224,224]) -> y: f32[1,3,224,224] { y = x; }' \
  >"$out/same.tam"
"$TAMIS" run "$out/same.tam" --in x="$m/input.npz" --out y="$out/x.npy"
"$TAMIS" build "$m/mobilenet.tam" --random-weights=1 --target=$arm \
  --cpu=generic --prefix=net -o "$out/libnet.so"
$runner "$out/libnet.so" net_model "$out/x.npy" "$m/expect.npy" 1
