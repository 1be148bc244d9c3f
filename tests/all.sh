#!/bin/sh
# all.sh - every test in every build; run by `./bootstrap check`, which has
# built build/ with gcc.  Warnings are errors in all builds.  The last two
# lines are "skipped: N" and "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
top=$PWD
jobs=$(nproc 2>/dev/null || echo 2)
passed=0 failed=0 skipped=0
logs=$top/build/all-logs
mkdir -p "$logs"

# outcome NAME STATUS: count one check, whose log there is.
outcome() {
  if [ "$2" = 0 ]; then
    passed=$((passed + 1))
    echo "PASS: $1"
  else
    failed=$((failed + 1))
    echo "FAIL: ${1%%,*}"
    tail -n 60 "$logs/${1%%,*}.log"
    return 1
  fi
}

# step NAME COMMAND...: one check that is a whole command.
step() {
  name=$1 began=$(date +%s)
  shift
  "$@" >"$logs/$name.log" 2>&1
  set -- $?
  outcome "$name, $(($(date +%s) - began)) s" "$1"
}

# suite NAME DIR TARGET [VAR=VALUE...]: `make TARGET` there, which runs the
# tests; each of them counts, and so does the whole where it is more.
suite() {
  name=$1 dir=$2 target=$3 began=$(date +%s)
  shift 3
  make -C "$dir" -s -j"$jobs" "$target" "$@" >"$logs/$name.log" 2>&1
  whole=$?
  grep -E '^(PASS|SKIP|XFAIL|FAIL|XPASS|ERROR):' "$logs/$name.log" |
    sed "s|\$| ($name)|"
  if ! grep -q '^# TOTAL:' "$logs/$name.log"; then
    echo "FAIL: $name did not build or run"
    tail -n 60 "$logs/$name.log"
    failed=$((failed + 1))
    return 1
  fi
  if ! grep -q '^[A-Z]*: test_' "$logs/$name.log"; then
    echo "FAIL: $name has no unit tests (Debian package libcmocka-dev)"
    failed=$((failed + 1))
  fi
  n() { sed -n "s/^# $1: *//p" "$logs/$name.log" | tail -n 1; }
  bad=$(($(n FAIL) + $(n ERROR) + $(n XPASS)))
  passed=$((passed + $(n PASS) + $(n XFAIL)))
  failed=$((failed + bad))
  skipped=$((skipped + $(n SKIP)))
  if [ "$bad" != 0 ]; then
    find "$dir" -name test-suite.log -newermt "@$began" \
      -exec tail -n 150 {} +
  elif [ "$whole" != 0 ]; then
    failed=$((failed + 1))
    echo "FAIL: $name: make $target"
    tail -n 60 "$logs/$name.log"
  elif [ "$target" != check ]; then
    passed=$((passed + 1))
    echo "PASS: $target ($name)"
  fi
  echo "suite $name: $(($(date +%s) - began)) s"
}

# The newest clang of the LLVM releases that Tamis builds with.
clang=
for v in 22 21 20 19; do
  if command -v clang-$v >/dev/null; then clang=clang-$v; break; fi
done

# fuzz_all: each reader's fuzzer for some seconds from its corpus, as many at
# once as there are processors.
fuzz_all() {
  echo "$kinds" | xargs -P "$jobs" -I KIND sh -c 'log=$1/fuzz-KIND
    sh tests/fuzz/fuzz.sh KIND "$2" "$3" >"$log.log" 2>&1
    echo $? >"$log.status"' sh "$logs" "${FUZZ_SECONDS:-15}" "$top/build-san"
  for kind in $kinds; do
    outcome "fuzz-$kind" "$(cat "$logs/fuzz-$kind.status")"
  done
}

# With gcc from what is distributed, built outside of it, installed and removed.
suite gcc build distcheck DISTCHECK_CONFIGURE_FLAGS=--enable-werror

# One build with clang, the sanitizers and the fuzzers' instrumentation: the
# suite, then the fuzzers.
san_configure() (
  mkdir -p build-san && cd build-san &&
    ../configure -q CC="$clang" CXX="clang++${clang#clang}" \
      CFLAGS='-g -O1 -fsanitize=fuzzer-no-link' --enable-asan --enable-werror
)
if [ -z "$clang" ]; then
  echo "FAIL: no clang-19 to 22 (Debian package clang-19)"
  failed=$((failed + 1))
elif [ build-san/Makefile -nt build/config.status ] ||
  step configure-san san_configure; then
  suite san build-san check TAMIS_QUICK=1
  step same-bytes sh tests/same_bytes.sh build/tamis build-san/tamis
  kinds=$(ls tests/fuzz/fuzz_*.c | sed 's/.*fuzz_//; s/\.c$//')
  step fuzzers make -C build-san -s -j"$jobs" \
    $(printf 'fuzz_%s ' $kinds)
  fuzz_all
fi

echo "skipped: $skipped"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
