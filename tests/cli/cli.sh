#!/bin/sh
# cli.sh - commands, options, exit codes, files written or not.
. "$SRCDIR/tests/cli/lib.sh"

cat >m.tam <<'END'
model m(x: f32[1,4,6,6]) -> p: f32[1,3] {
  x = x |> conv(8, k=3, pad=1) as c |> bn as b |> relu;
  p = x |> mean([2,3]) |> linear(3) as head |> softmax;
}
recipe half for m { prune c with pattern=4x1, sparsity=0.5; }
END
cat >free.tam <<'END'
model free(x: f32[N,4]) -> y: f32[N,4] where N <= 8 { y = relu(x); }
END
R=--random-weights=1

expect no-command 2 'usage: tamis' "$TAMIS"
expect help 0 'build.*compile' "$TAMIS" --help
expect version 0 '^tamis [0-9.]+ \(LLVM' "$TAMIS" --version
expect unknown-command 2 "did you mean 'build'" "$TAMIS" biuld
for c in build run bench check show targets; do
  expect "help-$c" 0 '--diagnostics' "$TAMIS" $c --help
done
expect unknown-option 2 "did you mean '--recipe'" "$TAMIS" build --recpie=x m.tam
expect const-of-tam 2 'expected an .onnx file' "$TAMIS" build --const=k=x.npy m.tam
expect no-file 2 'no file given' "$TAMIS" build
expect two-files 2 'expected one file' "$TAMIS" build m.tam free.tam
expect missing-file 3 'nothere.tam' "$TAMIS" build nothere.tam
expect bad-emit 2 'expected one of so' "$TAMIS" build m.tam --emit=exe
expect bad-dim 2 'expected NAME=SIZE' "$TAMIS" build free.tam --dim 4
sed 's/ where N <= 8//' free.tam >open.tam
expect unfixed-dim 2 '--dim' "$TAMIS" build open.tam
expect over-bound 2 'N' "$TAMIS" build free.tam --dim N=9
expect fixed-dim 0 '' "$TAMIS" build free.tam --dim N=4 -o free.so
expect no-weights 1 '--random-weights' "$TAMIS" build m.tam
expect weights-missing 3 'w.safetensors' "$TAMIS" build m.tam --weights=w.safetensors
expect unknown-target 4 '' "$TAMIS" build m.tam $R --target=pdp11-dec-unix
expect unknown-cpu 4 'znver' "$TAMIS" build m.tam $R --target=x86_64-linux-gnu --cpu=znver44
expect unknown-recipe 2 'half' "$TAMIS" build m.tam $R --recipe=hlaf
expect report-name 2 'ends in .json' "$TAMIS" build m.tam $R --report=r.txt
expect bad-prefix 2 'C identifier' "$TAMIS" build m.tam $R --prefix=a-b
absent nothing-written libm.so

printf 'model m(x: f32[1,4]) -> y: f32[1,4] { y = foo(x); }\n' >bad.tam
expect model-error 1 'bad.tam:1:' "$TAMIS" build bad.tam -o bad.so
absent no-half-output bad.so
expect json-errors 1 '"line": ?1' "$TAMIS" build bad.tam --diagnostics=json
expect stdin 0 'model' sh -c "'$TAMIS' show --dim N=2 - <free.tam"

for k in so obj lib asm llvm header tam; do
  expect "emit-$k" 0 '' "$TAMIS" build m.tam $R --emit=$k -o o.$k
  [ -s o.$k ] || { echo "FAIL emit-$k: nothing written"; bad=$((bad + 1)); }
done
expect default-name 0 '' "$TAMIS" build m.tam $R
[ -s libm.so ] && [ -s m.h ] || { echo 'FAIL default-name'; bad=$((bad + 1)); }
expect verbose 0 'cpu ' "$TAMIS" build m.tam $R -v -o v.so
expect progress 0 '^tamis: bnfold' "$TAMIS" build m.tam $R --progress=plain -o v.so
expect unwritable 3 'nodir' "$TAMIS" build m.tam $R -o nodir/x.so

