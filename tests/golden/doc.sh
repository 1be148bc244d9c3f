#!/bin/sh
# doc.sh - the examples of doc/language.md: blocks marked ```tam have to
# compile up to the graph, those marked ```tam error have to fail with a
# message; further words of the mark are options.
set -u
: "${TAMIS:?the command}" "${SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

awk -v dir="$tmp" '
  /^```tam/ {
    n++
    file = sprintf("%s/%02d.tam", dir, n)
    mark = sprintf("%s/%02d.mark", dir, n)
    sub(/^```tam */, "")
    print NR " " $0 > mark
    next
  }
  /^```/ { file = ""; next }
  file { print > file }
' "$SRCDIR/doc/language.md"

for f in "$tmp"/*.tam; do
  read -r line words <"${f%.tam}.mark"
  want=ok
  case $words in error*) want=error words=${words#error} ;; esac
  # shellcheck disable=SC2086  # words are options
  "$TAMIS" show --after=parse --random-weights=1 $words "$f" \
    >"$tmp/out" 2>"$tmp/err"
  got=$?
  case $want$got in
  ok0 | error[124]) ;;
  *)
    echo "FAIL doc/language.md:$line: exit code $got, expected $want"
    cat "$tmp/err"
    bad=$((bad + 1))
    ;;
  esac
done
echo "$(ls "$tmp"/*.tam | wc -l) examples, $bad failed"
[ "$bad" = 0 ]
