"""tamis.py - networks compiled by `tamis build`, called from Python.

    import tamis
    net = tamis.load("libnet.so")        # or tamis.build("net.onnx")
    p = net(x)

x is a numpy array, a torch tensor, an array.array, bytes: whatever has the
buffer protocol, __array_interface__ or __dlpack__.  It is read where it lies;
what does not fit raises TypeError or ValueError, or is converted where
copy=True asks for it.  Results are numpy arrays where numpy is there, else
memoryviews; load(..., returns=torch.from_dlpack) makes them something else.
Calls may come from any threads at the same time, and do not hold the GIL.

One file, nothing but Python 3.8; doc/python.md is its manual."""

import _ctypes
import ctypes
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
import weakref
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_uint32, c_uint64
from ctypes import c_void_p

try:
    import numpy as np
except ImportError:
    np = None

__all__ = ["load", "build", "Net", "Stream", "Function", "Tensor", "Buffer",
           "Step", "Error", "LoadError", "CpuError", "CallError",
           "BuildError", "BuildWarning", "ABI_VERSION"]

ABI_VERSION = 4                          # TAMIS_ABI_VERSION of tamis.h
_ALIGN = 64
_NOWHERE = _ALIGN                        # where memory of no bytes lies


class Error(Exception):
    """What this module raises besides TypeError, ValueError, OSError."""


class LoadError(Error):
    """The file is no artifact, or one for another reader or machine."""


class CpuError(LoadError):
    """This CPU lacks a feature that the artifact was compiled for."""


class CallError(Error):
    """A call returned an error; .code is one of tamis.h."""

    def __init__(self, code):
        what = {-1: "a pointer is NULL", -2: "a buffer is not aligned",
                -3: "a dimension is out of its bound",
                -4: "this CPU lacks a feature"}
        super().__init__(f"{what.get(code, 'the call failed')} ({code})")
        self.code = code


class BuildError(Error):
    """`tamis build` failed: .code is its exit code, .diagnostics what it
    said, a list of dicts (level, file, line, column, message, notes)."""

    def __init__(self, message, code, diagnostics):
        super().__init__(message)
        self.code = code
        self.diagnostics = diagnostics


class BuildWarning(UserWarning):
    """A warning of `tamis build`."""


# ---- element types and tensors -------------------------------------------

class _Elem:
    """A row of the table: what memory of a type may be called elsewhere."""

    def __init__(self, name, size, kinds, typestr, form, dlpack):
        self.name, self.size, self.kinds = name, size, kinds
        self.typestr = typestr           # of __array_interface__
        self.format = form               # of memoryview; bits for f16, bf16
        self.dlpack = dlpack             # code and bits of DLDataType


# In the order of tamis.h.  numpy has no bf16: there it is its bits.
_ELEMS = (
    _Elem("f64", 8, ("f8",), "<f8", "d", (2, 64)),
    _Elem("f32", 4, ("f4",), "<f4", "f", (2, 32)),
    _Elem("f16", 2, ("f2",), "<f2", "H", (2, 16)),
    _Elem("bf16", 2, ("bf2", "u2"), "<u2", "H", (4, 16)),
    _Elem("i64", 8, ("i8",), "<i8", "q", (0, 64)),
    _Elem("i32", 4, ("i4",), "<i4", "i", (0, 32)),
    _Elem("i16", 2, ("i2",), "<i2", "h", (0, 16)),
    _Elem("i8", 1, ("i1",), "|i1", "b", (0, 8)),
    _Elem("i4", 1, ("i1",), "|i1", "b", (0, 8)),
    _Elem("u8", 1, ("u1",), "|u1", "B", (1, 8)),
    _Elem("u4", 1, ("u1",), "|u1", "B", (1, 8)),
    _Elem("b1", 1, ("b1", "u1"), "|b1", "?", (6, 8)),
)


def _type_text(name, shape):
    return f"{name}[{','.join(map(str, shape))}]"


class _Size:
    """A dimension that depends on free ones, as tamis_size has it."""

    __slots__ = ("c", "div", "mul", "by", "add", "alone", "text")

    def __init__(self, s, names):
        self.c = tuple((k, c) for k, c in enumerate(s.c) if c)
        self.div, self.mul, self.by, self.add = s.div, s.mul, s.by, s.add
        # Largest products first, as the compiler prints them.
        terms = []
        for k, c in sorted(self.c, key=lambda t: -bin(t[0]).count("1")):
            factors = [n for i, n in enumerate(names) if k >> i & 1]
            if abs(c) != 1 or not factors:
                factors.append(str(abs(c)))
            sign = "-" if c < 0 else "+" if terms else ""
            terms.append(sign + "*".join(factors))
        self.text = "".join(terms) or "0"
        plain = len(self.c) == 1 and self.c[0][1] == 1
        plain = plain and (self.div, self.mul, self.by, self.add) == (1, 1, 0, 0)
        bits = self.c[0][0] if plain else 0
        self.alone = bits.bit_length() - 1 if bits and not bits & bits - 1 \
            else None                    # the free dimension that it is
        if self.div != 1:
            if len(terms) > 1:
                self.text = f"({self.text})"
            self.text += f"/{self.div}"
            self.text += "".join(f"*{n}" for i, n in enumerate(names)
                                 if self.by >> i & 1)
            if self.mul != 1:
                self.text += f"*{self.mul}"
        if self.add:
            self.text += f"{self.add:+d}"

    def at(self, dims):
        total = 0
        for k, c in self.c:
            for i, n in enumerate(dims):
                if k >> i & 1:
                    c *= n
            total += c
        total = total // self.div * self.mul
        for i, n in enumerate(dims):
            if self.by >> i & 1:
                total *= n
        return total + self.add


