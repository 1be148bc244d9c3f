#!/bin/sh
# threads.sh - steps in parts: the same bits without a pool and with any number
# of threads, with states, functions, weights outside; the header; errors.
. "$SRCDIR/tests/cli/lib.sh"
CC=cc
cat >net.tam <<'EON'
func half(x: f32[1,64,28,28]) -> y: f32[1,64,28,28] {
  y = (x |> conv(64, k=3, pad=1) as inner |> relu) * 0.5;
}
# Planes of whole vectors that end with the pad of their last row.
block edge(x: f32[N,64,H,W]) -> y {
  y = x |> conv(64, k=1) as inner |> conv(4, k=[1,4], pad=[0,0,0,3]) as outer;
}
model net(x: f32[1,16,56,56], t: f32[1,129,256], v: f32[1,1000],
          a: f32[1,64,3,13], b: f32[1,64,1,5])
    -> y: f32[1,96,28,28], z: f32[1,10], u: f32[1,129,256], w: f32[1,1000],
       c: f32[1,4,3,13], d: f32[1,4,1,5] {
  state last: f32[1,64,28,28] = 0;
  e = x |> conv(64, k=3, s=2, pad=1) as first |> relu6;
  f = half(e) + last;
  next last = f * 0.25;
  g = f |> conv(96, k=1) as pointwise |> relu;
  h = g |> conv(96, k=3, pad=1, groups=96) as depthwise;
  y = (h + g) |> silu;
  c = edge(a) as edge3;
  d = edge(b) as edge1;
  z = y |> max_pool(k=[2,2]) |> mean([2,3]) |> linear(10) as head |> softmax(axis=-1);
  q = t |> linear(512) as up |> gelu |> linear(256) as down;
  s = matmul(q, t, transpose_b=true) |> softmax(axis=-1);
  u = matmul(s, q);
  w = v |> linear(1000) as one |> tanh;
}
recipe sparse for net { prune ** with sparsity=0.8; }
recipe blocks for net { prune **.inner, pointwise, up, down, one with sparsity=0.8, pattern=4x1; }
EON
cat >call.c <<'EOF'
#include "net.h"

#include "tamis_pthreadpool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WEIGHTS
#define OUTSIDE weights,
#else
#define OUTSIDE
#endif
#ifdef PLAIN
#define POOL
#else
#define POOL pool,
#endif

static float x[16 * 56 * 56], t[129 * 256], v[1000], y[96 * 28 * 28], z[10],
    u[129 * 256], w[1000], a[64 * 3 * 13], b[64 * 5], c[4 * 3 * 13], d[4 * 5];

/* Everything in one thread, the last part first. */
static void backwards(void *ctx, void (*task)(void *arg, size_t i), void *arg,
                      size_t n) {
  *(size_t *)ctx += n;
  while (n > 0) task(arg, --n);
}

static int calls(const tamis_pool *pool, const void *weights, const char *to) {
  FILE *f = fopen(to, "wb");
  void *arena = aligned_alloc(NET_ALIGN, NET_ARENA_BYTES);
  void *state = aligned_alloc(NET_ALIGN, NET_STATE_BYTES);
  if (!f || !arena || !state) return 1;
  (void)weights, (void)pool;
  net_reset(state);
  for (int i = 0; i < 3; i++) {
    memset(arena, 0xff, NET_ARENA_BYTES);
    if (net_step(x, t, v, a, b, y, z, u, w, c, d, OUTSIDE state, POOL arena))
      return 1;
    fwrite(y, 1, sizeof y, f), fwrite(z, 1, sizeof z, f);
    fwrite(u, 1, sizeof u, f), fwrite(w, 1, sizeof w, f);
    fwrite(c, 1, sizeof c, f), fwrite(d, 1, sizeof d, f);
  }
  free(arena), free(state);
  return fclose(f);
}

