# SPDX-License-Identifier: Apache-2.0
"""Numbers that are no numbers, too large, of another dtype, or equally large: errors and NaN, no silent zeros."""

import numpy as np
import pytest

import rutile
from rutile import COOTensor, Tensor, ops

R = rutile._rutile.ops


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [slice(None), 0, 3, (0, 0, 1), (2, 0, 2)])
@pytest.mark.parametrize("labels", [1, 3])
def test_ctc_loss_of_nan_is_nan(dtype, place, labels):
    if place == (2, 0, 2) and labels == 1:
        place = (2, 0, 1)
    x = np.full((6, 1, 5), np.log(0.2), dtype)
    x[place] = np.nan
    target, steps = Tensor(np.array([[1, 2, 3][:labels]], np.int32)), Tensor(np.array([6], np.int32))
    for zero in (False, True):
        loss = R.ctc_loss(Tensor(x), target, steps, Tensor(np.array([labels], np.int32)), blank=0, reduction="none", zero_infinity=zero)
        assert np.isnan(loss.asnumpy()).all()


def test_istft_with_a_complex_window_is_checked_compiled_too():
    window = Tensor(np.zeros(16, np.complex64))
    spectrum = Tensor(np.ones((16, 5), np.complex64))

    def f(x, w):
        return ops.real(R.istft(x, w, n_fft=16, onesided=False, return_complex=True))

    for g in (f, rutile.jit(f)):
        with pytest.raises(ValueError, match="squared windows"):
            g(spectrum, window)
    window = Tensor((np.hanning(18)[1:-1] * (1 + 0.5j)).astype(np.complex64))
    np.testing.assert_allclose(f(spectrum, window).asnumpy(), rutile.jit(f)(spectrum, window).asnumpy(), rtol=1e-4, atol=1e-5)


def test_counts():
    for odd in (np.inf, np.nan):
        for f in (lambda x: ops.histc(x, bins=4), rutile.jit(lambda x: ops.histc(x, bins=4))):
            with pytest.raises(ValueError, match="number"):
                f(Tensor(np.array([1.0, odd], np.float32))).asnumpy()
    with pytest.raises(ValueError, match="too large to count"):
        ops.bincount(Tensor(np.array([2**63 - 1], np.int64)))


def test_sums_of_sparse_tensors_promote():
    at = Tensor([[0, 0]], rutile.int32)
    whole, half = COOTensor(at, Tensor([1], rutile.int32), (2, 2)), COOTensor(at, Tensor([0.5]), (2, 2))
    for total in ((whole + half).to_dense(), (half + whole).to_dense()):
        assert total.dtype == rutile.float32 and float(total[0, 0]) == 1.5
    assert float((half + Tensor(np.ones((2, 2), np.int32)))[0, 0]) == 1.5


def test_gradients_of_eigenvectors_with_equally_large_elements():
    h, d, eps = np.array([[0, 1j], [-1j, 4e-6]]), np.array([[1.0, 0.5 + 0.2j], [0.5 - 0.2j, -0.3]]), 1e-7
    weights = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]])), Tensor(np.array([[0.3, 0.2], [0.7, 0.9]]))

    def f(x):
        v = R.eigh(x)[1]
        return (ops.imag(v) * weights[0]).sum() + (ops.real(v) * weights[1]).sum()

    slope = np.real(np.conj(rutile.grad(f)(Tensor(h)).asnumpy()) * d).sum()
    assert slope == pytest.approx((float(f(Tensor(h + eps * d))) - float(f(Tensor(h - eps * d)))) / 2 / eps, rel=1e-4)


@pytest.mark.skipif(rutile._rutile._device_count("fake") == 0, reason="librutile_fake.so is not built")
@pytest.mark.parametrize("f", [
    lambda a: R.matrix_power(a, n=0) + a, lambda a: R.householder_product(a, a[0]), lambda a: R.lu(a)[0], lambda a: R.det(a),
    lambda a: R.histc(a, bins=4, min=-1.0, max=1.0), lambda a: R.vander(a[0]), lambda a: ops.abs(R.stft(a.reshape(-1), n_fft=8))])
def test_compositions_are_compiled_for_a_device(f):
    a = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    there = Tensor(a).move_to("FAKE")
    np.testing.assert_allclose(rutile.jit(f)(there).asnumpy(), f(Tensor(a)).asnumpy(), rtol=1e-4, atol=1e-5)


def test_a_check_whose_result_nobody_reads_raises_compiled_as_eagerly():
    x, at = Tensor(np.arange(4.0)), Tensor(np.array([7]))

    def f(x, at):
        ops.gather(x, at, 0)
        return ops.sum(x * 2)

    for g in (f, rutile.jit(f), rutile.grad(f), rutile.jit(rutile.grad(f))):
        with pytest.raises(IndexError, match="index 7"):
            g(x, at)


def test_numbers_too_large_to_count():
    for large in (2**40, 2**63 - 1):
        with pytest.raises(ValueError, match=f"number {large} is too large to count"):
            ops.bincount(Tensor(np.array([large], np.int64)))


def test_constants_in_the_memory_of_numpy():
    array = np.ones(3, np.float32)
    one, captured = np.ones(1, np.float32), rutile.from_numpy(array)
    scalar, x = rutile.from_numpy(one), Tensor(np.zeros(3, np.float32))
    f = rutile.jit(lambda x: (x + (captured * 2 + 1)) * scalar)
    assert f(x).asnumpy().tolist() == [3, 3, 3]
    array[0], one[0] = 5, 2
    assert f(x).asnumpy().tolist() == [22, 6, 6]


def test_regions_that_are_none_endless_or_far_too_large():
    x = Tensor(np.random.default_rng(0).normal(size=(1, 2, 5, 5)).astype(np.float32))
    boxes = np.array([[-1e6, -2e5, 3e6, 1e6], [0, 0, np.inf, 4], [np.nan, 1, 2, 3], [1e300, 2, 3, 1e301], [-1e300, -1e18, 1e300, 1e18]])
    image = Tensor(np.zeros(5, np.int64))
    y = ops.table.roi_align(x, Tensor(boxes), image, output_size=(2, 2)).asnumpy()
    assert np.isfinite(y).all() and np.abs(y).max() < 1e-3
    rois = Tensor(np.concatenate([np.zeros((5, 1)), boxes], 1).astype(np.float32))
    for mode in (0, 1):
        assert np.isfinite(ops.ROIAlign(2, 2, 1.0, 2, mode)(x, rois).asnumpy()).all()
    with pytest.raises(IndexError, match="image 3"):
        ops.table.roi_align(x, Tensor(boxes[:1]), Tensor([3]), output_size=(2, 2))
