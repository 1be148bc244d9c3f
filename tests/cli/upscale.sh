#!/bin/sh
# upscale.sh - examples/upscale: the picture that ESRGAN slim's package ships
# becomes the ones that it ships, to one grey level.
. "$SRCDIR/tests/cli/lib.sh"
e=$SRCDIR/examples/upscale
npm_package @upscalerjs/esrgan-slim@1.0.0
flower=package/assets/fixture.png
large=package/assets/samples

upscale() {
  env TAMIS="$TAMIS" CC="$CC" sh "$e/upscale.sh" "$@"
}

for s in 2 3 4; do
  expect x$s 0 'differ; largest difference [01],' upscale $s $flower out.png \
    $large/${s}x/result.png
  cat got.txt
done

# crop IN.png OUT.png HEIGHT WIDTH FROM TO [EXPECTED.png]: some columns of a
# picture, by the same program with another net.
crop() {
  cat >crop.tam <<END
model crop(x: f32[1,3,$3,$4]) -> y: f32[1,3,$3,$6-$5] {
  y = slice(x, axis=3, start=$5, stop=$6);
}
END
  "$TAMIS" build crop.tam --prefix=net -o libcrop.so
  $CC -std=c11 -Wall -Wextra -Werror -I. -I"$SRCDIR/runtime" "$e/upscale.c" \
    libcrop.so -Wl,-rpath,. -lpng -lm -o crop
  # shellcheck disable=SC2086
  ./crop "$1" "$2" ${7-}
}

# A picture that is not square: away from the cut its pixels are the same.
expect cut 0 '70x128' crop $flower part.png 128 128 20 90
expect part 0 'part.png: 70x128, big.png: 140x256' upscale 2 part.png big.png
expect inner 0 '140x256, inner.png: 92x256' crop big.png inner.png \
  256 140 24 116
expect same-part 0 'largest difference [01],' crop $large/2x/result.png \
  cut.png 256 256 64 156 inner.png
expect other-part 1 'largest difference [1-9]' crop $large/2x/result.png \
  cut.png 256 256 65 157 inner.png

expect size 1 'expected 70x128 pixels for this net, found 128x128' \
  ./upscale $flower out2.png
expect no-picture 1 'none.png: ' ./upscale none.png out2.png
head -c 5000 part.png >short.png
expect short 1 'short.png: ' ./upscale short.png out2.png
expect no-folder 1 'none/out.png: ' ./upscale part.png none/out.png
expect usage 2 'usage: upscale' ./upscale part.png
absent no-output out2.png
expect script-usage 2 'usage: upscale.sh' upscale 5 part.png out2.png
expect script-no-png 1 'net.h: expected a PNG file' upscale 2 net.h out2.png

# spoil NAME MESSAGE COMMAND...: convert.py after a change to a copy of x2.
spoil() {
  name=$1 message=$2
  shift 2
  rm -rf bad
  mkdir -p bad/models/x2
  cp package/models/x2/* bad/models/x2
  (cd bad/models/x2 && "$@")
  expect "$name" 1 "$message" python3 "$e/convert.py" bad .
}
shard=group1-shard1of1.bin
spoil no-shard 'No such file.*shard' rm $shard
spoil few-values '222075 values, the files hold 222074' \
  truncate -s -4 $shard
spoil odd-bytes '888299 bytes are no float32' truncate -s -1 $shard
spoil no-layer 'UPN4/kernel: esrgan.tam has no such layer' \
  sed -i s,UPN3/kernel,UPN4/kernel, model.json
spoil dtype 'SR/bias: expected plain float32' \
  sed -i 's,"SR/bias"\([^}]*\)"float32","SR/bias"\1"float16",' model.json
finish
