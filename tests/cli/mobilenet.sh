#!/bin/sh
# mobilenet.sh - MobileNetV2 with drawn weights against a committed PyTorch
# oracle, for this CPU and for AVX2; the sparse recipe against the reference.
. "$SRCDIR/tests/cli/lib.sh"
m=$SRCDIR/examples/mobilenet
net="$m/mobilenet.tam --random-weights=1"
in="--in x=$m/input.npz"

# shellcheck disable=SC2086
{
  expect oracle 0 'all within tolerance' "$TAMIS" check $net $in \
    --expect "p=$m/expect.npy"
  expect reference-engine 0 '' "$TAMIS" run $net $in --engine=reference \
    --out p=ref.npy
  expect reference-oracle 0 'all within tolerance' "$TAMIS" check $net $in \
    --expect p=ref.npy
  expect layers 0 'all within tolerance' "$TAMIS" check $net $in
  expect sparse 0 'all within tolerance' "$TAMIS" check $net $in \
    --recipe=sparse
  expect sparse-off 0 'all within tolerance' "$TAMIS" check $net $in \
    --recipe=sparse --sparsity=off
  if [ "$(uname -m)" = x86_64 ]; then
    expect avx2 0 'all within tolerance' "$TAMIS" check $net $in \
      --cpu=x86-64-v3 --expect "p=$m/expect.npy"
    expect avx2-sparse 0 'all within tolerance' "$TAMIS" check $net $in \
      --cpu=x86-64-v3 --recipe=sparse
  fi
}
finish
