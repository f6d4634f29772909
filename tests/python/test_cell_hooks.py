# SPDX-License-Identifier: Apache-2.0
"""Hooks of a Cell's gradients, GradOperation over any arguments and results, names of Cells."""

import numpy as np
import pytest
import rutile
from rutile import Parameter, ParameterTuple, Tensor, nn, ops
from rutile.ops import operations as P

BY_ALL = ops.GradOperation(get_all=True)


class _Times(nn.Cell):
    def construct(self, x, y):
        return x * y


class _Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.mul = _Times()

    def construct(self, x, y):
        return self.mul(x * 2, y) * 3


@pytest.fixture(autouse=True, params=["pynative", "graph"])
def _mode(request):
    rutile.set_context(mode=rutile.GRAPH_MODE if request.param == "graph" else rutile.PYNATIVE_MODE)
    yield
    rutile.set_context(mode=rutile.PYNATIVE_MODE)


def _grads(net):
    class Grad(nn.Cell):
        def __init__(self):
            super().__init__()
            self.net = net

        def construct(self, x, y):
            return BY_ALL(self.net)(x, y)

    x, y = Tensor([2.0]), Tensor([5.0])
    first = [g.asnumpy().tolist() for g in BY_ALL(net)(x, y)]
    assert first == [g.asnumpy().tolist() for g in Grad()(x, y)]
    return first


def test_backward_hooks():
    net, seen = _Net(), []
    assert _grads(net) == [[30], [12]]
    look = net.mul.register_backward_hook(lambda cell, dx, dy: seen.append((type(cell), len(dx), len(dy))))
    assert _grads(net) == [[30], [12]] and set(seen) == {(_Times, 2, 1)}
    double = net.mul.register_backward_hook(lambda cell, dx, dy: (dx[0] * 2, dy[0]))
    assert _grads(net) == [[60], [3]]
    pre = net.mul.register_backward_pre_hook(lambda cell, dy: dy[0] + 1)
    assert _grads(net) == [[80], [4]]
    pre.remove()
    double.remove()
    look.remove()
    look.remove()
    assert _grads(net) == [[30], [12]]
    with pytest.raises(TypeError):
        net.mul.register_backward_hook(3)
    net.mul.register_backward_hook(lambda cell, dx, dy: dx[0])
    with pytest.raises(ValueError):
        _grads(net)


def test_backward_hooks_beside_weights():
    """Nobody differentiates by the inputs of the first layer."""
    net, seen = nn.Dense(3, 2), []
    net.register_backward_hook(lambda cell, dx, dy: seen.append((dx, dy[0].shape)))
    got = ops.GradOperation(get_by_list=True)(net, ParameterTuple(net.trainable_params()))(Tensor(np.ones((4, 3), np.float32)))
    assert [g.shape for g in got] == [(2, 3), (2,)] and got[1].asnumpy().tolist() == [4, 4]
    assert seen == [((None,), (4, 2))]


def test_grad_operation_takes_any_arguments():
    def scaled(x, n, s=None):
        return x * n

    x = Tensor([1.0, 2.0])
    assert [g.asnumpy().tolist() for g in BY_ALL(scaled)(x, 3, "a")] == [[3, 3]]
    both, plain = BY_ALL(lambda t, v: t[0] * t[1] * v)((x, x), x)
    assert [g.asnumpy().tolist() for g in both] == [[1, 4], [1, 4]] and plain.asnumpy().tolist() == [1, 4]
    weighed = ops.GradOperation(get_all=True, sens_param=True)
    got = weighed(lambda a, b: (a * b, (a + b, a)))(x, x, (x, (x, x * 10)))
    assert [g.asnumpy().tolist() for g in got] == [[12, 26], [2, 6]]
    got = ops.GradOperation(sens_param=True)(lambda a: {"y": a * a})(x, {"y": x})
    assert got.asnumpy().tolist() == [2, 8]
    with pytest.raises(ValueError):
        weighed(lambda a, b: (a, b))(x, x, (x,))
    got = ops.GradOperation(get_all=True, get_by_list=True)(rutile.jit(lambda a: a * 2))(x)
    assert got[0][0].asnumpy().tolist() == [2, 2] and got[1] == ()


def test_names_and_places():
    cell = nn.Cell()
    for name in ("", "a.b"):
        with pytest.raises(KeyError):
            cell.insert_param_to_cell(name, Parameter(Tensor(1.0)))
        with pytest.raises(KeyError):
            cell.insert_child_to_cell(name, nn.ReLU())
    cell.insert_child_to_cell("later", None)
    assert cell.cells() == []
    named = nn.SequentialCell({"conv": nn.ReLU(), "act": nn.Tanh()})
    named[1] = nn.ReLU()
    assert len(named) == 2 and list(named.name_cells()) == ["conv", "act"] and isinstance(named[1], nn.ReLU)
    cells = nn.CellList([nn.ReLU()])
    cells += [nn.Tanh()]
    assert len(cells) == 2


