#!/bin/sh
# upscale.sh - fetches the weights of ESRGAN slim, compiles the net for the
# size of a picture, links it into a program and makes the picture larger.
#
#   sh upscale.sh 2|3|4 IN.png OUT.png [EXPECTED.png]
#
# Works in the current folder; ./upscale is the program. TAMIS and CC name
# the compilers.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
: "${TAMIS:=tamis}" "${CC:=cc}"

case $#-${1-} in
[34]-[234]) net=x$1 ;;
*)
  echo 'usage: upscale.sh 2|3|4 IN.png OUT.png [EXPECTED.png]' >&2
  exit 2
  ;;
esac
shift

# width and height, four bytes each, follow the first 16 of a PNG
head=$(od -An -v -tu1 -N24 "$1" | tr -s ' \n' ' ')
case $head in
' 137 80 78 71 13 10 26 10 0 0 0 13 73 72 68 82 '*) ;;
*)
  echo "$1: expected a PNG file" >&2
  exit 1
  ;;
esac
size=$(echo "$head" | awk '{
  print "--dim=W=" (($17 * 256 + $18) * 256 + $19) * 256 + $20,
    "--dim=H=" (($21 * 256 + $22) * 256 + $23) * 256 + $24}')

if [ ! -d package ]; then
  npm pack -s @upscalerjs/esrgan-slim@1.0.0 >/dev/null
  tar xzf upscalerjs-esrgan-slim-1.0.0.tgz
fi
python3 "$here/convert.py" package .

# shellcheck disable=SC2086
"$TAMIS" build "$here/esrgan.tam" --model=$net $size \
  --weights=$net.safetensors --prefix=net -o libnet.so
# shellcheck disable=SC2046,SC2016
$CC -std=c11 -O2 -Wall -Wextra -I. -I"$here/../../runtime" \
  "$here/upscale.c" libnet.so -Wl,-rpath,'$ORIGIN' \
  $(pkg-config --cflags --libs libpng) -lm -o upscale
./upscale "$@"
