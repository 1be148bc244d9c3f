#!/bin/sh
# artifact.sh - what an artifact shows and needs: symbols, sections, bytes
# that repeat, every --emit, weights outside, and a CPU that lacks a feature.
. "$SRCDIR/tests/cli/lib.sh"
CC=cc

cat >small.tam <<'EOF'
model small(x: f32[1,3,20,20], other: f32[1,8,9,9])
    -> p: f32[1,5], q: f32[1,8,9,9] {
  h = x |> conv(8, k=3, s=2, pad=0) as first |> relu6;
  q = maximum(h, other);
  p = q |> mean([2,3]) |> linear(5) as head |> softmax(axis=-1);
}
EOF
cat >call.c <<'EOF'
#include "small.h"
#include <stdio.h>
#include <stdlib.h>
int main(void) {
  static float x[1200], other[648], p[5], q[648];
  void *arena = aligned_alloc(SMALL_ALIGN, SMALL_ARENA_BYTES + SMALL_ALIGN);
  for (int i = 0; i < 1200; i++) x[i] = (float)(i % 7) - 3;
#ifdef SMALL_WEIGHT_BYTES
  void *w = aligned_alloc(64, (SMALL_WEIGHT_BYTES + 63) / 64 * 64);
  FILE *f = fopen("w.bin", "rb");
  if (!w || !f || fread(w, 1, SMALL_WEIGHT_BYTES, f) != SMALL_WEIGHT_BYTES ||
      getc(f) != EOF)
    return 1;
  printf("%d", small_run(x, other, p, q, w, arena));
#else
  printf("%d", small_run(x, other, p, q, arena));
#endif
  for (int i = 0; i < 5; i++) printf(" %.5f", p[i]);
  puts("");
  return 0;
}
EOF
build() { "$TAMIS" build small.tam --random-weights=3 "$@"; }

# names NAME WANTED COMMAND...: the command prints exactly these lines.
names() {
  name=$1 want=$2
  shift 2
  "$@" | sort >got.txt
  for word in $want; do echo "$word"; done | sort >want.txt
  same "$name" got.txt want.txt
}
exported() { nm -D --defined-only "$1" | awk '{ print $3 }'; }
global() { nm -g --defined-only "$1" | awk 'NF == 3 { print $3 }'; }
needed() {
  nm -u "$1" | awk '{ print $2 }' | sed 's/@.*//' |
    grep -Evx 'memcpy|memset|memmove' || true
}
writable() {   # sections that a program may write while it runs
  readelf -SW "$1" | sed 's/^ *\[ *[0-9]*\] *//' |
    awk '$7 ~ /W/ { print $1 }' | grep -Ev '^\.(data\.rel\.ro|dynamic|got)$' ||
    true
}

build -o libsmall.so || exit 1
names "exported symbols" "small_model small_run" exported libsmall.so
names "nothing needed" "" needed libsmall.so
names "nothing that changes" "" writable libsmall.so
names "no text relocations" "" sh -c 'readelf -d libsmall.so | grep TEXTREL'
expect "readable kernels" 0 'small\.conv2d_[a-z]*\.first' nm libsmall.so

build --emit=obj -o small.o
names "symbols of an object" "small_model small_run" global small.o
names "nothing needed by an object" "" needed small.o
cat >waves.tam <<'EOF'
model waves(x: f32[40], z: f32[40]) -> y: f32[40] {
  y = sin(x) + floor_mod(cos(x), z);
}
EOF
for kind in so obj; do
  "$TAMIS" build waves.tam --emit=$kind -o waves.$kind
  names "libm needed: $kind" "sinf cosf fmodf" needed waves.$kind
done
build --emit=lib -o libsmall.a
names "symbols of a library" "small_model small_run" global libsmall.a

# The same bytes again, under another name and from another place.
mkdir there
for kind in so obj lib asm; do
  build --emit=$kind -o one.$kind
  (cd there && cp ../small.tam . &&
    "$TAMIS" build "$out/there/small.tam" --random-weights=3 --emit=$kind \
      -o another.$kind)
  same "the same bytes: $kind" one.$kind there/another.$kind
