"""test_tamis.py - the module python/tamis.py, with numpy and without, with
torch where it is there.  $TAMIS is the command."""
import array
import ctypes
import gc
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "python"))
import tamis

np = tamis.np
try:
    import torch
except ImportError:
    torch = None

NETS = {
    "plain": """
model plain(x: f32[2,3], k: i64[]) -> y: f32[2,3], n: i64[] {
  y = x * 2 + 1;
  n = k + 1;
}""",
    "wide": """
model wide(x: f32[1,64,28,28]) -> y: f32[1,64,28,28] {
  y = x |> conv(64, k=3, pad=1) as a |> relu |> conv(64, k=1) as b;
}""",
    "types": """
model types(f: f16[4], b: bf16[4], i: i32[4], u: u8[4], m: b1[4])
    -> f2: f16[4], b2: bf16[4], i2: i32[4], u2: u8[4], m2: b1[4] {
  f2 = cast(cast(f, f32) * 2, f16);
  b2 = cast(cast(b, f32) * 2, bf16);
  i2 = where(m, i * 2, i);
  u2 = cast(cast(u, i32) + 1, u8);
  m2 = i < 0;
}""",
    "empty": """
model empty(x: f32[0,4], u: f32[3]) -> y: f32[0,4], v: f32[3] {
  y = x * 2;
  v = u + 1;
}""",
    "count": """
state seen: i64[] = 0;
func forget(n: i64[]) -> was: i64[] { was = seen; next seen = n; }
model count(x: f32[2]) -> y: f32[2], t: i64[] {
  state sum: f32[2] = 0.5;
  y = sum + x;
  t = seen;
  next sum = y;
  next seen = seen + 1;
}"""}

folder = None


def setUpModule():
    global folder
    folder = tempfile.mkdtemp()
    for name, text in NETS.items():
        with open(path(name + ".tam"), "w") as f:
            f.write(text)


def tearDownModule():
    shutil.rmtree(folder)


def path(name):
    return os.path.join(folder, name)


def build(name, **options):
    return tamis.build(path(name + ".tam"), random_weights=1, **options)


def values(x):
    """All numbers of a result, in order."""
    x = memoryview(x)
    return x.cast("B").cast(x.format).tolist() if x.ndim else [x[()]]


def floats(*v):
    return array.array("f", v)


def whole(v):
    return array.array("q", [v])


class Interface:
    """No buffer, but what __array_interface__ says."""

    def __init__(self, **d):
        self.__array_interface__ = dict(version=3, **d)


class OnlyDLPack:
    def __init__(self, x):
        self.x = x

    def __dlpack__(self):
        return self.x.__dlpack__()

    def __dlpack_device__(self):
        return self.x.__dlpack_device__()


