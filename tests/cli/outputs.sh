#!/bin/sh
# outputs.sh - what is written: in place where it must be, never over what
# was read, never a part of it.
. "$SRCDIR/tests/cli/lib.sh"

cat >net.tam <<'EOF'
model net(x: f32[1,4]) -> y: f32[1,2] {
  y = x |> linear(2) as l;
  weights "net.safetensors";
}
EOF
sed 's/^  weights.*//' net.tam >plain.tam
R=--random-weights=1
expect weights 0 '' "$TAMIS" show plain.tam $R --after=parse -o dump.tam
mv dump.safetensors net.safetensors
cp net.tam net.tam.before
cp net.safetensors net.safetensors.before

# Nothing that was read is written.
expect over-source 2 'net.tam was read' "$TAMIS" build net.tam -o net.tam
expect over-source-dot 2 'net.tam was read' "$TAMIS" build net.tam \
  -o ./net.tam
expect over-weights 2 'was read' "$TAMIS" build net.tam -o net.safetensors
expect over-dump 2 'net.tam was read' "$TAMIS" build net.tam --emit=tam
expect over-show 2 'net.tam was read' "$TAMIS" show net.tam -o net.tam
expect over-show-weights 2 'net.safetensors was read' "$TAMIS" show net.tam \
  -o net.txt
cp net.tam net.json
expect over-report 2 'net.json was read' "$TAMIS" build net.json \
  --report=net.json -o a.so
expect over-deps 2 'net.tam was read' "$TAMIS" build net.tam -MF net.tam \
  -o a.so
expect over-external 2 'was read' "$TAMIS" build net.tam -o a.so \
  --external-weights=net.safetensors
expect over-header 2 'net.h is written by -o' "$TAMIS" build net.tam -o net.h
expect twice 2 'a.json is written by -o' "$TAMIS" build net.tam -o a.json \
  --report=a.json
same source-stays net.tam net.tam.before
same weights-stay net.safetensors net.safetensors.before
absent no-artifact a.so

# What cannot be written leaves nothing at all.
expect no-report 3 'none/r.json' "$TAMIS" build net.tam -o a.so \
  --report=none/r.json
expect no-deps 3 'none/a.d' "$TAMIS" build net.tam -o a.so -MF none/a.d \
  --report=r.json
mkdir folder
expect a-folder 3 'found a directory' "$TAMIS" build net.tam -o folder
expect a-folder-slash 3 'found a directory' "$TAMIS" build net.tam -o fold/
absent no-artifact a.so
absent no-header net.h
absent no-report r.json
expect nothing-else 0 '^dump.tam folder got.txt net.json net.safetensors'\
' net.safetensors.before net.tam net.tam.before plain.tam $' \
  sh -c 'ls -A | tr "\n" " "'

# Devices and pipes stay what they are.
if [ -c /dev/full ]; then
  expect device 3 'No space left' "$TAMIS" build net.tam -o /dev/full
  [ -c /dev/full ] || { echo 'FAIL device: replaced'; bad=$((bad + 1)); }
  absent device-header /dev/net.h
fi
expect file 0 '' "$TAMIS" build net.tam -o lib.so
expect stdout 0 '' sh -c "'$TAMIS' build net.tam -o - >piped.so"
same stdout-bytes lib.so piped.so
absent stdout-file ./-

[ -c /dev/null ] && expect dump-device 0 '' "$TAMIS" build net.tam \
  --emit=tam -o /dev/null
absent dump-device-weights /dev/null.safetensors
expect dump-stdout 0 '^model net' sh -c \
  "'$TAMIS' show net.tam -o /dev/stdout | cat"

# What run writes: all or nothing, and nothing that it read.
cat >two.tam <<'EOF'
model two(x: i64[4]) -> y: i64[4], w: i64[4] {
  y = cast(iota(shape=[4], axis=0), i64) + 9007199254740993;
  w = x * 2;
}
EOF
cp two.tam two.before
echo 'model x() -> x: i64[4] { x = cast(iota(shape=[4], axis=0), i64); }' >x.tam
expect run-makes 0 '' "$TAMIS" run x.tam --out x=x.npy
cp x.npy x.before
cp x.npy a,b.npy
expect run-comma 0 '' "$TAMIS" run two.tam --in a,b.npy
expect run-source 2 'two.tam was read' "$TAMIS" run two.tam --in x.npy \
  --out y=two.tam
