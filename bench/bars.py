"""bars.py - pictures of bars as SVG, with Python's standard library alone."""
from xml.sax.saxutils import escape

COLOURS = {"ours": "#1b7f79", "sparse": "#e07b39", "peer": "#9aa5b1",
           "other": "#c9b458"}
ROW, GAP, LEFT, WIDE, RIGHT = 16, 12, 240, 420, 90


def text(x, y, s, anchor="start", size=12, weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" '
            f'text-anchor="{anchor}" font-weight="{weight}">'
            f'{escape(s)}</text>')


def bars(title, groups, form, line=None):
    """groups: (label, [(name, value, colour)]); each group has its own scale
    unless a line is given, a value that is marked in all of them."""
    out, y = [], 44
    top = max((v for _, rows in groups for _, v, _ in rows), default=1)
    for label, rows in groups:
        out.append(text(8, y + 10, label, weight="bold"))
        y += ROW + 2
        most = top if line else max(v for _, v, _ in rows)
        for name, v, colour in rows:
            w = max(1, WIDE * v / most)
            out.append(text(LEFT - 6, y + 11, name, "end", 11))
            out.append(f'<rect x="{LEFT}" y="{y}" width="{w:.1f}" '
                       f'height="{ROW - 3}" fill="{COLOURS[colour]}"/>')
            out.append(text(LEFT + w + 4, y + 11, form(v), size=11))
            y += ROW
        y += GAP
    if line:
        x = LEFT + WIDE * line / top
        out.append(f'<line x1="{x:.1f}" y1="40" x2="{x:.1f}" y2="{y - GAP}" '
                   f'stroke="#333" stroke-dasharray="3 3"/>')
    wide = LEFT + WIDE + RIGHT
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" '
            f'height="{y + 4}" font-family="sans-serif" fill="#222">\n'
            f'<rect width="{wide}" height="{y + 4}" fill="#fff"/>\n')
    return head + "\n".join([text(8, 22, title, size=14, weight="bold")] +
                            out) + "\n</svg>\n"
