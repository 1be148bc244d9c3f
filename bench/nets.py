#!/usr/bin/env python3
"""nets.py - whole nets: Tamis beside ONNX Runtime, OpenVINO, TVM, DeepSparse
and TensorFlow Lite's runtime, which is XNNPACK's, in turn, one thread or N.
ONNX Runtime also runs each dense net in int8, as its own tool quantises it.

  nets.py [--rounds=N] [--only=NET] [--cpu=CPU] [--threads=N] [--turn=FILE]
          BUILD_DIR OUT.json

Nets are written by net.py and lite.py into BUILD_DIR/bench/nets. Each
contestant runs in a process of its own (contestant.py) and sleeps while others
are sampled. The output is compared with ONNX Runtime's before anything is
timed. --cpu is what Tamis and TVM compile for; under held.c, who runs AVX-512
all the same is left out. FILE is locked for each round: others who time may do
the same. --only leaves what OUT.json says of other nets.
"""
import argparse
import contextlib
import fcntl
import json
import os
import statistics
import subprocess
import sys

import numpy as np

import net

HERE = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = 1e-3                # of the largest element, through the net
TOLERANCE_INT8 = 0.5            # that of drawn weights, which none trained
# Of the looks of held.c: what other code than its kernels may run.
AVX512_MOST = 0.01


class Contestant:
    cpu, threads = "", 1

    def __init__(self, who, kind, variant, path, python):
        self.who, self.kind, self.variant = who, kind, variant
        self.path, self.python = path, python
        self.why, self.version, self.samples = "", "", []
        self.channels_last = False

    def start(self, x, shape, out):
        """The file x holds the input, x.last the same, channels last."""
        if self.why:
            return
        if self.channels_last:
            x, shape = x + ".last", shape[:1] + shape[2:] + shape[1:2]
        self.out = f"{out}.{self.kind}.{self.variant}.f32"
        self.log = open(self.out + ".log", "w+", errors="replace")
        dims = ",".join(map(str, shape))
        self.run = subprocess.Popen(
            [self.python, os.path.join(HERE, "contestant.py"), self.kind,
             self.path, x, dims, self.out, str(self.threads), self.cpu],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            text=True)
        line = self.run.stdout.readline()
        if line:
            self.version = json.loads(line)["version"]
            return
        self.run.wait()
        self.log.seek(0)
        self.why = (self.log.read().strip().split("\n")[-1][:150] or
                    "it ends without a message")

    def sample(self, ms):
        self.run.stdin.write(f"{ms}\n")
        self.run.stdin.flush()
        line = self.run.stdout.readline()
        if line:
            self.samples.append(json.loads(line))
        else:
            self.why = "it ended between samples"

    def is_slow(self):
        """Is five seconds' worth of samples taken, three at least?"""
        v = [s["s"] for s in self.samples]
        return sum(v) > 5 and (len(v) >= 3 or v[0] > 5)

    def wants(self, r, rounds, quiet):
        """Another sample in round r?"""
        if self.why or self.is_slow():
            return False
        return (r < rounds or
                sum(is_quiet(s, quiet) for s in self.samples) < rounds)

    def stop(self):
        if hasattr(self, "run"):
            self.run.stdin.close()
            self.run.wait()

    def check(self, want):
        got = np.fromfile(self.out, np.float32)
        off = (np.abs(got - want).max() / np.abs(want).max()
               if got.shape == want.shape else float("inf"))
        self.error = float(off)
        if not off <= (TOLERANCE_INT8 if self.variant == "int8" else
                       TOLERANCE):
            self.why = f"wrong: off by {off:.2g}"

    def row(self, quiet):
        d = {"who": self.who, "variant": self.variant,
             "version": self.version}
        if not self.why and self.samples and self.samples[-1]["held"]:
            found, looks = d["held"] = self.samples[-1]["held"]
            if found > AVX512_MOST * looks:
                self.why = (f"not held: AVX-512 in {found} of {looks} looks")
        if self.why or not self.samples:
            return d | {"skipped": self.why or "no samples"}
        kept = [s["s"] for s in self.samples if is_quiet(s, quiet)]
        all_of = [s["s"] for s in self.samples]
        return d | {"ms": 1e3 * statistics.median(kept or all_of),
                    "least_ms": 1e3 * min(kept or all_of),
                    "kept": len(kept), "rounds": len(all_of),
                    "error": self.error}