class Plain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = build("plain")
        cls.x = floats(1, 2, 3, 4, 5, 6)
        cls.want = [3, 5, 7, 9, 11, 13]

    def raises(self, kind, pattern, *args, **named):
        with self.assertRaisesRegex(kind, pattern):
            self.net(*args, **named)

    def test_descriptor(self):
        n = self.net
        self.assertEqual(repr(n), "<tamis.Net plain(x: f32[2,3], k: i64[]) "
                                  "-> y: f32[2,3], n: i64[]>")
        x, k = n.inputs
        self.assertEqual((x.name, x.elem, x.shape, x.bytes, x.count),
                         ("x", "f32", (2, 3), 24, 6))
        self.assertEqual((k.elem, k.shape, k.bytes, k.scale, k.zero),
                         ("i64", (), 8, 1, 0))
        self.assertEqual(str(x.dtype), "float32" if np else "f4")
        self.assertEqual(n.name, "plain")
        self.assertIn("linux-gnu", n.target)
        self.assertTrue(n.cpu and n.version)
        self.assertEqual(n.arena_bytes % 64, 0)
        self.assertTrue(n.stack_bytes > 0 and n.state_bytes == 0)
        self.assertTrue(any(s.elem == "f32" and s.shape == (2, 3)
                            for s in n.steps))
        self.assertEqual(n.entries, {})
        self.assertEqual(build("plain", strip=True).steps, ())

    def test_call(self):
        y, n = self.net(self.x, whole(7))
        self.assertEqual((values(y), values(n)), (self.want, [8]))
        self.assertEqual(memoryview(y).shape, (2, 3))
        self.assertEqual(type(y), np.ndarray if np else memoryview)
        self.assertEqual(tamis._address(memoryview(y)) % 64, 0)
        y, n = self.net(k=whole(-1), x=self.x)
        self.assertEqual((values(y), values(n)), (self.want, [0]))
        self.assertEqual(values(self.net(self.x, k=whole(1))[1]), [2])

    def test_buffers(self):
        m = memoryview(self.x).cast("B").cast("f", (2, 3))
        c = (ctypes.c_float * 3 * 2)((1, 2, 3), (4, 5, 6))
        for x in (m, c, m.toreadonly()):
            for k in (ctypes.c_int64(7), memoryview(whole(7)).toreadonly()):
                y, n = self.net(x, k)
                self.assertEqual((values(y), values(n)), (self.want, [8]))

    def test_interface(self):
        at, _ = self.x.buffer_info()
        for data in ((at, True), self.x, memoryview(self.x)):
            x = Interface(data=data, typestr="<f4", shape=(2, 3))
            self.assertEqual(values(self.net(x, whole(0))[0]), self.want)
        x = Interface(data=self.x, typestr="<f4", shape=(2, 3), offset=0,
                      strides=(12, 4))
        self.assertEqual(values(self.net(x, whole(0))[0]), self.want)
        x = Interface(data=self.x, typestr="<f4", shape=(2, 3),
                      strides=(4, 8))
        self.raises(ValueError, r"input 'x': expected f32\[2,3\] row-major "
                    r"without gaps, found f32\[2,3\] with strides \(4, 8\) "
                    r"\(copy=True copies\)", x, whole(0))
        y, _ = self.net(x, whole(0), copy=True)
        self.assertEqual(values(y), [3, 7, 11, 5, 9, 13])
        # A view whose rows go backwards.
        x = Interface(data=(at + 12, True), typestr="<f4", shape=(2, 3),
                      strides=(-12, 4))
        y, _ = self.net(x, whole(0), copy=True)
        self.assertEqual(values(y), [9, 11, 13, 3, 5, 7])
        x = Interface(data=(at, True), typestr=">f4", shape=(2, 3))
        self.raises(TypeError, "found >f4", x, whole(0))

    def test_wrong_inputs(self):
        k = whole(0)
        d = memoryview(array.array("d", [0] * 6)).cast("B")
        d = d.cast("d", (2, 3))
        self.raises(TypeError, r"input 'x': expected f32\[2,3\], found "
                    r"f64\[2,3\] \(copy=True converts\)", d, k)
        self.raises(ValueError, r"input 'x': expected f32\[2,3\], found "
                    r"f32\[4\]$", floats(1, 2, 3, 4), k)
        self.raises(TypeError, r"input 'x': expected f32\[2,3\], found "
                    r"NoneType$", None, k)
        self.raises(TypeError, r"found str", "123456", k)
        self.raises(TypeError, r"found u8\[24\]", bytes(24), k)
        self.raises(TypeError, r"input 'k': .* found i32\[1\]", self.x,
                    array.array("i", [1]))
        at, _ = self.x.buffer_info()
        x = Interface(data=(at + 2, True), typestr="<f4", shape=(2, 3))
        self.raises(ValueError, "'x': expected memory aligned to 4 bytes",
                    x, k)
        self.raises(TypeError, r"plain: expected 2 inputs \(x, k\), found 3",
                    self.x, k, k)
        self.raises(TypeError, "plain: no value for k: expected x, k",
                    self.x)
        self.raises(TypeError, "no input 'z'", self.x, z=k)
        self.raises(TypeError, "'x' is given twice", self.x, x=k)

    def test_out(self):
        y, n = floats(*[0] * 6), whole(0)
        got = self.net(self.x, whole(1), out=(y, n))
        self.assertTrue(got[0] is y and got[1] is n)
        self.assertEqual((y.tolist(), n.tolist()), (self.want, [2]))
        got = self.net(self.x, whole(2), out=[y, None])
        self.assertTrue(got[0] is y)
        self.assertEqual(values(got[1]), [3])
        b = self.net.empty()
        got = self.net(self.x, whole(3), out=b)
        self.assertEqual([values(t.memoryview()) for t in got],
                         [self.want, [4]])
        # What a call made is an input of the next.
        y, _ = self.net(b[0], b[1])
        self.assertEqual(values(y), [7, 11, 15, 19, 23, 27])

    def test_wrong_outs(self):
        k, n = whole(0), whole(0)
        self.raises(ValueError, r"plain: out: expected 2 \(y, n\), found 1",
                    self.x, k, out=n)
        self.raises(TypeError, r"output 'y': expected f32\[2,3\], found "
                    r"f64\[6\]$", self.x, k,
                    out=(array.array("d", [0] * 6), n))
        y = memoryview(floats(*[0] * 6)).toreadonly()
        self.raises(ValueError, "output 'y': .* can only be read", self.x, k,
                    out=(y, n))
        self.raises(ValueError, "output 'y' overlaps 'x'", self.x, k,
                    out=(self.x, n))
        both = memoryview(floats(*[0] * 7)).cast("B")
        y, n = both[:24].cast("f"), both[16:24].cast("q")
        self.raises(ValueError, "output 'n' overlaps 'y'", self.x, k,
                    out=(y, n))

    def test_copy(self):
        k = whole(0)
        d = array.array("d", [1, 2, 3, 4, 5, 6])
        if not np:
            self.raises(TypeError, "found f64", d, k, copy=True)
            return
        rows = [[1, 2, 3], [4, 5, 6]]
        x = np.array(rows, np.float32)
        for v in (d, rows, np.array(rows), x, np.array(rows, ">f4"),
                  np.asfortranarray(x), OnlyDLPack(np.array(rows, "f8"))):
            y, _ = self.net(v, 0, copy=True)
            self.assertEqual(values(y), self.want)
        self.raises(TypeError, r"found complex64\[2,3\]",
                    x.astype(np.complex64), k, copy=True)
        self.raises(TypeError, r"'k': expected i64\[\], found float64",
                    x, 0.5, copy=True)
        self.raises(ValueError, r"found float32\[3,2\]", x.T, k, copy=True)

    @unittest.skipUnless(np, "numpy")
    def test_numpy(self):
        x = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
        y, n = self.net(x, np.int64(7))
        self.assertEqual((y.tolist(), n.item()),
                         ((x * 2 + 1).tolist(), 8))
        self.assertTrue(y.flags.writeable and y.flags.c_contiguous)
        self.raises(ValueError, "strides", x.T.copy().T, np.int64(7))
        part = np.zeros((2, 6), np.float32)
        self.raises(ValueError, "output 'y': .* strides", x, np.int64(7),
                    out=(part[:, ::2], n))
        self.net(x, np.int64(1), out=(part.reshape(-1)[3:9], n))
        self.assertEqual(part.reshape(-1)[3:9].tolist(), self.want)
        b = self.net.empty()[0]
        self.assertEqual(np.asarray(b).ctypes.data, b.address)

    def test_returns(self):
        net = tamis.load(self.built(), returns=lambda b: b)
        y, _ = net(self.x, whole(0))
        self.assertIsInstance(y, tamis.Buffer)
        self.assertEqual(y.shape, (2, 3))
        net = tamis.load(self.built(), returns=tamis.Buffer.memoryview)
        self.assertIsInstance(net(self.x, whole(0))[0], memoryview)

    def built(self):
        so = path("libplain.so")
        if not os.path.exists(so):
            build("plain", out=so)
            self.assertTrue(os.path.exists(path("plain.h")))
        return so

    def test_load_errors(self):
        def wrong(pattern, data, kind=tamis.LoadError):
            with open(path("wrong.so"), "wb") as f:
                f.write(data)
            with self.assertRaisesRegex(kind, pattern):
                tamis.load(path("wrong.so"))

        with open(self.built(), "rb") as f:
            so = f.read()
        none = "expected a shared object built by tamis"
        for data in (b"", b"\x7fELF", so[:60], so[:-100], bytes(1000),
                     so[:5] + b"\2" + so[6:], b"x" + so[1:]):
            wrong(none, data)
        wrong(none, so.replace(b"plain_model", b"plain_medel"))
        wrong("another kind of machine", so[:18] + b"\2\0" + so[20:])
        head = struct.pack("<II", ctypes.sizeof(tamis._CModel), 4)
        self.assertEqual(so.count(head), 1)
        wrong("expected a descriptor of ABI 4 .* found ABI 5",
              so.replace(head, head[:4] + b"\5\0\0\0"))
        wrong("with at least [0-9]+ bytes, found ABI 4 with 16",
              so.replace(head, b"\x10\0\0\0" + head[4:]))
        with self.assertRaises(FileNotFoundError):
            tamis.load(path("none.so"))
        with mock.patch.object(tamis, "_CheckCpu", lambda a: lambda: -4):
            with self.assertRaisesRegex(tamis.CpuError, "built for cpu .* "
                                        "this CPU lacks a feature"):
                tamis.load(self.built())
        e = tamis.CallError(-3)
        self.assertEqual((str(e), e.code),
                         ("a dimension is out of its bound (-3)", -3))
        for name in ("step", "reset", "stream"):
            with self.assertRaisesRegex(TypeError, "plain has no state"):
                getattr(self.net, name)()

    def test_built_anew(self):
        """A file takes the place of one that is still in use."""
        so, text = path("again.so"), NETS["plain"]
        nets = []
        for i in range(4):
            with open(path("again.tam"), "w") as f:
                f.write(text.replace("+ 1", f"+ {i}"))
            nets.append(tamis.build(path("again.tam"), out=so))
        nets.append(tamis.load(so))
        for i, net in enumerate(nets):
            y, _ = net(self.x, whole(0))
            self.assertEqual(values(y)[0], 2 + min(i, 3))

    def test_unloaded(self):
        def loaded():
            with open("/proc/self/maps") as f:
                return so in f.read()

        so = path("gone.so")
        net = build("plain", out=so)
        y, _ = net(self.x, whole(0))
        self.assertTrue(loaded())
        gc.disable()                     # no cycles: it goes at once
        try:
            del net
            self.assertFalse(loaded())
        finally:
            gc.enable()
        self.assertEqual(values(y), self.want)


