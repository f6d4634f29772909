# SPDX-License-Identifier: Apache-2.0
"""The rest of PyTorch's functions over ours: casts, indices, windows, spectra, complex numbers. See torch_names.py."""

import math

import numpy as np
from rutile import Tensor, mint, ops
from rutile.ops import table as t
from torch_names import ADAPTERS, Unmapped, number, pad, renamed, select


def cast(dtype):
    return lambda x, **_: x.astype(dtype)


def plain_index(v):
    if isinstance(v, tuple | list):
        return type(v)(plain_index(x) for x in v)
    return v


def filled(value):
    def call(x, size, *args, dtype=None, **_):
        size = size if isinstance(size, list | tuple) else (size, *args)
        v = args[0] if value is None else value
        return ops.full(tuple(size), v, dtype=dtype or x.dtype)
    return call


def with_infos(f):
    def call(x, *args, check_errors=False, **kwargs):
        y = f(x, *args, **kwargs)
        y = list(y) if isinstance(y, list | tuple) else [y]
        return y + [Tensor(np.zeros(x.shape[:-2], np.int32))]
    return call


def tensor_inverse(x, ind=2):
    front, back = x.shape[:ind], x.shape[ind:]
    n = math.prod(back)
    return t.inverse(x.reshape(n, n)).reshape(*back, *front)


def tensor_solve(a, b, dims=None):
    if dims is not None:
        dims = [d % a.ndim for d in dims]
        a = t.transpose(a, perm=tuple(d for d in range(a.ndim) if d not in dims) + tuple(dims))
    shape = a.shape[b.ndim:]
    n = math.prod(shape)
    return t.solve(a.reshape(n, n), b.reshape(n)).reshape(*shape)


def triangular_solve(b, a, upper=True, transpose=False, unitriangular=False):
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = t.solve_triangular(ops.broadcast_to(a, (*batch, *a.shape[-2:])), b, upper=upper, transpose=transpose, unitriangular=unitriangular)
    return [y, a]


def cosines(*weights):
    """Windows as sums of cosines, as torch.signal makes them."""
    def call(m, *, sym=True, dtype=None, **_):
        if m == 0:
            return t.full(shape=(0,), value=0.0, dtype="float64")
        k = t.arange(0, m, dtype="float64") * (2 * math.pi / max(1, m - 1 if sym else m))
        y = sum((t.cos(k * float(i)) * (w * (-1) ** i) for i, w in enumerate(weights)), Tensor(np.zeros(m)))
        return y if m > 1 else t.full(shape=(1,), value=1.0, dtype="float64")
    return call


def general_hamming(m, *, alpha=0.54, sym=True, **_):
    return cosines(alpha, 1 - alpha)(m, sym=sym)


def general_cosine(m, *, a, sym=True, **_):
    return cosines(*[float(v) for v in a])(m, sym=sym)


def stft(x, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False, onesided=None,
         return_complex=None, **_):
    onesided = not ops.is_complex(x) and not (window is not None and ops.is_complex(window)) if onesided is None else onesided
    y = t.stft(x, window, n_fft=n_fft, hop_length=hop_length or 0, win_length=win_length or 0, center=center, pad_mode=pad_mode,
               normalized=normalized, onesided=onesided)
    return t.view_as_real(y) if return_complex is False else y


def istft(x, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None, length=None,
          return_complex=False):
    onesided = x.shape[-2] != n_fft if onesided is None else onesided
    return t.istft(x, window, n_fft=n_fft, hop_length=hop_length or 0, win_length=win_length or 0, center=center, normalized=normalized,
                   onesided=onesided, length=-1 if length is None else length, return_complex=return_complex)


def safe_softmax(x, dim, dtype=None):
    nothing = t.all(t.isneginf(x), axes=(dim,), keepdims=True)
    return t.where(nothing, number(0.0, x), t.softmax(t.where(nothing, number(0.0, x), x), axis=dim))


def sliced(x, dim=0, start=None, end=None, step=1):
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


