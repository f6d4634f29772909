# SPDX-License-Identifier: Apache-2.0
"""Transforms of images with a random part, with boxes and of files: what they may give, and their errors."""

import numpy as np
import pytest

import rutile as ms
from rutile.dataset import NumpySlicesDataset, config, transforms, vision


def image(h=12, w=10, c=3):
    return np.random.default_rng(1).integers(0, 256, (h, w, c)).astype(np.uint8)


@pytest.fixture(autouse=True)
def seeded():
    config.set_seed(7)


def results(op, x, n=60):
    return {op(x).tobytes() for _ in range(n)}


def test_with_a_probability():
    x = image()
    for op, plain in [(vision.RandomAdjustSharpness(2.0, 0.5), vision.AdjustSharpness(2.0)), (vision.RandomEqualize(0.5), vision.Equalize()),
                      (vision.RandomInvert(0.5), vision.Invert()), (vision.RandomAutoContrast(10.0, None, 0.5), vision.AutoContrast(10.0))]:
        assert results(op, x) == {x.tobytes(), plain(x).tobytes()}
    for op in (vision.RandomAdjustSharpness(2.0, 0.0), vision.RandomEqualize(0), vision.RandomPerspective(0.5, 0.0)):
        assert results(op, x, 5) == {x.tobytes()}


def test_within_ranges():
    x = image()
    assert results(vision.RandomPosterize((1, 3)), x) == {vision.Posterize(b)(x).tobytes() for b in (1, 2, 3)}
    assert results(vision.RandomColor((1.0, 1.0)), x, 3) == {x.tobytes()}
    assert results(vision.RandomColor((0.0, 0.0)), x, 3) == {vision.AdjustSaturation(0.0)(x).tobytes()}
    assert results(vision.RandomSharpness((2.0, 2.0)), x, 3) == {vision.AdjustSharpness(2.0)(x).tobytes()}
    assert len(results(vision.RandomSharpness(), x, 20)) > 10
    assert results(vision.RandomSolarize((10, 12)), x) == {vision.Solarize((float(a), float(b)))(x).tobytes() for a in (10, 11, 12)
                                                           for b in range(a, 13)}
    light = vision.RandomLighting(0.1)(np.full((4, 5, 3), 128, np.uint8))
    assert len(np.unique(light.reshape(-1, 3), axis=0)) == 1 and results(vision.RandomLighting(0.0), x, 2) == {x.tobytes()}
    assert results(vision.RandomAffine(0), x, 3) == {x.tobytes()}
    right = {np.argmax(vision.RandomAffine(0, translate=(0.0, 0.5))(np.eye(1, 10, 2, np.uint8) * 255)) for _ in range(200)}
    assert right == set(range(2, 8))
    assert vision.RandomAffine((5, 10), (-0.1, 0.1, 0, 0.2), (0.5, 2), (1, 5, -3, 3), vision.Inter.BILINEAR, (1, 2, 3))(x).shape == x.shape
    assert vision.RandomPerspective(0.3, 1.0)(x).shape == x.shape
    assert np.array_equal(vision.RandomPerspective(0.0, 1.0, vision.Inter.BILINEAR)(x), x)


def test_several_images_share_their_random_numbers():
    x = image()
    for op in (vision.RandomCrop(5), vision.RandomHorizontalFlip(), vision.RandomRotation(40), vision.RandomResizedCrop(4)):
        for _ in range(5):
            a, b = op(x, x)
            assert np.array_equal(a, b)
    frames = np.stack([x, x, x])
    out = vision.RandomCrop(5)(frames)
    assert out.shape == (3, 5, 5, 3) and np.array_equal(out[0], out[2])
    assert len(results(vision.RandomCrop(5), frames)) > 10


