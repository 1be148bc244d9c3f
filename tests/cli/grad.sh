#!/bin/sh
# grad.sh - gradients spelled in the language (tests/grad/grad.tam) against
# PyTorch's autograd: every result of every model; then native code against
# the reference evaluator on the same inputs.
. "$SRCDIR/tests/cli/lib.sh"
dir=$SRCDIR/tests/grad

for m in $(sed -n 's/^model \([a-z]*\)(.*/\1/p' "$dir/grad.tam"); do
  "$TAMIS" show --after=parse --model="$m" "$dir/grad.tam" >"$m.txt"
  line=$(grep "^model $m(" "$m.txt")
  in='' want='' file=$dir/$m.safetensors
  for x in $(echo "${line%% -> *}" | grep -o '[a-z0-9_]*:'); do
    in="$in --in ${x%:}=$file"
  done
  for x in $(echo "${line##* -> }" | grep -o '[a-z0-9_]*:'); do
    want="$want --expect ${x%:}=$file"
  done
  # shellcheck disable=SC2086  # options are words
  expect "$m" 0 'all within tolerance' "$TAMIS" check "$dir/grad.tam" \
    --model="$m" $in $want --rtol 2e-5
  # shellcheck disable=SC2086
  expect "$m, evaluated" 0 'all within tolerance' "$TAMIS" check \
    "$dir/grad.tam" --model="$m" $in --rtol 2e-5
done
finish
