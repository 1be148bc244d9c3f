#!/bin/sh
# sweep.sh - a recipe over a range: errors and accuracy worked by hand, fronts,
# points that cannot be, results that are found again or not, several
# processes, the files, and what is wrong with options.
. "$SRCDIR/tests/cli/lib.sh"
cat >make.py <<'EOP'
import struct

def npy(path, kind, shape, data):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (
        kind, "".join("%d," % d for d in shape))
    head += " " * (63 - (len(head) + 10) % 64) + "\n"
    body = struct.pack("<%d%s" % (len(data), {"f4": "f", "i8": "q"}[kind[1:]]),
                       *data)
    open(path, "wb").write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) +
                           head.encode() + body)

def weights(path, values, name=b"weight"):
    head = (b'{"c.%s":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]}}' %
            name)
    head += b" " * (72 - len(head))
    open(path, "wb").write(struct.pack("<Q", len(head)) + head +
                           struct.pack("<8f", *values))

# Rows (8 1 0 4) and (0 2 6 3).
weights("hand.safetensors", [8, 1, 0, 4, 0, 2, 6, 3])
weights("other.safetensors", [8, 1, 0, 4, 0, 2, 6, 5])
weights("adapter.safetensors", [1] * 8, b"adapter")
weights("two.safetensors", [2] * 8, b"adapter")
rest = [0, 0, 0,  0, 1, 0, 0,  0, 0, 0, 1,  0, 0, 1, 0]
npy("x.npy", "<f4", (4, 4), [1] + rest)
npy("y.npy", "<f4", (4, 4), [2] + rest)
npy("z.npy", "<f4", (4, 4), [3] + rest)
npy("vast.npy", "<f4", (4, 4), [3e38] * 16)
npy("labels.npy", "<i8", (4,), [0, 1, 0, 1])
npy("many.npy", "<i8", (5,), [0, 1, 0, 1, 0])
npy("past.npy", "<i8", (4,), [0, 1, 2, 1])
npy("below.npy", "<i8", (4,), [0, -1, 0, 1])
npy("few.npy", "<i8", (3,), [0, 1, 0])
npy("real.npy", "<f4", (4,), [0, 1, 0, 1])
open("labels.idx", "wb").write(b"\0\0\x08\x01" + struct.pack(">I", 4) +
                               bytes([0, 1, 0, 1]))
EOP
python3 make.py || exit 99
cat >hand.tam <<'EON'
model hand(x: f32[1,4]) -> y: f32[1,2] {
  y = x |> linear(2, bias=false) as c;
  weights "hand.safetensors";
}
recipe gone for hand { prune c with sparsity=0.25, seed=3; }
recipe fused for hand {
  fuse_adapters c with method=sppara, adapters="adapter.safetensors";
  prune c with sparsity=0.5;
}
recipe masked for hand {
  prune c with method=obs, sparsity=0.5, data="x.npy", mask=x;
}
recipe alone for hand {
  prune c with pattern=channel, coupled=false, sparsity=0.5;
}
recipe tight for hand { prune c with macs=0.5; }
EON
sweep() { "$TAMIS" sweep hand.tam "$@"; }

# Outputs of the four unit inputs are the columns: (8,0) (1,2) (4,3) (0,6), of
# norm squared 64+1+4+16+9+36 = 130.  At 0.5 the 0, 0, 1 and 2 go: 5 of it is
# lost, and the second sample's class (0 0: the first).
expect "sweep" 0 '' sweep --sparsity=0.5,0.25 --data=x.npy \
  --labels=labels.npy -o d
