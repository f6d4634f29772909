# SPDX-License-Identifier: Apache-2.0
"""Complex numbers and Fourier transforms against NumPy."""

import numpy as np
import pytest

import rutile
from rutile import Tensor, ops
from rutile.ops import operations as P

RNG = np.random.default_rng(3)


def drawn(*shape, dtype=np.complex64):
    x = RNG.standard_normal(shape)
    return (x + 1j * RNG.standard_normal(shape)).astype(dtype) if np.issubdtype(dtype, np.complexfloating) else x.astype(dtype)


def close(got, want, tol=1e-5):
    got = got.asnumpy() if isinstance(got, Tensor) else got
    np.testing.assert_allclose(got, want, rtol=tol, atol=tol * max(1, float(np.abs(want).max(initial=0))))


def test_complex_tensors_come_from_and_go_to_python():
    z = drawn(2, 3)
    t = Tensor(z)
    assert t.dtype == rutile.complex64 and t.shape == (2, 3)
    assert np.array_equal(t.asnumpy(), z)
    assert Tensor([1 + 2j, 3]).asnumpy().tolist() == [1 + 2j, 3 + 0j]
    assert Tensor(2 - 1j).item() == 2 - 1j and complex(Tensor(1.5)) == 1.5
    assert "Complex64" in repr(t) and "j" in repr(t)
    assert (Tensor([1.0, 2.0]) * 1j).asnumpy().tolist() == [1j, 2j]
    assert (1j + Tensor(np.zeros(2))).dtype == rutile.complex128
    assert (Tensor([1j]) * 2.5).dtype == rutile.complex128 and (t * 2.5).dtype == rutile.complex64
    assert bool(Tensor(1j)) and not bool(Tensor(0j))
    assert ops.is_complex(t) and not ops.is_complex(Tensor([1.0]))


def test_arithmetic_is_numpys():
    a, b = drawn(3, 4), drawn(4)
    x, y = Tensor(a), Tensor(b)
    for got, want in [(x + y, a + b), (x - y, a - b), (x * y, a * b), (x / y, a / b), (-x, -a), (x ** 2, a ** 2),
                      (ops.exp(x), np.exp(a)), (ops.log(x), np.log(a)), (ops.sqrt(x), np.sqrt(a)),
                      (ops.tanh(x), np.tanh(a)), (ops.abs(x), np.abs(a)), (ops.angle(x), np.angle(a)),
                      (ops.real(x), a.real), (ops.imag(x), a.imag), (ops.conj(x), a.conj()),
                      (x.sum(0), a.sum(0)), (x.mean(1), a.mean(1)), (x @ x.T, a @ a.T), (x[1:, ::2], a[1:, ::2]),
                      (ops.concat([x, x], 1), np.concatenate([a, a], 1)), (ops.stack([x, x]), np.stack([a, a]))]:
        close(got, want)
    assert np.array_equal((x == x).asnumpy(), a == a)
    for refused in (lambda: x < y, lambda: ops.maximum(x, y), lambda: ops.sort(x), lambda: ops.floor(x)):
        with pytest.raises(TypeError, match="complex"):
            refused()


