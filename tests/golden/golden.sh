#!/bin/sh
# golden.sh - texts and what the command makes of them.  The suffix of the
# expected file selects the mode:
#   NAME.out   standard output of `tamis show --after=parse`, which has to
#              give the same again when it is read back
#   NAME.err   standard error of the same
# Lines of NAME.tam may say `# options: ...` (else --random-weights=1) and
# `# exit: N` (else 1 for .err).  UPDATE=1 writes the expected files.
set -u
: "${TAMIS:?the command}" "${SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0 count=0

fail() {
  echo "FAIL $f: $1"
  bad=$((bad + 1))
}

# compare GOT EXPECTED
compare() {
  if [ "${UPDATE:-}" ]; then
    cp "$1" "$2"
  elif ! diff -u "$2" "$1"; then
    fail "the output differs"
  fi
}

option_line() {
  sed -n "s/^# $1: *//p" "$f" | head -n 1
}

for dir in parse error; do
  cd "$SRCDIR/tests/golden/$dir" || exit 99
  for f in *.tam; do
    count=$((count + 1))
    options=--random-weights=1
    grep -q '^# options:' "$f" && options=$(option_line options)
    want=$(option_line exit)
    [ "$want" ] || { want=0; [ $dir = parse ] || want=1; }
    # shellcheck disable=SC2086  # options are words
    "$TAMIS" show --after=parse $options "$f" >"$tmp/out" 2>"$tmp/err"
    got=$?
    if [ "$got" != "$want" ]; then
      fail "exit code $got, expected $want"
      cat "$tmp/err"
    elif [ $dir = error ]; then
      compare "$tmp/err" "${f%.tam}.err"
    else
      compare "$tmp/out" "${f%.tam}.out"
      # shellcheck disable=SC2086
      "$TAMIS" show --after=parse $options -o "$tmp/dump.tam" "$f" &&
        "$TAMIS" show --after=parse "$tmp/dump.tam" >"$tmp/again"
      cmp "$tmp/out" "$tmp/again" || fail "the dump reads back differently"
    fi
  done
done
echo "$count texts, $bad failed"
[ "$bad" = 0 ]
