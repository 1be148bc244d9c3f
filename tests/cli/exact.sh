#!/bin/sh
# exact.sh - results that leave no choice are those of the evaluator to the
# last bit.  Values come from states, which no pass computes with.
. "$SRCDIR/tests/cli/lib.sh"

# exact NAME <<MODEL
exact() {
  cat >"$1.tam"
  for cpu in native x86-64-v3 x86-64; do
    expect "$1-$cpu" 0 'all within tolerance' "$TAMIS" check "$1.tam" \
      --rtol=0 --atol=0 --cpu=$cpu
  done
}

exact literal <<'EOF'
model m() -> y: b1[9] {
  state a: f32[9] = 0.1;
  y = equal(a, 0.1);
  next a = a;
}
EOF

# 0.1 as f32 is more than a tenth, and 1 by it rounds to 10.
exact floor_div <<'EOF'
model m(x: f32[40]) -> q: f32[23], r: f32[23], p: f32[40] {
  state a: f32[17] = 1.0;
  state b: f32[6] = -3.0;
  state t: f32[23] = 0.1;
  c = concat(a, b, axis=0);
  q = floor_div(c, t);
  r = floor_mod(c, t);
  p = floor_div(x, x * 0.125);
  next a = a; next b = b; next t = t;
}
EOF

# A NaN is at none of these places, whatever else is there.
exact arg <<'EOF'
model m() -> y: i32[4], z: i32[4], v: i32[99] {
  state none: f32[20] = nan;
  state low: f32[1] = -inf;
  state high: f32[1] = inf;
  x = concat(none, low, none, axis=0);
  w = concat(none, high, none, axis=0);
  all = concat(none, none, low, axis=0);
  both = concat(x, w, all, none, none, high, axis=0);
  rows = reshape(both, shape=[4,41]);
  y = argmax(rows, axis=1);
  z = argmin(rows, axis=1);
  v = argmax(expand(reshape(x, shape=[41,1]), shape=[41,99]), axis=0);
  next none = none; next low = low; next high = high;
}
EOF

exact bf16 <<'EOF'
model m() -> y: f32[9], z: f32[9] {
  state a: i32[9] = 33685505;
  state b: i64[9] = 9007199254740993;
  y = cast(cast(a, to=bf16), to=f32);
  z = cast(cast(b, to=bf16), to=f32);
  next a = a; next b = b;
}
EOF

# Squares of vectors are transposed in registers; what is left is not.
exact permute <<'EOF'
model m(x: f32[3,37,45], i: i32[33,70], b: b1[20,40], v: f32[2,5,16,32])
    -> y: f32[45,3,37], z: f32[3,45,37], j: i32[70,33], c: b1[40,20],
    w: f32[2,32,5,16], r: f32[80,64] {
  y = permute(x, order=[2,0,1]);
  z = permute(x, order=[0,2,1]);
  j = permute(i, order=[1,0]);
  c = permute(b, order=[1,0]);
  w = permute(v, order=[0,3,1,2]);
  r = permute(reshape(v, shape=[2,80,32]), order=[1,0,2]) |> reshape([80,64]);
}
EOF

# The least i64 stands in a dump as a sum.
exact least <<'EOF'
model m() -> y: b1[9] {
  state a: i64[9] = -9223372036854775807 - 1;
  y = equal(a, i64(-9223372036854775807 - 1));
  next a = a;
}
EOF
expect least-dump 0 '' "$TAMIS" check --roundtrip least.tam

# Each type from each other one: what is out of range, what rounding twice
# would spoil, what is no number.  A u64 past the others' is its bits.
types='f64 f32 f16 bf16 i64 i32 i16 i8 u8 b1 u16 u32 u64'
wide='9223372036854775807 -9223372036854775807 9223371761976868863 16777217'
values() {
  case $1 in
  f64)
    floats='1.7976931348623157e308 3.4028235677973366e38 1.00048828126
      65519.99999999999 2.9802322387695315e-8 1.0e-320 9007199254740993.0'
    ;;
  f32) floats='3.4028234663852886e38 65519.996 1.0005 6.0e-8 1.0e-40' ;;
  *) floats='3.3 6.0e-8' ;;
  esac
  case $1 in
  b1) echo true false ;;
  i64) echo 0 -1 "$wide" ;;
  i32) echo 0 -1 2147483647 -2147483648 16777217 ;;
  i16) echo 0 -1 32767 -32768 255 ;;
  i8) echo 0 -1 127 -128 ;;
  u8) echo 0 3 255 ;;
  u16) echo 0 3 255 65535 ;;
  u32) echo 0 3 65535 4294967295 16777217 ;;
  u64) echo 0 -1 "$wide" ;;
  *) echo $floats -$(echo $floats | sed 's/ / -/g') 0.0 0.5 -0.5 1.0 \
    300.7 -300.7 3.0e9 -3.0e9 1.2e19 -1.2e19 nan inf -inf ;;
  esac
}
for from in $types; do
  list=''
  i=0
  values "$from" | tr ' ' '\n' >values.txt
  n=$(($(wc -l <values.txt) * 5))
  {
    printf 'model m() -> '
    for to in $types; do echo "y$to: $to[$n]"; done | paste -sd ,
    echo '{'
    while read -r v; do
      i=$((i + 1))
      echo "state s$i: $from[5] = $v; next s$i = s$i;"
      list="$list${list:+, }s$i"
    done <values.txt
    echo "x = concat($list, axis=0);"
    for to in $types; do echo "y$to = cast(x, $to);"; done
    echo '}'
  } | exact "cast-$from"
done
expect cast-dump 0 '' "$TAMIS" check --roundtrip cast-f64.tam
expect cast-dump-u64 0 '' "$TAMIS" check --roundtrip cast-u64.tam
finish
