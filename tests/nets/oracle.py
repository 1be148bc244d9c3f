"""oracle.py DRAW [NET...] - the outputs that onnxruntime gives for each case of
each net: NET.CASE.OUTPUT.npy, and the lines of NET.txt that tell what they
hold.  DRAW: the program of draw.c.

Needs numpy and onnxruntime, which may be newer than what export.py runs on.
At most MOST values of an output are kept, every STEP-th one.
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))
MOST = 2000


def cases(lines):
    """Name, inputs of each; the lines of the file are kept in order."""
    found = []
    for line in lines:
        word = line.split()
        if word[0] == "case":
            found.append((word[1], []))
        elif word[0] in ("draw", "picture", "given"):
            found[-1][1].append(word[1])
    return found


def step(n):
    """Odd, so that it runs through all channels of an even number."""
    return 1 if n <= MOST else (n + MOST - 1) // MOST | 1


def note(name, a):
    """The line of one output, and what is kept."""
    kind = {"float32": "f32", "int64": "i64"}[str(a.dtype)]
    every = step(a.size)
    shape = ",".join(map(str, a.shape))
    return f"output {name} {kind} {shape} {every}", a.reshape(-1)[::every]


def judge(net, case, name, a, other):
    """A net whose outputs hardly depend on its inputs tells little."""
    if a.dtype != np.float32:
        return
    top = np.abs(a).max()
    moved = np.abs(a - other).max() / top if other is not None else 1
    line = (f"{net} {case} {name} {a.shape}: max|r| {top:.3g}, "
            f"deviation {a.std():.3g}, moves by {moved:.3g}")
    print(line + ("" if moved > 0.01 and np.isfinite(top) else "  FLAT"))


def moved(inputs):
    """Other values of the float or the token inputs."""
    return {k: np.roll(v, 1, -1) if v.size < 3000 else v[..., ::-1].copy()
            for k, v in inputs.items()}


def run(net, folder):
    with open(f"{HERE}/{net}.txt") as f:
        lines = [s for s in f.read().splitlines() if s.split()[0] != "output"]
    session = onnxruntime.InferenceSession(
        f"{folder}/{net}.onnx", providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    noted = {}
    for case, inputs in cases(lines):
        values = {}
        for name in inputs:
            given = f"{HERE}/{net}.{case}.{name}.npy"
            values[name] = np.load(given if os.path.exists(given) else
                                   f"{folder}/{case}.{name}.npy")
        got = session.run(names, values)
        others = session.run(names, moved(values))
        noted[case] = []
        for name, a, other in zip(names, got, others):
            judge(net, case, name, a, other)
            line, kept = note(name, a)
            noted[case].append(line)
            np.save(f"{HERE}/{net}.{case}.{name}.npy", kept)
    return lines, noted


def rewrite(net, lines, noted):
    """Outputs behind the inputs of their case."""
    out, case = [], None
    for line in lines + ["case"]:
        if line.split()[0] == "case" and case:
            out += noted[case]
        if line != "case":
            out.append(line)
            case = line.split()[1] if line.startswith("case") else case
    with open(f"{HERE}/{net}.txt", "w") as f:
        f.write("\n".join(out) + "\n")


def main():
    draw, nets = sys.argv[1], sys.argv[2:]
    for path in sorted(glob.glob(f"{HERE}/*.onnx")):
        net = os.path.basename(path)[:-5]
        if nets and net not in nets:
            continue
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(path, folder)
            subprocess.run([draw, f"{HERE}/{net}.txt", folder], check=True)
            rewrite(net, *run(net, folder))


if __name__ == "__main__":
    main()
