#!/bin/sh
# run.sh - the whole bench: layers and nets beside peers, the sweep of
# densities, tables and pictures.
#   bench/run.sh [BUILD_DIR [build] [layers] [nets] [sweep] [report]]
# BUILD_DIR holds tamis and bench/layers (`make bench` makes both and calls
# this).  Results are BUILD_DIR/bench/results.*; Python peers come from PyPI
# into BUILD_DIR/bench/venv and venv-deepsparse.  A peer that is missing is
# skipped and its reason reported.  In the environment:
#   CPU=x86-64-v3  ours is compiled for AVX2 and all peers are held to it;
#                  results-x86-64-v3.* and so on
#   MACHINE=TEXT   what the report says was measured on
#   ROUNDS=N       samples, if not 15 of a layer and 20 of a net
#   THREADS=N      of the nets; those of several threads have a table each,
#                  beside that of one
#   TURN=FILE      locked while something is timed
set -eu
src=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-$src/build}" && pwd)
[ $# -gt 0 ] && shift
steps=${*:-build layers nets sweep report}
out=$build/bench
cpu=${CPU:-}
end=${cpu:+-$cpu}
threads=${THREADS:-1}
mkdir -p "$out/layer$end"
# They choose other kernels than those for this CPU.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE || :

say() { echo "bench: $*" >&2; }

# Samples are not shared with other programs where the system lets us.
if chrt -f 1 true 2>/dev/null; then
  alone='chrt -f 1'
else
  say 'no right to real-time priority: others may take the core away'
  alone=
fi

# What holds peers to AVX2: held.c hides the rest from all of a process but the
# C library, which begins before it; the switches of those that have one.
case $cpu in
'')
  held=
  ;;
x86-64-v3)
  ${CC:-cc} -O2 -std=c11 -Wall -Wextra -shared -fPIC -o "$out/held.so" \
    "$src/bench/held.c"
  held="env LD_PRELOAD=$out/held.so
    GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW
    DNNL_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=AVX2
    OPENBLAS_CORETYPE=Haswell LIBXSMM_TARGET=hsw
    NM_ARCH=avx2 NM_ARCH_FILE=$out/deepsparse$end.json"
  grep -q avx512f /proc/cpuinfo || held=
  $held true || {
    say 'peers cannot be held to AVX2 on this machine'
    exit 77
  }
  ;;
*)
  say "CPU=$cpu: peers can be held to x86-64-v3 alone"
  exit 2
  ;;
esac

packages() {
  missing=
  for p in libdnnl-dev libxnnpack-dev libopenblas-dev libxsmm-dev \
    python3-venv; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q ' installed' ||
      missing="$missing $p"
  done
  command -v npm >/dev/null || missing="$missing npm"
  [ -z "$missing" ] || say "for all peers: apt-get install$missing"
}

# Each package on its own, so that one without a wheel costs one peer.
venvs() {
  [ -x "$out/venv/bin/python" ] || python3 -m venv "$out/venv"
  for p in numpy onnx onnxruntime openvino ai-edge-litert tflite flatbuffers \
    apache-tvm; do
    "$out/venv/bin/pip" install -q --only-binary :all: "$p" 2>"$out/pip.log" ||
      say "PyPI gives no $p: $(tail -n 1 "$out/pip.log")"
  done
  old=$out/venv-deepsparse
  [ -x "$old/bin/python" ] || python3 -m venv "$old"
  "$old/bin/pip" install -q --only-binary deepsparse,onnx,onnxruntime \
    deepsparse 2>"$out/pip.log" || {
    say "PyPI gives no deepsparse: $(tail -n 1 "$out/pip.log")"
    rm -rf "$old"
  }
}

pool() {
  ${CC:-cc} -O2 -std=c11 -Wall -Wextra -shared -fPIC -I"$src" \
    -o "$out/pool.so" "$src/bench/pool.c" -lpthreadpool 2>"$out/pool.log" ||
    say "no nets on several threads: $(head -n 1 "$out/pool.log")"
}

# An OpenBLAS that is older than the CPU takes kernels of 2004.
openblas_kernels() {
  core=$(python3 -c 'import ctypes
f = ctypes.CDLL("libopenblas.so.0").openblas_get_corename
f.restype = ctypes.c_char_p
print(f().decode())' 2>/dev/null) || return 0
  if [ "$core" = Prescott ] && grep -q avx512vl /proc/cpuinfo; then
    export OPENBLAS_CORETYPE=SkylakeX
  fi
}

# DeepSparse reads /proc/cpuinfo; NM_ARCH alone leaves its AVX-512 code on.
deepsparse_arch() {
  for bin in "$out"/venv-deepsparse/lib/python*/site-packages/*/arch.bin; do
    [ ! -x "$bin" ] || "$bin" | sed 's/"isa": "avx512"/"isa": "avx2"/
      s/"\(bf16\|vbmi\|vbmi2\|vnni\)": true/"\1": false/' \
      >"$out/deepsparse$end.json"
  done
}

face() {
  net=face_detection_full_range_sparse.tflite
  package=@mediapipe/face_detection@0.4.1657300184
  [ -s "$out/$net" ] && return
  (cd "$out" && npm pack --silent "$package" >/dev/null &&
    tar -xzOf mediapipe-face_detection-0.4.1657300184.tgz \
      "package/$net" >"$net.new" && mv "$net.new" "$net") ||
    say "npm does not give $package"
}

layers() {
  $alone $held "$out/layers" --tamis="$build/tamis" --dir="$out/layer$end" \
    ${cpu:+"--cpu=$cpu"} ${TURN:+"--turn=$TURN"} "$@" \
    "$src/bench/shapes.txt"
}

# Artifacts first, two at a time, so that nothing compiles between samples.
artifacts() {
  for part in 0/2 1/2; do
    "$out/layers" --tamis="$build/tamis" --dir="$out/layer$end" \
      ${cpu:+"--cpu=$cpu"} "$@" --build=$part "$src/bench/shapes.txt" &
  done
  wait
}

for step in $steps; do
  say "$step"
  case $step in
  build)
    packages
    sh "$src/bench/peers.sh" "$out/peers"
    venvs
    pool
    face
    artifacts
    artifacts --sweep
    ;;
  layers)
    (
      openblas_kernels
      layers --peers="$out/peers" ${ROUNDS:+"--rounds=$ROUNDS"} \
        >"$out/layers.new"
    )
    mv "$out/layers.new" "$out/layers$end.jsonl"
    ;;
  nets)
    [ -z "$cpu" ] || deepsparse_arch
    nets=nets$end
    [ "$threads" = 1 ] || nets=$nets-threads$threads
    $alone $held "$out/venv/bin/python" "$src/bench/nets.py" \
      ${cpu:+"--cpu=$cpu"} ${TURN:+"--turn=$TURN"} \
      ${ROUNDS:+"--rounds=$ROUNDS"} "--threads=$threads" "$build" \
      "$out/$nets.json"
    ;;
  sweep)
    layers --sweep --rounds=9 >"$out/sweep.new"
    mv "$out/sweep.new" "$out/sweep$end.jsonl"
    ;;
  report)
    python3 "$src/bench/report.py" ${cpu:+"--cpu=$cpu"} \
      ${MACHINE:+"--machine=$MACHINE"} "$out"
    say "results$end.md, .json, layers$end.svg and nets$end.svg are in $out"
    ;;
  *)
    say "no such step: $step"
    exit 2
    ;;
  esac
done
