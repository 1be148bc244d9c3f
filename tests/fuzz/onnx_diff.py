#!/usr/bin/env python3
"""onnx_diff.py - random ONNX graphs, by Tamis and by ONNX Runtime.

  onnx_diff.py TAMIS --seeds=A-B [-j N] [--only=FAMILY,...] [--keep=DIR]
               [--no-shrink] [--list]

It needs the packages onnx, onnxruntime and numpy:

  python3 -m venv /tmp/v && /tmp/v/bin/pip install onnx onnxruntime numpy
  /tmp/v/bin/python tests/fuzz/onnx_diff.py build/tamis --seeds=1-10000

From each seed a valid graph is drawn (diff/draw.py) with inputs for which
its results are well-conditioned; what ONNX Runtime refuses is drawn again.
`tamis run` computes it by the evaluator and by native code; all outputs have
to be those of ONNX Runtime, within what small errors at every node may make
of them, integers exactly.  Exit code 4 with a message counts as unsupported.
Anything else is a failure: it is made smaller (diff/shrink.py) and, with
--keep, written to DIR: SEED.onnx, inputs SEED.in.NAME.npy, what is expected
as SEED.out.NAME.npy, and SEED.txt, which lists it.

--only draws nodes of these families alone, --list prints them.  The exit
code is 1 if a graph failed."""
import argparse
import collections
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "diff"))
sys.dont_write_bytecode = True

import numpy as np                                              # noqa: E402
import onnx                                                     # noqa: E402

from draw import FAMILIES, differs, draw                        # noqa: E402
from graph import Redraw                                        # noqa: E402
from shrink import shrink                                       # noqa: E402

SECONDS = 120


class Unsupported(Exception):
    pass


