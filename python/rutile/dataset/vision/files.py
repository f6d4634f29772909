# SPDX-License-Identifier: Apache-2.0
"""Image files: bytes and pixels, read, written and asked about. JPEG, PNG, BMP and TIFF need Pillow."""

import io as _io
import os as _os

import numpy as _np

from rutile import _rutile
from rutile.dataset._checks import Checks
from rutile.dataset.vision import images as _images
from rutile.dataset.vision.utils import ImageReadMode

_errors = _rutile.errors

__all__ = ["VideoDecoder", "encode_jpeg", "encode_png", "get_image_num_channels", "get_image_size", "read_file", "read_image",
           "read_video", "read_video_timestamps", "write_file", "write_jpeg", "write_png"]


def _bytes_to_encode(name, image):
    if not isinstance(image, (_np.ndarray, _rutile.Tensor)):
        raise _errors.TypeError(f"[{name}] Input image is not of type numpy.ndarray or Tensor, but got: {type(image)}.")
    x = image.asnumpy() if isinstance(image, _rutile.Tensor) else image
    if x.dtype != _np.uint8:
        raise _errors.RuntimeError(f"[{name}] the type of the image data should be uint8, but got {x.dtype}")
    if x.ndim not in (2, 3) or (x.ndim == 3 and x.shape[2] not in (1, 3)) or x.size == 0:
        raise _errors.RuntimeError(f"[{name}] takes images [h, w], [h, w, 1] or [h, w, 3], got {list(x.shape)}")
    return _images.pillow().fromarray(_np.ascontiguousarray(x[..., 0] if x.ndim == 3 and x.shape[2] == 1 else x))


def _encoded(image, kind, **options):
    f = _io.BytesIO()
    image.save(f, kind, **options)
    return _np.frombuffer(f.getvalue(), _np.uint8)


def encode_jpeg(image, quality=75):
    """The bytes, uint8 [n], of a JPEG file of pixels uint8 [h, w], [h, w, 1] or [h, w, 3]; quality 1 to 100.

    >>> import numpy as np
    >>> import rutile.dataset.vision as vision
    >>> vision.Decode()(vision.encode_jpeg(np.zeros((8, 6, 3), np.uint8))).shape
    (8, 6, 3)
    """
    if isinstance(quality, bool) or not isinstance(quality, int):
        raise _errors.TypeError(f"[encode_jpeg] Input quality is not of type int, but got: {type(quality)}.")
    pil = _bytes_to_encode("encode_jpeg", image)
    if not 1 <= quality <= 100:
        raise _errors.RuntimeError(f"[encode_jpeg] quality is 1 to 100, got {quality}")
    return _encoded(pil, "JPEG", quality=quality)


def encode_png(image, compression_level=6):
    """The bytes, uint8 [n], of a PNG file of pixels uint8 [h, w], [h, w, 1] or [h, w, 3]; compression_level 0 to 9."""
    if isinstance(compression_level, bool) or not isinstance(compression_level, int):
        raise _errors.TypeError(f"[encode_png] Input compression_level is not of type int, but got: {type(compression_level)}.")
    pil = _bytes_to_encode("encode_png", image)
    if not 0 <= compression_level <= 9:
        raise _errors.RuntimeError(f"[encode_png] compression_level is 0 to 9, got {compression_level}")
    return _encoded(pil, "PNG", compress_level=compression_level)


def _named(name, filename):
    if not isinstance(filename, str):
        raise _errors.TypeError(f"[{name}] Input filename is not of type str, but got: {type(filename)}.")
    return filename


def read_file(filename):
    """The bytes of a file, uint8 [n]."""
    if not _os.path.isfile(_named("read_file", filename)):
        raise _errors.RuntimeError(f"[read_file] there is no regular file {filename!r}")
    return _np.fromfile(filename, _np.uint8)


def write_file(filename, data):
    """Writes data, uint8 [n] (an array or a Tensor), to a file."""
    _named("write_file", filename)
    if not isinstance(data, (_np.ndarray, _rutile.Tensor)):
        raise _errors.TypeError(f"[write_file] Input data is not of type numpy.ndarray or Tensor, but got: {type(data)}.")
    data = data.asnumpy() if isinstance(data, _rutile.Tensor) else data
    if data.dtype != _np.uint8 or data.ndim != 1:
        raise _errors.RuntimeError(f"[write_file] takes bytes, uint8 [n], got {data.dtype} {list(data.shape)}")
    try:
        data.tofile(filename)
    except OSError as e:
        raise _errors.RuntimeError(f"[write_file] cannot write {filename!r}: {e.strerror}") from None


def write_jpeg(filename, image, quality=75):
    """Writes pixels as a JPEG file, as encode_jpeg makes it."""
    write_file(_named("write_jpeg", filename), encode_jpeg(image, quality))


def write_png(filename, image, compression_level=6):
    """Writes pixels as a PNG file, as encode_png makes it."""
    write_file(_named("write_png", filename), encode_png(image, compression_level))


def read_image(filename, mode=ImageReadMode.UNCHANGED):
    """The pixels uint8 [h, w, c] of a JPEG, PNG, BMP or TIFF file: as they are there, grey (c = 1) or colours (c = 3)."""
    Checks("read_image").kind("mode", mode, ImageReadMode)
    if not _os.path.isfile(_named("read_image", filename)):
        raise _errors.RuntimeError(f"[read_image] there is no regular file {filename!r}")
    try:
        with _images.pillow().open(filename) as f:
            if mode != ImageReadMode.UNCHANGED:
                f = f.convert("L" if mode == ImageReadMode.GRAYSCALE else "RGB")
            elif f.mode not in ("L", "RGB", "RGBA"):
                f = f.convert("L" if f.mode == "1" else "RGB")
            x = _np.array(f)
    except OSError as e:
        raise _errors.RuntimeError(f"[read_image] {filename!r} is no image that can be decoded: {e}") from None
    return x[..., None] if x.ndim == 2 else x


def _shape(name, image):
    if _images.is_pil(image):
        return (image.height, image.width, len(image.getbands()))
    if not isinstance(image, _np.ndarray):
        raise _errors.TypeError(f"[{name}] Input image is not of type numpy.ndarray or PIL.Image.Image, but got: {type(image)}.")
    if image.ndim < 2:
        raise _errors.RuntimeError(f"[{name}] an image has at least 2 dimensions, got {list(image.shape)}")
    return image.shape


def get_image_size(image):
    """[height, width] of an array [..., h, w, c] or [h, w] or a PIL image."""
    shape = _shape("get_image_size", image)
    return list(shape[:2] if len(shape) == 2 else shape[-3:-1])


def get_image_num_channels(image):
    """The number of channels of an array [..., h, w, c] or [h, w] or a PIL image."""
    shape = _shape("get_image_num_channels", image)
    return 1 if len(shape) == 2 else shape[-1]


def _no_video(name):
    return _errors.UnsupportedError(f"[{name}] videos are not decoded here; read their frames with PyAV or OpenCV in a "
                                    "GeneratorDataset")


def read_video(filename, start_pts=0, end_pts=None, pts_unit="pts"):
    """Videos are not decoded: an error says what to use."""
    raise _no_video("read_video")


def read_video_timestamps(filename, pts_unit="pts"):
    """Videos are not decoded: an error says what to use."""
    raise _no_video("read_video_timestamps")


read_video._refused = read_video_timestamps._refused = True


class VideoDecoder:
    """Videos are not decoded: an error says what to use."""

    _refused = True

    def __init__(self, source):
        raise _no_video("VideoDecoder")
