#!/bin/sh
# weight_type.sh - weights stored as f16 and bf16: what they are rounded to,
# that native code of each kind of CPU and the reference agree, sizes, dumps,
# and what is refused.
. "$SRCDIR/tests/cli/lib.sh"
cpus=x86-64-v2
grep -qw f16c /proc/cpuinfo 2>/dev/null && cpus="$cpus x86-64-v3"
grep -qw avx512vl /proc/cpuinfo 2>/dev/null && cpus="$cpus x86-64-v4"
[ "$(uname -m)" = x86_64 ] || cpus=generic
[ -z "${TAMIS_QUICK:-}" ] || cpus=${cpus##* }

# words HEX...: their bytes, little endian.
words() {
  for w in "$@"; do
    for at in 7 5 3 1; do
      # shellcheck disable=SC2059  # the format is what is printed
      printf "\\$(printf %03o 0x"$(echo "$w" | cut -c $at-$((at + 1)))")"
    done
  done
}
# tensor FILE NAME SHAPE HEX...: a safetensors file of f32.
tensor() {
  file=$1 json="{\"$2\":{\"dtype\":\"F32\",\"shape\":$3,"
  shift 3
  json="$json\"data_offsets\":[0,$((4 * $#))]}}"
  n=$(printf '%08x' ${#json})
  { words "$n" 00000000; printf %s "$json"; words "$@"; } >"$file"
}
# hex FILE: the values of a float32 npy of twelve.
hex() { tail -c 48 "$1" | od -An -v -tx4 | xargs; }

# ---- values -----------------------------------------------------------

# 0.1; ties of f16 at 1, down and up; ties of bf16 at 1; half and one and a
# half of the least f16; 65519; between a subnormal f16 and 2^-14; -2^-30;
# 1/3; -2.5.
tensor v.safetensors one.weight '[12,1]' 3dcccccd 3f801000 3f803000 \
  3f808000 3f818000 33000000 33c00000 477fef00 387fe000 b0800000 3eaaaaab \
  c0200000
f16="3dccc000 3f800000 3f804000 3f808000 3f818000 00000000 34000000 477fe000"
f16="$f16 38800000 00000000 3eaaa000 c0200000"
bf16="3dcd0000 3f800000 3f800000 3f800000 3f820000 33000000 33c00000 47800000"
bf16="$bf16 38800000 b0800000 3eab0000 c0200000"
cat >values.tam <<'EOF'
model values(x: f32[1,1]) -> y: f32[1,12] {
  y = x |> linear(12, bias=false) as one;
  weights "v.safetensors";
}
EOF
tensor x.safetensors x '[1,1]' 3f800000
for t in f16 bf16; do
  eval "want=\$$t"
  echo "$want" >want.txt
  for cpu in $cpus; do
    "$TAMIS" run values.tam --weight-type=$t --cpu="$cpu" \
      --in x=x.safetensors --out y=y.npy
    hex y.npy >y.txt
    same "values of $t for $cpu" y.txt want.txt
  done
  "$TAMIS" run values.tam --weight-type=$t --engine=reference \
    --in x=x.safetensors --out y=y.npy
  hex y.npy >y.txt
  same "values of $t, reference" y.txt want.txt
done

# ---- nets -------------------------------------------------------------

cat >net.tam <<'EOF'
model net(x: f32[1,3,17,17], t: f32[1,40,24], v: f32[1,100])
    -> p: f32[1,10], u: f32[1,40,32], w: f32[1,130] {
  a = x |> conv(20, k=3, s=2, pad=1) as first |> relu
    |> conv(20, k=3, pad=1, groups=20) as depth |> conv(40) as point;
  b = a |> conv_transpose(8, k=3, s=2) as up |> conv(72, k=3, pad=1) as big
    |> relu |> conv(48, k=3, s=2, pad=1, groups=2) as halves
    |> conv(48, k=7, pad=3, groups=48) as wide;
  p = b |> mean([2,3]) |> linear(304) as one |> relu |> linear(10) as head;
  u = t |> linear(48) as many |> relu |> linear(32) as more;
  w = v |> linear(130) as stream;
}
recipe dense for net { }
recipe blocks for net {
  prune point, big, many, more with pattern=4x1, sparsity=0.85;
  prune one with pattern=8x1, sparsity=0.85;
}
recipe single for net { prune ** with sparsity=0.85; }
EOF
net="net.tam --random-weights=1"
# shellcheck disable=SC2086
for t in f16 bf16; do
  for r in dense blocks single; do
    for cpu in $cpus; do
      expect "$r, $t, $cpu" 0 'all within tolerance' "$TAMIS" check $net \
        --recipe=$r --weight-type=$t --cpu="$cpu" --rtol=1e-5 --roundtrip
    done
  done
  expect "$t, threads" 0 'all within tolerance' "$TAMIS" check $net \
    --recipe=single --weight-type=$t --threads=2 --rtol=1e-5
  expect "$t, -O0" 0 'all within tolerance' "$TAMIS" check $net \
    --recipe=blocks --weight-type=$t -O0 --rtol=1e-5
done
# What is rounded is not what was read.
"$TAMIS" build net.tam --random-weights=1 --weight-type=bf16 -o libbf16.so
expect "another net" 5 MISMATCH "$TAMIS" check net.tam --random-weights=1 \
  --so=libbf16.so --rtol=1e-5
expect "the same net" 0 'all within tolerance' "$TAMIS" check net.tam \
  --random-weights=1 --so=libbf16.so --rtol=1e-5 --weight-type=bf16

# ---- sizes and reports ------------------------------------------------

cat >large.tam <<'EOF'
model large(x: f32[1,512]) -> y: f32[1,512] { y = x |> linear(512) as a; }
EOF
for t in f32 f16 bf16; do
  option=--weight-type=$t
  [ $t = f32 ] && option=
  # shellcheck disable=SC2086
  "$TAMIS" build large.tam --random-weights=1 $option -o $t.so \
    --report=$t.json
  sed -n 's/^ "weight_bytes": \([0-9]*\).*/\1/p' $t.json >$t.txt
done
for t in f16 bf16; do
  [ $(($(wc -c <$t.so) * 2)) -lt $(($(wc -c <f32.so) + 40000)) ] ||
    { echo "FAIL $t.so is no smaller"; bad=$((bad + 1)); }
  expect "weights take half" 0 "^$((512 * 512 * 2 + 512 * 4))\$" awk \
    '{ print $1 - $1 % 512 }' $t.txt
  expect "its type in the report" 0 "\"weight_type\": \"$t\"" cat $t.json
done
expect "f32 in the report" 0 '"weight_type": "f32"' cat f32.json
expect "why" 0 'no zeros: dense; stored as f16' "$TAMIS" show net.tam \
  --random-weights=1 --weight-type=f16 --stats
cat >shared.tam <<'EOF'
model shared(x: f32[1,8]) -> y: f32[1,8], z: f32[8,8] {
  param w: f32[8,8];
  y = linear(x, w);
  z = w * x;
}
EOF
expect "read as values, too" 0 'f32: something else reads it, too' "$TAMIS" \
  show shared.tam --random-weights=1 --weight-type=f16 --stats
v4="--target=x86_64-linux-gnu --cpu=x86-64-v4"
# shellcheck disable=SC2086
{
  expect "code for f32" 0 'kernel="conv2d_code"' "$TAMIS" show $net $v4 \
    --recipe=single --after=select
  expect "a table" 1 '' sh -c '"$@" | grep "_code\""' sh "$TAMIS" show $net \
    $v4 --recipe=single --after=select --weight-type=bf16
  expect "no code, why" 0 'it reads weights of f32' "$TAMIS" show $net $v4 \
    --recipe=single --stats --json --weight-type=bf16
}

# ---- dumps ------------------------------------------------------------

# shellcheck disable=SC2086
for t in f16 bf16; do
  "$TAMIS" build $net --recipe=blocks --weight-type=$t -o direct.so
  for pass in parse fuse narrow phases sparse layout select plan; do
    "$TAMIS" show $net --recipe=blocks --weight-type=$t --after=$pass -o d.tam
    expect "$t behind $pass" 0 '' "$TAMIS" build d.tam -o again.so
    same "$t behind $pass, bytes" direct.so again.so
  done
  expect "$t in the first line" 0 "^dump .*weight_type=\"$t\"" cat d.tam
  expect "$t of a param" 0 "one.weight.*<bsr 8x1.*stored=$t>" cat d.tam
  dtype=$(echo $t | tr bf BF)
  expect "$t in the file" 0 "one.weight.values\":\{\"dtype\":\"$dtype\"" \
    cat d.safetensors
  expect "a dump and the reference" 0 'all within tolerance' "$TAMIS" check \
    d.tam --rtol=1e-5
done
"$TAMIS" show $net --recipe=single --weight-type=f16 --dir=passes
for f in passes/*.tam; do
  expect "$f" 0 '' "$TAMIS" build "$f" -o again.so
done

# ---- what is refused --------------------------------------------------

expect "another type" 2 "'bf16' contradicts the dump d16.tam" sh -c \
  '"$@" --weight-type=f16 --after=parse -o d16.tam &&
   "$1" show d16.tam --weight-type=bf16' sh "$TAMIS" show $net
expect "too late" 2 'behind pass narrow with weights of f32' sh -c \
  '"$@" --after=narrow -o d32.tam &&
   "$1" show d32.tam --weight-type=bf16' sh "$TAMIS" show $net
expect "before it" 0 'stored=bf16' sh -c '"$@" --after=fuse -o d32.tam &&
   "$1" show d32.tam --weight-type=bf16 --after=narrow' sh "$TAMIS" show $net
expect "no such type" 2 "f16.*bf16.*'f8'" "$TAMIS" show $net --weight-type=f8
tensor over.safetensors one.weight '[12,1]' 3dcccccd c7800800 3f803000 \
  3f808000 3f818000 33000000 33c00000 477fef00 387fe000 b0800000 3eaaaaab \
  7f7fffff
expect "too large" 1 'param one.weight: .*at most 65504, found -65552' \
  "$TAMIS" build values.tam --weights=over.safetensors --weight-type=f16
expect "too large for bf16" 1 'one.weight: .*3.38.*e38, found 3.40.*e\+38' \
  "$TAMIS" build values.tam --weights=over.safetensors --weight-type=bf16

# edit NAME PATTERN SED: a dump that says other than it may.
"$TAMIS" show shared.tam --random-weights=1 --after=narrow -o plain.tam
"$TAMIS" show large.tam --random-weights=1 --after=narrow --weight-type=f16 \
  -o good.tam
edit() {
  sed "$4" "$3.tam" >edited.tam
  expect "$1" 1 "$2" "$TAMIS" build edited.tam
}
edit "values that f16 lacks" 'param a.bias: value [0-9]* is .*f16 does not' \
  good 's/a.bias: f32\[512\]/a.bias: f32[512] <stored=f16>/'
edit "no type to store" 'expected stored=f16 or bf16' good 's/=f16>/=i16>/'
edit "a first line" 'expected weight_type="f16" or "bf16"' good \
  '1s/"f16"/"f32"/'
sed 's/f16/bf16/' good.tam >other.tam
expect "values that bf16 lacks" 1 'bf16 does not hold' "$TAMIS" build \
  other.tam
sed 's/param w: f32\[8,8\]/& <stored=bf16>/' plain.tam >edited.tam
"$TAMIS" show shared.tam --random-weights=1 --after=narrow -o plain.tam
expect "read as values" 1 '(does not hold|weights alone are)' "$TAMIS" build \
  edited.tam
sed 's/x: f32\[1,512\]/& <stored=f16>/' good.tam >edited.tam
expect "no param" 1 'stored=f16 on a value that is no param' "$TAMIS" build \
  edited.tam
finish