def run(tamis, engine, case, folder):
    """What is wrong with an engine's outputs, or None."""
    command = [tamis, "run", f"--engine={engine}", "-O1",
               os.path.join(folder, "m.onnx"), *case.sizes()]
    for name in case.fed():
        command.append(f"--in={name}={folder}/{name}.npy")
    for name in case.outputs:
        command.append(f"--out={name}={folder}/{name}.out.npy")
    try:
        p = subprocess.run(command, capture_output=True, text=True,
                           errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"{engine} hangs:"
    if p.returncode == 4 and p.stderr.strip():
        raise Unsupported(p.stderr.strip())
    if p.returncode:
        return f"{engine} exit {p.returncode}: {p.stderr.strip()}"
    for name, (want, tol) in case.expected().items():
        path = f"{folder}/{name}.out.npy"
        wrong = differs(np.load(path), want, tol)
        os.unlink(path)
        if wrong:
            return f"{engine} wrong: {name}: {wrong}"
    return None


def fails(tamis, case):
    """What is wrong with a case, or None."""
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(case.model(), os.path.join(folder, "m.onnx"))
        for name, a in case.fed().items():
            np.save(f"{folder}/{name}.npy", a)
        return run(tamis, "reference", case, folder) or \
            run(tamis, "native", case, folder)


def keep(folder, seed, case, text):
    """Files SEED.* of a case."""
    os.makedirs(folder, exist_ok=True)
    model, at = case.model(), os.path.join(folder, str(seed))
    onnx.save(model, f"{at}.onnx")
    for name, a in case.fed().items():
        np.save(f"{at}.in.{name}.npy", a)
    for name in case.outputs:
        np.save(f"{at}.out.{name}.npy", case.values[name].a)
    with open(f"{at}.txt", "w") as f:
        f.write(f"seed {seed}: {text}\n\n{onnx.printer.to_text(model)}\n")
        for name, a in case.fed().items():
            f.write(f"\n{name} = {a}\n")
        for name in case.outputs:
            f.write(f"\nexpected {name} = {case.values[name].a}\n")


def outcome(seed, o):
    """(state, text, operators) of a seed."""
    try:
        case = draw(seed, o.only)
    except Redraw as e:
        return "redrawn", str(e), []
    ops = [n.op_type for n in case.nodes]
    try:
        wrong = fails(o.tamis, case)
    except Unsupported as e:
        return "unsupported", str(e), ops
    if not wrong:
        return "same", "", ops
    if o.shrink:
        def again(c):
            try:
                return fails(o.tamis, c)
            except Unsupported:
                return None
        case = shrink(case, again)
        wrong = again(case) or wrong
    if o.keep:
        keep(o.keep, seed, case, wrong)
    return "failed", " ".join(n.op_type for n in case.nodes) + ": " + \
        wrong, ops


def child(seeds, o, pipe):
    """Draws and computes until the end, or until ONNX Runtime crashes."""
    for seed in seeds:
        pipe.send((seed, None))
        pipe.send((seed, outcome(seed, o)))
    pipe.close()


def watch(seeds, o, tell):
    """One child after the other, for all seeds."""
    while seeds:
        here, there = multiprocessing.Pipe(False)
        p = multiprocessing.Process(target=child, args=(seeds, o, there))
        p.start()
        there.close()
        at = None
        try:
            while True:
                at, result = here.recv()
                if result:
                    tell(at, *result)
                    seeds = seeds[seeds.index(at) + 1:]
                    at = None
        except EOFError:
            p.join()
        if at is not None:
            tell(at, "redrawn", f"ONNX Runtime died: {p.exitcode}", [])
            seeds = seeds[seeds.index(at) + 1:]
        elif p.exitcode and seeds:
            raise SystemExit(f"the drawing ended with {p.exitcode}")


def job(seeds, o, queue):
    watch(seeds, o, lambda *result: queue.put(result))
    queue.put(None)


def results(o):
    """All seeds' results, as they come."""
    first, last = o.seeds
    queue = multiprocessing.Queue()
    jobs = [multiprocessing.Process(
        target=job, args=(list(range(first + k, last + 1, o.jobs)), o, queue))
        for k in range(o.jobs)]
    for j in jobs:
        j.start()
    left = len(jobs)
    while left:
        r = queue.get()
        if r is None:
            left -= 1
        else:
            yield r


def reasons(text):
    """The lines of a refusal, without what differs from graph to graph."""
    for line in text.splitlines():
        m = re.search(r"error: (.*)", line)
        if m:
            yield re.sub(r"'[a-z]+[0-9]+'|\d+", "N", m.group(1))


def report(counts, refused, ops, seconds):
    print(f"{sum(counts.values())} graphs in {seconds:.0f} s: " +
          ", ".join(f"{n} {k}" for k, n in counts.most_common()))
    print("operators: " + ", ".join(f"{k} {n}" for k, n in
                                    sorted(ops.items())))
    for text, n in refused.most_common():
        print(f"unsupported, {n} times: {text}")


def span(text):
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.
                                RawDescriptionHelpFormatter)
    p.add_argument("tamis", nargs="?")
    p.add_argument("--seeds", type=span, default=(1, 1000))
    p.add_argument("-j", "--jobs", type=int, default=1)
    p.add_argument("--only")
    p.add_argument("--keep")
    p.add_argument("--no-shrink", dest="shrink", action="store_false")
    p.add_argument("--list", action="store_true")
    o = p.parse_args()
    if o.list:
        print("\n".join(FAMILIES))
        return 0
    unknown = set((o.only or "").split(",")) - set(FAMILIES) - {""}
    if not o.tamis or unknown:
        p.error("expected TAMIS" if not o.tamis else
                f"no families {', '.join(sorted(unknown))}: see --list")
    multiprocessing.set_start_method("fork")
    counts, refused = collections.Counter(), collections.Counter()
    ops, start = collections.Counter(), time.time()
    for seed, state, text, used in results(o):
        counts[state] += 1
        ops.update(used)
        if state == "failed":
            print(f"FAIL {seed}: {text}", flush=True)
        elif state == "unsupported":
            refused.update(set(reasons(text)))
        if sum(counts.values()) % 500 == 0:
            print(f"... {dict(counts)}", file=sys.stderr, flush=True)
    report(counts, refused, ops, time.time() - start)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
