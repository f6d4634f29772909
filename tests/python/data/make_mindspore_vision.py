# SPDX-License-Identifier: Apache-2.0
"""Writes mindspore_vision.npz with MindSpore 2.10 on CPU (`pip install mindspore "numpy<2"`): images, and what its transforms
make of them. test_vision.py reads it; cases() is the list that both use."""

import os

import numpy as np


def cases(vision, transforms):
    """(name, input, transform)"""
    inter, border = vision.Inter, vision.Border
    out = []
    for how in ("LINEAR", "NEAREST", "CUBIC", "AREA"):
        for size in ((26, 34), (7, 9), (20, 11), 10):
            if how == "AREA" and size in ((26, 34), (20, 11)):
                continue
            out.append((f"resize_{how}_{size}", "rgb", vision.Resize(size, getattr(inter, how))))
    out += [("resize_float", "float", vision.Resize((26, 9))), ("resize_grey", "grey", vision.Resize((26, 9))),
            ("crop", "rgb", vision.CenterCrop(8)), ("crop_larger", "rgb", vision.CenterCrop((20, 9))),
            ("window", "rgb", vision.Crop((2, 3), (5, 6))), ("hflip", "rgb", vision.HorizontalFlip()),
            ("vflip", "rgb", vision.VerticalFlip()), ("invert", "rgb", vision.Invert()),
            ("normalize", "rgb", vision.Normalize([120.0, 110.0, 100.0], [50.0, 60.0, 70.0])),
            ("normalize_chw", "chw", vision.Normalize([0.5, 0.25, 0.1], [0.5, 0.25, 0.1], is_hwc=False)),
            ("rescale", "rgb", vision.Rescale(1 / 255.0, -0.5)), ("hwc2chw", "rgb", vision.HWC2CHW()),
            ("to_tensor", "rgb", vision.ToTensor()), ("brightness", "rgb", vision.AdjustBrightness(1.7)),
            ("contrast", "rgb", vision.AdjustContrast(0.4)), ("saturation", "rgb", vision.AdjustSaturation(1.6)),
            ("rotate", "rgb", vision.Rotate(90)), ("rotate_expand", "rgb", vision.Rotate(90, expand=True)),
            ("grey", "rgb", vision.ConvertColor(vision.ConvertMode.COLOR_RGB2GRAY)),
            ("bgr", "rgb", vision.ConvertColor(vision.ConvertMode.COLOR_RGB2BGR)),
            ("onehot", "label", transforms.OneHot(5)), ("onehot_smooth", "label", transforms.OneHot(5, 0.1)),
            ("typecast", "rgb", transforms.TypeCast("float32")), ("fill", "rgb", transforms.Fill(3)),
            ("padend", "label3", transforms.PadEnd([5], 7))]
    for mode in ("CONSTANT", "EDGE", "REFLECT", "SYMMETRIC"):
        out.append((f"pad_{mode}", "rgb", vision.Pad((1, 2, 3, 4), padding_mode=getattr(border, mode))))
    out.append(("pad_fill", "rgb", vision.Pad(2, fill_value=(1, 2, 3))))
    return out + colours(vision) + places(vision)


def colours(vision):
    mode = vision.ConvertMode
    out = [(f"gamma_{g}_{k}_{source}", source, vision.AdjustGamma(g, k)) for g, k in ((0.5, 1), (2.2, 1), (0.9, 1.3))
           for source in ("rgb", "grey", "unit")]
    out += [(f"hue_{f}", "rgb", vision.AdjustHue(f)) for f in (-0.5, -0.2, 0.0, 0.1, 0.5)]
    out += [(f"sharpness_{f}_{source}", source, vision.AdjustSharpness(f)) for f in (0.0, 0.5, 1.0, 2.5) for source in ("rgb", "grey")]
    out += [(f"auto_contrast_{c}_{i}", source, vision.AutoContrast(c, i)) for c, i, source in (
        (0.0, None, "rgb"), (10.0, None, "rgb"), (4.5, [10, 20, 200], "rgb"), (0.0, 255, "grey"))]
    out += [("equalize", "rgb", vision.Equalize()), ("equalize_grey", "grey", vision.Equalize())]
    out += [(f"posterize_{b}", "rgb", vision.Posterize(b)) for b in (0, 1, 3, 8)]
    out += [(f"solarize_{t}", "rgb", vision.Solarize(t)) for t in (0.0, 100.0, (50.0, 150.0), (255.0, 255.0))]
    out += [(f"convert_{m}_{source}", source, vision.ConvertColor(getattr(mode, f"COLOR_{m}"))) for m, source in (
        ("RGB2RGBA", "rgb"), ("BGR2RGBA", "rgb"), ("RGBA2RGB", "rgba"), ("RGBA2BGR", "rgba"), ("RGBA2BGRA", "rgba"), ("BGR2GRAY", "rgb"),
        ("RGBA2GRAY", "rgba"), ("BGRA2GRAY", "rgba"), ("GRAY2RGB", "grey1"), ("GRAY2RGBA", "grey1"))]
    out += [("hsv", "rgb_chw", vision.RgbToHsv()), ("hsv_hwc", "rgb", vision.RgbToHsv(True)), ("hsv_batch", "batch", vision.RgbToHsv(True)),
            ("rgb_of_hsv", "chw", vision.HsvToRgb()), ("rgb_of_hsv_hwc", "unit", vision.HsvToRgb(True)),
            ("linear", "small", vision.LinearTransformation(np.arange(144.0).reshape(12, 12) / 50, np.arange(12.0)))]
    return out


