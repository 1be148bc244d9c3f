#!/bin/sh
# onnx_nets.sh - nets that torch exported (tests/nets/export.py), with drawn
# weights, against what onnxruntime gave, native and by the reference.
# `onnx_nets.sh NET...`: these nets only.
. "$SRCDIR/tests/cli/lib.sh"
: "${TAMIS_QUICK:=}"
nets=$SRCDIR/tests/nets
rtol=1e-4       # of max|r|; 1e-3 is asked for

# outputs ENGINE: those noted in $wanted beside onnxruntime's.
outputs() {
  for o in $wanted; do
    key=${o%%=*} o=${o#*=}
    type=${o%%:*} o=${o#*:}
    near "$net-$case-$1-$key" "$key.npy" "${o%:*}" \
      "$nets/$net.$case.$key.npy" "${o#*:}" $rtol "$type"
    rm -f "$key.npy"
  done
}

# A name of the file as one of the language.
ours() {
  echo "$1" | sed 's/[^A-Za-z0-9_]/_/g; s/^state$/state_/'
}

# Reference evaluation of the large nets takes long.
referenced() {
  [ -z "$TAMIS_QUICK" ] || return 1
  [ "$net" != bert ]
}

run_case() {
  [ -n "$case" ] || return
  # shellcheck disable=SC2086
  {
    expect "$net-$case-build" 0 '' "$TAMIS" build "$net.onnx" -o net.so $sizes
    expect "$net-$case-native" 0 '' "$TAMIS" run net.so $in $outs
    outputs native
    # As a program in blocks: the same bytes.
    expect "$net-$case-import" 0 '' "$TAMIS" import "$net.onnx" -o "$net.tam" \
      $sizes
    expect "$net-$case-build-import" 0 '' "$TAMIS" build "$net.tam" -o again.so
    same "$net-$case-import-same" net.so again.so
    if referenced; then
      expect "$net-$case-reference" 0 '' "$TAMIS" run "$net.onnx" $sizes \
        --engine=reference $in $outs
      outputs reference
    fi
  }
  rm -f net.so again.so
}

run_net() {
  net=$1 case=''
  cp "$nets/$net.onnx" .
  expect "$net-weights" 0 '' "$BUILDDIR/draw" "$nets/$net.txt" .
  while read -r word a b c d; do
    case $word in
    case)
      run_case
      case=$a sizes="$b $c $d" in='' outs='' wanted=''
      ;;
    draw | picture) in="$in --in $(ours "$a")=$case.$a.npy" ;;
    given) in="$in --in $(ours "$a")=$nets/$net.$case.$a.npy" ;;
    output)
      outs="$outs --out $(ours "$a")=$a.npy" wanted="$wanted $a=$b:$c:$d"
      ;;
    esac
  done <"$nets/$net.txt"
  run_case
  case $net in
  minilm | lstm) run_free --dim batch=..3 --dim length=..20 ;;
  esac
  rm -f "$net".* ./*.npy
}

# run_free RANGES: the program of a file whose dimensions stay free.
run_free() {
  expect "$net-free-build" 0 '' "$TAMIS" build "$net.onnx" -o net.so "$@" \
    --sizes=off
  expect "$net-free-import" 0 '' "$TAMIS" import "$net.onnx" -o "$net.tam" "$@"
  expect "$net-free-build-import" 0 '' "$TAMIS" build "$net.tam" -o again.so \
    --sizes=off
  same "$net-free-import-same" net.so again.so
  expect "$net-free-import-fixed" 0 '' "$TAMIS" build "$net.tam" -o again.so \
    --dim batch=2 --dim length=7
  expect "$net-no-such-dimension" 2 "no free dimension 'lenght', nearest is" \
    "$TAMIS" build "$net.onnx" -o again.so "$@" --dim lenght=3
  rm -f net.so again.so
}

quick="mobilenet yolo detr minilm gpt llama lstm gru unet edsr"
all="$quick resnet18 resnet50 efficientnet vit bert unet_bilinear"
[ $# -gt 0 ] || [ -n "$TAMIS_QUICK" ] || set -- $all
[ $# -gt 0 ] || set -- $quick
for n; do run_net "$n"; done
finish
