"""Cases for the tests: tensors and expected values as safetensors, a line
"case expression" a case as text.

The operands of a case are the tensors case.NAME, its value is case.y: f64
where the op gives f32, else of the type it gives.
"""
import json
import os
import struct

import torch

NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16",
         torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32",
         torch.uint8: "U8", torch.bool: "BOOL"}
here = os.path.dirname(os.path.abspath(__file__))


def data_of(t):
    t = t.contiguous()
    if t.dtype == torch.bfloat16:
        t = t.view(torch.int16)
    return t.numpy().tobytes()


def write_tensors(path, tensors):
    header, blob = {}, b""
    for name, t in tensors.items():
        data = data_of(t)
        header[name] = dict(dtype=NAMES[t.dtype], shape=list(t.shape),
                            data_offsets=[len(blob), len(blob) + len(data)])
        blob += data
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-(len(head) + 8) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + blob)


class Cases:
    def __init__(self):
        self.lines, self.tensors, self.count = [], {}, {}

    def add(self, name, expr, y, **operands):
        """Operands in double are stored as f32, which has to hold them; so
        is the type of the value that y, in double, stands for."""
        n = self.count[name] = self.count.get(name, -1) + 1
        name = f"{name}_{n}"
        self.lines.append(f"{name} {expr}\n")
        for k, v in operands.items():
            self.tensors[f"{name}.{k}"] = (
                v.float() if v.dtype == torch.float64 else v)
        self.tensors[f"{name}.y"] = y

    def write(self, stem):
        write_tensors(os.path.join(here, stem + ".safetensors"), self.tensors)
        with open(os.path.join(here, stem + ".txt"), "w") as f:
            f.writelines(self.lines)