def test_parts_and_how_they_come_together():
    re, im = drawn(3, dtype=np.float32), drawn(3, dtype=np.float32)
    close(ops.complex(Tensor(re), Tensor(im)), re + 1j * im)
    close(ops.polar(Tensor(np.abs(re)), Tensor(im)), np.abs(re) * np.exp(1j * im))
    close(ops.view_as_real(Tensor(re + 1j * im)), np.stack([re, im], -1))
    assert ops.isreal(Tensor([1 + 0j, 1j])).asnumpy().tolist() == [True, False]
    x = Tensor(re)
    assert ops.real(x) is x and ops.conj(x) is x
    close(ops.imag(x), np.zeros(3))
    close(ops.angle(Tensor([-2.0, 0.0, 3.0])), [np.pi, 0, 0])
    close(P.Complex()(x, Tensor(im)), re + 1j * im)
    close(P.ComplexAbs()(Tensor(re + 1j * im)), np.abs(re + 1j * im))


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_transforms_of_lines(name):
    real = name in ("rfft", "ihfft")
    for shape, axis in [((8,), -1), ((3, 7), 1), ((5, 3), 0), ((2, 53), -1), ((6, 30), 1)]:
        x = drawn(*shape, dtype=np.float64 if real else np.complex128)
        for n in (None, 4, 11):
            for norm in (None, "ortho", "forward"):
                close(getattr(ops, name)(Tensor(x), n, axis, norm), getattr(np.fft, name)(x, n, axis, norm), 1e-11)


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"])
def test_transforms_of_several_dims(name):
    x = drawn(3, 4, 6, dtype=np.float64 if name.startswith("rfft") else np.complex128)
    f, g = getattr(ops, name), getattr(np.fft, name)
    close(f(Tensor(x)), g(x), 1e-11)
    close(f(Tensor(x), (4, 5), (0, 2), "ortho"), g(x, (4, 5), (0, 2), "ortho"), 1e-11)
    close(f(Tensor(x), dim=(-1, 0)), g(x, axes=(-1, 0)), 1e-11)


def test_shifts_frequencies_and_sizes():
    x = drawn(4, 5)
    close(ops.fftshift(Tensor(x)), np.fft.fftshift(x))
    close(ops.ifftshift(Tensor(x), 1), np.fft.ifftshift(x, 1))
    for n in (1, 4, 7):
        close(ops.fftfreq(n, 0.3), np.fft.fftfreq(n, 0.3))
        close(ops.rfftfreq(n, 0.3), np.fft.rfftfreq(n, 0.3))
    r = drawn(2, 4, 6, dtype=np.float32)
    close(P.FFTWithSize(2, False, True)(Tensor(r)), np.fft.rfftn(r, axes=(1, 2)))
    close(P.FFTWithSize(2, False, True, onesided=False)(Tensor(r)), np.fft.fftn(r, axes=(1, 2)))
    half = P.FFTWithSize(1, False, True, "ortho")(Tensor(r))
    close(P.FFTWithSize(1, True, True, "ortho", signal_sizes=(6,))(half), r)
    close(P.FFTWithSize(3, True, False)(Tensor(r.astype(np.complex64))), np.fft.ifftn(r))


def test_gradients_of_complex_numbers_follow_pytorch():
    z = Tensor(np.array([1 + 2j, -3 + 0.5j]))
    close(rutile.grad(lambda z: ops.abs(z).sum())(z), z.asnumpy() / np.abs(z.asnumpy()), 1e-12)
    close(rutile.grad(lambda z: ops.real(z * z).sum())(z), 2 * z.asnumpy().conj(), 1e-12)
    x = Tensor(np.array([0.3, -0.4, 1.0, 2.0]))
    spectrum_energy = rutile.grad(lambda x: ops.square(ops.abs(ops.fft(x))).sum())(x)
    assert spectrum_energy.dtype == rutile.float64
    close(spectrum_energy, 2 * 4 * x.asnumpy(), 1e-12)
    with pytest.raises(TypeError, match="complex"):
        rutile.grad(lambda z: (z * z).sum())(z)


def test_compiled_functions_take_complex_tensors():
    @rutile.jit
    def filtered(x, h):
        return ops.irfft(ops.rfft(x) * h, x.shape[-1])

    x, h = drawn(3, 16, dtype=np.float32), drawn(9)
    close(filtered(Tensor(x), Tensor(h)), np.fft.irfft(np.fft.rfft(x) * h, 16))


def test_wrong_arguments_are_named():
    x = Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="norm is"):
        ops.fft(x, norm="other")
    with pytest.raises(ValueError, match="at least 1"):
        ops.fft(x, 0)
    with pytest.raises(IndexError):
        ops.fft(x, dim=1)
    with pytest.raises(TypeError, match="f32 or f64"):
        ops.rfft(Tensor([1j]))
    with pytest.raises(ValueError, match="twice"):
        ops.fftn(Tensor(np.zeros((2, 2))), dim=(0, -2))
