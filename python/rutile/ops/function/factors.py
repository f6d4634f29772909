# SPDX-License-Identifier: Apache-2.0
"""Householder factors, eigenvalues of general matrices, the short-time Fourier transform, the incomplete beta function."""

import math as _math

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function import arrange as _r
from rutile.ops.function import spectral as _spectral
from rutile.ops.function._util import _errors

_imported = set(globals())


def _matrices(name, **tensors):
    for key, t in tensors.items():
        if not isinstance(t, Tensor):
            raise _errors.TypeError(f"{name}: {key} is a Tensor, got {type(t).__name__}")
        if not t.dtype.name.startswith(("float32", "float64", "complex")):
            raise _errors.TypeError(f"{name}: {key} expects float32, float64 or complex, got {t.dtype}")
        if t.ndim < 2:
            raise _errors.ValueError(f"{name}: {key} expects matrices [..., m, n], got {t.shape}")


def eig(A):
    """(eigenvalues [..., n], eigenvectors [..., n, n] as columns of norm 1) of square matrices, complex. No gradient.

    >>> from rutile import Tensor, ops
    >>> ops.eig(Tensor([[2.0, 0.0], [0.0, 3.0]]))[0].asnumpy().tolist()
    [(2+0j), (3+0j)]
    """
    import numpy as np
    _matrices("eig", A=A)
    if A.shape[-1] != A.shape[-2]:
        raise _errors.ValueError(f"eig: expects square matrices, got {A.shape}")
    kind = np.complex64 if A.dtype.name in ("float32", "complex64") else np.complex128
    values, vectors = np.linalg.eig(A.asnumpy())
    return Tensor(values.astype(kind)), Tensor(vectors.astype(kind))


def eigvals(A):
    """The eigenvalues [..., n] of square matrices, complex. No gradient."""
    return eig(A)[0]


def geqrf(input):
    """(a, tau): R in the upper triangle of a [..., m, n], below it the reflectors H = I - tau v v^H whose product is Q. No gradient."""
    import numpy as np
    _matrices("geqrf", input=input)
    h, tau = np.linalg.qr(input.asnumpy(), mode="raw")
    return Tensor(np.ascontiguousarray(np.swapaxes(h, -1, -2))), Tensor(tau)


def _reflected(x, a, tau, order):
    """x with the reflectors in the columns of a applied from the left, in an order of their numbers."""
    m = a.shape[-2]
    below = _table.tril(_table.full((m, a.shape[-1]), 1.0, "float32"), diagonal=-1).cast(a.dtype)
    vectors = a * below + _table.eye(m, a.shape[-1], "float32").cast(a.dtype)
    for i in order:
        v = vectors[..., i:i + 1]
        vh = _spectral.conj(_r.swapaxes(v, -1, -2))
        x = x - tau[..., i:i + 1].expand_dims(-1) * _table.matmul(v, _table.matmul(vh, x))
    return x


def orgqr(input, input2):
    """The first n columns of the product of reflectors (geqrf): a matrix [..., m, n] with orthonormal columns."""
    _matrices("orgqr", input=input)
    if input.shape[-2] < input.shape[-1] or input2.shape[-1] > input.shape[-1] or input2.shape[:-1] != input.shape[:-2]:
        raise _errors.ValueError(f"orgqr: expects matrices [..., m, n], m >= n, and up to n reflectors, got {input.shape} and {input2.shape}")
    m, n = input.shape[-2:]
    start = _table.broadcast_to(_table.eye(m, n, "float32").cast(input.dtype), input.shape)
    return _reflected(start, input, input2, range(input2.shape[-1] - 1, -1, -1))


def ormqr(input, tau, other, left=True, transpose=False):
    """Q other, other Q (left=False), or with Q^H (transpose), Q the whole product of reflectors (geqrf)."""
    _matrices("ormqr", input=input, other=other)
    size = other.shape[-2 if left else -1]
    if input.shape[-2] != size or tau.shape[-1] > input.shape[-1]:
        raise _errors.ValueError(f"ormqr: {input.shape} and {tau.shape} do not go with a matrix {other.shape}")
    forward = range(tau.shape[-1])
    if left:  # Q = H1 H2 ... Hk, Q^H = Hk^H ... H1^H
        t = _spectral.conj(tau) if transpose else tau
        return _reflected(other, input, t, forward if transpose else forward[::-1])
    turned = _spectral.conj(_r.swapaxes(other, -1, -2))  # other Q = (Q^H other^H)^H
    t = tau if transpose else _spectral.conj(tau)
    y = _reflected(turned, input, t, forward[::-1] if transpose else forward)
    return _spectral.conj(_r.swapaxes(y, -1, -2))


