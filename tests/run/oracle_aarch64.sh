#!/bin/sh
# oracle_aarch64.sh - every op against PyTorch's values on 64-bit Arm, under
# qemu: tests/unit/test_oracle.c with another target.
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
. "$SRCDIR/tests/run/aarch64.sh"
if [ ! -x "$BUILDDIR/test_oracle" ]; then
  echo "skip: no test_oracle (Debian package libcmocka-dev)"
  exit 77
fi
ORACLE_TARGET=$arm ORACLE_RUNNER=$runner "$BUILDDIR/test_oracle"
