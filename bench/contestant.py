#!/usr/bin/env python3
"""One contestant of nets.py in a process of its own:

  contestant.py KIND FILE INPUT.f32 SHAPE OUTPUT.f32 THREADS [CPU]

KIND is tamis, onnxruntime, openvino, tvm, deepsparse or litert; SHAPE is
1,3,224,224; CPU is what TVM compiles for, if not this one. On more than one
thread pool.so (pool.c) is in the folder above FILE's. The output of a first
call is written, then `{"version": ...}`.
Each number of milliseconds on standard input is answered by a sample:
seconds a call, and the time of a probe of plain arithmetic before or after
it, null when others had the core for more than 2 % of it; under held.c, what
its looks found so far.
"""
import ctypes
import json
import os
import sys
import time

THREADS = int(sys.argv[6])

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TVM_NUM_THREADS",
             "NM_NUM_THREADS"):
    os.environ[name] = str(THREADS)

import numpy as np  # noqa: E402

import interleave  # noqa: E402


class Pool:
    """Threads for Tamis, and for a probe of as many cores."""

    def __init__(self, path):
        lib = ctypes.CDLL(path)
        lib.bench_pool.restype = ctypes.c_void_p
        lib.bench_pool.argtypes = [ctypes.c_size_t]
        lib.bench_probe.restype = ctypes.c_double
        lib.bench_probe.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self.lib, self.pool = lib, lib.bench_pool(THREADS)
        if not self.pool:
            raise OSError(f"no pool of {THREADS} threads")

    def probe(self):
        return self.lib.bench_probe(self.pool, THREADS)


class Tamis(interleave.Artifact):
    def __init__(self, path, threads):
        super().__init__(path, "net", pool.pool if pool else None)
        if threads > 1 and not self.model.threads:
            raise ValueError(f"{path}: was built without --threads")
        self.version = self.model.version.decode()


class OpenVino:
    def __init__(self, path, threads):
        import openvino
        core = openvino.Core()
        how = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
               "PERFORMANCE_HINT": "LATENCY",
               "INFERENCE_PRECISION_HINT": "f32"}
        self.net = core.compile_model(path, "CPU", how)
        self.request = self.net.create_infer_request()
        self.version = openvino.__version__.split("-")[0]
        self.tensor = openvino.Tensor

    def feed(self, xs):
        self.x = self.tensor(np.ascontiguousarray(xs[0]))   # a copy
        self.request.set_input_tensor(self.x)

    def call(self):
        self.request.infer()

    def output(self):
        return self.request.get_output_tensor().data.ravel()


class Tvm:
    """As it compiles a net without a search for schedules."""

    cpu = ""

    def __init__(self, path, threads):
        import onnx
        import tvm
        from tvm import relax
        from tvm.relax.frontend.onnx import from_onnx
        mod = from_onnx(onnx.load(path), keep_params_in_input=False)
        self.tvm = tvm
        cpu = {"kind": "llvm", "num-cores": threads}
        cpu["mcpu"] = self.cpu or tvm.target.codegen.llvm_get_system_cpu()
        built = relax.build(mod, target=tvm.target.Target(cpu))
        self.vm = relax.VirtualMachine(built, tvm.cpu())
        self.version = tvm.__version__ + ", not tuned"

    def feed(self, xs):
        self.x = self.tvm.runtime.tensor(xs[0])

    def call(self):
        self.y = self.vm["main"](self.x)

    def output(self):
        y = self.y if hasattr(self.y, "numpy") else self.y[0]
        return y.numpy().ravel()


class DeepSparse:
    def __init__(self, path, threads):
        import deepsparse
        self.net = deepsparse.compile_model(path, batch_size=1,
                                            num_cores=threads)
        self.version = deepsparse.__version__

    def feed(self, xs):
        self.xs = [np.ascontiguousarray(xs[0])]

    def call(self):
        self.y = self.net.run(self.xs)

    def output(self):
        return self.y[0].ravel()


KINDS = {"tamis": Tamis, "onnxruntime": interleave.OnnxRuntime,
         "openvino": OpenVino, "tvm": Tvm, "deepsparse": DeepSparse,
         "litert": interleave.TfLite}
pool = None


def sample(net, ms):
    net.call()
    begin, cpu = time.perf_counter(), time.process_time()
    seconds, slow = interleave.sample(net, ms / 1000)
    spent = time.perf_counter() - begin
    lost = spent - (time.process_time() - cpu)
    return {"s": seconds, "slow": slow if lost < 0.02 * spent else None,
            "held": held()}


def held():
    try:
        n = (ctypes.c_ulong * 2).in_dll(ctypes.CDLL(None), "held_samples")
    except ValueError:
        return None
    return list(n)


def main():
    global pool
    kind, path, x, shape, out = sys.argv[1:6]
    Tvm.cpu = "".join(sys.argv[7:])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)               # what libraries print is no answer
    if THREADS > 1:
        pool = Pool(os.path.join(os.path.dirname(path), "..", "pool.so"))
        interleave.probe = pool.probe
    net = KINDS[kind](path, THREADS)
    shape = [int(n) for n in shape.split(",")]
    net.feed([np.fromfile(x, np.float32).reshape(shape)])
    net.call()
    np.asarray(net.output(), np.float32).tofile(out)
    answers.write(json.dumps({"version": net.version}) + "\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(sample(net, float(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