cat >look.py <<'EOP'
import json, sys
r = json.load(open(sys.argv[1] + "/results.json"))
p = r["points"]
near = lambda a, b: abs(a - b) < 1e-4
assert r["model"] == "hand" and r["labels"] == 4 and not r["measured"]
assert [q["sparsity"] for q in p] == [None, 0.5, 0.25], p
assert p[0]["dense"] and not p[1]["dense"]
assert p[0]["output_error"] == 0 and p[0]["accuracy"] == 1
assert near(p[1]["output_error"], (5 / 130) ** 0.5), p[1]
assert near(p[1]["weight_error"], (5 / 130) ** 0.5), p[1]
assert p[1]["accuracy"] == 0.75 and p[1]["nonzeros"] == 4, p[1]
assert p[2]["output_error"] == 0 and p[2]["accuracy"] == 1, p[2]
assert p[1]["macs"] == 8 and p[1]["nonzero_macs"] == 4, p[1]
assert all(q["predicted_us"] > 0 and q["bytes"] > 0 for q in p)
EOP
expect "by hand" 0 '' python3 look.py d
expect "labels of IDX" 0 '' sweep --sparsity=0.5,0.25 --data=x.npy \
  --labels=labels.idx -o idx
expect "the same of them" 0 '' python3 look.py idx
expect "in two processes" 0 '' sweep --sparsity=0.5,0.25 --data=x.npy \
  --labels=labels.npy -o d2 -j2
same "results" d/results.json d2/results.json
same "plots" d/plot.svg d2/plot.svg
same "the table" d/table.txt d2/table.txt
expect "without a folder" 0 '' sweep --sparsity=0.5,0.25 --data=x.npy \
  --labels=labels.npy
same "prints the table" got.txt d/table.txt

# The fronts, against their definition, by latency and by size.
expect "a range" 0 '' sweep --sparsity=0..1:0.125 --data=x.npy -j 2 \
  --pattern=unstructured,row,1x2 --method=magnitude,random,l2 -o range
cat >front.py <<'EOP'
import json
p = json.load(open("range/results.json"))["points"]
assert len(p) == 1 + 9 * 3 * 3, len(p)
assert [q["sparsity"] for q in p[1:10]] == [k / 8 for k in range(9)]
def front(cost):
    ok = [q for q in p if "reason" not in q]
    return [q["key"] for q in ok if not any(
        o["output_error"] <= q["output_error"] and o[cost] <= q[cost] and
        (o["output_error"] < q["output_error"] or o[cost] < q[cost])
        for o in ok)]
for mark, cost in ("fast", "predicted_us"), ("small", "bytes"):
    marked = [q["key"] for q in p if q[mark]]
    assert sorted(marked) == sorted(front(cost)), (mark, marked, front(cost))
assert any(q["output_error"] == 1 for q in p)
EOP
expect "fronts" 0 '' python3 front.py
cat >svg.py <<'EOP'
import json, sys, xml.dom.minidom
p = json.load(open(sys.argv[1] + "/results.json"))["points"]
d = xml.dom.minidom.parse(sys.argv[1] + "/plot.svg")
dots = [c for c in d.getElementsByTagName("circle")
        if c.getElementsByTagName("title")]
good = [q for q in p if "reason" not in q]
assert len(dots) == 2 * len(good), (len(dots), len(good))
marked = [c for c in dots if c.getAttribute("class") == "front"]
assert len(marked) == sum(q["fast"] + q["small"] for q in good)
EOP
expect "plot" 0 '' python3 svg.py range
expect "half marks its own" 0 '' python3 svg.py d

# Outputs that are not finite have no error: no such point is on a front.
expect "past all numbers" 0 '' sweep --sparsity=0.5,1 --data=vast.npy -o vast
cat >vast.py <<'EOP'
import json
p = json.load(open("vast/results.json"))["points"]
assert len(p) == 3 and all(q["output_error"] is None for q in p), p
assert not any(q["fast"] or q["small"] for q in p), p
EOP
expect "are on no front" 0 '' python3 vast.py

# What cannot be is a row; 2:4 has its own sparsity, which may be given.
expect "rows with a reason" 0 '2:4 +0.25  prune: pattern 2:4 sets the' \
  sweep --sparsity=0.25,0.5 --pattern=2:4,3x1 --data=x.npy
