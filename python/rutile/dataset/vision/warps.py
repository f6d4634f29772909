# SPDX-License-Identifier: Apache-2.0
"""Images turned, sheared and seen from elsewhere: each pixel of the result is read at a place of the source.

Places are rounded to 1/32 of a pixel for linear and cubic interpolation, as OpenCV (whose results MindSpore gives) does it.
"""

import math as _math

import numpy as _np

from rutile.dataset.vision.images import back
from rutile.dataset.vision.utils import Inter

_PARTS = 32


def _read(x, rows, columns, fill):
    """The pixels at whole places; fill outside."""
    h, w = x.shape[:2]
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    out = x[_np.clip(rows, 0, h - 1), _np.clip(columns, 0, w - 1)]
    if not inside.all():
        out[~inside] = fill
    return out


def _cubic(t):
    """Weights of the four pixels around a place t behind the second."""
    a = _np.float32(-0.75)
    w0 = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a
    w1 = ((a + 2) * t - (a + 3)) * t * t + 1
    w2 = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1
    return w0, w1, w2, 1 - w0 - w1 - w2


def _sample(x, u, v, how, fill):
    """The image at places (column u, row v): whole numbers for NEAREST, else in parts of 1/32."""
    fill = _np.broadcast_to(_np.asarray(fill), x.shape[2:]).astype(x.dtype)
    if how == Inter.NEAREST:
        return _read(x, v, u, fill)
    more = (1,) * (x.ndim - 2)
    u0, v0 = u >> 5, v >> 5
    tu = ((u & (_PARTS - 1)) / _np.float32(_PARTS)).astype(_np.float32).reshape(*u.shape, *more)
    tv = ((v & (_PARTS - 1)) / _np.float32(_PARTS)).astype(_np.float32).reshape(*v.shape, *more)
    if how in (Inter.CUBIC, Inter.PILCUBIC):
        across, down, first = _cubic(tu), _cubic(tv), -1
    else:
        across, down, first = (1 - tu, tu), (1 - tv, tv), 0
    total = 0
    for i, wv in enumerate(down):
        for j, wu in enumerate(across):
            total = total + _read(x, v0 + (i + first), u0 + (j + first), fill).astype(_np.float32) * (wv * wu)
    return back(total, x.dtype)


def affine(x, matrix, height, width, how, fill):
    """The image [height, width] whose pixel (column c, row r) shows the source's matrix^-1 (c, r); matrix: [2, 3]."""
    m = _np.linalg.inv(_np.vstack([matrix, [0, 0, 1]]))
    columns, rows = _np.arange(width), _np.arange(height)
    half = 512 if how == Inter.NEAREST else 16
    shift = 10 if how == Inter.NEAREST else 5
    out = []
    for i in range(2):
        along = _np.rint(m[i, 0] * columns * 1024).astype(_np.int64)
        down = _np.rint((m[i, 1] * rows + m[i, 2]) * 1024).astype(_np.int64) + half
        out.append((down[:, None] + along[None, :]) >> shift)
    return _sample(x, out[0], out[1], how, fill)


def perspective(x, start_points, end_points, how, fill=0):
    """The image of which the quadrilateral start_points lies at end_points ((column, row) of four corners)."""
    # The projection that leads from the result's corners back to the source's: eight equations.
    a, b = [], []
    for (sx, sy), (ex, ey) in zip(start_points, end_points):
        a += [[ex, ey, 1, 0, 0, 0, -ex * sx, -ey * sx], [0, 0, 0, ex, ey, 1, -ex * sy, -ey * sy]]
        b += [sx, sy]
    m = _np.append(_np.linalg.lstsq(_np.array(a, _np.float64), _np.array(b, _np.float64), rcond=None)[0], 1).reshape(3, 3)
    h, w = x.shape[:2]
    r, c = _np.mgrid[:h, :w].astype(_np.float64)
    below = m[2, 0] * c + m[2, 1] * r + m[2, 2]
    scale = (1 if how == Inter.NEAREST else _PARTS) / _np.where(below == 0, _np.inf, below)
    limit = 2.0**31 - 1
    u, v = (_np.rint(_np.clip((m[i, 0] * c + m[i, 1] * r + m[i, 2]) * scale, -limit, limit)).astype(_np.int64) for i in (0, 1))
    return _sample(x, u, v, how, fill)


def around(degrees, translate, scale, shear, centre):
    """The matrix [2, 3] that shears (degrees along x, y), scales, turns clockwise around a centre, then moves."""
    angle, sx, sy = _math.radians(degrees), _math.radians(shear[0]), _math.radians(shear[1])
    a = scale * _math.cos(angle + sy) / _math.cos(sy)
    b = scale * (-_math.cos(angle + sy) * _math.tan(sx) / _math.cos(sy) - _math.sin(angle))
    c = scale * _math.sin(angle + sy) / _math.cos(sy)
    d = scale * (-_math.sin(angle + sy) * _math.tan(sx) / _math.cos(sy) + _math.cos(angle))
    cx, cy = centre
    return _np.array([[a, b, (1 - a) * cx - b * cy + translate[0]], [c, d, (1 - d) * cy - c * cx + translate[1]]])


def rotate(x, degrees, how=Inter.NEAREST, expand=False, center=None, fill=0):
    """The image turned counter-clockwise around its centre (or center, (column, row)), with expand in the size that shows all."""
    h, w = x.shape[:2]
    m = around(-degrees, (0, 0), 1.0, (0, 0), ((w - 1) / 2, (h - 1) / 2) if center is None else center)
    if not expand:
        return affine(x, m, h, w, how, fill)
    a = _math.radians(degrees)
    c, s = abs(_math.cos(a)), abs(_math.sin(a))
    out_w, out_h = w * c + h * s, w * s + h * c
    m[0, 2] += out_w / 2 - w / 2
    m[1, 2] += out_h / 2 - h / 2
    return affine(x, m, int(round(out_h)), int(round(out_w)), how, fill)
