"""ops_image.py - draws what resizes and looks up maps, and signals."""
import numpy as np

from graph import F32, F64, I64, U8, Redraw


def resize(g):
    d = g.one(1, 2, 2, 2, 3)
    mode = g.one("nearest", "linear", "linear", "cubic")
    t = g.type(F32, F32, F64, *[U8] * (mode == "nearest")) \
        if g.opset >= 11 else F32
    if mode == "cubic":
        d, t = 2, F32
    size = [g.int(1, 7) for _ in range(d)]
    x = g.shaped(t, [g.int(1, 2), g.int(1, 3)] + size, span=(-2, 2)
                 if t is not U8 else (0, 255))
    # Scales are binary fractions, or points would come near others.
    scale = [1.0, 1.0] + [g.one(1.0, 2.0, 0.5, 1.5, 0.75, 2.5, 3.0)
                          for _ in size]
    if g.opset < 10:
        if any(s < 1 for s in scale):
            raise Redraw("smaller")
        return g.emit("Upsample", [x, g.given(np.array(scale, F32))]
                      if g.opset >= 9 else [x], scales=scale, mode=mode)
    if g.opset == 10:
        return g.emit("Resize", [x, g.given(np.array(scale, F32))], mode=mode)
    return resize_11(g, x, scale, mode)


def scales_agree(mode, x, scale):
    """ORT sizes a crop as if it were all of x, and rounds the length by
    which align_corners divides.  Positions of half_pixel_symmetric may come
    near whole ones."""
    sizes = [s * d for s, d in zip(scale, x.shape)]
    exact = mode not in ("align_corners", "half_pixel_symmetric")
    return mode != "tf_crop_and_resize" and (
        exact or all(s == int(s) for s in sizes))


def resize_11(g, x, scale, mode):
    a = {"mode": g.maybe(mode, 0.5) if mode == "nearest" else mode}
    a["coordinate_transformation_mode"] = g.one(
        None, "half_pixel", "asymmetric", "align_corners",
        "pytorch_half_pixel", "half_pixel_symmetric" if g.opset >= 18 else
        "asymmetric", "tf_crop_and_resize")
    if mode == "nearest":
        a["nearest_mode"] = g.one(None, "round_prefer_floor", "floor", "ceil",
                                  "round_prefer_ceil")
    if mode == "cubic":
        a["cubic_coeff_a"] = g.maybe(-0.5)
        a["exclude_outside"] = g.one(None, 0, 1)
    if g.opset >= 18 and mode != "nearest" and g.chance(0.25):
        a["antialias"] = 1
    roi = g.given(np.zeros(0, F32)) if g.opset < 13 else None
    if a["coordinate_transformation_mode"] == "tf_crop_and_resize":
        n = x.rank
        lo = [0, 0] + [g.one(0, 0.25, -0.125) for _ in range(n - 2)]
        hi = [1, 1] + [g.one(1, 0.75, 1.25) for _ in range(n - 2)]
        roi = g.given(np.array(lo + hi, F32))
        a["extrapolation_value"] = g.maybe(0.5)
    axes = None
    by_scale = scales_agree(a["coordinate_transformation_mode"], x, scale)
    if g.opset >= 18 and g.chance(0.3):
        axes = list(range(2, x.rank))
        scale = scale[2:]
        if roi is not None and roi.a.size:
            roi = g.given(np.concatenate([roi.a[2:x.rank],
                                          roi.a[x.rank + 2:]]))
    if by_scale and g.chance(0.5):
        return g.emit("Resize", [x, roi, g.given(np.array(scale, F32))],
                      axes=axes, **a)
    sizes = [g.int(1, 2 * d + 1) for d in x.shape[2:]]
    if roi is not None and roi.a.size and any(
            s == d for s, d in zip(sizes, x.shape[2:])):
        raise Redraw("a crop of x's own size: ORT takes all of that axis")
    policy = g.one(None, "stretch", "not_larger", "not_smaller") if axes \
        else None
    sizes = sizes if axes else list(x.shape[:2]) + sizes
    none = g.given(np.zeros(0, F32)) if g.opset < 13 else None
    return g.emit("Resize", [x, roi, none, g.ints(sizes)], axes=axes,
                  keep_aspect_ratio_policy=policy, **a)


