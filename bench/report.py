#!/usr/bin/env python3
"""report.py - what bench/run.sh measured, as one JSON, tables and pictures.

  report.py [--cpu=CPU] [--machine=TEXT] DIR

DIR holds what there is of layers.jsonl, sweep.jsonl and nets.json; written
are results.json, results.md, layers.svg and nets.svg, all with -CPU in their
names if there is one. Standard library only.
A ratio is the time of a peer by that of Tamis: above 1 Tamis is faster; in
tables of layers the geometric mean of a set, and its least in brackets.
"""
import argparse
import datetime
import glob
import json
import math
import os
import platform
import subprocess

import bars

DENSE_PEERS = ("oneDNN", "XNNPACK", "OpenBLAS", "libxsmm")
SHAPE = ("net", "op", "c", "h", "w", "o", "k", "stride", "groups")


def geomean(v):
    return math.exp(sum(map(math.log, v)) / len(v)) if v else None


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return [json.loads(line) for line in f]


def label(s):
    net, op, c, h, w, o, k, stride, groups = s
    if op == "linear":
        return f"{net} linear {c} to {o}, {h} row{'s' * (h > 1)}"
    kind = "depthwise" if groups > 1 else op
    tail = f", stride {stride}" if stride > 1 else ""
    return f"{net} {kind} {k}x{k} {c} to {o}, {h}x{w}{tail}"


def columns(s):
    """Of the weight as a matrix."""
    return s[2] // s[8] * s[6] * s[6]


class Layers:
    """Times by shape, contestant, pattern and zeros."""

    def __init__(self, rows):
        self.rows = [r for r in rows if "us" in r]
        self.skips = [r for r in rows if "skipped" in r and "net" in r]
        self.peers = [r for r in rows if "peer" in r]
        self.held = [r["held"] for r in rows if "held" in r]
        self.at = {}
        for r in self.rows:
            key = tuple(r[k] for k in SHAPE)
            self.at.setdefault(key, {})[
                r["who"], r["pattern"], r["zeros"]] = r

    def shapes(self, *nets, op=None, k=None, depthwise=False):
        return [s for s in self.at if (not nets or s[0] in nets) and
                (op is None or s[1] == op) and (k is None or s[6] == k) and
                (s[8] > 1) == depthwise]

    def us(self, s, who, pattern, zeros, field="us"):
        return self.at[s].get((who, pattern, zeros), {}).get(field)

    def ours(self, s, pattern="dense", zeros=0, field="us"):
        return self.us(s, "Tamis", pattern, zeros, field)

    def best_dense(self, s, peers=DENSE_PEERS):
        v = [self.us(s, p, "dense", 0) for p in peers]
        return min([t for t in v if t], default=None)

    def best_sparse(self, s, zeros):
        v = [r["us"] for (who, p, z), r in self.at[s].items()
             if who != "Tamis" and p == "unstructured" and z == zeros]
        return min(v, default=None)

    def ratios(self, shapes, pattern, zeros, against):
        out = []
        for s in shapes:
            a, b = against(s), self.ours(s, pattern, zeros)
            if a and b:
                out.append(a / b)
        return out


LEVELS = (("dense", 0), ("2:4", 50), ("4x1", 70), ("4x1", 80), ("4x1", 90),
          ("4x1", 95), ("unstructured", 70), ("unstructured", 80),
          ("unstructured", 90), ("unstructured", 95))