class Tensor:
    """An input or an output: name, elem ("f32"), shape, bytes; where it is
    quantised, a value is scale * (q - zero).  With free dimensions shape and
    bytes are those of the bounds, and .dims says how they depend on them."""

    __slots__ = ("name", "elem", "shape", "bytes", "scale", "zero", "count",
                 "_elem", "_sizes")

    def __init__(self, name, elem, shape, scale=1.0, zero=0, sizes=None):
        self.name, self.shape = name, shape
        self._elem, self.elem = elem, elem.name
        self.scale, self.zero, self._sizes = scale, zero, sizes
        self.count = 1
        for n in shape:
            self.count *= n
        self.bytes = self.count * elem.size

    @property
    def dtype(self):
        """numpy's dtype, without numpy its name."""
        typestr = self._elem.typestr
        return np.dtype(typestr) if np else typestr[1:]

    @property
    def dims(self):
        """("N", 3, "T/2"): the shape with the names of free dimensions."""
        if not self._sizes:
            return self.shape
        return tuple(s.text if any(k for k, _ in s.c) else n
                     for s, n in zip(self._sizes, self.shape))

    def _at(self, dims):
        """The tensor with its free dimensions fixed."""
        if not self._sizes:
            return self
        return Tensor(self.name, self._elem,
                      tuple(s.at(dims) for s in self._sizes), self.scale,
                      self.zero)

    def __repr__(self):
        return f"{self.name}: {_type_text(self.elem, self.dims)}"


class Step:
    """A kernel call: layer path, origin, op, kernel, elem, shape."""

    __slots__ = ("path", "origin", "op", "kernel", "elem", "shape")

    def __init__(self, s):
        self.path, self.origin = _text(s.path), _text(s.origin)
        self.op, self.kernel = _text(s.op), _text(s.kernel)
        self.elem = _ELEMS[s.elem].name
        self.shape = tuple(s.dims[:s.rank])

    def __repr__(self):
        what = _type_text(self.elem, self.shape)
        return f"<{self.path}: {what} by {self.kernel}>"


# ---- the descriptor, as tamis.h has it -----------------------------------

class _CFree(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("least", c_int64), ("most", c_int64)]


class _CSize(ctypes.Structure):
    _fields_ = [("c", c_int64 * 8), ("div", c_int64), ("mul", c_int64),
                ("by", c_int64), ("add", c_int64)]


class _CTensor(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("elem", c_int32), ("rank", c_int32),
                ("dims", POINTER(c_int64)), ("bytes", c_uint64),
                ("scale", ctypes.c_double), ("zero", c_int64),
                ("sizes", POINTER(_CSize))]


class _CStep(ctypes.Structure):
    _fields_ = [("path", c_char_p), ("origin", c_char_p), ("op", c_char_p),
                ("kernel", c_char_p), ("run", c_void_p), ("out_io", c_int32),
                ("elem", c_int32), ("out_offset", c_uint64),
                ("out_origin", c_int64), ("rank", c_int32),
                ("value", c_int32), ("dims", POINTER(c_int64)),
                ("out_strides", POINTER(c_int64))]


class _CEntry(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("n_inputs", c_uint32),
                ("n_outputs", c_uint32), ("inputs", POINTER(_CTensor)),
                ("outputs", POINTER(_CTensor)), ("run", c_void_p)]


class _CModel(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("abi", c_uint32), ("name", c_char_p),
                ("version", c_char_p), ("target", c_char_p),
                ("cpu", c_char_p), ("features", c_char_p),
                ("arena_bytes", c_uint64), ("stack_bytes", c_uint64),
                ("align", c_uint64), ("weight_bytes", c_uint64),
                ("n_inputs", c_uint32), ("n_outputs", c_uint32),
                ("inputs", POINTER(_CTensor)),
                ("outputs", POINTER(_CTensor)), ("run", c_void_p),
                ("weights", c_void_p), ("n_steps", c_uint32),
                ("threads", c_uint32), ("steps", POINTER(_CStep)),
                ("check_cpu", c_void_p), ("state_bytes", c_uint64),
                ("reset", c_void_p), ("n_entries", c_uint32),
                ("reserved_2", c_uint32), ("entries", POINTER(_CEntry)),
                ("n_versions", c_uint32), ("reserved_3", c_uint32),
                ("versions", POINTER(c_void_p)), ("n_free", c_uint32),
                ("reserved_4", c_uint32), ("free", POINTER(_CFree))]


# Calls through these let other threads go on.
_Run = ctypes.CFUNCTYPE(ctypes.c_int, c_void_p, c_void_p)
_Reset = ctypes.CFUNCTYPE(None, c_void_p)
_CheckCpu = ctypes.CFUNCTYPE(ctypes.c_int)


def _descriptor(address, path):
    # These two come first in every ABI.
    size, abi = (c_uint32 * 2).from_address(address)
    if abi != ABI_VERSION or size < ctypes.sizeof(_CModel):
        raise LoadError(f"{path}: expected a descriptor of ABI {ABI_VERSION} "
                        f"with at least {ctypes.sizeof(_CModel)} bytes, "
                        f"found ABI {abi} with {size}")
    return _CModel.from_address(address)


def _text(s):
    return s.decode(errors="replace")


