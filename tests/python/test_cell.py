# SPDX-License-Identifier: Apache-2.0
"""Cell: names, contents, modes, hooks, calls in both modes, errors with the Cell's path."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, nn, ops

MODES = [ms.PYNATIVE_MODE, ms.GRAPH_MODE]


@pytest.fixture(params=MODES, ids=["pynative", "graph"])
def mode(request):
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


class Block(nn.Cell):
    def __init__(self, n):
        super().__init__()
        self.conv = nn.Conv2d(n, n, 3)
        self.bn = nn.BatchNorm2d(n)
        self.relu = nn.ReLU()

    def construct(self, x):
        return self.relu(self.bn(self.conv(x)) + x)


class Net(nn.Cell):
    def __init__(self):
        super(Net, self).__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.layers = nn.SequentialCell([Block(4), Block(4)])
        self.scale = Parameter(Tensor(1.0), name="scale")
        self.head = nn.Dense(4, 2)
        self.down = None
        self.flag = True

    def construct(self, x):
        x = self.layers(self.stem(x))
        if self.flag and self.down is None:
            x = ops.mean(x, (2, 3))
        return self.head(x) * self.scale


X = Tensor(np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32))


def test_names_and_contents():
    net = Net()
    assert [p.name for p in net.get_parameters()] == [
        "scale", "stem.weight", "layers.0.conv.weight", "layers.0.bn.moving_mean", "layers.0.bn.moving_variance",
        "layers.0.bn.gamma", "layers.0.bn.beta", "layers.1.conv.weight", "layers.1.bn.moving_mean",
        "layers.1.bn.moving_variance", "layers.1.bn.gamma", "layers.1.bn.beta", "head.weight", "head.bias"]
    assert [n for n, _ in net.parameters_and_names()][1] == "stem.weight"
    assert len(net.trainable_params()) == 10 and len(net.untrainable_params()) == 4
    assert [n for n, _ in net.cells_and_names()][:4] == ["", "stem", "layers", "layers.0"]
    assert list(net.name_cells()) == ["stem", "layers", "head"] and len(net.cells()) == 3
    assert set(net.parameters_dict()) == {p.name for p in net.get_parameters()}
    assert [p.name for p in net.get_parameters(expand=False)] == ["scale"]
    assert net.layers[1].conv is net.layers[-1].conv and len(net.layers) == 2
    loss_net = nn.WithLossCell(net, nn.MSELoss())
    assert [p.name for p in loss_net.get_parameters()] == [p.name for p in net.get_parameters()]


def test_attributes():
    net = Net()
    net.down = nn.Dense(2, 2)
    assert net.down.weight.name == "down.weight" and "down" in net.name_cells()
    net.down = None
    assert net.down is None and "down" not in net.name_cells()
    net.scale = Tensor(3.0)  # a value for the parameter
    assert isinstance(net.scale, Parameter) and float(net.scale) == 3
    del net.scale
    for name in ("scale", "nothing"):
        with pytest.raises(AttributeError):
            getattr(net, name)
    net.insert_child_to_cell("extra", nn.ReLU())
    assert "extra" in dir(net)
    for call in (lambda: net.insert_child_to_cell("extra", nn.ReLU()), lambda: net.insert_child_to_cell("a.b", nn.ReLU()),
                 lambda: net.insert_child_to_cell("a", 3), lambda: net.insert_param_to_cell("", Parameter(1.0)),
                 lambda: net.insert_param_to_cell("q", 3)):
        with pytest.raises((ValueError, TypeError)):
            call()
    group = ms.ParameterTuple([Parameter(Tensor(1.0), name="a"), Parameter(Tensor(2.0), name="b")])
    net.group = group
    assert net.group is group and {"a", "b"} <= {p.name for p in net.get_parameters()}
    with pytest.raises(TypeError):
        ms.ParameterTuple([Tensor(1.0)])


def test_repr():
    assert repr(nn.SequentialCell(nn.Dense(2, 3))) == (
        "SequentialCell(\n  (0): Dense(input_channels=2, output_channels=3, has_bias=True)\n)")
    assert repr(nn.ReLU()) == "ReLU()"


def test_training_flag():
    net = Net()
    assert not net.training
    assert net.set_train() is net and net.layers[0].bn.training
    net.set_train(False)
    assert not net.layers[1].bn.training
    assert net.set_grad() is net and net.requires_grad


def test_both_modes_agree_and_compile_once(mode):
    net = Net()
    net.set_train(False)
    reference = Net()
    for p, q in zip(reference.get_parameters(), net.get_parameters()):
        p.set_data(q.value())
    with_mode = [net(X).asnumpy() for _ in range(3)]
    ms.set_context(mode=ms.PYNATIVE_MODE)
    np.testing.assert_allclose(with_mode[0], reference(X).asnumpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(with_mode[0], with_mode[2])
    if mode == ms.GRAPH_MODE:
        assert net._jit.compilations == 1


def test_what_recompiles():
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        net = Net()
        count = lambda: net._jit.compilations  # noqa: E731
        net(X)
        net.set_train()
        net(X)
        assert count() == 2
        net.set_train(False)
        net(X)
        net.set_train(True)
        net(X)
        assert count() == 2  # both are known
        net.flag = True  # nothing new
        net.head.weight.set_data(net.head.weight * 2)
        net(X)
        assert count() == 2
        net.flag = 1
        net.layers[0].relu = nn.Sigmoid()
        net(X)
        assert count() == 3
        net.head.weight.requires_grad = False
        net(X)
        assert count() == 4
        other = Net()
        other(X)
        net(X[:1])
        assert count() == 5
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_jit_of_functions_around_cells():
    net = nn.SequentialCell(nn.BatchNorm2d(3))

    @ms.jit
    def f(x):
        return net(x)

    x = Tensor(np.random.default_rng(1).normal(3, 2, (4, 3, 2, 2)).astype(np.float32))
    net.set_train()
    y = f(x).asnumpy()
    assert abs(y.mean()) < 1e-5
    moved = net[0].moving_mean.asnumpy().copy()
    assert (moved != 0).all()
    net.set_train(False)
    z = f(x).asnumpy()
    assert abs(z.mean()) > 0.5 and f.compilations == 2
    np.testing.assert_array_equal(moved, net[0].moving_mean.asnumpy())


class Counter(nn.Cell):
    def __init__(self):
        super().__init__()
        self.n = Parameter(Tensor([0], "int32"), name="n", requires_grad=False)
        self.total = Parameter(Tensor(0.0), name="total", requires_grad=False)

    def construct(self, x, *, times=1, pair=(1, None)):
        self.n += 1
        ops.assign_add(self.total, ops.sum(x) * times)
        return {"total": self.total.value(), "pair": pair}


def test_state_and_structures(mode):
    c = Counter()
    for i in range(1, 4):
        out = c(Tensor([1.0, 2.0]), times=2)
        assert float(out["total"]) == 6 * i and out["pair"] == (1, None) and int(c.n) == i
    assert not c.n.requires_grad
    with pytest.raises(TypeError):
        c.n.requires_grad = True


class Lenient(nn.Cell):
    def __init__(self):  # no super().__init__()
        self.fc = nn.Dense(2, 1, weight_init="ones", bias_init="zeros")

    def forward(this, x):
        return this.fc(x)


def test_lenient_cells(mode):
    assert Lenient()(Tensor([[1.0, 2.0]])).asnumpy().tolist() == [[3]]

    class Empty(nn.Cell):
        pass

    with pytest.raises(AttributeError):
        Empty()(Tensor(1.0))


def test_hooks(mode):
    net = nn.Dense(2, 1, weight_init="ones", has_bias=False)
    seen = []
    pre = net.register_forward_pre_hook(lambda cell, x: (x[0] * 2.0,))
    post = net.register_forward_hook(lambda cell, x, y: seen.append(cell) or y + 1.0)
    x = Tensor([[1.0, 2.0]])
    assert net(x).asnumpy().tolist() == [[7]] and seen == [net]
    pre.remove()
    assert net(x).asnumpy().tolist() == [[4]]
    post.remove()
    post.remove()
    assert net(x).asnumpy().tolist() == [[3]]
    with pytest.raises(TypeError):
        net.register_forward_hook(3)


def test_errors_name_line_and_cell(mode):
    net = nn.SequentialCell(nn.Dense(3, 3), nn.SequentialCell(nn.Dense(4, 2)))
    with pytest.raises(ValueError) as info:
        net(Tensor([[1.0, 2.0, 3.0]]))
    text = str(info.value)
    assert "in Cell SequentialCell.1.0" in text and "[linear]" in text
    assert "test_cell.py" in text and "nn/layer.py" not in text

    class Branch(nn.Cell):
        def construct(self, x):
            if ops.sum(x).asnumpy() > 0:
                return x
            return -x

    ms.set_context(mode=ms.GRAPH_MODE, jit_syntax_level=ms.STRICT)
    outer = nn.SequentialCell(Branch())
    with pytest.raises(RuntimeError) as info:
        outer(Tensor([1.0]))
    text = str(info.value)
    ms.set_context(jit_syntax_level=ms.LAX)
    line = Branch.construct.__code__.co_firstlineno + 1
    assert f"test_cell.py:{line} in Cell SequentialCell.0" in text and "where()" in text, text


def test_compile_runs_nothing():
    c = Counter()
    c.compile(Tensor([1.0, 2.0]))
    assert int(c.n) == 0 and c._jit.compilations == 1


def test_precision():
    x = Tensor(np.random.default_rng(2).normal(size=(8, 64)).astype(np.float32))
    net = nn.SequentialCell(nn.Dense(64, 32), nn.Dense(32, 4))
    exact = net(x).asnumpy()
    net.to_float(ms.bfloat16)
    low = net(x)
    assert low.dtype == ms.bfloat16 and 0 < np.abs(low.asnumpy() - exact).max() < 0.1
    net[1].to_float(ms.float32)
    assert net(x).dtype == ms.float32
    with pytest.raises(ValueError):
        net.to_float(ms.int32)


@ms.jit
def doubled(x):
    return x * 2.0


def test_compiled_functions_are_copied_and_pickled_as_functions():
    assert pickle.loads(pickle.dumps(doubled)) is doubled and copy.copy(doubled) is doubled
    net = nn.SequentialCell(nn.Dense(2, 2))
    net.after = doubled
    twin = copy.deepcopy(net)
    assert twin.after is doubled and float(twin.after(Tensor(3.0))) == 6.0
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(ms.jit(lambda x: x))


def test_copies_and_lifetimes(mode):
    net = Net()
    x = X
    y = net(x).asnumpy()
    twin = copy.deepcopy(net)
    again = pickle.loads(pickle.dumps(net))
    for other in (twin, again):
        np.testing.assert_array_equal(other(x).asnumpy(), y)
        assert [p.name for p in other.get_parameters()] == [p.name for p in net.get_parameters()]
    twin.scale.set_data(Tensor(5.0))
    np.testing.assert_array_equal(net(x).asnumpy(), y)
    alive = weakref.ref(net)
    del net
    gc.collect()
    assert alive() is None


def test_apply_and_containers():
    net = nn.CellList([nn.Dense(1, 1), nn.Dense(1, 2)])
    net.append(nn.Dense(2, 1))
    net.insert(0, nn.ReLU())
    assert [type(c).__name__ for c in net] == ["ReLU", "Dense", "Dense", "Dense"] and len(net) == 4
    del net[0]
    net[0] = nn.Dense(1, 1, has_bias=False)
    assert net[0].bias is None and len(net[1:]) == 2
    seen = []
    net.apply(lambda c: seen.append(type(c).__name__))
    assert seen == ["Dense"] * 3 + ["CellList"]
    for call in (lambda: net[9], lambda: net["a"], lambda: net.append(3), lambda: nn.SequentialCell([3])):
        with pytest.raises((IndexError, TypeError)):
            call()
    d = nn.CellDict({"a": nn.ReLU()})
    d["b"] = nn.Dense(1, 1)
    assert list(d) == ["a", "b"] and "a" in d and len(d) == 2 and d["b"].weight.name == "b.weight"
    del d["a"]
    assert list(d.keys()) == ["b"]
    import collections
    s = nn.SequentialCell(collections.OrderedDict(one=nn.ReLU(), two=nn.ReLU()))
    assert list(s.name_cells()) == ["one", "two"] and float(s(Tensor(-1.0))) == 0


def test_buffers_states_and_parts():
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.block = nn.SequentialCell(nn.Dense(2, 2), nn.ReLU())
            self.register_buffer("mean", Tensor([1.0, 2.0]))
            self.register_buffer("scratch", Tensor([0.0]), persistent=False)

        def construct(self, x):
            return self.block(x) + self.mean

    net = Net()
    assert list(net.state_dict()) == ["mean", "block.0.weight", "block.0.bias"] and net.cls_name == "Net"
    assert [n for n, _ in net.named_buffers()] == ["mean", "scratch"] and len(list(net.buffers())) == 2
    other = Net()
    other.mean = Tensor([5.0, 6.0])
    assert other.load_state_dict(net.state_dict()) == ([], [])
    x = Tensor([[1.0, -1.0]])
    assert (other(x) == net(x)).all() and other.get_buffer("mean").asnumpy().tolist() == [1, 2]
    assert net.get_sub_cell("block.0") is net.block[0] and net.get_sub_cell("") is net
    assert other.load_state_dict({"mean": Tensor([0.0, 0.0]), "x": Tensor(1.0)}, strict=False) == (
        ["block.0.weight", "block.0.bias"], ["x"])
    for wrong, error in ((lambda: net.load_state_dict({}), RuntimeError), (lambda: net.register_buffer("block", Tensor(1.0)), ValueError),
                         (lambda: net.register_buffer("a.b", None), ValueError), (lambda: net.get_sub_cell("a"), AttributeError),
                         (lambda: net.load_state_dict({"mean": Tensor([1.0])}, strict=False), RuntimeError),
                         (lambda: net.get_buffer("block"), AttributeError)):
        with pytest.raises(error):
            wrong()
    net.add_flags_recursive(fast=True)
    assert net.block[1].fast and net.get_flags() == {"fast": True}
    net.check_names()
    cells = nn.CellDict({"a": nn.ReLU(), "b": nn.Tanh()})
    assert type(cells.pop("a")).__name__ == "ReLU" and list(cells) == ["b"]
    cells.clear()
    assert len(cells) == 0


class _Inner(nn.Cell):
    def __init__(self):
        super().__init__()
        self.d, self.s = nn.Dense(2, 2, has_bias=False), nn.SequentialCell(nn.Dense(2, 2, has_bias=False))


class _Shared(nn.Cell):
    def __init__(self):
        super().__init__()
        self.i = _Inner()
        self.first = self.i.d


class _Blocks(nn.Cell):
    def __init__(self):
        super().__init__()
        blocks = [nn.SequentialCell(nn.Dense(2, 2, has_bias=False), nn.ReLU()) for _ in range(2)]
        self.layers = nn.CellList(blocks)
        self.head = nn.SequentialCell(blocks[0], nn.Dense(2, 2, has_bias=False))


class _Holder(nn.Cell):
    def __init__(self, net):
        super().__init__()
        self.b, self.c = net, net.first


def test_parameters_of_shared_cells_have_the_last_name():
    names = lambda net: [p.name for p in net.get_parameters()]  # as in MindSpore 2.10
    assert names(_Shared()) == ["first.weight", "i.s.0.weight"]
    assert names(_Blocks()) == ["head.0.0.weight", "layers.1.0.weight", "head.1.weight"]
    assert names(_Holder(_Shared())) == ["c.weight", "b.i.s.0.weight"]
    inner = _Inner()
    nn.SequentialCell(inner.d, inner.s)
    assert names(inner) == ["0.weight", "1.0.weight"]


def test_lists_that_change_name_their_parameters_anew():
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.l = nn.CellList()
            for _ in range(2):
                self.l.append(nn.Dense(2, 2, has_bias=False))
            self.l.insert(1, nn.Dense(2, 3, has_bias=False))

    net = Net()
    names = lambda: [(p.name, p.shape[0]) for p in net.get_parameters()]
    assert names() == [("l.0.weight", 2), ("l.1.weight", 3), ("l.2.weight", 2)]
    del net.l[0]
    net.l.append(nn.Dense(2, 4, has_bias=False))
    assert names() == [("l.0.weight", 3), ("l.1.weight", 2), ("l.2.weight", 4)]


def test_clones_of_parameters():
    p = Parameter(Tensor([1.0, 2.0]), name="w", requires_grad=False)
    q, zeros, other = p.clone(), p.clone("zeros"), p.clone(init=Tensor([5.0, 6.0]))
    assert {type(v) for v in (q, zeros, other)} == {Parameter} and (q.name, q.requires_grad) == ("w", False)
    p.set_data(Tensor([7.0, 8.0]))
    assert [v.asnumpy().tolist() for v in (q, zeros, other)] == [[1, 2], [0, 0], [5, 6]]
    assert type(Tensor([1.0]).clone()) is Tensor