def summary(la):
    """What is claimed: sets of shapes, whose times are compared, and by
    pattern and zeros the least ratio, the geometric mean and the shapes."""
    pointwise = la.shapes("v1", "v2", op="conv", k=1)
    bert, products = la.shapes("bert"), la.shapes(
        "v1", "v2", "resnet", "bert", "minilm")
    sets = [("MobileNet 1x1", pointwise), ("BERT linear", bert),
            ("BERT feed-forward", [s for s in bert if s[2] != s[5]]),
            ("ResNet 3x3", la.shapes("resnet", k=3)),
            ("transposed", la.shapes(op="transposed")),
            ("all but face and single rows", products)]
    named = DENSE_PEERS[:3]
    out = []

    def add(what, of, shapes, levels, against):
        cells = {}
        for p, z in levels:
            v = la.ratios(shapes, p, z, lambda s: against(s, z))
            if v:
                cells[f"{p} {z} %" if z else p] = (min(v), geomean(v), len(v))
        if cells:
            out.append({"what": what, "of": of, "cells": cells})
    for name, shapes in sets:
        add(name, "the best dense peer", shapes, LEVELS,
            lambda s, z: la.best_dense(s))
    maps = products + la.shapes("face")
    for name, shapes in (
            ("K up to 512", [s for s in maps if columns(s) <= 512]),
            ("K above 512", [s for s in maps if columns(s) > 512])):
        add(name, "the best dense peer", shapes, LEVELS[1:2],
            lambda s, z: la.best_dense(s))
    for name, shapes in sets[:3]:
        add(name, "the best sparse peer", shapes,
            [v for v in LEVELS if v[0] == "unstructured"], la.best_sparse)
    add("1x1 and linear", ", ".join(named),
        pointwise + la.shapes("bert", "minilm"), LEVELS[:1],
        lambda s, z: la.best_dense(s, named))
    for stride in (1, 2):
        add(f"depthwise 3x3, stride {stride}", "oneDNN",
            [s for s in la.shapes(k=3, depthwise=True) if s[7] == stride],
            LEVELS[:1], lambda s, z: la.us(s, "oneDNN", "dense", 0))
    return out


def level_heads():
    """Of columns: the pattern once, where its first level stands."""
    out = []
    for i, (p, z) in enumerate(LEVELS):
        first = i == 0 or LEVELS[i - 1][0] != p
        out.append(f"{p} {z} %" if first and z else p if first else f"{z} %")
    return out


def level_cells(form):
    return [form(f"{p} {z} %" if z else p) for p, z in LEVELS]


def summary_table(rows):
    out = []
    for r in rows:
        def cell(level):
            least, mean, _ = r["cells"].get(level, (None, None, 0))
            return f"{mean:.2f} ({least:.2f})" if mean else ""
        n = max(n for _, _, n in r["cells"].values())
        out.append((f"{r['what']} ({n})", r["of"], *level_cells(cell)))
    return table(("peer's time by ours: mean (least)", "peer",
                  *level_heads()), out)


def table(head, rows):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(out + ["| " + " | ".join(map(str, r)) + " |"
                            for r in rows]) + "\n"


def num(v, form="{:.2f}"):
    return "" if v is None else form.format(v)


def gemv_table(la):
    out = []
    for s in la.shapes("fc"):
        if s[2:6] != (1024, 1, 1, 1024):
            continue
        for who in dict.fromkeys(who for who, _, _ in la.at[s]):
            us = {f"{p} {z} %" if z else p: r for (w, p, z), r in
                  la.at[s].items() if w == who}

            def cell(level):
                r = us.get(level, {})
                cold = f" ({r['cold_us']:.1f})" if "cold_us" in r else ""
                return num(r.get("us"), "{:.1f}") + cold
            out.append((who, *level_cells(cell)))
    return table(("1024x1024, one row: us (cold)", *level_heads()), out)


def depthwise_table(la):
    out = []
    for s in la.shapes("v1", k=3, depthwise=True):
        a, b = la.us(s, "oneDNN", "dense", 0), la.ours(s)
        x = la.us(s, "XNNPACK", "dense", 0)
        if a and b:
            out.append((label(s), num(b), num(a), num(x), num(a / b)))
    return table(("depthwise", "Tamis us", "oneDNN us", "XNNPACK us",
                  "oneDNN by Tamis"), out)


def layer_table(la):
    """Dense of us and of the best peer, then our sparse times."""
    out = []
    for s in la.shapes():
        best = min(((la.us(s, p, "dense", 0), p) for p in DENSE_PEERS
                    if la.us(s, p, "dense", 0)), default=(None, ""))
        cells = [la.ours(s, p, z) for p in ("4x1", "unstructured")
                 for z in (80, 90, 95)] + [la.ours(s, "2:4", 50)]
        out.append((label(s), f"{num(best[0], '{:.1f}')} {best[1]}",
                    num(la.ours(s), "{:.1f}"),
                    *(num(c, "{:.1f}") for c in cells),
                    num(la.best_sparse(s, 90), "{:.1f}")))
    return table(("us", "best dense peer", "dense", "4x1 80 %", "90", "95",
                  "unstr. 80 %", "90", "95", "2:4",
                  "best sparse peer, 90 %"), out)


