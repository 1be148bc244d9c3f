#!/bin/sh
# versions.sh - build --cpu=A+B: the version that a CPU runs is taken, by
# callers of the header and of the descriptor; what is said of CPUs that do
# not go together.
. "$SRCDIR/tests/cli/lib.sh"
CC=cc
cat >net.tam <<'EON'
func twice(x: f32[1,20]) -> y: f32[1,20] { y = x * 2; }
model net(x: f32[1,16,12,12]) -> y: f32[1,20], n: f32[1,20] {
  state seen: f32[1,20] = 1;
  h = x |> conv(32, k=3, s=2, pad=1) as first |> relu |> conv(48, k=1) as second |> silu;
  y = h |> mean([2,3]) |> linear(20) as head |> softmax(axis=-1);
  n = twice(seen);
  next seen = seen + y;
}
recipe sparse for net { prune first, second, head with sparsity=0.8; }
EON
cat >call.c <<'EOF'
#include "net.h"
#include <stdio.h>
#include <stdlib.h>
int main(void) {
  static float x[16 * 12 * 12], y[20], n[20];
  void *arena = aligned_alloc(NET_ALIGN, NET_ARENA_BYTES + NET_ALIGN);
  void *state = aligned_alloc(NET_ALIGN, NET_STATE_BYTES);
  for (int i = 0; i < 16 * 12 * 12; i++) x[i] = (float)(i % 7) - 3;
  net_reset(state);
  printf("%d", net_step(x, y, n, state, arena));
  printf(" %d", net_step(NULL, y, n, state, arena));
  printf(" %d", net_step(x, y, n, state, arena));
  for (int i = 0; i < 20; i++) printf(" %a %a", y[i], n[i]);
  puts("");
  return 0;
}
EOF
# Weights with one tensor more: {"a.weight": [1,2], "b": [1]}.
h='{"a.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}'
{
  # shellcheck disable=SC2059
  printf "\\$(printf %03o ${#h})\0\0\0\0\0\0\0%s" "$h"
  printf '\0\0\0\0\0\0\0\0\0\0\0\0'
} >more.safetensors
cat >more.tam <<'EOM'
model more(x: f32[1,2]) -> y: f32[1,1] {
  y = x |> linear(1, bias=false) as a;
  weights "more.safetensors";
}
EOM
# Cross built, the object goes no further than the linker.
[ "$(uname -m)" = x86_64 ] || T="--target=x86_64-linux-gnu"
build() {
  # shellcheck disable=SC2086
  "$TAMIS" build net.tam --random-weights=3 --recipe=sparse ${T:-} "$@"
}
v3=x86-64-v3+x86-64-v2

# Names that do not go together; nothing is written.
expect "one name twice" 2 'x86-64 twice' build --cpu=x86-64+x86-64
expect "two names of one level" 2 'znver4 and for znver5 has the same' \
  build --cpu=znver4+znver5
expect "a name that is not known" 4 "x86-64-v9' is not known" \
  build --cpu=x86-64-v3+x86-64-v9
for c in +x86-64 x86-64+ x86-64++x86-64-v3 + \
  x86-64+x86-64+x86-64+x86-64+x86-64+x86-64+x86-64+x86-64+x86-64; do
  expect "names '$c'" 2 'expected 2 to 8 names' build "--cpu=$c"
done
for k in asm llvm tam; do
  expect "--emit=$k" 2 'are several' build --cpu=$v3 --emit=$k
done
for c in run bench check show; do
  expect "$c" 2 'expected one CPU' "$TAMIS" $c net.tam --random-weights=3 \
    --cpu=$v3
done
expect "AArch64" 4 'is the same on all its CPUs' "$TAMIS" build net.tam \
  --random-weights=3 --target=aarch64-linux-gnu --cpu=generic+cortex-a72
absent "no artifact" libnet.so
absent "no header" net.h
if [ "$(uname -m)" != x86_64 ]; then
  finish
  exit
fi

for cpu in x86-64-v2 x86-64-v3; do
  build --cpu=$cpu --emit=lib -o libnet.a || exit 1
  $CC -o one-$cpu call.c -I. libnet.a -lm || exit 1
  qemu-x86_64 -cpu max ./one-$cpu >want-$cpu 2>qemu.txt
done
# To the last bit, each has results of its own.
expect "versions differ" 1 'differ' cmp want-x86-64-v2 want-x86-64-v3
expect "two versions" 0 '' build --cpu=$v3 -o libnet.so --report=r.json
expect "the report" 0 '"cpu": "x86-64-v3.x86-64-v2"' cat r.json
expect "its versions" 0 '^2$' grep -c '^   "cpu": "x86-64-v[23]"' r.json
expect "exported" 0 '^net_model net_reset net_step net_twice $' \
  sh -c "nm -D --defined-only libnet.so | awk '{ print \$3 }' | sort |
    tr '\\n' ' '"
