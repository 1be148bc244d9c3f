#!/bin/sh
# Graphs in which tests/fuzz/onnx_diff.py found mistakes (tests/onnx/diff):
# native code and evaluator give what ONNX Runtime gave.
. "$SRCDIR/tests/cli/lib.sh"
dir=$SRCDIR/tests/onnx/diff

# pairs NET KIND OPTION: for each file NET.KIND.NAME.npy OPTION NAME=FILE.
pairs() {
  for f in "$dir/$1.$2."*.npy; do
    [ -e "$f" ] || continue
    v=${f##*/"$1.$2."}
    echo "--$3" "${v%.npy}=$f"
  done
}

# head_of FILE.npy: element type and shape.
head_of() {
  head -n 1 "$1" | grep -ao "'descr': '[^']*'\|'shape': ([^)]*)"
}

# types NET: results are of the types and shapes that they should be.
types() {
  for f in "$dir/$1.out."*.npy; do
    v=${f##*/"$1.out."}
    # shellcheck disable=SC2046
    "$TAMIS" run "$file" $(pairs "$1" in in) --out "${v%.npy}=got.npy" \
      >run.txt 2>&1 || { cat run.txt; return 1; }
    head_of "$f" >want.head
    head_of got.npy | diff want.head - || return 1
  done
}

for file in "$dir"/*.onnx; do
  net=${file##*/}
  net=${net%.onnx}
  # shellcheck disable=SC2046
  expect "$net" 0 'all within tolerance' "$TAMIS" check "$file" --rtol=1e-4 \
    $(pairs "$net" in in) $(pairs "$net" out expect)
  # shellcheck disable=SC2046
  expect "$net-reference" 0 'all within tolerance' "$TAMIS" check "$file" \
    $(pairs "$net" in in)
  expect "$net-types" 0 '' types "$net"
  expect "$net-listed" 0 '' grep -q "^$net  *[0-9]" "$dir/bugs.txt"
done
finish
