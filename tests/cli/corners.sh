#!/bin/sh
# corners.sh - what the passes make of extreme sizes and values computes what
# the text says, which the evaluator takes as it was read.
. "$SRCDIR/tests/cli/lib.sh"
# What is read by mistake shows: malloc fills memory with large numbers.
MALLOC_PERTURB_=170
export MALLOC_PERTURB_
R=--random-weights=1

# agrees NAME TYPE VALUE [OPTIONS]: the model on standard input, compiled,
# gives the y that the evaluator gives; its x has VALUE, in which p is drawn.
agrees() {
  of=$1
  cat >m.tam
  echo "model source() -> x: $2 { param p: $2; x = $3; }" >source.tam
  shift 3
  rm -f x.npy y.npy
  "$TAMIS" run source.tam $R --out=x=x.npy &&
    "$TAMIS" run m.tam $R "$@" --in=x=x.npy --engine=reference \
      --out=y=y.npy
  expect "$of" 0 'all within tolerance' "$TAMIS" check m.tam $R "$@" \
    --in x=x.npy --expect y=y.npy --rtol 1e-4
}

# ---- padding and empty maps

agrees pruned 'f32[1,16,33,33]' p --recipe=r <<'EOF'
model m(x: f32[1,16,33,33]) -> y: f32[1,16,33,33] {
  y = x |> conv(16, k=3, pad=36, dilation=36) as a;
}
recipe r for m { prune a with sparsity=0.9; }
EOF
agrees zeros 'f32[1,4,2,2]' p <<'EOF'
model m(x: f32[1,4,2,2]) -> y: f32[1,4,202,202] {
  param w: f32[4,4,1,1] = 0.0;
  y = conv2d(x, w, pad=[100,100,100,100]);
}
EOF
agrees narrow 'f32[1,2,4,0]' p <<'EOF'
model m(x: f32[1,2,4,0]) -> y: f32[1,3,4,2] {
  y = x |> conv(3, pad=[0,1], bias=true);
}
EOF
agrees low 'f32[1,2,0,4]' p --recipe=r <<'EOF'
model m(x: f32[1,2,0,4]) -> y: f32[1,8,2,4] {
  y = x |> conv(8, pad=[1,0], bias=true) as a;
}
recipe r for m { prune a with sparsity=0.9; }
EOF
agrees line 'f32[1,2,0]' p <<'EOF'
model m(x: f32[1,2,0]) -> y: f32[1,3,2] {
  param w: f32[3,2,1]; param b: f32[3];
  y = conv1d(x, w, b, pad=[1,1]);
}
EOF
# Sizes near the limits: it compiles, or says what is too large.
cat >wide.tam <<'EOF'
model m(x: f32[1,1,549755813888,1]) -> y: f32[1,1,549755813888,2] {
  param w: f32[1,1,1,1];
  y = conv2d(x, w, pad=[0,0,0,1073741824], stride=[1,1073741824]);
}
EOF
expect wide 0 'conv2d_plain' "$TAMIS" show wide.tam $R --after=plan
cat >padded.tam <<'EOF'
model m(x: f32[1,1,4,4]) -> y: f32[1,1,4,2] {
  param w: f32[1,1,1,1];
  p = pad(x, [0,0,0,0], [0,0,0,1073741824]);
  y = conv2d(p, w, pad=[0,0,0,8], stride=[1,1073741824]);
}
EOF
expect padded 0 ' = pad' "$TAMIS" show padded.tam $R --after=plan
cat >workspace.tam <<'EOF'
func f(a: f32[1]) -> y: f32[1] {
  b = expand(a, [549755813888]);
  y = sum(b, [0], keep=true);
}
model m(x: f32[1]) -> y: f32[1] { y = f(x); }
EOF
expect workspace 1 'workspace.tam:5:.*more than 2\^40' \
  "$TAMIS" build workspace.tam
cat >pool.tam <<'EOF'
model m(x: f32[1,16,4,4]) -> y: f32[1,16,3,3] {
  y = x |> conv(16, k=3, pad=1)
        |> max_pool(k=[1000000,1000000], pad=[999998,999998,0,0]);
}
EOF
# Pools read no halo.
expect pool 0 'arena=[0-9]{1,5};' \
  "$TAMIS" show pool.tam $R --after=plan
agrees pooled 'f32[1,3,9,9]' p <<'EOF'
model m(x: f32[1,3,9,9]) -> y: f32[1,4,4,4] {
  y = x |> conv(4, k=1) |> max_pool(k=[9,9], stride=[3,3], pad=[4,4,5,5]);
}
EOF

# ---- scales and shifts

agrees no-columns 'f32[2,0]' p <<'EOF'
model m(x: f32[2,0]) -> y: f32[2,3] { param w: f32[3,0]; y = linear(x * 2.0, w); }
EOF
agrees no-channels 'f32[1,0,4,4]' p <<'EOF'
model m(x: f32[1,0,4,4]) -> y: f32[1,3,4,4] { y = x |> bn |> conv(3, k=1, bias=true); }
EOF
agrees compared 'f32[2,3]' p <<'EOF'
model m(x: f32[2,3]) -> y: f32[2,0] {
  param w: f32[0,3];
  y = where(less(linear(x, w), 0.5), 1.0, 2.0);
}
EOF
cat >truth.tam <<'EOF'
model m(x: f32[2,3]) -> y: b1[2,0] { param w: f32[0,3]; y = less(linear(x, w), 0.5); }
EOF
expect truth 0 'y: b1\[2,0\] = less' "$TAMIS" show truth.tam $R --after=fuse