def matrix_logarithm(x):
    """The logarithm of complex square matrices [..., n, n] that can be diagonalised. No gradient."""
    import numpy as np
    _matrices("MatrixLogarithm", x=x)
    values, vectors = np.linalg.eig(x.asnumpy().astype(np.complex128))
    y = (vectors * np.log(values)[..., None, :]) @ np.linalg.inv(vectors)
    return Tensor(y.astype(x.asnumpy().dtype if x.dtype.name.startswith("complex") else np.complex64))


def stft(x, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="REFLECT", normalized=False, onesided=None, return_complex=None):
    """Spectra of windows of a signal [length] or [batch, length]: [..., frequencies, windows], complex or with (real, imaginary) last.

    hop_length: n_fft // 4 unless given; window: ones; center: padded by n_fft // 2 on both sides, as pad_mode says; normalized:
    divided by sqrt(n_fft).
    """
    if x.ndim not in (1, 2):
        raise _errors.ValueError(f"stft: expects [length] or [batch, length], got {x.shape}")
    is_complex = x.dtype.name.startswith("complex")
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    if not 0 < width <= n_fft or hop <= 0:
        raise _errors.ValueError(f"stft: needs hop_length > 0 and 0 < win_length <= n_fft, got {hop}, {width} and {n_fft}")
    onesided = not is_complex if onesided is None else onesided
    if onesided and is_complex:
        raise _errors.ValueError("stft: onesided is for real signals")
    if window is not None and window.shape != (width,):
        raise _errors.ValueError(f"stft: the window has {width} numbers, got {window.shape}")
    return_complex = is_complex if return_complex is None else return_complex
    signal = x if x.ndim == 2 else x.reshape(1, -1)
    if center:
        half, mode = n_fft // 2, pad_mode.lower()
        if mode not in ("constant", "reflect", "replicate", "circular"):
            raise _errors.ValueError(f"stft: pad_mode is 'CONSTANT', 'REFLECT', 'REPLICATE' or 'CIRCULAR', got {pad_mode!r}")
        from rutile.ops.function.arrange import pad
        signal = pad(signal.expand_dims(1), (half, half), mode)[:, 0]
    count = (signal.shape[1] - n_fft) // hop + 1
    if count <= 0:
        raise _errors.ValueError(f"stft: a signal of {x.shape[-1]} is shorter than a window of {n_fft}")
    places = Tensor([[i * hop + j for j in range(n_fft)] for i in range(count)], "int64")
    frames = _table.gather(signal, places, axis=1)
    if window is not None or width < n_fft:
        w = _table.full((width,), 1, frames.dtype) if window is None else window
        left = (n_fft - width) // 2
        frames = frames * _table.pad(w, before=(left,), after=(n_fft - width - left,))
    y = (_spectral.rfft if onesided else _spectral.fft)(frames)
    y = _r.swapaxes(y * (1 / _math.sqrt(n_fft)) if normalized else y, -1, -2)
    y = y if return_complex else _spectral.view_as_real(y)
    return y if x.ndim == 2 else y[0]


def _stft(x, window, n_fft, hop_length, win_length, normalized, onesided, return_complex):
    return stft(x, n_fft, hop_length, win_length, window, False, "REFLECT", normalized, onesided, return_complex)


def _log_alpha(logs, targets, steps, lengths, blank):
    """Logarithms of the chances of all beginnings: of step t and of place s in the labels with blanks between them."""
    t_max, n, _ = logs.shape
    s_max = targets.shape[1]
    places = Tensor(list(range(2 * s_max + 1)), "int64")
    labels = _table.concat([targets.cast("int64"), _table.full((n, 1), blank, "int64")], axis=1)
    doubled = _table.gather(labels, _table.floor_div(places, Tensor(2, "int64")), axis=1)
    odd = _table.remainder(places, Tensor(2, "int64")) == 1
    doubled = _table.where(odd.reshape(1, -1), doubled, _table.full((), blank, "int64"))
    never = _table.full((), -_math.inf, logs.dtype)
    inside = places.reshape(1, -1) <= lengths.cast("int64").reshape(-1, 1) * 2
    skip = _table.logical_and(doubled != blank, doubled != _moved(doubled, 2, blank))
    chances = _table.take_along_axis(logs, _table.broadcast_to(doubled.expand_dims(0), (t_max, *doubled.shape)), axis=2)
    alpha = _table.where(_table.logical_and(places.reshape(1, -1) < 2, inside), chances[0], never)
    rows = [alpha]
    for t in range(1, t_max):
        before = _stacked([alpha, _moved(alpha, 1, -_math.inf), _table.where(skip, _moved(alpha, 2, -_math.inf), never)])
        top = _table.max(before, (0,), True)
        safe = _table.where(_table.isfinite(top), top, _table.full((), 0, top.dtype))
        total = _table.log(_table.sum(_table.exp(before - safe), (0,), False)) + safe[0]
        going = _table.logical_and(inside, steps.cast("int64").reshape(-1, 1) > t)
        alpha = _table.where(going, total + chances[t], never)
        rows.append(alpha)
    return _table.transpose(_stacked(rows), (1, 0, 2))


