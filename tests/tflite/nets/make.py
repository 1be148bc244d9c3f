#!/usr/bin/env python3
"""Runs the nets of nets.txt with TensorFlow Lite's own runtime on the
inputs of picture.tam and writes what it computes, NAME.OUTPUT.npy beside
this file; counts the zeros of each file.  PyPI's ai-edge-litert, tflite and
numpy; npm; tamis, which draws the inputs.

usage: make.py TAMIS
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import tflite
from ai_edge_litert.interpreter import Interpreter, OpResolverType

HERE = os.path.dirname(os.path.abspath(__file__))


def run(net, x):
    """Outputs by name.  MediaPipe's own operators are not built in; the
    runtime's XNNPACK has them."""
    for kind in (OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                 OpResolverType.BUILTIN):
        it = Interpreter(net, num_threads=1,
                         experimental_op_resolver_type=kind)
        try:
            it.allocate_tensors()
            break
        except RuntimeError as e:
            if "unresolved custom op" not in str(e):
                raise
    it.set_tensor(it.get_input_details()[0]["index"], x)
    it.invoke()
    return {o["name"]: it.get_tensor(o["index"])
            for o in it.get_output_details()}


def zeros(net):
    """Of constants of floats; those that a sparse tensor leaves out too."""
    with open(net, "rb") as f:
        model = tflite.Model.GetRootAsModel(f.read(), 0)
    graph, n = model.Subgraphs(0), 0
    for i in range(graph.TensorsLength()):
        t = graph.Tensors(i)
        data = model.Buffers(t.Buffer()).DataAsNumpy()
        kind = {tflite.TensorType.FLOAT32: np.float32,
                tflite.TensorType.FLOAT16: np.float16}.get(t.Type())
        if kind and not isinstance(data, int):
            n += (int(np.prod(t.ShapeAsNumpy()))
                  - np.count_nonzero(data.view(kind)))
    return n


def fetch(package, to):
    """The folder of a package's files."""
    at = os.path.join(to, package.replace("/", "_"))
    if not os.path.isdir(at):
        os.mkdir(at)
        name = subprocess.run(["npm", "pack", "-s", package], cwd=at, text=1,
                              check=1, stdout=subprocess.PIPE).stdout.strip()
        subprocess.run(["tar", "xzf", name], cwd=at, check=1)
    return os.path.join(at, "package")


def make(tamis, line, to):
    package, name, picture, expected, *outputs = line.split()
    net = os.path.join(fetch(package, to), name + ".tflite")
    x = os.path.join(to, picture + ".npy")
    subprocess.run([tamis, "run", os.path.join(HERE, "picture.tam"),
                    "--model=" + picture, "--random-weights=1",
                    "--out", "x=" + x], check=1)
    found = run(net, np.load(x))
    assert zeros(net) == int(expected), f"{name}: {zeros(net)} zeros"
    for o in outputs:
        o, size = o.split("=")
        shape, step = size.split("/")
        y = found.pop(o)
        assert shape == ",".join(map(str, y.shape)), (name, o, y.shape)
        assert np.isfinite(y).all(), (name, o)
        np.save(os.path.join(HERE, f"{name}.{o}.npy"),
                y.ravel()[::int(step)])
        print(f"{name}.{o}: {y.min():.4g} to {y.max():.4g}")
    assert not found, found.keys()


def main():
    with open(os.path.join(HERE, "nets.txt")) as f:
        lines = [s for s in f if s.strip() and s[0] != "#"]
    with tempfile.TemporaryDirectory() as to:
        for line in lines:
            make(os.path.abspath(sys.argv[1]), line, to)


if __name__ == "__main__":
    main()
