# SPDX-License-Identifier: Apache-2.0
"""save_checkpoint, load_checkpoint, load_param_into_net, against files that MindSpore wrote."""

import json
import os
import pathlib
import stat
import warnings

import numpy as np
import pytest

import rutile as ms
from rutile import nn

DATA = pathlib.Path(__file__).parent.parent / "io" / "data"


def net():
    return nn.SequentialCell([nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Dense(32, 3)])


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a.asnumpy(), b.asnumpy())


def test_reads_what_mindspore_wrote():
    values = ms.load_checkpoint(str(DATA / "mindspore.ckpt"), crc_check=True)
    for t in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"):
        assert isinstance(values[t], ms.Parameter) and values[t].name == t and values[t].dtype == t
        assert values[t].asnumpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert values["bool"].asnumpy().tolist() == [True, False, True]
    assert values["bfloat16"].dtype == ms.bfloat16 and values["bfloat16"].asnumpy().tolist() == [1.5, -2.25]
    assert values["scalar"].shape == () and float(values["scalar"]) == 2.5
    assert values["epoch"].dtype == ms.int64 and int(values["epoch"]) == 3
    assert values["rate"].dtype == ms.float32 and float(values["rate"]) == 0.5
    assert values["flag"].dtype == ms.bool_ and values["note"] == "h\u00e9\u20ac\U0001d11e"


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_goes_on_where_mindspore_stopped(mode):
    ms.set_context(mode=mode)
    try:
        model = net()
        step = nn.TrainOneStepCell(nn.WithLossCell(model, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")),
                                   nn.Momentum(model.trainable_params(), 0.1, 0.9)).set_train()
        values = ms.load_checkpoint(str(DATA / "mindspore_net.ckpt"))
        loss, outputs = values.pop("next_loss"), values.pop("outputs")
        missing, unused = ms.load_param_into_net(step, values)
        assert missing == [] and unused == []
        x = ms.Tensor(np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 1, 4, 4))
        np.testing.assert_allclose(model.set_train(False)(x).asnumpy(), outputs.asnumpy(), rtol=1e-5, atol=1e-6)
        step.set_train()
        got = step(x, ms.Tensor(np.array([0, 1, 2, 0], np.int32)))
        np.testing.assert_allclose(float(got), float(loss), rtol=1e-5)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.mark.parametrize("format", ["ckpt", "safetensors"])
def test_round_trip(tmp_path, format):
    a, b = net(), net()
    path = str(tmp_path / "a")
    assert ms.save_checkpoint(a, path, format=format) is None
    assert os.listdir(tmp_path) == [f"a.{format}"]
    values = ms.load_checkpoint(f"{path}.{format}", net=b)
    assert set(values) == {p.name for p in a.get_parameters()}
    assert format == "safetensors" or list(values) == [p.name for p in a.get_parameters()]
    assert all(same(p, q) for p, q in zip(a.get_parameters(), b.get_parameters()))
    # The loaded Parameters and those of the network are values of their own.
    b[0].weight.set_data(ms.ops.zeros_like(b[0].weight))
    assert same(values["0.weight"], a[0].weight)


def test_what_can_be_saved(tmp_path):
    path = str(tmp_path / "x.ckpt")
    dense = nn.Dense(2, 2)
    for obj in (dense, dense.trainable_params(), dense.parameters_dict(),
                [{"name": p.name, "data": p} for p in dense.get_parameters()]):
        ms.save_checkpoint(obj, path)
        assert list(ms.load_checkpoint(path)) == ["weight", "bias"]
    ms.save_checkpoint(dense, path, choice_func=lambda name: name != "bias", append_dict={
        "i": -3, "f": 0.25, "b": True, "s": "text", "t": ms.Tensor([1, 2])}, crc_check=True)
    values = ms.load_checkpoint(path, crc_check=True)
    assert list(values) == ["weight", "i", "f", "b", "s", "t"]
    assert [str(values[k].dtype) for k in "ifbt"] == ["Int64", "Float32", "Bool", "Int64"] and values["s"] == "text"
    keep = os.environ.get("RUTILE_KEEP_CKPT")
    if keep:
        ms.save_checkpoint(ms.load_checkpoint(str(DATA / "mindspore.ckpt")), keep, crc_check=True)


def test_choice_of_parameters(tmp_path):
    path = str(tmp_path / "x.ckpt")
    ms.save_checkpoint([{"name": n, "data": ms.Tensor([1.0])} for n in ("conv1.w", "conv2.w", "fc.w")], path)
    names = lambda **kw: list(ms.load_checkpoint(path, **kw))  # noqa: E731
    assert names(filter_prefix="conv") == ["fc.w"] and names(specify_prefix=["conv1", "fc"]) == ["conv1.w", "fc.w"]
    assert names(specify_prefix="conv", filter_prefix="conv1") == ["conv2.w"]
    assert names(choice_func=lambda n: n.endswith("2.w")) == ["conv2.w"]
    with pytest.raises(ValueError, match="nothing of the 3 parameters"):
        names(filter_prefix=("conv", "fc"))
    with pytest.raises(ValueError, match="filter_prefix must not be empty"):
        names(filter_prefix="")
    with pytest.raises(TypeError, match="specify_prefix must be"):
        names(specify_prefix=3)


