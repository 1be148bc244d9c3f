#!/bin/sh
# cmake.sh - find_package(Tamis) and pkg-config, as installed: the examples;
# models in C and C++ projects, compiled anew when they change; cross builds;
# what is said of wrong calls.
. "$SRCDIR/tests/cli/lib.sh"
if ! command -v cmake >/dev/null; then
  echo "FAIL: no cmake (Debian package cmake)"
  exit 1
fi
expect install 0 '' make -C "$BUILDDIR" -s install DESTDIR="$out/root" \
  prefix=/usr pythondir=/usr/lib/python3/dist-packages
# A sanitized build tests the compiler, not what is built here.
unset TAMIS CC CXX CFLAGS CXXFLAGS LDFLAGS MAKEFLAGS MAKELEVEL MFLAGS
prefix=$out/root/usr

configure() {   # SOURCE BUILD OPTION...
  from=$1 to=$2
  shift 2
  cmake -S "$from" -B "$to" -DCMAKE_PREFIX_PATH="$prefix" "$@"
}

# ---- the examples ----------------------------------------------------

expect "example, configure" 0 'done' configure "$SRCDIR/examples/cmake" \
  example -DCMAKE_CXX_FLAGS='-O2 -Wall -Wextra -Werror'
expect "example, build" 0 'Compiling the model sparse' cmake --build example
expect "example, run" 0 'sparse is right on 933' example/classify \
  "$SRCDIR/examples/fashion"
also "example, dense" 'dense is right on 945'
# CMake takes clang's own objcopy with it.
for v in 22 21 20 19; do
  command -v clang++-$v >/dev/null || continue
  expect "clang, configure" 0 'done' configure "$SRCDIR/examples/cmake" \
    clang -DCMAKE_CXX_COMPILER=clang++-$v
  expect "clang, build" 0 'Built target' cmake --build clang
  expect "clang, run" 0 'sparse is right on 933' clang/classify \
    "$SRCDIR/examples/fashion"
  break
done

mkdir -p ex/embed
cp "$SRCDIR/examples/embed/"* ex/embed/
cp -r "$SRCDIR/examples/fashion" ex/
chmod -R u+w ex
pc="pkg-config --define-prefix"
PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export PKG_CONFIG_PATH
expect "make" 0 "$prefix/bin/tamis build" make -C ex/embed PKG_CONFIG="$pc"
expect "make, C" 0 '^class [0-9]' ex/embed/embed-c
expect "make, C++" 0 'the same results' ex/embed/embed-cc
expect "make again" 0 'Nothing to be done' make -C ex/embed PKG_CONFIG="$pc"
touch ex/fashion/dense.safetensors
expect "make, new weights" 0 'bin/tamis build' make -C ex/embed \
  PKG_CONFIG="$pc"

# ---- a project of one's own ------------------------------------------

