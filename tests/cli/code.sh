#!/bin/sh
# code.sh - code for patterns of zeros: where it is taken, its budget, and
# that all ways to emit it give one result.
. "$SRCDIR/tests/cli/lib.sh"
cat >net.tam <<'EON'
model net(x: f32[1,32,20,20], t: f32[1,129,64], v: f32[1,100])
    -> w: f32[1,40], y: f32[1,48,20,20], z: f32[1,24,18,18], u: f32[1,129,80] {
  a = x |> conv(64, k=3, pad=1) as a |> relu6;
  b = a |> conv(48, bias=true) as b;
  y = (b + (a |> conv(48) as c)) |> gelu;
  z = a |> conv(24, k=3) as d |> relu;
  w = (v |> linear(130) as g |> relu |> linear(40) as h) |> tanh;
  u = (t |> linear(96) as e |> relu |> linear(80) as f) |> silu;
}
recipe p for net { prune ** with sparsity=0.7; prune g, h with sparsity=0.9; }
recipe q for net { prune ** with sparsity=0.95; }
recipe r for net { prune ** with sparsity=0.4; }
EON
net="net.tam --random-weights=1 --recipe=p"
kernels() {   # of the listing, one a line
  grep -o 'kernel="[a-z0-9_]*"' got.txt | sort | uniq -c
}
v4="--target=x86_64-linux-gnu --cpu=x86-64-v4"

# shellcheck disable=SC2086
{
  expect "code" 0 'conv2d_code' "$TAMIS" show $net $v4 --after=select
  kernels >kernels.txt
  expect "convolutions" 0 '3 kernel="conv2d_code"' cat kernels.txt
  expect "linear layers" 0 '2 kernel="linear_code"' cat kernels.txt
  expect "of one row" 0 '2 kernel="linear_perm"' cat kernels.txt
  # Planes of another pitch are no line.
  expect "a table" 0 '1 kernel="conv2d_pair"' cat kernels.txt
  for o in --code-budget=0 -O0 -Os --cpu=x86-64-v3; do
    expect "none with $o" 1 '' sh -c '"$@" | grep "_code\"" ' sh "$TAMIS" \
      show $net --target=x86_64-linux-gnu --cpu=x86-64-v4 $o --after=select
  done
  expect "a small budget" 0 '_csr"' "$TAMIS" show $net $v4 --after=select \
    --code-budget=60k
  kernels >kernels.txt
  expect "part of it" 0 '_code"' cat kernels.txt
  # What was to be code, and is too large for the budget, is dense again.
  expect "40 % zeros" 0 '_code"' "$TAMIS" show net.tam --random-weights=1 \
    --recipe=r $v4 --after=select
  expect "40 % zeros, no budget" 0 'dense is faster' "$TAMIS" show net.tam \
    --random-weights=1 --recipe=r $v4 --code-budget=1 --stats
  # A dump says what was chosen; building it needs no option again.
  "$TAMIS" show $net $v4 --after=layout --code-budget=60k -o some.tam
  expect "a budget in a dump" 0 'code_budget=61440' cat some.tam
  for o in --code-budget=60k --code-budget=61440 -O2; do
    expect "the dump with $o" 0 '' "$TAMIS" show some.tam --after=select $o
    kernels >again.txt
    "$TAMIS" show $net $v4 --after=select --code-budget=60k >got.txt
    kernels >kernels.txt
    same "kernels with $o" again.txt kernels.txt
  done
  expect "another budget" 2 'contradicts' "$TAMIS" show some.tam \
    --after=select --code-budget=4M
  expect "none in a dump" 0 'code_budget=0' "$TAMIS" show $net $v4 \
    --after=layout --code-budget=0
  for b in x 1.5M -1 '' 9999999999999; do
    expect "budget '$b'" 2 'expected a number of bytes' "$TAMIS" show $net \
      $v4 "--code-budget=$b"
  done
  expect "what others take" 0 \
    'conv2d_dense [0-9.]* .*conv2d_csr [0-9.]* conv2d_code [0-9.]* .taken' \
    "$TAMIS" show $net $v4 --stats
  expect "budget spent" 0 'conv2d_code: the code budget is spent' \
    "$TAMIS" show $net $v4 --code-budget=1 \
    --stats
  expect "no such code" 0 'conv2d_code: needs AVX-512' "$TAMIS" show $net \
    --target=x86_64-linux-gnu --cpu=x86-64-v3 --stats
  expect "on rows" 0 'linear_dense [0-9.]* linear_perm [0-9.]* .taken' \
    "$TAMIS" show $net $v4 --stats
  expect "alternatives" 0 '"why_not": "slower"' "$TAMIS" show $net $v4 \
    --stats --json
  expect "why" 0 'code for its pattern' "$TAMIS" show $net $v4 --stats

  for kind in obj asm llvm; do
    expect "$kind" 0 '' "$TAMIS" build $net $v4 --emit=$kind -o net.$kind
  done
  if [ "$(uname -m)" = x86_64 ]; then
    cp net.asm net.s
    expect "assembles" 0 '' "$CC" -c net.s -o net.s.o
  fi
  if grep -q avx512dq /proc/cpuinfo 2>/dev/null &&
    grep -q avx512vl /proc/cpuinfo; then
    for recipe in p q r; do
      expect "native $recipe" 0 'all within tolerance' "$TAMIS" check net.tam \
        --random-weights=1 --recipe=$recipe --cpu=x86-64-v4 --rtol=1e-5
    done
  fi
}
finish