# What PyTorch's batch norm counts is no weight, and no reason to warn.
cat >counted.tam <<'END'
model counted(x: f32[2]) -> y: f32[2] {
  param k: f32[2];
  y = x * k;
  weights "counted.safetensors";
}
END
h='{"k":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}'
{
  # shellcheck disable=SC2059
  printf "\\$(printf %o ${#h})\\0\\0\\0\\0\\0\\0\\0"
  printf '%s' "$h"
  printf '\0\0\200\77\0\0\0\100\0\0\0\0\0\0\0\0'
} >counted.safetensors
expect counter 0 '' "$TAMIS" build counted.tam -o counted.so
"$TAMIS" build counted.tam -o counted.so 2>warned.txt
[ ! -s warned.txt ] || { echo 'FAIL counter'; cat warned.txt; bad=$((bad + 1)); }

expect recipe 0 '' "$TAMIS" build m.tam $R --recipe=half --report=r.json -o half.so
expect report 0 '"pattern": ?"4x1"' cat r.json
for key in model target cpu arena_bytes code_bytes weight_bytes converts \
  convert_bytes layers name op \
  shape weights nonzeros pattern kernel macs nonzero_macs bytes predicted_us dense_us alternatives why; do
  expect "report-$key" 0 "\"$key\":" cat r.json
done
cat >why.tam <<'END'
model why(x: f32[1,64,8,8]) -> y: f32[1,64,8,8] {
  y = x |> conv(64, k=1) as pairs |> relu |> conv(64, k=1) as third;
  y = y |> relu |> conv(64, k=1) as most |> relu |> conv(64, k=1) as all;
}
recipe slim for why {
  prune pairs with pattern=2x1, sparsity=0.75, method=random;
  prune third with sparsity=0.7, method=random;
  prune most with sparsity=0.2, method=random;
}
END
for why in 'bsr +2x1 blocks 25.0 % full: table of blocks' \
  'csr +density 30.0 %: table of single values' \
  'dense +density 80.0 %: dense is faster' 'dense +no zeros: dense'; do
  expect "why-$why" 0 "conv2d_$why" "$TAMIS" show why.tam $R --recipe=slim \
    --code-budget=0 --stats
done
expect deps 0 '' "$TAMIS" build m.tam $R -MD -MF m.d -o libm.so
expect deps-text 0 'm.tam' cat m.d
expect strip 0 '' "$TAMIS" build m.tam $R --strip -o s.so
expect stripped-layers 2 'strip' "$TAMIS" bench --layers s.so
expect external 0 '' "$TAMIS" build m.tam $R --external-weights=w.bin -o e.so
[ -s w.bin ] || { echo 'FAIL external: no weights file'; bad=$((bad + 1)); }

# Same input, same bytes; with and without the round trip; any name.
expect again 0 '' "$TAMIS" build m.tam $R -o again.so
same reproducible libm.so again.so
expect roundtrip 0 '' "$TAMIS" build m.tam $R --roundtrip -o again.so
same roundtrip-bytes libm.so again.so

expect show 0 'kernel=' "$TAMIS" show m.tam $R
expect show-after 0 '^dump after="fuse"' "$TAMIS" show m.tam $R --after=fuse
expect show-before 0 'scale_shift' "$TAMIS" show m.tam $R --before=bnfold
expect show-diff 0 '^-.*scale_shift' "$TAMIS" show m.tam $R --diff=bnfold
expect show-pass 2 "did you mean 'fuse'" "$TAMIS" show m.tam $R --after=fues
expect show-two 2 'expected one of' "$TAMIS" show m.tam $R --after=fuse --stats
expect show-stats 0 'nz MACs' "$TAMIS" show m.tam $R --stats
expect show-json 0 '"nonzero_macs"' "$TAMIS" show m.tam $R --stats --json
expect show-dot 0 '->' "$TAMIS" show m.tam $R --dot
expect show-o 0 '' "$TAMIS" show m.tam $R --after=fuse -o fuse.tam
[ -s fuse.safetensors ] || { echo 'FAIL show-o: no weights'; bad=$((bad + 1)); }
expect resume 0 '' "$TAMIS" build fuse.tam -o again.so
same resume-bytes libm.so again.so
expect show-dot-stats 2 'found --stats' "$TAMIS" show m.tam $R --dot --stats
expect show-o-dot 2 'found --dot' "$TAMIS" show m.tam $R --dot -o x.dot
expect show-json-alone 2 'expected --stats' "$TAMIS" show m.tam $R --json
expect tam-prefix 2 'contradicts --emit=tam' "$TAMIS" build m.tam $R \
  --emit=tam --prefix=a
expect show-before-parse 2 "no pass 'parse'" "$TAMIS" show m.tam $R \
  --before=parse
