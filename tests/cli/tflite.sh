#!/bin/sh
# TensorFlow Lite files: small models of each operator against what the
# format's own runtime gave (tests/tflite), native and by the reference;
# what is refused; import and export agree.
. "$SRCDIR/tests/cli/lib.sh"
models=$SRCDIR/tests/tflite

# The files of a model: MODEL.in.npy, or of several inputs MODEL.in.NAME.npy;
# outputs likewise.  Adds "--in NAME=FILE ..." to $args.
bind() {
  if [ -f "$m.$1.npy" ]; then
    args="$args --$2 $m.$1.npy"
    return
  fi
  for file in "$m.$1".*.npy; do
    tag=${file#"$m.$1."}
    args="$args --$2 ${tag%.npy}=$file"
  done
}

# Against the oracle; against the reference; imported, the same bytes.
for m in "$models"/*.tflite; do
  m=${m%.tflite}
  n=$(basename "$m")
  ls "$m".out*.npy >found.txt 2>&1 || continue
  args=
  bind in in
  inputs=$args
  bind out expect
  # shellcheck disable=SC2086
  expect "$n" 0 'all within tolerance' "$TAMIS" check "$m.tflite" $args \
    --rtol 1e-5
  # shellcheck disable=SC2086
  expect "$n-reference" 0 'all within tolerance' "$TAMIS" check "$m.tflite" \
    $inputs
  [ ! -f "$m.steps.in.npy" ] ||
    expect "$n-steps" 0 'all within tolerance' "$TAMIS" check "$m.tflite" \
      --steps=3
  [ -z "${TAMIS_QUICK:-}" ] || continue
  expect "$n-import" 0 '' "$TAMIS" import "$m.tflite" -o "$n.tam"
  expect "$n-build" 0 '' "$TAMIS" build "$m.tflite" -o a.so
  expect "$n-build-import" 0 '' "$TAMIS" build "$n.tam" -o b.so
  same "$n-import-same" a.so b.so
done

# The manual counts the rows of the table.
expect count 0 '' grep -q \
  "^$(grep -c '^TFOP(' "$SRCDIR/frontend/tflite.def") of the format's" \
  "$SRCDIR/doc/tflite.md"

expect unsupported 4 "not supported: SKIP_GRAM in 'net/skip_gram_0'; BITCAST \
in 'net/bitcast_1'; RFFT2D in 'net/rfft2d_2'$" \
  "$TAMIS" build "$models/unsupported.tflite" -o u.so
absent unsupported-so u.so
bias="Convolution2DTransposeBias in 'net/convolution2dtransposebias'"
expect unsupported-transposes 4 "not supported: TRANSPOSE_CONV in \
'net/transpose_conv_0': a stride of 0, expected 1 to 1048576; TRANSPOSE_CONV \
in 'net/transpose_conv_1': a filter of shape \[3,2,2,4\], an input of 3 \
channels; $bias: expected 12 bytes of options, found 8; $bias: padding 3, \
expected 1 or 2; $bias: a result of size 4, expected 8; Unknown in \
'net/unknown'$" "$TAMIS" build "$models/unsupported_transposes.tflite" -o u.so
expect quantised 4 'quantised computation is not supported' "$TAMIS" build \
  "$models/quantised.tflite" -o q.so

# Weights that operators share are stored once: 9 and 16 KB.
expect shared 0 'weights 2[0-9]{4},' "$TAMIS" build "$models/shared.tflite" \
  -v -o shared.so

cp "$models/net.tflite" "$models/net.in.npy" "$models/net.out.npy" .
expect import 0 '' "$TAMIS" import net.tflite
expect import-names 0 'from "net.tflite" "net/mean_3"' cat net.tam
expect build-file 0 '' "$TAMIS" build net.tflite -o a.so
expect build-import 0 '' "$TAMIS" build net.tam -o b.so
same import-same a.so b.so
expect deps 0 '' "$TAMIS" build net.tflite -MD -MF net.d -o a.so
expect deps-once 0 '^1$' grep -c '^  net.tflite' net.d
expect show 0 'conv2d' "$TAMIS" show net.tflite --stats
expect bench 0 'median' "$TAMIS" bench net.tflite --runs 2
expect import-tam 2 'expected an .onnx or .tflite file' "$TAMIS" import net.tam
cp net.tflite net.safetensors
expect import-over 2 'over what is read' "$TAMIS" import net.tflite \
  -o net.tflite

cat >slim.tam <<'EOF'
import "net.tflite" as net;
recipe slim for net {
  prune **:conv2d with sparsity=0.5, method=magnitude;
}
EOF
expect recipe 0 '' "$TAMIS" build slim.tam --recipe=slim -o slim.so

head -c 1000 net.tflite >short.tflite
expect truncated 3 'tflite' "$TAMIS" build short.tflite -o t.so
printf 'no flatbuffer at all' >bad.tflite
expect no-flatbuffer 3 'identifier of the format' "$TAMIS" build bad.tflite
finish
