# SPDX-License-Identifier: Apache-2.0
"""The scripts in python/examples, on files in the real formats, small."""

import gzip
import importlib.util
import pathlib
import re

import numpy as np
import pytest

import rutile as ms

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "python/examples"


def script(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def cifar(tmp_path):
    records = np.random.default_rng(0).integers(0, 256, (32, 3073)).astype(np.uint8)
    records[:, 0] = np.arange(32) % 10
    records[:, 1:] = records[:, 1:] // 4 + 18 * records[:, :1]
    for name in ("data_batch_1.bin", "test_batch.bin"):
        records.tofile(tmp_path / name)
    return str(tmp_path)


@pytest.fixture
def fashion(tmp_path):
    rng = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        labels = (np.arange(32) % 10).astype(np.uint8)
        images = (rng.integers(0, 200, (32, 28, 28)) + 6 * labels[:, None, None]).astype(np.uint8)
        for kind, a in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, a.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in a.shape)
            with gzip.open(tmp_path / f"{prefix}-{kind}-ubyte.gz", "wb") as f:
                f.write(head + a.tobytes())
    return str(tmp_path)


@pytest.fixture(autouse=True)
def eager_afterwards(monkeypatch):
    # The order of data is that of the scripts' own seed, whatever another test has set.
    monkeypatch.setitem(ms.dataset.config._settings, "seed", None)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


SMALL = ["--image_size", "32", "--batch_size", "8", "--steps", "2"]


def test_r1_1_trains_in_both_modes(cifar, tmp_path, capsys):
    module, losses = script("resnet50_r1_1"), {}
    net = module.resnet50()
    assert sum(p.size for p in net.trainable_params()) == 23528522
    for mode in ("graph", "pynative"):
        where = tmp_path / mode
        module.main(["--dataset", "cifar10", "--data_path", cifar, "--mode", mode, "--save_checkpoint_path", str(where), *SMALL])
        out = capsys.readouterr().out
        losses[mode] = [float(v) for v in re.findall(r"loss is (\S+)", out)]
        assert len(losses[mode]) == 2 and "Train epoch time: " in out and "result: {'acc': " in out
        assert (where / "resnet-1_2.ckpt").exists()
    np.testing.assert_allclose(losses["graph"], losses["pynative"], rtol=1e-3)


def test_2x_trains_in_both_modes(fashion, tmp_path, capsys):
    module, losses = script("resnet50_2x"), {}
    for mode in ("graph", "pynative"):
        file = tmp_path / f"{mode}.ckpt"
        module.main(["--data_path", fashion, "--mode", mode, "--checkpoint", str(file), "--lr", "0.0001", *SMALL])
        out = capsys.readouterr().out
        losses[mode] = [float(v) for v in re.findall(r"Train Loss: \[ *(\S+)\]", out)]
        assert len(losses[mode]) == 2 and re.search(r"^Accuracy: 0\.\d+$", out, re.M)
        assert len(ms.load_checkpoint(str(file))) == 267
    # Norms over eight pixels make much of the last bits of the first step, hence the small one.
    np.testing.assert_allclose(losses["graph"], losses["pynative"], rtol=0.02)
