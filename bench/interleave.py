#!/usr/bin/env python3
"""Time artifacts and other runtimes on the same net, in turn, in one process.

  interleave.py [--onnx NET.onnx] [--tflite NET.tflite] NAME=LIB.so...

Each round calls every contestant once for some milliseconds; a probe of pure
arithmetic before and after each sample drops those taken while a neighbour
slowed the core. Prints medians, the ratio of each to the first, and the
largest difference of the outputs to the first's. Needs PyPI's numpy, for
--onnx onnxruntime, for --tflite ai-edge-litert.
"""
import argparse
import ctypes
import importlib.metadata
import json
import statistics
import time

import numpy as np


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("elem", ctypes.c_int32),
                ("rank", ctypes.c_int32),
                ("dims", ctypes.POINTER(ctypes.c_int64)),
                ("bytes", ctypes.c_uint64), ("scale", ctypes.c_double),
                ("zero", ctypes.c_int64)]


class Model(ctypes.Structure):
    """The head of tamis_model (runtime/tamis.h)."""
    _fields_ = [("size", ctypes.c_uint32), ("abi", ctypes.c_uint32),
                ("name", ctypes.c_char_p), ("version", ctypes.c_char_p),
                ("target", ctypes.c_char_p), ("cpu", ctypes.c_char_p),
                ("features", ctypes.c_char_p),
                ("arena_bytes", ctypes.c_uint64),
                ("stack_bytes", ctypes.c_uint64), ("align", ctypes.c_uint64),
                ("weight_bytes", ctypes.c_uint64),
                ("n_inputs", ctypes.c_uint32), ("n_outputs", ctypes.c_uint32),
                ("inputs", ctypes.POINTER(Tensor)),
                ("outputs", ctypes.POINTER(Tensor)),
                ("run", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p,
                                         ctypes.c_void_p)),
                ("weights", ctypes.c_void_p), ("n_steps", ctypes.c_uint32),
                ("threads", ctypes.c_uint32)]


def aligned(nbytes):
    raw = np.zeros(nbytes + 128, np.uint8)
    return raw[-raw.ctypes.data % 64:][:nbytes]


class Artifact:
    """pool: the address of a tamis_pool, for one built with --threads."""

    def __init__(self, path, prefix, pool=None):
        self.lib = ctypes.CDLL(path)
        self.model = Model.in_dll(self.lib, prefix + "_model")
        m = self.model
        shape = lambda t: [t.dims[i] for i in range(t.rank)]
        self.shapes = [shape(m.inputs[i]) for i in range(m.n_inputs)]
        self.io = [aligned(m.inputs[i].bytes) for i in range(m.n_inputs)]
        self.io += [aligned(m.outputs[i].bytes) for i in range(m.n_outputs)]
        self.arena = aligned(m.arena_bytes)
        pools = [pool] if m.threads else []
        self.ptrs = (ctypes.c_void_p * (len(self.io) + len(pools)))(
            *[b.ctypes.data for b in self.io], *pools)

    def feed(self, xs):
        for b, x in zip(self.io, xs):
            b[:] = np.ascontiguousarray(x).view(np.uint8).ravel()

    def call(self):
        code = self.model.run(ctypes.addressof(self.ptrs),
                              self.arena.ctypes.data)
        assert code == 0, code

    def output(self):
        return self.io[self.model.n_inputs].view(np.float32).copy()


class OnnxRuntime:
    def __init__(self, path, threads=1):
        import onnxruntime
        o = onnxruntime.SessionOptions()
        o.intra_op_num_threads, o.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(
            path, o, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name
        self.version = onnxruntime.__version__

    def feed(self, xs):
        self.xs = {self.name: xs[0]}

    def call(self):
        self.out = self.session.run(None, self.xs)

    def output(self):
        return self.out[0].ravel()


class TfLite:
    def __init__(self, path, threads=1):
        from ai_edge_litert.interpreter import Interpreter
        self.net = Interpreter(model_path=path, num_threads=threads)
        self.net.allocate_tensors()
        self.version = importlib.metadata.version("ai-edge-litert")
        self.version += self.delegated()

    def delegated(self):
        """Has XNNPACK the whole net, so that nothing but its outputs leaves
        it?"""
        ops = getattr(self.net, "_get_ops_details", list)()
        parts = [list(o["outputs"]) for o in ops if
                 o["op_name"] == "DELEGATE"]
        outs = [t["index"] for t in self.net.get_output_details()]
        if not parts:
            return ""
        return ", XNNPACK" if parts == [outs] else ", XNNPACK in part"

    def feed(self, xs):
        for t, x in zip(self.net.get_input_details(), xs):
            self.net.set_tensor(t["index"], x)

    def call(self):
        self.net.invoke()

    def output(self):
        t = self.net.get_output_details()[0]
        return self.net.get_tensor(t["index"]).ravel()


def probe():
    """Seconds of a fixed piece of work that stays in registers."""
    begin = time.perf_counter()
    sum(range(4000))
    return time.perf_counter() - begin


def sample(c, seconds):
    """Seconds a call, and how slow the core was around it."""
    before, begin, n = probe(), time.perf_counter(), 0
    while True:
        c.call()
        n += 1
        spent = time.perf_counter() - begin
        if spent >= seconds:
            return spent / n, max(before, probe())


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--onnx")
    p.add_argument("--tflite")
    p.add_argument("--rounds", type=int, default=60)
    p.add_argument("--ms", type=float, default=12, help="a sample's length")
    p.add_argument("--json")
    p.add_argument("so", nargs="*", metavar="NAME=LIB.so[:PREFIX]")
    args = p.parse_args()
    nets = {}
    if args.onnx:
        ort = OnnxRuntime(args.onnx)
        nets["onnxruntime " + ort.version] = ort
    if args.tflite:
        lite = TfLite(args.tflite)
        nets["ai-edge-litert " + lite.version] = lite
    shapes = None
    for s in args.so:
        name, path = s.split("=", 1)
        path, _, prefix = path.partition(":")
        nets[name] = Artifact(path, prefix or name)
        shapes = nets[name].shapes
    rng = np.random.default_rng(1)
    xs = [rng.random(s, np.float32) for s in shapes]
    for c in nets.values():
        c.feed(xs)
        c.call()
    times = {k: [] for k in nets}
    for _ in range(args.rounds):
        for k, c in nets.items():
            times[k].append(sample(c, args.ms / 1000))
    quiet = min(q for v in times.values() for _, q in v) * 1.25
    first, rows = None, []
    for k, v in times.items():
        kept = [t for t, q in v if q <= quiet] or [t for t, _ in v]
        ms = statistics.median(kept) * 1e3
        first = first or ms
        out, ref = nets[k].output(), next(iter(nets.values())).output()
        rows.append({"name": k, "median_ms": ms, "min_ms": min(kept) * 1e3,
                     "ratio": ms / first, "samples": len(kept),
                     "difference": float(np.abs(out - ref).max())})
        print(f"{k:24} {ms:9.4f} ms  min {min(kept) * 1e3:9.4f}  "
              f"ratio {ms / first:6.3f}  of {len(kept)} quiet samples, "
              f"outputs differ by {rows[-1]['difference']:.1e}")
    if args.json:
        with open(args.json, "w") as f:
            json.dump(rows, f, indent=1)


if __name__ == "__main__":
    main()