also "its own sparsity" '2:4 +0.5 +0.5000 '
also "does not divide" '3x1 +0.5  prune: pattern 3x1 does not divide c.weight'
expect "nothing can be" 1 'no point can be: prune: pattern 3x1' \
  sweep --sparsity=0.5 --pattern=3x1
expect "calibrated without data" 1 'wanda: expected data=' \
  sweep --sparsity=0.5 --method=wanda

# Recipes: their arguments stay where none is given; a sparsity takes the place
# of a budget, and a method drops what it does not know.
expect "recipes" 0 'gone +- +- +- +0.7500' sweep --recipe=gone,tight
also "a budget" 'tight +- +- +- +0.5000'
expect "in place of both" 0 'gone +obs +- +0.5 +0.5000' \
  sweep --recipe=gone,tight --sparsity=0.5 --method=obs,magnitude \
  --data=x.npy
also "of the budget" 'tight +obs +- +0.5 +0.5000'
expect "from standard input" 0 'tight +- +- +- +0.5000' sh -c \
  "'$TAMIS' sweep - --recipe=gone,tight <hand.tam"
expect "costs alone" 0 'gone +magnitude +- +0.5 +0.5000 +- +- +[0-9.]+ ' \
  sweep --recipe=gone --sparsity=0.5 --method=magnitude --estimate
expect "of data that are not there" 0 'prune .. +obs +- +0.5 +0.5000 +- ' \
  sweep --sparsity=0.5 --method=obs --estimate
cat >measured.py <<'EOP'
import json
p = json.load(open("m/results.json"))["points"]
assert all(q["measured_us"] > 0 and q["dense_measured_us"] > 0 and
           q["artifact_bytes"] > 0 for q in p), p
EOP
expect "measured" 0 'measured us' sweep --sparsity=0.5 --measure -o m
expect "each" 0 '' python3 measured.py

