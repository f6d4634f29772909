# SPDX-License-Identifier: Apache-2.0
"""Ten steps of every optimizer, and learning rates, give MindSpore's numbers and names of states, eagerly and compiled."""

import importlib.util
import pathlib

import numpy as np
import pytest

import rutile as ms
import rutile.experimental.optim  # noqa: F401

FOLDER = pathlib.Path(__file__).parent / "dumps"
_spec = importlib.util.spec_from_file_location("optimizer_dumps", FOLDER / "optimizers.py")
dumps = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(dumps)
STORED = np.load(FOLDER / "optimizers.npz")

# States that MindSpore keeps and Rutile has no use for, and the other way round.
THEIRS = ("stat.", "max_exp_avg_sq.", "mean_grad.", "moment.", "mu_product", "Parameter$")
OURS = ("step_t", "learning_rate_group_", "mu_", "eta_")


def stored(expression):
    start = dumps.key(expression) + " "
    return {k[len(start):]: STORED[k] for k in STORED.files if k.startswith(start)}


@pytest.mark.parametrize("expression", dumps.names_of(dumps.OPTIMIZERS))
def test_ten_steps(expression):
    found = dumps.train(ms, expression)
    compiled = dumps.train(ms, expression, lambda optimizer: ms.jit(lambda g: optimizer(g)))
    assert set(found) == set(compiled)
    for key, v in found.items():
        np.testing.assert_allclose(compiled[key], v, rtol=1e-5, atol=1e-6, err_msg=f"compiled {key}")
    want = stored(expression)
    for key, v in want.items():
        if key.startswith("state ") and key not in found:
            assert key[6:].startswith(THEIRS), key
            continue
        np.testing.assert_allclose(found[key].reshape(v.shape), v, rtol=1e-4, atol=2e-5, err_msg=key)
    if want:
        assert all(k in want or k[6:].startswith(OURS) for k in found), sorted(set(found) - set(want))


@pytest.mark.parametrize("expression", dumps.names_of(dumps.SCHEDULES))
def test_rates(expression):
    np.testing.assert_allclose(dumps.rates(ms, expression), STORED[dumps.key(expression)], rtol=2e-5, atol=1e-7)
