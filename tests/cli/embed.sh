#!/bin/sh
# embed.sh - the embedding examples build, link and run, in C and C++.
set -eu
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd "$out"
"$TAMIS" build "$SRCDIR/examples/fashion/fashion.tam" -o libfashion.so
# A sanitized build tests the compiler, not what is linked here.
cc -std=c11 -Wall -Wextra -Werror -O1 -I. "$SRCDIR/examples/embed/embed.c" \
  libfashion.so -Wl,-rpath,"$out" -o c
./c >c.out
cat c.out
grep -q '^class [0-9], logit' c.out
grep -q '^without an input: -1$' c.out
grep -q '^arena off by one: -2$' c.out
c++ -std=c++17 -Wall -Wextra -Werror -O1 -I. \
  "$SRCDIR/examples/embed/embed.cc" libfashion.so -Wl,-rpath,"$out" \
  -pthread -o cc
./cc
# The header alone, strict, in both languages.
echo '#include "fashion.h"' >h.c
cc -std=c99 -pedantic -Wall -Wextra -Werror -c h.c -I.
c++ -x c++ -std=c++98 -pedantic -Wno-long-long -Wall -Wextra -Werror -c h.c -I.