done
same "the same header" small.h there/small.h

# Every way to link gives one answer.
$CC call.c libsmall.so -Wl,-rpath,"$out" -o so && ./so >want
expect "result" 0 '^0 0\.[0-9]+ ' cat want
$CC call.c small.o -lm -o obj && ./obj >got && same "object" got want
$CC call.c -L. -l:libsmall.a -lm -o lib && ./lib >got
same "library" got want
$CC -static call.c small.o -lm -o fixed 2>/dev/null &&
  { ./fixed >got; same "static program" got want; }
build --emit=asm -o small.s
$CC call.c small.s small.s.weights.o -lm -o asm && ./asm >got
same "assembly" got want
build --emit=llvm -o small.ll
expect "LLVM IR" 0 '^target triple = ' cat small.ll
if command -v llc-19 >/dev/null; then
  names "LLVM IR without warnings" "" sh -c "llc-19 -relocation-model=pic \
    -filetype=obj small.ll -o small_ll.o 2>&1"
  $CC call.c small_ll.o small.ll.weights.o -lm -o ll && ./ll >got
  same "LLVM IR linked" got want
fi
build --emit=header -o only.h
same "header alone" only.h small.h
build --external-weights=w.bin -o libsmall.so
$CC call.c libsmall.so -Wl,-rpath,"$out" -o external && ./external >got
same "external weights" got want
build --emit=asm --external-weights=w.bin -o apart.s
$CC call.c apart.s apart.s.weights.o -lm -o apart && ./apart >got
same "assembly, external weights" got want
rm w.bin
build --emit=header --external-weights=w.bin -o only.h
same "header of external weights" only.h small.h
expect "a header writes no weights" 0 '' test ! -e w.bin

# Two models in one program, by prefix.
build --emit=obj -o a.o --prefix=a
build --emit=obj -o b.o --prefix=b
echo 'extern int a_run(), b_run(); int main(void) {
  return !(a_run(0, 0, 0, 0, 0) == -1 && b_run(0, 0, 0, 0, 0) == -1); }' >ab.c
$CC -w ab.c a.o b.o -lm -o ab
expect "two models in one program" 0 "" ./ab

# A descriptor without steps.
build --strip -o stripped.so
expect "stripped" 0 "" "$TAMIS" bench stripped.so

# Names that C, C++ or a macro has taken.
cat >int.tam <<'EOF'
model int(float: f32[4], arena: f32[4], INT_ALIGN: f32[4], uint8_t: f32[4],
    errno: f32[4], I: f32[4], _Bool: f32[4], co_await: f32[4], int_run: f32[4])
    -> class: f32[4], NULL: f32[4], io: f32[4], static: f32[4] {
  class = float + arena;
  NULL = INT_ALIGN + uint8_t;
  io = errno + I;
  static = _Bool + co_await;
}
EOF
"$TAMIS" build int.tam -o libint.so
for h in errno.h complex.h stdio.h; do echo "#include <$h>"; done >int.c
echo '#include "int.h"' >>int.c
expect "taken names in C" 0 '' $CC -std=gnu17 -Wall -Wextra -Werror -c int.c
expect "taken names in C++" 0 '' $CC -x c++ -std=c++20 -Wall -Wextra \
  -Werror -c int.c

cat >words.tam <<'EOF'
model words(static_assert: f32[4], thread_local: f32[4], const_cast: f32[4],
    and_eq: f32[4], consteval: f32[4]) -> typeof_unqual: f32[4] {
  typeof_unqual = static_assert + thread_local + const_cast + and_eq + consteval;
}
EOF
"$TAMIS" build words.tam -o libwords.so
echo '#include <assert.h>' >words.c
echo '#include "words.h"' >>words.c
expect "more taken names in C" 0 '' $CC -std=gnu2x -Wall -Wextra -Werror \
  -c words.c
expect "more taken names in C++" 0 '' $CC -x c++ -std=c++20 -Wall -Wextra \
  -Werror -c words.c

