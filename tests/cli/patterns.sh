#!/bin/sh
# patterns.sh - weights that a recipe prunes in high blocks and in n:m, on
# maps, tokens and single rows: which kernel takes them, and that each target
# gives what the reference gives.
. "$SRCDIR/tests/cli/lib.sh"

net() {   # NAME SIGNATURE STATEMENTS
  {
    echo "model $1($2 {"
    echo "  $3"
    echo "}"
    for p in 8x1 16x1; do
      echo "recipe b$p for $1 { prune ** with pattern=$p, sparsity=0.8; }"
    done
    for p in 1:4 2:4; do
      echo "recipe n$(echo $p | tr : _) for $1 { prune ** with pattern=$p; }"
    done
  } >"$1.tam"
}
net map 'x: f32[1,32,11,11]) -> y: f32[1,16,6,6]' \
  'y = x |> conv(64, bias=true) as a |> relu |> conv(48, k=3, pad=1) as b
       |> relu6 |> conv(16, k=3, s=2, pad=1) as c;'
net tok 'x: f32[1,37,64]) -> y: f32[1,37,48]' \
  'y = x |> linear(96) as a |> relu |> linear(48) as b |> tanh;'
net row 'x: f32[1,260]) -> y: f32[1,48]' \
  'y = x |> linear(144) as a |> relu |> linear(48) as b;'
net few 'x: f32[5,100]) -> y: f32[5,32]' \
  'y = x |> linear(80) as a |> gelu |> linear(32) as b;'

show() {   # NET RECIPE OPTIONS...
  f=$1 r=$2
  shift 2
  "$TAMIS" show "$f.tam" --random-weights=1 --recipe="$r" --after=select \
    --target=x86_64-linux-gnu "$@"
}
for f in map tok row few; do
  for r in b8x1 b16x1; do
    for cpu in x86-64-v4 x86-64-v3; do
      # For five rows 16x1 with zeros is as fast as 8x1.
      want="<bsr ${r#b},"
      [ $f != few ] || want="<bsr (8|16)x1,"
      expect "$f $r, $cpu: blocks" 0 "$want" show $f $r --cpu=$cpu
      expect "$f $r, $cpu: a table of blocks" 0 '_bsr"' \
        show $f $r --cpu=$cpu
    done
  done
done

# N of each 4: on rows; on planes as single values of rows in pairs.
net big 'x: f32[1,256,11,11]) -> y: f32[1,16,11,11]' \
  'y = x |> conv(256) as a |> relu |> conv(16, k=3, pad=1) as b;'
net toks 'x: f32[1,128,256]) -> y: f32[1,128,48]' \
  'y = x |> linear(256) as a |> relu |> linear(48) as b;'
net pool 'x: f32[1,64,9,9]) -> y: f32[1,50]' \
  'y = x |> mean([2,3]) |> linear(50) as a;'
for p in 1:4 2:4; do
  r=n$(echo $p | tr : _)
  for cpu in x86-64-v4 x86-64-v3; do
    for f in row few pool; do
      expect "$f $p, $cpu" 0 "<nm $p," show $f "$r" --cpu=$cpu
      expect "$f $p, $cpu: its kernel" 0 'linear_nm"' show $f "$r" --cpu=$cpu
    done
  done
  expect "big $p" 0 'conv2d_pair"' show big "$r" --cpu=x86-64-v3
  expect "toks $p" 0 'layout.*linear_pair"' show toks "$r" --cpu=x86-64-v3
  expect "big $p as code" 0 'conv2d_code"' show big "$r" --cpu=x86-64-v4
  expect "big $p without AVX" 1 '' \
    sh -c '"$@" | grep "<nm"' sh "$TAMIS" show big.tam --random-weights=1 \
    --recipe="$r" --target=x86_64-linux-gnu --cpu=x86-64-v2
done
why() {   # NET
  "$TAMIS" show "$1.tam" --stats --random-weights=1 --recipe=n2_4 \
    --target=x86_64-linux-gnu --cpu=x86-64-v3
}
expect "why" 0 '2:4: a few of each run' why row
expect "why pairs" 0 'rows in pairs' why big
# Matrices [K,M] by which something is multiplied, as exporters write layers:
# their blocks are columns, and end up as those of a linear layer.
net mul 'x: f32[1,37,64]) -> y: f32[1,37,48]' \
  'param v: f32[64,96]; param w: f32[96,48];
   y = matmul(relu(matmul(x, v)), w);'
expect "mul 8x1: blocks" 0 '<bsr 8x1,' show mul b8x1 --cpu=x86-64-v3
expect "mul 8x1: a table of blocks" 0 'linear_bsr"' show mul b8x1 \
  --cpu=x86-64-v3
expect "mul 8x1: checked" 0 '' "$TAMIS" check mul.tam --random-weights=1 \
  --recipe=b8x1
