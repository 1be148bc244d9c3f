#!/bin/sh
# dumps.sh - every dump of `show --dir` by itself parses, prints the same
# again and builds to the bytes that the source gives.
. "$SRCDIR/tests/cli/lib.sh"

# dumps FOLDER FILE OPTION...
dumps() {
  folder=$1 file=$2
  shift 2
  expect "$folder-build" 0 '' "$TAMIS" build "$file" "$@" -o source.so
  expect "$folder-dir" 0 '' "$TAMIS" show "$file" "$@" --dir="$folder"
  for f in "$folder"/*.tam; do
    pass=${f##*-}
    pass=${pass%.tam}
    expect "$f-build" 0 '' "$TAMIS" build "$f" -o dump.so
    same "$f-bytes" source.so dump.so
    expect "$f-show" 0 '' "$TAMIS" show --after="$pass" "$f" -o again.tam
    # Only the weights statement, which comes last, differs: the folder
    # shares one file.
    sed '/^  weights /,$d' "$f" >one.txt
    sed '/^  weights /,$d' again.tam >two.txt
    same "$f-text" one.txt two.txt
  done
}

fashion=$SRCDIR/examples/fashion/fashion.tam
mobilenet=$SRCDIR/examples/mobilenet/mobilenet.tam
dumps fashion "$fashion"
dumps sparse "$fashion" --weights="$SRCDIR/examples/fashion/sparse.safetensors"
expect roundtrip 0 '' "$TAMIS" build "$fashion" --roundtrip \
  --weights="$SRCDIR/examples/fashion/sparse.safetensors" -o round.so
same roundtrip-bytes source.so round.so
# What passes compute is not called like an input or a state.
cat >names.tam <<'EOF'
model m(bias: f32[1,2], literal: f32[2]) -> y: f32[1,2], z: f32[2] {
  param w: f32[2,2];
  state alpha: f32[2] = 0.5;
  y = linear(bias, w) * 2.0 + 1.0;
  z = leaky_relu(where(literal > 0.0, 1.0, literal), alpha=0.1) + alpha;
  next alpha = z;
}
EOF
expect names 0 '' "$TAMIS" check --roundtrip --random-weights=1 names.tam
[ -n "${TAMIS_QUICK:-}" ] || {
  dumps mobilenet "$mobilenet" --random-weights=1 --recipe=sparse
  expect mobilenet-roundtrip 0 '' "$TAMIS" build "$mobilenet" --roundtrip \
    --random-weights=1 --recipe=sparse -o round.so
  same mobilenet-roundtrip-bytes source.so round.so
}
finish