def sweep_tables(rows):
    worst, pays = [], []
    for pattern in ("4x1", "unstructured"):
        cells = [r for r in rows if r["sweep"] == pattern]
        if not cells:
            continue
        w = max(cells, key=lambda r: r["ratio"])
        slow = [r for r in cells if r["ratio"] > 1.05]
        s = tuple(w.get(k, 1) for k in SHAPE)
        worst.append((pattern, len(cells), len(slow), num(w["ratio"]),
                      f"{label(s)}, density {w['density']} %",
                      w["kernel"]))
        by_shape = {}
        for r in cells:
            key = tuple(r.get(k, 1) for k in SHAPE)
            most = by_shape.setdefault(key, 0)
            if "dense" not in r["kernel"] and r["ratio"] < 0.97:
                by_shape[key] = max(most, r["density"])
        zeros = sorted(100 - v for v in by_shape.values() if v)
        pays.append((pattern, f"{zeros[0]} %",
                     f"{zeros[len(zeros) // 2]} %", f"{zeros[-1]} %",
                     len(by_shape) - len(zeros)))
    return (table(("pattern", "cells", "over 5 % slower", "worst",
                   "where", "kernel"), worst),
            table(("fewest zeros where sparse pays", "least of the shapes",
                   "median", "most", "shapes where never"), pays))


def best_ms(rows, variant):
    return min((r["ms"] for r in rows if "ms" in r and r["who"] != "Tamis" and
                r["variant"] == variant), default=None)


def nets_table(nets):
    """A line for the dense weights of a net, one for those with zeros, and one
    for a peer in int8, by our time with zeros."""
    whos = list(dict.fromkeys(r["who"] for n in nets for r in n["rows"]))
    whos.sort(key=lambda w: w != "Tamis")
    out = []
    for n in nets:
        for variant in ("dense", "sparse"):
            ms = {r["who"]: r["ms"] for r in n["rows"]
                  if "ms" in r and r["variant"] == variant}
            ours = ms.get("Tamis")
            peers = (best_ms(n["rows"], v) for v in ("dense", variant))
            out.append((n["net"], n["zeros"] if variant == "sparse" else
                        "dense", *(num(ms.get(w)) for w in whos),
                        *(num(p / ours) if p and ours else ""
                          for p in peers)))
        int8 = best_ms(n["rows"], "int8")
        if int8:
            out.append((n["net"], "int8", *(
                num(best_ms([r for r in n["rows"] if r["who"] == w], "int8"))
                for w in whos), "", num(int8 / ours) if ours else ""))
    return table(("ms", "weights", *whos, "best peer with dense weights by us",
                  "with these by us"), out) + nets_notes(nets)


def nets_notes(nets):
    """Versions, and who was left out and why."""
    rows = [r | {"net": n["net"]} for n in nets for r in n["rows"]]
    known = dict.fromkeys(f"{r['who']} {r['version']}" for r in rows
                          if r["version"] and r["who"] != "Tamis")
    out = {}
    for r in rows:
        if "skipped" in r:
            out.setdefault(f"{r['who']} ({r['skipped']})", []).append(
                f"{r['net']} {r['variant']}")
    return ("\n" + "; ".join(known) + ".\n" +
            "".join(f"\nLeft out: {who}: {', '.join(of)}.\n"
                    for who, of in out.items()))


def read_nets(path):
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return json.load(f)


def threaded_nets(path):
    """What PATH-threadsN.json say, by N."""
    stem = path.removesuffix(".json") + "-threads"
    files = glob.glob(glob.escape(stem) + "*.json")
    found = {int(f[len(stem):-len(".json")]): read_nets(f) for f in files}
    return dict(sorted(found.items()))


def layers_svg(la, tail):
    groups = []
    for name, shapes in (("MobileNetV1 and V2, 1x1", la.shapes(
            "v1", "v2", op="conv", k=1)),
            ("BERT linear, 128 tokens", la.shapes("bert")),
            ("ResNet-50 3x3", la.shapes("resnet", k=3))):
        rows = []
        for pattern, z, colour in (
                ("dense", 0, "ours"), ("2:4", 50, "ours"),
                ("4x1", 80, "sparse"), ("4x1", 90, "sparse"),
                ("4x1", 95, "sparse"), ("unstructured", 80, "other"),
                ("unstructured", 90, "other"), ("unstructured", 95, "other")):
            v = la.ratios(shapes, pattern, z, la.best_dense)
            if v:
                rows.append((f"Tamis {pattern}" + (f" {z} %" if z else ""),
                             geomean(v), colour))
        for z in (80, 90, 95):
            v = [la.best_dense(s) / la.best_sparse(s, z) for s in shapes
                 if la.best_dense(s) and la.best_sparse(s, z)]
            if v:
                rows.append((f"best sparse peer {z} %", geomean(v), "peer"))
        if rows:
            groups.append((name, rows))
    return bars.bars("Times as fast as the best dense f32 peer (geometric "
                     f"means){tail}", groups, "{:.2f}".format, 1)


