#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes reference.safetensors with the Python package `safetensors` (0.8.0, NumPy); kept beside it.

Every tensor holds 0, 1, 2, ... in its dtype (truth values alternate); bfloat16 and the 8-bit float are given as bytes.
"""
import json
import pathlib
import struct

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

here = pathlib.Path(__file__).parent
path = here / "reference.safetensors"
tensors = {name: np.arange(6).reshape(2, 3).astype(dtype) for name, dtype in {
    "f64": "f8", "f32": "f4", "f16": "f2", "i64": "i8", "i32": "i4", "i16": "i2", "i8": "i1",
    "u64": "u8", "u32": "u4", "u16": "u2", "u8": "u1", "c64": "c8"}.items()}
tensors["bool"] = np.array([False, True, False])
tensors["scalar"] = np.array(2.5, np.float32)
tensors["empty"] = np.zeros((0, 4), np.float32)
tensors['na"me\n\u00e9'] = np.ones(1, np.uint8)
save_file(tensors, path, metadata={"text": 'line\n"quoted" \u00e9 \u0001'})
with safe_open(path, "np") as f:
    assert set(f.keys()) == set(tensors)

# NumPy has no bfloat16 and no 8-bit float: a second file, checked by the package but laid out here.
header = json.dumps({"bf16": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
                     "f8": {"dtype": "F8_E4M3", "shape": [3], "data_offsets": [4, 7]}}, separators=(",", ":"))
header += " " * (-len(header) % 8)
low = here / "low_precision.safetensors"
low.write_bytes(struct.pack("<Q", len(header)) + header.encode() + struct.pack("<HH3B", 0x3F80, 0x4000, 1, 2, 3))
with safe_open(low, "np") as f:
    assert list(f.keys()) == ["bf16", "f8"]
