#!/bin/sh
# embed.sh NAME FILE: print a C source that holds FILE as NAME[], NAME_len.
set -e
echo '#include "frontend/frontend.h"'
echo
echo "const char $1[] = {"
od -An -v -tu1 "$2" | sed 's/  */,/g; s/^,//; s/$/,/'
echo '0};'
echo "const size_t $1_len = sizeof $1 - 1;"
