#!/bin/sh
# import.sh - files in which parts come again (tests/onnx/make_repeats.py) as
# programs in blocks: the text (tests/onnx/repeats/NAME.tam; UPDATE=1 writes
# it), the same bytes and names of layers when they are compiled.
. "$SRCDIR/tests/cli/lib.sh"
nets=$(PYTHONDONTWRITEBYTECODE=1 python3 "$SRCDIR/tests/onnx/make_repeats.py" \
  .) || exit 1

for net in $nets; do
  want=$SRCDIR/tests/onnx/repeats/$net.tam
  expect "$net-import" 0 '' "$TAMIS" import "$net.onnx" -o "$net.tam"
  [ -z "${UPDATE:-}" ] || cp "$net.tam" "$want"
  diff -u "$want" "$net.tam" || :
  same "$net-text" "$want" "$net.tam"
  for kind in so obj; do
    expect "$net-$kind" 0 '' "$TAMIS" build "$net.onnx" --emit=$kind -o a.out
    expect "$net-$kind-import" 0 '' "$TAMIS" build "$net.tam" --emit=$kind \
      -o b.out
    same "$net-$kind-same" a.out b.out
  done
  "$TAMIS" show --stats "$net.onnx" >a.txt
  "$TAMIS" show --stats "$net.tam" >b.txt
  same "$net-layers" a.txt b.txt
  # A dump of it is flat.
  expect "$net-dump" 0 '' "$TAMIS" show --after=parse "$net.tam" -o dump.tam
  expect "$net-dump-flat" 1 '' grep -E '^block|repeat' dump.tam
done
finish
