#!/bin/sh
# same_bytes.sh TAMIS OTHER - two builds of the compiler, by different C
# compilers, build the same objects, byte for byte, and say the same of what
# they refuse: nothing generated depends on what C leaves open, such as the
# order in which arguments are evaluated.
set -u
cd "$(dirname "$0")/.." || exit 1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir "$out/a" "$out/b"
same=0 refused=0 failed=0

build() {  # TAMIS MODEL TARGET DIR
  case $2 in *.tam) weights=--random-weights=1 ;; *) weights= ;; esac
  rm -f "$out/$4/m.o"
  "$1" build "$2" $weights --target="$3" --emit=obj -o "$out/$4/m.o" \
    >"$out/$4/log" 2>&1
}

compare() {  # TAMIS OTHER MODEL TARGET
  build "$1" "$3" "$4" a &
  first=$!
  build "$2" "$3" "$4" b
  other=$?
  wait $first
  status=$?
  if [ $other != $status ]; then
    return 1
  elif [ $status = 0 ]; then
    cmp "$out/a/m.o" "$out/b/m.o" && same=$((same + 1))
  else
    cmp "$out/a/log" "$out/b/log" && refused=$((refused + 1))
  fi
}

for model in tests/tflite/*.tflite tests/golden/pass/*.tam; do
  case $model in
    *.tam) targets='aarch64-linux-gnu x86_64-linux-gnu' ;;
    *) targets=aarch64-linux-gnu ;;
  esac
  for target in $targets; do
    compare "$1" "$2" "$model" $target && continue
    echo "$model, $target:"
    cat "$out/a/log" "$out/b/log"
    failed=$((failed + 1))
  done
done
echo "$same objects are the same, $failed are not, $refused are refused"
[ $failed = 0 ] && [ $same -gt 200 ]