expect run-input 2 'x.npy was read' "$TAMIS" run two.tam --in x.npy \
  --out y=x.npy --engine=reference
expect run-twice 2 's.npy is written by --out already' "$TAMIS" run two.tam \
  --in x.npy --out y=s.npy --out w=s.npy
expect run-half 3 'none/w.npy' "$TAMIS" run two.tam --in x.npy \
  --out y=s.npy --out w=none/w.npy
same run-source-stays two.tam two.before
same run-input-stays x.npy x.before
absent run-half-written s.npy
if [ -c /dev/full ]; then
  expect run-full 3 'No space left' "$TAMIS" run two.tam --in x.npy \
    --out y=s.npy --out w=/dev/full
  absent run-full-other s.npy
fi
expect run-both 0 '' "$TAMIS" run two.tam --in x.npy --out y=y.npy \
  --out w=w.npy

# Types that nothing computes in, written and read.
cat >types.tam <<'EOF'
model types() -> a: f64[3], b: i8[3], c: i16[3], d: u16[3], e: u32[3],
    f: u64[3] {
  state x: f64[3] = 0.1;
  a = x;
  b = i8(-128) |> expand([3]);
  c = i16(-32768) |> expand([3]);
  d = u16(65535) |> expand([3]);
  e = u32(4294967295) |> expand([3]);
  f = u64(-1) |> expand([3]);
  next x = x;
}
EOF
cat >typed.tam <<'EOF'
model typed(a: f64[3], b: i8[3], c: i16[3], d: u16[3], e: u32[3], f: u64[3])
    -> y: f64[3], z: u64[3], w: i8[3], v: f32[3] {
  y = a;
  z = f;
  w = b;
  v = cast(a, f32) + cast(b, f32) + cast(c, f32) + cast(d, f32)
        + cast(e, f32) + cast(f, f32);
}
EOF
typed() {
  "$TAMIS" run typed.tam --in a=a.npy --in b="${b-b.npy}" --in c=c.npy \
    --in d=d.npy --in e="${e-e.npy}" --in f="${f-f.npy}" "$@"
}
for engine in native reference; do
  expect types-$engine 0 '' "$TAMIS" run types.tam --engine=$engine \
    --out a=a.npy --out b=b.npy --out c=c.npy --out d=d.npy --out e=e.npy \
    --out f=f.npy
  expect typed-$engine 0 '\] 18446744073709551615$' typed --engine=$engine \
    --out y=y64.npy --out w=w8.npy
  same typed-f64-$engine a.npy y64.npy
  same typed-i8-$engine b.npy w8.npy
done
expect typed-sum 0 '\] 1\.84467e\+19$' typed
b=d.npy expect typed-i8-range 3 'd.npy: error: element 0: 65535 is no i8' typed
e=f.npy expect typed-u32-range 3 '0: 18446744073709551615 is no u32' typed
f=b.npy expect typed-u64-range 3 'element 0: -128 is no u64' typed

# Integers that doubles do not tell apart.
expect ints-equal 0 'all within' "$TAMIS" check two.tam --in x.npy \
  --expect y=y.npy
sed 's/740993/740992/' two.tam >less.tam
expect ints-differ 5 'MISMATCH' "$TAMIS" check less.tam --in x.npy \
  --expect y=y.npy --rtol=0

# Nothing is left behind where programs are tried.
mkdir tmp
expect run-tidy 0 '' env TMPDIR="$out/tmp" "$TAMIS" run two.tam --in x.npy
expect bench-tidy 0 'median' env TMPDIR="$out/tmp" "$TAMIS" bench two.tam \
  --runs=1
expect diff-tidy 0 '' env TMPDIR="$out/tmp" "$TAMIS" show two.tam --diff=plan
expect stats-tidy 0 'code_bytes' env TMPDIR="$out/tmp" "$TAMIS" show two.tam \
  --stats --json
expect all-tidy 0 '^0$' sh -c 'ls -A tmp | wc -l'
expect no-tmp 3 'none.*cannot make a folder' env TMPDIR="$out/none" \
  "$TAMIS" bench two.tam

# A header that would hide another one.
sed 's/model net/model math/' net.tam >math.tam
expect header-name 2 '<math.h>: expected another prefix' "$TAMIS" build \
  math.tam
expect header-prefix 0 '' "$TAMIS" build math.tam --prefix=my_math
expect header-runs 0 'median' "$TAMIS" bench math.tam --runs=1
finish
