#!/bin/sh
# free.sh - dimensions that stay free until a call: batch, length, loops; what
# is refused; from C, from Python; dumps; the same for 64-bit Arm under qemu.
. "$SRCDIR/tests/cli/lib.sh"
nets=$SRCDIR/tests/free
weights=--random-weights=3

for net in mlp maps text recur regroup; do
  expect "$net at several sizes" 0 'all within tolerance' \
    "$TAMIS" check $weights "$nets/$net.tam" --rtol=1e-4
done
for recipe in sparse blocks; do
  expect "$recipe maps" 0 'all within tolerance' "$TAMIS" check $weights \
    "$nets/maps.tam" --recipe=$recipe --rtol=1e-4 --sizes=off
  expect "$recipe text" 0 'all within tolerance' "$TAMIS" check $weights \
    "$nets/text.tam" --recipe=$recipe --rtol=1e-4
done
expect "bounds of the command line" 0 '^with N = 4$' \
  "$TAMIS" check $weights "$nets/mlp.tam" --dim N=2..6
also "from the least" '^with N = 2$'
expect "without optimisation, through text" 0 'all within tolerance' \
  "$TAMIS" check $weights "$nets/text.tam" --rtol=1e-4 -O0 --roundtrip
expect "loops through text" 0 'all within tolerance' \
  "$TAMIS" check $weights "$nets/recur.tam" --rtol=1e-4 --roundtrip --sizes=off
expect "with threads" 0 'all within tolerance' \
  "$TAMIS" check $weights "$nets/maps.tam" --rtol=1e-4 --threads=2 --sizes=off
expect "vectors of 4" 0 'all within tolerance' \
  "$TAMIS" check $weights "$nets/text.tam" --rtol=1e-4 --cpu=x86-64 --sizes=off
expect "one fixed, one free" 0 '^with T = 40$' \
  "$TAMIS" check $weights "$nets/text.tam" --dim B=2 --sizes=off
expect "a range of one" 0 '^ok +h ' \
  "$TAMIS" check $weights "$nets/text.tam" --dim B=2..2 --dim T=7..7
expect "all fixed" 0 '^ok +h ' \
  "$TAMIS" check $weights "$nets/text.tam" --dim B=2 --dim T=7

# ---- what is built, and what is refused ------------------------------------

"$TAMIS" build $weights "$nets/mlp.tam" -o libmlp.so || exit 1
expect "header" 0 'const int64_t dims\[\], void \*arena' cat mlp.h
also "bounds in the header" 'define MLP_N_MOST 8'
also "shapes in the header" 'f32\[N,20\]'
cc -std=c11 -Wall -Wextra -Werror -O1 -I. "$nets/call.c" libmlp.so \
  -Wl,-rpath,"$out" -lm -o call || exit 1
expect "from C" 0 'all sizes' ./call
expect "bench at a size" 0 'median' "$TAMIS" bench libmlp.so --runs=2 --dim N=3
expect "a size out of its range" 2 'expected N from 1 to 8, found 9' \
  "$TAMIS" bench libmlp.so --dim N=9
expect "no such dimension" 2 "no free dimension 'M'" \
  "$TAMIS" bench libmlp.so --dim M=3
expect "a range for what is built" 2 'expected a size' \
  "$TAMIS" bench libmlp.so --dim N=1..3
expect "check what was built" 0 '^with N = 1$' \
  "$TAMIS" check $weights "$nets/mlp.tam" --so=libmlp.so
expect "check it at a size" 0 'all within tolerance' \
  "$TAMIS" check $weights "$nets/mlp.tam" --so=libmlp.so --dim N=5

cat >open.tam <<'END'
model open(x: f32[N,4]) -> y: f32[N,4] { y = relu(x); }
END
expect "no bound" 2 'give its bound with --dim N=1..MOST' \
  "$TAMIS" build open.tam -o x.so
expect "bound it" 0 '' "$TAMIS" build open.tam -o x.so --dim N=..5
for dim in N=5..2 N=0..4 N=1... N=..x N=; do
  expect "not a range: $dim" 2 '^--dim: error' \
    "$TAMIS" build open.tam -o x.so --dim $dim
