"""make_bad.py DIR - ONNX files that lie, each NAME.onnx, for
tests/cli/onnx_bad.sh."""
import os
import sys

from onnx_file import (BOOL, DOUBLE, FLOAT, INT4, INT64, STRING, Graph, floats, ints,
                       message, model, node, tensor, varint, write)

X, Y = ("x", [2, 3]), ("y", [2, 3])
RELU = node("Relu", ["x"], ["y"])
HUGE = 1 << 40


def net(nodes, tensors=(), inputs=(X,), outputs=(Y,), **how):
    return model(Graph(nodes, inputs, outputs, tensors), **how)


def with_tensor(t):
    return net([node("Add", ["x", "k"], ["y"])], [t])


def dequantised(t):
    return net([node("DequantizeLinear", ["k", "s"], ["y"])],
               [t, floats("s", [], [1.0])])


def external(*entries):
    more = [(13, [(1, k), (2, v)]) for k, v in entries] + [(14, 1)]
    return with_tensor(tensor("k", FLOAT, [3], more=more))


def deep(depth):
    """The same, without a copy of each graph in the one around it."""
    body = message(Graph([], [], [("x", [2, 3])]).fields)
    for i in range(depth):
        a = message([(1, "then_branch"), (6, body), (20, 5)])
        n = message([(1, "c"), (2, "v"), (4, "If"), (5, a)])
        body = message([(1, n)])
    return message([(1, 8), (7, body), (8, [(2, 17)])])


def call(name, out="y", of="x", **attrs):
    return node(name, [of], [out], domain="own", **attrs)


def function(name, nodes, ins=("a",), outs=("b",), opset=17):
    return ([(1, name)] + [(4, i) for i in ins] +
            [(5, o) for o in outs] + [(7, n) for n in nodes] +
            [(9, [(1, ""), (2, opset)]), (9, [(1, "own"), (2, 1)]),
             (10, "own")])


def doubled(op):
    """Each function calls the next one twice, the last one has the op."""
    twice = [function(f"f{i}", [
        node(f"f{i + 1}", ["a"], ["c"], domain="own"),
        node(f"f{i + 1}", ["c"], ["b"], domain="own")]) for i in range(30)]
    return twice + [function("f30", [node(op, ["a"], ["b"])])]


