# SPDX-License-Identifier: Apache-2.0
"""What all transforms of images share."""

import numpy as _np

from rutile import _rutile
from rutile.dataset._checks import Checks
from rutile.dataset._random import rng as _rng
from rutile.dataset.vision import images as _images

_errors = _rutile.errors


class ImageTransform:
    """A transform of one image; several arguments are several images with the same random numbers, a PIL image gives one
    back. Arrays may have further dimensions in front of [h, w, c]: images that are treated alike."""

    _frames = True  # further dimensions in front are images

    @property
    def _checks(self):
        return Checks(type(self).__name__)

    def __call__(self, *images):
        if len(images) == 1:
            return self._one(images[0])
        state, out = None, []
        for x in images:
            if state is not None:
                _rng().bit_generator.state = state
            else:
                state = _rng().bit_generator.state
            out.append(self._one(x))
        return tuple(out)

    def _array(self, x):
        x = x.asnumpy() if isinstance(x, _rutile.Tensor) else x
        if not isinstance(x, _np.ndarray):
            raise _errors.TypeError(f"[{type(self).__name__}] takes an image (array, Tensor or PIL), got {type(x).__name__}")
        return x

    def _one(self, x):
        if _images.is_pil(x):
            out = self._apply(_np.asarray(x))
            fromarray = _images.pillow().fromarray
            return tuple(fromarray(_np.ascontiguousarray(v)) for v in out) if isinstance(out, tuple) else fromarray(
                _np.ascontiguousarray(out))
        x = self._array(x)
        if x.ndim in (2, 3):
            return self._apply(x)
        if x.ndim < 2 or not self._frames:
            raise _errors.RuntimeError(f"[{type(self).__name__}] an image is [h, w] or [h, w, c], got {list(x.shape)}")
        state, out = _rng().bit_generator.state, []
        for frame in x.reshape(-1, *x.shape[-3:]):
            _rng().bit_generator.state = state
            out.append(self._apply(frame))
        return _np.stack(out).reshape(*x.shape[:-3], *out[0].shape) if out else x

    def _apply(self, x):
        raise NotImplementedError

    def device(self, device_target="CPU"):
        """The transform itself: it runs on the CPU.

        Raises ValueError for targets that MindSpore does not know, RuntimeError for "Ascend".
        """
        if device_target not in ("CPU", "Ascend"):
            raise self._checks.value_error(f"Input device_target is not within the valid set of ['CPU', 'Ascend']. Got "
                                           f"{device_target!r}")
        if device_target == "Ascend":
            raise _errors.RuntimeError(f"[{type(self).__name__}] runs on the CPU; there is no Ascend device")
        return self

    def __repr__(self):
        return f"{type(self).__name__}()"
