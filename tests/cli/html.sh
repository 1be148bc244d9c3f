#!/bin/sh
# html.sh - the page of a report: its structure, names that would be markup,
# its size for a large net; and in headless Chromium, where there is one.
. "$SRCDIR/tests/cli/lib.sh"
page="python3 $SRCDIR/tests/run/page.py"
cat >net.tam <<'EON'
block cbr(x, c: int) -> y {
  y = x |> conv(c, k=3, pad=1) |> bn |> relu;
}
model net(x: f32[1,3,16,16]) -> y: f32[1,10] {
  repeat s for c in [16, 24] { x = x |> cbr(c) as u; }
  y = x |> mean([2,3]) |> linear(10) as head;
}
recipe r for net { prune ** with sparsity=0.8; }
EON
build() {
  "$TAMIS" build --random-weights=3 -o n.so "$@"
}
expect "JSON" 0 '' build net.tam --recipe=r --report=r.json
expect "page" 0 '' build net.tam --recipe=r --report=r.html
expect "structure" 0 '' $page check r.html r.json
expect "again" 0 '' build net.tam --recipe=r --report=again.html
same "is reproducible" r.html again.html
expect "measured" 0 '' build net.tam --recipe=r --report=m.html --measure
expect "its structure" 0 '' $page check m.html r.json
expect "says so" 0 'latency, measured' cat m.html
expect "without a recipe" 0 '' build net.tam --report=plain.html
expect "its JSON" 0 '' build net.tam --report=plain.json
expect "its structure" 0 '' $page check plain.html plain.json

# What a picture shows: a weight of two rows, of which one is zero.
printf 'import struct\nh=b"""{"c.weight":{"dtype":"F32","shape":[2,4],
"data_offsets":[0,32]}}"""\nh+=b" "*(64-len(h))
if len(h)%%8: h+=b" "*(8-len(h)%%8)
open("two.safetensors","wb").write(struct.pack("<Q",len(h))+h+
  struct.pack("<8f",1,2,0,4,0,0,0,0))\n' >two.py
python3 two.py || exit 99
cat >two.tam <<'EON'
model two(x: f32[1,4]) -> y: f32[1,2] {
  y = x |> linear(2, bias=false) as c;
  weights "two.safetensors";
}
EON
expect "two rows" 0 '' "$TAMIS" build two.tam -o n.so --report=two.html
cat >look.py <<EOP
import sys
sys.path.insert(0, "$SRCDIR/tests/run")
import page
p = page.Page(open("two.html").read())
wide, high, alpha = page.pixels(p.images[0]["src"])
assert [list(r) for r in alpha] == [[255, 255, 0, 255], [0] * 4], alpha
EOP
expect "their picture" 0 '' python3 look.py

# Names and places that would be markup or leave a string.
cat >evil.tam <<'EON'
dump after="parse";
model evil(x: f32[1,4]) -> y: f32[1,4] {
  param c.weight: f32[4,4];
  h: f32[1,4] = linear(x, c.weight) as c
    from "</pre><img src=x onerror=hit=1>.onnx" "<script>hit=1</script>\"'&";
  y: f32[1,4] = relu(h) as r
    from "--><b>.onnx" "</td></table><script>window.hit=2</script>";
}
recipe pending for evil { prune c.weight with sparsity=0.5; }
EON
mkdir '<b id=x>&"'
expect "data" 0 '' python3 -c '
import struct
h = "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (1, 4), }"
h = h.replace("\"", chr(39))
h += " " * (63 - (len(h) + 10) % 64) + "\n"
open("<b id=x>&\"/x.npy", "wb").write(b"\x93NUMPY\1\0" +
  struct.pack("<H", len(h)) + h.encode() + struct.pack("<4f", 1, 2, 3, 4))'
expect "markup in names" 0 '' build evil.tam --report=evil.html \
  --data='<b id=x>&"/x.npy'
expect "as JSON" 0 '' build evil.tam --report=evil.json \
  --data='<b id=x>&"/x.npy'
expect "does no harm" 0 '' $page check evil.html evil.json
expect "is there as text" 0 '&#60;script&#62;hit=1&#60;/script&#62;' \
  cat evil.html

# A large net: 400 layers, pictures and diffs are bounded.
{
  echo 'model big(x: f32[1,512]) -> y: f32[1,512] {'
  echo '  repeat l for i in 0..400 { x = x |> linear(512) as f |> relu; }'
  echo '  y = x;'
  echo '}'
} >big.tam
expect "a large net" 0 '' build big.tam --report=big.html
expect "its JSON" 0 '' build big.tam --report=big.json
expect "its structure" 0 '' $page check big.html big.json
expect "less than 4 MB" 0 '' test "$(wc -c <big.html)" -lt 4000000
expect "says what is cut" 0 '[0-9]+ smaller weights are not shown' cat big.html

# What is wrong.
expect "another name" 2 'ends in .json or .html' \
  build net.tam --report=r.htm
expect "no page of what is no code" 2 'contradicts --emit=tam' \
  build net.tam --emit=tam --report=no.html
absent "no page" no.html
expect "a failing build" 2 '' build two.tam --recipe=none --report=no.html
absent "has none" no.html

$page browse r.html r.json >browse.txt 2>&1
case $? in
0)
  expect "in Chromium" 0 '' true
  expect "markup in Chromium" 0 '' $page browse evil.html evil.json
  expect "a large net in Chromium" 0 '' $page browse big.html big.json
  ;;
77) cat browse.txt ;;
*) cat browse.txt; expect "in Chromium" 0 '' false ;;
esac
finish
