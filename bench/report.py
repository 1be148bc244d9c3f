#!/usr/bin/env python3
"""report.py - what bench/run.sh measured, as one JSON, tables and pictures.

  report.py [--machine=TEXT] DIR

DIR holds what there is of layers.jsonl, sweep.jsonl and nets.json; written
are results.json, results.md, layers.svg and nets.svg. Standard library only.
A ratio is the time of a peer by that of Tamis: above 1 Tamis is faster.
"""
import argparse
import datetime
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
    kind = "depthwise" if groups > 1 else "conv"
    tail = f", stride {stride}" if stride > 1 else ""
    return f"{net} {kind} {k}x{k} {c} to {o}, {h}x{w}{tail}"


class Layers:
    """Times by shape, contestant, pattern and zeros."""

    def __init__(self, rows):
        self.rows = [r for r in rows if "us" in r]
        self.skips = [r for r in rows if "skipped" in r and "net" in r]
        self.peers = [r for r in rows if "peer" in r]
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


def summary(la):
    """Rows (what, least, mean, shapes) of the ratios that are claimed."""
    products = (la.shapes("v1", "v2", op="conv", k=1) +
                la.shapes("bert", "minilm"))
    sets = [("MobileNet 1x1", la.shapes("v1", "v2", op="conv", k=1)),
            ("BERT linear", la.shapes("bert")),
            ("ResNet 3x3", la.shapes("resnet", k=3))]
    rows = []

    def add(what, v):
        if v:
            rows.append((what, min(v), geomean(v), len(v)))
    named = DENSE_PEERS[:3]
    add("dense 1x1 and linear, of oneDNN, XNNPACK, OpenBLAS",
        la.ratios(products, "dense", 0, lambda s: la.best_dense(s, named)))
    add("dense 3x3, of oneDNN and XNNPACK",
        la.ratios(sets[2][1], "dense", 0, la.best_dense))
    for name, shapes in sets:
        for pattern, levels in (("4x1", (70, 80, 90, 95)),
                                ("unstructured", (70, 80, 90, 95)),
                                ("2:4", (50,))):
            for z in levels:
                add(f"{name}, {pattern} {z} %, of best dense",
                    la.ratios(shapes, pattern, z, la.best_dense))
    for name, shapes in sets[:2]:
        for z in (70, 80, 90, 95):
            add(f"{name}, unstructured {z} %, of best sparse peer",
                la.ratios(shapes, "unstructured", z,
                          lambda s: la.best_sparse(s, z)))
    for stride in (1, 2):
        add(f"depthwise 3x3, stride {stride}, of oneDNN",
            la.ratios([s for s in la.shapes(k=3, depthwise=True)
                       if s[7] == stride], "dense", 0,
                      lambda s: la.us(s, "oneDNN", "dense", 0)))
    return rows


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
        for who, p, z in la.at[s]:
            r = la.at[s][who, p, z]
            out.append((who, f"{p} {z} %" if z else p, num(r["us"]),
                        num(r.get("cold_us"))))
    return table(("1024x1024, one row", "zeros", "us hot", "us cold"), out)


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


def nets_table(nets):
    out = []
    for n in nets:
        def best(*variants):
            return min((r["ms"] for r in n["rows"] if "ms" in r and
                        r["who"] != "Tamis" and r["variant"] in variants),
                       default=None)
        for r in n["rows"]:
            ms, sparse = r.get("ms"), r["variant"] == "sparse"
            ours = ms and r["who"] == "Tamis"
            dense, same = best("dense"), best(r["variant"])
            out.append((n["net"], f"{r['who']} {r['version']}",
                        n["zeros"] if sparse else "dense",
                        num(ms) or "skipped: " + r["skipped"],
                        num(r.get("least_ms")),
                        num(dense / ms) if ours and dense else "",
                        num(same / ms) if ours and same else "",
                        f"{r['kept']} of {r['rounds']}" if ms else ""))
    return table(("net", "", "weights", "ms", "least",
                  "best peer, dense weights, by it",
                  "best peer, these weights, by it", "quiet samples"), out)


def layers_svg(la):
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
                     "means)", groups, "{:.2f}".format, 1)


def nets_svg(nets):
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
    return bars.bars("Whole nets, ms a call, one thread", groups,
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


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--machine", default=machine())
    p.add_argument("dir")
    args = p.parse_args()

    def path(name):
        return os.path.join(args.dir, name)
    la = Layers(read_lines(path("layers.jsonl")))
    sweep, nets = read_lines(path("sweep.jsonl")), []
    if os.path.exists(path("nets.json")):
        with open(path("nets.json")) as f:
            nets = json.load(f)
    date = datetime.date.today().isoformat()
    head = {"date": date, "machine": args.machine,
            "system": platform.platform(),
            "llvm": package_version("libllvm19"),
            "peers": [peer_text(r) for r in la.peers
                      if "sparse" not in r["peer"] and
                      "spmdm" not in r["peer"]]}
    rows = summary(la)
    with open(path("results.json"), "w") as f:
        json.dump(head | {"summary": rows, "layers": la.rows,
                          "skipped": la.skips, "sweep": sweep,
                          "nets": nets}, f, indent=1)
    parts = [f"{date}, {args.machine}; " + "; ".join(head["peers"]) + ".\n"]
    if rows:
        parts += [table(("peer's time by ours", "least", "geometric mean",
                         "shapes"), [(w, num(a), num(g), n)
                                     for w, a, g, n in rows]),
                  gemv_table(la), depthwise_table(la), layer_table(la)]
        with open(path("layers.svg"), "w") as f:
            f.write(layers_svg(la))
    if sweep:
        parts += sweep_tables(sweep)
    if nets:
        parts.append(nets_table(nets))
        with open(path("nets.svg"), "w") as f:
            f.write(nets_svg(nets))
    with open(path("results.md"), "w") as f:
        f.write("\n".join(parts))


if __name__ == "__main__":
    main()
