#!/bin/sh
# python.sh - the Python module: its tests with numpy and without, and the
# example.
. "$SRCDIR/tests/cli/lib.sh"
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
# One that has numpy; Debian's may not be the first.
python=
for p in python3 /usr/bin/python3; do
  if "$p" -c 'import numpy' 2>/dev/null; then python=$p; break; fi
done
if [ -z "$python" ]; then
  echo "FAIL: no python3 with numpy (Debian package python3-numpy)"
  exit 1
fi
expect "with numpy" 0 '^OK' "$python" "$SRCDIR/tests/python/test_tamis.py"
expect "without numpy" 0 '^OK .skipped' "$python" -S \
  "$SRCDIR/tests/python/test_tamis.py"
expect "example" 0 'dense is right on 945' env \
  PYTHONPATH="$SRCDIR/python" "$python" "$SRCDIR/examples/python/classify.py"
for pattern in 'Net fashion.x: f32.1,1,28,28.. -> p: f32.1,10.' \
  'sparse is right on 933' 'threads say the same of 1000'; do
  also "example: $pattern" "$pattern"
done
finish
