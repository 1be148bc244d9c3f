#!/bin/sh
# swap.sh - the recipe's verb student with the methods that swap convolutions:
# that native code agrees with the reference, that a dump builds to the same
# bytes, what -v says, products that are saved.
. "$SRCDIR/tests/cli/lib.sh"

cat >net.tam <<'END'
model net(x: f32[N,16,14,14]) -> y: f32[N,10] where N <= 4 {
  h = x |> conv(48, k=3, pad=1, bias=true) as a |> relu
        |> conv(48, k=3, s=2, pad=1, groups=2) as g |> relu
        |> conv(48, k=5, pad=2, groups=48) as dw |> relu
        |> conv(64, k=5, pad=2) as b |> relu;
  y = h |> mean([2,3]) |> linear(10) as head;
}
recipe separable for net {
  student ** with method=depthwise_separable;
  prune a, b, !b.depthwise with pattern=2x1, sparsity=0.5;
}
recipe slim for net {
  student ** with method=slim;
  prune b, !b.sse1 with sparsity=0.5;
}
recipe wide for net { student b with method=slim, squeeze=400; }
recipe odd for net { student b with method=slim, squeeze=7; }
END
net="net.tam --random-weights=2 --dim N=2"
for r in separable slim; do
  # shellcheck disable=SC2086  # options are words
  recipe_builds $r $net
  expect "$r: free sizes" 0 'all within tolerance' "$TAMIS" check net.tam \
    --random-weights=2 --recipe=$r --dim N=3
done
# shellcheck disable=SC2086
expect "-v says what is done" 0 \
  'student: a.weight: depthwise separable, 357504 of 2709504 mult' \
  "$TAMIS" build $net --recipe=separable -v -o v.so
also "and what is lost" 'student: b.weight: .* relative error 0\.[0-9]'
also "and what is left" 'student: dw.weight: left as it is: it is depthwise'
also "with linear layers" 'student: head.weight: .*it is no convolution'
# shellcheck disable=SC2086
expect "slim says what is done" 0 \
  'student: b.weight: slim module of 20 channels, [0-9]* of [0-9]* multi' \
  "$TAMIS" build $net --recipe=slim -v -o slim.so
also "and what is lost" 'student: b.weight: .* relative error 0\.[0-9]'
also "and what is left" 'student: g.weight: left as it is: it has groups'
# shellcheck disable=SC2086
"$TAMIS" build $net --recipe=slim -o again.so
expect "it is drawn the same again" 0 '' cmp slim.so again.so
# shellcheck disable=SC2086
expect "wider than it pays" 0 'b.weight: left as it is: it would take ' \
  "$TAMIS" build $net --recipe=wide -v -o v.so
# shellcheck disable=SC2086
expect "an odd number" 1 \
  'squeeze: expected an even number from 2 to 1024, found 7' \
  "$TAMIS" build $net --recipe=odd -o none.so
expect "nothing is written" 1 '' [ -e none.so ]
# Of the net and, one deeper, of the one without the recipe.
macs() { sed -n "s/^ \{$1\}\"macs\": *\([0-9]*\).*/\1/p" "$2"; }
for r in separable slim; do
  # shellcheck disable=SC2086
  "$TAMIS" build $net --recipe=$r -o $r.so --report=$r.json
done
expect "fewer products, slim" 0 '' \
  [ "$(macs 1 slim.json)" -lt "$(macs 2 slim.json)" ]
expect "fewer products, separable" 0 '' \
  [ "$(($(macs 1 separable.json) * 4))" -lt "$(macs 2 separable.json)" ]
finish
