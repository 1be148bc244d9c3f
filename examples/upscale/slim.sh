#!/bin/sh
# slim.sh CALIBRATION.jpg PICTURE.jpg...: the x2 net without a fifth of its
# channels, against one with as many products by single weights, both against
# the dense one, on crops of 128x128 pixels.  What channels that go gave is
# made up for on crops of the first picture, which is not looked at again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${TAMIS:=tamis}"
if [ $# -lt 2 ]; then
  echo "usage: slim.sh CALIBRATION.jpg PICTURE.jpg..." >&2
  exit 2
fi

if [ ! -d package ]; then
  npm pack -s @upscalerjs/esrgan-slim@1.0.0 >/dev/null
  tar xzf upscalerjs-esrgan-slim-1.0.0.tgz
fi
python3 "$here/convert.py" package . >/dev/null
cp "$here/esrgan.tam" .

cat >cut.tam <<'END'
model cut(x: f32[1,3,384,640]) -> y: f32[15,3,128,128] {
  repeat rows for i in 0..3 {
    row = slice(x, axis=2, start=128*i, stop=128*i+128);
    repeat columns for k in 0..5 {
      part = slice(row, axis=3, start=128*k, stop=128*k+128);
      all = if i + k == 0 then part else concat(all, part, axis=0);
    }
  }
  y = all * 255.0;
}
model one(x: f32[1,3,384,640]) -> y: f32[1,3,128,128] {
  y = slice(slice(x, axis=2, start=128, stop=256), axis=3, start=256,
            stop=384) * 255.0;
}
model whole(x: f32[1,3,128,128]) -> y: f32[1,3,128,128] { y = x * 255.0; }
END
"$TAMIS" run cut.tam --model=cut --in "x=$1,resize=384x640" --out y=calib.npy
shift
"$TAMIS" run cut.tam --model=whole --in x=package/assets/fixture.png \
  --out y=picture0.npy
count=0
for p; do
  count=$((count + 1))
  "$TAMIS" run cut.tam --model=one --in "x=$p,resize=384x640" \
    --out y=picture$count.npy
done

for net in dense masked masked_obs slim_l1 slim_l2 slim; do
  recipe=--recipe=$net
  if [ $net = dense ]; then recipe=--sparsity=off; fi
  "$TAMIS" build esrgan.tam --model=x2 --dim=H=128 --dim=W=128 "$recipe" \
    --weights=x2.safetensors --prefix=net --report=$net.json --measure \
    -o $net.so
  for i in $(seq 0 $count); do
    "$TAMIS" run $net.so --in x=picture"$i".npy --out y=$net."$i".npy
  done
done
python3 "$here/psnr.py" "$count" dense masked masked_obs slim_l1 slim_l2 slim
