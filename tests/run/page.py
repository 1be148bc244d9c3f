#!/usr/bin/env python3
"""page.py - looks at the page of a report.

    page.py check PAGE REPORT.json     its structure, without a browser
    page.py browse PAGE REPORT.json    in headless Chromium, over its pipe:
                                       no message, no request, sorting
"""
import base64
import html.parser
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

VOID = {"meta", "link", "img", "br"}
TAGS = {"html", "head", "body", "title", "style", "script", "h1", "h2", "p",
        "table", "thead", "tbody", "tr", "th", "td", "button", "div",
        "figure", "figcaption", "b", "span", "svg", "rect", "details",
        "summary", "pre", "ins", "del", "code"} | VOID


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.images, self.count = [], [], [], {}
        self.rows, self.cells, self.data, self.words = [], None, [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_decl(self, decl):
        assert decl == "DOCTYPE html", decl

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        assert tag in TAGS, "an element that we do not write: " + tag
        assert len(a) == len(attrs), "an attribute twice: %s" % attrs
        if not self.path("svg"):
            self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attrs:
            assert not name.startswith("on"), attrs
            if name in ("src", "href"):
                assert value.startswith("data:"), value
        if "id" in a:
            assert a["id"] not in self.ids, a["id"]
            self.ids.append(a["id"])
        if tag == "img":
            assert a["alt"], a
            self.images.append(a)
        if tag == "tr" and self.path("tbody") and self.table() == "layers":
            self.cells = []
            self.rows.append(self.cells)
        if tag == "td":
            self.data.append(a.get("data-v"))
            if self.cells is not None:
                self.cells.append("")
        if tag not in VOID:
            self.open.append((tag, a))

    def handle_startendtag(self, tag, attrs):
        assert tag in ("rect",), tag
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, (tag, self.open)
        self.open.pop()
        if tag == "tr":
            self.cells = None

    def handle_data(self, text):
        self.words.append(text)
        if self.cells and self.path("td"):
            self.cells[-1] += text

    def path(self, tag):
        return any(t == tag for t, _ in self.open)

    def table(self):
        return [a.get("id") for t, a in self.open if t == "table"][-1]


def pixels(src):
    """Width, height and alphas of a PNG of RGBA in 8 bits."""
    kind, data = src.split(",", 1)
    assert kind == "data:image/png;base64", kind
    data = base64.b64decode(data, validate=True)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body = 8, b""
    while at < len(data):
        n, name = struct.unpack(">I4s", data[at:at + 8])
        part = data[at + 8:at + 8 + n]
        crc, = struct.unpack(">I", data[at + 8 + n:at + 12 + n])
        assert crc == zlib.crc32(name + part), name
        if name == b"IHDR":
            wide, high, depth, colour = struct.unpack(">IIBB", part[:10])
            assert (depth, colour) == (8, 6), (depth, colour)
        if name == b"IDAT":
            body += part
        at += 12 + n
    return wide, high, unfilter(zlib.decompress(body), wide, high)


def unfilter(raw, wide, high):
    rows, last = [], bytearray(4 * wide)
    for y in range(high):
        f, line = raw[y * (4 * wide + 1)], bytearray(
            raw[y * (4 * wide + 1) + 1:(y + 1) * (4 * wide + 1)])
        for i in range(4 * wide):
            a = line[i - 4] if i >= 4 else 0
            b, c = last[i], last[i - 4] if i >= 4 else 0
            p = a + b - c
            near = min((abs(p - a), 0, a), (abs(p - b), 1, b),
                       (abs(p - c), 2, c))[2]
            line[i] = line[i] + (0, a, b, (a + b) // 2, near)[f] & 255
        rows.append(line[3::4])
        last = line
    return rows


def check(path, report):
    text = open(path, encoding="utf-8").read()
    assert text.startswith("<!DOCTYPE html>\n")
    for word in ("http://", "https://", "@import", "url(", "fetch(",
                 "import("):
        assert word not in text.split("<body>")[0], word
    p = Page(text)
    r = json.load(open(report))
    layers = r["layers"]
    assert p.count["h1"] == p.count["title"] == p.count["script"] == 1
    assert len(p.rows) == len(layers), (len(p.rows), len(layers))
    for row, layer in zip(p.rows, layers):
        assert row[1] == layer["name"], (row, layer["name"])
        assert row[2] == layer["op"] and row[4] == layer["kernel"], row
        assert int(row[6]) == layer["weights"], row
        want = "\u2013" if layer["sparsity"] is None \
            else "%.4g" % layer["sparsity"]
        assert abs(float(row[7]) - float(want)) < 1e-3 \
            if layer["sparsity"] is not None else row[7] == want, row
    weights = [x for x in layers if x["sparsity"] is not None]
    assert len(p.images) >= min(len(weights), 1), p.images
    for image in p.images:
        wide, high, alpha = pixels(image["src"])
        assert 0 < wide <= 96 and 0 < high <= 64, (wide, high)
    assert "dense" not in r or "gains" in p.ids
    passes = p.count["details"]
    assert passes >= 16, passes
    return p


# ---- Chromium ----------------------------------------------------------


class Browser:
    """One page, over --remote-debugging-pipe: JSON, a 0 behind each."""

    def __init__(self, program):
        self.folder = tempfile.mkdtemp()
        take, give = os.pipe(), os.pipe()

        def fds():
            os.dup2(take[0], 13), os.dup2(give[1], 14)
            os.dup2(13, 3), os.dup2(14, 4)
        self.run = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run",
             "--remote-debugging-pipe", "--user-data-dir=" + self.folder],
            preexec_fn=fds, close_fds=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(take[0]), os.close(give[1])
        self.to, self.come = os.fdopen(take[1], "wb"), os.fdopen(give[0], "rb")
        self.n, self.events, self.session, self.left = 0, [], None, b""
        target = self.call("Target.createTarget", url="about:blank")
        self.session = self.call("Target.attachToTarget", flatten=True,
                                 targetId=target["targetId"])["sessionId"]
        for part in "Page", "Runtime", "Log", "Network":
            self.call(part + ".enable")

    def read(self):
        while b"\0" not in self.left:
            more = os.read(self.come.fileno(), 1 << 16)
            assert more, "the browser has ended"
            self.left += more
        one, self.left = self.left.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, **params):
        self.n += 1
        m = {"id": self.n, "method": method, "params": params}
        if self.session:
            m["sessionId"] = self.session
        self.to.write(json.dumps(m).encode() + b"\0")
        self.to.flush()
        while True:
            r = self.read()
            if r.get("id") == self.n:
                assert "error" not in r, (method, r)
                return r["result"]
            self.events.append(r)

    def open(self, path):
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        while not any(e.get("method") == "Page.loadEventFired"
                      for e in self.events):
            self.events.append(self.read())

    def js(self, text):
        r = self.call("Runtime.evaluate", expression=text, returnByValue=True)
        assert "exceptionDetails" not in r, r
        return r["result"].get("value")

    def key(self, name, text=None):
        more = {"text": text} if text else {}
        code = {"Tab": 9, "Enter": 13}[name]
        for kind in "keyDown", "keyUp":
            self.call("Input.dispatchKeyEvent", type=kind, key=name,
                      code=name, windowsVirtualKeyCode=code,
                      **(more if kind == "keyDown" else {}))

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
            self.run.wait(20)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self.run.kill()
            self.run.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