def put_at(x, places, values, accumulate=False):
    places = [ops.nonzero(p, as_tuple=True) if "bool" in str(p.dtype).lower() else (p,) for p in places]
    return t.index_put(x, values, *(q for p in places for q in p), accumulate=bool(accumulate))


def spaced(start, end, steps, *, dtype=None, **_):
    if any(isinstance(v, Tensor) for v in (start, end)):
        start, end = (v.asnumpy().item() if isinstance(v, Tensor) else v for v in (start, end))
    return mint.linspace(start, end, steps, dtype=dtype)


def upsample(mode):
    def call(x, size=None, scale_factor=None):
        return ops.interpolate(x, tuple(size) if isinstance(size, list | tuple) else size, scale_factor, mode, True if mode == "bilinear" else None)
    return call


def transform(name):
    return lambda x, n=None, dim=-1, norm=None: getattr(ops, name)(x, n, dim, norm or "backward")


def eye(n, m=None, dtype="float32", **_):
    return ops.eye(n, m, dtype)


ADAPTERS |= {
    **{n: cast(d) for n, d in (("bfloat16", "bfloat16"), ("bool", "bool"), ("byte", "uint8"), ("char", "int8"), ("short", "int16"),
                               ("int", "int32"), ("long", "int64"), ("half", "float16"), ("float", "float32"), ("double", "float64"),
                               ("cfloat", "complex64"), ("cdouble", "complex128"))},
    "__getitem__": lambda x, i: x[plain_index(i)], "alias_copy": lambda x: x, "resolve_conj": lambda x: x, "resolve_neg": lambda x: x,
    "conj_physical": lambda x: ops.conj(x), "conj": lambda x: ops.conj(x), "real": lambda x: ops.real(x), "angle": lambda x: ops.angle(x),
    "sgn": lambda x: t.sgn(x) if "bool" not in str(x.dtype).lower() else x, "isreal": lambda x: ops.isreal(x), "vdot": lambda x, y: t.inner(ops.conj(x), y),
    "mH": lambda x: ops.conj(ops.swapaxes(x, -1, -2)), "H": lambda x: ops.conj(ops.swapaxes(x, 0, 1)) if x.ndim > 1 else ops.conj(x),
    "linalg.vecdot": lambda x, y, dim=-1: ops.vecdot(x, y, axis=dim), "dist": lambda x, y, p=2: t.vector_norm(x - y, ord=float(p)),
    "new_full": filled(None), "new_ones": filled(1), "new_zeros": filled(0), "scalar_tensor": lambda v, dtype="float64", **_: Tensor(v, dtype),
    "item": lambda x: x, "slice": sliced, "index_put": put_at, "linspace": spaced, "linspace.tensor_overload": spaced,
    "linalg.pinv": lambda x, **k: ops.pinv(x, **k), "linalg.matrix_rank": lambda x, *a, **k: ops.matrix_rank(x, *a, **k),
    "tensor_split": lambda x, n, dim=0: ops.tensor_split(x, n if isinstance(n, int) else n if not isinstance(n, Tensor) else n.asnumpy().tolist(), dim),
    "full": lambda size, value, dtype=None, **_: ops.full(tuple(size), value, dtype=dtype), "full_like": lambda x, value, dtype=None, **_: ops.full(
        x.shape, value, dtype=dtype or x.dtype), "broadcast_tensors": lambda *xs: [ops.broadcast_to(x, np.broadcast_shapes(*(v.shape for v in xs))) for x in xs],
    "linalg.cholesky_ex": with_infos(lambda x, upper=False: t.cholesky(x, upper=upper)), "linalg.inv_ex": with_infos(t.inverse),
    "linalg.lu_factor_ex": with_infos(lambda x, pivot=True: t.lu_factor(x) if pivot else unmapped("no pivots")),
    "linalg.solve_ex": lambda a, b, left=True, check_errors=False: [t.solve(a, b) if left else unmapped("from the right"), Tensor(np.zeros(a.shape[:-2], np.int32))],
    "linalg.tensorinv": tensor_inverse, "linalg.tensorsolve": tensor_solve, "triangular_solve": triangular_solve,
    "linalg.householder_product": lambda x, tau: t.householder_product(x, tau), "linalg.eig": lambda x: t.eig(x), "linalg.eigvals": lambda x: t.eigvals(x),
    "signal.windows.hann": cosines(0.5, 0.5), "signal.windows.hamming": lambda m, **k: general_hamming(m, **k), "signal.windows.blackman": cosines(0.42, 0.5, 0.08),
    "signal.windows.nuttall": cosines(0.3635819, 0.4891775, 0.1365995, 0.0106411), "signal.windows.general_hamming": general_hamming,
    "signal.windows.general_cosine": general_cosine, "stft": stft, "istft": istft, "torch.ops.aten._safe_softmax.default": safe_softmax,
    "nn.functional.upsample_nearest": upsample("nearest"), "nn.functional.upsample_bilinear": upsample("bilinear"),
    "unbind_copy": lambda x, dim=0: [select(x, dim, i) for i in range(x.shape[dim])], "unsafe_chunk": lambda x, n, dim=0: ops.chunk(x, n, dim),
    "grid_sampler_2d": lambda x, g, mode, padding, align: grid(x, g, mode, padding, align), "grid_sampler_3d": lambda x, g, mode, padding, align: grid(x, g, mode, padding, align),
    **{f"fft.{n}": transform(n) for n in ("fft", "ifft", "irfft", "hfft", "ihfft")}, "eye": eye, "special.spherical_bessel_j0": lambda x: t.sinc(x / math.pi),
    "linalg.eigvalsh": renamed(lambda x, UPLO="L": t.eigvalsh(x, upper=UPLO.upper() == "U")), "constant_pad_nd": lambda x, p, value=0: pad(x, p, value=value),
}


