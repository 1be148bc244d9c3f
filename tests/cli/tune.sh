#!/bin/sh
# tune.sh - --tune writes what it chose, --tuned takes it: the same bytes; what
# stands in such a file counts, and what does not fit is an error.
. "$SRCDIR/tests/cli/lib.sh"
cat >net.tam <<'EON'
model net(x: f32[1,32,20,20], v: f32[1,100]) -> y: f32[1,48,20,20], w: f32[1,40] {
  y = x |> conv(64, k=3, pad=1) as a |> relu |> conv(48, k=1) as b |> relu;
  w = v |> linear(40) as c;
}
recipe p for net { prune a, b, c with sparsity=0.8; }
EON
cat >calls.tam <<'EON'
func body(x: f32[1,16,20,20]) -> y: f32[1,16,20,20] {
  y = x |> conv(16, k=3, pad=1) as a |> relu;
}
model net(x: f32[1,16,20,20]) -> y: f32[1,16,20,20] {
  y = body(body(x |> conv(16, k=3, pad=1) as a |> relu));
}
recipe p for net { prune ** with sparsity=0.8; }
EON
cat >runs.tam <<'EON'
model net(x: f32[1,32,9,9]) -> y: f32[1,48,5,5] {
  y = x |> conv(64, k=3, s=2, pad=1) as a |> relu |> conv(48, k=1) as b;
}
recipe p for net { prune a, b with pattern=2:4; }
EON
net="net.tam --random-weights=1 --recipe=p"
cpu=generic
[ "$(uname -m)" = x86_64 ] && cpu=x86-64-v3
# set KEY VALUE: edit.tuned, with it in the line of a layer or of the file.
set_() {
  sed "s|\"$1\": [^,]*|\"$1\": $2|" net.tuned >edit.tuned
}
# shellcheck disable=SC2086
{
  expect "tune" 0 '' "$TAMIS" build $net --tune -o one.so
  for l in a b c; do
    expect "layer $l" 0 "\"layer\": \"$l\"" cat one.so.tuned
  done
  cp one.so tuned.so
  expect "what it chose" 0 '' "$TAMIS" build $net --tuned=one.so.tuned -o one.so
  same "the same bytes" one.so tuned.so
  expect "results" 0 'all within' "$TAMIS" check $net --so=one.so
  absent "no folder stays" .tamis-*
  expect "from standard input" 0 '' sh -c \
    "'$TAMIS' build - --random-weights=1 --recipe=p --tune -o in.so <net.tam"
  expect "to a file" 0 '' "$TAMIS" build $net --cpu=$cpu --tune \
    --tuned=net.tuned -o net.so --report=r.json
  expect "why" 0 '"why": "tuned: ' cat r.json
  absent "not beside it" net.so.tuned

  # What the file says is taken.
  for f in dense channels csr 2x1 4x1; do
    set_ format "\"$f\""
    case $f in
    dense) want='conv2d_dense' ;; channels) want='conv2d_channels' ;;
    csr) want='conv2d_csr' ;;
    *) want='conv2d_bsr' ;;
    esac
    expect "all $f" 0 '' "$TAMIS" build $net --cpu=$cpu --tuned=edit.tuned \
      -o $f.so --report=$f.json
    expect "kernels of $f" 0 "^2\$" grep -c "^   \"kernel\": \"$want\"" $f.json
    expect "results of $f" 0 'all within' "$TAMIS" check $net --so=$f.so \
      --cpu=$cpu
  done
  # The steps of a format that the model does not choose are others where a
  # strided convolution is taken apart for it.
  if [ "$cpu" != generic ]; then
    runs="runs.tam --random-weights=1 --recipe=p"
    "$TAMIS" build $runs --cpu=$cpu --tune --tuned=runs.tuned -o runs.so
    for f in dense pair csr 4x1; do
      sed "s|\"format\": [^,]*|\"format\": \"$f\"|" runs.tuned >edit.tuned
      expect "strided $f" 0 '' "$TAMIS" build $runs --cpu=$cpu \
        --tuned=edit.tuned -o runs.so
      expect "its results" 0 'all within' "$TAMIS" check $runs --so=runs.so \
        --cpu=$cpu
      expect "for its own CPU" 0 'all within' "$TAMIS" check $runs --so=runs.so
    done
    expect "other steps" 0 'outputs alone' "$TAMIS" check $runs --so=runs.so
    sed 's|pattern=2:4|pattern=1:4|' runs.tam >less.tam
    expect "other weights" 5 'BAD  y' "$TAMIS" check less.tam \
      --random-weights=1 --recipe=p --so=runs.so
  fi
  # Rows in pairs are for maps.
  set_ format '"pair"'
  expect "pairs on a row" 2 "layer 'c' cannot take what was measured" \
    "$TAMIS" build $net --cpu=$cpu --tuned=edit.tuned -o no.so
  sed '1,/"layer": "c"/s|"format": [^,]*|"format": "pair"|' net.tuned \
    >edit.tuned
  expect "all in pairs" 0 '' "$TAMIS" build $net --cpu=$cpu --tuned=edit.tuned \
    -o pair.so --report=pair.json
  expect "kernels of pairs" 0 "^2\$" \
    grep -c '^   "kernel": "conv2d_pair"' pair.json
  expect "results of pairs" 0 'all within' "$TAMIS" check $net --so=pair.so \
    --cpu=$cpu
  tr -d '\n' <net.tuned | sed 's/"tile": \[[^]]*\]/"tile": [5,2]/g
    s/"format": "[^"]*"/"format": "dense"/g' >edit.tuned
  expect "a tile" 0 '' "$TAMIS" build $net --cpu=$cpu --tuned=edit.tuned \
    --emit=tam -o tile.tam
  expect "is taken" 0 'conv2d_dense", tile=\[5,2\]' cat tile.tam
  expect "its dump" 0 '' "$TAMIS" build tile.tam -o again.so
  expect "what was slower" 0 '"why_not": "slower when it was measured"' \
    cat dense.json

  bad() {
    name=$1 code=$2 pattern=$3
    expect "$name" "$code" "$pattern" "$TAMIS" build $net --cpu=$cpu \
      --tuned=edit.tuned -o no.so
    absent "$name: no output" no.so
  }
  set_ cpu '"x86-64-v9"'
  bad "another CPU" 2 "measured for cpu 'x86-64-v9', expected"
  set_ model '"other"'
  bad "another model" 2 "measured for model 'other'"
  sed 's|"layer": "b"|"layer": "nowhere"|' net.tuned >edit.tuned
  bad "another layer" 2 "no layer 'nowhere'"
  set_ layer '"a"'
  bad "a layer twice" 3 "layer 'a': expected one entry, found two"
  set_ op '"matmul"'
  bad "another op" 2 \
    'measured as matmul \[1,64,20,20\], expected conv2d \[1,64,20,20\]'
  tr -d ' \n' <net.tuned | sed 's/1,64,20,20/1,64,40,40/' >edit.tuned
  bad "another shape" 2 \
    'measured as conv2d \[1,64,40,40\], expected conv2d \[1,64,20,20\]'
  for k in op shape nonzeros; do
    tr -d ' \n' <net.tuned | sed "s/\"$k\":/\"no\":/" >edit.tuned
    bad "no $k" 3 "layer 'a': expected .*\"$k\""
  done
  set_ nonzeros 7
  expect "other zeros" 0 "net.tam:.* warning: layer 'a' was measured with 7 non" \
    "$TAMIS" build $net --cpu=$cpu --tuned=edit.tuned -o warned.so
  expect "but built" 0 '' "$TAMIS" check $net --so=warned.so --cpu=$cpu
  set_ layer 7
  bad "no name" 3 'its name as "layer"'
  for f in '"3x3"' '"0x1"' '"x1"' '"4x1x"' '"sparse"' 4; do
    set_ format "$f"
    bad "format $f" 3 'expected "format" to be'
  done
  set_ format '"code"'
  bad "code elsewhere" 2 'cannot be code for its pattern'
  tr -d '\n' <net.tuned | sed 's/"tile": \[[^]]*\]/"tile": [99,99]/g' >edit.tuned
  bad "a large tile" 3 '"tile" to be'
  sed 's/"tuned": 1/"tuned": 2/' net.tuned >edit.tuned
  bad "another kind" 3 'expected a file of --tune'
  sed 's/"layers": \[/"layers": [,/' net.tuned >edit.tuned
  bad "no JSON" 3 'edit.tuned: error: line [0-9]*, column'
  printf '' >edit.tuned
  bad "empty" 3 'edit.tuned: error: line 1'
  rm edit.tuned
  bad "no file" 3 'cannot read'
  expect "itself" 2 'was read' "$TAMIS" build $net --cpu=$cpu --tuned=net.tuned \
    -o net.tuned
  "$TAMIS" show $net --cpu=$cpu --after=layout -o late.tam
  expect "a late dump" 2 'comes behind pass layout' "$TAMIS" build late.tam \
    --tuned=net.tuned -o no.so
  other=aarch64-linux-gnu
  [ "$(uname -m)" = aarch64 ] && other=x86_64-linux-gnu
  expect "another machine" 4 'cannot run code for' "$TAMIS" build $net \
    --target=$other --tune -o no.so
  expect "several CPUs" 2 'expected one CPU' "$TAMIS" build $net --tune \
    --cpu=x86-64-v2+x86-64-v3 -o no.so
  expect "of build alone" 2 "unknown option '--tuned'" "$TAMIS" check $net \
    --tuned=net.tuned
  absent "nothing left" no.so.tuned

  # Layers of functions that are called are no steps to measure.
  expect "a function" 0 'tune: round' "$TAMIS" build calls.tam \
    --random-weights=1 --recipe=p --tune --progress=plain -o calls.so
  expect "one layer" 0 '"layer": "a"' grep '"layer"' calls.so.tuned
  expect "no other" 0 '^1$' grep -c '"layer"' calls.so.tuned
  cp calls.so tuned.so
  expect "its choices" 0 '' "$TAMIS" build calls.tam --random-weights=1 \
    --recipe=p --tuned=calls.so.tuned -o calls.so
  same "its bytes" calls.so tuned.so

  # What is told to be code needs the budget too.
  v4="--target=x86_64-linux-gnu --cpu=x86-64-v4"
  sed 's/"cpu": .*/"cpu": "x86-64-v4",/
    s/"target": .*/"target": "x86_64-linux-gnu",/
    s/"format": .*/"format": "code",/
    /"layer": "c"/,$s/"format": .*/"format": "csr",/' net.tuned >edit.tuned
  expect "code" 0 '' "$TAMIS" build $net $v4 --tuned=edit.tuned --emit=tam \
    -o code.tam
  expect "in both" 0 '^2$' grep -c 'kernel="conv2d_code"' code.tam
  expect "beyond the budget" 2 'code-budget rule it out' "$TAMIS" build $net \
    $v4 --tuned=edit.tuned --code-budget=9k --emit=obj -o no.so
  absent "no object" no.so
  if ! grep -q avx512vl /proc/cpuinfo 2>/dev/null; then
    expect "a CPU that lacks something" 4 '' "$TAMIS" build $net $v4 --tune \
      -o no.so
    absent "no file of it" no.so.tuned
  fi
}
finish
