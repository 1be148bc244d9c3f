#!/usr/bin/env python3
"""classify.py - the pictures of examples/fashion by the dense and the sparse
net, which are compiled first; then with a thread for each CPU."""
import concurrent.futures
import pathlib
import time

import numpy as np

import tamis

fashion = pathlib.Path(__file__).resolve().parent.parent / "fashion"
images = np.load(fashion / "images.npy").astype(np.float32) / 255
labels = np.load(fashion / "labels.npy")


def classify(net, images):
    """The class of each image, one call after the other."""
    p = np.empty(net.outputs[0].shape, np.float32)     # used again and again
    found = []
    for x in images:
        net(x[None, None], out=p)                      # x where it lies
        found.append(p.argmax())
    return found


def report(name, found, start):
    us = (time.perf_counter() - start) / len(found) * 1e6
    right = np.count_nonzero(np.array(found) == labels)
    print(f"{name:8} {right} of {len(labels)} right, {us:.0f} us a picture")


dense = tamis.build(fashion / "fashion.tam")
sparse = tamis.build(fashion / "fashion.tam",
                     weights=fashion / "sparse.safetensors")
print(sparse)
for name, net in ("dense", dense), ("sparse", sparse):
    start = time.perf_counter()
    report(name, classify(net, images), start)

# Calls let go of the interpreter's lock: threads compute at the same time.
with concurrent.futures.ThreadPoolExecutor() as threads:
    start = time.perf_counter()
    parts = threads.map(lambda part: classify(dense, part),
                        np.array_split(images, 8))
    report("threads", np.concatenate(list(parts)), start)
