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

# Planes of tokens: of odd numbers of them, more or fewer than a vector has
# lanes, read and written as rows too.
for tokens in 5 8 33 64; do
  cat >tokens.tam <<EOF
model tokens(x: f32[2,$tokens,37], m: f32[2,$tokens,48], p: f32[$tokens,48])
    -> y: f32[2,$tokens,37], z: f32[2,$tokens,48], s: f32[2,$tokens] {
  a = x |> linear(48) as up |> gelu;
  b = where(less(m, 0.25), a, m * p) - relu(m);
  c = (a + p) |> linear(48) as mid;
  z = softmax(c * m, axis=2);
  s = max(c, axes=[2]);
  y = (x + ((b + c) |> linear(37) as down)) |> layer_norm as ln;
}
recipe b4 for tokens { prune up, mid with sparsity=0.8, pattern="4x1"; }
recipe all for tokens { prune up, mid, down with sparsity=0.9; }
EOF
  for recipe in b4 all; do
    for cpu in native x86-64-v3 x86-64; do
      [ $cpu = native ] || [ "$(uname -m)" = x86_64 ] || continue
      expect "tokens-$tokens-$recipe-$cpu" 0 'all within tolerance' "$TAMIS" \
        check tokens.tam --random-weights=1 --recipe=$recipe --cpu=$cpu \
        --rtol=1e-5
    done
  done
done
expect "tokens have planes" 0 'layout="a0,a1:1,a2:[0-9]*".*linear_csr' \
  "$TAMIS" show tokens.tam --random-weights=1 --recipe=all --after=select

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
expect pruned-gru 0 '^top\.l0  *1x192 .* linear_(bsr|csr|perm)' show_stats

while read -r line; do
  # shellcheck disable=SC2086
  check_layer $line
done <"$layers/cases.txt"
finish
