#!/bin/sh
# bootstrap.sh - bootstrap and all.sh among stand-ins for the programs that
# they run: when they configure, and what they call a failure.
. "$SRCDIR/tests/cli/lib.sh"

mkdir -p bin tests info
cp "$SRCDIR/bootstrap" .
cp "$SRCDIR/tests/all.sh" tests/
touch configure.ac Makefile.am Makefile.in
PATH=$out/bin:$PATH DPKG_ADMINDIR=$out
export PATH DPKG_ADMINDIR

program() {   # NAME: a shell script, from the standard input
  { echo '#!/bin/sh'; cat; } >"$1"
  chmod +x "$1"
}
echo 'echo installed' | program bin/dpkg-query
echo : | program bin/clang-22
program configure <<'E2'
case "$*" in *CC=clang*) [ ! -f ../no-clang ] || exit 1 ;; esac
touch config.status Makefile
E2
program bin/make <<'E2'
case "$*" in
*build*check*)
  cat suite.txt
  printf '# %s\n' 'TOTAL: 2' 'PASS: 2' 'FAIL: 0' 'ERROR: 0' 'XPASS: 0' \
    'XFAIL: 0' 'SKIP: 0'
  ;;
*distcheck*) [ -d build ] ;;
esac
E2
printf 'PASS: %s\n' test_base tests/cli/cli.sh >suite.txt
touch -d '3 hours ago' ./*

configures() { ! ./bootstrap "$@" | grep -q 'configuring'; }
expect "configures at first" 1 '' configures
touch -d '2 hours ago' build/Makefile build/config.status
expect "does not configure twice" 0 '' configures
touch -d '1 hour ago' info/libcmocka-dev:amd64.list
expect "configures where a package came" 1 '' configures check
expect "does not configure twice after it" 0 '' configures check

expect "unit tests" 1 'PASS: test_base .gcc' ./bootstrap check
echo 'PASS: tests/cli/cli.sh' >suite.txt
expect "no unit tests" 1 'FAIL: gcc has no unit tests' ./bootstrap check
touch -d '1 minute ago' build-san/Makefile
touch no-clang
expect "no build with clang" 1 'FAIL: configure-san' ./bootstrap check
expect "in which folder" 1 'PASS: distcheck' ./bootstrap check
finish