GOOD = message(net([RELU]))
OWN = {"domains": [("own", 1)]}
FILES = {
    "empty": b"",
    "text": b"not a model at all, but a text\n" * 9,
    "truncated": GOOD[:-9],
    "claims_2g": GOOD + varint(7 << 3 | 2) + varint(1 << 31) + b"x",
    "claims_max": varint(7 << 3 | 2) + b"\xff" * 9 + b"\x01",
    "long_number": b"\x08" + b"\xff" * 11,
    "field_zero": b"\x00\x01",
    "wire_type": b"\x0f\x01",
    "no_graph": [(1, 8), (8, [(2, 17)])],
    "no_outputs": net([RELU], outputs=()),
    "no_opset": [(1, 8), (7, Graph([RELU], [X], [Y]).fields)],
    "opset_negative": net([RELU], opset=-1),
    "unknown_ops": net([node("Foo", ["x"], ["a"]),
                        node("Bar", ["x"], ["b"], name="bar"),
                        node("Foo", ["a"], ["c"]),
                        node("Add", ["c", "b"], ["y"])]),
    "unknown_domain": net([node("Relu", ["x"], ["y"], domain="mine")]),
    "circle": net([node("Add", ["x", "b"], ["a"]),
                   node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]),
    "circle_long": net([node("Add", ["x", "c"], ["a"]),
                        node("Relu", ["a"], ["b"]),
                        node("If", ["t"], ["c"], then_branch=Graph(
                            [node("Relu", ["b"], ["d"])], [],
                            [("d", [2, 3])]), else_branch=Graph(
                            [], [], [("x", [2, 3])])),
                        node("Relu", ["c"], ["y"])],
                       inputs=(X, ("t", [], BOOL))),
    "circle_inside": net([node("If", ["t"], ["y"], then_branch=Graph(
        [node("Relu", ["y"], ["d"])], [], [("d", [2, 3])]),
        else_branch=Graph([], [], [("x", [2, 3])]))],
        inputs=(X, ("t", [], BOOL))),
    "circle_of_one": net([node("Add", ["x", "y"], ["y"])]),
    "order": net([node("Add", ["x", "b"], ["y"]),
                  node("Relu", ["x"], ["b"])]),
    "if_both_unknown": net([node("If", ["t"], ["y"], then_branch=Graph(
        [node("Foo", ["x"], ["a"])], [], [("a", [2, 3])]),
        else_branch=Graph([node("Bar", ["x"], ["b"])], [],
                          [("b", [2, 3])]))], inputs=(X, ("t", [], BOOL))),
    # Graphs behind an operand that is not to be had.
    "unknown_inside": net(
        [node("Foo", ["x"], ["t"]),
         node("If", ["t"], ["a"], then_branch=Graph(
             [node("Bar", ["x"], ["b"]), node("Left", ["x"], ["out"])], [],
             [("b", [2, 3])]), else_branch=Graph([], [], [("x", [2, 3])])),
         node("Add", ["a", "t"], ["c"]), call("f", "y", "c")],
        functions=[function("f", [node("Baz", ["a"], ["c"]),
                                  node("f", ["c"], ["b"], domain="own")])],
        **OWN),
    "functions_many": net([call("f0")], functions=doubled("Identity"), **OWN),
    "functions_unknown": net([call("f0")], functions=doubled("Foo"), **OWN),
    "no_value": net([node("Add", ["x", "nowhere"], ["y"])]),
    "twice": net([RELU, node("Abs", ["x"], ["y"])]),
    "operand_missing": net([node("Add", ["x"], ["y"])]),
    "output_missing": net([RELU], outputs=(("z", [2, 3]),)),
    "broadcast": net([node("Add", ["x", "k"], ["y"])],
                     [floats("k", [4], [1, 2, 3, 4])]),
    "tensor_short": with_tensor(tensor("k", FLOAT, [3], b"\0" * 8)),
    "tensor_long": with_tensor(tensor("k", FLOAT, [3], b"\0" * 16)),
    "tensor_none": with_tensor(tensor("k", FLOAT, [3])),
    "tensor_negative": with_tensor(tensor("k", FLOAT, [-3], b"\0" * 12)),
    "tensor_huge": with_tensor(tensor("k", FLOAT, [HUGE, HUGE, HUGE], b"")),
    "tensor_rank": with_tensor(tensor("k", FLOAT, [1] * 9, b"\0" * 4)),
    "tensor_string": with_tensor(tensor("k", STRING, [1], more=[(6, b"s")])),
    "tensor_type": with_tensor(tensor("k", 99, [1], b"\0" * 4)),
    "tensor_nameless": with_tensor(tensor("", FLOAT, [1], b"\0" * 4)),
    "tensor_twice": net([RELU], [floats("k", [1], [1.0])] * 2),
    "tensor_fields": with_tensor(tensor("k", FLOAT, [1], b"\0" * 4,
                                        [(4, b"\0\0\0\0")])),
    "tensor_other_field": with_tensor(tensor("k", FLOAT, [1],
                                             more=[(5, b"\1")])),
    "tensor_int4_few": dequantised(tensor("k", INT4, [3], more=[(5, b"\1")])),
    "tensor_int4_wide": dequantised(tensor("k", INT4, [2],
                                           more=[(5, b"\x80\x02")])),
    "external_up": external(("location", "../k.bin")),
    "external_up_inside": external(("location", "a/../../k.bin")),
    "external_root": external(("location", "/etc/hostname")),
    "external_nowhere": external(("location", "nowhere.bin")),
    "external_none": external(("offset", "0")),
    "external_offset": external(("location", "bytes.bin"),
                                ("offset", "9999999999999999")),
    "external_behind": external(("location", "bytes.bin"),
                                ("offset", "18446744073709551615")),
    "external_zero": external(("location", "bytes.bin\0x")),
    "name_zero": net([node("Relu", ["x"], ["y"], name="a\0b")]),
    "dim_zero": net([RELU], inputs=(("x", ["a\0b", 3]),)),
    "external_length": external(("location", "bytes.bin"), ("length", "5")),
    "external_word": external(("location", "bytes.bin"), ("offset", "-1x")),
    "external_link": external(("location", "link.bin")),
    "input_empty": net([node("ReduceMean", ["x"], ["y"], axes=[0, 2])],
                       inputs=(("x", [3, 0, (1 << 63) - 1]),)),
    "input_negative": net([RELU], inputs=(("x", [-2, 3]),)),
    "input_minus_one": net([RELU], inputs=(("x", [-1, 3]),)),
    "input_twice": net([RELU], inputs=(X, X)),
    "input_string_net": net(
        [node("StringNormalizer", ["s"], ["a"]), node("Foo", ["x"], ["b"]),
         node("StringConcat", ["a", "s"], ["c"]),
         node("Add", ["x", "b"], ["y"])],
        inputs=(X, ("s", [2], STRING)), outputs=(Y, ("c", [2], STRING))),
    "input_map": net([RELU], inputs=(X, [(1, "m"), (2, [(5, [])])])),
    "output_int64": net([RELU], outputs=(("y", [2, 3], INT64),)),
    "output_double": net([RELU], outputs=(("y", [2, 3], DOUBLE),)),
    "output_sequence": net([RELU], outputs=([(1, "y"), (2, [(4, [])])],)),
    "opset_newer": net([RELU], opset=29),
    "opset_inside": net([call("f")], functions=[
        function("f", [node("Relu", ["a"], ["b"])], opset=1000)], **OWN),
    "input_huge": net([RELU], inputs=(("x", [HUGE, HUGE, HUGE]),)),
    "input_unused": net([RELU], inputs=(X, ("w", [HUGE, 3]))),
    "input_rank": net([RELU], inputs=(("x", [1] * 9),)),
    "input_string": net([RELU], inputs=(("x", [1], STRING),)),
    "input_free": net([RELU], inputs=(("x", ["batch", 3]),)),
    "reshape_computed": net([node("Reshape", ["x", "s"], ["y"])],
                            inputs=(X, ("s", [2], INT64))),
    "attribute_type": net([node("Concat", ["x", "x"], ["y"], axis="one")]),
    "axis": net([node("Concat", ["x", "x"], ["y"], axis=5)]),
    "if_deep": deep(60),
    "if_deeper": deep(3000),
    "if_shapes": net([node("If", ["c"], ["y"],
                           then_branch=Graph([], [], [("x", [2, 3])]),
                           else_branch=Graph([], [], [("k", [1])]))],
                     [floats("k", [1], [1.0])],
                     inputs=(X, ("c", [], BOOL))),
    "if_missing": net([node("If", ["c"], ["y"])],
                      inputs=(X, ("c", [], BOOL))),
    "loop_forever": net([node("Loop", ["", "", "x"], ["y"], body=Graph(
        [node("Identity", ["d"], ["e"]), node("Relu", ["v"], ["w"])],
        [("i", [], INT64), ("d", [], BOOL), ("v", [2, 3])],
        [("e", [], BOOL), ("w", [2, 3])]))]),
    "loop_shape": net([node("Loop", ["n", "", "x"], ["y"], body=Graph(
        [node("Identity", ["d"], ["e"]),
         node("Concat", ["v", "v"], ["w"], axis=0)],
        [("i", [], INT64), ("d", [], BOOL), ("v", [2, 3])],
        [("e", [], BOOL), ("w", [4, 3])]))], [ints("n", [], [1000])]),
    "function_itself": net([call("f")], functions=[
        function("f", [node("f", ["a"], ["b"], domain="own")])], **OWN),
    "function_inputs": net([node("f", ["x", "x"], ["y"], domain="own")],
                           functions=[function("f", [])], **OWN),
    "function_output": net([call("f")], functions=[
        function("f", [node("Relu", ["a"], ["c"])])], **OWN),
    "results_more": net([node("Relu", ["x"], ["a", "b"]),
                         node("Add", ["a", "b"], ["y"])]),
    "reduce_int4": net([node("ReduceMean", ["x"], ["y"])],
                       inputs=(("x", [2, 3], 21),)),
    "lrn_size": net([node("LRN", ["x"], ["y"], size=-1 << 63)]),
    "sparse_huge": model(Graph(
        [node("MatMul", ["x", "w"], ["y"])], [("x", [2, 1 << 20])],
        [("y", [2, 1 << 20])],
        sparse=[[(1, floats("w", [1], [2])), (2, ints("", [1], [0])),
                 (3, 1 << 20), (3, 1 << 20)]])),
    "makes_much": net([node("ConstantOfShape", ["s"], ["a"]),
                       node("NonZero", ["a"], ["b"]),
                       node("Cast", ["b"], ["y"], to=1)],
                      [ints("s", [2], [1 << 20, 1 << 20])]),
    "pool_spread": model(Graph(
        [node("MaxPool", ["x"], ["y"], kernel_shape=[200], dilations=[160])],
        [("x", [1, 1, 220000])], [("y", [1, 1, 188160])])),
}

os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
for name, m in FILES.items():
    write(name + ".onnx", m)
write("bytes.bin", b"\0" * 64)