def _tensors(at, n, free):
    def sizes(t):
        return tuple(_Size(s, list(free)) for s in t.sizes[:t.rank]) \
            if t.sizes else None
    return tuple(Tensor(_text(t.name), _ELEMS[t.elem],
                        tuple(t.dims[:t.rank]), t.scale, t.zero, sizes(t))
                 for t in at[:n])


# ---- shared objects ------------------------------------------------------

_MACHINES = {"x86_64": 62, "aarch64": 183}


def _symbols(elf):
    """The names of the data that the ELF file defines for others."""
    offset, = struct.unpack_from("<Q", elf, 40)
    entry, n = struct.unpack_from("<HH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, offset + i * entry)
                for i in range(n)]
    for _, kind, _, _, begin, size, link, *_ in sections:
        if kind != 11:                   # SHT_DYNSYM
            continue
        strings = sections[link][4]
        for at in range(begin, begin + size, 24):
            name, info, _, section = struct.unpack_from("<IBBH", elf, at)
            if info & 15 == 1 and section:       # STT_OBJECT, defined
                name += strings
                yield elf[name:elf.find(b"\0", name)].decode()


def _model_symbol(file, path):
    """The descriptor's name in an open file; never loads what is none."""
    wanted = LoadError(f"{path}: expected a shared object built by tamis")
    try:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as elf:
            if elf[:6] != b"\x7fELF\x02\x01":    # 64 bits, little endian
                raise wanted
            machine, = struct.unpack_from("<H", elf, 18)
            here = os.uname().machine
            if _MACHINES.get(here, machine) != machine:
                raise LoadError(f"{path}: built for another kind of machine "
                                f"than this {here}")
            for name in _symbols(elf):
                if name.endswith("_model"):
                    return name
    except (struct.error, ValueError, IndexError):
        pass
    raise wanted


_libraries = weakref.WeakSet()


class _Library:
    """A loaded shared object; unloaded when nothing uses it any more."""

    def __init__(self, path):
        self.handle = self.file = None
        self.path = os.path.abspath(os.fspath(path))
        file = open(self.path, "rb")
        try:
            symbol = _model_symbol(file, self.path)
            info = os.fstat(file.fileno())
            self.id = info.st_dev, info.st_ino
            name = self.path
            # The loader goes by names: a file built anew in the place of one
            # that is in use has to come under another, free while it is open.
            if any(old.path == name and old.id != self.id
                   for old in list(_libraries)):
                name, self.file = f"/proc/self/fd/{file.fileno()}", file
            try:
                so = ctypes.CDLL(name)
            except OSError as e:
                raise LoadError(f"cannot load {self.path}: {e}") from None
            self.handle = so._handle
            self.model = _descriptor(
                ctypes.addressof(ctypes.c_char.in_dll(so, symbol)), self.path)
        finally:
            if not self.file:
                file.close()
        _libraries.add(self)

    def __del__(self, dlclose=_ctypes.dlclose, finalizing=sys.is_finalizing):
        if self.handle is not None and not finalizing():
            dlclose(self.handle)
        if self.file:
            self.file.close()


# ---- memory of others ----------------------------------------------------

class _PyBuffer(ctypes.Structure):
    _fields_ = [("buf", c_void_p), ("obj", c_void_p),
                ("len", ctypes.c_ssize_t), ("itemsize", ctypes.c_ssize_t),
                ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
                ("format", c_char_p), ("shape", c_void_p),
                ("strides", c_void_p), ("suboffsets", c_void_p),
                ("internal", c_void_p)]


def _python(name, result, *args):
    f = getattr(ctypes.pythonapi, name)
    f = ctypes.PYFUNCTYPE(result, *args)(ctypes.cast(f, c_void_p).value)
    return f


_get_buffer = _python("PyObject_GetBuffer", ctypes.c_int, ctypes.py_object,
                      c_void_p, ctypes.c_int)
_release_buffer = _python("PyBuffer_Release", None, c_void_p)
_STRIDES = 0x18                          # PyBUF_STRIDES


def _address(view):
    """Where a memoryview's memory lies; good while the view lives."""
    b = _PyBuffer()
    at = ctypes.addressof(b)
    _get_buffer(view, at, _STRIDES)
    _release_buffer(at)
    return b.buf or 0


class _View:
    """Typed memory: kind as in __array_interface__ ("f4", "bf2" for bf16),
    strides in bytes or None where it is row-major; owner keeps it alive."""

    __slots__ = ("address", "kind", "shape", "strides", "readonly", "owner")

    def __init__(self, address, kind, shape, strides, readonly, owner):
        self.address, self.kind, self.shape = address, kind, shape
        self.strides, self.readonly, self.owner = strides, readonly, owner


_KINDS = {"?": "b", "e": "f", "f": "f", "d": "f", "c": "u",
          **dict.fromkeys("bhilqn", "i"), **dict.fromkeys("BHILQN", "u")}


def _of_buffer(x):
    try:
        m = memoryview(x)
    except (TypeError, ValueError, BufferError):
        return None
    kind = m.format
    if kind[-1] in _KINDS and kind[:-1] in ("", "@", "=", "<"):
        kind = _KINDS[kind[-1]] + str(m.itemsize)
    try:
        at = _address(m)
    except BufferError:                  # rows behind pointers
        return None
    return _View(at, kind, m.shape, None if m.c_contiguous else m.strides,
                 m.readonly, m)


