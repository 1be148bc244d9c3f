#!/usr/bin/env python3
"""classify.py - compiles the net of examples/fashion with its dense and its
sparse weights, and asks both about its pictures; then in threads."""
import concurrent.futures
import pathlib

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
    return np.array(found)


dense = tamis.build(fashion / "fashion.tam")
sparse = tamis.build(fashion / "fashion.tam",
                     weights=fashion / "sparse.safetensors")
print(sparse)
print("its kernels:", *sorted({s.kernel for s in sparse.steps}))
for name, net in ("dense", dense), ("sparse", sparse):
    right = np.count_nonzero(classify(net, images) == labels)
    print(f"{name} is right on {right} of {len(labels)} pictures")

# Calls let go of the interpreter's lock: threads compute at the same time.
with concurrent.futures.ThreadPoolExecutor() as threads:
    parts = threads.map(lambda part: classify(dense, part),
                        np.array_split(images, 8))
    found = np.concatenate(list(parts))
print("threads say the same of",
      np.count_nonzero(found == classify(dense, images)))
