#!/bin/sh
# calibrate.sh - recipes with data=: every kind of file gives the same, what
# is wrong with one is said before any work, and nothing is written then.
. "$SRCDIR/tests/cli/lib.sh"
cat >make.py <<'EOP'
import gzip, os, struct, zipfile, zlib

def npy(kind, shape, data):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (
        kind, "".join("%d," % d for d in shape))
    head += " " * (63 - (len(head) + 10) % 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + \
        head.encode() + data

def floats(v):
    return struct.pack("<%df" % len(v), *v)

def save(path, data):
    open(path, "wb").write(data)

def npz(path, packing=zipfile.ZIP_STORED, **arrays):
    with zipfile.ZipFile(path, "w", packing) as z:
        for name, a in arrays.items():
            z.writestr(name + ".npy", a)

def png(path, rows):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + \
            struct.pack(">I", zlib.crc32(kind + body))
    save(path, b"\x89PNG\r\n\x1a\n" +
         chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)) +
         chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) +
         chunk(b"IEND", b""))

seed = 1
def byte():
    global seed
    seed = (seed * 1103515245 + 12345) % 2**31
    return seed >> 16 & 255

pixels = bytes(byte() // (1 + i % 8) for i in range(20 * 64))
unit = [p / 255 for p in pixels]
idx = b"\0\0\x08\x03" + struct.pack(">III", 20, 8, 8) + pixels
save("p.idx", idx)
save("p.idx.gz", gzip.compress(idx))
save("cut.gz", gzip.compress(idx)[:-300])
save("none.idx", b"\0\0\x08\x03" + struct.pack(">III", 0, 8, 8))
save("small.idx", b"\0\0\x08\x03" + struct.pack(">III", 2, 8, 7) + bytes(112))
save("p.npy", npy("<f4", (20, 1, 8, 8), floats(unit)))
save("nan.npy", npy("<f4", (1, 1, 8, 8), floats([float("nan")] * 64)))
save("scaled.npy", npy("<f4", (20, 1, 8, 8),
                       floats([(p - 0.5) / 0.25 for p in unit])))
npz("p.npz", x=npy("<f4", (20, 1, 8, 8), floats(unit)))
npz("packed.npz", zipfile.ZIP_DEFLATED,
    x=npy("<f8", (20, 1, 8, 8), struct.pack("<1280d", *unit)))
npz("alone.npz", any=npy("<f4", (20, 1, 8, 8), floats(unit)))
save("text", b"no array")
os.mkdir("png")
for i in range(3):
    png("png/%d.png" % i, [pixels[i * 64 + r * 8:i * 64 + r * 8 + 8]
                           for r in range(8)])
os.mkdir("nothing")
ids = [byte() % 9 for _ in range(12 * 5)]
words = [byte() / 255 for _ in range(12 * 4)]
i8 = struct.pack("<60q", *ids)
npz("two.npz", ids=npy("<i8", (12, 5), i8), v=npy("<f4", (12, 4), floats(words)))
npz("lone.npz", ids=npy("<i8", (12, 5), i8))
npz("uneven.npz", ids=npy("<i8", (12, 5), i8),
    v=npy("<f4", (11, 4), floats(words[:44])))
npz("real.npz", ids=npy("<f4", (12, 5), floats([0.5] * 60)),
    v=npy("<f4", (12, 4), floats(words)))
save("hand.npy", npy("<f4", (2, 2), floats([1, 10, 0, 0])))
head = b'{"c.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}'
head += b" " * (64 - len(head))
save("hand.safetensors", struct.pack("<Q", len(head)) + head + floats([3, 1]))
save("ones.npy", npy("<f4", (1, 2), floats([1, 1])))
save("one.npy", npy("<f4", (1, 1), floats([1])))
# Of four vectors of each of ten samples some are padding, of other values or
# of zeros.
kept = [i % 4 <= i // 4 % 4 for i in range(40)]
garbage = [9 - byte() / 9 for _ in range(40 * 6)]
real = [v if kept[i // 6] else 0 for i, v in enumerate(garbage)]
mask = npy("<i8", (10, 4), struct.pack("<40q", *kept))
npz("padded.npz", x=npy("<f4", (10, 4, 6), floats(garbage)), m=mask)
npz("zeros.npz", x=npy("<f4", (10, 4, 6), floats(real)), m=mask)
npz("dark.npz", x=npy("<f4", (10, 4, 6), floats(real)),
    m=npy("<i8", (10, 4), struct.pack("<40q", *[0] * 40)))
save("first.npy", npy("<f4", (1, 4, 6), floats(garbage[:24])))
save("ones64.npy", npy("<i8", (1, 4), struct.pack("<4q", 1, 1, 1, 1)))
w = [byte() / 99 - 1 for _ in range(8 * 6)]
npz("w.npz", w=npy("<f4", (8, 6), floats(w)),
    t=npy("<f4", (6, 8), floats([w[k % 8 * 6 + k // 8] for k in range(48)])))
EOP
python3 make.py || exit 99
# net NAME DATA MORE: a net whose recipe r reads it.
net() {
  cat >"$1.tam" <<EON
model net(x: f32[${4:-1},1,8,8]) -> y: f32[${4:-1},10]${5:-} {
  x = x |> conv(12, k=3, pad=1) as a |> relu |> conv(12, k=3, pad=1, groups=3) as b |> relu;
  y = x |> conv(12, k=3, groups=12) as d |> mean([2,3]) |> linear(10) as c;
}
recipe r for net { prune ** with method=obs, sparsity=0.6, data="$2"${3:-}; }
EON
}
# weights NAME OPTIONS...: what the recipe leaves, in NAME.safetensors.
weights() {
  n=$1
  shift
  expect "$n" 0 '' "$TAMIS" show "$n.tam" --random-weights=5 --recipe=r \
    --after=recipe -o "$n.d.tam" "$@"
}
net idx p.idx; weights idx
net gz p.idx.gz; weights gz; same "gzipped" idx.d.safetensors gz.d.safetensors
net npy p.npy; weights npy; same "npy" idx.d.safetensors npy.d.safetensors
net npz p.npz; weights npz; same "npz" idx.d.safetensors npz.d.safetensors
net packed packed.npz; weights packed
net alone alone.npz; weights alone
same "an array of another name" idx.d.safetensors alone.d.safetensors
net mean p.idx ', mean=0.5, scale="0.25"'; weights mean
net scaled scaled.npy; weights scaled
same "mean and scale" mean.d.safetensors scaled.d.safetensors
net png png; weights png
net few p.idx ', samples=3'; weights few
expect "fewer samples are others" 1 '' cmp idx.d.safetensors few.d.safetensors

# Channels go from all layers that have them, and from the program.
cat >channels.tam <<'EON'
model net(x: f32[1,1,8,8]) -> y: f32[1,10] {
  s = x |> conv(12, k=3, pad=1) as a;
  s = s + (s |> relu |> conv(16, k=3, pad=1, bias=true) as b |> relu
             |> conv(12, k=1) as c);
  y = s |> conv(12, k=3, groups=12) as d |> mean([2,3]) |> linear(10) as e;
}
recipe r for net {
  prune a, b, c with pattern=channel, sparsity=0.5, method=obs, data="p.idx";
}
recipe all for net {
  prune ** with pattern=channel, sparsity=0.5, method=obs, data="p.idx",
                scope=global;
}
EON
weights channels
cp channels.d.tam first.tam; cp channels.d.safetensors first.safetensors
weights channels --roundtrip
same "channels again" first.safetensors channels.d.safetensors
expect "channels" 0 '' "$TAMIS" build channels.tam --random-weights=5 \
  --recipe=r -o channels.so --prefix=net --report=channels.json
expect "channels of the dump" 0 '' "$TAMIS" build channels.d.tam -o again.so \
  --prefix=net
same "channels of both" channels.so again.so
expect "channels are gone" 0 '^36180$' awk -F '[:,]' '
  $1 ~ /^   "macs"/ {n += $2} END {print n}' channels.json
expect "channels that stay" 0 'warning: .*10 of 10 channels of e.weight stay: an output has them' \
  "$TAMIS" build channels.tam --random-weights=5 --recipe=all -o channels.so
expect "channels by wanda" 1 'expected unstructured, a block' sh -c \
  "sed 's/method=obs/method=wanda/' channels.tam >wanda.tam
   exec '$TAMIS' build wanda.tam --random-weights=5 --recipe=r -o none.so"
absent "channels by wanda: nothing is written" none.so

# However the model is written and whatever it is built for.
net batch p.npy '' 4; weights batch
net free p.npy '' N ' where N <= 4'; weights free
same "a free batch" idx.d.safetensors free.d.safetensors
cp idx.tam arm.tam
weights arm --target=aarch64-linux-gnu
same "another target" idx.d.safetensors arm.d.safetensors
cp idx.tam trip.tam
weights trip --roundtrip
same "round trip" idx.d.safetensors trip.d.safetensors
expect "dump" 0 '' "$TAMIS" show idx.tam --random-weights=5 --recipe=r \
  --after=parse -o parsed.tam
expect "build" 0 '' "$TAMIS" build idx.tam --random-weights=5 --recipe=r \
  -o idx.so -MD
expect "dependency" 0 'p\.idx' cat idx.d
expect "build of the dump" 0 '' "$TAMIS" build parsed.tam -o parsed.so
same "dump" idx.so parsed.so
mkdir sub
expect "from elsewhere" 0 '' sh -c "cd sub && '$TAMIS' build ../idx.tam \
  --random-weights=5 --recipe=r -o ../sub.so"
same "data beside the file" idx.so sub.so
expect "again" 0 '' "$TAMIS" build idx.tam --random-weights=5 --recipe=r \
  -o again.so
same "deterministic" idx.so again.so
expect "results" 0 'all within' "$TAMIS" check idx.tam --random-weights=5 \
  --recipe=r
expect "progress" 0 'calibrate: call 20 of 20' "$TAMIS" check idx.tam \
  --random-weights=5 --recipe=r --progress=plain

# The recipe is carried out once for all kernels that are tried.
expect "tuned" 0 'call 20 of 20' "$TAMIS" build idx.tam --random-weights=5 \
  --recipe=r --tune -o tuned.so --progress=plain
expect "calibrated once" 0 '' [ "$(grep -c 'call 20 of 20' got.txt)" = 1 ]
expect "tuned results" 0 'all within' "$TAMIS" check idx.tam \
  --random-weights=5 --recipe=r --so=tuned.so

# By hand: |3| * 1 is less than |1| * 10.
cat >hand.tam <<'EON'
model hand(x: f32[1,2]) -> y: f32[1,1] {
  y = x |> linear(1, bias=false) as c;
  weights "hand.safetensors";
}
recipe r for hand { prune c with method=wanda, sparsity=0.5, data="hand.npy"; }
EON
expect "wanda" 0 'all within' "$TAMIS" check hand.tam --recipe=r \
  --in x=ones.npy --expect y=one.npy

# Several inputs, integers, rows of one weight that read other things.
two() {
  cat >two.tam <<EON
model two(ids: i64[1,L], v: f32[1,4]) -> y: f32[1,6] where L <= 9 {
  param table: f32[9,4] = uniform(-1.0, 1.0);
  t = gather(table, ids, axis=0);
  h = t |> cross_attention(reshape(v, [1,1,4]), heads=2) as att;
  y = h |> mean([1]) |> linear(6) as head;
}
recipe r for two { prune ** with method=${2:-obs}, sparsity=0.5, data="$1"; }
EON
}
bad_two() {
  two "$3"
  expect "$1" 3 "$2" "$TAMIS" build two.tam --random-weights=1 --recipe=r \
    -o two.so --progress=plain
  cp got.txt said.txt
  expect "$1: nothing built" 1 '' grep calibrate: said.txt
  absent "$1: nothing written" two.so
}
two two.npz
expect "two inputs" 0 'all within' "$TAMIS" check two.tam --random-weights=1 \
  --recipe=r --dim L=5
two two.npz wanda
expect "two inputs, wanda" 0 'all within' "$TAMIS" check two.tam \
  --random-weights=1 --recipe=r --dim L=5
bad_two "one is missing" "expected an array for the input 'v', found ids" \
  lone.npz
bad_two "uneven" "expected samples for 12 calls as for the input 'ids', \
found 11" uneven.npz
bad_two "real numbers" "expected integers for the input 'ids' of i64, found \
f32" real.npz
bad_two "one array of two" "expected an array for the input 'ids', found one \
array without a name" p.npy
bad_two "pictures of two" "expected a model with one input for a folder of \
images, found 2" png

# Padding, and weights that are the second factor of a product.
tokens() {   # NAME LAYER PARAM DATA STEP
  cat >"$1.tam" <<EON
model tokens(x: f32[1,4,6], m: i64[1,4]) -> y: f32[1,4,8], n: f32[1,4] {
  param $3;
  y = $2;
  n = cast(m, to=f32);
  weights "w.npz";
}
recipe r for tokens { prune ** with sparsity=0.5, data="$4", $5; }
EON
}
product='matmul(x, t) as a'
for method in wanda obs; do
  tokens pad 'linear(x, w) as a' 'w: f32[8,6]' padded.npz \
    "method=$method, mask=m"
  weights pad
  tokens zero 'linear(x, w) as a' 'w: f32[8,6]' zeros.npz "method=$method"
  weights zero
  same "padding left out, $method" pad.d.safetensors zero.d.safetensors
  tokens all 'linear(x, w) as a' 'w: f32[8,6]' padded.npz "method=$method"
  weights all
  expect "padding counted, $method" 1 '' cmp -s pad.d.safetensors \
    all.d.safetensors
  tokens product "$product" 't: f32[6,8]' padded.npz "method=$method, mask=m"
  expect "as a product, $method" 0 'all within' "$TAMIS" check product.tam \
    --recipe=r
  for n in pad product; do
    "$TAMIS" run $n.tam --recipe=r --in x=first.npy --in m=ones64.npy \
      --out y=$n.npy
  done
  expect "the same as a product, $method" 0 'all within' "$TAMIS" check \
    pad.tam --recipe=r --in x=first.npy --in m=ones64.npy \
    --expect y=product.npy --rtol=1e-5
done
tokens both 'linear(matmul(linear(x, w), w), w)' 'w: f32[8,6]' padded.npz \
  method=wanda
expect "rows and columns" 1 "w: layers use its rows and its columns" \
  "$TAMIS" build both.tam --recipe=r -o both.so
tokens none 'linear(x, w) as a' 'w: f32[8,6]' padded.npz \
  'method=wanda, mask=mm'
expect "no such mask" 1 "expected an input of the model, found 'mm'" \
  "$TAMIS" build none.tam --recipe=r -o none.so
also "its nearest" "nearest is 'm'"
tokens none 'linear(x, w) as a' 'w: f32[8,6]' dark.npz \
  'method=wanda, mask=m'
expect "a mask of zeros" 1 "mask=: error: 'm' is 0 in all samples" \
  "$TAMIS" build none.tam --recipe=r -o none.so
tokens none 'linear(x, w) as a' 'w: f32[8,6]' padded.npz \
  'method=wanda, mask=x'
expect "a mask of other things" 1 \
  "'x' has 24 values: expected linear layers .* found 4" \
  "$TAMIS" build none.tam --recipe=r -o none.so

# What is wrong is said before anything is built.
bad() {
  net bad "$3" "${4:-}"
  expect "$1" "${5:-3}" "$2" "$TAMIS" build bad.tam --random-weights=5 \
    --recipe=r -o bad.so --progress=plain
  cp got.txt said.txt
  expect "$1: nothing built" 1 '' grep calibrate: said.txt
  absent "$1: nothing written" bad.so
}
bad "no file" 'lost.npz: error: .*No such file' lost.npz
bad "no array" 'text: error: expected an npz, an npy, IDX' text
bad "shape" "small.idx: error: expected f32\[samples,1,8,8\] for the input 'x', \
found u8\[2,8,7\]" small.idx
bad "no samples" "none.idx: error: expected at least 1 sample for the input 'x', \
found 0" none.idx
bad "cut short" 'cut.gz: error: damaged or cut short: expected 1280 bytes' cut.gz
bad "empty folder" 'nothing: error: expected .png or .jpg files .* found none' nothing
bad "mean of floats" 'expected images or IDX of bytes with mean=' p.npy \
  ', mean=0.5'
bad "means" 'expected 1 or 1 numbers in mean= and scale=, found 3' p.idx \
  ', mean="0.5:0.4:0.3"'
bad "later step" 'lost.npz' p.idx '; prune c with method=wanda, sparsity=0.5,
  data="lost.npz"'
bad "samples" 'samples: expected a whole number' p.idx ', samples=0.5' 1
net bad nan.npy
expect "no numbers" 3 'a.weight: expected finite inputs on nan.npy, found NaN' \
  "$TAMIS" build bad.tam --random-weights=5 --recipe=r -o bad.so
absent "no numbers: nothing written" bad.so
absent "no folder stays" .tamis-*

# Fashion-MNIST: 80 % of the weights, at most 2 of 100 pictures fewer.
f=$SRCDIR/examples/fashion
# (Under the sanitizers that takes minutes, and does nothing else than above.)
if [ -z "${ASAN:-}" ] &&
  [ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ]; then
  cat >right.py <<'EOP'
import ctypes, re, struct, sys
f, so = sys.argv[1:]
images = open(f + "/images.npy", "rb").read()[-784000:]
labels = open(f + "/labels.npy", "rb").read()[-1000:]
size = int(re.search(r"ARENA_BYTES (\d+)", open("fashion.h").read()).group(1))
room = ctypes.create_string_buffer(size + 64)
arena = (ctypes.addressof(room) + 63) // 64 * 64
p = (ctypes.c_float * 10)()
run = ctypes.CDLL(so).fashion_run
right = 0
for i in range(1000):
    x = (ctypes.c_float * 784)(*[b / 255 for b in images[784*i:784*i+784]])
    assert run(x, p, ctypes.c_void_p(arena)) == 0
    right += max(range(10), key=lambda k: p[k]) == labels[i]
print(right)
EOP
  sed 's/samples=500/samples=100/' "$f/fashion.tam" >f.tam
  cp "$f/dense.safetensors" .
  expect "fashion, weights" 0 '' "$TAMIS" show f.tam --recipe=oneshot \
    --after=recipe -o fd.tam
  expect "fashion" 0 '' "$TAMIS" build fd.tam -o ./f.so
  sparse=$(python3 right.py "$f" ./f.so)
  expect "fashion, dense" 0 '' "$TAMIS" build f.tam -o ./dense.so
  dense=$(python3 right.py "$f" ./dense.so)
  echo "right: $sparse, dense $dense"
  expect "at most 2 points" 0 '' [ "$sparse" -ge $((dense - 20)) ]
  cat >zeros.py <<'EOP'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
all = zeros = 0
for name, t in json.loads(data[8:8 + n]).items():
    if name.endswith(".weight") and len(t["shape"]) > 1:
        lo, hi = (8 + n + x for x in t["data_offsets"])
        v = struct.unpack("<%df" % ((hi - lo) // 4), data[lo:hi])
        all, zeros = all + len(v), zeros + v.count(0.0)
print(zeros, all)
EOP
  expect "80 % are zeros" 0 '^123392 154240$' python3 zeros.py fd.safetensors
fi
finish