def _of_interface(x):
    d = getattr(x, "__array_interface__", None)
    if d is None:
        return None
    data, kind, owner = d.get("data"), d["typestr"], (x, d)
    if kind[0] in "<|=":
        kind = kind[1:]
    if getattr(getattr(x, "dtype", None), "name", None) == "bfloat16":
        kind = "bf2"
    if isinstance(data, tuple):
        address, readonly = data
    else:
        m = memoryview(x if data is None else data)
        address, readonly = _address(m) + d.get("offset", 0), m.readonly
        owner = m
    return _View(address, kind, tuple(d["shape"]), d.get("strides"), readonly,
                 owner)


def _of_dlpack(x):
    if not hasattr(x, "__dlpack__"):
        return None
    device = x.__dlpack_device__()
    if int(device[0]) not in (1, 3):     # kDLCPU, kDLCUDAHost
        raise TypeError(f"expected memory of the CPU, found that of device "
                        f"{int(device[0])}:{int(device[1])}")
    capsule = x.__dlpack__()
    t = _DLManagedTensor.from_address(_capsule_pointer(capsule,
                                                       _DLTENSOR)).tensor
    kind = {0: "i", 1: "u", 2: "f", 4: "bf", 6: "b"}.get(t.code, "?")
    kind += str(t.bits * t.lanes // 8)
    strides = None
    if t.strides:
        size = t.bits * t.lanes // 8
        strides = tuple(s * size for s in t.strides[:t.ndim])
    # While the capsule is not taken over it keeps the memory.
    return _View((t.data or 0) + t.byte_offset, kind,
                 tuple(t.shape[:t.ndim]), strides, False, capsule)


def _view(x):
    """What x says of its memory; None when it has none of the protocols."""
    if isinstance(x, Buffer):
        return _View(x.address, x.tensor._elem.kinds[0], x.shape, None,
                     False, x)
    if np and isinstance(x, np.generic):
        x = np.asarray(x)                # its own memory is a passing one
    return _of_buffer(x) or _of_interface(x) or _of_dlpack(x)


def _compact(shape, strides, size):
    for n, stride in zip(reversed(shape), reversed(strides)):
        if n != 1 and stride != size:
            return False
        size *= n
    return True


def _found(v):
    kind = v.kind
    digits = kind.lstrip("bfiu")
    if digits.isdigit() and kind != "b1":
        kind = kind[:-len(digits)] + str(8 * int(digits))
    return _type_text(kind, v.shape)


def _shape_fits(shape, t):
    # Flat memory is row-major: array.array and bytes have no other shape.
    return shape == t.shape or shape == (t.count,)


def _misfit(v, t):
    """Why v cannot be the memory of t: the exception's type, what it says,
    what copy=True would do about it.  None: it can."""
    elem, wanted = t._elem, _type_text(t.elem, t.shape)
    if v.kind not in elem.kinds:
        return (TypeError, f"expected {wanted}, found {_found(v)}",
                " (copy=True converts)")
    if not _shape_fits(v.shape, t):
        return ValueError, f"expected {wanted}, found {_found(v)}", ""
    if v.strides and not _compact(v.shape, v.strides, elem.size):
        return (ValueError, f"expected {wanted} row-major without gaps, found "
                f"{_found(v)} with strides {tuple(v.strides)}",
                " (copy=True copies)")
    if v.address % elem.size:
        return (ValueError, f"expected memory aligned to {elem.size} bytes, "
                f"found address {v.address:#x}", " (copy=True copies)")
    return None


class _Interface:
    """A view as numpy takes it."""

    def __init__(self, v, typestr):
        self.owner = v
        self.__array_interface__ = {
            "version": 3, "data": (v.address, True), "typestr": typestr,
            "shape": v.shape, "strides": v.strides and tuple(v.strides)}


def _gather(to, at, shape, strides, size):
    """Copy strided memory to a compact one."""
    if not shape:
        ctypes.memmove(to, at, size)
        return
    step = size
    for n in shape[1:]:
        step *= n
    for i in range(shape[0]):
        _gather(to + i * step, at + i * strides[0], shape[1:], strides[1:],
                size)


def _strides(shape, size):
    strides = []
    for n in reversed(shape):
        strides.append(size)
        size *= n
    return tuple(reversed(strides))


def _copied(x, v, t):
    """x, with the view v or without one, copied or converted for t."""
    same = v is not None and v.kind in t._elem.kinds
    fits = v is None or _shape_fits(v.shape, t)
    if same and fits and not np:
        b = Buffer(t)
        _gather(b.address, v.address, v.shape,
                v.strides or _strides(v.shape, t._elem.size), t._elem.size)
        return _view(b)
    # The bits of a bf16 are no number to numpy.
    if not np or (v is not None and v.kind == "bf2" and not same):
        return None
    if v is not None and (same or v.kind[0] in "bfiu"):
        x = _Interface(v, t._elem.typestr if same else "<" + v.kind)
    a = np.asarray(x)
    if not _shape_fits(a.shape, t) or \
            not np.can_cast(a.dtype, t.dtype, "same_kind"):
        kind = ValueError if a.dtype == t.dtype else TypeError
        raise kind(f"expected {_type_text(t.elem, t.shape)}, found "
                   f"{_type_text(a.dtype, a.shape)}")
    return _of_buffer(np.array(a, dtype=t.dtype, order="C"))


def _checked(x, t, copy):
    try:
        v = _view(x)
    except (BufferError, RuntimeError) as e:     # torch: it wants gradients
        raise TypeError(str(e)) from None
    if v is None:
        why = (TypeError, f"expected {_type_text(t.elem, t.shape)}, found "
               f"{type(x).__name__}", "")
    else:
        if not t.bytes:
            v.address = _NOWHERE
        why = _misfit(v, t)
    copied = _copied(x, v, t) if why and copy else None
    if why and not copied:
        raise why[0](why[1] + (why[2] if copy is False else ""))
    return copied or v


def _shape(x):
    """The shape that x says it has; None: it says nothing."""
    try:
        v = _view(x)
        return v.shape if v else np.shape(x) if np else None
    except (BufferError, RuntimeError, ValueError, TypeError):
        return None                      # _argument will say what is wrong


def _sizes_of(name, free, xs, inputs, given):
    """The sizes of the free dimensions: given, or those of the arguments."""
    found = {}
    for k, n in (given or {}).items():
        if k not in free:
            raise ValueError(f"{name}: no free dimension '{k}': expected "
                             f"{', '.join(free) or 'none'}")
        found[k] = n, "dims"
    names = list(free)
    for x, t in zip(xs, inputs):
        shape = _shape(x) if t._sizes else None
        if shape is None or len(shape) != len(t.shape):
            continue
        for s, n in zip(t._sizes, shape):
            if s.alone is None:
                continue
            k = names[s.alone]
            if found.setdefault(k, (n, t.name))[0] != n:
                raise ValueError(f"{name}: {k} is {found[k][0]} in "
                                 f"'{found[k][1]}', {n} in '{t.name}'")
    for k, r in free.items():
        if k not in found:
            raise ValueError(f"{name}: the size of {k} is not known from the "
                             f"inputs: expected dims={{'{k}': ...}}")
        n = found[k][0]
        if not isinstance(n, int) or n not in r:
            raise ValueError(f"{name}: expected {k} from {r.start} to "
                             f"{r.stop - 1}, found {n!r}")
    return [found[k][0] for k in names]


def _argument(x, t, copy):
    try:
        return _checked(x, t, bool(copy))
    except (TypeError, ValueError) as e:
        raise type(e)(f"input '{t.name}': {e}") from None


def _destination(x, t):
    try:
        v = _checked(x, t, None)
        if v.readonly:
            raise ValueError("expected memory to write to, found what can "
                             "only be read")
        return v
    except (TypeError, ValueError) as e:
        raise type(e)(f"output '{t.name}': {e}") from None


# ---- memory of our own, and DLPack ---------------------------------------

class _DLTensor(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("device", c_int32 * 2),
                ("ndim", c_int32), ("code", ctypes.c_uint8),
                ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", POINTER(c_int64)), ("strides", POINTER(c_int64)),
                ("byte_offset", c_uint64)]


class _DLManagedTensor(ctypes.Structure):
    _fields_ = [("tensor", _DLTensor), ("manager_ctx", c_void_p),
                ("deleter", c_void_p)]


_capsule_new = _python("PyCapsule_New", ctypes.py_object, c_void_p, c_void_p,
                       c_void_p)
_capsule_pointer = _python("PyCapsule_GetPointer", c_void_p, ctypes.py_object,
                           c_void_p)
# For a capsule that is going: an object no more to be counted.
_going_is = _python("PyCapsule_IsValid", ctypes.c_int, c_void_p, c_void_p)
_going_pointer = _python("PyCapsule_GetPointer", c_void_p, c_void_p,
                         c_void_p)
_dlname = ctypes.create_string_buffer(b"dltensor")
_DLTENSOR = ctypes.addressof(_dlname)
_exports = {}                            # what others hold, by its address


def _export_end(address, exports=_exports):
    exports.pop(address, None)


def _capsule_end(capsule, is_=_going_is, pointer=_going_pointer,
                 name=_DLTENSOR, exports=_exports):
    # A consumer renames the capsule and calls the deleter itself.
    if is_(capsule, name):
        exports.pop(pointer(capsule, name), None)


_deleter = ctypes.CFUNCTYPE(None, c_void_p)(_export_end)
_destructor = ctypes.PYFUNCTYPE(None, c_void_p)(_capsule_end)
# Tensors may outlive this module when Python ends.
for _immortal in (_deleter, _destructor, _dlname):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_immortal))


