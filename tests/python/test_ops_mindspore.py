# SPDX-License-Identifier: Apache-2.0
"""Functions and primitives against the stored results of MindSpore 2.10 (dumps/ops.py wrote them)."""

import json
import pathlib
import sys

import numpy as np
import pytest

import rutile

sys.path.insert(0, str(pathlib.Path(__file__).parent / "dumps"))
import ops as dump  # noqa: E402

STORED = json.loads(pathlib.Path(dump.FILE).read_text())


@pytest.fixture(scope="module")
def ours():
    return dump.run(rutile, STORED)


def compare(got, want, at):
    assert not isinstance(got, str), got
    if isinstance(want, list):
        assert len(got) == len(want), at
        for i, (g, w) in enumerate(zip(got, want)):
            compare(g, w, f"{at}[{i}]")
        return
    assert got["shape"] == want["shape"], at
    assert got["dtype"] == want["dtype"], at
    np.testing.assert_allclose(got["values"], want["values"], rtol=2e-4, atol=2e-5, err_msg=at)


@pytest.mark.parametrize("case", STORED)
def test_equals_mindspore(ours, case):
    compare(ours[case], STORED[case], case)