def test_policies():
    x = image(24, 20)
    for op in [vision.AutoAugment(p, vision.Inter.BILINEAR, (1, 2, 3)) for p in vision.AutoAugmentPolicy] + [
            vision.RandAugment(), vision.RandAugment(3, 30, 31, vision.Inter.BICUBIC, 9), vision.TrivialAugmentWide(),
            vision.TrivialAugmentWide(5)]:
        out = [op(x) for _ in range(40)]
        assert {(v.shape, v.dtype.name) for v in out} == {((24, 20, 3), "uint8")}
        assert len({v.tobytes() for v in out}) > 12
    assert results(vision.RandAugment(0), x, 3) == {x.tobytes()}
    from rutile.dataset.vision.policies import pairs
    for policy in vision.AutoAugmentPolicy:
        found = pairs(policy)
        assert len(found) == 25 and all(len(p) == 2 and 0 <= q <= 1 and 0 <= m < 10 for p in found for _, q, m in p)
    with pytest.raises(RuntimeError, match="uint8"):
        vision.RandAugment()(x.astype(np.float32))
    with pytest.raises(RuntimeError, match=r"\[h, w, 3\]"):
        vision.AutoAugment()(x[..., :1])


def test_chosen_transforms():
    x = image()
    ops = [vision.HorizontalFlip(), vision.VerticalFlip(), vision.Invert()]
    found = results(vision.UniformAugment(ops, 2), x)
    assert x.tobytes() in found and ops[2](x).tobytes() in found and ops[1](ops[0](x)).tobytes() in found and len(found) == 7
    both = vision.RandomSelectSubpolicy([[(ops[0], 1.0), (ops[1], 0.5)], [(ops[2], 1)]])
    assert results(both, x) == {ops[0](x).tobytes(), ops[1](ops[0](x)).tobytes(), ops[2](x).tobytes()}


