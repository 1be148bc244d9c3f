#!/bin/sh
# upscale_oracle.sh - the nets of examples/upscale with drawn weights against
# committed values of NumPy, natively and by the reference.
. "$SRCDIR/tests/cli/lib.sh"
e=$SRCDIR/examples/upscale

for net in x2 x3 x4; do
  o="$e/esrgan.tam --model=$net --dim=H=9 --dim=W=7 --random-weights=1"
  in="--in x=$e/x.npy" want="--expect y=$e/$net.expect.npy --rtol=1e-5"
  # shellcheck disable=SC2086
  {
    expect $net 0 'all within tolerance' "$TAMIS" check $o $in $want
    expect $net-layers 0 'all within tolerance' "$TAMIS" check $o $in
    if [ "$(uname -m)" = x86_64 ]; then
      expect $net-avx2 0 'all within tolerance' "$TAMIS" check $o $in $want \
        --cpu=x86-64-v3
    fi
  }
done
finish
