# SPDX-License-Identifier: Apache-2.0
"""What TensorBoard shows: SummaryRecord, SummaryCollector and the summary operators, read back by another parser."""

import io
import os
import pathlib

import event_files
import numpy as np
import pytest
from PIL import Image

import rutile as ms
from rutile import Tensor, nn, ops
from rutile.train import SummaryCollector, SummaryRecord


@pytest.fixture(params=[ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["eager", "graph"])
def mode(request):
    ms.set_context(mode=request.param)
    ms.set_seed(1)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def only_file(folder):
    files = [p for p in pathlib.Path(folder).iterdir() if p.is_file()]
    assert len(files) == 1 and files[0].name.startswith("events.out.tfevents.") and files[0].name.endswith("_MS")
    return str(files[0])


def test_record(tmp_path):
    image = np.random.default_rng(0).random((3, 3, 4, 5)).astype(np.float32)
    with SummaryRecord(str(tmp_path), export_options={"tensor_format": "npy"}) as record:
        with pytest.raises(RuntimeError, match="only one"):
            SummaryRecord(str(tmp_path))
        record.add_value("scalar", "loss", Tensor(0.25))
        record.add_value("scalar", "loss", Tensor(0.5))
        record.add_value("image", "photo", Tensor(image))
        record.add_value("histogram", "w", Tensor(np.array([1.0, 2.0, np.nan, -3.0], np.float32)))
        record.add_value("tensor", "t", Tensor([1, 2]))
        record.add_value("custom_lineage_data", "settings", {"lr": 0.1})
        assert record.record(7) and record.record(8)
        record.flush()
    assert record.record(9) is False
    values, nodes = event_files.read(only_file(tmp_path))
    got = {tag: (kind, step, value) for kind, tag, step, value in values}
    assert got["loss"] == ("scalar", 7, 0.5) and len(values) == 5 and not nodes
    kind, step, (height, width, channels, png) = got["photo"]
    assert (height, width, channels) == (4, 15, 3)
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert np.array_equal(pixels, (np.concatenate(image.transpose(0, 2, 3, 1), 1) * 255).astype(np.uint8))
    h = got["w"][2]
    assert (h["min"], h["max"], h["num"], sum(h["counts"])) == (-3, 2, 3, 3)
    assert np.frombuffer(got["t"][2], np.int64).tolist() == [1, 2]
    assert "| lr | 0.1 |" in got["settings"][2]
    exported, = tmp_path.glob("export_*/tensor/t_7.npy")
    assert np.load(exported).tolist() == [1, 2]


@pytest.mark.parametrize("pixels", [np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2),
                                    np.array([0, 0.25, 0.5, 1], np.float64).reshape(1, 1, 2, 2),
                                    np.array([-4, 0, 2, 4], np.float32).reshape(1, 1, 2, 2), np.full((9, 1, 2, 3), 7, np.int32)])
def test_levels_of_images(tmp_path, pixels):
    with SummaryRecord(str(tmp_path)) as record:
        record.add_value("image", "x", Tensor(pixels))
        record.record(1)
    (_, _, _, (height, width, _, png)), = event_files.read(only_file(tmp_path))[0]
    got = np.asarray(Image.open(io.BytesIO(png)))
    rows = -(-len(pixels) // 8)
    assert (height, width) == (rows * pixels.shape[2], min(len(pixels), 8) * pixels.shape[3]) == got.shape[:2]
    if pixels.dtype == np.uint8:
        assert np.array_equal(got, pixels[0].transpose(1, 2, 0))
    elif len(pixels) == 1:
        low, high = (0, 1) if pixels.min() >= 0 else (pixels.min(), pixels.max())
        assert np.array_equal(got, ((pixels[0, 0] - low) / (high - low) * 255).astype(np.uint8))


def test_mistakes(tmp_path):
    for bad in (dict(log_dir=3), dict(log_dir=str(tmp_path), file_prefix=1), dict(log_dir=str(tmp_path), max_file_size="1")):
        with pytest.raises(TypeError):
            SummaryRecord(**bad)
    with pytest.raises(ValueError):
        SummaryRecord(str(tmp_path), export_options={"tensor_format": "txt"})
    with pytest.raises(ValueError):
        SummaryRecord(str(tmp_path), file_prefix="a/b")
    with SummaryRecord(str(tmp_path)) as record:
        for error, plugin, name, value in ((ValueError, "video", "x", Tensor(1)), (ValueError, "scalar", "", Tensor(1)),
                                           (TypeError, "scalar", "x", 1.0), (ValueError, "scalar", "x", Tensor([1, 2])),
                                           (ValueError, "image", "x", Tensor([1.0])), (TypeError, "graph", "x", nn.ReLU())):
            with pytest.raises(error):
                record.add_value(plugin, name, value)
        with pytest.raises(TypeError):
            record.record("1")
        with pytest.raises(ValueError):
            record.set_mode("predict")
    for error, bad in ((TypeError, dict(collect_freq="a")), (ValueError, dict(collect_freq=0)), (TypeError, dict(keep_default_action=1)),
                       (ValueError, dict(collect_specified_data={"nothing": 1})), (TypeError, dict(custom_lineage_data={"a": []})),
                       (TypeError, dict(collect_specified_data={"collect_graph": 1}))):
        with pytest.raises(error):
            SummaryCollector(str(tmp_path), **bad)
    for op, value in ((ops.ScalarSummary, Tensor([1, 2])), (ops.ImageSummary, Tensor([1.0])), (ops.TensorSummary, Tensor(1.0))):
        with pytest.raises(ValueError):
            op()("x", value)
        with pytest.raises(TypeError):
            op()(1, value)
        with pytest.raises(TypeError):
            op()("x", 1.0)


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.flatten = nn.Flatten()
        self.fc = nn.Dense(32, 2)
        self.scalar, self.image = ops.ScalarSummary(), ops.ImageSummary()
        self.tensor, self.histogram = ops.TensorSummary(), ops.HistogramSummary()

    def construct(self, x):
        self.image("input", x)
        x = ops.relu(self.conv(x))
        self.scalar("mean", ops.mean(x))
        self.histogram("hidden", x)
        y = self.fc(self.flatten(x))
        self.tensor("logits", y)
        return y


DATA = [(Tensor(np.random.default_rng(i).random((4, 1, 4, 4)).astype(np.float32)), Tensor(np.array([0, 1, 0, 1], np.int32)))
        for i in range(6)]


def train(folder, epochs=2, fit=False, **options):
    ms.set_seed(5)
    net = Net()
    model = ms.Model(net, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), nn.Momentum(net.trainable_params(), 0.01, 0.9),
                     metrics={"acc"})
    summary = SummaryCollector(str(folder), **options)
    if fit:
        model.fit(epochs, DATA, DATA, callbacks=[summary])
    else:
        model.train(epochs, DATA, callbacks=[summary])
    values, nodes = event_files.read(only_file(folder))
    found = {}
    for kind, tag, step, value in values:
        found.setdefault((kind, tag), []).append((step, value))
    return found, nodes, model


