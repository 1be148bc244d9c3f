#!/bin/sh
# empty.sh - tensors without elements: every kernel leaves its loops alone.
. "$SRCDIR/tests/cli/lib.sh"
# What is read by mistake shows: malloc fills memory with large numbers.
MALLOC_PERTURB_=170
export MALLOC_PERTURB_

cat >empty.tam <<'EOF'
model z1(x: f32[1,0,6,6]) -> y: f32[1,4,6,6] {
  y = x |> conv(4, k=1);
}
model z2(x: f32[1,4,6,6]) -> y: f32[1,0,6,6] {
  y = x |> conv(0, k=1);
}
model z3(x: f32[0,4,6,6]) -> y: f32[0,4,6,6] {
  y = x |> conv(4, k=3, pad=1, bias=true) |> relu;
}
model z4(x: f32[1,0,6,6]) -> y: f32[1,4,6,6] {
  y = x |> conv(4, k=3, pad=1, bias=true) |> relu;
}
model z5(x: f32[1,0,6,6]) -> y: f32[1,0,6,6] {
  y = x |> bn |> relu |> maxpool(3, s=1, pad=1);
}
model z6(x: f32[0,8]) -> y: f32[0,3] {
  y = x |> linear(3);
}
model z7(x: f32[2,8]) -> y: f32[2,0] {
  y = x |> linear(0);
}
model z8(x: f32[2,0]) -> y: f32[2,6] {
  y = x |> linear(6, bias=false) |> relu;
}
model z9(x: f32[2,0,3]) -> y: f32[2,3] {
  y = mean(x, [1]);
}
model z10(x: f32[0,3]) -> y: f32[0,3] {
  y = softmax(x, axis=0);
}
model z11(x: f32[0,3]) -> y: f32[3,0] {
  y = permute(x, [1,0]);
}
model z12(x: f32[0,3]) -> y: f32[2,3] {
  y = pad(x, before=[1,0], after=[1,0], value=2.0);
}
model z14(x: f32[2,3,0,4]) -> y: f32[2,5,0,4] {
  y = x |> conv(5, k=1);
}
model z15(x: f32[2,3,0,0]) -> y: f32[2,3] {
  y = mean(x,[2,3]);
}
model z16(x: f32[1,0,6,6], v: f32[4,0,3,3]) -> y: f32[1,4,4,4] {
  y = conv2d(x, v);
}
model z17(x: f32[3,0], v: f32[2,0]) -> y: f32[3,2] {
  y = linear(x, v);
}
model z18(x: f32[0,3,6,6]) -> y: f32[0,3,6,6] {
  y = x |> depthwise;
}
model z19(x: f32[2,4,0,6]) -> y: f32[2,8,0,3] {
  y = x |> conv(8, k=1, s=[1,2], groups=2);
}
model z20(x: f32[2,0,6]) -> y: f32[2,6] {
  y = max(concat(x, x + 1, axis=1), [1]);
}
model z21(x: f32[2,6,0]) -> y: f32[2,6], z: f32[2,6], w: f32[2,6,1] {
  y = sum(x, [2]) |> relu;
  z = min(x, [2]);
  w = mean(x, [2], keep=true);
}
model z22(x: f32[4,0]) -> y: f32[4,0], z: f32[4,3] {
  y = concat(x, x, axis=1);
  z = concat(x, expand(reshape(max(x, [1]), [4,1]), [4,3]), axis=1);
}
model z23(x: f32[0]) -> y: f32[0], z: f32[] {
  y = x; z = sum(x, []);
}
model z24(x: f32[1,4,6,6]) -> y: f32[1,4,6,6] {
  a = x |> conv(0, k=3, pad=1) as a |> relu;
  y = (a |> conv(4, k=3, pad=1) as b) + x;
}
model z25(x: f32[1,4,6,6]) -> y: f32[1,4] {
  a = x |> conv(0, k=3, pad=1) as a |> relu;
  y = (a |> mean([2,3]) |> linear(4) as b);
}
model z26(x: f32[2,0,3], v: f32[0,4], w: f32[3,0]) -> y: f32[2,0,4], z: f32[2,0,0] {
  y = matmul(x, matmul(w, v));
  z = matmul(x, w);
}
model z27(x: f32[0,3,8], v: f32[1,0,8]) -> y: f32[0,4,6], z: f32[1,4,8], g: f32[4,3,3] {
  param w: f32[4,3,3];
  param k: f32[4,0,1];
  y = relu(conv1d(x, w));
  z = conv1d(v, k);
  g = conv1d_weight_grad(x, y, k=[3]);
}
model z28(x: f32[1,2,0,4,4], v: f32[2,0,3,4,4]) -> y: f32[1,3,1,4,4], z: f32[2,3,6,4,4] {
  param w: f32[3,2,2,1,1];
  param k: f32[0,3,2,1,1];
  y = conv3d(x, w, pad=[1,0,0,1,0,0]);
  z = conv3d_transpose(v, k, stride=[2,1,1]);
}
model z29(x: f32[0,2,3,4,4], v: f32[0,3,2,4,4]) -> y: f32[3,2,2,1,1], z: f32[0,2,0,4,4] {
  y = conv3d_weight_grad(x, v, k=[2,1,1]);
  z = slice(x, axis=2, start=1, stop=1);
}
EOF
# shellcheck disable=SC2013
for m in $(sed -n 's/^model \(z[0-9]*\).*/\1/p' empty.tam); do
  expect "$m" 0 'all within tolerance' "$TAMIS" check empty.tam --model="$m" \
    --random-weights=1 --roundtrip
done

# A dump by hand: the zeros around no elements are not there to be read.
cat >halo.tam <<'EOF'
dump after="layout", target="x86_64-linux-gnu", cpu="x86-64-v3", features="", opt=2, sparsity="auto";
model halo(x: f32[1,2,0,4]) -> y: f32[1,4,1,5] {
  param w: f32[4,2,3,3];
  a: f32[1,2,0,4] <layout="n,c:192,h:9,w", origin=48, size=448, halo=[2,2,2,2]> = sqrt(x);
  b: f32[1,4,1,5] <layout="n,c:48,h:9,w", size=256> = conv2d(a, w, pad=[2,2,1,1]);
  y: f32[1,4,1,5] = convert(b);
}
EOF
expect "a halo around nothing" 0 'conv2d\(.*kernel="conv2d_plain"' "$TAMIS" \
  show halo.tam --after=select --random-weights=1
finish