class _Memory:
    """Cleared memory on a boundary of 64 bytes."""

    __slots__ = ("bytes", "offset", "address", "__weakref__")

    def __init__(self, size):
        self.bytes = (ctypes.c_ubyte * (size + _ALIGN))()
        at = ctypes.addressof(self.bytes)
        self.offset = -at % _ALIGN
        self.address = at + self.offset


class Buffer(_Memory):
    """Memory of a tensor, on a boundary of 64 bytes: to be used again by
    out=, and taken over without a copy by numpy.asarray and
    torch.from_dlpack."""

    __slots__ = ("tensor",)

    def __init__(self, tensor):
        super().__init__(tensor.bytes)
        self.tensor = tensor

    @property
    def shape(self):
        return self.tensor.shape

    def numpy(self):
        t = self.tensor
        return np.ndarray(t.shape, t._elem.typestr, self.bytes, self.offset)

    def memoryview(self):
        t = self.tensor
        m = memoryview(self.bytes).cast("B")
        m = m[self.offset:self.offset + t.bytes]
        if not t.count:                  # Python has no shapes with zeros
            return m
        return m.cast(t._elem.format, t.shape)

    @property
    def __array_interface__(self):
        t = self.tensor
        return {"version": 3, "data": (self.address, False),
                "typestr": t._elem.typestr, "shape": t.shape}

    def __dlpack_device__(self):
        return (1, 0)                    # kDLCPU

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None,
                   copy=None):
        if dl_device is not None and tuple(map(int, dl_device)) != (1, 0):
            raise BufferError("expected the device of the CPU, (1, 0), found "
                              f"{tuple(map(int, dl_device))}")
        held, t = self, self.tensor
        if copy:
            held = Buffer(t)
            ctypes.memmove(held.address, self.address, t.bytes)
        dims = c_int64 * max(len(t.shape), 1)
        shape, strides = dims(*t.shape), dims(*_strides(t.shape, 1))
        code, bits = t._elem.dlpack
        m = _DLManagedTensor(
            _DLTensor(held.address, (1, 0), len(t.shape), code, bits, 1,
                      shape, strides, 0), None,
            ctypes.cast(_deleter, c_void_p))
        at = ctypes.addressof(m)
        _exports[at] = m, held
        return _capsule_new(at, _DLTENSOR,
                            ctypes.cast(_destructor, c_void_p))

    def __repr__(self):
        return f"<tamis.Buffer {self.tensor!r}>"


