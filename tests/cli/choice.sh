#!/bin/sh
# choice.sh - what reports say of the kernels that a layer could take, and
# whose costs they were weighed with.
. "$SRCDIR/tests/cli/lib.sh"
cat >net.tam <<'EON'
model net(x: f32[1,32,20,20], t: f32[1,129,64], v: f32[1,256])
    -> y: f32[1,48,20,20], z: f32[1,24,18,18], u: f32[1,129,80], w: f32[1,160] {
  a = x |> conv(64, k=3, pad=1) as a |> relu;
  y = a |> conv(48) as b |> relu;
  z = a |> conv(24, k=3) as c;
  u = t |> linear(80) as d;
  w = v |> linear(160) as e;
}
recipe p for net { prune ** with sparsity=0.8; }
recipe q for net { prune ** with pattern=4x1, sparsity=0.8; }
recipe r for net { prune ** with pattern=2:4; }
EON
net="net.tam --random-weights=1 --recipe=p"
v3="--target=x86_64-linux-gnu --cpu=x86-64-v3"
v4="--target=x86_64-linux-gnu --cpu=x86-64-v4"
# listing FILE.json: LAYER KERNEL +|- REASON, what has alternatives.
listing() {
  awk -F '"' '
    /^   "name"/ { name = $4 }
    /^     "kernel"/ { kernel = $4 }
    /^     "taken"/ { mark = /true/ ? "+" : "-" }
    /^     "why_not"/ { print name, kernel, mark, $4 }' "$1" |
    sed 's/ *$//' >list.txt
}
# times_check FILE.json: predicted_us is of the one kernel that was taken, dense_us
# of the first; prints how many layers have alternatives, and which are wrong.
times_check() {
  awk '
    BEGIN { first = 1 }
    function number(s) { sub(/.*: /, "", s); sub(/,.*/, "", s); return s }
    /^   "predicted_us"/ { us = number($0) }
    /^   "dense_us"/ { dense = number($0) }
    /^   "alternatives": \[$/ { n++; first = 1; taken = 0 }
    /^     "predicted_us"/ {
      one = number($0)
      if (first && one != dense) print "dense of layer", n, one, dense
      if (one <= 0) print "no time in layer", n
      first = 0
    }
    /^     "taken": true/ {
      taken++
      if (one != us) print "taken of layer", n, one, us
    }
    /^   \],/ { if (!first && taken != 1) print "taken in", n, taken
                first = 1 }
    END { print n, "layers" }' "$1" >times.txt
}
# shellcheck disable=SC2086
{
  "$TAMIS" show $net $v4 --stats --json >v4.json
  listing v4.json
  cat >want.txt <<'EON'
a conv2d_dense - slower
a conv2d_channels - slower
a conv2d_bsr - slower
a conv2d_csr - slower
a conv2d_code +
a conv2d_pair - slower
b conv2d_dense - slower
b conv2d_channels - slower
b conv2d_bsr - slower
b conv2d_csr - slower
b conv2d_code +
b conv2d_pair - slower
c conv2d_dense - slower
c conv2d_channels - slower
c conv2d_bsr - slower
c conv2d_csr +
c conv2d_code - pixels lie on no single line of vectors
c conv2d_pair - slower
d linear_dense - slower
d linear_bsr - slower
d linear_csr - slower
d linear_code +
d linear_pair - slower
e linear_dense - slower
e linear_perm +
e linear_bsr - slower
EON
  sort list.txt >got.txt
  sort want.txt >want.sorted
  diff want.sorted got.txt
  same "alternatives" want.sorted got.txt
  for r in p q r; do
    for cpu in "$v3" "$v4" "--target=aarch64-linux-gnu"; do
      "$TAMIS" show net.tam --random-weights=1 --recipe=$r $cpu --stats \
        --json >r.json
      times_check r.json
      expect "times of $r, $cpu" 0 '^5 layers$' cat times.txt
      expect "nothing else" 0 '^1$' grep -c '' times.txt
    done
  done

  # Blocks are weighed as they are packed.
  "$TAMIS" show net.tam --random-weights=1 --recipe=q $v3 --stats --json \
    >q.json
  listing q.json
  expect "blocks" 0 '^a conv2d_bsr [+]$' cat list.txt
  expect "code elsewhere" 0 '^a conv2d_code - needs AVX-512$' cat list.txt

  # Options rule kernels out.
  for o in "--sparsity=off|conv2d_csr|--sparsity=off" \
    "-Os|conv2d_code|no code for patterns at -Os" \
    "-O0|conv2d_code|no code for patterns at -O0" \
    "--code-budget=1|conv2d_code|the code budget is spent"; do
    opt=${o%%|*} rest=${o#*|}
    "$TAMIS" show $net $v4 $opt --stats --json >o.json
    listing o.json
    expect "with $opt" 0 "^a ${rest%%|*} - ${rest#*|}\$" cat list.txt
    expect "in the table" 0 "${rest%%|*}: ${rest#*|}" "$TAMIS" show $net \
      $v4 $opt --stats
  done
  expect "why dense" 0 'dense by --sparsity=off' "$TAMIS" show $net $v4 \
    --sparsity=off --stats

  # The same command gives the same choice on any machine: costs go by name.
  for c in "znver5|Zen with AVX-512" "skylake-avx512|Xeon with AVX-512" \
    "sapphirerapids|Xeon with 2 MB a core" "x86-64-v4|AVX-512" \
    "haswell|AVX" "x86-64-v2|SSE"; do
    expect "costs for ${c%%|*}" 0 "costs of ${c#*|}\$" "$TAMIS" show $net \
      --target=x86_64-linux-gnu --cpu=${c%%|*} -v --after=select
  done
  expect "fewer lanes" 0 'costs of AVX$' "$TAMIS" show $net \
    --target=x86_64-linux-gnu --cpu=znver5 --features=-avx512f -v \
    --after=select
  expect "of NEON" 0 'costs of NEON$' "$TAMIS" show $net \
    --target=aarch64-linux-gnu -v --after=select
}
finish
