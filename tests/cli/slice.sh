#!/bin/sh
# slice.sh - nets that torch exported, without two fifths of their channels:
# what is sliced gives what zeros in dense weights do, with fewer products;
# what stays is said.
. "$SRCDIR/tests/cli/lib.sh"
nets=$SRCDIR/tests/nets

# products FILE.json KEY: of all layers.
products() {
  awk -F '[:,]' -v key="\"$2\"" '$1 ~ key {n += $2} END {printf "%d", n}' "$1"
}

# sliced NET OPTIONS...: its output y.
sliced() {
  net=$1
  shift
  cp "$nets/$net.onnx" .
  expect "$net-weights" 0 '' "$BUILDDIR/draw" "$nets/$net.txt" .
  expect "$net-import" 0 '' "$TAMIS" import "$net.onnx" -o "$net.tam" "$@"
  model=$(sed -n 's/^model \([A-Za-z0-9_]*\).*/\1/p' "$net.tam")
  echo "recipe slim for $model { prune ** with pattern=channel,
    sparsity=0.4; }" >>"$net.tam"
  for s in auto off; do
    expect "$net-$s" 0 'channels of .* stay: an (in|out)put has' "$TAMIS" build "$net.tam" \
      --recipe=slim --sparsity=$s -o net.so --report=$s.json
  done
  expect "$net-run" 0 '' "$TAMIS" run net.so --in x=b1.x.npy --out y=off.npy
  expect "$net" 0 'all within tolerance' "$TAMIS" check "$net.tam" \
    --recipe=slim --in x=b1.x.npy --expect y=off.npy --rtol=1e-5
  expect "$net-products" 0 '' test "$(products auto.json macs)" -le \
    "$(products off.json nonzero_macs)"
}
sliced mobilenet --dim batch=1
sliced edsr --dim batch=1

cat >held.tam <<'END'
model m(x: f32[1,8]) -> y: f32[1,8] {
  y = x |> linear(8) as a |> relu |> layer_norm as ln |> linear(8) as b;
}
recipe r for m { prune a, b with pattern=row, sparsity=0.5; }
END
expect "said" 0 'slice: a.weight: 4 of 8 channels are zero and stay: normalize of ln goes over them' \
  "$TAMIS" build held.tam --random-weights=1 --recipe=r -o held.so -v \
  --report=held.json
expect "said of outputs" 0 'b.weight: 4 of 8 channels are zero and stay: an output has them' \
  cat held.json
finish
