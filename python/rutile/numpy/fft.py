# SPDX-License-Identifier: Apache-2.0
"""Fourier transforms with NumPy's arguments, as mindspore.numpy.fft has them.

>>> from rutile import Tensor
>>> import rutile.numpy as np
>>> abs(np.fft.rfft(Tensor([1.0, 2.0]))).asnumpy().tolist()
[3.0, 1.0]
"""

from rutile.ops.function import spectral as _s

__all__ = []


def _one(name):
    function = getattr(_s, name)

    def transform(a, n=None, axis=-1, norm=None):
        return function(a, n, axis, norm)

    transform.__name__ = transform.__qualname__ = name
    transform.__doc__ = function.__doc__
    globals()[name] = transform
    __all__.append(name)


def _over(name, default):
    function = getattr(_s, name)

    def transform(a, s=None, axes=default, norm=None):
        return function(a, s, axes, norm)

    transform.__name__ = transform.__qualname__ = name
    transform.__doc__ = function.__doc__
    globals()[name] = transform
    __all__.append(name)


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _one(_name)
    _over(_name + "2", (-2, -1))
    _over(_name + "n", None)


def fftshift(x, axes=None):
    """The zero frequency in the middle of axes (None: of all)."""
    return _s.fftshift(x, axes)


def ifftshift(x, axes=None):
    """fftshift undone."""
    return _s.ifftshift(x, axes)


def fftfreq(n, d=1.0, dtype=None):
    """The frequencies of fft's results for n samples d apart."""
    return _s.fftfreq(n, d, dtype=dtype)


def rfftfreq(n, d=1.0, dtype=None):
    """The frequencies of rfft's results for n samples d apart."""
    return _s.rfftfreq(n, d, dtype=dtype)


__all__ += ["fftshift", "ifftshift", "fftfreq", "rfftfreq"]