expect "symbols of a version" 0 'net.x86_64_v3.conv2d_[a-z]*.second' \
  nm libnet.so
cp libnet.so first.so
# The bytes tell the file's name.
cp net.tam '<stdin>'
expect "a file of that name" 0 '' "$TAMIS" build '<stdin>' \
  --random-weights=3 --recipe=sparse --cpu=$v3 -o named.so
expect "from standard input" 0 '' sh -c "'$TAMIS' build - --cpu=$v3 \
  --random-weights=3 --recipe=sparse -o read.so <net.tam"
same "the same bytes as of a file" named.so read.so
expect "again, in another order" 0 '' build --cpu=x86-64-v2+x86-64-v3 \
  -o libnet.so
same "the same bytes" first.so libnet.so
expect "by the descriptor" 0 'median' "$TAMIS" bench libnet.so --runs=2
expect "layers" 0 'conv2d.*second' "$TAMIS" bench libnet.so --layers --runs=2
expect "check --so" 0 'all within' "$TAMIS" check net.tam --random-weights=3 \
  --recipe=sparse --cpu=x86-64-v3 --so=libnet.so --steps=2

expect "a warning" 0 '^1$' sh -c "'$TAMIS' build more.tam --cpu=$v3 \
  -o more.so 2>&1 | grep -c 'not used'"
# A sanitizer's memory is more than qemu has room for.
plain() { ! grep -q __asan_init "$TAMIS"; }
# A CPU that lacks some of what its name stands for.
plain && expect "native is one of them" 2 'haswell twice' qemu-x86_64 \
  -cpu Haswell,-bmi2 "$TAMIS" build net.tam --random-weights=3 \
  --cpu=native+haswell

# as NAME PROGRAM CPU WANT: what it prints on a CPU.
as() {
  qemu-x86_64 -cpu "$3" "$2" >got.txt 2>qemu.txt
  same "$1" got.txt "$4"
}
expect "a library" 0 '' build --cpu=$v3 --emit=lib -o libnet.a
expect "dynamic" 0 '' $CC -Wall -Wextra -Werror -o dynamic call.c -I. \
  ./first.so -lm
expect "static" 0 '' $CC -static -o static call.c -I. libnet.a -lm
for p in dynamic static; do
  as "$p, v2" ./$p Nehalem want-x86-64-v2
  as "$p, v3" ./$p Haswell want-x86-64-v3
  # Without SSE4.2 neither runs: -4, or -1 for the NULL.
  qemu-x86_64 -cpu qemu64 ./$p >neither.txt 2>qemu.txt
  expect "$p, neither" 0 '^-4 -[14] -4 ' cat neither.txt
done
plain && expect "neither, by the descriptor" 4 'this CPU lacks a feature' \
  qemu-x86_64 -cpu qemu64 "$TAMIS" bench first.so
# The baseline among four.  OpenBLAS is told what to run: it takes this CPU
# of qemu for one with 3DNow!.
expect "four versions" 0 '' build --cpu=x86-64-v4+$v3+x86-64 -o four.so
plain && expect "the baseline of four" 0 'all within' env \
  OPENBLAS_CORETYPE=Prescott qemu-x86_64 -cpu qemu64 "$TAMIS" check net.tam \
  --random-weights=3 --recipe=sparse --so=four.so --steps=2
# Weights of both in one file, and what they share but once.
bytes() {
  sed -n 's/^ "weight_bytes": \([0-9]*\),/\1/p' "$1"
}
for cpu in x86-64-v2 x86-64-v3; do
  expect "report of $cpu" 0 '' build --cpu=$cpu -o one.so --report=$cpu.json
done
expect "shared weights" 0 '' [ "$(bytes r.json)" -lt \
  $(($(bytes x86-64-v2.json) + $(bytes x86-64-v3.json) * 3 / 4)) ]
# By the descriptor alone: what is there, and the same results.
cat >desc.c <<'EOF'
#include "tamis.h"
#include "net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  static float x[16 * 12 * 12], y[20], n[20], y2[20], n2[20], t[20];
  const tamis_model *m = &net_model;
  void *state = aligned_alloc(m->align, m->state_bytes);
  void *arena = aligned_alloc(m->align, m->arena_bytes);
  void *io[] = { x, y, n, state }, *tio[] = { y, t, state };
  uint64_t most = 0;
  for (int i = 0; i < 16 * 12 * 12; i++) x[i] = (float)(i % 7) - 3;
  printf("abi %u, %s, steps %u, check %d:", m->abi, m->cpu, m->n_steps,
         m->check_cpu());
  for (uint32_t i = 0; i < m->n_versions; i++) {
    const tamis_model *v = m->versions[i];
    if (v->arena_bytes > most) most = v->arena_bytes;
    printf(" %s %d %d", v->cpu, v->check_cpu(), v->n_steps > 0);
    if (v->n_versions || v->size != m->size || v->weights != m->weights ||
        v->state_bytes != m->state_bytes) return 1;
  }
  if (most != m->arena_bytes || most != NET_ARENA_BYTES) return 2;
  m->reset(state);
  int code = m->run(io, arena);
  printf(": %d %d\n", code, m->entries[0].run(tio, arena));
  if (code) return 0;
  net_reset(state);
  if (net_step(x, y2, n2, state, arena)) return 3;
  if (memcmp(y, y2, sizeof y) || memcmp(n, n2, sizeof n)) return 4;
  for (int i = 0; i < 20; i++)
    if (t[i] != 2 * y[i]) return 5;
  return 0;
}
EOF
expect "a caller of the descriptor" 0 '' $CC -Wall -Wextra -Werror \
  -static-pie -o desc desc.c -I. -I"$SRCDIR/runtime" libnet.a -lm
