#!/usr/bin/python3
"""Write examples/mobilenet's net with drawn weights as ONNX, for peers.

  export_mobilenet.py OUT.onnx        needs Debian's python3-torch
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "examples", "mobilenet"))

import torch  # noqa: E402

import oracle  # noqa: E402


def main():
    model = torch.nn.Sequential(oracle.random_net(1).float(),
                                torch.nn.Softmax(1)).eval()
    torch.onnx.export(model, torch.zeros(1, 3, 224, 224), sys.argv[1],
                      input_names=["x"], output_names=["p"],
                      opset_version=13, do_constant_folding=True)


if __name__ == "__main__":
    main()
