#!/bin/sh
# doc.sh - the examples of doc/language.md: blocks marked ```tam have to
# compile up to the graph, those marked ```tam error have to fail with a
# message; further words of the mark are options.  And doc/ir.md has an entry
# for each op and kernel of the tables, a gradient for each op, and none for
# what is in no table.
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

# entries HEADING WORD: what the section's entries are about, sorted: the
# first word of each `...` that stands in the first column of a table headed
# "| WORD |", or at the start of a **`...`** paragraph.
entries() {
  awk -v heading="## $1" -v word="| $2 |" '
    function spans(s, before) {
      while (match(s, before "`[^`]*`")) {
        name = substr(s, RSTART, RLENGTH)
        s = substr(s, RSTART + RLENGTH)
        gsub(/^[*`]*|[^a-z0-9_*`].*|`$/, "", name)
        print name
      }
    }
    /^## / { inside = $0 == heading }
    !inside { next }
    !/^\|/ { table = 0 }
    index($0, word) == 1 { table = 1 }
    table && /^\| `/ { split($0, cell, "|"); spans(cell[2], "") }
    /^\*\*`/ { spans($0, "[*][*]") }
  ' "$SRCDIR/doc/ir.md" | sort
}

# same NAME: the section has what the table has.
same() {
  if ! diff "$tmp/table" "$tmp/entries"; then
    echo "FAIL doc/ir.md: $1 (<) and what is described (>) differ"
    bad=$((bad + 1))
  fi
}

sed -n 's/^OP([A-Z0-9_]*, "\([a-z0-9_]*\)".*/\1/p' "$SRCDIR/ir/ops.def" |
  sort >"$tmp/table"
entries Ops op >"$tmp/entries"
same ir/ops.def
entries Gradients op >"$tmp/entries"
same 'the gradients of ir/ops.def'
sed -n 's/^KERNEL(\([a-z0-9_]*\),.*/\1/p' "$SRCDIR/ir/kernels.def" |
  sort >"$tmp/table"
entries Kernels kernel >"$tmp/entries"
same ir/kernels.def
[ -s "$tmp/table" ] || bad=$((bad + 1))
[ "$bad" = 0 ]
