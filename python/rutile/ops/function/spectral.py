# SPDX-License-Identifier: Apache-2.0
"""Complex numbers and Fourier transforms, by MindSpore's arguments.

>>> from rutile import Tensor, ops
>>> ops.abs(ops.rfft(Tensor([1.0, 0.0, 0.0, 0.0]))).asnumpy().tolist()
[1.0, 1.0, 1.0]
"""

import math as _math

from rutile._rutile import ops as _table
from rutile.ops.function._util import _errors, _tensor

_imported = set(globals())
_DUAL = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _is_complex(x):
    return x.dtype.name.startswith("complex")


def _as_complex(x):
    x = _tensor(x)
    if _is_complex(x):
        return x
    return _table.cast(x, "complex128" if x.dtype.name == "float64" else "complex64")


def _as_real(x):
    """f32 or f64; complex numbers stay as they are."""
    x = _tensor(x)
    return x if _is_complex(x) or x.dtype.name in ("float32", "float64") else _table.cast(x, "float32")


# ---- Complex numbers

def real(input):
    """The real parts: complex64 gives float32, complex128 float64; a real tensor is itself."""
    return _table.real(input) if _is_complex(input) else input


def imag(input):
    """The imaginary parts, zeros of a real tensor."""
    return _table.imag(input) if _is_complex(input) else _table.full(input.shape, 0, input.dtype)


def conj(input):
    """The conjugates x - iy of x + iy; a real tensor is itself."""
    return _table.conj(input) if _is_complex(input) else input


def angle(input):
    """The angles of complex numbers in (-pi, pi]; of real ones 0, pi for negative ones and NaN of NaN."""
    if _is_complex(input):
        return _table.angle(input)
    x = _table.cast(input, input.dtype if input.dtype.name.startswith(("float", "bfloat")) else "float32")
    return _table.where(_table.isnan(x), x, _table.where(_table.less(x, 0), _table.full((), _math.pi, x.dtype), _table.full((), 0, x.dtype)))


def complex(real, imag):
    """real + i imag: float32 gives complex64, float64 complex128."""
    real, imag = _as_real(real), _as_real(imag)
    if real.dtype != imag.dtype:
        raise _errors.TypeError(f"complex: real is {real.dtype}, imag {imag.dtype}; both are float32 or float64")
    return _table.complex(real, imag)


def polar(abs, angle):
    """Complex numbers of these lengths and angles."""
    return _table.polar(_as_real(abs), _as_real(angle))


def isreal(input):
    """Where the imaginary part is 0."""
    return _table.equal(imag(input), 0)


def view_as_real(input):
    """complex64[...] as float32[..., 2]."""
    return _table.view_as_real(input)


# ---- Fourier transforms

def _norm(name, norm):
    norm = "backward" if norm is None else norm
    if norm not in _DUAL:
        raise _errors.ValueError(f"{name}: norm is 'backward', 'ortho' or 'forward', got {norm!r}")
    return norm


def _one(name, op, prepare, x, n, dim, norm):
    if n is not None and (not isinstance(n, int) or isinstance(n, bool)):
        raise _errors.TypeError(f"{name}: n is an int or None, got {n!r}")
    if n is not None and n < 1:
        raise _errors.ValueError(f"{name}: n is at least 1, got {n}")
    return op(prepare(x), -1 if n is None else n, dim, _norm(name, norm))


def fft(input, n=None, dim=-1, norm=None):
    """The discrete Fourier transform y[k] = sum_j x[j] exp(-2 pi i j k / n) along `dim`.

    `n` points are read, zeros behind the end. norm "backward" leaves the sum, "ortho" divides it by sqrt(n), "forward" by
    n. float32 and complex64 give complex64, float64 and complex128 give complex128. IndexError for a wrong dim.

    >>> from rutile import Tensor, ops
    >>> ops.real(ops.fft(Tensor([1.0, 2.0, 3.0, 4.0]))).asnumpy().round(3).tolist()
    [10.0, -2.0, -2.0, -2.0]
    """
    return _one("fft", _table.fft, _as_real, input, n, dim, norm)


def ifft(input, n=None, dim=-1, norm=None):
    """The inverse of fft: "backward" divides by n."""
    return _one("ifft", _table.ifft, _as_real, input, n, dim, norm)


def rfft(input, n=None, dim=-1, norm=None):
    """fft of real numbers: the first n // 2 + 1 points, of which the others are the conjugates."""
    return _one("rfft", _table.rfft, _as_real, input, n, dim, norm)


def irfft(input, n=None, dim=-1, norm=None):
    """The inverse of rfft, n real numbers; None: 2 (m - 1) of m points."""
    return _one("irfft", _table.irfft, _as_complex, input, n, dim, norm)


def hfft(input, n=None, dim=-1, norm=None):
    """fft of a signal that is the conjugate of itself reversed, given by its first half: n real numbers."""
    return irfft(conj(_as_complex(input)), n, dim, _DUAL[_norm("hfft", norm)])


def ihfft(input, n=None, dim=-1, norm=None):
    """The inverse of hfft: n // 2 + 1 points of n real numbers."""
    return conj(rfft(input, n, dim, _DUAL[_norm("ihfft", norm)]))


def _numbers(name, what, v):
    if isinstance(v, int):
        return [v]
    if not all(isinstance(i, int) for i in v):
        raise _errors.TypeError(f"{name}: {what} is a tuple of int, got {v!r}")
    return list(v)


