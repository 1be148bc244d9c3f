#!/bin/sh
# factor.sh - the recipe's verb factor: that native code agrees with the
# reference, that a dump builds to the same bytes, what -v says, products and
# bytes that are saved.
. "$SRCDIR/tests/cli/lib.sh"

cat >net.tam <<'END'
model net(x: f32[N,16,14,14]) -> y: f32[N,10] where N <= 4 {
  h = x |> conv(64, k=3, pad=1, bias=true) as a |> relu
        |> conv(64, k=3, s=2, pad=1, groups=2) as g |> relu
        |> conv(64, k=5, pad=2, groups=64) as dw |> conv(96) as p;
  y = h |> mean([2,3]) |> linear(64) as l |> gelu |> linear(10) as head;
}
recipe low for net { factor ** with rank=0.25; }
recipe half for net {
  factor a, p with energy=0.6, multiple=4;
  prune a, p, !p.up with pattern=2x1, sparsity=0.5;
}
recipe none for net { factor head with rank=9; }
END
net="net.tam --random-weights=2 --dim N=2"
for r in low half; do
  # shellcheck disable=SC2086  # options are words
  recipe_builds $r $net
done
expect "free sizes" 0 'all within tolerance' "$TAMIS" check net.tam \
  --random-weights=2 --recipe=low --dim N=3
# shellcheck disable=SC2086
expect "-v says what is done" 0 \
  'factor: a.weight: rank 12 of 48, columns then rows, ' \
  "$TAMIS" build $net --recipe=low -v -o v.so
also "and what is left" 'factor: head.weight: rank|left as it is'
also "with a depthwise one" 'factor: dw.weight: '
# shellcheck disable=SC2086
expect "none pays" 0 'head.weight: left as it is: rank 9 takes 1332 ' \
  "$TAMIS" build $net --recipe=none -v -o v.so
# shellcheck disable=SC2086
"$TAMIS" build $net -o dense.so --report=dense.json
# shellcheck disable=SC2086
"$TAMIS" build $net --recipe=low -o low.so --report=low.json
bytes() { sed -n 's/.*"weight_bytes": *\([0-9]*\).*/\1/p' "$1" | head -n 1; }
expect "fewer bytes of weights" 0 '' \
  [ "$(($(bytes low.json) * 5 / 2))" -lt "$(bytes dense.json)" ]
finish
