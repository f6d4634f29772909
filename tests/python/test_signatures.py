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


def test_learning_rates_say_what_they_take():
    exponential, cosine = nn.exponential_decay_lr, nn.cosine_decay_lr
    for error, call in [
            (TypeError, lambda: nn.piecewise_constant_lr(1, [0.1])), (TypeError, lambda: nn.piecewise_constant_lr([1.0, 2], [0.1, 0.2])),
            (TypeError, lambda: nn.piecewise_constant_lr([1, 2], True)), (ValueError, lambda: nn.piecewise_constant_lr([2, 1], [0.1, 0.2])),
            (TypeError, lambda: exponential(True, 0.9, 30, 3, 2)), (ValueError, lambda: exponential(-1.0, 0.9, 30, 3, 2)),
            (TypeError, lambda: exponential(0.1, "a", 30, 3, 2)), (TypeError, lambda: exponential(0.1, 0.9, 30, 3, 2, 1)),
            (TypeError, lambda: cosine(0.1, "a", 30, 3, 2)), (ValueError, lambda: cosine(-0.1, 0.1, 30, 3, 2)),
            (TypeError, lambda: nn.polynomial_decay_lr(0.1, 0.01, 30, 3, 2, True)),
            (TypeError, lambda: nn.polynomial_decay_lr(0.1, 0.01, 30, 3, 2, 0.5, 1)),
            (TypeError, lambda: nn.warmup_lr("a", 30, 3, 2)), (TypeError, lambda: nn.ExponentialDecayLR(0.1, 0.9, 4, 1)),
            (TypeError, lambda: nn.PolynomialDecayLR(0.1, 0.01, 4, 0.5, 1)), (TypeError, lambda: nn.ParameterUpdate(3))]:
        with pytest.raises(error):
            call()
