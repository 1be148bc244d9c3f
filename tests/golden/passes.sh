#!/bin/sh
# passes.sh - PASS-what.tam as the pass leaves it: standard output of `tamis
# show --after=PASS` is PASS-what.out, or its errors (exit code 1) are
# PASS-what.err.  The first line may say `# options: ...`.  Passes that look
# at the target are shown for x86-64-v3.
# UPDATE=1 writes the expected files, to be read before they are committed.
set -u
: "${TAMIS:?the command}" "${SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0 count=0

cd "$SRCDIR/tests/golden/pass" || exit 99
for f in *.tam; do
  pass=${f%%-*} target=
  case $pass in
  phases | sparse | strips | layout | select | plan)
    target='--target=x86_64-linux-gnu --cpu=x86-64-v3'
    ;;
  esac
  count=$((count + 1))
  name=${f%.tam} kind=out want=0
  if [ -e "$name.err" ]; then kind=err want=1; fi
  options=$(sed -n '1s/^# options: *//p' "$f")
  # shellcheck disable=SC2086  # options are words
  "$TAMIS" show --after="$pass" --random-weights=1 $options $target "$f" \
    >"$tmp/out" 2>"$tmp/err"
  got=$?
  if [ "$got" != "$want" ]; then
    echo "FAIL $f: exit code $got, expected $want"
    cat "$tmp/err"
    bad=$((bad + 1))
  elif [ "${UPDATE:-}" ]; then
    cp "$tmp/$kind" "$name.$kind"
  elif ! diff -u "$name.$kind" "$tmp/$kind"; then
    echo "FAIL $f: the output differs"
    bad=$((bad + 1))
  fi
done
echo "$count texts, $bad failed"
[ "$bad" = 0 ]