# What a weight becomes has to be a float as good as it was.
agrees overflow 'f32[1,2]' 'p * 0.0 + 1.0e-30' <<'EOF'
model m(x: f32[1,2]) -> y: f32[1,2] {
  param w: f32[2,2] = 1.0e20; y = linear(x, w) * 1.0e20;
}
EOF
agrees underflow 'f32[1,2]' 'p * 0.0 + 1.0e30' <<'EOF'
model m(x: f32[1,2]) -> y: f32[1,2] {
  param w: f32[2,2] = 1.0e-20; y = linear(x, w) * 1.0e-30;
}
EOF
agrees beside 'f32[1,2]' 'p' <<'EOF'
model m(x: f32[1,2]) -> y: f32[1,2] {
  param a: f32[2,1] = 1.0; param b: f32[2,1] = 1.0e-20;
  y = linear(x, concat(a, b, axis=1)) * 1.0e-20;
}
EOF
agrees overflow-before 'f32[1,2]' 'p * 0.0 + 1.0e-30' <<'EOF'
model m(x: f32[1,2]) -> y: f32[1,2] {
  param w: f32[2,2] = 1.0e20; y = linear(x * 1.0e20, w);
}
EOF
agrees bias 'f32[1,2]' 'p * 0.0 + 1.0' <<'EOF'
model m(x: f32[1,2]) -> y: f32[1,2] {
  param w: f32[2,2] = -1.0e18; param b: f32[2] = 2.0e18; y = linear(x, w, b) * 1.0e21;
}
EOF
agrees norm 'f32[1,2]' 'p * 0.0 + 1.0e-38' <<'EOF'
model m(x: f32[1,2]) -> y: f32[1,2] {
  param g: f32[2] = 1.0e37; param b: f32[2] = 0.0; param v: f32[2] = 0.0;
  y = batch_norm(x, g, b, b, v, eps=0.0001);
}
EOF
for op in '* 0.0' '/ inf' '* -0.0'; do
  agrees "infinity $op" 'f32[1,2]' 'p * inf' <<EOF
model m(x: f32[1,2]) -> y: f32[1,3] { param w: f32[3,2]; y = linear(x, w) $op; }
EOF
done

# ---- signs of zero

for f in 'maximum(x, -0.0)' 'clip(x, -0.0, 6.0)' 'clip(x, -0.0, inf)'; do
  agrees "$f" 'f32[4]' '-abs(p)' <<EOF
model m(x: f32[4]) -> y: f32[4] { y = 1.0 / $f; }
EOF
  agrees "$f behind a product" 'f32[1,4]' '-abs(p)' <<EOF
model m(x: f32[1,4]) -> y: f32[1,4] {
  param w: f32[4,4] = 1.0; x = linear(x, w); y = 1.0 / $f;
}
EOF
done

# ---- long texts: what takes quadratic time takes minutes here

awk 'BEGIN {
  print "model m(x: f32[1,4]) -> y: f32[1,4] {\n  v0 = relu(x);"
  for (i = 1; i < 60000; i++) printf "  v%d = relu(v%d);\n", i, i - 1
  print "  y = exp(v59999);\n}"
}' >chain.tam
expect chain 0 'y: f32' "$TAMIS" show chain.tam --after=plan
awk 'BEGIN {
  n = 20000
  printf "model m("
  for (i = 0; i < n; i++) printf "%sx%d: f32[1]", i ? ", " : "", i
  printf ") -> "
  for (i = 0; i < n; i++) printf "%sy%d: f32[1]", i ? ", " : "", i
  print " {"
  for (i = 0; i < n; i++) printf "  y%d = exp(x0);\n", i
  print "}"
}' >ends.tam
expect ends 0 'y19999' "$TAMIS" show ends.tam --after=plan
awk 'BEGIN {
  n = 30000
  print "model m(x: f32[1]) -> y: f32[1] {"
  for (i = 0; i < n; i++) {
    printf "  state s%d: f32[1] = 0.0;\n", i
    printf "  next s%d = s%d + x;\n", i, i
  }
  print "  y = x;\n}"
}' >states.tam
expect states 0 'next s29999' "$TAMIS" show states.tam --after=select
awk 'BEGIN {
  print "model m(x: f32[1]) -> y: f32[1] {"
  for (i = 0; i < 16000; i++) printf "  v%d = w%d + x;\n", i, i
  print "  y = x;\n}"
}' >unknown.tam
expect unknown 1 'more errors|further' "$TAMIS" show unknown.tam --after=parse

# Transposed constants: axes of odd sizes, over the edge of a square.
cat >transposed.tam <<'END'
model m(x: f32[1]) -> a: f32[37,53], b: f32[5,19,33], c: f32[7,3,18,5],
    d: f32[7,3,5,18], e: f32[19,5,33], f: f32[53,0] {
  param w2: f32[53,37];
  param w3: f32[19,33,5];
  param w4: f32[3,18,5,7];
  param w0: f32[0,53];
  a = permute(w2, order=[1,0]) + x;
  b = permute(w3, order=[2,0,1]) + x;
  c = permute(w4, order=[3,0,1,2]) + x;
  d = permute(w4, order=[3,0,2,1]) + x;
  e = permute(w3, order=[0,2,1]) + x;
  f = permute(w0, order=[1,0]) + x;
}
END
expect "transposed constants" 0 'all within tolerance' "$TAMIS" check $R \
  transposed.tam --rtol=1e-6
"$TAMIS" show $R transposed.tam --after=fold >got.tam
expect "they are folded" 1 '' grep permute got.tam
finish
