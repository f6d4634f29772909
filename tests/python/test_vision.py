# SPDX-License-Identifier: Apache-2.0
"""Transforms against what MindSpore's give, their random parts, their errors."""

import importlib.util
import pathlib

import numpy as np
import pytest

import rutile as ms
from rutile.dataset import config, transforms, vision

DATA = pathlib.Path(__file__).parent / "data"
_spec = importlib.util.spec_from_file_location("make_mindspore_vision", DATA / "make_mindspore_vision.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)
CASES = make.cases(vision, transforms)


@pytest.fixture(scope="module")
def golden():
    with np.load(DATA / "mindspore_vision.npz") as f:
        return dict(f)


@pytest.mark.parametrize("name, source, op", CASES, ids=[c[0] for c in CASES])
def test_equals_mindspore(golden, name, source, op):
    if source == "pil":
        pytest.importorskip("PIL")
    for part, got in make.run(op, make.inputs()[source]).items():
        want = golden[name + part]
        assert got.dtype == want.dtype and got.shape == want.shape
        # Pixels are rounded: one step of 255 where it is close.
        tolerance = (2 if name.startswith("hue") else 1) if want.dtype == np.uint8 else 2e-5 * max(1.0, float(np.abs(want).max()))
        assert np.abs(got.astype(np.float64) - want).max() <= tolerance


def image(h=12, w=10, c=3):
    return np.random.default_rng(1).integers(0, 256, (h, w, c)).astype(np.uint8)


def test_normalize_pad():
    # MindSpore 2.10 fills the channel in the wrong places.
    got = vision.NormalizePad([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])(image())
    assert got.shape == (12, 10, 4) and not got[..., 3].any()
    assert np.array_equal(got[..., :3], vision.Normalize([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])(image()))


def test_random_parts():
    config.set_seed(3)
    x = image()
    crops = {vision.RandomCrop(8)(x).tobytes() for _ in range(60)}
    windows = {x[i:i + 8, j:j + 8].tobytes() for i in range(5) for j in range(3)}
    assert crops == windows
    assert vision.RandomCrop((14, 10), padding=1)(x).shape == (14, 10, 3)
    assert vision.RandomCrop(20, pad_if_needed=True)(x).shape == (20, 20, 3)
    flips = [np.array_equal(vision.RandomHorizontalFlip(0.25)(x), x[:, ::-1]) for _ in range(2000)]
    assert 0.2 < np.mean(flips) < 0.3
    assert vision.RandomVerticalFlip(1.0)(x).tobytes() == x[::-1].tobytes()
    assert vision.RandomResizedCrop(7)(x).shape == (7, 7, 3) and vision.RandomResize((6, 5))(x).shape == (6, 5, 3)
    assert vision.RandomRotation((90, 90))(x).shape == x.shape
    assert np.array_equal(vision.RandomRotation((90, 90), expand=True)(x), np.rot90(x))
    assert vision.RandomGrayscale(1.0)(x).std(-1).max() == 0
    assert vision.RandomColorAdjust()(x).tobytes() == x.tobytes()
    assert vision.RandomColorAdjust(0.5, 0.5, 0.5, 0.2)(x).dtype == np.uint8
    assert vision.RandomErasing(1.0)(x.transpose(2, 0, 1).astype(np.float32)).min() == 0
    assert (vision.CutOut(4)(x) == 0).all(-1).any()
    config.set_seed(5)
    a = [vision.RandomCrop(8)(x) for _ in range(5)]
    config.set_seed(5)
    assert all(np.array_equal(p, vision.RandomCrop(8)(x)) for p in a)


def test_hue_turns_colours():
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 200
    third = vision.RandomColorAdjust(hue=(1 / 3, 1 / 3))(red)
    assert third.tolist() == [[[0, 200, 0]]]


def test_combinations():
    config.set_seed(1)
    double, negate = (lambda x: x * 2), (lambda x: -x)
    assert transforms.Compose([double, negate])(3) == -6 and transforms.Compose([transforms.Duplicate()])(3) == (3, 3)
    assert {transforms.RandomApply([double], 0.5)(1) for _ in range(40)} == {1, 2}
    assert {transforms.RandomChoice([double, negate])(1) for _ in range(40)} == {2, -1}
    assert {transforms.RandomOrder([double, lambda x: x + 1])(1) for _ in range(40)} == {3, 4}
    assert transforms.Concatenate(0, [0], [9])(np.array([1, 2])).tolist() == [0, 1, 2, 9]


def test_arguments_of_images():
    x = image()
    assert np.array_equal(vision.HWC2CHW()(ms.Tensor(x)), x.transpose(2, 0, 1))
    a, b = vision.HorizontalFlip()(x, x)
    assert np.array_equal(a, b)
    from rutile.dataset import c_transforms, py_transforms
    from rutile.dataset.transforms import c_transforms as ct, py_transforms as pt
    from rutile.dataset.vision import Inter, c_transforms as cv, py_transforms as pv
    assert cv.Resize is vision.Resize and ct.TypeCast is transforms.TypeCast and pt.OneHotOp is transforms.OneHot
    assert c_transforms.Compose is py_transforms.Compose and cv.Inter.LINEAR is Inter.BILINEAR is Inter.LINEAR
    chw = pv.ToTensor()(x)
    assert np.allclose(pv.Normalize([0.5] * 3, [0.5] * 3)(chw), (chw - 0.5) / 0.5)


def test_pillow_images():
    Image = pytest.importorskip("PIL.Image")
    import io
    x = image()
    for kind in ("PNG", "BMP", "JPEG"):
        f = io.BytesIO()
        Image.fromarray(x).save(f, kind)
        data = np.frombuffer(f.getvalue(), np.uint8)
        got = vision.Decode()(data)
        assert got.shape == x.shape and (kind == "JPEG" or np.array_equal(got, x))
    from rutile.dataset.vision import py_transforms as pv
    pil = pv.Decode()(data)
    out = pv.Compose([pv.Resize((8, 6)), pv.RandomHorizontalFlip(1.0), pv.CenterCrop(4), pv.ToTensor()])(pil) if hasattr(
        pv, "Compose") else transforms.Compose([pv.Resize((8, 6)), pv.RandomHorizontalFlip(1.0), pv.CenterCrop(4), pv.ToTensor()])(pil)
    assert out.shape == (3, 4, 4) and out.dtype == np.float32
    assert np.array_equal(vision.ToNumpy()(vision.ToPIL()(x)), x)
    with pytest.raises(ValueError, match="can be decoded"):
        vision.Decode()(np.zeros(10, np.uint8))


def test_errors():
    x = image()
    for error, text, call in [
            (RuntimeError, r"\[RandomCrop\] the size 13 x 13 is larger", lambda: vision.RandomCrop(13)(x)),
            (ValueError, "size is not within the required interval of .1, 16777216.", lambda: vision.Resize(0)),
            (TypeError, "size should be a single integer", lambda: vision.Resize("big")),
            (TypeError, "interpolation", lambda: vision.Resize(3, 2.5)),
            (ValueError, r"Input prob is not within the required interval of \[0.0, 1.0\]", lambda: vision.RandomHorizontalFlip(2)),
            (ValueError, r"std\[0\] is not within the required interval of \(0, 255\]", lambda: vision.Normalize([1.0], [0.0])),
            (ValueError, "Length of mean and std must be equal", lambda: vision.Normalize([1.0], [1.0, 2.0])),
            (RuntimeError, "10 channels", lambda: vision.Normalize([1.0] * 3, [1.0] * 3, is_hwc=True)(x.transpose(2, 0, 1))),
            (TypeError, "takes an image", lambda: vision.HWC2CHW()("x")),
            (RuntimeError, r"\[h, w\] or \[h, w, c\]", lambda: vision.HWC2CHW()(np.zeros(3))),
            (ValueError, "transforms list can not be empty", lambda: transforms.Compose([])),
            (TypeError, "neither a transforms op", lambda: transforms.Compose([3])),
            (RuntimeError, "5 classes, got number 7", lambda: transforms.OneHot(5)(7)),
            (RuntimeError, "beyond the image", lambda: vision.Crop((9, 9), 9)(x))]:
        with pytest.raises(error, match=text):
            call()
