#!/bin/sh
# budgets.sh - recipes that prune to a budget: the artifact keeps to it, and
# not by more than it has to; what is out of reach says what is possible.
. "$SRCDIR/tests/cli/lib.sh"

cat >net.tam <<'END'
model net(x: f32[1,32,28,28]) -> p: f32[1,10], m: f32[1,128] {
  x = x |> conv(64, k=3, pad=1) as a |> bn as na |> relu;
  m = x |> conv(128, k=1) as b |> bn as nb |> relu |> mean([2,3]);
  p = m |> linear(256) as c |> relu |> linear(10) as head;
}
recipe products for net { prune **, !head with macs=0.25, scope=global; }
recipe stored for net { prune **, !head with bytes=100k; }
recipe stored_rows for net { prune **, !head with bytes=60k, pattern=row; }
recipe time for net { prune **, !head with latency=0.5, pattern=4x1; }
recipe few_products for net { prune c with macs=0.25; }
recipe few_bytes for net { prune c with bytes=10k; }
recipe little_time for net { prune c with latency=0.1; }
recipe none for net { prune c with sparsity=1.0; }
END
target='--random-weights=1 --target=x86_64-linux-gnu --cpu=x86-64-v3'
# shellcheck disable=SC2086  # options are words
build() {   # RECIPE OPTIONS...
  r=$1
  shift
  "$TAMIS" build net.tam --recipe="$r" $target -o "$r.so" \
    --report="$r.json" "$@"
}
# sum FILE KEY: of its layers, or of the artifact.
sum() {
  python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))
layers = [l[sys.argv[2]] for l in r["layers"] if sys.argv[2] in l]
print("%.6f" % (sum(layers) if layers else r[sys.argv[2]]))' "$1" "$2"
}
# between NAME LEAST NUMBER MOST
between() {
  expect "$1: $3 is in $2..$4" 0 '' awk "BEGIN {exit !($2 <= $3 && $3 <= $4)}"
}

expect "products" 0 '' build products
between "products" 0.2499 "$(sum products.json nonzero_macs) / \
  $(sum products.json macs)" 0.25

# Bytes of the weight file of a dump, whose header is about 1000 of them; the
# artifact lays tables out as its kernels want them.
stored() {   # RECIPE LEAST MOST
  expect "$1" 0 '' "$TAMIS" show net.tam $target --recipe="$1" \
    --after=select -o "$1.tam"
  between "$1" "$2" "$(wc -c <"$1.safetensors") - 1000" "$3"
  expect "$1, artifact" 0 '' build "$1"
  between "$1, artifact" 1 "$(sum "$1.json" weight_bytes)" "1.3 * $3"
}
stored stored 1 102400
stored stored_rows 55000 61440

# What the model of costs says of the dense net, and of the pruned one.
expect "dense" 0 '' "$TAMIS" build net.tam $target -o dense.so \
  --report=dense.json --sparsity=off
predicted() { sum "$1" predicted_us; }
expect "time" 0 '' build time
between "time" 0.45 "$(predicted time.json) / $(predicted dense.json)" 0.501

# What is out of reach, and that the best possible is just that.
expect "few products" 1 'macs=0.25 is out of reach: expected 0.9984 at least' \
  build few_products
absent "few products: nothing is written" few_products.so
expect "few bytes" 1 'bytes=10240 is out of reach: expected [0-9]+ at least' \
  build few_bytes
best=$(grep -o 'expected [0-9]*' got.txt | tr -dc 0-9)
expect "none" 0 '' build none
between "the best possible is what is stored" 0.95 \
  "$best / $(sum none.json weight_bytes)" 1.05
expect "little time" 1 'latency=0.1 is out of reach: expected 0.99' \
  build little_time

# A dump of the result is a program that builds to the same artifact.
expect "dump" 0 '' "$TAMIS" show net.tam $target --recipe=time \
  --after=recipe -o dump.tam
expect "again" 0 '' "$TAMIS" build dump.tam -o again.so --prefix=net
expect "first" 0 '' build time --prefix=net
expect "same" 0 '' cmp time.so again.so
# Weights are the same on all CPUs.
expect "several CPUs" 2 'expected one, found several' "$TAMIS" build net.tam \
  --random-weights=1 --recipe=time -o x.so --target=x86_64-linux-gnu \
  --cpu=x86-64-v3+x86-64-v4
expect "several CPUs, products" 0 '' "$TAMIS" build net.tam \
  --random-weights=1 --recipe=products -o x.so --target=x86_64-linux-gnu \
  --cpu=x86-64-v3+x86-64-v4
finish