def is_quiet(sample, quiet):
    return sample["slow"] is not None and sample["slow"] <= 1.1 * quiet


def quiet_probe(contestants):
    """The probe's least time but for one in twenty, as in quiet.c."""
    v = sorted(s["slow"] for c in contestants for s in c.samples
               if s["slow"] is not None)
    return v[len(v) // 20] if v else float("inf")


@contextlib.contextmanager
def turn(path):
    with open(path or os.devnull, "a") as f:
        if path:
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def measure(contestants, rounds, ms, lock):
    for r in range(4 * rounds):
        quiet = quiet_probe(contestants)
        open_ones = [c for c in contestants if c.wants(r, rounds, quiet)]
        if not open_ones:
            return
        with turn(lock):
            for c in open_ones:
                c.sample(ms)


def tamis_build(tamis, net_file, out, *options):
    how = ["--cpu=" + (Contestant.cpu or "native")]
    how += ["--threads"] * (Contestant.threads > 1)
    done = subprocess.run([tamis, "build", net_file, "--prefix=net", *how,
                           "-o", out, *options], stderr=subprocess.PIPE,
                          text=True)
    return done.stderr.strip().split("\n")[0] if done.returncode else ""


def venv_python(build, name):
    return os.path.join(build, "bench", name, "bin", "python")


def peers(build, onnx, variant):
    """Dense runtimes take the dense net; DeepSparse the zeros as well. ONNX
    Runtime's output on the sparse one is what Tamis is compared with."""
    python = venv_python(build, "venv")
    old = venv_python(build, "venv-deepsparse")
    out = [Contestant("ONNX Runtime", "onnxruntime", variant, onnx, python)]
    if variant == "dense":
        out.append(Contestant("OpenVINO", "openvino", variant, onnx, python))
        out.append(Contestant("TVM", "tvm", variant, onnx, python))
    out.append(Contestant("DeepSparse", "deepsparse", variant, onnx, old))
    if not os.path.exists(old):
        out[-1].why = "no wheel of deepsparse for this Python"
    return out


def int8_net(shape, onnx, out):
    """The net in int8: channels of weights and values have a scale each, by
    what inputs as the bench draws them give.  Why not, if it fails."""
    try:
        from onnxruntime import quantization as q
        rng = np.random.default_rng(3)
        drawn = iter([{"x": rng.random(shape, np.float32) * 2 - 1}
                      for _ in range(4)])

        class Reader(q.CalibrationDataReader):
            def get_next(self):
                return next(drawn, None)
        q.quantize_static(onnx, out, Reader(), per_channel=True,
                          quant_format=q.QuantFormat.QDQ,
                          activation_type=q.QuantType.QUInt8,
                          weight_type=q.QuantType.QInt8)
    except Exception as e:          # whatever the tool does not take
        return f"not quantised: {str(e).splitlines()[0][:120]}"
    return ""


def int8_peer(build, shape, onnx):
    path = onnx.replace(".onnx", ".int8.onnx")
    c = Contestant("ONNX Runtime", "onnxruntime", "int8", path,
                   venv_python(build, "venv"))
    c.why = int8_net(shape, onnx, path)
    return c


def lite_peer(build, n, path):
    c = Contestant("LiteRT", "litert", "dense", path,
                   venv_python(build, "venv"))
    c.channels_last = len(n.shape) == 4
    try:
        import lite
        lite.write(n, n.params, path)
    except (ImportError, ValueError) as e:
        c.why = f"not written: {str(e).splitlines()[0][:120]}"
    return c


def onnx_net(build, name, out):
    """Write the net's files, build it: its contestants by variant."""
    make, pattern, zeros = net.NETS[name]
    n = make()
    groups = []
    for variant in ("dense", "sparse"):
        base = f"{out}.{variant}"
        params = n.params if variant == "dense" else n.pruned(pattern, zeros)
        n.write_tam(base + ".tam")
        n.write_weights(base + ".safetensors", params)
        n.write_onnx(base + ".onnx", params)
        ours = Contestant("Tamis", "tamis", variant, base + ".so",
                          sys.executable)
        ours.why = tamis_build(os.path.join(build, "tamis"), base + ".tam",
                               base + ".so",
                               f"--weights={base}.safetensors")
        groups.append([ours] + peers(build, base + ".onnx", variant))
        if variant == "dense":
            groups[-1].append(lite_peer(build, n, base + ".tflite"))
            groups[-1].append(int8_peer(build, n.shape, base + ".onnx"))
    return n.shape, f"{pattern}, {100 * zeros:.0f} %", groups


def face_net(build, out):
    """MediaPipe's face detector, as bench/face.sh fetches it."""
    tflite = os.path.join(build, "bench",
                          "face_detection_full_range_sparse.tflite")
    sparse, dense = (Contestant("Tamis", "tamis", v, f"{out}.{v}.so",
                                sys.executable) for v in ("sparse", "dense"))
    lite = Contestant("LiteRT", "litert", "sparse", tflite, sys.executable)
    if not os.path.exists(tflite):
        for c in (sparse, dense, lite):
            c.why = "npm did not give the net"
    for c, how in ((sparse, "auto"), (dense, "off")):
        c.why = c.why or tamis_build(os.path.join(build, "tamis"), tflite,
                                     c.path, f"--sparsity={how}")
    return (1, 192, 192, 3), "unstructured, 70 %, trained", [[lite, dense,
                                                              sparse]]


def bench(build, name, rounds, lock):
    folder = os.path.join(build, "bench", "nets" + "-" * bool(Contestant.cpu) +
                          Contestant.cpu)
    os.makedirs(folder, exist_ok=True)
    out = os.path.join(folder, name)
    shape, zeros, groups = (face_net(build, out) if name == "face"
                            else onnx_net(build, name, out))
    x = np.random.default_rng(1).random(shape, np.float32) * 2 - 1
    x.tofile(out + ".x.f32")
    if x.ndim == 4:
        x.transpose(0, 2, 3, 1).tofile(out + ".x.f32.last")
    for group in groups:
        for c in group:
            c.start(out + ".x.f32", shape, out)
        # The reference: an independent runtime on the same weights.
        ref = next((c for c in group if c.kind in ("onnxruntime", "litert")
                    and not c.why), None)
        for c in group:
            if ref and not c.why:
                c.check(np.fromfile(ref.out, np.float32))
            elif not c.why:
                c.why = "there is no reference to compare with"
    flat = [c for group in groups for c in group]
    measure(flat, rounds, 30, lock)
    quiet = quiet_probe(flat)
    for c in flat:
        c.stop()
    return {"net": name, "zeros": zeros, "rows": [c.row(quiet) for c in flat]}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--only")
    p.add_argument("--cpu", default="")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--turn")
    p.add_argument("build")
    p.add_argument("out")
    args = p.parse_args()
    Contestant.cpu, Contestant.threads = args.cpu, args.threads
    results = []
    if args.only and os.path.exists(args.out):
        with open(args.out) as f:
            results = [n for n in json.load(f) if n["net"] != args.only]
    for name in [*net.NETS, "face"]:
        if args.only and name != args.only:
            continue
        results.append(bench(os.path.abspath(args.build), name, args.rounds,
                             args.turn))
        for r in results[-1]["rows"]:
            print(name, r["who"], r["variant"], r.get("skipped") or
                  f"{r['ms']:.3f} ms, {r['kept']} of {r['rounds']} samples",
                  flush=True)
        with open(args.out, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
