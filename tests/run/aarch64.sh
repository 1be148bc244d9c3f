# aarch64.sh - for tests on 64-bit Arm: sourced, cross-compiles the runner
# (runner.c) to $out and sets $runner, the command that starts it: under
# qemu, or as it is where this machine is one.  Without a cross compiler the
# test is skipped.
arm=aarch64-linux-gnu
if ! command -v $arm-gcc >/dev/null; then
  echo "skip: no $arm-gcc (Debian package gcc-$arm)"
  exit 77
fi
emulator=
if [ "$(uname -m)" != aarch64 ]; then
  if ! command -v qemu-aarch64 >/dev/null; then
    echo "no qemu-aarch64 (Debian package qemu-user)"
    exit 1
  fi
  emulator="qemu-aarch64 -L /usr/$arm"
fi
runner="$emulator $out/runner"
$arm-gcc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -I"$SRCDIR" \
  "$SRCDIR/tests/run/runner.c" "$SRCDIR/tests/run/fence.c" \
  "$SRCDIR/base/check.c" "$SRCDIR/base/temporary.c" -lm -o "$out/runner" || exit 1