expect show-behind 2 "behind 'fuse'" "$TAMIS" show fuse.tam --after=canon
expect show-itself 0 '^dump after="fuse"' "$TAMIS" show fuse.tam --after=fuse
expect show-as-read 0 '^dump after="fuse"' "$TAMIS" show fuse.tam \
  --after=parse
expect show-before-itself 2 "behind 'fuse'" "$TAMIS" show fuse.tam \
  --before=fuse
expect show-diff-behind 2 "behind 'fuse'" "$TAMIS" show fuse.tam --diff=fold
sed 's/after="fuse"/after="fuze"/' fuse.tam >fuze.tam
expect dump-pass 1 "no pass has that name, nearest is 'fuse'" "$TAMIS" build \
  fuze.tam
expect dump-no-recipe 2 "no recipe 'half'" "$TAMIS" build fuse.tam --recipe=half

# A dump keeps the options it was made with, and none may contradict it.
# (Only this machine's compiler is sure to be there to link.)
kind=so
[ "$(uname -m)" = x86_64 ] || kind=asm
V3='--target=x86_64-linux-gnu --cpu=x86-64-v3'
# shellcheck disable=SC2086
{
  expect v3 0 '' "$TAMIS" build m.tam $R $V3 -O1 --emit=$kind -o v3.so
  for p in parse fuse layout plan; do
    expect "v3-show-$p" 0 '' "$TAMIS" show m.tam $R $V3 -O1 --after=$p -o v3.tam
    expect "v3-resume-$p" 0 '' "$TAMIS" build v3.tam --emit=$kind \
      -o again.so
    same "v3-bytes-$p" v3.so again.so
  done
}
expect contradiction-cpu 2 'contradicts' "$TAMIS" build v3.tam --cpu=x86-64-v2
expect contradiction-opt 2 'contradicts' "$TAMIS" build v3.tam -O3
expect contradiction-sparsity 2 'contradicts' "$TAMIS" build v3.tam --sparsity=off

expect run-no-input 2 '--in x=FILE' "$TAMIS" run libm.so
expect run-twice 2 "'x' is given twice" "$TAMIS" run libm.so --in x=a.npy \
  --in b.npy
expect built-options 2 '--cpu: error: expected a model' "$TAMIS" bench \
  libm.so --cpu=x86-64 --recipe=half
expect build-built 3 'expected a .tam, found a built object' "$TAMIS" build \
  libm.so
echo 'model k() -> y: f32[1] { y = reshape(relu(1.5) * nan, [1]); }' >k.tam
expect run-nan 0 '\[0\] nan' "$TAMIS" run k.tam
expect run-bad-name 2 "expected NAME=FILE" "$TAMIS" run libm.so --in z=q.npy
expect bench 0 'median' "$TAMIS" bench libm.so --runs=3
expect bench-layers 0 'conv2d' "$TAMIS" bench m.tam $R --runs=3 --layers
expect bench-json 0 '"median_ms"' "$TAMIS" bench libm.so --runs=3 --layers --json
expect bench-runs 2 'whole number' "$TAMIS" bench libm.so --runs=0
expect check 0 'all within tolerance' "$TAMIS" check m.tam $R
expect check-recipe 0 'all within tolerance' "$TAMIS" check m.tam $R --recipe=half
expect check-so 0 'all within tolerance' "$TAMIS" check m.tam $R --so=libm.so
expect check-mismatch 5 'MISMATCH' "$TAMIS" check m.tam --random-weights=2 --so=libm.so
expect check-tolerance 5 'MISMATCH' "$TAMIS" check m.tam $R --rtol=0
expect not-elf 3 'expected a shared object' "$TAMIS" bench /bin/true
expect targets 0 'x86_64-linux-gnu' "$TAMIS" targets

# OpenBLAS is loaded by the first large product.
mkdir broken
echo broken >broken/libopenblas.so.0
square() {   # SIZE COMMAND...
  n=$1
  shift
  echo "model square(x: f32[$n,$n]) -> y { y = matmul(x, x); }" >square.tam
  env LD_LIBRARY_PATH="$out/broken" "$TAMIS" "$@"
}
expect no-blas-build 0 '' square 64 build square.tam -o square.so
expect no-blas-small 0 'all within tolerance' square 8 check square.tam
expect no-blas 3 \
  '^libopenblas.so.0: error: cannot load: .*package libopenblas0$' \
  square 64 check square.tam
finish
