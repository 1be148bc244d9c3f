#!/usr/bin/env python3
"""conformance.py - runs ONNX's backend tests.

  conformance.py TAMIS DATA... [--only=PART] [--every=N] [--jobs=N]
                 [--reference] [--table=FILE] [--check=FILE]

DATA are folders with the tests' folders in node/, simple/ and so on:
Debian's libonnx-testdata has one in /usr/include/onnx/backend/test/data.
Each test's inputs go through the evaluator and through compiled code (with
--reference through the evaluator alone), outputs have to be those of the
test: within 1e-3 of the value as ONNX's own runner has it, integers
exactly.  A test that is refused because a shape depends on an input is tried
again with inputs as constants (--const).

--only: of tests whose names have PART in them.  --every: each Nth test.
--table: writes the results as Markdown.  --check: compares with such a table;
the exit code is 1 when a test that passed there does not pass, or any
fails."""
import argparse
import collections
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from multiprocessing.pool import ThreadPool

from onnx_read import (BFLOAT16, FLOATS, STRING, Model, npy_read, npy_write,
                       tensor, values)

PASSED, CONST, UNSUPPORTED, FAILED = "passed", "with --const", \
    "unsupported", "failed"
COUNTED = PASSED, CONST, UNSUPPORTED, FAILED

WORDS = set("""as block dump else false for from func if import in inf model
nan next param recipe repeat state then true weights where with f64 f32 f16
bf16 i64 i32 i16 i8 i4 u8 u4 b1 u16 u32 u64""".split())

# What is not counted, and how it is known.
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike",
          "RandomUniform", "RandomUniformLike"}
STRINGS = {"StringNormalizer", "StringConcat", "StringSplit",
           "TfIdfVectorizer", "RegexFullMatch", "LabelEncoder"}

Result = collections.namedtuple("Result", "name op state text")


def apart(name, model):
    """Why a test is not counted, or None."""
    ops = {op for _, op in model.nodes}
    domains = {domain for domain, _ in model.nodes}
    ends = model.all_inputs + model.outputs
    kinds = {v.kind for v in ends}
    if "ai.onnx.preview.training" in domains or \
            name.startswith("test_training_dropout") or "Gradient" in ops:
        return "training"
    if "ImageDecoder" in ops:
        return "image decoding"
    if ops & STRINGS or any(v.type == STRING for v in ends):
        return "strings"
    if "optional" in kinds or any(op.startswith("Optional") for op in ops):
        return "optional values"
    if kinds & {"sequence", "map"} or any("Sequence" in op for op in ops):
        return "sequences"
    if ops & RANDOM:
        return "random numbers"
    if any(domain.startswith("ai.onnx.ml") for domain in domains):
        return "classical machine learning (ai.onnx.ml)"
    return None


def language_names(model, consts):
    """The names that inputs and outputs have in the language."""
    taken, out = set(), {}
    inputs = [v.name for v in model.inputs if v.name not in consts]
    for kind, names in (("in", inputs),
                        ("out", [v.name for v in model.outputs])):
        for name in names:
            s = "_" if name[:1].isdigit() else ""
            s += re.sub("[^0-9A-Za-z]", "_", name)
            if not s or s in WORDS:
                s += "_"
            one, n = s, 2
            while one in taken:
                one, n = f"{s}_{n}", n + 1
            taken.add(one)
            out[kind, name] = one
    return out


def as_declared(t, v):
    """Older data have bfloat16 as uint16."""
    if t and v.type == BFLOAT16 and t.descr == "<u2":
        return t._replace(descr="<V2")
    return t


def contradicts(t, v):
    """Whether a tensor has not the shape that the model says."""
    return t and v.dim is not None and (
        len(v.dim) != len(t.dim) or
        any(isinstance(d, int) and d != n for d, n in zip(v.dim, t.dim)))


def beyond_float(t):
    """Whether a tensor of doubles has values that no float has."""
    return t and t.descr == "<f8" and any(
        math.isfinite(x) and abs(x) > 3.4e38 for x in values(t))