# ---- Vectors without a sign of their own -------------------------------------------------------------------------

def phase(u):
    """What turns the columns of PyTorch's u as ours are: the element of largest magnitude is positive."""
    if not u.numel():
        return u[..., :1, :]
    peak = u.gather(-2, u.detach().abs().argmax(-2, keepdim=True))
    return peak.conj() / peak.abs()


def turned_svd(of_v):
    def call(result):
        u, s, v = result
        k = s.shape[-1]
        u, v = u[..., :k], v[..., :k] if of_v else v[..., :k, :]
        return u * phase(u), s, v * phase(u) if of_v else v * phase(u).mT.conj()
    return call


def cut_svd(of_v):
    def call(result):
        u, s, v = result
        k = s.shape[-1]
        return u[..., :k], s, v[..., :k] if of_v else v[..., :k, :]
    return call


def turned_eigh(result):
    return result[0], result[1] * phase(result[1])


def sorted_eig(result):
    w, v = result
    order = w.detach().imag.argsort(-1, stable=True)
    order = order.gather(-1, w.detach().gather(-1, order).real.round(decimals=9).argsort(-1, stable=True))
    v = v.gather(-1, order.unsqueeze(-2).expand(v.shape))
    return w.gather(-1, order), v * phase(v)


def sorted_values(w):
    order = w.detach().imag.argsort(-1, stable=True)
    return w.gather(-1, order.gather(-1, w.detach().gather(-1, order).real.round(decimals=9).argsort(-1, stable=True)))


# What is done to PyTorch's results, and to ours, before they are compared.
SETTLED = {"svd": (turned_svd(True), cut_svd(True)), "linalg.svd": (turned_svd(False), cut_svd(False)), "linalg.eigh": (turned_eigh, lambda r: r),
           "linalg.eig": (sorted_eig, lambda r: r), "linalg.eigvals": (sorted_values, lambda r: r)}


def unmapped(what):
    raise Unmapped(what)


def grid(x, g, mode, padding, align):
    return t.grid_sample(x, g, mode=("bilinear", "nearest", "bicubic")[mode], padding_mode=("zeros", "border", "reflection")[padding], align_corners=align)

