#!/bin/sh
# cluster.sh - weights of few values, stored as indices: that native code of
# each kind of CPU and the reference agree, bytes, dumps, and what is refused.
. "$SRCDIR/tests/cli/lib.sh"
cpus=x86-64-v2
grep -qw avx2 /proc/cpuinfo 2>/dev/null && cpus="$cpus x86-64-v3"
grep -qw avx512vl /proc/cpuinfo 2>/dev/null && cpus="$cpus x86-64-v4"
[ "$(uname -m)" = x86_64 ] || cpus=generic

net() {   # NAME CENTROIDS
  cat >"$1.tam" <<END
model net(x: f32[1,3,17,17], t: f32[1,40,24], v: f32[1,100])
    -> p: f32[1,10], u: f32[1,40,32], w: f32[1,130], s: f32[1,5] {
  a = x |> conv(20, k=3, s=2, pad=1) as first |> bn |> relu
    |> conv(20, k=3, pad=1, groups=20) as depth |> conv(40) as point;
  b = a |> conv_transpose(8, k=3, s=2) as up |> conv(72, k=3, pad=1) as big
    |> relu |> conv(48, k=3, s=2, pad=1, groups=2) as halves
    |> conv(48, k=7, pad=3, groups=48) as wide;
  p = b |> mean([2,3]) |> linear(304) as one |> relu |> linear(10) as head;
  u = t |> linear(48) as many |> relu |> linear(32) as more;
  w = v |> linear(130) as stream;
  param m: f32[100,5];
  s = matmul(v, m);
}
recipe dense for net { cluster ** with centroids=$2; }
recipe blocks for net {
  prune point, big, many, more with pattern=4x1, sparsity=0.85;
  prune one with pattern=8x1, sparsity=0.85;
  prune stream with pattern=2:4;
  cluster ** with centroids=$2;
}
recipe single for net {
  prune ** with sparsity=0.85;
  cluster ** with centroids=$2;
}
END
}
passes="recipe fuse sparse layout plan"
[ -z "${TAMIS_QUICK:-}" ] || passes="recipe plan"
weight_bytes() { sed -n 's/^ "weight_bytes": \([0-9]*\).*/\1/p' "$1"; }
for c in 16 256; do
  net net$c $c
  for r in dense blocks single; do
    net="net$c.tam --random-weights=1 --recipe=$r"
    # shellcheck disable=SC2086
    for cpu in $cpus; do
      expect "$r, $c, $cpu" 0 'all within tolerance' "$TAMIS" check $net \
        --cpu="$cpu" --rtol=1e-5 --roundtrip
    done
    # shellcheck disable=SC2086
    "$TAMIS" build $net -o $r$c.so --report=$r$c.json
    for pass in $passes; do
      # shellcheck disable=SC2086
      "$TAMIS" show $net --after=$pass -o dump.tam
      "$TAMIS" build dump.tam -o dump.so
      same "$r, $c: a dump behind $pass" dump.so $r$c.so
    done
  done
  # shellcheck disable=SC2086
  expect "$c, threads" 0 'all within tolerance' "$TAMIS" check \
    net$c.tam --random-weights=1 --recipe=single --threads=2 --rtol=1e-5
  # shellcheck disable=SC2086
  expect "$c, -O0" 0 'all within tolerance' "$TAMIS" check net$c.tam \
    --random-weights=1 --recipe=blocks -O0 --rtol=1e-5
  expect "$c, another weight type" 0 'all within tolerance' "$TAMIS" check \
    net$c.tam --random-weights=1 --recipe=dense --weight-type=f16 --rtol=1e-5
done
expect "why" 0 'no zeros: dense; 16 values' "$TAMIS" show net16.tam \
  --random-weights=1 --recipe=dense --stats
if [ -z "${TAMIS_QUICK:-}" ]; then
  expect "AVX-512 builds" 0 '' "$TAMIS" build net16.tam --random-weights=1 \
    --recipe=dense --target=x86_64-linux-gnu --cpu=x86-64-v4 -o v4.so
fi

# ---- sizes ------------------------------------------------------------

cat >large.tam <<'END'
model large(x: f32[1,512]) -> y: f32[1,512] { y = x |> linear(512) as a; }
recipe c16 for large { cluster a with centroids=16; }
recipe c256 for large { cluster a with centroids=256; }
END
for c in 16 256; do
  "$TAMIS" build large.tam --random-weights=1 --recipe=c$c -o large.so \
    --report=$c.json
done
all=$((512 * 512)) bias=$((512 * 4))
expect "four bits each" 0 '' [ "$(weight_bytes 16.json)" -le \
  $((all / 2 + bias + 192)) ]
expect "a byte each" 0 '' [ "$(weight_bytes 256.json)" -le \
  $((all + bias + 1152)) ]
expect "in the report" 0 '"weight_type": "u4"' cat 16.json
expect "predicted" 0 '' "$TAMIS" show large.tam --random-weights=1 \
  --recipe=c16 --after=recipe -o large16.tam
expect "the file of a dump" 0 '' [ "$(wc -c <large16.safetensors)" -le \
  $((all / 2 + bias + 64 + 1024)) ]

# ---- dumps by hand ----------------------------------------------------

# A step behind it that makes more values of them.
cat >more.tam <<'END'
model more(x: f32[1,16,6,6]) -> y: f32[1,4] {
  a = x |> conv(16, k=3, pad=1) as a |> relu;
  y = a |> mean([2,3]) |> linear(4) as h;
}
recipe r for more { cluster ** with centroids=16; smartexchange a; }
END
expect "more values behind it" 0 'a.weight has more values behind a later step' \
  "$TAMIS" build more.tam --random-weights=2 --recipe=r -o more.so -v
expect "their results" 0 'all within' "$TAMIS" check more.tam \
  --random-weights=2 --recipe=r --so=more.so
sed 's/cluster 16/cluster 17/' large16.tam >bad.tam
cp large16.safetensors bad.safetensors
expect "another number" 1 'expected cluster 16 or cluster 256' \
  "$TAMIS" build bad.tam -o bad.so
absent "nothing is built" bad.so
sed 's/cluster 16/cluster 256/' large16.tam >bad.tam
expect "another width" 3 "expected u8\\[262144\\], found u8\\[131072\\]" \
  "$TAMIS" build bad.tam -o bad.so
expect "many values" 1 \
  'expected at most 16 values, 0.0 among them, for cluster 16, found more' \
  "$TAMIS" build large16.tam --random-weights=1 -o bad.so
absent "nothing is built" bad.so
finish
