# SPDX-License-Identifier: Apache-2.0
"""Writes shared_complex.json: complex numbers and Fourier transforms (needs torch)."""

import torch
from shared_ops import SharedOps, complexes, real, values

ops = SharedOps("complex")
AXES = [0, 1, 2, -1, 1j, -1j, 3 + 4j, -2 - 0.5j, 1e-9 + 1e-9j, -1e-3j]


def z(*shape, bound=1.5, offset=0.1):
    return complexes(*shape, bound=bound, offset=offset)


for name in ("neg", "square", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "sin",
             "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "sigmoid", "abs",
             "angle", "real", "imag", "conj", "sgn", "view_as_real"):
    ops.case(name, getattr(torch, name), [z(3, 4)])
for name in ("exp", "expm1", "sqrt", "abs", "angle", "sgn", "square"):
    ops.case(name, getattr(torch, name), [values(AXES, "complex128")], gradient=name in ("exp", "square", "abs", "sgn"))
for name in ("add", "sub", "mul", "div"):
    ops.case(name, getattr(torch, name), [z(3, 4), z(4, offset=2.0)])
    ops.case(name, getattr(torch, name), [z(3, 1), real(4, offset=2.0)])  # of a real operand the gradient is real
    ops.case(name, getattr(torch, name), [real(4), z(2, 4, offset=2.0)])
ops.case("pow", torch.pow, [z(3, 4), z(3, 4)])
ops.case("pow", torch.pow, [real(3, 4, offset=2.0), z(3, 4)])
ops.case("pow", torch.pow, [z(3, 4), real(4, offset=2.0)])
ops.case("equal", torch.eq, [values(AXES, "complex128"), values(AXES[::-1], "complex128")])
ops.case("not_equal", torch.ne, [values(AXES, "complex128"), values(AXES[::-1], "complex128")])
ops.case("complex", torch.complex, [real(3, 4), real(4)])
ops.case("polar", torch.polar, [real(3, 4, offset=2.0), real(3, 4, bound=3.0)])
ops.case("view_as_complex", torch.view_as_complex, [real(3, 4, 2)])
ops.case("sum", lambda x: x.sum((0, 2)), [z(2, 3, 4)], axes=[0, 2])
ops.case("mean", lambda x: x.mean(1, keepdim=True), [z(2, 3, 4)], axes=[1], keepdims=True)
ops.case("prod", lambda x: x.prod(1), [z(2, 3, 4)], axes=[1])
ops.case("cumsum", lambda x: x.cumsum(1), [z(2, 3, 4)], axis=1)
ops.case("matmul", torch.matmul, [z(3, 4), z(4, 5)])
ops.case("matmul", lambda x, y: x @ y.to(x.dtype), [z(2, 3, 4), real(4, 5)])
ops.case("matmul", torch.matmul, [z(4), z(4, 2)])
ops.case("cast", lambda x: x.to(torch.complex128), [real(3, 4)], dtype="complex128")
ops.case("cast", lambda x: x.to(torch.float64), [z(3, 4)], dtype="float64")

NORMS = ("backward", "ortho", "forward")
for name, source in (("fft", z), ("ifft", z), ("rfft", real), ("irfft", z)):
    f = getattr(torch.fft, name)
    for n in (4, 5, 7, 11):
        ops.case(name, f, [source(2, n)])
    for norm in NORMS:
        for n in (3, 6, 9):
            ops.case(name, lambda x, f=f, n=n, norm=norm: f(x, n, 1, norm), [source(2, 6, 3)], n=n, axis=1, norm=norm)
    ops.case(name, f, [source(3, 37)])
    ops.case(name, lambda x, f=f: f(x, dim=0), [source(60, 3)], axis=0)
    ops.case(name, f, [source(2, 202)])

# Windows of a signal and back.
ops.case("stft", lambda x, w: torch.stft(x, 8, 3, window=w, return_complex=True), [real(2, 20), real(8, offset=1.5)], n_fft=8, hop_length=3)
ops.case("stft", lambda x: torch.stft(x, 7, return_complex=True), [real(20)], n_fft=7)
ops.case("stft", lambda x, w: torch.stft(x, 8, 2, 5, w, center=False, normalized=True, onesided=False, return_complex=True),
         [real(20), real(5, offset=1.5)], n_fft=8, hop_length=2, win_length=5, center=False, normalized=True, onesided=False)
ops.case("stft", lambda x: torch.stft(x, 6, 2, pad_mode="constant", onesided=False, return_complex=True), [z(2, 15)], n_fft=6, hop_length=2,
         pad_mode="constant", onesided=False)
ops.case("istft", lambda x, w: torch.istft(x, 8, 3, window=w), [z(2, 5, 6), real(8, bound=0.3, offset=1.0)], n_fft=8, hop_length=3)
ops.case("istft", lambda x, w: torch.istft(x, 8, 2, 5, w, length=9), [z(5, 6), real(5, bound=0.3, offset=1.0)], n_fft=8, hop_length=2,
         win_length=5, length=9)
ops.case("istft", lambda x, w: torch.istft(x, 6, 2, window=w, center=False, normalized=True, onesided=False, return_complex=True),
         [z(6, 5), real(6, bound=0.3, offset=1.0)], n_fft=6, hop_length=2, center=False, normalized=True, onesided=False, return_complex=True)

# Composed functions.
ops.case("cumprod", lambda x: x.cumprod(1), [z(2, 5)], axis=1)
ops.case("diff", lambda x: x.diff(), [z(2, 5)])
ops.case("trapezoid", torch.trapezoid, [z(2, 5), real(5)])
for correction in (0, 1):
    ops.case("var", lambda x, c=correction: x.var(1, correction=c), [z(3, 5)], axes=[1], correction=correction)
    ops.case("std", lambda x, c=correction: x.std(1, correction=c), [z(3, 5)], axes=[1], correction=correction)
ops.case("norm", lambda x: torch.linalg.vector_norm(x, dim=1), [z(3, 5)], axes=[1])
ops.case("trace", torch.trace, [z(3, 4)])
ops.case("cov", torch.cov, [z(3, 7)])
ops.case("corrcoef", torch.corrcoef, [z(3, 7)], gradient=False)
ops.case("addmm", lambda x, a, b: torch.addmm(x, a, b, beta=0.5, alpha=2.0), [z(3, 5), z(3, 4), z(4, 5)], beta=0.5, alpha=2.0)
ops.case("addcmul", lambda x, a, b: torch.addcmul(x, a, b, value=0.7), [z(3, 4), z(4), z(3, 1)], value=0.7)
ops.case("addcdiv", lambda x, a, b: torch.addcdiv(x, a, b, value=0.7), [z(3, 4), z(4), z(3, 1, offset=2.0)], value=0.7)
ops.case("ldexp", torch.ldexp, [z(3, 4), z(4)])
ops.case("isclose", lambda x, y: torch.isclose(x, y, 0.1, 1.0), [z(3, 4), z(3, 4)], rtol=0.1, atol=1.0)
ops.case("any", lambda x: x.any(1), [values([[0, 1j], [0, 0]], "complex128")], axes=[1])
ops.case("all", lambda x: x.all(1), [values([[1, 1j], [0, 1]], "complex128")], axes=[1])
ops.write()
