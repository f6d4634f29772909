# SPDX-License-Identifier: Apache-2.0
"""Writes spatial_f64.json: float64 results of ops on images and their gradients (needs torch)."""

import pathlib

from golden_data import write_json
from golden_spatial import all_samples

rows = all_samples()
path = pathlib.Path(__file__).with_name("spatial_f64.json")
write_json(path, {"samples": rows})
print(f"{path.name}: {len(rows)} samples")
