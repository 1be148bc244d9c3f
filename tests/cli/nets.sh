#!/bin/sh
# nets.sh - trained nets of npm's packages (tests/tflite/nets/nets.txt)
# against what TensorFlow Lite's own runtime gave, native and by the
# reference; no zero of a file is lost on its way into the artifact.
. "$SRCDIR/tests/cli/lib.sh"
nets=$SRCDIR/tests/tflite/nets

# outputs ENGINE OUTPUT=SHAPE/STEP...: what it wrote as OUTPUT.npy.
outputs() {
  engine=$1
  shift
  for o; do
    size=${o#*=} o=${o%%=*}
    near "$net-$engine-$o" "$o.npy" "${size%/*}" "$nets/$net.$o.npy" \
      "${size#*/}" 1e-3
    rm -f "$o.npy"
  done
}

# zeros FILE.json: of the weights of a report.
zeros() {
  awk -F '[:,]' '$1 ~ /"weights"/ {n += $2} $1 ~ /"nonzeros"/ {n -= $2}
    END {print n}' "$1"
}

check_net() {
  net=$1 picture=$2 zeros=$3
  shift 3
  outs=
  for o; do outs="$outs --out ${o%%=*}=${o%%=*}.npy"; done
  expect "$net-input" 0 '' "$TAMIS" run "$nets/picture.tam" \
    --model="$picture" --random-weights=1 --out x=x.npy
  expect "$net-build" 0 '' "$TAMIS" build "package/$net.tflite" -o net.so \
    --report=net.json
  expect "$net-zeros" 0 "^$zeros\$" zeros net.json
  # shellcheck disable=SC2086
  expect "$net-native" 0 '' "$TAMIS" run net.so --in x.npy $outs
  outputs native "$@"
  # The evaluator takes long with sanitizers, which other tests run it with.
  [ -z "${ASAN:-}" ] || return 0
  # shellcheck disable=SC2086
  expect "$net-reference" 0 '' "$TAMIS" run "package/$net.tflite" \
    --engine=reference --in x.npy $outs
  outputs reference "$@"
}

fetched=
while read -r package line; do
  case $package in \#*) continue ;; esac
  [ "$package" = "$fetched" ] || npm_package "$package"
  fetched=$package
  # shellcheck disable=SC2086
  check_net $line
done <"$nets/nets.txt"
finish
