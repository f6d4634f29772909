# SPDX-License-Identifier: Apache-2.0
"""Writes updates_f64.json: steps of optimizers and learning rates of schedules (needs torch)."""

import pathlib

from golden_data import write_json
from golden_updates import all_samples, schedules

rows = all_samples()
path = pathlib.Path(__file__).with_name("updates_f64.json")
write_json(path, {"samples": rows, "schedules": schedules()})
print(f"{path.name}: {len(rows)} samples")
