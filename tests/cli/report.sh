#!/bin/sh
# report.sh - reports beside the dense network: errors worked by hand, on a net
# of two weights; sparsity and fill as they are stored; measured times; and
# what is wrong with --data or --measure.
. "$SRCDIR/tests/cli/lib.sh"
cat >make.py <<'EOP'
import struct

def npy(path, shape, data):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }" % (
        "".join("%d," % d for d in shape))
    head += " " * (63 - (len(head) + 10) % 64) + "\n"
    open(path, "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) +
                           head.encode() + struct.pack("<%df" % len(data),
                                                       *data))

npy("two.npy", (2, 2), [1, 1, 0, 2])
npy("wide.npy", (2, 3), [1] * 6)
npy("nan.npy", (2, 2), [1, 1, float("nan"), 2])
npy("vast.npy", (2, 2), [1, 1, 3e38, 3e38])
head = b'{"c.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}'
head += b" " * (64 - len(head))
open("hand.safetensors", "wb").write(
    struct.pack("<Q", len(head)) + head + struct.pack("<2f", 3, 1))
EOP
python3 make.py || exit 99
cat >hand.tam <<'EON'
model hand(x: f32[1,2]) -> y: f32[1,1] {
  h = x |> linear(1, bias=false) as c;
  y = 2.0 * h;
  weights "hand.safetensors";
}
recipe half for hand { prune ** with sparsity=0.5; }
EON
# is KEYS VALUE FILE: a number of the report, to 4 digits.
is() {
  python3 -c '
import json, sys
v = json.load(open(sys.argv[3]))
for k in sys.argv[1].split("/"):
    v = v[int(k)] if k.isdigit() else v[k]
want = None if sys.argv[2] == "null" else float(sys.argv[2])
ok = v is None if want is None else abs(v - want) <= 1e-3 * abs(want)
print("ok  " if ok else "FAIL", sys.argv[1], "is", v, "expected", want)
sys.exit(not ok)' "$@" || bad=$((bad + 1))
}

# 3 1 becomes 3 0: 1 of sqrt(10).  Outputs 8 and 4 become 6 and 0.
expect "errors" 0 '' "$TAMIS" build hand.tam --recipe=half --data=two.npy \
  --report=r.json -o r.so
is weight_error 0.316228 r.json
is output_error 0.5 r.json
is samples 2 r.json
is layers/0/weight_error 0.316228 r.json
is layers/0/output_error 0.5 r.json
is layers/0/sparsity 0.5 r.json
is outputs/0/error 0.5 r.json
is dense/macs 2 r.json
is nonzero_macs 1 r.json
is measured_us null r.json
is dense/measured_us null r.json
expect "one sample" 0 '' "$TAMIS" build hand.tam --recipe=half \
  --data=two.npy,samples=1 --report=one.json -o r.so
is output_error 0.25 one.json
expect "without data" 0 '' "$TAMIS" build hand.tam --recipe=half \
  --report=none.json -o r.so
is weight_error 0.316228 none.json
is output_error null none.json
is layers/0/output_error null none.json
expect "without a recipe" 0 '' "$TAMIS" build hand.tam --report=plain.json \
  -o none.so
is layers/0/weight_error null plain.json
expect "no dense model" 1 '' grep -q '"dense": {' plain.json
cat >low.tam <<'EON'
model low(x: f32[1,16]) -> y: f32[1,16] {
  y = x |> linear(16, bias=false) as c;
}
recipe low for low { factor ** with rank=2; }
EON
expect "no weight to compare" 0 '^weight error: unknown' "$TAMIS" show \
  low.tam --random-weights=1 --recipe=low --stats
expect "the table" 0 \
  'sparsity 0.5, fill .*weight error 0.3162, output error 0.5' \
  "$TAMIS" show hand.tam --recipe=half --data=two.npy --stats
also "its end" \
  'weight error: 0.3162; output error: 0.5, on 2 samples of two.npy'
for data in nan.npy vast.npy; do
  expect "no error of $data" 0 'weight error: 0.3162; output error: unknown,' \
    "$TAMIS" show hand.tam --recipe=half --data=$data --stats
  expect "a report of $data" 0 '' "$TAMIS" build hand.tam --recipe=half \
    --data=$data --report=no.json -o r.so
  is output_error null no.json
  is layers/0/output_error null no.json
  is outputs/0/error null no.json
done
rm no.json
expect "builds are the same with a report" 0 '' "$TAMIS" build hand.tam \
  --recipe=half -o plain.so
same "bytes" plain.so r.so
expect "reports are the same" 0 '' "$TAMIS" build hand.tam --recipe=half \
  --data=two.npy --report=again.json -o r.so
same "report" r.json again.json
expect "dependencies" 0 '' "$TAMIS" build hand.tam --recipe=half -MD \
  --data=two.npy --report=r.json -o r.so
expect "data among them" 0 'two\.npy' cat r.d

