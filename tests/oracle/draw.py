"""The weights of --random-weights, for scripts that compute expected values.

`param` gives what the compiler draws for a param of the prelude's layers.
"""
import numpy as np

U64 = np.uint64


def mix(z):
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
    return z ^ (z >> U64(31))


def fnv1a(text):
    h = 14695981039346656037
    for byte in text.encode():
        h = (h ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return h


def uniform(path, shape, lo, hi, seed):
    """Element i depends on path, seed and i."""
    n = int(np.prod(shape))
    key = U64(fnv1a(path)) ^ mix(np.array([seed], U64))
    i = np.arange(1, n + 1, dtype=U64)
    r = mix(key + i * U64(0x9E3779B97F4A7C15))
    u = (r >> U64(40)).astype(np.float64) * 2.0 ** -24
    return (lo + (hi - lo) * u).astype(np.float32).reshape(shape)


def bounds(path, shape):
    """The initialisers of the prelude."""
    if path.endswith(".weight") and len(shape) > 1:
        he = np.sqrt(6 / np.prod(shape[1:]))
        return -he, he
    if path.endswith((".weight", ".running_var")):
        return 0.5, 1.5
    return -0.1, 0.1


def param(path, shape, seed):
    return uniform(path, shape, *bounds(path, shape), seed)