done
cat >least.tam <<'END'
model least(x: f32[N,4]) -> y: f32[N-1,4] where N >= 2, N < 6 {
  y = slice(x, axis=0, start=0, stop=N-1) + slice(x, axis=0, start=1, stop=N);
}
END
expect "a least size" 0 '^with N = 2$' "$TAMIS" check least.tam
expect "below the least" 2 'expected at least 2' \
  "$TAMIS" check least.tam --dim N=1..4
cat >width.tam <<'END'
model width(x: f32[1,3,8,W]) -> y: f32[1,4,8,W] where W <= 20 {
  y = x |> conv(4, k=3, pad=1) as c;
}
END
expect "a width of maps" 4 'as c: .* is free, which is not supported' \
  "$TAMIS" build $weights width.tam -o x.so
cat >called.tam <<'END'
func twice(x: f32[N,T,4]) -> y: f32[N,T,4] { y = x * 2.0; }
model m(x: f32[N,T,4]) -> y: f32[N,T,4] where N <= 3, T <= 5 {
  y = twice(x + 1.0);
}
END
expect "an entry that is called" 4 "'twice' is called and an entry" \
  "$TAMIS" check called.tam
sed 's/twice/_twice/' called.tam >own.tam
expect "a function that is called" 0 'all within tolerance' \
  "$TAMIS" check own.tam
cat >odd.tam <<'END'
model odd(x: f32[N,4]) -> y: f32[N,4] where N <= 8 {
  y = if N > 6 then relu(x) else tanh(x);
}
END
expect "another graph at other sizes" 4 'there is a tanh in its place' \
  "$TAMIS" build odd.tam -o x.so
absent "nothing was written" odd.so

# ---- versions for sizes ------------------------------------------------------

ranges() {
  sed -n '/"sizes"/,/}/p' "$1" | grep -v '"layers"' | tr -d ' \n{}"'
}
"$TAMIS" build $weights "$nets/mlp.tam" -o v.so --report=v.json || exit 1
expect "versions by sizes" 0 \
  '^sizes:N:\[1,1\],*sizes:N:\[2,2\],*sizes:N:\[3,4\],*sizes:N:\[5,8\],*$' \
  ranges v.json
cat >scans.tam <<'END'
model scans(x: f32[T,B,6]) -> y: f32[T,B,50] where T <= 40, B <= 3 {
  y, h, c = x |> lstm(50) as l;
}
END
expect "loops have versions" 0 'all within tolerance' \
  "$TAMIS" check $weights scans.tam --rtol=1e-4
"$TAMIS" build $weights scans.tam -o v.so --report=v.json || exit 1
expect "of the steps" 0 'T:\[1,1\],B:\[1,1\]' ranges v.json
expect "each is checked" 0 '^with N = 4$' "$TAMIS" check $weights "$nets/mlp.tam"
also "that for two" '^with N = 2$'
"$TAMIS" build $weights "$nets/text.tam" -o v.so --report=v.json || exit 1
expect "of two dimensions the farther one" 0 'sizes:B:\[1,1\],T:\[9,32\]' \
  ranges v.json
also "all of it" 'B:\[1,1\],T:\[33,40\],*sizes:B:\[1,3\],T:\[1,40\]'
"$TAMIS" build $weights "$nets/maps.tam" -o v.so --report=v.json || exit 1
expect "maps of a batch" 0 '^sizes:N:\[1,1\],*sizes:N:\[2,[0-9]+\],*$' \
  ranges v.json
for one in --sizes=off -Os -O1; do
  "$TAMIS" build $weights "$nets/mlp.tam" -o v.so --report=v.json $one || exit 1
  expect "one version with $one" 1 '' grep versions v.json
done
expect "assembly has one" 0 '' \
  "$TAMIS" build $weights "$nets/mlp.tam" --emit=asm -o v.s
