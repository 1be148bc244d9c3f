"""Recurrent operators, with variables that stay between calls; see make.py."""

B, I, U = 2, 3, 4          # batch, input, units
T = 3                      # steps of a sequence
CALLS = 3
NAMES = ["net/y", "net/z"]


def variable(n, name, *shape):
    return n.tensor(f"net/{name}", shape, variable=True)


def rnn_args(n, tag):
    return [n.random(f"net/{tag}w", [U, I]), n.random(f"net/{tag}r", [U, U]),
            n.random(f"net/{tag}b", [U]), variable(n, f"{tag}h", B, U)]


def rnns(Net, save):
    n = Net()
    x = n.tensor("x", [B, I])
    y = n.op("RNN", [x] + rnn_args(n, ""), [[B, U]], "RNNOptions",
             [(0, "i8", 4)])
    save("rnn", n, x, y, steps=CALLS)
    for major, shape, to in ((0, [B, T, I], [B, T, U]),
                             (1, [T, B, I], [T, B, U])):
        n = Net()
        x = n.tensor("x", shape)
        y = n.op("UNIDIRECTIONAL_SEQUENCE_RNN", [x] + rnn_args(n, ""), [to],
                 "SequenceRNNOptions", [(0, "bool", major),
                                        (1, "i8", 4 if major else 1)])
        save(f"sequence_rnn_{major}", n, x, y, steps=CALLS)
    for merge in (0, 1):
        n = Net()
        x = n.tensor("x", [T, B, I])
        to = [[T, B, 2 * U]] if merge else [[T, B, U]] * 2
        y = n.op("BIDIRECTIONAL_SEQUENCE_RNN",
                 [x] + rnn_args(n, "f") + rnn_args(n, "b") + [-1] * 3, to,
                 "BidirectionalSequenceRNNOptions",
                 [(0, "bool", 1), (1, "i8", 4), (2, "bool", merge)], NAMES)
        save(f"bidirectional_rnn_{merge}", n, x, y, steps=CALLS)


def svdf(Net, save):
    n, filters, memory = Net(), 2 * U, 5
    x = n.tensor("x", [B, I])
    y = n.op("SVDF", [x, n.random("net/wf", [filters, I]),
                      n.random("net/wt", [filters, memory]),
                      n.random("net/b", [U]),
                      variable(n, "s", B, filters * memory)], [[B, U]],
             "SVDFOptions", [(0, "i32", 2), (1, "i8", 1)])
    save("svdf", n, x, y, steps=7)


def lstm_args(n, tag, coupled=False, peephole=False, project=0):
    """Operands 1 to 17 of the format's order, without variables."""
    out = project or U

    def w(name, *shape):
        return n.random(f"net/{tag}{name}", shape)
    gates = "ifco"
    a = [w(f"w{g}", U, I) for g in gates] + [w(f"r{g}", U, out)
                                             for g in gates]
    a += [w(f"p{g}", U) if peephole else -1 for g in "ifo"]
    a += [w(f"b{g}", U) for g in gates]
    a += [w("proj", project, U), w("projb", project)] if project \
        else [-1, -1]
    if coupled:
        a[0] = a[4] = a[8] = a[11] = -1
    return a


def states(n, tag, out=U):
    return [variable(n, f"{tag}h", B, out), variable(n, f"{tag}c", B, U)]


def lstm_options(clip=0, project_clip=0):
    return [(0, "i8", 4), (1, "f32", clip), (2, "f32", project_clip)]


def norms(n, coupled):
    return [-1 if coupled and g == "i" else
            n.random(f"net/n{g}", [U], .5, 1.5) for g in "ifco"]


KINDS = {"": {}, "_coupled": {"coupled": True},
         "_peephole": {"peephole": True},
         "_project": {"project": 3, "peephole": True},
         "_norm": {"norm": True},
         "_norm_coupled": {"norm": True, "coupled": True, "project": 2,
                           "peephole": True}}


def lstms(Net, save):
    for name, kind in KINDS.items():
        kind = dict(kind)
        norm = kind.pop("norm", False)
        out = kind.get("project", U)
        n = Net()
        x = n.tensor("x", [B, I])
        args = [x] + lstm_args(n, "", **kind) + states(n, "", out)
        if norm:
            args += norms(n, kind.get("coupled"))
        y = n.op("LSTM", args, [[B, out]], "LSTMOptions",
                 lstm_options(.7, .4 if kind.get("project") else 0)
                 + [(3, "i8", 0)])
        save("lstm" + name, n, x, y, steps=CALLS)
        n = Net()
        major = name != "_peephole"
        x = n.tensor("x", [T, B, I] if major else [B, T, I])
        args = [x] + lstm_args(n, "", **kind) + states(n, "", out)
        args += norms(n, kind.get("coupled")) if norm else [-1] * 4
        y = n.op("UNIDIRECTIONAL_SEQUENCE_LSTM", args,
                 [[T, B, out] if major else [B, T, out]],
                 "UnidirectionalSequenceLSTMOptions",
                 lstm_options() + [(3, "bool", major)])
        save("sequence_lstm" + name, n, x, y, steps=CALLS)


def basic_lstm(Net, save):
    n = Net()
    x = n.tensor("x", [B, I])
    h, c = variable(n, "h", B, U), variable(n, "c", B, U)
    y = n.op("LSTM", [x, h, n.random("net/w", [4 * U, I + U]),
                      n.random("net/b", [4 * U]), c],
             [[B, U], [B, U], [B, I + U], [B, 4 * U]], "LSTMOptions",
             lstm_options() + [(3, "i8", 1)], ["y", "s", "xh", "gates"])
    save("lstm_basic", n, x, y, steps=CALLS)


def bidirectional_lstm(Net, save):
    for merge in (0, 1):
        n = Net()
        x = n.tensor("x", [T, B, I] if merge else [B, T, I])
        front = [T, B] if merge else [B, T]
        to = [front + [2 * U]] if merge else [front + [U]] * 2
        args = [x] + lstm_args(n, "f") + lstm_args(n, "b", coupled=merge)
        args += states(n, "f") + states(n, "b") + [-1] * 9
        y = n.op("BIDIRECTIONAL_SEQUENCE_LSTM", args, to,
                 "BidirectionalSequenceLSTMOptions",
                 lstm_options() + [(3, "bool", merge), (4, "bool", merge)],
                 NAMES)
        save(f"bidirectional_lstm_{merge}", n, x, y, steps=CALLS)


def run(Net, save):
    rnns(Net, save)
    svdf(Net, save)
    lstms(Net, save)
    basic_lstm(Net, save)
    bidirectional_lstm(Net, save)