# ---- threads -------------------------------------------------------------

class _CPool(ctypes.Structure):          # tamis_pool
    _fields_ = [("run", c_void_p), ("ctx", c_void_p)]


class _Pool:
    """A pool of the library pthreadpool."""

    def __init__(self, threads):
        self.pid, self.pool = os.getpid(), None
        for name in ("libpthreadpool.so.0", "libpthreadpool.so"):
            try:
                self.lib = ctypes.CDLL(name)
                break
            except OSError:
                pass
        else:
            raise Error("threads: libpthreadpool.so.0 not found: install "
                        "Debian's package libpthreadpool0")
        create = self.lib.pthreadpool_create
        create.restype, create.argtypes = c_void_p, [ctypes.c_size_t]
        self.pool = create(threads)
        if not self.pool:
            raise Error(f"threads: {threads} threads cannot be made")
        # Its old interface has the very signature of tamis_pool.run: no
        # Python between a step and its parts.
        run = ctypes.cast(self.lib.pthreadpool_compute_1d, c_void_p)
        self.struct = _CPool(run, self.pool)
        self.address = ctypes.addressof(self.struct)

    def __del__(self, getpid=os.getpid):
        # Behind a fork the threads are the other process's.
        if self.pool and self.pid == getpid():
            destroy = self.lib.pthreadpool_destroy
            destroy.restype, destroy.argtypes = None, [c_void_p]
            destroy(self.pool)


# ---- nets ----------------------------------------------------------------

def _names(tensors):
    return ", ".join(t.name for t in tensors) or "none"


def _bind(name, inputs, args, named):
    """The arguments in the order of the inputs."""
    if not named and len(args) == len(inputs):
        return args
    if len(args) > len(inputs):
        raise TypeError(f"{name}: expected {len(inputs)} inputs "
                        f"({_names(inputs)}), found {len(args)}")
    rest = inputs[len(args):]
    for k in named:
        if k not in (t.name for t in rest):
            twice = k in (t.name for t in inputs)
            raise TypeError(f"{name}: input '{k}' is given twice" if twice
                            else f"{name}: no input '{k}': expected "
                            f"{_names(inputs)}")
    missing = [t for t in rest if t.name not in named]
    if missing:
        raise TypeError(f"{name}: no value for {_names(missing)}: expected "
                        f"{_names(inputs)}")
    return args + tuple(named[t.name] for t in rest)


def _apart(outs, others):
    """Outputs must not overlap other buffers: (view, tensor) each."""
    for i, (v, t) in enumerate(outs):
        for w, u in others + outs[:i]:
            if (v.address < w.address + u.bytes and
                    w.address < v.address + t.bytes):
                raise ValueError(f"output '{t.name}' overlaps '{u.name}'")


def _weights(weights, m, path):
    """The weights outside of the artifact, as a view."""
    if m.weights or not m.weight_bytes:
        if weights is not None:
            raise ValueError(f"weights: {path} holds its own")
        return None
    if weights is None:
        raise ValueError(f"weights: {path} was built with "
                         "--external-weights: expected weights=FILE")
    if isinstance(weights, (str, os.PathLike)):
        with open(weights, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            weights = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) \
                if size else b""
    v = _of_buffer(weights)
    if v is None or v.strides or v.owner.nbytes != m.weight_bytes:
        found = f"{v.owner.nbytes} bytes" if v else type(weights).__name__
        raise ValueError(f"weights: expected {m.weight_bytes} bytes in a "
                         f"row, found {found}")
    if v.address % m.align:
        raise ValueError(f"weights: expected memory aligned to {m.align} "
                         f"bytes, found address {v.address:#x}")
    return v


def _thread_count(threads, m, path):
    """None: no pool.  0: as many threads as there are CPUs."""
    if threads is None or threads is False:
        return None
    if threads is True:
        threads = 0
    if not isinstance(threads, int) or not 0 <= threads <= 1024:
        raise ValueError("threads: expected a whole number from 0 to 1024, "
                         f"found {threads!r}")
    if not m.threads:
        raise ValueError(f"threads: expected an artifact built with "
                         f"--threads, found {path}, built without")
    return threads if threads != 1 else None


def _version(m):
    """Of several the version that calls take where free dimensions are at
    their most; it knows CPU and steps."""
    for i in range(m.n_versions):
        v = _CModel.from_address(m.versions[i])
        most = all(v.free[k].most == m.free[k].most for k in range(m.n_free))
        if most and _CheckCpu(v.check_cpu)() == 0:
            return v
    return m