def _moved(x, by, value):
    n = x.shape[1]
    new = _table.full((x.shape[0], min(by, n)), value, x.dtype)
    return new if n <= by else _table.concat([new, x[:, :n - by]], axis=1)


def _stacked(tensors):
    return _r.stack(tensors, 0)


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """(-log of the chance of targets [n, s] given log_probs [t, n, classes], log_alpha [n, t, 2 s + 1]): Graves et al., 2006.

    The mean divides each loss by its target's length. log_alpha, the chances of all beginnings, has no gradient.
    """
    return _ctc_loss_v2(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)


def _ctc_loss_v2(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="none", zero_infinity=False):
    if not isinstance(zero_infinity, bool) or not isinstance(reduction, str) or not isinstance(blank, int):
        raise _errors.TypeError("ctc_loss: blank is an int, reduction a str, zero_infinity a bool")
    if log_probs.ndim != 3 or targets.ndim != 2:
        raise _errors.ValueError(f"ctc_loss: expects log_probs [t, n, classes] and targets [n, s], got {log_probs.shape} and {targets.shape}")
    steps, lengths = (t if isinstance(t, Tensor) else Tensor(list(t), "int64") for t in (input_lengths, target_lengths))
    loss = _table.ctc_loss(log_probs, targets, steps, lengths, blank=blank, reduction="none", zero_infinity=zero_infinity)
    if reduction == "mean":
        loss = _table.mean(loss / _table.clip(lengths.cast(loss.dtype), min=1.0))
    elif reduction == "sum":
        loss = _table.sum(loss)
    elif reduction != "none":
        raise _errors.ValueError(f"ctc_loss: reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    return loss, _table.stop_gradient(_log_alpha(_table.stop_gradient(log_probs), targets, steps, lengths, blank))


def _fraction(a, b, x):
    """Lentz's continued fraction of the incomplete beta function (DLMF 8.17.22), for x < (a + 1) / (a + b + 2)."""
    import numpy as np
    tiny, c = 1e-300, np.ones_like(x)
    d = 1 / np.where(np.abs(v := 1 - (a + b) * x / (a + 1)) < tiny, tiny, v)
    h = d.copy()
    for m in range(1, 10000):
        for num in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 / np.where(np.abs(v := 1 + num * d) < tiny, tiny, v)
            c = np.where(np.abs(v := 1 + num / c) < tiny, tiny, v)
            h = h * d * c
        if np.all(np.abs(d * c - 1) < 1e-15):
            break
    return h


def betainc(a, b, x):
    """The regularised incomplete beta function I_x(a, b), x in [0, 1], a and b positive; NaN elsewhere. Its gradient is by x.

    >>> from rutile import Tensor, ops
    >>> ops.betainc(Tensor([1.0]), Tensor([1.0]), Tensor([0.25])).asnumpy().tolist()
    [0.25]
    """
    from rutile.ops.custom import with_gradient
    for t in (a, b, x):
        if not isinstance(t, Tensor) or t.dtype.name not in ("float32", "float64") or t.dtype != a.dtype:
            raise _errors.TypeError("betainc: expects three float32 or three float64 Tensors")
    if not a.shape == b.shape == x.shape:
        raise _errors.ValueError(f"betainc: shapes {a.shape}, {b.shape} and {x.shape} differ")

    def value(a, b, x):
        import numpy as np
        p, q, u = (t.asnumpy().astype(np.float64) for t in (a, b, x))
        fine = (p > 0) & (q > 0) & (u >= 0) & (u <= 1)
        p, q, u = np.where(fine, p, 1), np.where(fine, q, 1), np.where(fine, u, 0.5)
        swap = u > (p + 1) / (p + q + 2)
        p, q, u = np.where(swap, q, p), np.where(swap, p, q), np.where(swap, 1 - u, u)
        lgamma = np.vectorize(_math.lgamma, otypes=[np.float64])
        with np.errstate(divide="ignore"):
            front = np.exp(lgamma(p + q) - lgamma(p) - lgamma(q) + p * np.log(u) + q * np.log1p(-u)) / p
        y = front * _fraction(p, q, u) if u.size else u
        return Tensor(np.where(fine, np.where(swap, 1 - y, y), np.nan).astype(x.asnumpy().dtype))

    def bprop(a, b, x, out, dout):
        logs = _table.lgamma(a + b) - _table.lgamma(a) - _table.lgamma(b) + (a - 1) * _table.log(x) + (b - 1) * _table.log1p(-x)
        return None, None, dout * _table.exp(logs)

    return with_gradient(value, bprop, a, b, x)


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
