#!/bin/sh
# ONNX files (tests/onnx/make_good.py): graphs inside graphs, functions, sparse,
# packed and external values, free dimensions and constants; what is written of
# them.
. "$SRCDIR/tests/cli/lib.sh"
PYTHONDONTWRITEBYTECODE=1 python3 "$SRCDIR/tests/onnx/make_good.py" good ||
  exit 1
# fits NET FILE OPTIONS...: native code and evaluator give what they should.
fits() {
  net=$1 file=$2
  shift 2
  expect "$net of $file" 0 'all within tolerance' "$TAMIS" check "$file" \
    --in x="good/$net.in.npy" --expect y="good/$net.out.npy" "$@"
}

for net in if_constant if_computed loop_few loop_many loop_stacked \
  loop_stacked_many scan function sparse external loss qgemm qlinear_softmax \
  qlinear_softmax_11 int4; do
  fits $net good/$net.onnx
  # As a program of the language, and as ONNX again: the same.
  expect $net-import 0 '' "$TAMIS" import good/$net.onnx -o $net.tam
  fits $net $net.tam
  "$TAMIS" build good/$net.onnx --prefix=net -o a.so &&
    "$TAMIS" build $net.tam --prefix=net -o b.so
  same $net-artifact a.so b.so
  expect $net-written 0 '' "$TAMIS" show --after=fuse --onnx \
    good/$net.onnx -o $net.onnx
  fits $net $net.onnx
done

expect const-missing 4 '--const NAME=FILE' "$TAMIS" build good/shape.onnx
fits shape good/shape.onnx --const s=good/s.npy
expect const-unknown 2 "no input 'q'" "$TAMIS" build good/shape.onnx \
  --const q=good/s.npy
expect const-type 2 "the input 's' is int64, found f32" "$TAMIS" build \
  good/shape.onnx --const s=good/shape.in.npy
expect const-file 3 'nowhere.npy' "$TAMIS" build good/shape.onnx \
  --const s=nowhere.npy
expect dim-missing 2 "the dimension 'n' is free" "$TAMIS" build good/free.onnx
fits free good/free.onnx --dim n=2
for n in 2 ..2 2..5; do
  fits free_expanded good/free_expanded.onnx --dim n=$n
done
# A file is read more than once, what is said of it is said once.
for n in 2 ..8; do
  expect "double-$n" 0 "^tamis: warning: .*'x': double is computed as float32" \
    "$TAMIS" build good/double.onnx --dim n=$n -o d.so
  cp got.txt said.txt
  expect "double-$n-once" 0 '^1$' grep -c 'computed as float32' said.txt
done
expect dependencies 0 '' "$TAMIS" build good/external.onnx -o e.so -MD
expect dependencies-all 0 'values.bin' cat e.d
# A free dimension keeps its name in what is written.
expect free-written 0 '' "$TAMIS" show --onnx good/free.onnx --dim n=..8 \
  -o free.onnx
expect free-written-quiet 1 '' grep -q warning got.txt
expect free-written-name 2 "the dimension 'n' is free" "$TAMIS" build free.onnx
fits free free.onnx --dim n=2
expect free-inside 0 '' "$TAMIS" show --onnx good/free_inside.onnx \
  --dim n=..8 -o inside.onnx
also free-inside-said 'warning: ONNX has the sizes of 2 nodes for n=8 alone'
expect import-of-onnx 0 '' sh -c "echo 'import \"good/function.onnx\" as f;
model m(x: f32[2,3]) -> y: f32[2,3] { y = f(x); }' >of.tam"
fits function of.tam
# --dim and --const go to what is imported.
echo 'import "good/free.onnx" as f;
recipe r for f { }' >sole.tam
for n in 2 1..4; do
  fits free sole.tam --dim n=$n --recipe=r
done
expect "imported, its sizes" 0 'f32\[n,3\]' "$TAMIS" show --after=parse \
  sole.tam --dim n=..4
expect "imported, another dimension" 2 \
  "model 'free' has no free dimension 'm'" \
  "$TAMIS" build sole.tam --dim n=2 --dim m=3
echo 'import "good/free.onnx" as f;
model m(x: f32[2,3]) -> y: f32[2,3] { y = f(x); }' >part.tam
fits free part.tam --dim n=2
expect "a part, a range" 2 "'n' of good/free.onnx, .* the range 1..4" \
  "$TAMIS" build part.tam --dim n=1..4
echo 'import "good/shape.onnx" as s;
recipe r for s { }' >const.tam
fits shape const.tam --const s=good/s.npy
expect onnx-no-out 2 'expected -o FILE' "$TAMIS" show --onnx of.tam
finish