"$TAMIS" build $weights "$nets/text.tam" --recipe=blocks -o v.so || exit 1
copies() {
  "$TAMIS" bench v.so --layers --json --runs=1 --dim B=1 --dim "T=$1" |
    grep -c '"copy"'
}
expect "layers are those of the version" 0 '^fewer$' \
  sh -c "[ $(copies 1) -lt $(copies 40) ] && echo fewer"
if [ "$(uname -m)" = x86_64 ]; then
  "$TAMIS" build $weights "$nets/mlp.tam" --cpu=x86-64-v3+x86-64-v2 -o two.so \
    --report=v.json || exit 1
  expect "versions by CPU and sizes" 0 'N:\[3,4\]' ranges v.json
  expect "of which calls take one" 0 'all within tolerance' \
    "$TAMIS" check $weights "$nets/mlp.tam" --so=two.so --cpu=x86-64-v3+x86-64-v2
fi
"$TAMIS" build $weights "$nets/mlp.tam" --external-weights=v.bin -o v.so \
  --emit=obj --strip || exit 1

# ---- dumps ------------------------------------------------------------------

"$TAMIS" build $weights "$nets/recur.tam" -o whole.so || exit 1
"$TAMIS" show $weights --after=recipe "$nets/recur.tam" -o d.tam || exit 1
"$TAMIS" build d.tam -o d.so --prefix=recur || exit 1
same "from the dump after recipe" whole.so d.so
"$TAMIS" build $weights "$nets/recur.tam" -o whole.so --sizes=off || exit 1
for pass in parse canon fuse layout select plan; do
  "$TAMIS" show $weights --after=$pass "$nets/recur.tam" -o d.tam || exit 1
  "$TAMIS" build d.tam -o d.so --prefix=recur --sizes=off || exit 1
  same "from the dump after $pass" whole.so d.so
done
expect "a dump is fixed, too" 0 'f32\[3,2,6\]' \
  sh -c "'$TAMIS' show $weights --after=parse '$nets/recur.tam' -o p.tam &&
         '$TAMIS' show --after=canon p.tam --dim T=3 --dim N=2"

# ---- Python, Arm ------------------------------------------------------------

if python3 -c '' 2>/dev/null; then
  cat >sizes.py <<'END'
import array, sys
import tamis
net = tamis.load("libmlp.so")
assert net.dims == {"N": range(1, 9)}, net.dims
assert repr(net.inputs[0]) == "x: f32[N,20]", net.inputs
numbers = array.array("f", (i / 60 for i in range(60)))
x = memoryview(numbers).cast("B").cast("f", (3, 20))
y = memoryview(net(x))
assert y.shape == (3, 10), y.shape
one = memoryview(net(numbers[:20], dims={"N": 1}))
assert max(abs(a - b) for a, b in zip(one.tolist()[0], y.tolist()[0])) < 1e-6
for bad in ({}, {"N": 0}, {"N": 9}, {"M": 1}):
    try:
        net(array.array("f", range(20)), dims=bad)
    except ValueError:
        continue
    sys.exit(f"{bad} was taken")
print("sizes from arrays")
END
  expect "Python" 0 'sizes from arrays' \
    env PYTHONPATH="$SRCDIR/python" python3 sizes.py
fi
if command -v qemu-aarch64 >/dev/null && [ -d /usr/aarch64-linux-gnu ]; then
  "$TAMIS" build $weights "$nets/mlp.tam" --target=aarch64-linux-gnu \
    --emit=lib -o arm.a || exit 1
  aarch64-linux-gnu-gcc -std=c11 -O1 -I. "$nets/call.c" arm.a -lm -o arm ||
    exit 1
  expect "64-bit Arm" 0 'all sizes' qemu-aarch64 -L /usr/aarch64-linux-gnu ./arm
fi

# A version for small sizes fuses what that for all does not.
cat >fused.tam <<'END'
model m(x: f32[N,16]) -> y: f32[N,9] where N <= 40 {
  y = x |> linear(9) as l |> gelu;
}
END
expect "steps of versions" 0 'all within tolerance' "$TAMIS" check fused.tam \
  --random-weights=1
finish