def test_names_and_types_that_differ(tmp_path):
    inner = nn.Dense(3, 2)
    outer = nn.SequentialCell([inner])
    assert ms.load_param_into_net(nn.Dense(3, 2), outer.parameters_dict()) == ([], [])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = ms.load_param_into_net(nn.Dense(3, 2), outer.parameters_dict(), strict_load=True)
    assert result == (["weight", "bias"], ["0.weight", "0.bias"]) and "2 parameters" in str(caught[0].message)
    # What the C++ library and PyTorch call them.
    bn = nn.SequentialCell([nn.BatchNorm2d(2)])
    other = {"0.weight": [1.0, 2.0], "0.bias": [3.0, 4.0], "0.running_mean": [5.0, 6.0], "0.running_var": [7.0, 8.0]}
    assert ms.load_param_into_net(bn, {k: ms.Parameter(ms.Tensor(v), name=k) for k, v in other.items()}) == ([], [])
    assert bn[0].gamma.asnumpy().tolist() == [1, 2] and bn[0].moving_variance.asnumpy().tolist() == [7, 8]
    # Another dtype, another shape.
    half = {"weight": ms.Parameter(ms.ops.ones((2, 3), ms.float16), requires_grad=False), "bias": ms.Parameter(ms.ops.ones((2, 1, 1)))}
    target = nn.Dense(3, 2)
    ms.load_param_into_net(target, half)
    assert target.weight.dtype == ms.float32 and target.bias.asnumpy().tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="has the type Float32 in the network and Float16"):
        ms.load_param_into_net(target, half, strict_load=True)
    before = target.weight.asnumpy().copy()
    with pytest.raises(RuntimeError, match=r"bias has the shape \(2,\) in the network and \(3,\)"):
        ms.load_param_into_net(target, {"weight": ms.Parameter(ms.ops.zeros((2, 3))), "bias": ms.Parameter(ms.ops.ones((3,)))})
    assert np.array_equal(target.weight.asnumpy(), before), "nothing is loaded"


def test_in_the_background(tmp_path):
    path = str(tmp_path / "x.ckpt")
    dense = nn.Dense(300, 300)
    before = dense.weight.asnumpy().copy()
    for how in (True, "thread", "process"):
        ms.save_checkpoint(dense, path, async_save=how)
        dense.weight.set_data(ms.ops.zeros_like(dense.weight))
        values = ms.load_checkpoint(path)  # waits
        assert not ms.async_ckpt_thread_status() and np.array_equal(values["weight"].asnumpy(), before)
        dense.weight.set_data(ms.Tensor(before))
    ms.save_checkpoint(dense, str(tmp_path / "no" / "x.ckpt"), async_save=True)
    with pytest.raises(OSError, match="cannot create a file"):
        ms.save_checkpoint(dense, path)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = str(tmp_path / "x.ckpt")
    ms.save_checkpoint(nn.Dense(2, 2), path)
    old = open(path, "rb").read()
    with pytest.raises(ValueError, match="given twice"):
        ms.save_checkpoint([ms.Parameter(ms.Tensor([1.0]), name="a")] * 2, path)
    assert open(path, "rb").read() == old and os.listdir(tmp_path) == ["x.ckpt"]
    # As MindSpore leaves its files: read-only.
    os.chmod(path, stat.S_IRUSR)
    ms.save_checkpoint(nn.Dense(2, 2), path)