int main(void) {
  size_t parts = 0;
  tamis_pool back = { backwards, &parts };
  void *weights = NULL;
  char name[] = "threads-N";
  for (size_t i = 0; i < sizeof x / 4; i++) x[i] = (float)(i % 17) / 8 - 1;
  for (size_t i = 0; i < sizeof t / 4; i++) t[i] = (float)(i % 13) / 8 - 1;
  for (size_t i = 0; i < sizeof v / 4; i++) v[i] = (float)(i % 11) / 8 - 1;
  for (size_t i = 0; i < sizeof a / 4; i++) a[i] = (float)(i % 7) / 8 - 1;
  for (size_t i = 0; i < sizeof b / 4; i++) b[i] = (float)(i % 5) / 8 - 1;
#ifdef WEIGHTS
  FILE *f = fopen("w.bin", "rb");
  weights = aligned_alloc(64, (NET_WEIGHT_BYTES + 63) / 64 * 64);
  if (!f || fread(weights, 1, NET_WEIGHT_BYTES, f) != NET_WEIGHT_BYTES)
    return 1;
#endif
#ifdef PLAIN
  return calls(&back, weights, "plain");
#endif
  if (calls(NULL, weights, "none") || calls(&back, weights, "back")) return 1;
  for (int n = 1; n <= 5; n++) {
    pthreadpool_t threads = pthreadpool_create((size_t)n);
    tamis_pool pool = tamis_pthreadpool(threads);
    name[8] = (char)('0' + n);
    if (calls(&pool, weights, name)) return 1;
    pthreadpool_destroy(threads);
  }
  printf("%zu parts\n", parts);
  return parts < 100;
}
EOF
compile() {   # OUT FLAG...: the caller
  to=$1
  shift
  expect compile 0 '' $CC -O1 -Wall -Wextra -Werror "$@" -I. \
    -I"$SRCDIR/runtime" -o "$to" call.c ./libnet.so -lpthreadpool
}
bits() {   # NAME: all ways to call give what `plain` has
  for f in none back threads-1 threads-2 threads-3 threads-4 threads-5; do
    same "$1, $f" $f plain
  done
}
cpus=generic
[ "$(uname -m)" = x86_64 ] && cpus="native x86-64-v3 x86-64"
[ -z "${TAMIS_QUICK:-}" ] || cpus=native
for recipe in none sparse blocks; do
  for cpu in $cpus; do
    set -- build net.tam --random-weights=3 "--cpu=$cpu" -o libnet.so
    [ $recipe = none ] || set -- "$@" --recipe=$recipe
    expect "plain, $recipe, $cpu" 0 '' "$TAMIS" "$@"
    compile call.x -DPLAIN
    expect run 0 '' ./call.x
    expect "threads, $recipe, $cpu" 0 '' "$TAMIS" "$@" --threads
    compile call.x
    expect run 0 'parts' ./call.x
    bits "$recipe, $cpu"
  done
done
# The last one again.
expect "weights outside" 0 '' "$TAMIS" "$@" --threads --external-weights=w.bin
compile call.x -DWEIGHTS
expect run 0 'parts' ./call.x
bits outside

# The header: alone, and after tamis.h.
cat >first.c <<'EOF'
#include "net.h"
int (*f)(const float *, const float *, const float *, const float *,
         const float *, float *, float *, float *, float *, float *, float *,
         void *, const tamis_pool *, void *) = net_step;
EOF
cat >second.c <<'EOF'
#include <tamis_pthreadpool.h>
#include "net.h"
tamis_pool *p;
EOF
expect header 0 '' "$TAMIS" build net.tam --random-weights=3 --threads \
  --emit=header -o net.h
expect header-c 0 '' $CC -std=c99 -pedantic -Wall -Wextra -Werror -c first.c
expect header-cxx 0 '' c++ -x c++ -Wall -Wextra -Werror -c first.c
for c in "$CC -std=c99" 'c++ -x c++'; do
  # shellcheck disable=SC2086
  expect "both headers" 0 '' $c -Wall -Wextra -Werror -I"$SRCDIR/runtime" \
    -c second.c
done

# What the commands say.
net="net.tam --random-weights=3 --recipe=sparse"
# shellcheck disable=SC2086
{
  expect check 0 'all within' "$TAMIS" check $net --threads=2 --steps=2
  expect "check one" 0 'all within' "$TAMIS" check $net --threads=1
  "$TAMIS" build $net -o libplain.so
  "$TAMIS" build $net --threads -o libnet.so
  expect "check so" 0 'all within' "$TAMIS" check $net --so=libnet.so \
    --threads=3
  expect bench 0 'median' "$TAMIS" bench libnet.so --threads=2 --runs=2
  expect "bench layers" 0 'conv2d' "$TAMIS" bench libnet.so --threads=2 \
    --runs=2 --layers
  expect "no threads" 2 'built with --threads, found one without' \
    "$TAMIS" bench libplain.so --threads=2
  for n in 0 -1 x 1.5 ''; do
    expect "threads '$n'" 2 'threads: error: expected a whole number' \
      "$TAMIS" bench libnet.so --threads=$n
  done
  expect "build takes none" 2 "unknown option '--threads'" \
    "$TAMIS" build $net --threads=2 -o no.so
  absent "no output" no.so
}
# A dense layer on many columns: blocks of them and chunks of rows, cut
# otherwise for parts.
cat >deep.tam <<'EON'
model source() -> x: f32[129,3072] {
  param w: f32[129,3072];
  x = w * 0.5;
}
model deep(x: f32[129,3072]) -> y: f32[129,100] {
  y = x |> linear(100) as layer |> relu;
}
EON
seed=--random-weights=5
expect source 0 '' "$TAMIS" run deep.tam --model=source $seed --out=x=x.npy
for cpu in $cpus; do
  set -- build deep.tam --model=deep $seed "--cpu=$cpu"
  expect "deep, $cpu" 0 '' "$TAMIS" "$@" -o plain.so
  expect "deep threads, $cpu" 0 '' "$TAMIS" "$@" --threads -o parts.so
  expect "deep plain, $cpu" 0 '' "$TAMIS" run plain.so --in=x=x.npy \
    --out=y=plain.npy
  for n in 1 3; do
    expect "deep $n, $cpu" 0 '' "$TAMIS" run parts.so --threads=$n \
      --in=x=x.npy --out=y=parts.npy
    same "deep $n bits, $cpu" plain.npy parts.npy
  done
done
"$TAMIS" build net.tam --random-weights=3 --threads -o one.so
"$TAMIS" build net.tam --random-weights=3 --threads -o two.so
same "same bytes" one.so two.so
finish