class _State:
    def __init__(self, core):
        self.memory = _Memory(core.m.state_bytes)
        self.address = self.memory.address
        self.lock = threading.Lock()     # a state goes one step at a time


class _Core:
    """What the functions of a net share."""

    def __init__(self, path, threads, weights, returns):
        self.library = _Library(path)
        self.m = m = self.library.model
        self.path = self.library.path
        if _CheckCpu(m.check_cpu)() != 0:
            raise CpuError(f"{self.path}: built for cpu {m.cpu.decode()} "
                           f"({m.target.decode()}): this CPU lacks a feature")
        self.weights = _weights(weights, m, self.path)
        self.threads = _thread_count(threads, m, self.path)
        self.pool = None if self.threads is None else _Pool(self.threads)
        self.returns = returns or (Buffer.numpy if np else Buffer.memoryview)
        self.reset = _Reset(m.reset) if m.reset else None
        self.arenas = []                 # those that no call uses
        self.free = {_text(f.name): range(f.least, f.most + 1)
                     for f in m.free[:m.n_free]}

    def entries(self, state):
        return {f.name: f for f in (
            Function(self, _text(e.name),
                     _tensors(e.inputs, e.n_inputs, self.free),
                     _tensors(e.outputs, e.n_outputs, self.free), e.run,
                     state)
            for e in self.m.entries[:self.m.n_entries])}

    def call(self, run, io, i, state):
        """io holds i pointers and has room for those behind them."""
        if self.weights:
            io[i] = self.weights.address
            i += 1
        if state:
            io[i] = state.address
            i += 1
        if self.pool:
            if self.pool.pid != os.getpid():     # a fork has no threads
                self.pool = _Pool(self.threads)
            io[i] = self.pool.address
        try:
            arena = self.arenas.pop()
        except IndexError:               # as many as calls at a time
            arena = _Memory(self.m.arena_bytes)
        try:
            if not state:
                return run(io, arena.address)
            with state.lock:
                return run(io, arena.address)
        finally:
            self.arenas.append(arena)


class Function:
    """Something of a net to call: the net itself, or an entry."""

    def __init__(self, core, name, inputs, outputs, run, state):
        self.name, self.inputs, self.outputs = name, inputs, outputs
        self._core, self._run, self._state = core, _Run(run), state
        self._io = c_void_p * (len(inputs) + len(outputs) + 4)

    def __call__(self, *args, out=None, copy=False, dims=None, **named):
        """Results in the order of .outputs, a tuple where there are several.
        `out`: memory for them (a tuple where there are several; None in it:
        new memory), which is returned.  `dims`: sizes of free dimensions,
        where the inputs do not tell."""
        xs = _bind(self.name, self.inputs, args, named)
        sizes = self._sizes(xs, dims)
        ins, outs = self._at(sizes)
        views = [_argument(x, t, copy) for x, t in zip(xs, ins)]
        results, memory = self._results(out, views, ins, outs)
        io = self._io(*[v.address for v in views],
                      *[v.address for v in memory])
        n = len(views) + len(memory)
        if sizes:
            sizes = (c_int64 * len(sizes))(*sizes)
            io[n] = ctypes.addressof(sizes)
            n += 1
        code = self._core.call(self._run, io, n, self._state)
        if code == 1:                    # streaming: nothing at this step
            return None
        if code:
            raise CallError(code)
        return results[0] if len(results) == 1 else tuple(results)

    def _sizes(self, xs, dims):
        if not self._core.free and not dims:
            return None
        return _sizes_of(self.name, self._core.free, xs, self.inputs, dims)

    def _at(self, sizes):
        if not sizes:
            return self.inputs, self.outputs
        return [[t._at(sizes) for t in ts]
                for ts in (self.inputs, self.outputs)]

    def _results(self, out, views, ins, outs):
        returns = self._core.returns
        if out is None:
            memory = [Buffer(t) for t in outs]
            return [returns(b) for b in memory], memory
        given = list(out) if isinstance(out, (tuple, list)) else [out]
        if len(given) != len(outs):
            raise ValueError(f"{self.name}: out: expected {len(outs)} "
                             f"({_names(outs)}), found {len(given)}")
        memory = [Buffer(t) if x is None else _destination(x, t)
                  for x, t in zip(given, outs)]
        _apart(list(zip(memory, outs)), list(zip(views, ins)))
        return [returns(b) if x is None else x
                for x, b in zip(given, memory)], memory

    def empty(self, dims=None):
        """New Buffers for out=: one, or a tuple where there are several.
        dims: the sizes of all free dimensions."""
        _, outs = self._at(self._sizes((), dims))
        new = tuple(Buffer(t) for t in outs)
        return new[0] if len(new) == 1 else new

    def __repr__(self):
        def of(tensors):
            return ", ".join(map(repr, tensors))
        return (f"<tamis.{type(self).__name__} {self.name}"
                f"({of(self.inputs)}) -> {of(self.outputs)}>")


class _Model(Function):
    """The model's own call, with a state where it has one."""

    def __init__(self, core):
        m = core.m
        super().__init__(core, _text(m.name),
                         _tensors(m.inputs, m.n_inputs, core.free),
                         _tensors(m.outputs, m.n_outputs, core.free), m.run,
                         _State(core) if core.reset else None)
        self.entries = core.entries(self._state)
        if core.reset:
            self.reset()

    def _stateful(self):
        if not self._state:
            raise TypeError(f"{self.name} has no state: call the net itself")

    def step(self, *args, out=None, copy=False, dims=None, **named):
        """A call that goes on with the state."""
        self._stateful()
        return self(*args, out=out, copy=copy, dims=dims, **named)

    def reset(self):
        """Begin anew."""
        self._stateful()
        with self._state.lock:
            self._core.reset(self._state.address)


