#!/usr/bin/python3
"""Write examples/mobilenet's net with drawn weights as ONNX, for peers.

  export_mobilenet.py export OUT.onnx     needs Debian's python3-torch
  export_mobilenet.py pads OUT.onnx       needs PyPI's onnx

PyTorch pads both sides alike or by an op of its own, which peers would have
to run; so the first step exports convolutions that pad both sides, and the
second sets the attribute to the net's [0,0,1,1] where the stride is 2.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def export(path):
    sys.path.insert(0, os.path.join(HERE, "..", "examples", "mobilenet"))
    import torch
    import net
    import oracle

    model = oracle.random_net(1).float()
    for m in model.modules():
        if isinstance(m, net.Cbr):
            m.conv.padding = (m.conv.kernel_size[0] // 2,) * 2
    net.Cbr.forward = lambda m, x: torch.nn.functional.relu6(m.bn(m.conv(x)))
    model = torch.nn.Sequential(model, torch.nn.Softmax(1)).eval()
    torch.onnx.export(model, torch.zeros(1, 3, 224, 224), path,
                      input_names=["x"], output_names=["p"],
                      opset_version=13, do_constant_folding=True)


def pads(path):
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        attr = {a.name: a for a in node.attribute}
        if node.op_type == "Conv" and list(attr["strides"].ints) == [2, 2]:
            attr["pads"].ints[:] = [0, 0, 1, 1]
    onnx.save(model, path)


if __name__ == "__main__":
    {"export": export, "pads": pads}[sys.argv[1]](sys.argv[2])
