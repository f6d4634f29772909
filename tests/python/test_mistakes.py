# SPDX-License-Identifier: Apache-2.0
"""Mistakes that users make, and what they read: what is wrong, where (op, argument, Cell), shapes, and what helps."""

import sys
import warnings

import numpy as np
import pytest

import rutile
from rutile import Model, Parameter, Tensor, _hints, jit, nn, ops
from rutile import dataset as ds

X, IMAGE = Tensor(np.ones((4, 8), np.float32)), Tensor(np.ones((2, 3, 8, 8), np.float32))


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv, self.flat, self.fc = nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Dense(256, 10)

    def construct(self, x):
        return self.fc(self.flat(ops.relu(self.conv(x))))


class NotFlat(Net):
    def construct(self, x):
        return self.fc(self.conv(x))


class NoReturn(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc = nn.Dense(8, 2)

    def construct(self, x):
        self.fc(x)


class NoConstruct(nn.Cell):
    pass


NET = Net()
LOSS = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")


def opt():
    return nn.Momentum(NET.trainable_params(), 0.1, 0.9)


def data(labels=0, **columns):
    columns = columns or {"data": np.ones((4, 3, 8, 8), np.float32), "label": np.full(4, labels, np.int32)}
    return ds.NumpySlicesDataset(columns)


def training(rows=None, net=NET, loss=LOSS, **options):
    return Model(net, loss, opt(), **options).train(1, data().batch(2) if rows is None else rows)


def file(folder, name, content=b"hello world"):
    (folder / name).write_bytes(content)
    return str(folder / name)


def setattr_(cell, name, value):
    setattr(cell, name, value)


# name: (the mistake, the error, what its text holds)
MISTAKES = {
    # Shapes and the order of layers
    "matmul": (lambda: ops.matmul(X, X), ValueError, "[matmul] inner sizes differ: 8 and 4 | x f32[4,8]"),
    "features": (lambda: nn.Dense(5, 2)(X), ValueError, "weight expects 5 input features, got 8|in Cell Dense"),
    "no flatten": (lambda: NotFlat()(IMAGE), ValueError, "[linear]|in Cell NotFlat.fc"),
    "channels last": (lambda: NET(Tensor(np.ones((2, 8, 8, 3), np.float32))), ValueError, "expects 3 input channels, got 8|Net.conv"),
    "one image": (lambda: NET(IMAGE[0]), ValueError, "rank 4 (NCHW), got 3: one image needs a first dimension of 1|Net.conv"),
    "broadcast": (lambda: X + Tensor(np.ones((4, 7), np.float32)), ValueError, "[add] shapes [4,8] and [4,7] do not broadcast|dimension -1"),
    "reshape": (lambda: X.reshape(5, 5), ValueError, "(32 elements) to [5,5] (25 elements)"),
    "concat": (lambda: ops.concat((X, IMAGE), 1), ValueError, "xs[1] of shape [2,3,8,8] does not join [4,8] along axis 1"),
    "concat of one": (lambda: ops.concat(X, 1), TypeError, "takes a tuple or list of Tensors, got one Tensor"),
    "stack": (lambda: ops.stack((X, X[:, 1:])), ValueError, "number 1 has (4, 7) and the first (4, 8)"),
    "norm channels": (lambda: nn.BatchNorm2d(5)(IMAGE), ValueError, "expects shape [3] (the channels of x), got [5]"),
    "norm rank": (lambda: nn.BatchNorm2d(8)(X), ValueError, "[BatchNorm2d] expects 4 dimensions, got (4, 8)"),
    "layer norm": (lambda: nn.LayerNorm((7,))(X), ValueError, "[layer_norm] weight expects shape [8], got [7]"),
    "window": (lambda: nn.MaxPool2d(9, 9)(IMAGE), ValueError, "window is larger than the padded image: height 8, window 9"),
    "kernel": (lambda: nn.Conv2d(3, 4, 20, pad_mode="valid")(IMAGE), ValueError, "kernel spans 20 in height, the padded input only 8"),
    "lstm": (lambda: nn.LSTM(5, 4)(IMAGE[0]), ValueError, "[LSTM] expects 3 dimensions, the last 5, got (3, 8, 8)"),
    "lstm state": (lambda: nn.LSTM(8, 4)(IMAGE[0], X), TypeError, "hx must be the tuple (h, c)"),
    "heads": (lambda: nn.MultiheadAttention(10, 3), ValueError, "3 heads do not divide a width of 10"),
    "order of layers": (lambda: nn.SequentialCell(nn.Dense(8, 4), nn.Dense(8, 2))(X), ValueError, "expects 8 input features, got 4|SequentialCell.1"),
    "mean squares": (lambda: nn.MSELoss()(X, X[:, 0]), ValueError, "shapes [4,8] and [4] do not broadcast|in Cell MSELoss"),
    "topk": (lambda: ops.topk(X, 9), ValueError, "k is 9, expects 0 to 8, the size of axis 1"),
    # Names
    "layer's argument": (lambda: nn.Conv2d(3, 4, 3, strides=2), TypeError, "[Conv2d] there is no argument 'strides'; did you mean 'stride'?"),
    "own Cell's argument": (lambda: Net(size=3), TypeError, "[Net] there is no argument 'size'"),
    "reduction's argument": (lambda: ops.sum(X, dims=1), TypeError, "[sum] there is no argument 'dims'; did you mean 'dim'?"),
    "optimizer's argument": (lambda: nn.Adam(NET.trainable_params(), learning_rat=0.1), ValueError, "'learning_rat'; did you mean 'learning_rate'?"),
    "primitive's argument": (lambda: ops.operations.Conv2D(4, 3, pad_modee="same"), TypeError, "did you mean 'pad_mode'?"),
    "Model's argument": (lambda: Model(NET, LOSS, opt(), metric={"acc"}), ValueError, "'metric'; did you mean 'metrics'?"),
    "save's argument": (lambda: rutile.save_checkpoint(NET, "x", async_sav=True), TypeError, "did you mean 'async_save'?"),
    "setting": (lambda: rutile.set_context(device_targt="CPU"), ValueError, "did you mean 'device_target'?"),
    "activation": (lambda: nn.Dense(3, 4, activation="rleu"), ValueError, "'rleu'; did you mean 'relu'?"),
    "initializer": (lambda: nn.Dense(3, 4, weight_init="xavier"), ValueError, "did you mean 'xavier"),
    "metric": (lambda: Model(NET, LOSS, metrics={"accuracyy"}), ValueError, "did you mean 'accuracy'?"),
    "pad_mode": (lambda: nn.Conv2d(3, 4, 3, pad_mode="smae"), ValueError, "[Conv2d] pad_mode is 'same', 'valid' or 'pad', got 'smae'"),
    "dtype": (lambda: Tensor([1], "floaat32"), TypeError, "'floaat32' is no dtype: they are bool, int8"),
    "mode": (lambda: rutile.set_context(mode="graph"), ValueError, "GRAPH_MODE (0) or PYNATIVE_MODE (1), got 'graph'"),
    "device": (lambda: rutile.set_context(device_target="TPU"), ValueError, "there is no device 'TPU'"),
    # Cells and Parameters
    "arguments": (lambda: NET(), TypeError, "Net.construct() missing 1 required positional argument: 'x'"),
    "no construct": (lambda: NoConstruct()(X), AttributeError, "NoConstruct has no construct(): define construct(self, x)"),
    "no return": (lambda: nn.WithLossCell(NoReturn(), nn.MSELoss())(X, X), TypeError, "construct() of NoReturn returned None"),
    "Cell overwritten": (lambda: setattr_(NET, "fc", 3), TypeError, "Net.fc is a Cell, Dense, and can become another Cell or None, not int"),
    "padding": (lambda: nn.Conv2d(3, 4, 3, padding=1), ValueError, "padding 1 goes with pad_mode='pad', not 'same'"),
    "groups": (lambda: nn.Conv2d(3, 4, 3, group=2), ValueError, "group 2 must divide 3 and 4 channels"),
    "dropout": (lambda: nn.Dropout(p=1.5), ValueError, "p must be in [0, 1), got 1.5"),
    "set_data": (lambda: Parameter(X, name="p").set_data(IMAGE), ValueError, "p is f32[4,8]@cpu, its new value is f32[2,3,8,8]"),
    "in place": (lambda: Parameter(X, name="p").__setitem__(0, Tensor([1.0, 2.0])), ValueError, "shape [2] does not broadcast to [8]"),
    "not Cells": (lambda: nn.SequentialCell([nn.Dense(8, 4), 3]), TypeError, "SequentialCell holds Cells, got int"),
    # Optimizers and gradients
    "no parameters": (lambda: nn.SGD([], 0.1), ValueError, "[SGD] there are no parameters to optimize"),
    "Cell for parameters": (lambda: nn.SGD(NET, 0.1), TypeError, "must be iterable, got Net: pass its trainable_params()"),
    "Tensors for parameters": (lambda: nn.SGD([X], 0.1), TypeError, "[SGD] expects Parameters, got Tensor"),
    "negative rate": (lambda: nn.SGD(NET.trainable_params(), -0.1), ValueError, "learning_rate must not be negative, got -0.1"),
    "rate as text": (lambda: nn.SGD(NET.trainable_params(), "0.1"), TypeError, "learning_rate must be a number, a Tensor"),
    "twice": (lambda: nn.SGD(NET.trainable_params() * 2, 0.1), ValueError, "a parameter is given twice"),
    "gradients": (lambda: opt()((X,)), ValueError, "[Momentum] has 3 parameters, got 1 gradients"),
    "argument number": (lambda: rutile.grad(lambda v: v.sum(), 1)(X), IndexError, "there is no argument 1 among 1"),
    "no Tensor": (lambda: rutile.grad(lambda v: 3.0)(X), TypeError, "must return a Tensor, got float"),
    "loss scale": (lambda: nn.TrainOneStepWithLossScaleCell(NET, opt(), "a"), TypeError, "scale_sense must be a Tensor, a number"),
    # Labels
    "label range": (lambda: LOSS(NET(IMAGE), Tensor([3, 10])), IndexError, "label 10 at [1] is out of range: expects 0 to 9"),
    "label dtype": (lambda: LOSS(NET(IMAGE), Tensor([3.0, 1.0])), TypeError, "labels must be int32 or int64, got Float32: with sparse=True"),
    "label shape": (lambda: LOSS(NET(IMAGE), Tensor([[3], [1]])), ValueError, "labels expects shape [2], got [2,1]"),
    "reduction": (lambda: nn.MSELoss(reduction="avg"), ValueError, "reduction is 'mean', 'sum' or 'none', got 'avg'"),
    "ids": (lambda: nn.Embedding(10, 4)(Tensor([10])), IndexError, "[embedding] index 10 at [0] is out of range: expects 0 to 9"),
    "ids' dtype": (lambda: nn.Embedding(10, 4)(Tensor([1.0])), TypeError, "expects indices of i32 or i64, got f32"),
    "one_hot": (lambda: ops.one_hot(Tensor([1.0]), 3), TypeError, "[one_hot] indices must be integers, got Float32"),
    # Values of tensors
    "truth": (lambda: bool(X), ValueError, "the truth of a tensor of shape [4,8] is ambiguous|x.all()"),
    "item": (lambda: X.item(), ValueError, "item() needs exactly one element, got shape [4,8]"),
    "index": (lambda: X[4], IndexError, "index 4 is out of range for dimension 0 of size 4"),
    "too many indices": (lambda: X[0, 0, 0], IndexError, "too many indices for a tensor of 2 dimensions"),
    "index's dtype": (lambda: X[1.5], IndexError, "a tensor is indexed by int, slice"),
    "mask": (lambda: X[Tensor([True, False])], IndexError, "a mask of shape [2] does not fit shape [4,8]"),
    "ragged": (lambda: Tensor([[1, 2], [3]]), ValueError, "nested lists have different lengths"),
    "nothing": (lambda: Tensor(None), TypeError, "cannot be made from nothing (None)"),
    "strings": (lambda: Tensor(["a"]), TypeError, "cannot be made from str"),
    "objects": (lambda: Tensor(np.array([{}])), TypeError, "elements of format 'O' have no dtype"),
    "seed": (lambda: rutile.set_seed(1.5), TypeError, "expects an integer, got float"),
    # Compiled functions
    "float in jit": (lambda: jit(lambda v: float(v.sum()), fullgraph=True)(X), RuntimeError, "needs the value of a tensor|sum at|RUTILE-E0101"),
    "asnumpy in jit": (lambda: jit(lambda v: v.asnumpy(), fullgraph=True)(X), RuntimeError, "reading elements|RUTILE-E0101"),
    "mask in jit": (lambda: jit(lambda v: v[v > 1], fullgraph=True)(X), RuntimeError, "number of elements would depend on values|RUTILE-E0103"),
    "bytearray": (lambda: jit(lambda v, s: v)(X, bytearray(b"a")), TypeError, "holds bytearray|RUTILE-E0108"),
    "carry": (lambda: jit(lambda v: ops.while_loop(lambda a: a.sum() < 9, lambda a: ops.concat([a, a]), v))(X), ValueError,
              "[while_loop] carry 0 enters the body as f32[4,8]|RUTILE-E0105"),
    "branches": (lambda: jit(lambda v: ops.cond(v.sum() > 0, lambda: v, lambda: v[:1]), fullgraph=True)(X), ValueError, "[cond] result 0 is f32[4,8]|RUTILE-E0106"),
    # Files
    "no file": (lambda: rutile.load_checkpoint("/nonexistent/x.ckpt"), ValueError, "the file '/nonexistent/x.ckpt' does not exist"),
    "shapes": (lambda: rutile.load_param_into_net(nn.Dense(8, 2), {"weight": Parameter(X, name="weight")}), RuntimeError,
               "weight has the shape (2, 8) in the network and (4, 8) in parameter_dict"),
    "swapped": (lambda: rutile.load_param_into_net({}, NET), TypeError, "net must be a Cell, got dict: the arguments are (net, parameter_dict)"),
    "no folder": (lambda: rutile.save_checkpoint(NET, "/nonexistent/x.ckpt"), OSError, "cannot save '/nonexistent/x.ckpt'"),
    # Data and Model
    "three columns": (lambda: training(data(a=np.ones(4), b=np.ones(4), c=np.ones(4)).batch(2)), ValueError, "a batch is (data, label), got 3 entries"),
    "arrays": (lambda: training(np.ones((4, 3))), TypeError, "a dataset gives batches of columns, got ndarray|NumpySlicesDataset"),
    "no loss_fn": (lambda: training(loss=None), TypeError, "without a loss_fn Net.construct() takes all 2 columns of the dataset and returns the loss"),
    "not batched": (lambda: training(data()), ValueError, "rank 4 (NCHW), got 3: one image|conv"),
    "labels of a Model": (lambda: training(data(10).batch(2)), IndexError, "label 10 at [0] is out of range: expects 0 to 9"),
    "no optimizer": (lambda: Model(NET, LOSS).train(1, data().batch(2)), ValueError, "[Model] training needs an optimizer"),
    "no metrics": (lambda: Model(NET, LOSS).eval(data().batch(2)), ValueError, "[Model] eval needs metrics"),
    "callback": (lambda: Model(NET, LOSS, opt()).train(1, data().batch(2), callbacks=[3]), TypeError, "callbacks must be Callbacks, got int"),
    "level": (lambda: Model(NET, LOSS, opt(), amp_level="O5"), ValueError, "amp_level is one of ['O0', 'O1', 'O2', 'O3', 'auto'], got 'O5'"),
    "column": (lambda: list(data().map(lambda v: v, input_columns="lable")), ValueError, "there is no column 'lable' among ['data', 'label']"),
    "column names": (lambda: ds.GeneratorDataset([(1, 2)]), ValueError, "column_names are needed"),
    "too few names": (lambda: list(ds.GeneratorDataset([(1, 2)], ["a"])), RuntimeError, "row 0 of list has 2 values for the columns ['a']"),
    "operation": (lambda: list(data().map(lambda v: v / "a", input_columns="data")), RuntimeError, "failed on row 0: TypeError"),
    "ragged rows": (lambda: list(ds.GeneratorDataset([np.ones(2), np.ones(3)], ["a"], shuffle=False).batch(2)), RuntimeError,
                    "column 'a' has rows of the shapes [2] and [3] in one batch; pad or crop them"),
    "rows": (lambda: ds.NumpySlicesDataset({"a": np.ones(3), "b": np.ones(4)}), ValueError, "columns must have as many rows, got [(3,), (4,)]"),
    "batch": (lambda: data().batch(0), ValueError, "batch_size is not within the required interval of [1, 2147483647]. Got 0"),
    "folder": (lambda: list(ds.MnistDataset("/nonexistent")), ValueError, "the folder '/nonexistent' does not exist")}


@pytest.mark.parametrize("name", MISTAKES)
def test_message(name):
    mistake, kind, parts = MISTAKES[name]
    with pytest.raises(kind) as info:
        mistake()
    text = str(info.value)
    for part in parts.split("|"):
        assert part.strip() in text, text
    assert len(text) < 900 and len(text.splitlines()) <= 6, text
    if isinstance(info.value, rutile.Error):
        assert rutile.errors.explain(info.value.code).startswith(info.value.code)


def test_files_that_are_none(tmp_path):
    for name, part in (("x.pth", "safetensors.torch.save_file"), ("y.ckpt", "is no ckpt file, or damaged"),
                       ("z.safetensors", "is no safetensors file, or damaged")):
        with pytest.raises(ValueError, match="load_checkpoint") as info:
            rutile.load_checkpoint(file(tmp_path, name))
        assert part in str(info.value) and name in str(info.value)


def test_what_was_not_loaded_is_named():
    values = {name: Parameter(Tensor(np.ones(shape, np.float32)), name=name)
              for name, shape in (("fc.wieght", (10, 256)), ("fc.bias", (10,)), ("extra", (1,)))}
    with pytest.warns(UserWarning) as found:
        missing, unused = rutile.load_param_into_net(Net(), values)
    assert missing == ["conv.weight", "fc.weight"] and unused == ["fc.wieght", "extra"]
    [text] = [str(w.message) for w in found]
    for part in ("2 parameters of the network are not in parameter_dict: conv.weight, fc.weight",
                 "2 in parameter_dict are not in the network: fc.wieght, extra", "fc.wieght for fc.weight"):
        assert part in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = Net()
        rutile.load_param_into_net(net, net.parameters_dict())


def noted(mistake):
    try:
        mistake()
    except Exception:
        _, error, trace = sys.exc_info()
        return _hints.note(error, trace)


def misspelled():
    return ops.interpolate(IMAGE, size=(2, 2), modee="nearest")


def own(first, second=1):
    return first


def imported():
    from rutile.nn import Conv2D  # noqa: F401


@pytest.mark.parametrize("mistake, text", [
    (misspelled, "did you mean 'mode'?"), (lambda: ops.relu(inptu=X), "did you mean 'input'?"), (lambda: own(1, secnd=2), "did you mean 'second'?"),
    (lambda: ops.sofmax(X), "did you mean 'softmax'?"), (imported, "did you mean 'Conv2d'?"), (lambda: X.backward(), "value_and_grad"), (lambda: X.grad, "value_and_grad"), (lambda: X.cuda(), "CPU"), (lambda: X.detach(), "stop_gradient"),
    (lambda: ops.interpolate([[1.0, 2.0]], size=(2, 2)), "rutile.Tensor(value)")])
def test_notes_below_an_uncaught_error(mistake, text):
    assert text in (noted(mistake) or ""), noted(mistake)


def test_other_errors_have_no_note():
    for mistake in (lambda: 1 + "a", lambda: X.nothing_like_it, lambda: own(), lambda: {}["a"], lambda: (3).real_):
        assert noted(mistake) is None