# Results are found again by what they depend on: none of these is.
count() { ls "$1/points" | wc -l; }
stamp() { cat d/points/*.json | cksum; }
before=$(stamp)
for f in d/points/*.json; do touch -d '1 hour ago' "$f"; done
expect "again" 0 '' sweep --sparsity=0.5,0.25 --data=x.npy \
  --labels=labels.npy -o d
expect "was there" 0 '' test -z "$(find d/points -type f -newer make.py)"
expect "one more point" 0 '' sweep --sparsity=0.5,0.25,0.75 --data=x.npy \
  --labels=labels.npy -o d
expect "is the only new one" 0 '' test "$(
  find d/points -newer make.py -type f | wc -l) $(count d)" = '1 4'
cp -r d e
fresh() {   # NAME OPTIONS...: all points are worked out anew
  expect "$@"
  expect "new" 0 '' test "$(count e)" = "$want"
}
want=7
fresh "other weights" 0 '' sweep --sparsity=0.5,0.25 --data=x.npy \
  --labels=labels.npy -o e --weights=other.safetensors
want=10
fresh "other data" 0 '' sweep --sparsity=0.5,0.25 --data=y.npy \
  --labels=labels.npy -o e
cp y.npy moved.npy
expect "the same bytes elsewhere" 0 '' sweep --sparsity=0.5,0.25 \
  --data=moved.npy --labels=labels.npy -o e
expect "are known" 0 '' test "$(count e)" = 10
cp x.npy kept.npy
cp z.npy x.npy
want=13
fresh "other bytes of the same data" 0 '' sweep --sparsity=0.5,0.25 \
  --data=x.npy --labels=labels.npy -o e
cp kept.npy x.npy
want=16
fresh "no labels" 0 '' sweep --sparsity=0.5,0.25 --data=x.npy -o e
want=19
fresh "another -O" 0 '' sweep --sparsity=0.5,0.25 --data=x.npy \
  --labels=labels.npy -o e -O0
echo '{"key": "' >"$(ls e/points/*.json | head -n 1)"
expect "a damaged file" 0 '' sweep --sparsity=0.5,0.25 --data=x.npy \
  --labels=labels.npy -o e -O0

expect "a plot" 0 '' sweep --sparsity=0.5 -o plots
expect "is there" 0 '' test -f plots/plot.svg
expect "costs in its place" 0 '' sweep --sparsity=0.5 --estimate -o plots
absent "no plot of another run" plots/plot.svg

# Arguments that a method or a pattern does not have.
expect "a mask" 0 'masked +magnitude +- +0.5 +0.5000' \
  sweep --recipe=masked --sparsity=0.5 --method=magnitude
expect "a mask and estimates" 0 'masked +obs +- +0.5 +0.5000' \
  sweep --recipe=masked --sparsity=0.5 --method=obs --estimate
expect "coupled" 0 'alone +magnitude +channel +0.5 +0.3750' \
  sweep --recipe=alone --sparsity=0.5 --pattern=channel,unstructured \
  --method=magnitude,obs --data=x.npy
also "goes with another pattern" 'alone +magnitude +unstructured +0.5 +0.5000'
also "and with obs" 'alone +obs +unstructured +0.5 +0.5000'

# Two samples a call of the first input, one of the second.
cat >pair.tam <<'EON'
model pair(x: f32[2,4], s: f32[1]) -> y: f32[2,2] {
  y = (x |> linear(2, bias=false) as c) + s;
  weights "hand.safetensors";
}
EON
python3 -c '
exec(open("make.py").read())
import zipfile
npy("s.npy", "<f4", (2, 1), [0, 0])
with zipfile.ZipFile("pair.npz", "w") as z:
    z.write("x.npy")
    z.write("s.npy")'
expect "samples of the largest" 0 'prune \*\* .* 0.5 .* 0.7500 ' \
  "$TAMIS" sweep pair.tam --sparsity=0.5 --data=pair.npz --labels=labels.npy

# A file that a step names counts by what is in it, not by its path.
fused() { sweep --recipe=fused --data=x.npy -o fused; }
expect "adapters" 0 '' fused
expect "two points" 0 '' test "$(count fused)" = 2
cp hand.tam kept.tam
sed 's/"adapter.safe/"moved.safe/' kept.tam >hand.tam
cp adapter.safetensors moved.safetensors
expect "of another name" 0 '' fused
cp kept.tam hand.tam
expect "the same two" 0 '' test "$(count fused)" = 2
cp two.safetensors adapter.safetensors
expect "other adapters" 0 '' fused
expect "new" 0 '' test "$(count fused)" = 4

# What lies in the machine is no result of a point.
mkdir blocked
for jobs in 1 2; do
  expect "no room" 3 'no point can be: cannot make a folder' env \
    TMPDIR=/nonexistent "$TAMIS" sweep hand.tam --sparsity=0.5 \
    --data=x.npy -o blocked -j $jobs
  expect "is not kept" 0 '' test "$(count blocked)" = 0
done
expect "nor told again" 0 '' sweep --sparsity=0.5 --data=x.npy -o blocked
expect "what is wrong with a point" 0 '' sweep --sparsity=0.5 \
  --pattern=row,3x1 --data=x.npy -o blocked
expect "is kept" 0 '' test "$(count blocked)" = 4

# Stopped half-way it goes on: the points that were done are not touched.
cat >slow.tam <<'EON'
model slow(x: f32[1,8,24,24]) -> y: f32[1,16,24,24] {
  repeat s for i in 0..6 { x = x |> conv(16, k=3, pad=1) as c |> relu; }
  y = x;
}
EON
slow() {
  "$TAMIS" sweep slow.tam --random-weights=1 --sparsity=0.1..0.9:0.1 "$@"
}
# (Not by the function: its shell would be what is killed.)
"$TAMIS" sweep slow.tam --random-weights=1 --sparsity=0.1..0.9:0.1 \
  -o stopped >slow.txt 2>&1 &
pid=$!
tries=0
while [ "$(ls stopped/points 2>/dev/null | grep -c 'json$')" -lt 2 ] &&
  [ $tries -lt 600 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
expect "stopped" 0 '' test $? -ne 0
sleep 1
done=$(ls stopped/points | grep -c 'json$')
expect "half-way" 0 '' test "$done" -ge 2 -a "$done" -lt 10
for f in stopped/points/*.json; do touch -d '1 hour ago' "$f"; done
absent "no table yet" stopped/results.json
expect "goes on" 0 '' slow -o stopped
expect "with what was there" 0 '' test "$(find stopped/points -name '*.json' \
  ! -newer make.py | wc -l)" = "$done"
expect "from the start" 0 '' slow -o whole -j 2
same "no difference" stopped/results.json whole/results.json

# What is wrong comes before any work.
refused() {
  rm -rf no
  expect "$@" -o no
  absent "$1" no
}
refused "nothing to vary" 2 'expected --recipe, or --sparsity' sweep
refused "no number" 2 "ranges as 0.5..0.9:0.1 of" sweep --sparsity=x
refused "no finite step" 2 "found '0.5..0.9:inf'" \
  sweep --sparsity=0.5..0.9:inf
refused "past 1" 2 "found '1.5'" sweep --sparsity=0.5,1.5
refused "no step" 2 "found '0.5..0.9'" sweep --sparsity=0.5..0.9
refused "no end" 2 "found '0.9..0.5:0.1'" sweep --sparsity=0.9..0.5:0.1
refused "too many" 2 "found '0..1:0.00001'" sweep --sparsity=0..1:0.00001
refused "points too many" 2 'at most 10000 points, found' \
  sweep --sparsity=0..1:0.0003 --pattern=row,column,1x2,2x1
refused "no pattern" 2 "found '4z1'" sweep --pattern=row,4z1
refused "no method" 2 "found 'best'" sweep --sparsity=0.5 --method=best
refused "twice" 2 "'row' is given twice" sweep --pattern=row,row
refused "empty items" 2 'expected items between commas' sweep --pattern=row,
refused "no such recipe" 2 "has no recipe 'gon'.*nearest is 'gone'" \
  sweep --recipe=gon
refused "no such data" 3 'lost.npy' sweep --sparsity=0.5 --data=lost.npy
refused "labels without data" 2 'expected --data with it' \
  sweep --sparsity=0.5 --labels=labels.npy
refused "too few labels" 3 'a label for each of 4 samples, found 3' \
  sweep --sparsity=0.5 --data=x.npy --labels=few.npy
refused "too many labels" 3 'a label for each of 4 samples, found 5' \
  sweep --sparsity=0.5 --data=x.npy --labels=many.npy
expect "more than samples=" 0 '' sweep --sparsity=0.5 \
  --data=x.npy,samples=3 --labels=many.npy
refused "past the classes" 3 'from 0 to 1, found 2 at sample 3' \
  sweep --sparsity=0.5 --data=x.npy --labels=past.npy
refused "below 0" 3 'from 0 to 1, found -1 at sample 2' \
  sweep --sparsity=0.5 --data=x.npy --labels=below.npy
refused "labels that are no integers" 3 'expected integers' \
  sweep --sparsity=0.5 --data=x.npy --labels=real.npy
refused "jobs" 2 'whole number from 1 to 256' sweep --sparsity=0.5 -j 0
refused "measured at once" 2 'expected -j 1' \
  sweep --sparsity=0.5 -j 2 --measure
refused "estimates that run" 2 'runs nothing: expected no --measure' \
  sweep --sparsity=0.5 --estimate --measure
: >file
expect "a file for the folder" 3 'file' sweep --sparsity=0.5 -o file
expect "dump" 0 '' "$TAMIS" show hand.tam --recipe=gone --after=recipe \
  -o dump.tam
refused "a dump behind the recipe" 2 'comes behind pass recipe' \
  "$TAMIS" sweep dump.tam --sparsity=0.5
cat >plain.tam <<'EON'
model plain(x: f32[1,4]) -> y: f32[1,4] { y = relu(x); }
EON
refused "nothing to prune" 1 'no weights of a convolution or a linear' \
  "$TAMIS" sweep plain.tam --sparsity=0.5
finish