class DLPack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = build("plain", returns=lambda b: b)
        cls.x = floats(1, 2, 3, 4, 5, 6)

    def result(self):
        return self.net(self.x, whole(7))

    def test_round(self):
        y, n = self.result()
        self.assertEqual(y.__dlpack_device__(), (1, 0))
        y2, n2 = self.net(OnlyDLPack(y), OnlyDLPack(n))
        self.assertEqual(values(y2.memoryview()), [7, 11, 15, 19, 23, 27])
        self.assertEqual(values(n2.memoryview()), [9])
        out = self.net.empty()
        self.net(self.x, whole(7), out=tuple(map(OnlyDLPack, out)))
        self.assertEqual(values(out[0].memoryview()), [3, 5, 7, 9, 11, 13])
        self.assertEqual(tamis._exports, {})

    def test_capsules(self):
        y, _ = self.result()
        capsule = y.__dlpack__(stream=None, max_version=(1, 0))
        self.assertEqual(len(tamis._exports), 1)
        del y
        # The capsule holds the memory; one that nobody took gives it up.
        t = tamis._DLManagedTensor.from_address(
            tamis._capsule_pointer(capsule, tamis._DLTENSOR)).tensor
        self.assertEqual((t.ndim, t.shape[:2], t.strides[:2], t.code, t.bits),
                         (2, [2, 3], [3, 1], 2, 32))
        self.assertEqual((ctypes.c_float * 6).from_address(t.data)[5], 13)
        del capsule
        self.assertEqual(tamis._exports, {})

    def test_arguments(self):
        y, _ = self.result()
        self.assertIsNotNone(y.__dlpack__(dl_device=(1, 0)))
        with self.assertRaisesRegex(BufferError, r"found \(2, 0\)"):
            y.__dlpack__(dl_device=(2, 0))
        copy = y.__dlpack__(copy=True)
        at = tamis._DLManagedTensor.from_address(
            tamis._capsule_pointer(copy, tamis._DLTENSOR)).tensor.data
        self.assertNotEqual(at, y.address)
        self.assertEqual((ctypes.c_float * 6).from_address(at)[5], 13)

    def test_device(self):
        class Gpu(OnlyDLPack):
            def __dlpack_device__(self):
                return (2, 1)

        with self.assertRaisesRegex(TypeError, "input 'x': expected memory "
                                    "of the CPU, found that of device 2:1"):
            self.net(Gpu(self.net.empty()[0]), whole(0))

    @unittest.skipUnless(np and hasattr(np, "from_dlpack"), "numpy >= 1.23")
    def test_numpy(self):
        y, _ = self.result()
        a = np.from_dlpack(y)
        at = y.address
        del y
        self.assertEqual((a.ctypes.data, a.tolist()),
                         (at, [[3, 5, 7], [9, 11, 13]]))
        self.assertEqual(len(tamis._exports), 1)
        del a
        self.assertEqual(tamis._exports, {})

    @unittest.skipUnless(torch, "torch")
    def test_torch(self):
        net = build("plain", returns=torch.from_dlpack)
        x = torch.arange(1, 7, dtype=torch.float32).reshape(2, 3)
        y, n = net(x, torch.tensor(7))
        self.assertEqual((y.tolist(), n.item()),
                         ([[3, 5, 7], [9, 11, 13]], 8))
        self.assertEqual(y.data_ptr() % 64, 0)
        net(x, torch.tensor(8), out=(y.mul_(0), n))
        self.assertEqual((y.tolist(), n.item()),
                         ([[3, 5, 7], [9, 11, 13]], 9))
        with self.assertRaisesRegex(ValueError, "'x': .* strides"):
            net(x.t().contiguous().t(), n)
        self.assertEqual(net(x.t().contiguous().t(), n, copy=True)[0].tolist()
                         if np else y.tolist(), y.tolist())
        with self.assertRaisesRegex(TypeError, "input 'x': .*grad"):
            net(x.clone().requires_grad_(), n)
        b = torch.ones(4, dtype=torch.bfloat16)
        types = build("types", returns=lambda b: b)
        got = types(torch.ones(4, dtype=torch.float16), b,
                    torch.tensor([-1, 2, -3, 4], dtype=torch.int32),
                    torch.tensor([1, 2, 3, 4], dtype=torch.uint8),
                    memoryview(bytes(4)).cast("?"))
        self.assertEqual(torch.from_dlpack(got[0]).dtype, torch.float16)
        two = torch.from_dlpack(got[1])
        self.assertEqual((two.dtype, two.tolist()), (torch.bfloat16, [2] * 4))
        del y, n, two, got
        gc.collect()
        self.assertEqual(tamis._exports, {})


