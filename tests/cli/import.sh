#!/bin/sh
# import.sh - files in which parts come again (tests/onnx/make_repeats.py) as
# programs in blocks: the text (tests/onnx/repeats/NAME.tam; UPDATE=1 writes
# it), the same bytes and names of layers when they are compiled.
. "$SRCDIR/tests/cli/lib.sh"
count=30
[ -z "${TAMIS_QUICK:-}" ] || count=10
nets=$(PYTHONDONTWRITEBYTECODE=1 python3 "$SRCDIR/tests/onnx/make_repeats.py" \
  . $count) || exit 1

# compiled KIND: from the file and from the program, the same bytes.
compiled() {
  expect "$net-$1" 0 '' "$TAMIS" build "$net.onnx" --emit="$1" -o a.out
  expect "$net-$1-import" 0 '' "$TAMIS" build "$net.tam" --emit="$1" -o b.out
  same "$net-$1-same" a.out b.out
}

for net in $nets; do
  want=$SRCDIR/tests/onnx/repeats/$net.tam
  expect "$net-import" 0 '' "$TAMIS" import "$net.onnx" -o "$net.tam"
  compiled obj
  case $net in random*) continue ;; esac
  [ -z "${UPDATE:-}" ] || cp "$net.tam" "$want"
  diff -u "$want" "$net.tam" || :
  same "$net-text" "$want" "$net.tam"
  compiled so
  "$TAMIS" show --stats "$net.onnx" >a.txt
  "$TAMIS" show --stats "$net.tam" >b.txt
  same "$net-layers" a.txt b.txt
  # A dump of it is flat.
  expect "$net-dump" 0 '' "$TAMIS" show --after=parse "$net.tam" -o dump.tam
  expect "$net-dump-flat" 1 '' grep -E '^block|repeat' dump.tam
done
expect blocks 0 '^block ' cat random*.tam
finish