def test_mixed_batches():
    images, labels = np.stack([image(), image() // 2, image() // 3]), np.eye(3, dtype=np.float32)
    out, mixed = vision.MixUp(3, 0.7)(images, labels)
    w = mixed[0, 0]
    assert np.allclose(mixed.sum(1), 1) and np.allclose(out[0], w * images[0] + (1 - w) * images[1])
    op = vision.MixUp(3, 0.7, False)
    first = op(images, labels)
    assert np.array_equal(first[1], labels)
    second = op(images[::-1], labels[::-1])
    w = second[1][0, 2]
    assert np.allclose(second[0][0], w * images[2] + (1 - w) * images[0])
    out, mixed = vision.MixUpBatch(0.3)(images, labels)
    assert out.dtype == np.float32 and np.allclose(mixed.sum(1), 1, atol=1e-6)
    assert np.allclose(out, np.tensordot(mixed, images.astype(np.float32), 1), atol=1e-3)
    for form, data in ((vision.ImageBatchFormat.NHWC, images), (vision.ImageBatchFormat.NCHW, images.transpose(0, 3, 1, 2))):
        out, mixed = vision.CutMixBatch(form, 1.0, 1.0)(data, labels.astype(np.int32))
        assert out.shape == data.shape and mixed.dtype == np.float32
        for i in range(3):
            same = (out[i] == data[i]).mean()
            assert abs(mixed[i].sum() - 1) < 1e-5 and abs(mixed[i, i] - same) < 0.1
    data = NumpySlicesDataset((images, labels), ["x", "y"], shuffle=False).batch(3).map(vision.MixUpBatch(), ["x", "y"])
    assert next(iter(data))[0].shape == (3, 12, 10, 3)


def test_boxes():
    x, boxes = image(), np.array([[1, 2, 4, 5, 9], [6, 0, 4, 3, 8]], np.float32)
    for _ in range(30):
        for op in (vision.RandomCropWithBBox(6, 1), vision.RandomResizedCropWithBBox((7, 8), (0.1, 0.5))):
            out, found = op(x, boxes)
            assert out.shape[:2] == ((6, 6) if isinstance(op, vision.RandomCropWithBBox) else (7, 8)) and found.shape[1] == 5
            assert (found[:, :4] >= 0).all() and (found[:, 0] + found[:, 2] <= out.shape[1] + 1e-3).all()
            assert (found[:, 1] + found[:, 3] <= out.shape[0] + 1e-3).all() and 1 <= len(found) <= 2
    out, found = vision.RandomResizeWithBBox((24, 20))(x, boxes)
    assert out.shape == (24, 20, 3) and np.array_equal(found[:, :4], boxes[:, :4] * 2) and np.array_equal(found[:, 4], boxes[:, 4])
    out, found = vision.BoundingBoxAugment(vision.Invert(), 0.5)(x, boxes)
    changed = [not np.array_equal(out[int(b[1]):int(b[1] + b[3]), int(b[0]):int(b[0] + b[2])],
                                  x[int(b[1]):int(b[1] + b[3]), int(b[0]):int(b[0] + b[2])]) for b in boxes]
    assert sum(changed) == 1 and np.array_equal(found, boxes)
    assert np.array_equal(vision.BoundingBoxAugment(vision.Resize(3), 1.0)(x, boxes)[0].shape, x.shape)
    for bad, text in (([[8, 1, 5, 5]], "out of bounds"), ([[-1, 1, 5, 5]], "must not be negative"), ([[1, 1, 5]], "4 or more")):
        with pytest.raises(RuntimeError, match=text):
            vision.RandomHorizontalFlipWithBBox(1.0)(x, np.array(bad, np.float32))
    data = NumpySlicesDataset((x[None], boxes[None]), ["image", "boxes"], shuffle=False).map(
        vision.RandomVerticalFlipWithBBox(1.0), ["image", "boxes"])
    assert next(iter(data))[1].asnumpy()[0].tolist() == [1, 5, 4, 5, 9]


def test_files(tmp_path):
    pytest.importorskip("PIL")
    x = image()
    for name, write, exact in (("a.png", vision.write_png, True), ("a.jpg", vision.write_jpeg, False)):
        path = str(tmp_path / name)
        write(path, ms.Tensor(x))
        got = vision.read_image(path)
        assert got.shape == x.shape and (not exact or np.array_equal(got, x))
        assert vision.read_image(path, vision.ImageReadMode.GRAYSCALE).shape == (12, 10, 1)
        data = vision.read_file(path)
        vision.write_file(str(tmp_path / "copy"), data)
        assert (tmp_path / "copy").read_bytes() == (tmp_path / name).read_bytes() and np.array_equal(vision.Decode()(data), got)
    vision.write_png(str(tmp_path / "grey.png"), x[..., 0])
    assert np.array_equal(vision.read_image(str(tmp_path / "grey.png")), x[..., :1])
    assert len(vision.encode_jpeg(x, 95)) > len(vision.encode_jpeg(x, 5)) and vision.encode_png(x, 0).dtype == np.uint8
    assert vision.get_image_size(x) == [12, 10] and vision.get_image_num_channels(x) == 3
    assert vision.get_image_size(vision.ToPIL()(x)) == [12, 10] and vision.get_image_num_channels(x[..., 0]) == 1
    for error, call in ((RuntimeError, lambda: vision.read_file("/nowhere")), (TypeError, lambda: vision.read_file(3)),
                        (RuntimeError, lambda: vision.encode_jpeg(x, 0)), (TypeError, lambda: vision.encode_jpeg(x, 7.5)),
                        (RuntimeError, lambda: vision.encode_png(x.astype(np.float32))), (TypeError, lambda: vision.encode_png([1])),
                        (RuntimeError, lambda: vision.encode_jpeg(np.zeros((3, 4, 2), np.uint8))), (TypeError, lambda: vision.read_image("a", 1)),
                        (NotImplementedError, lambda: vision.read_video("a.mp4")), (NotImplementedError, vision.DecodeVideo)):
        with pytest.raises(error):
            call()


def test_on_the_cpu():
    assert isinstance(vision.Resize(3).device("CPU"), vision.Resize)
    with pytest.raises(RuntimeError, match="Ascend"):
        vision.Resize(3).device("Ascend")
    with pytest.raises(ValueError, match="device_target"):
        vision.Resize(3).device("TPU")


@pytest.mark.parametrize("error, text, call", [
    (ValueError, r"Input gamma is not within the required interval of \[0, 16777216\]", lambda: vision.AdjustGamma(-1)),
    (TypeError, "Argument gain with value 'a' is not of type", lambda: vision.AdjustGamma(1, "a")),
    (ValueError, r"hue_factor is not within the required interval of \[-0.5, 0.5\]", lambda: vision.AdjustHue(0.6)),
    (TypeError, "Argument hue_factor", lambda: vision.AdjustHue("0.1")),
    (TypeError, "Argument brightness_factor", lambda: vision.AdjustBrightness(brightness_factor=None)),
    (ValueError, "degrees is not within", lambda: vision.Affine(200, (0, 0), 1, 0)),
    (TypeError, "translate should be", lambda: vision.Affine(0, (0,), 1, 0)),
    (ValueError, "scale must be greater than 0", lambda: vision.Affine(0, (0, 0), 0, 0)),
    (TypeError, "fill_value should be a single integer or a 3-tuple", lambda: vision.Affine(0, (0, 0), 1, 0, vision.Inter.LINEAR, "a")),
    (ValueError, r"cutoff is not within the required interval of \[0, 50\)", lambda: vision.AutoContrast(50.0)),
    (ValueError, "ignore is not within", lambda: vision.AutoContrast(1.0, (300,))),
    (ValueError, "top is not within", lambda: vision.Erase(-1, 0, 1, 1)), (TypeError, "3-tuple", lambda: vision.Erase(0, 0, 1, 1, (1, 2))),
    (ValueError, "kernel_size is not an odd value", lambda: vision.GaussianBlur(4)),
    (ValueError, r"kernel_size\[1\] is not an odd value", lambda: vision.GaussianBlur((3, 4))),
    (TypeError, "is_hwc", lambda: vision.RgbToHsv(1)), (ValueError, "square matrix", lambda: vision.LinearTransformation(np.ones((2, 3)), np.ones(2))),
    (ValueError, "alpha must be greater than 0", lambda: vision.MixUpBatch(0)), (TypeError, "image_batch_format", lambda: vision.CutMixBatch(0)),
    (ValueError, "offset must be empty or a sequence of length 2", lambda: vision.PadToSize(3, (1,))),
    (TypeError, "start_points should be a list or tuple of length 4", lambda: vision.Perspective([[0, 0]], [[0, 0]] * 4)),
    (ValueError, r"bits is not within the required interval of \[0, 8\]", lambda: vision.Posterize(9)),
    (ValueError, "num_ops is not within", lambda: vision.RandAugment(-1)), (ValueError, r"\[0, 31\)", lambda: vision.RandAugment(1, 31)),
    (ValueError, "in .min,max. format", lambda: vision.RandomAffine((10, 5))), (TypeError, "length 2 or 4", lambda: vision.RandomAffine(1, (0.1,))),
    (TypeError, "degrees must be either a tuple or a list", lambda: vision.RandomColor(0.5)),
    (ValueError, "in .min,max. format", lambda: vision.RandomSharpness((2, 1))),
    (ValueError, "policy can not be empty", lambda: vision.RandomSelectSubpolicy([])),
    (ValueError, "2-tuple", lambda: vision.RandomSelectSubpolicy([[vision.Invert()]])),
    (ValueError, r"threshold is not within", lambda: vision.Solarize((0.0, 300.0))),
    (ValueError, "in .min,max. format", lambda: vision.RandomSolarize((9, 3))),
    (ValueError, "num_ops is greater than transforms list size", lambda: vision.UniformAugment([vision.Invert()], 2)),
    (ValueError, "num_height is not within", lambda: vision.SlicePatches(0)),
    (ValueError, r"num_magnitude_bins is not within", lambda: vision.TrivialAugmentWide(1)),
    (RuntimeError, "uint8", lambda: vision.Equalize()(image().astype(np.float32))),
    (RuntimeError, r"\[h, w, 3\]", lambda: vision.AdjustHue(0.1)(image()[..., 0])),
    (RuntimeError, "beyond the image", lambda: vision.ResizedCrop(9, 9, 9, 9, 3)(image())),
    (ValueError, "larger than the input image", lambda: vision.FiveCrop(50)(image())),
    (RuntimeError, "smaller than the image", lambda: vision.PadToSize(5)(image())),
    (RuntimeError, "patches for an image", lambda: vision.SlicePatches(50, 1)(image())),
    (RuntimeError, "takes 4 channels", lambda: vision.ConvertColor(vision.ConvertMode.COLOR_RGBA2RGB)(image()))])
def test_errors(error, text, call):
    with pytest.raises(error, match=text):
        call()


def test_old_modules_have_the_new_names():
    from rutile.dataset.vision import c_transforms, py_transforms
    for name in ("RandomAffine", "AutoContrast", "RandomSelectSubpolicy", "MixUp", "SlicePatches", "RandomCropWithBBox"):
        assert getattr(c_transforms, name) is getattr(py_transforms, name) is getattr(vision, name)
    assert transforms.not_random is vision.not_random
