#!/bin/sh
# folder.sh PREFIX - where a module installed under PREFIX goes: the first
# folder there that python3 looks in (on Debian lib/python3/dist-packages of
# /usr, lib/python3.11/dist-packages of /usr/local), else
# PREFIX/lib/python3/dist-packages, for PYTHONPATH.
for python in python3 /usr/bin/python3; do
  "$python" -I - "$1/lib/" 2>/dev/null <<'EOP' && exit
import site
import sys
folders = site.getsitepackages() + [site.getusersitepackages()]
print(next(f for f in folders if f.startswith(sys.argv[1])))
EOP
done
echo "$1/lib/python3/dist-packages"