def test_errors(tmp_path):
    path, dense = str(tmp_path / "x.ckpt"), nn.Dense(2, 2)
    for error, text, call in [
            (ValueError, "does not exist", lambda: ms.load_checkpoint(path)),
            (ValueError, "format", lambda: ms.save_checkpoint(dense, path, format="pt")),
            (TypeError, "save_obj must be a Cell, list or dict, got int", lambda: ms.save_checkpoint(3, path)),
            (TypeError, "ckpt_file_name must be a string", lambda: ms.save_checkpoint(dense, 3)),
            (TypeError, "append_dict holds", lambda: ms.save_checkpoint(dense, path, append_dict={"a": []})),
            (NotImplementedError, "encrypted", lambda: ms.save_checkpoint(dense, path, enc_key=b"k")),
            (NotImplementedError, "encrypted", lambda: ms.load_checkpoint(path, dec_key=b"k")),
            (IsADirectoryError, "is a folder", lambda: ms.save_checkpoint(dense, str(tmp_path))),
            (ValueError, "async_save", lambda: ms.save_checkpoint(dense, path, async_save="fork")),
            (TypeError, "no argument 'color'", lambda: ms.save_checkpoint(dense, path, color=1)),
            (ValueError, "safetensors", lambda: ms.load_checkpoint(path, format="safetensors")),
            (TypeError, "net must be a Cell", lambda: ms.load_param_into_net(3, {})),
            (TypeError, "parameter_dict must be a dict", lambda: ms.load_param_into_net(dense, [])),
            (TypeError, "holds Parameters by name", lambda: ms.load_param_into_net(dense, {"a": 3}))]:
        with pytest.raises(error, match=text) as info:
            call()
        assert isinstance(info.value, ms.Error) or error is IsADirectoryError
    (tmp_path / "x.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="offset"):
        ms.load_checkpoint(path)


def test_conversion(tmp_path):
    dense = nn.Dense(2, 2)
    ms.save_checkpoint(dense, str(tmp_path / "x.ckpt"))
    ms.ckpt_to_safetensors(str(tmp_path / "x.ckpt"), name_map={"weight": "kernel"})
    assert set(ms.load_checkpoint(str(tmp_path / "x.safetensors"))) == {"kernel", "bias"}
    ms.safetensors_to_ckpt(str(tmp_path), str(tmp_path / "out"))
    assert same(ms.load_checkpoint(str(tmp_path / "out" / "x.ckpt"))["kernel"], dense.weight)


def test_old_module_names():
    from rutile.train.serialization import load_checkpoint, load_param_into_net, save_checkpoint
    assert (load_checkpoint, load_param_into_net, save_checkpoint) == (ms.load_checkpoint, ms.load_param_into_net,
                                                                      ms.save_checkpoint)


# Names of the C++ library's states and of this package's, one to one; tests/nn/optimizer_names_test.cc reads them the other way.
STATES = json.loads((pathlib.Path(__file__).parent.parent / "golden" / "optimizer_states.json").read_text())
MAKE = {"Momentum": lambda p: nn.Momentum(p, 0.1, 0.9), "SGD": lambda p: nn.SGD(p, 0.1, 0.9), "Adam": lambda p: nn.Adam(p, 0.1),
        "AdamAmsgrad": lambda p: nn.Adam(p, 0.1, use_amsgrad=True), "AdamWeightDecay": lambda p: nn.AdamWeightDecay(p, 0.1),
        "AdaMax": lambda p: nn.AdaMax(p, 0.1), "Adagrad": lambda p: nn.Adagrad(p, learning_rate=0.1), "Adadelta": lambda p: nn.Adadelta(p, 0.1),
        "RMSProp": lambda p: nn.RMSProp(p, 0.1, momentum=0.9, centered=True), "Rprop": lambda p: nn.Rprop(p, 0.1),
        "ASGD": lambda p: nn.ASGD(p, 0.1), "FTRL": lambda p: nn.FTRL(p, learning_rate=0.1), "Lamb": lambda p: nn.Lamb(p, 0.1)}


@pytest.mark.parametrize("make, slots", [(MAKE[row["python"]], {b: a for a, b in row["slots"].items()}) for row in STATES],
                         ids=[row["python"] for row in STATES])
def test_optimizer_states_by_the_names_of_cpp(make, slots):
    def network():
        return nn.SequentialCell(nn.Dense(3, 2, weight_init="ones", bias_init="ones"), nn.LayerNorm((2,)))

    def steps(net, optimizer, numbers):
        for i in numbers:
            optimizer(tuple(ms.Tensor(np.random.RandomState(i).randn(*p.shape).astype(np.float32)) for p in optimizer.parameters))

    net = network()
    optimizer = make(net.trainable_params())
    steps(net, optimizer, range(3))
    other = {"gamma": "weight", "beta": "bias"}

    def renamed(name):
        first, _, rest = name.partition(".")
        head, _, last = rest.rpartition(".")
        return f"{slots[first]}.{head}.{other.get(last, last)}"

    saved = {renamed(p.name): ms.Tensor(p.asnumpy()) for p in optimizer.get_parameters() if p.name.partition(".")[0] in slots}
    assert "v.1.weight" in saved or "v" not in slots.values()
    assert {name.split(".")[0] for name in saved} == set(slots.values()) and len(saved) == 4 * len(slots)
    saved.update(step=ms.Tensor(3, ms.int64), lr=ms.Tensor(0.1, ms.float64))
    again = network()
    for p, q in zip(again.get_parameters(), net.get_parameters()):
        p.set_data(q.value())
    resumed = make(again.trainable_params())
    ms.load_param_into_net(resumed, saved)
    assert int(resumed.global_step.asnumpy()[0]) == 3
    steps(net, optimizer, range(3, 6))
    steps(again, resumed, range(3, 6))
    for p, q in zip(again.get_parameters(), net.get_parameters()):
        np.testing.assert_allclose(p.asnumpy(), q.asnumpy(), rtol=1e-5, atol=1e-6)