def test_parameters_say_what_they_take():
    p = Parameter(Tensor([1.0]), "p", True, layerwise_parallel=False, parallel_optimizer=True)
    assert p.requires_grad and not Parameter(Tensor([1.0]), requires_grad=False).requires_grad
    for wrong in ({"requires_grad": 3}, {"requires_grad": None}, {"layerwise_parallel": "no"}, {"parallel_optimizer": 1}):
        with pytest.raises(TypeError):
            Parameter(Tensor([1.0]), name="p", **wrong)
    for name in (3, True, ["p"], Tensor(1.0)):
        with pytest.raises(ValueError):
            Parameter(Tensor([1.0]), name=name)


def test_placeholders():
    t = Tensor(shape=[None, 3], dtype=rutile.float16)
    assert t.dtype == rutile.float16 and t.shape == (0, 3)
    net = nn.Dense(3, 2)
    net.set_inputs(t)
    assert net(Tensor(np.ones((5, 3), np.float32))).shape == (5, 2)


def test_resize_bilinear():
    x = Tensor(np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2))
    assert P.ResizeBilinear((3, 3), align_corners=True)(x).asnumpy()[0, 0, 1].tolist() == [1, 1.5, 2]
    assert P.ResizeBilinear((1, 2))(x).asnumpy().tolist() == [[[[0, 1]]]]


def test_parameters_keep_their_hooks():
    net = nn.Dense(2, 1, weight_init="ones", has_bias=False)
    weights = ParameterTuple(net.trainable_params())
    by_list = ops.GradOperation(get_by_list=True)

    class Grad(nn.Cell):
        def __init__(self):
            super().__init__()
            self.net = net

        def construct(self, x):
            return by_list(self.net, weights)(x)

    grad, x = Grad(), Tensor([[1.0, 3.0]])
    assert grad(x)[0].asnumpy().tolist() == [[1, 3]]
    double = net.weight.register_hook(lambda g: g * 2)
    look = net.weight.register_hook(lambda g: None)
    for _ in range(2):
        assert grad(x)[0].asnumpy().tolist() == [[2, 6]]
        assert rutile.grad(net, None, net.weight)(x).asnumpy().tolist() == [[2, 6]]
    _, both = rutile.value_and_grad(net, 0, weights)(x)[1]
    assert both[0].asnumpy().tolist() == [[2, 6]]
    square = ops.GradOperation(get_all=True, get_by_list=True)(lambda: net.weight * net.weight, weights)()  # no arguments
    assert square[0].asnumpy().tolist() == [[4, 4]]
    double.remove()
    double.remove()
    assert grad(x)[0].asnumpy().tolist() == [[1, 3]]
    look.remove()
    wrong = net.weight.register_hook(lambda g: g.sum())
    with pytest.raises(ValueError):
        rutile.grad(net, None, net.weight)(x)
    wrong.remove()


def test_model_says_what_it_takes():
    model = rutile.Model(nn.Dense(2, 1), nn.MSELoss(), nn.SGD([Parameter(Tensor([1.0]), name="w")]))
    for more in ({"dataset_sink_mode": "True"}, {"dataset_sink_mode": 1}, {"initial_epoch": "1"}, {"initial_epoch": True}):
        with pytest.raises(TypeError):
            model.train(2, [], **more)


def test_hooks_with_keywords_first_and_after_errors():
    class Scale(nn.Cell):
        def construct(self, x, factor=1.0):
            if factor is None:
                raise ValueError("no factor")
            return x * factor

    net, seen = Scale(), []
    net.register_forward_pre_hook(lambda cell, args: (args[0] + 1,))
    net.register_forward_pre_hook(lambda cell, args: (args[0] * 10,), prepend=True)
    keyed = net.register_forward_pre_hook(lambda cell, args, kwargs: (args, {"factor": 2.0}), with_kwargs=True)
    assert float(net(Tensor(1.0), factor=3.0)) == 22
    keyed.remove()
    net.register_forward_hook(lambda cell, args, kwargs, out: seen.append((kwargs, out)), with_kwargs=True, always_call=True)
    net.register_forward_hook(lambda cell, args, out: out + 0.5)
    assert float(net(Tensor(1.0), factor=3.0)) == 33.5 and seen[0][0] == {"factor": 3.0} and seen[0][1].shape == ()
    with pytest.raises(ValueError, match="no factor"):
        net(Tensor(1.0), factor=None)
    assert seen[-1] == ({"factor": None}, None)
    net.register_forward_pre_hook(lambda cell, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="with_kwargs"):
        net(Tensor(1.0))
