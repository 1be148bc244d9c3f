#!/bin/sh
# cross.sh - artifacts for 64-bit Arm: every --emit linked into a program
# that gives one answer under qemu, symbols, bytes that repeat; and what is
# said where the tools or the machine are missing.
. "$SRCDIR/tests/cli/lib.sh"
. "$SRCDIR/tests/run/aarch64.sh"

cat >small.tam <<'MODEL'
model small(x: f32[1,3,20,20]) -> p: f32[1,5] {
  p = x |> conv(8, k=3, s=2, pad=1) as first |> gelu
    |> conv(8, k=3, groups=8) as depth |> mean([2,3]) |> linear(5) as head
    |> softmax(axis=-1);
}
MODEL
cat >call.c <<'PROGRAM'
#include "small.h"
#include <stdio.h>
#include <stdlib.h>
int main(void) {
  static float x[1200], p[5];
  void *arena = aligned_alloc(SMALL_ALIGN, SMALL_ARENA_BYTES + SMALL_ALIGN);
  for (int i = 0; i < 1200; i++) x[i] = (float)(i % 7) - 3;
  printf("%d %d", small_run(NULL, p, arena), small_run(x, p, arena));
  for (int i = 0; i < 5; i++) printf(" %.4f", p[i]);
  puts("");
  return 0;
}
PROGRAM
T=--target=$arm
build() { "$TAMIS" build small.tam --random-weights=3 $T "$@"; }
cross() { $arm-gcc -std=gnu17 -Wall -Wextra -Werror -I. "$@" -lm; }
names() {
  name=$1 want=$2
  shift 2
  "$@" | awk 'NF == 3 { print $3 }' | sort >got.txt
  for word in $want; do echo "$word"; done | sort >want.txt
  same "$name" got.txt want.txt
}

expect targets 0 "^$arm " "$TAMIS" targets
expect "what links" 0 "linked by: ($arm-gcc|cc)" "$TAMIS" targets
expect "said by -v" 0 "target $arm, cpu generic, 4 lanes, 32" "$TAMIS" build \
  small.tam --random-weights=3 $T --cpu=generic -v -o libsmall.so
expect "vendor" 0 '' "$TAMIS" build small.tam --random-weights=3 \
  --target=aarch64-unknown-linux-gnu --cpu=generic -o vendor.so
same "vendor is no matter" libsmall.so vendor.so
expect "CPU of another target" 4 "'znver5' is not known" "$TAMIS" build \
  small.tam --random-weights=3 $T --cpu=znver5
expect "features of another target" 4 "'avx2' is not known" "$TAMIS" build \
  small.tam --random-weights=3 $T --features=+avx2

# Every kind, twice, and linked.
build --emit=header -o only.h
names "exported symbols" "small_model small_run" \
  $arm-nm -D --defined-only libsmall.so
cross call.c libsmall.so -Wl,-rpath,"$out" -o so
for kind in obj lib asm llvm; do
  build --emit=$kind -o one.$kind
  build --emit=$kind -o two.$kind
  same "the same bytes: $kind" one.$kind two.$kind
done
same "the same header" only.h small.h
names "symbols of an object" "small_model small_run" \
  $arm-nm -g --defined-only one.obj
names "symbols of a library" "small_model small_run" \
  $arm-nm -g --defined-only one.lib
cp one.obj one.o && cp one.lib one.a && cp one.asm one.s
cross call.c one.o -o obj
cross call.c one.a -o lib
cross call.c one.s one.asm.weights.o -o asm
cross -static call.c one.o -o static
# shellcheck disable=SC2086
for program in so obj lib asm static; do
  $emulator ./$program >$program.out
  same "one answer: $program" so.out $program.out
done
for v in 19 20 21 22; do
  command -v llc-$v >/dev/null || continue
  cp one.llvm one.ll
  llc-$v -relocation-model=pic -filetype=obj one.ll -o ll.o
  cross call.c ll.o one.llvm.weights.o -o ll
  # shellcheck disable=SC2086
  $emulator ./ll >ll.out
  same "one answer: LLVM IR by llc-$v" so.out ll.out
  break
done
expect "the answer" 0 '^-1 0 0\.[0-9]' cat so.out
expect "LLVM IR" 0 "^target triple = \"$arm\"" cat one.llvm
# No CPU brings instructions that the baseline lacks.
for cpu in cortex-a53 neoverse-v1 a64fx; do
  build --cpu=$cpu --emit=asm -o cpu.s
  expect "NEON alone: $cpu" 1 '' grep -qE '\bz[0-9]+\.[bhsd]\b|ptrue' cpu.s
done

# Where it cannot be linked: what to install. Text needs no tools.
mkdir none
without() { env -u CC PATH="$out/none" "$TAMIS" build small.tam $T \
  --random-weights=3 "$@"; }
if [ "$(uname -m)" != aarch64 ]; then
  expect "no compiler" 4 "needs $arm-gcc: .*gcc-$arm" without -o no.so
  absent "no compiler" no.so
  expect "no linking" 0 '' without --emit=asm -o no.s
  expect "targets without" 0 "need $arm-gcc" env -u CC PATH="$out/none" \
    "$TAMIS" targets
  expect "baseline by default" 0 'cpu generic' "$TAMIS" build small.tam $T \
    --random-weights=3 -v -o a.so
  expect "CC for the host" 0 "^$arm-gcc -shared" env CC=cc "$TAMIS" build \
    small.tam $T --random-weights=3 -v -o a.so
  for c in run bench check; do
    expect "$c elsewhere" 4 'cannot run code for aarch64' "$TAMIS" $c \
      small.tam --random-weights=3 $T
  done
  for c in run bench "check --expect p=x.npy"; do
    # shellcheck disable=SC2086
    expect "$c of a library" 4 'another kind of machine' "$TAMIS" $c \
      libsmall.so
  done
fi
printf '#!/bin/sh\nexec %s-gcc "$@"\n' $arm >mycc
chmod +x mycc
expect "CC for the target" 0 "^$out/mycc -shared" env CC="$out/mycc" \
  "$TAMIS" build small.tam $T --random-weights=3 --cpu=generic -v -o b.so
same "CC is no matter" libsmall.so b.so
finish
