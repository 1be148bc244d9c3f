#!/bin/sh
# layers.sh - the prelude's layers against what PyTorch gave (tests/oracle/
# layers), natively and by the reference.
. "$SRCDIR/tests/cli/lib.sh"
layers=$SRCDIR/tests/oracle/layers

# check_layer CASE INPUT... -> OUTPUT...
check_layer() {
  name=$1 file=$layers/$1.safetensors in='' want='' opt=--in
  shift
  for t; do
    case $t in
    '->') opt=--expect ;;
    *) [ $opt = --in ] && in="$in --in $t=$file" ||
      want="$want --expect $t=$file" ;;
    esac
  done
  o="$layers/layers.tam --model=torch_$name --weights=$file --rtol=1e-5 $in"
  # shellcheck disable=SC2086
  {
    expect "$name" 0 'all within tolerance' "$TAMIS" check $o $want
    expect "$name-steps" 0 'all within tolerance' "$TAMIS" check $o
    if [ "$(uname -m)" = x86_64 ]; then
      expect "$name-avx2" 0 'all within tolerance' "$TAMIS" check $o $want \
        --cpu=x86-64-v3
    fi
  }
}

# A net for a stream is the layer, one step a call.
cat >stream.tam <<'EOF'
model stream(x: f32[1,8]) -> p: f32[1,8] {
  state h: f32[1,16] = 0.0;
  state c: f32[1,16] = 0.0;
  state r: f32[1,16] = 0.0;
  a, b = lstm_cell(x, h, c) as rnn;
  s = gru_cell(a, r) as top;
  next h = a;
  next c = b;
  next r = s;
  p = s |> linear(8);
}
model many(x: f32[1000,1,24]) -> y: f32[1000,1,64], z: f32[1000,1,64] {
  a, h, c = x |> lstm(32, bidirectional=true) as rnn;
  y, r = a |> gru(64) as top;
  b, s, d = x |> lstm(64) as other;
  z = b;
}
recipe slim for many {
  prune rnn:lstm with pattern=4x1, sparsity=0.9;
  prune top.weight_hh_l0 with sparsity=0.9;
}
EOF
expect stream 0 'all within tolerance' "$TAMIS" check stream.tam \
  --model=stream --random-weights=1 --steps=1000 --rtol=1e-5
expect many 0 'all within tolerance' "$TAMIS" check stream.tam \
  --model=many --random-weights=1 --rtol=1e-5
expect pruned 0 'all within tolerance' "$TAMIS" check stream.tam \
  --model=many --random-weights=1 --rtol=1e-5 --recipe=slim

# Products of x stand before the loop, those of h in it; both are sparse.
show_stats() {
  "$TAMIS" show stream.tam --model=many --random-weights=1 --recipe=slim \
    --stats --cpu=x86-64-v3 --target=x86_64-linux-gnu
}
expect pruned-before 0 '^rnn  *1000x1x128 .* linear_bsr' show_stats
expect pruned-inside 0 '^rnn\.l0_reverse  *1x128 .* linear_bsr' show_stats
expect pruned-gru 0 '^top\.l0  *1x192 .* linear_[bc]sr' show_stats

while read -r line; do
  # shellcheck disable=SC2086
  check_layer $line
done <"$layers/cases.txt"
finish