class Stream(_Model):
    """A state of a net, apart from all others: step() it, reset() it."""


class Net(_Model):
    """A loaded artifact: call it; step() it where it has a state."""

    def __init__(self, path, threads=None, weights=None, returns=None):
        core = _Core(path, threads, weights, returns)
        super().__init__(core)
        m, self._of = core.m, _version(core.m)
        self.path, self.version = core.path, _text(m.version)
        self.target, self.cpu = _text(m.target), _text(self._of.cpu)
        self.features = _text(self._of.features)
        self.dims = dict(core.free)      # free dimensions: name -> range
        self.arena_bytes, self.stack_bytes = m.arena_bytes, m.stack_bytes
        self.state_bytes, self.weight_bytes = m.state_bytes, m.weight_bytes

    def stream(self):
        """A new state, as after a reset."""
        self._stateful()
        return Stream(self._core)

    @property
    def steps(self):
        """The kernel calls in order; none where it was built with --strip."""
        return tuple(Step(s) for s in self._of.steps[:self._of.n_steps])


def load(path, threads=None, weights=None, returns=None):
    """The net in a shared object that `tamis build` has made.

    threads: run steps on so many threads (0: one for each CPU); wants an
    artifact built with --threads, and the library pthreadpool.
    weights: file or buffer, for one built with --external-weights.
    returns: makes what calls return of a Buffer; by default Buffer.numpy,
    without numpy Buffer.memoryview; torch.from_dlpack for tensors."""
    return Net(path, threads, weights, returns)


# ---- the command ---------------------------------------------------------

def _command():
    """$TAMIS, else a file bin/tamis above this one, else one of the PATH."""
    if os.environ.get("TAMIS"):
        return os.environ["TAMIS"]
    at = os.path.dirname(os.path.realpath(__file__))
    tried = [os.path.join(at, "tamis")]
    for _ in range(4):                   # PREFIX/lib/python3/dist-packages
        at = os.path.dirname(at)
        tried.append(os.path.join(at, "bin", "tamis"))
    for c in tried:
        if os.path.isfile(c) and os.access(c, os.X_OK):
            return c
    found = shutil.which("tamis")
    if not found:
        raise BuildError("the command tamis is neither beside this module "
                         "nor in PATH: set TAMIS to it", 127, [])
    return found


def _options(options):
    """cpu="x" is --cpu=x, strip=True --strip, O=3 -O3, MF="f" -MF f; a dict
    (dim={"N": 1}) gives an option for each item."""
    for name, value in options.items():
        option = "-" * (1 + (len(name) > 2)) + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            yield option
        elif isinstance(value, dict):
            for k, v in value.items():
                yield f"{option}={k}={v}"
        elif name == "O":
            yield f"-O{value}"
        elif len(name) <= 2:
            yield from (option, str(value))
        else:
            yield f"{option}={value}"


def _diagnostics(text):
    """The lines of JSON, and the rest."""
    found, rest = [], []
    for line in text.splitlines():
        try:
            d = json.loads(line)
            d["level"], d["message"]
            found.append(d)
        except (ValueError, KeyError, TypeError):
            rest.append(line)
    return found, "\n".join(rest)


def _diagnostic_text(d):
    lines = []
    for x in [d] + d.get("notes", []):
        at = ":".join(str(x[k]) for k in ("file", "line", "column")
                      if x.get(k) is not None)
        lines.append(f"{at or 'tamis'}: {x['level']}: {x['message']}")
    return "\n".join(lines)


def _run_build(arguments):
    command = [_command(), "build", "--diagnostics=json", "--progress=off",
               *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as e:
        raise BuildError(f"{command[0]}: {e.strerror}", 127, []) from None
    found, rest = _diagnostics(done.stdout.decode(errors="replace"))
    if done.returncode:
        text = [_diagnostic_text(d) for d in found]
        text += [rest] if rest else []
        raise BuildError("\n".join(text) or f"tamis build ended with "
                         f"{done.returncode}", done.returncode, found)
    for d in found:
        warnings.warn(_diagnostic_text(d), BuildWarning, stacklevel=3)
    if rest:                             # -v and --time-report
        print(rest, file=sys.stderr)


def build(source, out=None, *, threads=None, returns=None, **options):
    """Compile a model (.tam, .onnx, .tflite) and load what comes out.

    out: where the shared object shall stay, its header beside it; by default
    nothing stays.  threads, returns: as of load.  The options are those of
    `tamis build`: cpu="x86-64-v3", recipe="slim", random_weights=1,
    weight_type="bf16", dim={"N": 1}, tune=True, O=3.
    Errors raise BuildError."""
    if options.get("emit", "so") != "so":
        raise TypeError("emit: build makes shared objects, for others run "
                        "the command")
    if threads is not None and threads is not False:
        options["threads"] = True
    external = options.get("external_weights")
    with tempfile.TemporaryDirectory(prefix="tamis-") as folder:
        so = os.fspath(out) if out is not None else \
            os.path.join(folder, "lib.so")
        _run_build([*_options(options), "-o", so, "--", os.fspath(source)])
        return load(so, threads=threads, weights=external, returns=returns)