# 3 of 4 gain nothing.
echo 'recipe n3_4 for row { prune ** with pattern=3:4; }' >>row.tam
expect "3:4" 0 'dense is faster' "$TAMIS" show row.tam --stats \
  --random-weights=1 --recipe=n3_4 --target=x86_64-linux-gnu --cpu=x86-64-v3

# A dump holds it; what is wrong there is said.
"$TAMIS" show row.tam --random-weights=1 --recipe=n2_4 -o row-dump.tam \
  --target=x86_64-linux-gnu --cpu=x86-64-v3 --after=layout
expect "a dump" 0 'linear_nm"' "$TAMIS" show row-dump.tam --after=select
wrong() {   # NAME PATTERN SED
  sed "$3" row-dump.tam >wrong.tam
  ln -sf row-dump.safetensors wrong.safetensors
  expect "$1" 1 "$2" "$TAMIS" show wrong.tam --after=select
}
wrong "nm 4:4" "wrong.tam:[0-9]+:[0-9]+: error: expected 'csr', 'bsr RxC' or" \
  's/nm 2:4/nm 4:4/'
wrong "nm 2:8" "or 'nm N:4', N from 1 to 3" 's/nm 2:4/nm 2:8/'
wrong "nm 2x4" "or 'nm N:4', N from 1 to 3" 's/nm 2:4/nm 2x4/'
wrong "nm 1:4" 'nm 1:4 with nnz=18720 does not fit a matrix of 144 x 260' \
  's/nm 2:4/nm 1:4/'
# Kernels take what they are made for.
for f in big toks row; do
  "$TAMIS" show $f.tam --random-weights=1 --recipe=n2_4 -o $f-dump.tam \
    --target=x86_64-linux-gnu --cpu=x86-64-v3 --after=select
done
swap() {   # NAME PATTERN NET SED
  sed "$4" "$3-dump.tam" >wrong.tam
  ln -sf "$3-dump.safetensors" wrong.safetensors
  expect "$1" 1 "$2" "$TAMIS" build wrong.tam -o wrong.so
}
swap "single values as blocks" 'expected a weight in blocks of 2 to 16 rows' \
  big 's/kernel="conv2d_pair"/kernel="conv2d_bsr"/'
swap "single values as runs" 'a weight of N values in each 4 columns' \
  toks 's/kernel="linear_pair"/kernel="linear_nm"/'
swap "pairs for rows of x" 'expected planes of tokens' \
  row 's/kernel="linear_nm"/kernel="linear_pair"/'
swap "a tile too large" 'tile=.2,vectors. of up to 8 vectors, found .2,9.' \
  big 's/\(conv2d_pair", tile=.2,\)[0-9]*/\19/'
swap "a kernel that is gone" 'no kernel is called' \
  big 's/conv2d_pair/conv2d_nm/'

cpus="native"
grep -q avx2 /proc/cpuinfo 2>/dev/null && cpus="native x86-64-v3 x86-64-v2"
for f in map tok row few big toks pool; do
  for r in b8x1 b16x1 n1_4 n2_4; do
    case "$f $r" in "pool b"*) continue ;; esac
    net="$f.tam --random-weights=1 --recipe=$r"
    # shellcheck disable=SC2086
    for cpu in $cpus; do
      expect "$f $r, $cpu" 0 'all within tolerance' "$TAMIS" check $net \
        --cpu=$cpu --rtol=1e-5
      expect "$f $r, $cpu, no code" 0 'all within tolerance' "$TAMIS" check \
        $net --cpu=$cpu --rtol=1e-5 --code-budget=0
    done
  done
done

if ! command -v aarch64-linux-gnu-gcc >/dev/null; then
  finish
  exit
fi
. "$SRCDIR/tests/run/aarch64.sh"
cross() {   # NET SHAPE RECIPE
  cat >x.tam <<EON
model x() -> x: f32[$2] {
  x = reshape(sin(cast(iota($(($(echo "$2" | tr , '*')))), to=f32) * 0.7),
              [$2]);
}
EON
  "$TAMIS" run x.tam --random-weights=1 --out x=x.npy >got.txt 2>&1 || cat got.txt
  "$TAMIS" run "$1.tam" --random-weights=1 --recipe="$3" --engine=reference \
    --in x=x.npy --out y=y.npy >got.txt 2>&1 || cat got.txt
  expect "$1 $3 for $arm" 0 '' "$TAMIS" build "$1.tam" --random-weights=1 \
    --recipe="$3" --target=$arm --cpu=generic -o cross.so
  # shellcheck disable=SC2086
  expect "$1 $3 on $arm" 0 '' $runner ./cross.so "$1_model" x.npy y.npy 1
}
for r in b8x1 b16x1 n1_4 n2_4; do
  cross map 1,32,11,11 $r
  cross tok 1,37,64 $r
  cross row 1,260 $r
  cross few 5,100 $r
done
finish
