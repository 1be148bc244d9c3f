#!/bin/sh
# adapters.sh - the recipe's verb fuse_adapters: files beside the text, native
# code and the reference, dumps, structured zeros, what is refused.
. "$SRCDIR/tests/cli/lib.sh"

mkdir nets
cat >nets/net.tam <<'END'
model net(x: f32[1,8,9,9]) -> y: f32[1,10] {
  h = x |> conv(12, k=3, pad=1, bias=true) as c |> relu;
  y = h |> mean([2,3]) |> linear(10) as head;
}
recipe fused for net {
  fuse_adapters c with method=splora, adapters="low.safetensors";
  fuse_adapters head with method=sppara, adapters="full.safetensors";
}
recipe absent for net {
  fuse_adapters c with method=splora, adapters="none.safetensors";
}
recipe other for net {
  fuse_adapters head with method=splora, adapters="low.safetensors";
}
END
# Files of weights as dumps write them.
cat >low.tam <<'END'
model low(x: f32[1]) -> a: f32[12,4], b: f32[4,8], m: f32[12] {
  param c.up: f32[12,4];
  param c.down: f32[4,8];
  param c.mask_out: f32[12];
  a = c.up;
  b = c.down;
  m = c.mask_out;
}
END
cat >full.tam <<'END'
model full(x: f32[1]) -> a: f32[10,12] {
  param head.adapter: f32[10,12];
  a = head.adapter;
}
END
for f in low full; do
  expect "$f" 0 '' "$TAMIS" show $f.tam --random-weights=5 --after=parse \
    -o nets/$f.safe.tam
  mv nets/$f.safe.safetensors nets/$f.safetensors
done

net="nets/net.tam --random-weights=1"
# shellcheck disable=SC2086
{
  expect "native and reference" 0 'all within tolerance' "$TAMIS" check $net \
    --recipe=fused --roundtrip
  expect "built" 0 'fuse_adapters: c.weight: [0-9]* of 864 values are not 0' \
    "$TAMIS" build $net --recipe=fused -v -o net.so
  "$TAMIS" show $net --recipe=fused --after=recipe -o dump.tam
  expect "built from the dump" 0 '' "$TAMIS" build dump.tam -o dump.so
  same "the same bytes" net.so dump.so
  "$TAMIS" show $net --recipe=fused --after=parse -o early.tam
  expect "a step that is pending" 0 '' "$TAMIS" build early.tam -o early.so
  same "the same bytes, too" net.so early.so
  expect "no file" 3 'none.safetensors' "$TAMIS" build $net --recipe=absent \
    -o bad.so
  expect "another layer's file" 3 \
    "expected 'head.up' f32\\[10,\\?\\] in .*low.safetensors, found none" \
    "$TAMIS" build $net --recipe=other -o bad.so
}
absent "nothing is built" bad.so
finish
