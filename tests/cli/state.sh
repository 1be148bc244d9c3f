#!/bin/sh
# state.sh - functions, loops and states: 1,000 steps of a streaming net
# against the evaluator; through the header from C, with resets in between;
# the same for 64-bit Arm under qemu.
. "$SRCDIR/tests/cli/lib.sh"
net=$SRCDIR/tests/state/stream.tam
weights=--random-weights=5

expect "1000 steps" 0 '^ok +y ' \
  "$TAMIS" check $weights "$net" --steps=1000 --rtol=1e-4
expect "1000 steps without optimisation" 0 '^ok +y ' \
  "$TAMIS" check $weights "$net" --steps=1000 --rtol=1e-4 -O0
expect "no steps" 2 'steps' "$TAMIS" check $weights "$net" --steps=0

"$TAMIS" build $weights "$net" -o libstream.so || exit 1
nm -D --defined-only libstream.so | sed 's/.* //' | sort >symbols
printf 'stream_forget\nstream_model\nstream_reset\nstream_step\n' >want
same "symbols" want symbols
cc -std=c11 -Wall -Wextra -Werror -O1 -I. "$SRCDIR/tests/state/stream.c" \
  libstream.so -Wl,-rpath,"$out" -lm -o stream || exit 1
expect "from C" 0 'the same after a reset' ./stream write y.bin
expect "from C again" 0 'the same after a reset' ./stream compare y.bin
"$TAMIS" build $weights "$net" --emit=lib -o libstream.a || exit 1
cc -std=c11 -O1 -I. "$SRCDIR/tests/state/stream.c" libstream.a -lm \
  -o static || exit 1
expect "a static library" 0 'the same after a reset' ./static compare y.bin
"$TAMIS" build $weights "$net" --cpu=x86-64-v2 -o libstream.so 2>/dev/null &&
  expect "vectors of 4" 0 'the same after a reset' ./stream compare y.bin

"$TAMIS" build $weights "$net" -o libstream.so --external-weights=w.bin ||
  exit 1
expect "weights from outside" 0 'const void \*weights, void \*state' \
  cat stream.h

# A dump of every pass goes on to the same artifact.
"$TAMIS" build $weights "$net" -o whole.so || exit 1
for pass in parse canon fuse layout select plan; do
  "$TAMIS" show $weights --after=$pass "$net" -o d.tam || exit 1
  "$TAMIS" build d.tam -o d.so --prefix=stream || exit 1
  same "from the dump after $pass" whole.so d.so
done

# Each of 36 functions calls the next one twice: no pass may walk all paths.
{
  for i in $(seq 0 35); do
    echo "func g$i(x: f32[4]) -> y: f32[4] {" \
      "y = g$((i + 1))(x) + g$((i + 1))(x * 0.5); }"
  done
  echo "func g36(x: f32[4]) -> y: f32[4] { y = relu(x); }"
  echo "model m(x: f32[4]) -> y: f32[4] { y = g0(x); }"
} >deep.tam
expect "functions that nest" 0 '' "$TAMIS" build deep.tam -o deep.so

# What is checked of calls is not looked for in all nodes for each pair.
{
  echo "func f(x: f32[4]) -> y: f32[4] { y = relu(x); }"
  echo "model m(x: f32[4]) -> y: f32[12000] {"
  seq 3000 | sed 's/.*/  a& = f(x * &.0);/'
  echo "  y = concat($(seq -s, 3000 | sed 's/[0-9]*/a&/g'), axis=0);"
  echo "}"
} >calls.tam
expect "3000 calls" 0 '' "$TAMIS" show --after=plan calls.tam

arm=aarch64-linux-gnu
if command -v $arm-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
  "$TAMIS" build $weights "$net" --target=$arm --emit=lib -o libarm.a ||
    exit 1
  $arm-gcc -std=c11 -O1 -static -I. "$SRCDIR/tests/state/stream.c" libarm.a \
    -lm -o arm || exit 1
  expect "64-bit Arm" 0 'the same after a reset' qemu-aarch64 ./arm compare y.bin
fi
finish
