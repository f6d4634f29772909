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
    return out


def inputs():
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(13) * 9, np.arange(17) * 5)[..., None] + np.array([0, 20, 40])
    rgb = (smooth + rng.integers(-20, 20, (13, 17, 3))).clip(0, 255).astype(np.uint8)
    return {"rgb": rgb, "grey": rgb[..., 0].copy(), "float": rgb.astype(np.float32) / 3, "chw": (
        rgb.transpose(2, 0, 1) / 255).astype(np.float32), "label": np.array(3, np.int32), "label3": np.array([1, 2, 3], np.int32)}


def main():
    from mindspore.dataset import transforms, vision
    data, results = inputs(), {}
    for name, source, op in cases(vision, transforms):
        results[name] = np.asarray(op(data[source]))
    here = os.path.dirname(os.path.abspath(__file__))
    np.savez_compressed(os.path.join(here, "mindspore_vision.npz"), **results)


if __name__ == "__main__":
    main()
