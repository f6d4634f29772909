# SPDX-License-Identifier: Apache-2.0
"""The Cells of nn take MindSpore's arguments, in its order, with its defaults."""

import importlib.util
import json
import pathlib

import pytest

from rutile import nn

FOLDER = pathlib.Path(__file__).parent / "dumps"
_spec = importlib.util.spec_from_file_location("signatures", FOLDER / "signatures.py")
signatures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(signatures)
STORED = json.loads((FOLDER / "signatures.json").read_text())

# Where Rutile's differ, and why: one number for none, no group of processes, older arguments as well.
OTHERS = {"TrainOneStepCell": "sens", "DistributedGradReducer": "group", "Dropout": "dtype", "OcclusionSensitivity": None}


@pytest.mark.parametrize("name", [n for n in STORED if hasattr(nn, n)])
def test_arguments(name):
    ours, theirs = signatures.arguments(getattr(nn, name)), STORED[name]
    if name in OTHERS and ours is not None:
        theirs = [a for a in theirs if a[0] != OTHERS[name]]
        ours = [a for a in ours if a[0] != OTHERS[name]]
    if theirs == [] and ours == [["auto_prefix", "True"], ["flags", "None"]]:
        return  # Cell's own
    assert ours == theirs
