# SPDX-License-Identifier: Apache-2.0
"""Writes losses_f64.json: float64 losses and their gradients (needs torch). Inputs and sketches: golden_data.py."""

import pathlib

from golden_data import write_json
from golden_losses import all_samples

rows = all_samples()
path = pathlib.Path(__file__).with_name("losses_f64.json")
write_json(path, {"samples": rows})
print(f"{path.name}: {len(rows)} samples")
