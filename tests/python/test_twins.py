# SPDX-License-Identifier: Apache-2.0
"""Python and C++ are one system: the program lenet and the same network written in Python start from the same numbers,
compile to the same graph and read each other's weights."""

import os
import pathlib
import re
import subprocess

import numpy as np
import pytest

import rutile as ms
from rutile import Tensor, nn, ops

PROGRAM = pathlib.Path(os.environ.get("RUTILE_BUILD", "build/release")) / "bin/lenet"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="the programs are not built")


class LeNet(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, pad_mode="valid", has_bias=True)
        self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid", has_bias=True)
        self.fc1, self.fc2, self.fc3 = nn.Dense(400, 120), nn.Dense(120, 84), nn.Dense(84, 10)

    def construct(self, x):
        y = ops.max_pool2d(ops.relu(self.conv1(x)), 2)
        y = ops.max_pool2d(ops.relu(self.conv2(y)), 2)
        return self.fc3(ops.relu(self.fc2(ops.relu(self.fc1(ops.flatten(y))))))


@pytest.fixture(scope="module")
def cpp(tmp_path_factory):
    """The folder with the C++ program's first weights (its learning rate changes none) and the stages of its graph."""
    folder = tmp_path_factory.mktemp("lenet")
    subprocess.run([PROGRAM, "--dataset", "synthetic", "--steps", "1", "--batch-size", "4", "--seed", "42", "--lr", "1e-30",
                    "--threads", "1", "--checkpoint", folder / "checkpoint"], check=True, capture_output=True, timeout=60,
                   env={**os.environ, "RUTILE_DUMP": str(folder / "ir")})
    return folder


def weights(folder):
    file, = (folder / "checkpoint").glob("*.safetensors")
    return ms.load_checkpoint(str(file))


def test_the_same_seed_gives_the_same_numbers(cpp):
    theirs = weights(cpp)
    ms.set_seed(42)
    for p in LeNet().get_parameters():
        assert np.array_equal(p.asnumpy(), theirs[p.name].asnumpy()), p.name


def test_weights_of_cpp_load(cpp):
    ms.set_seed(1)
    net, theirs = LeNet(), weights(cpp)
    missing, others = ms.load_param_into_net(net, theirs)
    assert not missing and all(n.startswith(("optimizer.", "generator.")) for n in others)
    assert all(np.array_equal(p.asnumpy(), theirs[p.name].asnumpy()) for p in net.get_parameters())


def nodes(folder, stage):
    """The phase, op and results of each node, without names, places and attributes."""
    file, = folder.glob(f"*/*_{stage}.txt")
    found = []
    for line in file.read_text().splitlines():
        m = re.match(r"  (%.*) = (\w+)\(.*#(\w+)$", line)
        if m:
            results = tuple(re.sub(r"^%\d+ : ", "", r) for r in re.split(r", (?=%)", m[1]))
            found.append((m[3], m[2], results))
    return found


@pytest.mark.parametrize("stage", ["traced", "dce_last"])
def test_the_same_network_is_the_same_graph(cpp, tmp_path, stage, monkeypatch):
    threads = ms.num_threads()
    monkeypatch.setenv("RUTILE_DUMP", str(tmp_path))
    ms.set_num_threads(1)
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        net = LeNet()
        step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.CrossEntropyLoss()), nn.Momentum(net.trainable_params(), 0.01, 0.9))
        step.set_train()
        step(Tensor(np.zeros((4, 1, 32, 32), np.float32)), Tensor(np.zeros(4, np.int32)))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
        ms.set_num_threads(threads)
    ours, theirs = nodes(tmp_path, stage), nodes(cpp / "ir", stage)
    for phase, least in (("forward", 12), ("backward", 20)):
        a, b = ([n[1:] for n in some if n[0] == phase] for some in (ours, theirs))
        assert a == b and len(a) >= least
    assert 36 <= step._jit.kernels <= 44  # docs/performance.md: some forty
    if stage == "dce_last":
        assert [n[1] for n in ours if n[0] == "optimizer"] == [n[1] for n in theirs if n[0] == "optimizer"]