mkdir project
cat >model.py <<'EOP'
import sys
sys.path.insert(0, sys.argv[1])
from onnx_file import *
write(sys.argv[2], model(Graph(
    [node("Mul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])],
    [("x", [4])], [("y", [4])],
    [floats("w", [4], [float(sys.argv[3])] * 4)])))
EOP
onnx() {   # FACTOR: what net.onnx multiplies by
  PYTHONDONTWRITEBYTECODE=1 python3 model.py "$SRCDIR/tests/onnx" \
    project/net.onnx "$1"
}
cat >project/half.tam <<'EOP'
import "other.tam" as other;
model half(x: f32[4]) -> y: f32[4] { y = x * 0.5; }
recipe none for half { }
EOP
cat >project/other.tam <<'EOP'
model other(x: f32[4]) -> y: f32[4] { y = x; }
EOP
cat >project/main.c <<'EOP'
#include <stdio.h>

#include "half.h"
#include "net.h"
#include "tamis.h"

int main(void) {
  _Alignas(64) static unsigned char arena[NET_ARENA_BYTES + HALF_ARENA_BYTES
                                          + 64];
  const float x[4] = { -1, 2, 3, 4 };
  float y[4], z[4];
  int code = net_run(x, y, arena);
  if (code == 0) code = half_run(y, z, arena);
  printf("%d: %g %g %g %g, ABI %d, %s\n", code, z[0], z[1], z[2], z[3],
         (int)net_model.abi, half_model.cpu);
  return code;
}
EOP
sed 's/_Alignas/alignas/; s/<stdio.h>/<cstdio>/; s/printf/std::printf/' \
  project/main.c >project/main.cc
cat >project/CMakeLists.txt <<'EOP'
cmake_minimum_required(VERSION 3.20)
project(project ${LANGUAGE})
find_package(Tamis 0.1 REQUIRED)
tamis_add_model(my-net FROM net.onnx NAME net ${KIND} ${CPU})
tamis_add_model(half FROM half.tam RECIPE none
  OPTIONS --model=half --strip -v)
add_executable(main ${MAIN})
target_link_libraries(main PRIVATE my-net half Tamis::Tamis)
install(TARGETS main my-net PUBLIC_HEADER DESTINATION include)
EOP
expect "a model" 0 '' onnx 4
if ! [ -f project/net.onnx ]; then finish; exit; fi

own() {   # FOLDER OPTION...: the whole project there
  dir=$1
  shift
  expect "$dir, configure" 0 'done' configure project "$dir" "$@" \
    -DCMAKE_C_FLAGS='-Wall -Wextra' -DCMAKE_CXX_FLAGS='-Wall -Wextra'
  expect "$dir, build" 0 "build --emit=obj --prefix=net " \
    cmake --build "$dir" -v
}
generators="Unix_Makefiles"
if command -v ninja >/dev/null; then generators="$generators Ninja"; fi
for g in $generators; do
  onnx 4
  gen=$(echo "$g" | tr _ ' ')
  own "$g-c" -G "$gen" -DLANGUAGE=C -DMAIN=main.c -DKIND=SHARED
  expect "$g, run" 0 '^0: 0 4 6 8, ABI 4' "$g-c/main"
  expect "$g, shared" 0 '' test -f "$g-c/libmy-net.so"
  expect "$g, nothing to do" 1 '' sh -c \
    "cmake --build $g-c 2>&1 | grep 'Compiling the model'"
  sleep 1
  onnx 6
  expect "$g, another model" 0 'Compiling the model my-net' \
    cmake --build "$g-c"
  cp got.txt said.txt
  expect "$g, it alone" 1 '' grep 'Compiling the model half' said.txt
  expect "$g, run" 0 '^0: 0 6 9 12,' "$g-c/main"
  touch project/other.tam
  expect "$g, what a model imports" 0 'Compiling the model half' \
    cmake --build "$g-c"
  touch "$prefix/bin/tamis"
  expect "$g, another command" 0 'Compiling the model my-net' \
    cmake --build "$g-c"
done
expect "installed" 0 '' env DESTDIR="$out/inst" cmake --install \
  Unix_Makefiles-c --prefix /usr
expect "installed header" 0 'net_run' cat inst/usr/include/net.h
onnx 4
own cxx -DLANGUAGE=CXX -DMAIN=main.cc -DKIND=STATIC
expect "C++" 0 '^0: 0 4 6 8, ABI 4' cxx/main
expect "static" 0 '' test -f cxx/libmy-net.a
own shared -DLANGUAGE='C;CXX' -DMAIN=main.cc -DBUILD_SHARED_LIBS=ON \
  -DCPU="CPU;$(uname -m | sed 's/_/-/; s/aarch64/generic/')"
expect "BUILD_SHARED_LIBS" 0 '' test -f shared/libmy-net.so
expect "C and C++" 0 '^0: 0 4 6 8, ABI 4' shared/main
expect "CPU" 0 'cpu=(x86-64|generic) ' cat \
  shared/CMakeFiles/my-net.dir/build.make

# ---- for another machine ---------------------------------------------

arm=aarch64-linux-gnu
if command -v $arm-gcc >/dev/null && [ "$(uname -m)" != aarch64 ]; then
  own cross -DLANGUAGE=C -DMAIN=main.c -DCMAKE_SYSTEM_NAME=Linux \
    -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=$arm-gcc \
    -DCMAKE_OBJCOPY="$(command -v $arm-objcopy)" \
    -DCMAKE_EXE_LINKER_FLAGS=-static
  if command -v qemu-aarch64 >/dev/null; then
    expect "64-bit Arm" 0 '^0: 0 4 6 8, ABI 4, generic' \
      qemu-aarch64 cross/main
  fi
fi
# The same kind of machine, but not this one.
own sysroot -DLANGUAGE=C -DMAIN=main.c -DCMAKE_SYSTEM_NAME=Linux \
  -DCMAKE_SYSTEM_PROCESSOR="$(uname -m)"
expect "baseline" 0 'ABI 4, (x86-64|generic)$' sysroot/main

# ---- what is said ----------------------------------------------------

wrong() {   # NAME PATTERN CALL OPTION...
  name=$1 pattern=$2
  mkdir -p wrong
  {
    echo 'cmake_minimum_required(VERSION 3.20)'
    echo "project(wrong ${LANGUAGES-C})"
    echo "$3"
  } >wrong/CMakeLists.txt
  shift 3
  rm -rf wrong.build
  expect "$name" 1 "$pattern" configure wrong wrong.build "$@"
}
found='find_package(Tamis REQUIRED)
'
wrong "no FROM" 'expected FROM FILE' "${found}tamis_add_model(net)"
wrong "unknown word" "found 'FORM'|FORM" \
  "${found}tamis_add_model(net FROM a.tam FORM)"
wrong "both kinds" 'found both' \
  "${found}tamis_add_model(net FROM a.tam SHARED STATIC)"
wrong "another system" 'expected a build for Linux' \
  "set(CMAKE_SYSTEM_NAME Haiku)
  ${found}tamis_add_model(net FROM a.tam)"
wrong "another machine" "PROCESSOR 'mips'" "set(CMAKE_SYSTEM_PROCESSOR mips)
  ${found}tamis_add_model(net FROM a.tam)"
wrong "a newer release" 'version "?9.0' 'find_package(Tamis 9.0 REQUIRED)'
wrong "a later range" 'requested version range|version "?0.2' \
  'find_package(Tamis 0.2...<0.9 REQUIRED)'
LANGUAGES=NONE wrong "no language" 'a project with C or CXX' \
  "${found}tamis_add_model(net FROM a.tam)"
mv "$prefix/bin/tamis" "$prefix/bin/moved"
wrong "no command" 'set TAMIS_COMMAND to it' \
  "set(CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH OFF)
  set(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)
  $found"
rm -rf wrong.build
expect "range" 0 'done' sh -c "cat >wrong/CMakeLists.txt <<'E'
cmake_minimum_required(VERSION 3.20)
project(wrong NONE)
find_package(Tamis 0.1...<0.2 REQUIRED)
E
cmake -S wrong -B wrong.build -DCMAKE_PREFIX_PATH=$prefix \
  -DTAMIS_COMMAND=$prefix/bin/moved"
finish