CELLS = "[...document.querySelectorAll('#layers tbody tr')].map(" \
        "r => r.cells[%d].dataset.v ?? r.cells[%d].textContent)"


def browse(program, path, report):
    layers = json.load(open(report))["layers"]
    b = Browser(program)
    try:
        b.open(path)
        rows = b.js(CELLS % (1, 1))
        assert rows == [x["name"] for x in layers], rows
        broken = b.js("[...document.images].filter(i => !i.complete || "
                      "!i.naturalWidth).length")
        assert broken == 0 and b.js("document.images.length") > 0, broken
        header = "document.querySelectorAll('#layers th button')[%d]"
        for column, key in (9, "macs"), (1, "name"), (12, "predicted_us"):
            for down in False, True:
                b.js((header + ".click()") % column)
                at = b.js(CELLS % (column, column))
                if key != "name":
                    at = [float(v) for v in at]
                assert at == sorted(at, reverse=down), (key, down, at)
                want = "descending" if down else "ascending"
                assert b.js((header + ".parentElement.ariaSort") %
                            column) == want
        b.js((header + ".focus()") % 5)       # Tab to the next, and Enter
        b.key("Tab")
        b.key("Enter", "\r")
        at = [float(v) for v in b.js(CELLS % (6, 6))]
        assert at == sorted(at), at
        b.js((header + ".click()") % 7)       # unknown ones come last
        at = b.js(CELLS % (7, 7))
        known = [float(v) for v in at if v != ""]
        assert at[:len(known)] == [v for v in at if v != ""], at
        assert known == sorted(known), at
        assert b.js("window.hit === undefined")
        both = [b.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": how}]) and None or
            b.js("getComputedStyle(document.body).backgroundColor + "
                 "getComputedStyle(document.body).color")
            for how in ("light", "dark")]
        assert both[0] != both[1], both
        bad = [e for e in b.events if e.get("method") in (
            "Runtime.exceptionThrown", "Runtime.consoleAPICalled",
            "Log.entryAdded")]
        assert not bad, bad
        asked = [e["params"]["request"]["url"] for e in b.events
                 if e.get("method") == "Network.requestWillBeSent"]
        asked = [u for u in asked if not u.startswith("data:")]
        assert len(asked) == 1 and asked[0].startswith("file://"), asked
    finally:
        b.close()


def main():
    how, path, report = sys.argv[1:4]
    if how == "check":
        check(path, report)
        return
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        print("SKIP: no chromium")
        sys.exit(77)
    browse(program, path, report)


if __name__ == "__main__":
    main()