def test_collector(tmp_path, mode, capsys):
    found, nodes, model = train(tmp_path, fit=True, collect_freq=5, custom_lineage_data={"note": "x"})
    steps = {key: [s for s, _ in v] for key, v in found.items()}
    due = [1, 5, 10]
    for key in (("scalar", "loss/auto"), ("image", "input_data/auto"), ("histogram", "conv.weight/auto"),
                ("histogram", "fc.bias/auto"), ("scalar", "mean"), ("image", "input"), ("histogram", "hidden"), ("tensor", "logits")):
        assert steps[key] == due, key
    assert steps["scalar", "eval/acc"] == [6, 12]
    texts = {tag: v[0][1] for (kind, tag), v in found.items() if kind == "text"}
    assert "| note | x |" in texts["custom_lineage_data"] and "| optimizer | Momentum |" in texts["train_lineage"]
    assert np.frombuffer(found["tensor", "logits"][0][1], np.float32).shape == (8,)
    if mode == ms.GRAPH_MODE:
        assert any("conv/" in n for n in nodes) and any(n.startswith("backward/") for n in nodes)
        assert any("fc" in n and "weight" in n for n in nodes) and len(set(nodes)) == len(nodes)
    else:
        assert not nodes
    folder = tmp_path / "eval"
    model.eval(DATA, callbacks=[SummaryCollector(str(folder))])
    assert "| acc |" in event_files.read(only_file(folder))[0][0][3]


def test_both_modes_show_the_same(tmp_path):
    shown = []
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        shown.append(train(tmp_path / str(mode), 1, collect_freq=1)[0])
    ms.set_context(mode=ms.PYNATIVE_MODE)
    for tag in ("loss/auto", "mean"):
        a, b = (np.array(s["scalar", tag]) for s in shown)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert len(a) == 6


def test_what_is_collected(tmp_path, mode):
    found, nodes, _ = train(tmp_path / "a", collect_specified_data={"histogram_regular": "^fc"}, keep_default_action=False)
    assert {tag for kind, tag in found if kind == "histogram"} == {"fc.weight/auto", "fc.bias/auto", "hidden"}
    assert not nodes and ("scalar", "loss/auto") not in found
    found, _, _ = train(tmp_path / "b", collect_freq=2, collect_tensor_freq=6)
    assert [s for s, _ in found["tensor", "logits"]] == [1, 6, 12]
    assert [s for s, _ in found["scalar", "mean"]] == [1, 2, 4, 6, 8, 10, 12]
    net = nn.Dense(16, 1)
    model = ms.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.1))
    one, other = SummaryCollector(str(tmp_path / "c")), SummaryCollector(str(tmp_path / "d"))
    for twice, error in (([one, one], ValueError), ([one, other], RuntimeError)):
        with pytest.raises(error, match="one"):
            model.train(1, [(ops.ones((1, 16)), ops.ones((1, 1)))], callbacks=twice)
    SummaryRecord(str(tmp_path / "e")).close()


def test_an_error_closes_the_file(tmp_path):
    class Bad(ms.Callback):
        def step_end(self, run_context):
            raise KeyError("stop")

    net = nn.Dense(16, 1)
    model = ms.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.1))
    with pytest.raises(KeyError):
        model.train(1, [(ops.ones((1, 16)), ops.ones((1, 1)))], callbacks=[SummaryCollector(str(tmp_path)), Bad()])
    SummaryRecord(str(tmp_path)).close()