class Types(unittest.TestCase):
    def test_bits(self):
        net = build("types")
        half = net.empty()[0]            # no array.array has f16
        half.memoryview()[:] = memoryview(
            struct.pack("<4e", 1, 2, 3, 4)).cast("H")
        i = array.array("i", [-1, 2, -3, 4])
        got = net(half, array.array("H", [0x3f80] * 4), i, b"\1\2\3\4",
                  b"\0\1\1\0")
        f, b, i2, u, m = (memoryview(g) for g in got) if np else got
        self.assertEqual(struct.unpack("<4e", f.tobytes()), (2, 4, 6, 8))
        self.assertEqual(b.tolist(), [0x4000] * 4)
        self.assertEqual(i2.tolist(), [-1, 4, -6, 4])
        self.assertEqual(u.tolist(), [2, 3, 4, 5])
        self.assertEqual(m.tolist(), [True, False, True, False])
        if np:
            self.assertEqual([g.dtype.name for g in got],
                             ["float16", "uint16", "int32", "uint8", "bool"])
        with self.assertRaisesRegex(TypeError, "'f': .* found u16"):
            net(array.array("H", [0] * 4), got[1], i, b"1234", m)

    @unittest.skipUnless(np, "numpy")
    def test_numpy(self):
        net = build("types")
        f = np.ones(4, np.float16)
        b = np.array([0x3f80] * 4, np.uint16)
        args = f, b, np.arange(4, dtype="i4"), np.zeros(4, "u1"), f > 0
        self.assertEqual(net(*args)[0].tolist(), [2] * 4)
        with self.assertRaisesRegex(TypeError, "'b': expected bf16"):
            net(f, f.astype("f4"), *args[2:], copy=True)
        try:
            import ml_dtypes
        except ImportError:
            return
        b = np.ones(4, ml_dtypes.bfloat16)
        self.assertEqual(net(f, b, *args[2:])[1].tolist(), [0x4000] * 4)
        b = np.ones(8, ml_dtypes.bfloat16)[::2]
        self.assertEqual(net(f, b, *args[2:], copy=True)[1].tolist(),
                         [0x4000] * 4)
        with self.assertRaisesRegex(TypeError, "'f': .* found bf16"):
            net(b, b, *args[2:], copy=True)


    def test_empty(self):
        net = build("empty")
        nothing = Interface(data=(0, False), typestr="<f4", shape=(0, 4))
        for x in (array.array("f"), net.empty()[0],
                  OnlyDLPack(net.empty()[0]), nothing):
            y, v = net(x, floats(1, 2, 3))
            self.assertEqual((len(y), values(v)), (0, [2, 3, 4]))


