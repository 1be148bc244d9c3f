#!/bin/sh
# dump_edits.sh - dumps as a hand might edit them: without an attribute, with
# another kernel, tile, number or pass.  Each builds or says what is wrong.
. "$SRCDIR/tests/cli/lib.sh"
every=5   # of the edits, so many apart
[ -n "${TAMIS_QUICK:-}" ] && every=29
kernels=$(sed -n 's/^KERNEL(\([a-z0-9_]*\).*/kernel="\1"/p' \
  "$SRCDIR/ir/kernels.def" | tr '\n' ' ')

cat >maps.tam <<'EOF'
model maps(x: f32[1,8,6,6]) -> y: f32[1,4], z: f32[1,12,3,3] {
  a = x |> conv(8, k=3, pad=1) as a |> relu;
  b = a |> conv(8, k=3, pad=1, groups=8) as b;
  c = concat(b, x |> conv(4, k=1) as c, axis=1);
  z = c |> max_pool(k=[2,2], stride=[2,2]);
  y = c |> mean(axes=[2,3]) |> linear(8) as d |> softmax(axis=1) |> linear(4);
}
recipe sparse for maps {
  prune a with sparsity=0.9;
  prune c, d with sparsity=0.7, pattern="4x1";
}
EOF
cat >calls.tam <<'EOF'
func f(a: f32[1,4], b: f32[1,4]) -> y: f32[1,4] { y = tanh(a * b + 1.0); }
model calls(x: f32[1,4], i: i32[2]) -> y: f32[2,4], v: i32[4] {
  state s: f32[1,4] = 0.0;
  t = f(x, s);
  next s = t;
  y = gather(concat(t, x, axis=0), i);
  v = reshape(argsort(f(t, x)), [4]);
}
EOF

# edits DUMP: one edit a file, in edit-N.tam.
edits() {
  rm -f edit-*.tam
  awk -v every="$every" -v kernels="$kernels" '
    { line[NR] = $0 }
    function edit(at, text,    i, f) {
      if (count++ % every) return
      f = sprintf("edit-%05d.tam", count)
      for (i = 1; i <= NR; i++) print (i == at ? text : line[i]) > f
      close(f)
    }
    # Every match of `what` in line at: without it, or with each of `to`.
    function edits(at, what, to,    s, from, n, i, w, head, tail) {
      n = split(to, w, " ")
      for (from = 1; match(substr(line[at], from), what);
           from += RSTART + RLENGTH - 1) {
        head = substr(line[at], 1, from + RSTART - 2)
        tail = substr(line[at], from + RSTART + RLENGTH - 1)
        if (!n) edit(at, head tail)
        for (i = 1; i <= n; i++) edit(at, head w[i] tail)
      }
    }
    END {
      for (i = 1; i <= NR; i++) {
        if (line[i] ~ /weights "/) continue
        edits(i, "kernel=\"[a-z0-9_]*\"", kernels)
        edits(i, "tile=\\[[0-9,]*\\]", "tile=[0,5] tile=[1,1] tile=[1,16] " \
              "tile=[3,7] tile=[4,0] tile=[16,5] tile=[32,1] " \
              "tile=[1024,1024]")
        edits(i, "after=\"[a-z]*\"", "after=\"parse\" after=\"fold\" " \
              "after=\"sparse\" after=\"layout\" after=\"select\" " \
              "after=\"plan\"")
        edits(i, " <[^>]*>")
        edits(i, ", [a-z_]+=(\"[^\"]*\"|\\[[^]]*\\]|[0-9]+)")
        edits(i, "(layout=\"[^\"]*\"|origin=[0-9]+|size=[0-9]+|at=[0-9]+), ")
        edits(i, "[0-9]+", "0 1 3 16 100 4611686018427387904")
      }
    }' "$1"
}

# builds NAME FILE OPTION...: all edits of its dumps from layout on.
builds() {
  of=$1 file=$2
  shift 2
  expect "$of" 0 '' "$TAMIS" show "$file" --random-weights=1 \
    --target=x86_64-linux-gnu --cpu=x86-64-v3 --dir="$of" "$@"
  for pass in layout select plan; do
    cp "$of"/*-$pass.tam dump.tam
    cp "$of/weights.safetensors" . 2>/dev/null
    edits dump.tam
    n=0 before=$bad
    for f in edit-*.tam; do
      n=$((n + 1))
      "$TAMIS" build "$f" --emit=llvm -o edit.ll >got.txt 2>&1 </dev/null
      got=$?
      [ "$got" -le 4 ] && continue
      echo "FAIL $of, $pass: exit code $got"
      diff dump.tam "$f"
      cat got.txt
      bad=$((bad + 1))
    done
    [ "$bad" = "$before" ] && echo "ok   $of, $pass: $n edits"
  done
}

builds maps maps.tam --recipe=sparse
builds calls calls.tam
finish
