#!/bin/sh
# tokens.sh - the recipe's verb tokens: that native code takes the same tokens
# as the reference, of each image of a batch, that dumps build to the same
# bytes, products and predicted time that are saved, and what is said of it.
. "$SRCDIR/tests/cli/lib.sh"
: "${TAMIS_QUICK:=}"

cat >vit.tam <<'END_VIT'
block encoder(x, heads: int, wide: int) -> y {
  x = x + (x |> layer_norm as norm1 |> self_attention(heads) as att);
  h = x |> layer_norm as norm2 |> linear(wide) as up |> gelu
        |> linear(dim(x, -1)) as down;
  y = x + h;
}
model vit(x: f32[N,3,48,48]) -> p: f32[N,10] where N <= 4 {
  param cls: f32[1,1,64];
  param pos: f32[1,65,64];
  t = x |> conv(64, k=6, s=6, bias=true) as patch |> flatten(2)
        |> permute([0,2,1]);
  t = concat(expand(cls, shape=[N,1,64]), t, axis=1) + pos;
  repeat layer for i in 0..2 { t = t |> encoder(4, 128) as enc; }
  p = t |> layer_norm as ln |> select(0, axis=1) |> linear(10) as head;
}
recipe object for vit { tokens patch with keep=0.5; }
recipe windows for vit {
  tokens patch with keep=9, windows=[2,3,7], scale=0.004;
}
recipe norm for vit { tokens patch with keep=0.25, method=norm; }
recipe random for vit { tokens patch with keep=20, method=random, seed=7; }
recipe all for vit { tokens patch with keep=64; }
recipe late for vit {
  tokens patch with keep=0.5;
  prune layer[*].** with sparsity=0.8, pattern=2x1;
  factor layer[0].enc.up with rank=0.2;
  cluster head with centroids=16;
}
recipe many for vit { tokens patch with keep=65; }
END_VIT
net="vit.tam --random-weights=2"
recipes="object windows norm random late"
[ -z "${TAMIS_QUICK:-}" ] || recipes="windows late"
for r in $recipes; do
  # shellcheck disable=SC2086  # options are words
  {
    expect "$r: native and reference" 0 'all within tolerance' \
      "$TAMIS" check $net --dim N=1 --recipe=$r --roundtrip
    expect "$r: a batch" 0 'all within tolerance' \
      "$TAMIS" check $net --dim N=3 --recipe=$r
    expect "$r: free sizes" 0 'all within tolerance' \
      "$TAMIS" check $net --dim N=1..4 --recipe=$r
    expect "$r: built" 0 '' "$TAMIS" build $net --recipe=$r -o $r.so
    for pass in parse recipe; do
      expect "$r: a dump after $pass" 0 '' "$TAMIS" show $net --recipe=$r \
        --after=$pass -o dump.tam
      expect "$r: built from it" 0 '' "$TAMIS" build dump.tam -o dump.so
      same "$r: the same bytes" $r.so dump.so
    done
  }
done

# What it saves, and what is said.
one="$net --dim N=1"
us() { sed -n 's/^predicted: \([0-9.e+]*\) us.*/\1/p' stats.txt; }
dense() { sed -n 's/^without the recipe: \([0-9.e+]*\) us.*/\1/p' stats.txt; }
# shellcheck disable=SC2086
{
  expect "-v" 0 'tokens: patch.weight: 32 of 64 tokens stay by objectness, ' \
    "$TAMIS" build $one --recipe=object -v -o v.so --report=object.json
  was=$(sed -n 's/.*: \([0-9]*\) of \([0-9]*\) multiply.*/\1 \2/p' got.txt)
  expect "about half of the products" 0 '' \
    [ "$((${was% *} * 100 / ${was#* }))" -lt 55 ]
  expect "a note of the report" 0 '"tokens: patch.weight: 32 of 64 tokens' \
    cat object.json
  "$TAMIS" show $one --recipe=object --stats >stats.txt
  expect "the predicted time falls" 0 '' \
    awk "BEGIN { exit !($(us) < 0.75 * $(dense)) }"
  expect "all stay" 0 'tokens: patch.weight: all tokens stay' \
    "$TAMIS" build $net --recipe=all -v -o all.so
  "$TAMIS" build $net -o none.so
  same "then nothing is changed" all.so none.so
  expect "too many" 1 'keep: expected 1 to 64, as .* tokens, found 65' \
    "$TAMIS" build $net --recipe=many -o many.so
}
absent "nothing is built" many.so

# An output that has the tokens is shorter.
cat >seq.tam <<'END_SEQ'
model seq(x: f32[2,1,16,16]) -> y: f32[2,16,8] {
  y = x |> conv(8, k=4, s=4) as patch |> flatten(2) |> permute([0,2,1]);
}
recipe r for seq { tokens patch with keep=0.5; }
END_SEQ
expect "a shorter output" 0 \
  'output y: f32\[2,16,8\] becomes f32\[2,8,8\]' \
  "$TAMIS" build seq.tam --random-weights=1 --recipe=r -v -o seq.so
expect "its values" 0 'all within tolerance' "$TAMIS" check seq.tam \
  --random-weights=1 --recipe=r

cat >free.tam <<'END_FREE'
model seq(x: f32[N,1,16,16]) -> y: f32[N,16,8] where N <= 3 {
  y = x |> conv(8, k=4, s=4) as patch |> flatten(2) |> permute([0,2,1]);
}
recipe r for seq { tokens patch with keep=0.5; }
END_FREE
expect "a shorter output of any batch" 0 'all within tolerance' "$TAMIS" \
  check free.tam --random-weights=1 --recipe=r --roundtrip

# ViT-Ti as torch exports it: the batch between tokens and heads.
cp "$SRCDIR/tests/nets/vit.onnx" .
expect "weights of a ViT" 0 '' "$BUILDDIR/draw" "$SRCDIR/tests/nets/vit.txt" .
cat >ti.tam <<'END_TI'
import "vit.onnx" as vit;
recipe half for vit { tokens conv_proj with keep=0.5; }
END_TI
expect "half of a ViT" 0 '98 of 196 tokens stay by objectness, 1 beside' \
  "$TAMIS" build ti.tam --dim batch=1 --recipe=half -v -o ti.so
"$TAMIS" show ti.tam --dim batch=1 --recipe=half --after=recipe -o ti_dump.tam
expect "its dump" 0 '' "$TAMIS" build ti_dump.tam -o ti_dump.so
same "the same bytes of the ViT" ti.so ti_dump.so
if [ -z "$TAMIS_QUICK" ]; then
  expect "the ViT: native and reference" 0 'all within tolerance' \
    "$TAMIS" check ti.tam --dim batch=1 --recipe=half
fi
finish