def grid(g):
    d = 2 if g.opset < 20 else g.one(2, 2, 3)
    t = g.type(F32)
    modes = ("bilinear", "nearest", "bicubic") if g.opset < 20 else \
        ("linear", "nearest", "cubic")
    mode = g.one(None, *modes[:2 if d == 3 else 3])
    n = g.int(1, 2)
    x = g.shaped(t, (n, g.int(1, 3)) + tuple(g.int(2, 5) for _ in range(d)))
    if g.chance(0.3) and g.opset >= 20:
        size = (n, x.shape[1]) + g.dims(d, d, 4)
        theta = g.fresh(F32, (n, d, d + 1), -0.6, 0.6, const=False)
        at = g.emit("AffineGrid", [theta, g.ints(size)],
                    align_corners=g.one(None, 0, 1))
    else:
        at = g.fresh(t, (n,) + g.dims(d, d, 4) + (d,), -1.2, 1.2, const=False)
    return g.emit("GridSample", [x, at], mode=mode,
                  align_corners=g.one(None, 0, 1),
                  padding_mode=g.one(None, "zeros", "border", "reflection"))


def roi(g):
    n, k = g.int(1, 2), g.int(1, 3)
    x = g.shaped(F32, (n, g.int(1, 3), 6, 7))
    lo = g.np.uniform(0, 2.5, (k, 2))
    boxes = np.concatenate([lo, lo + g.np.uniform(1.1, 3.2, (k, 2))], 1)
    if g.chance(0.2):
        rois = np.concatenate([g.np.integers(0, n, (k, 1)), boxes], 1)
        return g.emit("MaxRoiPool", [x, g.given(rois.astype(F32), False,
                                                False)],
                      pooled_shape=[g.int(1, 3), g.int(1, 3)],
                      spatial_scale=g.maybe(1.0))
    b = g.given(boxes.astype(F32), False, False)
    i = g.fresh(I64, (k,), 0, n - 1)
    return g.emit("RoiAlign", [x, b, i], mode=g.one(None, "avg"),
                  output_height=g.int(1, 3), output_width=g.int(1, 3),
                  sampling_ratio=g.int(1, 3), spatial_scale=g.maybe(0.75),
                  coordinate_transformation_mode=g.one(
                      None, "half_pixel", "output_half_pixel"))


def col2im(g):
    h, w, k = g.int(3, 6), g.int(3, 6), g.one(1, 2, 3)
    p, s = g.int(0, 1), g.int(1, 2)
    cells = ((h + 2 * p - k) // s + 1) * ((w + 2 * p - k) // s + 1)
    x = g.fresh(F32, (g.int(1, 2), g.int(1, 2) * k * k, cells))
    return g.emit("Col2Im", [x, g.ints([h, w]), g.ints([k, k])],
                  pads=[p] * 4, strides=[s, s])


def signal(g):
    how = g.int(0, 3)
    n = g.int(2, 9)
    if how == 0:
        op = g.one("HannWindow", "HammingWindow", "BlackmanWindow")
        return g.emit(op, [g.given(np.array(n, I64))],
                      periodic=g.one(None, 0, 1))
    if how == 1:
        return g.emit("MelWeightMatrix", [g.given(np.array(v, t)) for v, t in (
            (g.int(2, 6), I64), (g.one(16, 32), I64), (8000, I64),
            (20.0, F32), (3500.0, F32))])
    one = g.one(1, 2)
    if how == 2:
        x = g.fresh(F32, (1, g.int(12, 20), 1), const=False)
        k = g.one(4, 6, 8)
        win = g.fresh(F32, (k,), 0.2, 1) if g.chance(0.6) else None
        return g.emit("STFT", [x, g.given(np.array(g.int(1, 4), I64)), win,
                               None if win and g.chance(0.4) else
                               g.given(np.array(k, I64))],
                      onesided=g.one(None, 0, 1))
    return dft(g, n, one)


def dft(g, n, parts):
    x = g.fresh(F32, (g.int(1, 2), n, g.int(1, 3), parts), const=False)
    axis = g.one(1, 2, -2, -3)
    size = g.given(np.array(g.int(2, 9), I64)) if g.chance(0.3) else None
    inverse = g.one(None, 0, 1)
    side = g.one(None, 0, 1) if parts == 1 and not inverse else None
    if g.opset < 20:
        return g.emit("DFT", [x, size], axis=axis, inverse=inverse,
                      onesided=side)
    return g.emit("DFT", [x, size, g.given(np.array(axis, I64))],
                  inverse=inverse, onesided=side)


FAMILIES = {
    "resize": (resize, 5), "grid": (grid, 1.5), "roi": (roi, 1),
    "col2im": (col2im, 0.5), "signal": (signal, 1.5),
}
