#!/bin/sh
# face.sh - fetches MediaPipe's two full-range face nets, compiles them,
# links both into a program and lets it look for faces.
#
#   sh face.sh [PHOTO...]
#
# Works in the current folder: ./face is the program, and each photograph
# gets NAME.sparse.png and NAME.dense.png with the faces drawn in.  TAMIS
# and CC name the compilers.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${TAMIS:=tamis}" "${CC:=cc}"

say() { printf '$ %s\n' "$*"; }

if [ ! -d package ]; then
  say npm pack @mediapipe/face_detection@0.4.1657300184
  tar xzf "$(npm pack -s @mediapipe/face_detection@0.4.1657300184)"
fi
say tamis build package/face_detection_full_range_sparse.tflite \
  --prefix=sparse -o libsparse.so
"$TAMIS" build package/face_detection_full_range_sparse.tflite \
  --prefix=sparse -o libsparse.so
say tamis build package/face_detection_full_range.tflite --prefix=dense \
  -o libdense.so
"$TAMIS" build package/face_detection_full_range.tflite --prefix=dense \
  -o libdense.so

say "cc face.c detect.c photo.c libsparse.so libdense.so ... -o face"
# shellcheck disable=SC2046
$CC -std=c11 -O2 -Wall -Wextra -I. "$here/face.c" "$here/detect.c" \
  "$here/photo.c" libsparse.so libdense.so -Wl,-rpath,'$ORIGIN' \
  $(pkg-config --cflags --libs libpng libturbojpeg) -lm -o face

for photo; do
  name=$(basename "$photo")
  for net in sparse dense; do
    ./face --net "$net" "$photo" "${name%.*}.$net.png"
  done
done