# Blocks of which some values are zero, fused layers, names of layers in
# scopes, free dimensions, a weight that is rounded.
cat >net.tam <<'EON'
block cbr(x, c: int) -> y {
  y = x |> conv(c, k=3, pad=1) |> bn |> relu;
}
model net(x: f32[N,3,16,16]) -> y: f32[N,4], i: i64[N,4] where N <= 4 {
  repeat s for c in [16, 16] { x = x |> cbr(c) as u; }
  y = x |> mean([2,3]) |> linear(4) as head;
  i = cast(y, i64);
}
recipe blocks for net {
  prune s[*].** with pattern=4x1, sparsity=0.75;
  prune s[*].** with sparsity=0.8;
}
recipe nm for net { prune head with pattern=2:4; }
EON
python3 -c '
import struct
exec(open("make.py").read().split("npy(\"two")[0])
npy("maps.npy", (6, 3, 16, 16),
    [(i * 37 % 101) / 50 - 1 for i in range(4608)])'
expect "blocks" 0 '' "$TAMIS" build net.tam --random-weights=3 \
  --recipe=blocks --data=maps.npy --report=b.json -o b.so --measure
cat >blocks.py <<'EOP'
import json
r = json.load(open("b.json"))
rows = {l["name"]: l for l in r["layers"] if l["op"] == "conv2d"}
assert sorted(rows) == ["s[0].u.conv", "s[1].u.conv"], rows.keys()
for l in rows.values():
    assert abs(l["sparsity"] - 0.8) < 0.01, l
    assert 0 < l["fill"] <= 1 and 0 < l["weight_error"] < 1, l
    assert 0 < l["output_error"] < 1.5 and l["measured_us"] > 0, l
head = [l for l in r["layers"] if l["name"] == "head"][0]
assert head["weight_error"] == 0 and head["output_error"] > 0, head
assert r["samples"] == 6 and len(r["outputs"]) == 2, r["samples"]
assert r["measured_us"] > 0 and r["dense"]["measured_us"] > 0
assert r["dense"]["nonzero_macs"] > 2 * r["nonzero_macs"]
assert r["predicted_us"] > 0 and r["dense"]["weight_bytes"] > 0
EOP
expect "not measured" 0 '' "$TAMIS" build net.tam --random-weights=3 \
  --recipe=blocks -o unmeasured.so
same "measured or not" b.so unmeasured.so
expect "what the report says" 0 '' python3 blocks.py
# The time of a scan is that of what it calls.
cat >rnn.tam <<'EON'
block cell(x, h) -> y, h2 {
  h2 = tanh(linear(x, 16) as i + linear(h, 16) as h);
  y = h2 * 0.5;
}
model rnn(x: f32[20,1,8]) -> y: f32[20,1,16], z: f32[1,4] {
  y, last = scan(cell, x, expand(0.0, shape=[1,16])) as rnn;
  z = last |> linear(4) as head;
}
EON
expect "a scan" 0 '' "$TAMIS" build rnn.tam --random-weights=1 --measure \
  --report=rnn.json -o rnn.so
expect "its time" 0 "rnn None, head True" python3 -c '
import json
r = json.load(open("rnn.json"))
us = {l["name"]: l["measured_us"] for l in r["layers"]}
print("rnn %s, head %s" % (us["rnn"], us["head"] > 0))'
expect "rounded weights" 0 '"output_error"' "$TAMIS" show net.tam \
  --random-weights=3 --recipe=nm --data=maps.npy --weight-type=f16 \
  --stats --json
expect "for another machine" 0 'output error' "$TAMIS" show net.tam \
  --random-weights=3 --recipe=nm --data=maps.npy --stats \
  --target=aarch64-linux-gnu
expect "dumps with a recipe ahead" 0 '' "$TAMIS" show hand.tam \
  --recipe=half --after=parse -o ahead.tam
expect "of them" 0 'output error: 0.5' "$TAMIS" show ahead.tam \
  --data=two.npy --stats

# What is wrong comes before any work.
refused() {
  expect "$@" -o no.so --report=no.json
  absent "$1" no.so
  absent "$1" no.json
}
refused "no recipe" 2 'expected --recipe with it' \
  "$TAMIS" build hand.tam --data=two.npy
expect "dump" 0 '' "$TAMIS" show hand.tam --recipe=half --after=recipe \
  -o dump.tam
refused "a dump behind the recipe" 2 'a dump that comes behind it' \
  "$TAMIS" build dump.tam --data=two.npy
refused "no such data" 3 'lost.npy' \
  "$TAMIS" build hand.tam --recipe=half --data=lost.npy
refused "misshapen data" 3 'expected f32\[samples,2\]' \
  "$TAMIS" build hand.tam --recipe=half --data=wide.npy
refused "unknown option" 2 "unknown image option 'sample'; expected samples" \
  "$TAMIS" build hand.tam --recipe=half --data=two.npy,sample=3
refused "no samples" 2 'expected a whole number from 1' \
  "$TAMIS" build hand.tam --recipe=half --data=two.npy,samples=0
case $(uname -m) in
aarch64) other=x86_64-linux-gnu ;;
*) other=aarch64-linux-gnu ;;
esac
refused "measure another machine" 4 'cannot run code' \
  "$TAMIS" build hand.tam --recipe=half --measure --target=$other
expect "data without a report" 2 'expected --report with it' \
  "$TAMIS" build hand.tam --recipe=half --data=two.npy -o no.so
expect "data without stats" 2 'expected --stats with it' \
  "$TAMIS" show hand.tam --recipe=half --data=two.npy
cp two.npy two.json
expect "a report over the data" 2 'was read' "$TAMIS" build hand.tam \
  --recipe=half --data=two.json --report=two.json -o no.so
finish
