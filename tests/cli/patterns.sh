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

cpus="native"
grep -q avx2 /proc/cpuinfo 2>/dev/null && cpus="native x86-64-v3 x86-64-v2"
for f in map tok row few; do
  for r in b8x1 b16x1 n1_4 n2_4; do
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