class States(unittest.TestCase):
    def step(self, of, *v):
        y, t = of.step(floats(*v))
        return values(y), values(t)[0]

    def test_steps(self):
        net = build("count")
        self.assertEqual(self.step(net, 1, 2), ([1.5, 2.5], 0))
        self.assertEqual(self.step(net, 1, 2), ([2.5, 4.5], 1))
        other = net.stream()
        self.assertEqual(self.step(other, 0, 0), ([0.5, 0.5], 0))
        self.assertEqual(values(net.entries["forget"](whole(10))), [2])
        self.assertEqual(values(other.entries["forget"](n=whole(20))), [1])
        self.assertEqual(self.step(net, 0, 0), ([2.5, 4.5], 10))
        self.assertEqual(self.step(other, 0, 0), ([0.5, 0.5], 20))
        net.reset()
        self.assertEqual(self.step(net, 1, 2), ([1.5, 2.5], 0))
        self.assertEqual(self.step(other, 1, 1), ([1.5, 1.5], 21))
        self.assertTrue(net.state_bytes > 0)
        self.assertIn("Stream count(x: f32[2])", repr(other))
        with self.assertRaisesRegex(TypeError, "forget: no value for n"):
            net.entries["forget"]()
        del net
        self.assertEqual(self.step(other, 1, 1), ([2.5, 2.5], 22))

    def test_one_at_a_time(self):
        net = build("count")

        def work():
            for _ in range(200):
                net.step(floats(1, 1))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(self.step(net, 0, 0), ([800.5, 800.5], 800))