def nets_svg(nets, tail):
    groups = []
    for n in nets:
        rows = [(f"{r['who']}, {r['variant']}", r["ms"],
                 "peer" if r["who"] != "Tamis" else
                 "ours" if r["variant"] == "dense" else "sparse")
                for r in n["rows"] if "ms" in r]
        fast = min((v for _, v, _ in rows), default=0)
        rows = [r for r in rows if r[1] < 60 * fast]
        if rows:
            groups.append((f"{n['net']} (sparse: {n['zeros']})", rows))
    return bars.bars(f"Whole nets, ms a call, one thread{tail}", groups,
                     "{:.2f}".format)


def machine():
    cpu = {}
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as f:
            cpu = dict((p.strip() for p in line.split(":", 1))
                       for line in f if ":" in line)
    text = cpu.get("model name", platform.machine())
    if "model" in cpu:
        text += f", family {cpu['cpu family']} model {cpu['model']}"
    return text + ", AVX-512" * ("avx512f" in cpu.get("flags", ""))


def package_version(name):
    got = subprocess.run(["dpkg-query", "-W", "-f=${Version}", name],
                         capture_output=True, text=True, check=False)
    return got.stdout if got.returncode == 0 else ""


def peer_text(r):
    if "skipped" in r:
        return f"{r['peer']} skipped: {r['skipped']}"
    if r["peer"] == "XNNPACK":
        return "XNNPACK " + package_version("libxnnpack0")
    return f"{r['peer']} {r['version']}"


def held_text(la, nets):
    """What the looks of held.c found at all processes."""
    looks = la.held + [r["held"] for n in nets for r in n["rows"]
                       if "held" in r and "ms" in r]
    if not looks:
        return ""
    return (f"Held to AVX2: {sum(v[0] for v in looks)} of "
            f"{sum(v[1] for v in looks)} looks found AVX-512.\n")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--cpu", default="")
    p.add_argument("--machine", default=machine())
    p.add_argument("dir")
    args = p.parse_args()

    def path(name):
        stem, end = name.split(".")
        cpu = args.cpu and "-" + args.cpu
        return os.path.join(args.dir, f"{stem}{cpu}.{end}")
    tail = args.cpu and ", " + args.cpu
    la = Layers(read_lines(path("layers.jsonl")))
    sweep, nets = read_lines(path("sweep.jsonl")), read_nets(path("nets.json"))
    threaded = threaded_nets(path("nets.json"))
    date = datetime.date.today().isoformat()
    head = {"date": date, "machine": args.machine, "cpu": args.cpu,
            "system": platform.platform(),
            "llvm": package_version("libllvm19"),
            "peers": [peer_text(r) for r in la.peers
                      if "sparse" not in r["peer"] and
                      "spmdm" not in r["peer"]]}
    rows = summary(la)
    with open(path("results.json"), "w") as f:
        json.dump(head | {"summary": rows, "layers": la.rows,
                          "skipped": la.skips, "sweep": sweep,
                          "nets": nets, "threaded_nets": threaded}, f,
                  indent=1)
    llvm = head["llvm"].split(":")[-1].split("-")[0]
    parts = ["; ".join([f"{date}, {args.machine}{tail}", f"LLVM {llvm}",
                        *head["peers"]]) + ".\n",
             held_text(la, nets + sum(threaded.values(), []))]
    if rows:
        parts += [summary_table(rows), gemv_table(la), depthwise_table(la)]
        with open(path("layers.svg"), "w") as f:
            f.write(layers_svg(la, tail))
    if nets:
        parts.append(nets_table(nets))
        with open(path("nets.svg"), "w") as f:
            f.write(nets_svg(nets, tail))
    for n, of in threaded.items():
        parts.append(f"On {n} threads:\n\n" + nets_table(of))
    if sweep:
        parts += sweep_tables(sweep)
    if rows:
        parts.append("<details><summary>All layers</summary>\n\n" +
                     layer_table(la) + "\n</details>\n")
    with open(path("results.md"), "w") as f:
        f.write("\n".join(filter(None, parts)))


if __name__ == "__main__":
    main()
