#!/bin/sh
# exchange.sh - the recipe's verb smartexchange: native code and the reference,
# dumps, bits, zeros.
. "$SRCDIR/tests/cli/lib.sh"

cat >net.tam <<'END'
model net(x: f32[1,16,14,14]) -> y: f32[1,10] {
  h = x |> conv(64, k=3, pad=1, bias=true) as a |> relu
        |> conv(64, k=3, s=2, pad=1, groups=2) as g |> bn |> relu
        |> conv(96) as p |> conv(32, k=9, pad=4) as wide;
  y = h |> mean([2,3]) |> linear(64) as l |> gelu |> linear(10) as head;
}
recipe few for net { smartexchange **; }
recipe less for net { smartexchange a, g, p with threshold=0.9, powers=3; }
END
net="net.tam --random-weights=2"
# shellcheck disable=SC2086
for r in few less; do
  expect "$r: native and reference" 0 'all within tolerance' \
    "$TAMIS" check $net --recipe=$r --roundtrip
  expect "$r: built" 0 '' "$TAMIS" build $net --recipe=$r -o $r.so
  "$TAMIS" show $net --recipe=$r --after=recipe -o $r.tam
  expect "$r: built from the dump" 0 '' "$TAMIS" build $r.tam -o dump.so
  same "$r: the same bytes" $r.so dump.so
done
# shellcheck disable=SC2086
expect "bits" 0 \
  'smartexchange: a.weight: [0-9]* bits as powers of two.*of 294912, rel' \
  "$TAMIS" build $net --recipe=few -v -o v.so
# An output of 16 x 3 x 3: 48 rows of 3 x 4 bits and 1, basis and units.
also "as many as rows and bases take" \
  "a.weight: $((64 * (48 * 3 * 4 + 48 + 8 + 72 + 32))) bits"
also "what is too wide" 'wide.weight: left as it is: its kernel is wider'
# shellcheck disable=SC2086
expect "rows that are zero" 0 '^a +1x64x14x14 +9280 +[0-9]{3} ' \
  "$TAMIS" show $net --recipe=less --stats
finish
