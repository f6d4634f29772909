# SPDX-License-Identifier: Apache-2.0
"""Variance where the mean is far larger than the deviations."""

import numpy as np
import pytest

import rutile
from rutile.ops import table


@pytest.mark.parametrize("base, step", [(1e7, 1), (1e5, 2**-7), (1e4, 2**-10), (1234.5678, 0), (1.7e9, 1024)])
def test_a_large_mean(base, step):
    x = np.float32(base) + np.float32(step) * (np.arange(100000) % 4).astype(np.float32)
    x = x.astype(np.float32)
    want = x.astype(np.float64).var(ddof=1)
    assert table.var(rutile.Tensor(x)).item() == pytest.approx(want, rel=1e-4, abs=1e-12)
    rows = table.var(rutile.Tensor(np.stack([x] * 3)), axes=(1,)).asnumpy()
    assert rows == pytest.approx([want] * 3, rel=1e-4, abs=1e-12)
