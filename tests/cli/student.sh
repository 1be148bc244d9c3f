#!/bin/sh
# student.sh - the recipe's verb student: that native code agrees with the
# reference, that dumps in front of it and behind it build to the same bytes,
# that what it writes is a program with weights, what -v says.
. "$SRCDIR/tests/cli/lib.sh"

cat >net.tam <<'END'
block layer(x: f32[N,L,E]) -> y: f32[N,L,E] {
  x = x + (x |> layer_norm as n1 |> self_attention(4) as at);
  y = x + (x |> layer_norm as n2 |> linear(4*E) as up |> gelu
             |> linear(E) as down);
}
model net(x: f32[N,3,16,16]) -> y: f32[N,10] where N <= 3 {
  h = x |> conv(16, k=3, s=2, pad=1) as stem |> bn as bn |> relu;
  repeat body for i in 0..2 {
    h = relu(h + (h |> conv(16, k=3, pad=1) as conv |> bn as bn));
  }
  t = permute(reshape(h, shape=[N,16,64]), order=[0,2,1])
        |> linear(32) as embed;
  repeat layers for i in 0..6 { t = t |> layer as layer; }
  y = t |> layer_norm as norm |> mean([1]) |> linear(10) as head;
}
recipe short for net {
  student layers[*] with method=drop, every=2;
  student body with method=drop, keep=[1];
  prune layers with sparsity=0.5;
}
recipe mixed for net {
  student layers[0], layers[1] with method=merge;
  student layers[2], layers[3] with method=merge, init=collapse;
  student layers[4] with method=duplicate, times=3;
  student layers[5] with method=duplicate, share=true;
}
recipe narrow for net {
  student **:layer with method=drop, every=3;
  student ** with method=narrow, width=0.5, criterion=l2;
}
recipe late for net {
  prune head with sparsity=0.5;
  student norm with method=merge;
}
END
net="net.tam --random-weights=2 --dim N=2"
for r in short mixed narrow; do
  # shellcheck disable=SC2086  # options are words
  {
    expect "$r: native and reference" 0 'all within tolerance' \
      "$TAMIS" check $net --recipe=$r --roundtrip
    [ -n "${TAMIS_QUICK:-}" ] || expect "$r: free sizes" 0 \
      'all within tolerance' "$TAMIS" check net.tam --random-weights=2 \
      --recipe=$r --dim N=1..3
    expect "$r: built" 0 '' "$TAMIS" build $net --recipe=$r -o $r.so
    for pass in parse recipe; do
      expect "$r: a dump after $pass" 0 '' "$TAMIS" show $net --recipe=$r \
        --after=$pass -o $r.tam
      expect "$r: built from it" 0 '' "$TAMIS" build $r.tam -o dump.so
      same "$r: the same bytes after $pass" $r.so dump.so
    done
  }
done
expect "a step still to come" 0 \
  'student layers\[0\].*, layers\[5\].* with method=drop, every=2;' \
  "$TAMIS" show net.tam --random-weights=2 --dim N=2 --recipe=short \
  --after=parse
expect "a program with its norms" 0 'batch_norm\(' \
  "$TAMIS" show net.tam --random-weights=2 --dim N=2 --recipe=narrow \
  --after=recipe
also "in half of the width" 'param stem.weight: f32\[8,3,3,3\]'
also "all of it" 'param layers\[3\].layer.up.weight: f32\[64,16\]'
# shellcheck disable=SC2086
{
  expect "-v says what is done" 0 'student: layers\[1\].*: dropped' \
    "$TAMIS" build $net --recipe=short -v -o v.so
  also "and what stays" 'student: layers\[2\].*: kept with its weights'
  expect "-v: one of two" 0 'student: layers\[3\]: merged into layers\[2\]' \
    "$TAMIS" build $net --recipe=mixed -v -o v.so
  also "-v: copies" 'layers_copy2\[4\] behind it, with a copy of its weights'
  expect "an error before any step" 1 \
    'expected a multiple of 2 blocks, found 1' \
    "$TAMIS" build $net --recipe=late -o late.so
  expect "nothing is written" 1 '' test -e late.so
}
finish
