# SPDX-License-Identifier: Apache-2.0
"""Writes ops_f64.json: float64 results of single ops (needs torch). Inputs and sketches: golden_data.py."""

import json
import pathlib

import golden_data
from golden_ops import all_samples

rows = all_samples()
path = pathlib.Path(__file__).with_name("ops_f64.json")
old = json.loads(path.read_text()) if path.exists() else {}
path.write_text(json.dumps({**old, "samples": rows}, indent=1) + "\n")
print(f"{path.name}: {len(rows)} samples, module {golden_data.__name__}")
