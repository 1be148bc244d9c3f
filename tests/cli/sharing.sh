#!/bin/sh
# sharing.sh - equal weights are stored once, whatever the format they are
# packed in; such that only begin alike are not.
. "$SRCDIR/tests/cli/lib.sh"

cat >one.tam <<'END'
model one(x: f32[1,256], t: f32[40,256]) -> y: f32[1,256], u: f32[40,256] {
  y = x |> linear(256, bias=false) as a;
  u = t |> linear(256, bias=false) as b;
}
END
"$TAMIS" show one.tam --random-weights=3 --after=parse \
  -o one-dump.tam
net() {   # NAME RECIPE
  cat >"$1.tam" <<END
model $1(x: f32[1,256], t: f32[40,256]) -> y: f32[1,256], u: f32[40,256] {
  h = x;
  repeat l for i in 0..4 {
    h = h |> linear(256, bias=false) as w |> relu;
  }
  y = h;
  u = t |> linear(256, bias=false) as one |> relu
    |> linear(256, bias=false) as two;
  weights "one-dump.safetensors" {
    l[*].w = "a";
    one    = "a";
    two    = "${3:-a}";
  }
}
recipe r for $1 { $2 }
END
  "$TAMIS" build "$1.tam" --recipe=r -o "$1.so" --report="$1.json"
  expect "$1: native and reference" 0 'all within tolerance' \
    "$TAMIS" check "$1.tam" --recipe=r --rtol=1e-5
}
weight_bytes() { sed -n 's/^ "weight_bytes": \([0-9]*\).*/\1/p' "$1.json"; }
one=$((256 * 256 * 4))

# One table for the rows of x, one for its tokens, at most.
net dense ''
expect "dense: each table once" 0 '' [ "$(weight_bytes dense)" -lt \
  $((one * 21 / 10)) ]
net blocks 'prune ** with pattern=4x1, sparsity=0.75;'
expect "blocks: each table once" 0 '' [ "$(weight_bytes blocks)" -lt \
  $((one * 7 / 10)) ]
net few 'cluster ** with centroids=16;'
expect "few: each table once" 0 '' [ "$(weight_bytes few)" -lt \
  $((one * 3 / 10)) ]
net two 'prune ** with sparsity=0.9;' b
expect "another weight is another" 0 '' [ "$(weight_bytes two)" -gt \
  "$(($(weight_bytes blocks) / 3))" ]
expect "params that are left" 0 '^ *param l\[0\].w.weight' "$TAMIS" show \
  dense.tam --after=slice
expect "and no others" 1 '' sh -c '"$@" | grep "param .*one.weight"' sh \
  "$TAMIS" show dense.tam --after=slice

# Equal at both ends and in the middle.
cat >near.tam <<'END'
model near(x: f32[1,64]) -> y: f32[1,64] {
  param a: f32[64,64] = uniform(0.0, 0.0);
  param b: f32[64,64] = uniform(0.0, 0.0);
  param s: f32[1,64];
  y = linear(linear(x + s, a) + s, b);
}
END
"$TAMIS" show near.tam --random-weights=1 --after=parse \
  -o near-dump.tam
# The bytes of b are patched at a place that no sample is taken from.
size=$(wc -c <near-dump.safetensors)
head -c $((size - 4096)) near-dump.safetensors >patched
printf '\000\000\200\077' >>patched
tail -c +$((size - 4096 + 5)) near-dump.safetensors >>patched
mv patched near-dump.safetensors
expect "near-equal ones stay apart" 0 'param b' "$TAMIS" show near-dump.tam \
  --after=slice
expect "and are computed apart" 0 'all within tolerance' "$TAMIS" check \
  near-dump.tam
finish