# A func may have a name in _model, but none of a macro.
cat >NET.tam <<'EOF'
func a_model(x: f32[4]) -> y: f32[4] { y = exp(x); }
func ALIGN(x: f32[4]) -> y: f32[4] { y = exp(x); }
model NET(x: f32[4]) -> y: f32[4] { y = relu(x); }
EOF
expect "name of a macro" 2 "NET_ALIGN is a macro of the header" \
  "$TAMIS" build NET.tam -o NET.so
expect "a func in _model" 0 'all within' "$TAMIS" check NET.tam
"$TAMIS" build NET.tam --prefix=a -o a.so
expect "a func in _model, built" 0 'median' "$TAMIS" bench a.so

# A state without values is one all the same.
cat >none.tam <<'EOF'
model none(x: f32[4]) -> y: f32[4] {
  state s: f32[0] = 1.0;
  next s = s;
  y = exp(x);
}
EOF
"$TAMIS" build none.tam -o none.so
expect "header of an empty state" 0 'void none_reset' cat none.h
expect "size of an empty state" 0 'NONE_STATE_BYTES 0u' cat none.h

# All files of a build get their names, or none; a folder is no option.
echo old >all.h
expect "a link that fails" 3 'failed' env CC=false "$TAMIS" build small.tam \
  --random-weights=3 --prefix=all --external-weights=all.bin -o all.so
expect "the header as it was" 0 '^old$' cat all.h
expect "nothing left" 0 '^all.h$' ls -d all.*
mkdir ./-folder
expect "a folder like an option" 0 '' "$TAMIS" build small.tam \
  --random-weights=3 -o -folder/net.so
expect "not empty" 0 '' "$TAMIS" bench ./-folder/net.so

# A signal leaves no temporary file.
mkdir killed
mkfifo pipe started
printf '#!/bin/sh\necho >started\ncat pipe\n' >linker
chmod +x linker
CC=./linker "$TAMIS" build small.tam --random-weights=3 -o killed/net.so &
pid=$!
cat started >got.txt
names "while it links" "net.so-is-not-there" sh -c \
  'ls killed/.tamis-*/code.o >/dev/null && echo net.so-is-not-there'
kill -TERM $pid
wait $pid
expect "killed" 0 '^0$' sh -c 'ls -A killed | wc -l'
: >pipe

# What cannot be done, and leaves nothing behind.
expect "no such folder" 3 'none' "$TAMIS" build small.tam \
  --random-weights=1 -o none/x.so
expect "unknown CPU" 4 'znver4' "$TAMIS" build small.tam --random-weights=1 \
  --cpu=znver44 -o bad.so
absent "unknown CPU" bad.so
expect "linker fails" 3 'false' env CC=false "$TAMIS" build small.tam \
  --random-weights=1 -o bad.so
absent "linker fails" bad.so
mkdir empty
expect "no linker" 4 'needs cc: install .* gcc and binutils' \
  env -u CC PATH="$out/empty" "$TAMIS" build small.tam --random-weights=1 \
  -o bad.so
absent "no linker" bad.so
names "no temporary files" "" sh -c 'ls -d .tamis* 2>/dev/null'

# An object for AVX-512 where there is none says so.
if [ "$(uname -m)" = x86_64 ] && command -v qemu-x86_64 >/dev/null; then
  build --cpu=x86-64-v4 --emit=obj -o v4.o
  $CC call.c v4.o -lm -o v4
  expect "AVX-512 under qemu" 0 '^-4 ' qemu-x86_64 ./v4
  build --cpu=x86-64-v3 --emit=obj -o v3.o
  $CC call.c v3.o -lm -o v3
  expect "AVX2 on an old CPU" 0 '^-4 ' qemu-x86_64 -cpu Nehalem ./v3
  build --cpu=x86-64 --emit=obj -o v1.o
  $CC call.c v1.o -lm -o v1
  expect "baseline under qemu" 0 '^0 ' qemu-x86_64 ./v1
else
  echo "skip: no qemu-x86_64"
fi
finish