# ---- comparing -------------------------------------------------------------

def near(a, b, rtol, atol):
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or (math.isfinite(b) and abs(a - b) <= atol + rtol * abs(b))


def tolerance(descr, want):
    """As ONNX's runner has it, two places of bfloat16 included (which older
    data cut off).  Where large values cancel, expected ones have noise of
    their own: two places of the largest in float."""
    largest = max((abs(v) for v in want if math.isfinite(v)), default=0)
    rtol = 2.0 ** -6 if descr == "<V2" else 1e-3
    return rtol, max(1e-7, largest * 2.0 ** -22)


def difference(got, want):
    """What differs; None when nothing does."""
    if got.descr != want.descr or got.dim != want.dim:
        return f"expected {want.descr} {want.dim}, found {got.descr} {got.dim}"
    if got.data == want.data:
        return None
    a, b = values(got), values(want)
    rtol, atol = tolerance(want.descr, b)
    for i, (x, y) in enumerate(zip(a, b)):
        if x != y and not (want.descr in FLOATS and near(x, y, rtol, atol)):
            return f"element {i} of {len(b)} is {x:.9g}, expected {y:.9g}"
    return None


# ---- one test --------------------------------------------------------------

class Case:
    def __init__(self, tamis, folder, tmp, engines):
        self.folder, self.tmp, self.engines = folder, tmp, engines
        self.tamis = tamis
        self.model = Model(os.path.join(folder, "model.onnx"))

    def read(self, data, kind, vs):
        """The tensors of a data set by the names of vs."""
        out = {}
        for i, v in enumerate(vs):
            path = os.path.join(data, f"{kind}_{i}.pb")
            if v.name and os.path.exists(path):
                with open(path, "rb") as f:
                    out[v.name] = as_declared(tensor(f.read()), v)
        return out

    def command(self, engine, inputs, consts, outputs):
        names = language_names(self.model, consts)
        args = [self.tamis, "run", os.path.join(self.folder, "model.onnx"),
                f"--engine={engine}"]
        dims = {}
        for k, v in enumerate(self.model.inputs):
            t = inputs.get(v.name)
            if t is None:
                continue
            file = os.path.join(self.tmp, f"in{k}.npy")
            if v.name in consts:
                args.append(f"--const={v.name}={file}")
                continue
            args += ["--in", f"{names['in', v.name]}={file}"]
            for i, d in enumerate(v.dim or []):
                if not isinstance(d, int) and i < len(t.dim):
                    dims[d or f"{v.name}_{i}"] = t.dim[i]
        for k, v in enumerate(self.model.outputs):
            if outputs.get(v.name):
                args += ["--out", names["out", v.name] + "=" +
                         os.path.join(self.tmp, f"out{k}.npy")]
        return args + [f"--dim={k}={d}" for k, d in dims.items()]

    def run(self, engine, inputs, consts, outputs):
        """(state, text): by one engine."""
        args = self.command(engine, inputs, consts, outputs)
        r = subprocess.run(args, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = r.stderr.decode(errors="replace").strip()
        if r.returncode == 4:
            return UNSUPPORTED, said
        if r.returncode != 0:
            return FAILED, f"exit code {r.returncode}: {said}"
        for k, v in enumerate(self.model.outputs):
            if outputs.get(v.name):
                got = npy_read(os.path.join(self.tmp, f"out{k}.npy"))
                text = difference(got, outputs[v.name])
                if text:
                    return FAILED, f"{engine}: {v.name}: {text}"
        return PASSED, ""

    def data_sets(self):
        return sorted(os.path.join(self.folder, d)
                      for d in os.listdir(self.folder)
                      if d.startswith("test_data_set_"))

    def attempt(self, choose):
        """All data sets by all engines; `choose` names the constants."""
        state, text, consts = PASSED, "", []
        for data in self.data_sets():
            inputs = self.read(data, "input", self.model.all_inputs)
            outputs = self.read(data, "output", self.model.outputs)
            for k, v in enumerate(self.model.inputs):
                if inputs.get(v.name):
                    npy_write(os.path.join(self.tmp, f"in{k}.npy"),
                              inputs[v.name])
            consts = choose(inputs, self.model.inputs)
            for engine in self.engines:
                state, text = self.run(engine, inputs, consts, outputs)
                if state != PASSED:
                    return state, text, consts
        return state, text, consts

    def unfit(self):
        """What is wrong with the test's data: (state, text), or None."""
        for data in self.data_sets():
            for kind, vs in (("input", self.model.all_inputs),
                             ("output", self.model.outputs)):
                t = self.read(data, kind, vs)
                if any(contradicts(t.get(v.name), v) for v in vs):
                    return "data that contradict the model", ""
                if any(beyond_float(x) for x in t.values()):
                    return UNSUPPORTED, "doubles beyond the range of " \
                        "float32, in which they are computed"
        return None

    def result(self):
        """(state, text)"""
        unfit = self.unfit()
        if unfit:
            return unfit
        state, text, _ = self.attempt(lambda inputs, vs: [])
        if state != UNSUPPORTED or "constant" not in text:
            return state, text
        for choose in CHOICES:
            now, said, consts = self.attempt(choose)
            if now == PASSED:
                return CONST, ", ".join(consts)
            if now == FAILED:
                return now, f"--const {', '.join(consts)}: {said}"
        return state, text


def small_integers(inputs, vs):
    return [v.name for v in vs if inputs.get(v.name) and
            len(inputs[v.name].dim) < 2 and
            inputs[v.name].descr in ("<i8", "<i4", "|b1")]


def all_but_first(inputs, vs):
    return [v.name for v in vs[1:] if inputs.get(v.name)]


def every_one(inputs, vs):
    return [v.name for v in vs if inputs.get(v.name)]


# Inputs made constants, until it is enough.
CHOICES = small_integers, all_but_first, every_one


# ---- all tests -------------------------------------------------------------

def operator_of(folder, model):
    """A node test's operator, else its group.  What a function was expanded
    to counts as the function."""
    group = os.path.basename(os.path.dirname(folder))
    if group != "node":
        return f"({group})"
    base = re.sub("_expanded.*", "", folder)
    if base != folder:
        near_by = os.path.join(base, "model.onnx")
        if os.path.exists(near_by):
            model = Model(near_by)
    domain, op = model.nodes[model.own - 1]
    return f"{domain}.{op}" if domain else op


def one_test(args):
    tamis, folder, engines = args
    tmp = tempfile.mkdtemp(prefix="conformance-")
    name = os.path.basename(folder)
    try:
        case = Case(tamis, folder, tmp, engines)
        op, why = operator_of(folder, case.model), apart(name, case.model)
        if why:
            return Result(name, op, why, "")
        state, text = case.result()
        return Result(name, op, state, text.replace(folder + "/", ""))
    finally:
        shutil.rmtree(tmp)


def folders(data, only):
    found = []
    for top in data:
        for group in sorted(os.listdir(top)):
            path = os.path.join(top, group)
            names = os.listdir(path) if os.path.isdir(path) else []
            for name in sorted(names):
                folder = os.path.join(path, name)
                if only in name and \
                        os.path.exists(os.path.join(folder, "model.onnx")):
                    found.append(folder)
    return found


# ---- the table -------------------------------------------------------------

def count(results, state):
    return sum(1 for r in results if r.state == state)


def reason(r):
    """The messages without what is the same for all."""
    text = re.sub(r"(?m)^model\.onnx: error: (onnx: )?", "", r.text)
    text = "; ".join(line.strip() for line in text.split("\n"))
    return text.replace("|", "\\|")


def rows(results):
    ops = collections.defaultdict(list)
    for r in results:
        if r.state in COUNTED:
            ops[r.op].append(r)
    return {op: [count(ops[op], s) for s in COUNTED] for op in sorted(ops)}


def table(results):
    counted = [r for r in results if r.state in COUNTED]
    total = [count(counted, s) for s in COUNTED]
    good = total[0] + total[1]
    out = ["# ONNX's backend tests", "",
           "Written by `tests/conformance/conformance.py --table=FILE`.", "",
           f"Of {len(counted)} tests {good} pass "
           f"({100 * good / max(len(counted), 1):.1f} %), {total[1]} of them "
           f"with `--const`; {total[2]} are not supported, {total[3]} fail.",
           "", "| operator | " + " | ".join(COUNTED) + " |",
           "|---" * (len(COUNTED) + 1) + "|"]
    for op, n in rows(results).items():
        out.append(f"| {op} | " + " | ".join(str(k or "") for k in n) + " |")
    out.append("| all | " + " | ".join(map(str, total)) + " |")
    why = collections.Counter(r.state for r in results
                              if r.state not in COUNTED)
    out += ["", "Not counted: " +
            ", ".join(f"{w} {n}" for w, n in sorted(why.items())) + "."]
    for state, head in ((FAILED, "Failed"), (UNSUPPORTED, "Not supported"),
                        (CONST, "With `--const`")):
        some = [r for r in counted if r.state == state]
        if some:
            what = "inputs" if state == CONST else "message"
            out += ["", f"## {head}", "", f"| test | {what} |", "|---|---|"]
            out += [f"| {r.name} | {reason(r)} |" for r in some]
    return "\n".join(out) + "\n"


def table_read(path):
    """(operator -> counts, test -> state) of a table."""
    ops, tests, state = {}, {}, None
    heads = {"Failed": FAILED, "Not supported": UNSUPPORTED,
             "With `--const`": CONST}
    with open(path) as f:
        for line in f:
            cell = [c.strip() for c in line.strip().strip("|").split("|")]
            if line.startswith("## "):
                state = heads[line[3:].strip()]
            elif not line.startswith("|") or cell[0].startswith("---"):
                continue
            elif state and cell[0] != "test":
                tests[cell[0]] = state
            elif len(cell) == 5 and cell[0] not in ("operator", "all"):
                ops[cell[0]] = [int(c or 0) for c in cell[1:]]
    return ops, tests


def check(results, path, whole):
    """What is worse than in the table, of which the results are the whole or
    a part.  Where an operator has another number of tests in all they are not
    the same tests, and nothing is said."""
    ops, tests = table_read(path)
    now, worse = rows(results), []
    for r in results:
        if r.state == FAILED:
            worse.append(f"{r.name} fails: {reason(r)}")
        elif r.state in COUNTED and (
                not whole or sum(now[r.op]) == sum(ops.get(r.op, []))):
            was = tests.get(r.name, PASSED)
            if COUNTED.index(r.state) > COUNTED.index(was):
                worse.append(f"{r.name} was {was}, is {r.state} now: "
                             f"{reason(r)}")
            elif r.state != was:
                print(f"{r.name} was {was}, is {r.state} now: write the "
                      "table anew")
    other = [op for op in now
             if whole and sum(now[op]) != sum(ops.get(op, []))]
    if other:
        print("other tests than in the table: " + ", ".join(other))
    return worse


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("tamis")
    p.add_argument("data", nargs="+")
    p.add_argument("--only", default="")
    p.add_argument("--every", type=int, default=1)
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    p.add_argument("--reference", action="store_true")
    p.add_argument("--table")
    p.add_argument("--check")
    a = p.parse_args()
    engines = ["reference"] if a.reference else ["reference", "native"]
    tests = folders(a.data, a.only)[::a.every]
    if not tests:
        sys.exit(f"conformance: no tests in {' '.join(a.data)}")
    work = [(os.path.abspath(a.tamis), f, engines) for f in tests]
    with ThreadPool(a.jobs) as pool:
        results = pool.map(one_test, work, chunksize=4)
    text = table(results)
    if a.table:
        with open(a.table, "w") as f:
            f.write(text)
    if a.check:
        worse = check(results, a.check, a.every == 1)
        print("\n".join(worse + text.split("\n")[4:5]))
        sys.exit(1 if worse else 0)
    print(text, end="")
    sys.exit(1 if any(r.state == FAILED for r in results) else 0)


main()
