#!/bin/sh
# install.sh - what `make install` puts where, and that it works from there.
. "$SRCDIR/tests/cli/lib.sh"

expect install 0 '' make -C "$BUILDDIR" -s install DESTDIR="$out/root" \
  prefix=/usr
for f in bin/tamis include/tamis.h include/tamis_pthreadpool.h lib/pkgconfig/tamis.pc \
  lib/cmake/Tamis/TamisConfig.cmake lib/cmake/Tamis/TamisConfigVersion.cmake \
  share/man/man1/tamis.1 share/bash-completion/completions/tamis \
  $(sed -n '/^\.SH SEE ALSO/,$p' "$SRCDIR/doc/man/tamis.1" |
    grep -o '[a-z]*\.md' | sed 's|^|share/doc/tamis/|'); do
  if [ -s "root/usr/$f" ]; then
    echo "ok   $f"
  else
    echo "FAIL $f is not installed"
    bad=$((bad + 1))
  fi
done
expect version 0 '^tamis ' root/usr/bin/tamis --version
expect pkg-config 0 '^[0-9.]+$' env PKG_CONFIG_PATH=root/usr/lib/pkgconfig \
  pkg-config --modversion tamis
echo '#include <tamis.h>' >h.c
expect header-c 0 '' cc -std=c99 -pedantic -Wall -Wextra -Werror \
  -Iroot/usr/include -c h.c
expect header-cxx 0 '' c++ -x c++ -Wall -Wextra -Werror -Iroot/usr/include \
  -c h.c
# The Python module: under /usr where python3 looks, elsewhere in one place.
module=$(find root/usr -name tamis.py)
echo 'model net(x: f32[2]) -> y: f32[2] { y = x + 1; }' >net.tam
expect python 0 '^.2.0, 3.0.$' env -u TAMIS PYTHONDONTWRITEBYTECODE=1 \
  PYTHONPATH="${module%/*}" python3 -c 'import array, tamis
net = tamis.build("net.tam")
print(net(array.array("f", [1, 2])).tolist())'
expect python-usr 0 "^/usr/lib/python3" sh "$SRCDIR/python/folder.sh" /usr
expect python-opt 0 '^/opt/none/lib/python3/dist-packages$' \
  sh "$SRCDIR/python/folder.sh" /opt/none
expect python-folder 0 '' make -C "$BUILDDIR" -s install \
  DESTDIR="$out/other" prefix=/opt/none pythondir=/srv/modules
expect python-folder 0 'import tamis' cat other/srv/modules/tamis.py
expect uninstall 0 '' make -C "$BUILDDIR" -s uninstall \
  DESTDIR="$out/other" prefix=/opt/none pythondir=/srv/modules
expect uninstall 0 '^0$' sh -c 'find other -type f | wc -l'
expect completion 0 '--recipe' bash -c ". root/usr/share/bash-completion/completions/tamis
  COMP_WORDS=(root/usr/bin/tamis build --re) COMP_CWORD=2
  _tamis; echo \"\${COMPREPLY[@]}\""
expect completion-levels 0 '^-O0 -O1 -O2 -O3 -Os$' bash -c "
  . root/usr/share/bash-completion/completions/tamis
  COMP_WORDS=(root/usr/bin/tamis build -O) COMP_CWORD=2
  _tamis; echo \"\${COMPREPLY[@]}\""
# Every option of --help stands in the manual page.
for c in build run bench check show targets; do
  "$TAMIS" $c --help | sed -n 's/^  \(-[-A-Za-z]*\).*/\1/p'
done | sed 's/^-OLEVEL/-O2/' | sort -u >options
while read -r o; do
  grep -q -- "$(printf '%s' "$o" | sed 's/-/\\\\-/g')" \
    "$SRCDIR/doc/man/tamis.1" || {
    echo "FAIL manual page: $o is missing"
    bad=$((bad + 1))
  }
done <options
finish