def places(vision):
    inter, border, slices = vision.Inter, vision.Border, vision.SliceMode
    out = []
    for how in (inter.NEAREST, inter.BILINEAR, inter.BICUBIC):
        out += [(f"affine_{how.value}_{i}", source, vision.Affine(*args, how, fill)) for i, (source, args, fill) in enumerate((
            ("rgb", (30, (0, 0), 1.0, 0), 0), ("rgb", (-72.5, (0.2, -0.1), 0.7, (10, 20)), (9, 80, 200)),
            ("grey", (0, (0.0, 0.3), 1.5, 15.0), 77)))]
        out += [(f"rotate_{how.value}_{d}_{expand}", "rgb", vision.Rotate(d, how, expand, center, 7)) for d, expand, center in (
            (30, False, None), (-45.5, True, None), (200, False, (3, 4)), (10, True, None))]
        out += [(f"perspective_{how.value}", "rgb", vision.Perspective([[0, 0], [16, 0], [16, 12], [0, 12]], [[2, 1], [14, 3], [15, 12], [1, 10]], how))]
    for i, (kernel, sigma) in enumerate(((3, None), (5, 0.8), ((7, 3), (2.0, 0.5)), ((1, 9), None), (11, None))):
        out += [(f"blur_{i}_{source}", source, vision.GaussianBlur(kernel, sigma)) for source in ("rgb", "grey", "float")]
    out += [("erase", "rgb", vision.Erase(2, 3, 4, 5)), ("erase_colour", "rgb", vision.Erase(10, 12, 9, 9, (1, 2.5, 250))),
            ("pad_to_size", "rgb", vision.PadToSize((18, 20))), ("pad_to_size_at", "rgb", vision.PadToSize(20, (1, 2), 5)),
            ("pad_to_size_edge", "rgb", vision.PadToSize((14, 30), None, 0, border.EDGE)),
            ("resized_crop", "rgb", vision.ResizedCrop(1, 2, 8, 9, (5, 12))), ("resized_crop_int", "rgb", vision.ResizedCrop(0, 0, 8, 12, 6)),
            ("resized_crop_nearest", "rgb", vision.ResizedCrop(2, 2, 9, 9, (4, 20), inter.NEAREST)),
            ("slice", "rgb", vision.SlicePatches(2, 3)), ("slice_drop", "rgb", vision.SlicePatches(3, 2, slices.DROP)),
            ("slice_fill", "grey", vision.SlicePatches(3, 4, slices.PAD, 9)), ("hflip_batch", "batch", vision.HorizontalFlip()),
            ("vflip_batch", "batch", vision.VerticalFlip()), ("resize_batch", "batch", vision.Resize((5, 9))),
            ("crop_batch", "batch", vision.CenterCrop(6)),
            ("five", "pil", vision.FiveCrop((5, 6))), ("ten", "pil", vision.TenCrop(4)), ("ten_vertical", "pil", vision.TenCrop(4, True))]
    boxes = vision.ResizeWithBBox, vision.RandomHorizontalFlipWithBBox, vision.RandomVerticalFlipWithBBox
    out += [("boxes_resize", "boxes", boxes[0]((20, 9))), ("boxes_resize_int", "boxes", boxes[0](7, inter.NEAREST)),
            ("boxes_hflip", "boxes", boxes[1](1.0)), ("boxes_vflip", "boxes", boxes[2](1.0)),
            ("boxes_crop", "boxes", vision.RandomCropWithBBox((17, 21), (2, 2))),
            ("boxes_crop_edge", "boxes", vision.RandomCropWithBBox((13, 17), 0))]
    return out


def flat(value):
    """A result as arrays in a dict of names behind its own."""
    parts = value if isinstance(value, tuple) else (value,)
    return {(f"_{i}" if len(parts) > 1 else ""): np.asarray(v) for i, v in enumerate(parts)}


def run(op, value):
    if isinstance(value, tuple):
        return flat(op(*value))
    if isinstance(value, str):
        from PIL import Image
        return flat(op(Image.fromarray(inputs()["rgb"])))
    return flat(op(value))


def inputs():
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(13) * 9, np.arange(17) * 5)[..., None] + np.array([0, 20, 40])
    rgb = (smooth + rng.integers(-20, 20, (13, 17, 3))).clip(0, 255).astype(np.uint8)
    more = {"rgba": np.dstack([rgb, rgb[..., :1] // 2 + 9]), "grey1": rgb[..., 1:2].copy(), "rgb_chw": rgb.transpose(2, 0, 1).copy(),
            "unit": (rgb / 255).astype(np.float32), "small": rgb[:2, :2].astype(np.float64), "pil": "rgb",
            "batch": np.stack([rgb, rgb[::-1], 255 - rgb]),
            "boxes": (rgb, np.array([[0, 1, 5, 6, 1], [10, 2, 7, 11, 2], [3, 3, 1, 1, 3]], np.float32))}
    return {**more, "rgb": rgb, "grey": rgb[..., 0].copy(), "float": rgb.astype(np.float32) / 3, "chw": (
        rgb.transpose(2, 0, 1) / 255).astype(np.float32), "label": np.array(3, np.int32), "label3": np.array([1, 2, 3], np.int32)}


def main():
    from mindspore.dataset import transforms, vision
    results = {}
    for name, source, op in cases(vision, transforms):
        for part, value in run(op, inputs()[source]).items():  # some write into what they get
            results[name + part] = value
    here = os.path.dirname(os.path.abspath(__file__))
    np.savez_compressed(os.path.join(here, "mindspore_vision.npz"), **results)


if __name__ == "__main__":
    main()