class Threads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.so = path("libwide.so")
        cls.plain = build("wide", threads=1, out=cls.so)
        cls.x = floats(*(i % 17 / 8 - 1 for i in range(64 * 28 * 28)))
        cls.want = bytes(cls.plain(cls.x))

    def pool(self, n):
        try:
            return tamis.load(self.so, threads=n)
        except tamis.Error as e:
            self.assertIn("libpthreadpool0", str(e))
            self.skipTest(str(e))

    def test_pool(self):
        for n in (0, 2, 3, True):
            net = self.pool(n)
            for _ in range(3):
                self.assertEqual(bytes(net(self.x)), self.want)

    def test_callers(self):
        for net in (self.plain, self.pool(2)):
            wrong = []

            def work():
                for _ in range(10):
                    if bytes(net(self.x)) != self.want:
                        wrong.append(1)

            threads = [threading.Thread(target=work) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(wrong, [])
            self.assertTrue(1 <= len(net._core.arenas) <= 4)

    def test_fork(self):
        net = self.pool(2)
        net(self.x)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if bytes(net(self.x)) == self.want else 1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertEqual(bytes(net(self.x)), self.want)

    def test_wrong(self):
        for n in (-1, 1025, "2", 1.5):
            with self.assertRaisesRegex(ValueError, "threads: expected"):
                tamis.load(self.so, threads=n)
        so = path("none.so")
        build("plain", out=so)
        with self.assertRaisesRegex(ValueError, "expected an artifact built "
                                    "with --threads"):
            tamis.load(so, threads=2)
        os.remove(so)
        with mock.patch.object(ctypes, "CDLL", side_effect=OSError):
            with self.assertRaisesRegex(tamis.Error, "libpthreadpool0"):
                tamis._Pool(2)


class Build(unittest.TestCase):
    def test_weights_outside(self):
        w, so = path("w.bin"), path("outside.so")
        x = floats(*[0.5] * (64 * 28 * 28))
        net = build("wide", external_weights=w, out=so, O=1)
        self.assertEqual(net.weight_bytes, os.path.getsize(w))
        want = bytes(net(x))
        with open(w, "rb") as f:
            data = f.read()
        held = tamis._Memory(len(data))
        ctypes.memmove(held.address, data, len(data))
        m = memoryview(held.bytes).cast("B")[held.offset:][:len(data)]
        self.assertEqual(bytes(tamis.load(so, weights=m)(x)), want)
        for wrong, pattern in (
                (None, "built with --external-weights: expected weights="),
                (m[:-1], f"expected {len(data)} bytes in a row, found"),
                (3, "found int"), ("/dev/null", "found 0 bytes")):
            with self.assertRaisesRegex(ValueError, pattern):
                tamis.load(so, weights=wrong)
        m = memoryview(held.bytes).cast("B")[held.offset + 1:]
        if len(m) >= len(data):
            with self.assertRaisesRegex(ValueError, "aligned to 64 bytes"):
                tamis.load(so, weights=m[:len(data)])
        build("plain", out=so)
        with self.assertRaisesRegex(ValueError, "holds its own"):
            tamis.load(so, weights=w)

    @unittest.skipUnless(os.uname().machine == "x86_64", "x86-64")
    def test_versions(self):
        x = floats(*[0.5] * (64 * 28 * 28))
        net = build("wide", cpu="x86-64+x86-64-v2")
        self.assertIn(net.cpu, ("x86-64", "x86-64-v2"))
        self.assertTrue(net.steps)
        one = build("wide", cpu=net.cpu)
        self.assertEqual(bytes(net(x)), bytes(one(x)))
        self.assertEqual([s.kernel for s in net.steps],
                         [s.kernel for s in one.steps])

    def test_options(self):
        got = tamis._options({"cpu": "x86-64", "strip": True, "O": 3,
                              "MF": "a.d", "v": True, "MD": False,
                              "random_weights": 0, "dim": {"N": 1, "M": 2},
                              "recipe": None})
        self.assertEqual(list(got), ["--cpu=x86-64", "--strip", "-O3", "-MF",
                                     "a.d", "-v", "--random-weights=0",
                                     "--dim=N=1", "--dim=M=2"])
        with self.assertRaisesRegex(TypeError, "emit"):
            build("plain", emit="lib")

    def test_errors(self):
        with open(path("bad.tam"), "w") as f:
            f.write("model bad(x: f32[1]) -> y: f32[2] {\n  y = relu(z);\n}")
        with self.assertRaises(tamis.BuildError) as e:
            tamis.build(path("bad.tam"), out=path("bad.so"))
        e = e.exception
        self.assertEqual((e.code, e.diagnostics[0]["line"]), (1, 2))
        self.assertRegex(str(e), r"bad\.tam:2:12: error: .*'z'")
        self.assertFalse(os.path.exists(path("bad.so")))
        with self.assertRaisesRegex(tamis.BuildError, "unknown option "
                                    "'--recipy'; did you mean") as e:
            build("plain", recipy="x")
        self.assertEqual(e.exception.code, 2)
        with self.assertRaisesRegex(tamis.BuildError, "none.tam: error") as e:
            tamis.build(path("none.tam"))
        self.assertEqual(e.exception.code, 3)
        with mock.patch.dict(os.environ, TAMIS=path("no-command")):
            with self.assertRaisesRegex(tamis.BuildError, "No such file"):
                build("plain")

    def test_messages(self):
        command = path("stand-in")
        with open(command, "w") as f:
            f.write("""#!/bin/sh
echo '{"level":"warning","file":"a.tam","line":3,"column":4,
"message":"odd"}' | tr -d '\\n' >&2
echo >&2
echo 'tamis: said by -v' >&2
exec "$REAL" "$@"
""")
        os.chmod(command, 0o755)
        real = os.environ["TAMIS"]
        with mock.patch.dict(os.environ, TAMIS=command, REAL=real):
            with self.assertWarnsRegex(tamis.BuildWarning,
                                       "a.tam:3:4: warning: odd") as w:
                with mock.patch("sys.stderr") as stderr:
                    tamis.build(path("plain.tam"))
        self.assertEqual(w.filename, __file__)
        self.assertIn(mock.call("tamis: said by -v"),
                      stderr.write.call_args_list)

    def test_command(self):
        """Beside the module as installed, else in the PATH."""
        prefix = path("prefix")
        site = os.path.join(prefix, "lib", "python3", "dist-packages")
        os.makedirs(site)
        os.makedirs(os.path.join(prefix, "bin"))
        shutil.copy(tamis.__file__, site)
        command = os.path.join(prefix, "bin", "tamis")
        code = ("import sys; sys.path.insert(0, sys.argv[1]); import tamis; "
                "print(tamis._command())")
        env = dict(os.environ, PATH=os.path.join(prefix, "bin"))
        del env["TAMIS"]

        def found(**more):
            return subprocess.run(
                [sys.executable, "-S", "-c", code, site], env={**env, **more},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                universal_newlines=True).stdout.strip()

        self.assertRegex(found(), "neither beside this module nor in PATH")
        shutil.copy("/bin/true", command)
        self.assertEqual(found(), command)
        self.assertEqual(found(PATH="/nowhere"), command)
        self.assertEqual(found(TAMIS="/my/tamis"), "/my/tamis")
        os.rename(command, os.path.join(folder, "tamis"))
        self.assertEqual(found(PATH=folder), os.path.join(folder, "tamis"))


if __name__ == "__main__":
    unittest.main()