def _over(name, first, others, x, s, dim, norm, last=False):
    """`first` along the last of the dims, in front of `others` along the rest or, with last, behind them."""
    x, norm = _tensor(x), _norm(name, norm)
    dims = _numbers(name, "dim", dim) if dim is not None else None
    sizes = _numbers(name, "s", s) if s is not None else None
    if dims is not None and sizes is not None and len(dims) != len(sizes):
        raise _errors.ValueError(f"{name}: s has {len(sizes)} sizes for {len(dims)} dims")
    if dims is None:
        count = x.ndim if sizes is None else len(sizes)
        if count > x.ndim:
            raise _errors.ValueError(f"{name}: s has {count} sizes for {x.ndim} dimensions")
        dims = list(range(x.ndim - count, x.ndim))
    for d in dims:
        if not -x.ndim <= d < x.ndim:
            raise _errors.IndexError(f"{name}: dim {d} is out of range for {x.ndim} dimensions")
    if len({d % x.ndim for d in dims}) != len(dims):
        raise _errors.ValueError(f"{name}: a dim is named twice in {tuple(dims)}")
    sizes = [None if n == -1 else n for n in sizes] if sizes is not None else [None] * len(dims)
    steps = [(others, n, d) for n, d in zip(sizes[:-1], dims[:-1])][::-1]
    if dims:
        steps.insert(len(steps) if last else 0, (first, sizes[-1], dims[-1]))
    for f, n, d in steps:
        x = f(x, n, d, norm)
    return x


def fftn(input, s=None, dim=None, norm=None):
    """fft over several dims with s points each; None: all dims, or the last len(s) ones."""
    return _over("fftn", fft, fft, input, s, dim, norm)


def ifftn(input, s=None, dim=None, norm=None):
    """The inverse of fftn."""
    return _over("ifftn", ifft, ifft, input, s, dim, norm)


def rfftn(input, s=None, dim=None, norm=None):
    """fftn of real numbers, the last dim halved."""
    return _over("rfftn", rfft, fft, input, s, dim, norm)


def irfftn(input, s=None, dim=None, norm=None):
    """The inverse of rfftn."""
    return _over("irfftn", irfft, ifft, input, s, dim, norm, last=True)


def hfftn(input, s=None, dim=None, norm=None):
    """hfft over the last dim, fft over the others."""
    return irfftn(conj(_as_complex(input)), s, dim, _DUAL[_norm("hfftn", norm)])


def ihfftn(input, s=None, dim=None, norm=None):
    """The inverse of hfftn."""
    return conj(rfftn(input, s, dim, _DUAL[_norm("ihfftn", norm)]))


def fft2(input, s=None, dim=(-2, -1), norm=None):
    """fftn over the last two dims."""
    return fftn(input, s, dim, norm)


def ifft2(input, s=None, dim=(-2, -1), norm=None):
    """The inverse of fft2."""
    return ifftn(input, s, dim, norm)


def rfft2(input, s=None, dim=(-2, -1), norm=None):
    """fft2 of real numbers, the last dim halved."""
    return rfftn(input, s, dim, norm)


def irfft2(input, s=None, dim=(-2, -1), norm=None):
    """The inverse of rfft2."""
    return irfftn(input, s, dim, norm)


def hfft2(input, s=None, dim=(-2, -1), norm=None):
    """hfftn over the last two dims."""
    return hfftn(input, s, dim, norm)


def ihfft2(input, s=None, dim=(-2, -1), norm=None):
    """The inverse of hfft2."""
    return ihfftn(input, s, dim, norm)


def _shift(input, dim, sign):
    dims = range(input.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    dims = list(dims)
    if not dims:
        return input
    return _table.roll(input, [sign * (input.shape[d] // 2) for d in dims], dims)


def fftshift(input, dim=None):
    """Moves point 0 of each dim to its middle, n // 2; None: all dims."""
    return _shift(input, dim, 1)


def ifftshift(input, dim=None):
    """The inverse of fftshift."""
    return _shift(input, dim, -1)


def _frequencies(name, n, d, dtype, k):
    if not isinstance(n, int) or n < 1:
        raise _errors.ValueError(f"{name}: n is a positive int, got {n!r}")
    return _table.cast(_table.cast(k(n), "float64") * (1.0 / (n * d)), dtype or "float32")


def fftfreq(n, d=1.0, *, dtype=None):
    """The frequencies [0, 1, ..., -2, -1] / (n d) of fft's n points, of samples d apart."""
    def numbers(n):
        k = _table.arange(0, n, 1)
        return _table.where(_table.less(k, (n + 1) // 2), k, k - n)
    return _frequencies("fftfreq", n, d, dtype, numbers)


def rfftfreq(n, d=1.0, *, dtype=None):
    """The frequencies [0, 1, ..., n // 2] / (n d) of rfft's points."""
    return _frequencies("rfftfreq", n, d, dtype, lambda n: _table.arange(0, n // 2 + 1, 1))


def fft_with_size(input, signal_ndim, inverse, real, norm="backward", onesided=True, signal_sizes=()):
    """fftn, ifftn, rfftn or irfftn over the last signal_ndim dims, as the primitive FFTWithSize says it.

    Without `onesided` rfftn gives all points, and irfftn wants them. `signal_sizes` are those of irfftn's result.
    """
    if signal_ndim not in (1, 2, 3):
        raise _errors.ValueError(f"FFTWithSize: signal_ndim is 1, 2 or 3, got {signal_ndim!r}")
    dim = tuple(range(-signal_ndim, 0))
    if not real or not onesided:
        y = (ifftn if inverse else fftn)(input, None, dim, norm)
        return _table.real(y) if real and inverse else y
    if inverse:
        return irfftn(input, tuple(signal_sizes) or None, dim, norm)
    return rfftn(input, None, dim, norm)


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