d="abi 4, x86-64-v3.x86-64-v2, steps 0, check"
q="qemu-x86_64 -cpu"
expect "described, v3" 0 "$d 0: x86-64-v3 0 1 x86-64-v2 0 1: 0 0" \
  $q Haswell ./desc
expect "described, v2" 0 "$d 0: x86-64-v3 -4 1 x86-64-v2 0 1: 0 0" \
  $q Nehalem ./desc
expect "described, neither" 0 "$d -4: x86-64-v3 -4 1 x86-64-v2 -4 1: -4 -4" \
  $q qemu64 ./desc

# Here: the most demanding of three.
here=x86-64-v2
grep -qw avx2 /proc/cpuinfo && here=x86-64-v3
grep -qw avx512vl /proc/cpuinfo && here=x86-64-v4
build --cpu=$here --emit=lib -o libnet.a || exit 1
$CC -o one call.c -I. libnet.a -lm || exit 1
./one >want-here
expect "three versions" 0 '' build --cpu=x86-64-v4+$v3 --emit=lib -o libnet.a
expect "static, three" 0 '' $CC -static -o three call.c -I. libnet.a -lm
./three >got.txt
same "three, here" got.txt want-here
as "three, v3" ./three Haswell want-x86-64-v3
as "three, v2" ./three Nehalem want-x86-64-v2

# The plan of the version that runs is what check compares with.
cat >plan.tam <<'EOP'
model plan(x: f32[1,64,56,56]) -> y: f32[1,128,28,28] {
  y = x |> conv(128, k=3, s=2, pad=1) as a |> relu;
}
recipe p for plan { prune a with sparsity=0.4; }
EOP
p="plan.tam --random-weights=1 --recipe=p"
# shellcheck disable=SC2086
{
  expect "a plan" 0 '' "$TAMIS" build $p --cpu=$v3 -o plan.so
  expect "check without CPU" 0 'all within' "$TAMIS" check $p --so=plan.so
  expect "with the same CPUs" 0 'all within' "$TAMIS" check $p --so=plan.so \
    --cpu=$v3
  expect "with others" 2 'expected the CPUs of plan.so' "$TAMIS" check $p \
    --so=plan.so --cpu=x86-64-v4+x86-64
  expect "with one not known" 4 "v9' is not known" "$TAMIS" check $p \
    --so=plan.so --cpu=x86-64-v3+x86-64-v9
}
expect "weights outside" 0 '' build --cpu=$v3 --emit=lib -o libnet.a \
  --external-weights=w.bin
expect "their size" 0 "NET_WEIGHT_BYTES $(wc -c <w.bin)u" cat net.h
sed -e 's/int main.*/&\n  void *w = aligned_alloc(NET_ALIGN, (NET_WEIGHT_BYTES + 63) \/ 64 * 64);\n  FILE *f = fopen("w.bin", "rb");\n  if (!f || fread(w, 1, NET_WEIGHT_BYTES, f) != NET_WEIGHT_BYTES) return 9;/' \
  -e 's/, state, arena/, w&/' call.c >mapped.c
expect "a caller that maps them" 0 '' $CC -static -o mapped mapped.c -I. \
  libnet.a -lm
as "mapped, v2" ./mapped Nehalem want-x86-64-v2
as "mapped, v3" ./mapped Haswell want-x86-64-v3
expect "with threads" 0 '' build --cpu=$v3 --threads -o libnet.so
expect "on two" 0 'median' "$TAMIS" bench libnet.so --threads=2 --runs=2
expect "an object" 0 '' build --cpu=$v3 --emit=obj -o net.o
expect "only what is exported" 0 '^net_model net_reset net_step net_twice $' \
  sh -c "nm -g --defined-only net.o | awk '{ print \$3 }' | sort |
    tr '\\n' ' '"
expect "the header alone" 0 '' build --cpu=$v3 --emit=header -o net.h
finish
