# SPDX-License-Identifier: Apache-2.0
"""Every layer and loss gives MindSpore's numbers and parameters, eagerly and compiled; gradients too."""

import importlib.util
import pathlib

import numpy as np
import pytest

import rutile as ms

FOLDER = pathlib.Path(__file__).parent / "dumps"
_spec = importlib.util.spec_from_file_location("layer_dumps", FOLDER / "layers.py")
layers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(layers)
STORED = np.load(FOLDER / "layers.npz")

CASES = list(layers.cases())


def close(ours, theirs, what):
    assert ours.shape == theirs.shape, what
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5, err_msg=what)


@pytest.mark.parametrize("case", CASES, ids=[c[0] for c in CASES])
def test_layer(case):
    name = layers.key(case[0])
    names, outputs, gradient = layers.run(ms, case)
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        _, compiled, compiled_gradient = layers.run(ms, case)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert len(compiled) == len(outputs)
    for y, z in zip(outputs, compiled):
        close(z, y, "graph mode")
    if gradient is not None:
        close(compiled_gradient, gradient, "gradient in graph mode")
    if f"{name} names" not in STORED:
        return  # MindSpore has no kernel for it on CPU
    assert names == list(STORED[f"{name} names"])
    for i, y in enumerate(outputs):
        close(y, STORED[f"{name} {i}"], f"output {i}")
    if gradient is not None and f"{name} gradient" in STORED:
        close(gradient, STORED[f"{name} gradient"], "gradient")
