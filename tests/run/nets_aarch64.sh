#!/bin/sh
# nets_aarch64.sh - the example nets on 64-bit Arm, under qemu, against what
# PyTorch gave: pictures of Fashion-MNIST dense and sparse, MobileNetV2, layers
# of the prelude.
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

# Weights of 16 bits and of few values, dense and sparse, against the reference, on a part of
# the picture.
cat >"$out/narrow.tam" <<'EOF'
model narrow(x: f32[1,3,224,224]) -> y: f32[1,30] {
  y = x |> slice(axis=2, start=90, stop=107) |> slice(axis=3, start=90, stop=107)
    |> conv(20, k=3, pad=1) as a |> relu
    |> conv(20, k=3, groups=20) as b |> conv_transpose(8, k=3, s=2) as c
    |> conv(36, k=3) as d |> mean([2,3]) |> linear(30) as e;
}
recipe dense for narrow { }
recipe blocks for narrow { prune a, d with pattern=4x1, sparsity=0.85; }
recipe single for narrow { prune ** with sparsity=0.85; }
recipe few16 for narrow { cluster ** with centroids=16; }
recipe few256 for narrow { cluster ** with centroids=256; }
recipe sparse16 for narrow {
  prune a, d with pattern=4x1, sparsity=0.85;
  prune e with sparsity=0.85;
  cluster ** with centroids=16;
}
EOF
for type in f16 bf16; do
  for recipe in dense blocks single few16 few256 sparse16; do
    set -- "$out/narrow.tam" --random-weights=1 --weight-type=$type \
      --recipe=$recipe
    "$TAMIS" run "$@" --engine=reference --in x="$out/x.npy" \
      --out y="$out/y.npy"
    "$TAMIS" build "$@" --target=$arm --cpu=generic -o "$out/libnarrow.so"
    $runner "$out/libnarrow.so" narrow_model "$out/x.npy" "$out/y.npy" 1
  done
done

# layer CASE X-TYPE Y-TYPE CALL: y of a layer with PyTorch's weights.
layer() {
  w=$SRCDIR/tests/oracle/layers/$1.safetensors
  cat >"$out/layer.tam" <<EOF
model x(x: $2) -> same: $2 { same = x; }
model y(y: $3) -> same: $3 { same = y; }
model $1_of(x: $2) -> y: $3 { $4 }
EOF
  for v in x y; do
    "$TAMIS" run "$out/layer.tam" --model=$v --in "$w" --out "$out/$v.npy"
  done
  "$TAMIS" build "$out/layer.tam" --model="$1_of" --weights="$w" \
    --target=$arm --cpu=generic -o "$out/lib$1.so"
  $runner "$out/lib$1.so" "$1_of_model" "$out/x.npy" "$out/y.npy" 1
}
layer lstm_plain 'f32[7,3,5]' 'f32[7,3,6]' \
  'y, h, c = x |> lstm(6, bias=false) as rnn;'
layer gru_reverse 'f32[7,3,5]' 'f32[7,3,6]' \
  'y, h = x |> gru(6, reverse=true) as rnn;'
layer self_attention 'f32[2,5,12]' 'f32[2,5,12]' \
  'y = x |> self_attention(3) as m;'
layer slim 'f32[2,8,7,9]' 'f32[2,12,7,9]' 'y = x |> slim_module(4) as m;'
