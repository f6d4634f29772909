# SPDX-License-Identifier: Apache-2.0
"""What MindSpore's own tests expect of Cells, Parameters, gradients, losses, optimizers and callbacks."""

import weakref
from unittest import mock

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, ParameterTuple, Tensor, errors, nn, ops
from rutile.train import callback

RNG = np.random.RandomState(0)


def test_parameters_that_need_no_gradient_have_zeros():
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.a, self.b = (Parameter(Tensor([2.0]), name=n) for n in "ab")
            self.a.requires_grad = False

        def construct(self, x):
            return x * self.a + self.b * 3

    net = Net()
    by_inputs, by_weights = ops.GradOperation(get_all=True, get_by_list=True)(net, ParameterTuple((net.a, net.b)))(Tensor([1.0]))
    assert float(by_inputs[0]) == 2 and [float(g) for g in by_weights] == [0, 3]
    value, grads = ms.value_and_grad(net, None, (net.a, net.b))(Tensor([1.0]))
    assert float(value) == 8 and [float(g) for g in grads] == [0, 3]
    assert [float(g) for g in ms.grad(net, None, (net.a,))(Tensor([1.0]))] == [0]
    assert [float(g) for g in ms.jit(ms.grad(net, None, (net.a, net.b)))(Tensor([1.0]))] == [0, 3]


def test_state_dict_gives_parameters_and_has_hooks():
    class Extra(nn.Dense):
        def get_extra_state(self):
            return {"steps": 3}

        def set_extra_state(self, state):
            self.seen = state

    net, seen = nn.SequentialCell(Extra(2, 2), nn.Dense(2, 1)), []
    handles = [net[0].register_state_dict_pre_hook(lambda cell, prefix, keep: seen.append(("before", prefix))),
               net.register_state_dict_post_hook(lambda cell, state, prefix, meta: seen.append(("after", len(state)))),
               net.register_load_state_dict_pre_hook(lambda cell, state, *rest: state.pop("more", None)),
               net.register_load_state_dict_post_hook(lambda cell, keys: keys.missing_keys.clear())]
    state = net.state_dict()
    assert list(state) == ["0.weight", "0.bias", "0._extra_state", "1.weight", "1.bias"] and state["0.weight"] is net[0].weight
    assert seen == [("before", "0."), ("after", 5)]
    other = {k: Tensor(np.ones(v.shape, np.float32)) if isinstance(v, Tensor) else v for k, v in state.items() if k != "1.bias"}
    assert net.load_state_dict({**other, "more": 1}) == ([], [])
    assert net[0].seen == {"steps": 3} and (net[0].weight == 1).all() and not (net[1].bias == 1).all()
    for h in handles:
        h.remove()
    with pytest.raises(errors.RuntimeError):
        net.load_state_dict(other)
    with pytest.raises(errors.TypeError):
        net.register_state_dict_pre_hook(1)


def test_parameters_keep_settings_of_several_devices():
    p, q = Parameter(Tensor([1.0]), name="p"), Parameter(Tensor([1.0]), name="q")
    assert (p.layerwise_parallel, p.parallel_optimizer, p.comm_fusion, p.inited_param) == (False, True, 1, None)
    p.comm_fusion = 2
    assert p.comm_fusion == 2 and q.comm_fusion == 1
    with pytest.raises(errors.TypeError):
        p.layerwise_parallel = 1
    p.default_input = Tensor([3.0])
    assert float(p.default_input) == 3


def test_losses_say_what_they_take():
    x, t, w = RNG.randn(3, 5).astype(np.float32), Tensor(RNG.randint(0, 5, 3)), Tensor(RNG.rand(5).astype(np.float32))
    for wrong in (lambda: ops.cross_entropy(x, t, w), lambda: ops.cross_entropy(Tensor(x), np.zeros(3, np.int64)),
                  lambda: ops.cross_entropy(Tensor(x), t, np.ones(5)), lambda: ops.cross_entropy(Tensor(x), t, w, ignore_index="1")):
        with pytest.raises(errors.TypeError):
            wrong()
    logs, at = RNG.randn(2, 4, 3).astype(np.float32), RNG.randint(0, 4, (2, 3))
    want = -np.take_along_axis(logs, at[:, None], 1)[:, 0]
    np.testing.assert_allclose(ops.nll_loss(Tensor(logs), Tensor(at), reduction="none").asnumpy(), want, rtol=1e-6)
    np.testing.assert_allclose(nn.NLLLoss()(Tensor(logs), Tensor(at)).asnumpy(), want.mean(), rtol=1e-5)
    np.testing.assert_allclose(ops.nll_loss(Tensor(logs[0, :, 0]), Tensor(at[0, 0])).asnumpy(), want[0, 0], rtol=1e-6)


def test_losses_of_ones_own_have_the_parts_of_the_base():
    class Own(nn.LossBase):
        def construct(self, base, target):
            x = self.mul(base - target, base - target)
            if self.reduce and self.average:
                x = self.reduce_mean(x, self.get_axis(x))
            if self.reduce and not self.average:
                x = self.reduce_sum(x, self.get_axis(x))
            return self.cast(x, ms.float32)

    a, b = Tensor([[1.0, 2.0], [3.0, 5.0]]), Tensor([[0.0, 0.0], [1.0, 1.0]])
    assert [float(Own(r)(a, b)) for r in ("mean", "sum")] == [6.25, 25] and Own("none")(a, b).asnumpy().tolist() == [[1, 4], [4, 16]]


def test_optimizers_say_what_they_take():
    def two():
        return [Parameter(Tensor([1.0]), name="same") for _ in range(2)]

    with pytest.raises(NotImplementedError):
        nn.Optimizer(0.5, two()[:1]).construct()
    with pytest.raises(errors.TypeError):
        nn.SGD(two()[0])
    with pytest.raises(errors.ValueError, match="same"):
        nn.SGD(two())


def test_places_and_values():
    x = Tensor([[1.0, 3.0], [2.0, 0.0]])
    value, place = x.argmax_with_value(1)
    assert value.asnumpy().tolist() == [3, 2] and place.asnumpy().tolist() == [1, 0]
    value, place = x.argmin_with_value(0, True)
    assert value.asnumpy().tolist() == [[1, 0]] and place.asnumpy().tolist() == [[0, 1]]


def test_callbacks_called_by_hand(capsys):
    state = callback._InternalCallbackParam()
    state.cur_epoch_num, state.epoch_num, state.cur_step_num, state.batch_num, state.net_outputs = 4, 4, 2, 2, Tensor(2.0)
    run = callback.RunContext(state)
    with callback._CallbackManager([callback.LossMonitor(1, has_trained_epoch=10)]) as call:
        for name in ("begin", "epoch_begin", "step_begin", "step_end", "epoch_end", "end"):
            getattr(call, name)(run)
    assert "epoch: 14 step: 2, loss is 2.0" in capsys.readouterr().out
    with mock.patch.object(callback.Callback, "__exit__", return_value=None) as left:
        with pytest.raises(ValueError), callback._CallbackManager([callback.Callback(), callback.Callback()]):
            raise ValueError
    assert left.call_count == 2
    for wrong in ([None], ["text"], [callback.LossMonitor(), 1]):
        with pytest.raises(errors.TypeError):
            callback._CallbackManager(wrong)
    with pytest.raises(errors.TypeError):
        callback.RunContext(666)


def test_primitives_have_attributes_that_can_be_changed():
    add = ops.operations.Add().add_prim_attr("x", 1)
    assert add.attrs == {"x": 1} and add.del_prim_attr("x").attrs == {} and add.set_device("CPU") is add
    assert float(add.shard(((1,), (1,))).set_stage(0)(Tensor(1.0), Tensor(2.0))) == 3
    with pytest.raises(errors.ValueError):
        add.set_device("GPU")


def test_functions_under_other_names():
    assert ms.is_tensor(Tensor([1])) and not ms.is_tensor(1)
    x = Tensor([[1.0, 2.0]])
    assert ops.sum_ext(x, 1).asnumpy().tolist() == [3] and ops.auto_generate.mean_ext(x, 1).asnumpy().tolist() == [1.5]
    assert ops.function.math_func.add(x, x).asnumpy().tolist() == [[2, 4]]
    with pytest.raises(AttributeError):
        ops.no_such_name_ext
    y = ops.zeros((2, 2))
    ms.mint.addr_(y, Tensor([1.0, 2.0]), Tensor([3.0, 4.0]))
    assert y.asnumpy().tolist() == [[3, 4], [6, 8]]


@pytest.mark.parametrize("wrong", (
    lambda: nn.LayerNorm(3), lambda: nn.Dense(3, 2, has_bias=1), lambda: nn.GroupNorm(2, 4, eps="small"), lambda: nn.Softmax("x"), lambda: nn.Norm(axis="x"),
    lambda: ops.operations.TopK(sorted=1), lambda: nn.Adam([Parameter(Tensor([1.0]), name="a")], beta1="x")))
def test_wrong_types_of_attributes(wrong):
    with pytest.raises(errors.TypeError):
        wrong()


def test_tensors_from_outside_have_hooks():
    x, seen = Tensor([1.0, 2.0]), []
    handle = x.register_hook(lambda g: g * 2)
    assert ms.grad(lambda v: v ** 2 + v + 1)(x).asnumpy().tolist() == [6, 10]
    by_x, by_y = ops.GradOperation(get_all=True)(lambda a, b: a * b)(x, Tensor([3.0, 4.0]))
    assert by_x.asnumpy().tolist() == [6, 8] and by_y.asnumpy().tolist() == [1, 2]
    watch = x.register_hook(lambda g: seen.append(g.asnumpy().tolist()))
    nested = ms.grad(lambda p: p["a"][0] * 3)({"a": (x,)})
    assert nested["a"][0].asnumpy().tolist() == [6, 6] and seen == [[6, 6]]
    handle.remove()
    handle.remove()
    watch.remove()
    assert ms.grad(lambda v: v * 3)(x).asnumpy().tolist() == [3, 3] and len(seen) == 1
    with pytest.raises(errors.TypeError):
        x.register_hook(3)

    def inside(v):
        y = v * 3
        gone = y.register_hook(lambda g: g * 100)
        kept = y.register_hook(lambda g: g * 10)
        gone.remove()
        assert kept is not None
        return y

    assert ms.grad(inside)(x).asnumpy().tolist() == [30, 30]


def test_hooks_go_with_their_tensor():
    from rutile.ops import transform
    before = len(transform._tensor_hooks)
    x = Tensor([1.0])
    x.register_hook(lambda g: g)
    assert len(transform._tensor_hooks) == before + 1
    del x
    assert len(transform._tensor_hooks) == before


def test_tensors_are_referred_to_weakly():
    gone = []
    for make in (lambda: Tensor([1.0]), lambda: Parameter(Tensor([1.0]), name="p"), lambda: ops.ones(2) + 1):
        t = make()
        ref = weakref.ref(t, lambda _: gone.append(1))
        assert ref() is t
        del t
        assert ref() is None
    assert gone == [1, 1, 1]


def test_floats_in_lists_are_rounded_once():
    for dtype in ("float64", "float32", "float16", "bfloat16"):
        assert (Tensor([0.3, [0.1][0]], dtype) == Tensor(np.array([0.3, 0.1]), dtype)).all()
    assert Tensor([[0.3]], ms.float64).asnumpy()[0, 0] == 0.3 and Tensor((0.1,), ms.float64).asnumpy()[0] == 0.1
    assert Tensor([0.1 + 0.2j], ms.complex128).asnumpy()[0] == 0.1 + 0.2j and Tensor(0.1 + 0.2j, ms.complex128).asnumpy() == 0.1 + 0.2j
    assert Tensor([0.3]).dtype == ms.float32 and Tensor([1j]).dtype == Tensor(1j).dtype == ms.complex128 and Tensor([1, 2], ms.float64).dtype == ms.float64
    with pytest.raises(errors.ValueError):
        Parameter(True, name="flag")


def test_dtypes_are_mindspores():
    x, i, small = Tensor([[1.5, -2.0], [0.5, 3.0]]), Tensor([[1, -2], [3, 4]], ms.int32), Tensor([[1, 2], [3, 4]], ms.uint8)
    for got, dtype in ((ops.argmin(x, 1), ms.int32), (x.argmin(), ms.int32), (ops.argsort(x), ms.int32), (ops.sort(x)[1], ms.int32), (x.sort()[1], ms.int32),
                       (ops.cummin(x, 0)[1], ms.int32), (ops.argmax(x), ms.int64), (ops.trace(i), ms.int32), (ops.nansum(small), ms.uint8),
                       (i.std(), ms.float32), (ops.norm(i), ms.float32), (ops.frac(i), ms.int32), (ms.mint.argmin(x), ms.int64),
                       (ms.mint.sort(x, dim=0)[1], ms.int64), (ms.mint.argsort(x), ms.int64), (ms.mint.cummin(x, 0)[1], ms.int64)):
        assert got.dtype == dtype
    assert x.sum(0, True).shape == (1, 2) and x.aminmax()[0].asnumpy().tolist() == [0.5, -2]
    np.testing.assert_allclose(i.var(0).asnumpy(), i.asnumpy().var(0), rtol=1e-6)
    assert ops.frac(x).asnumpy().tolist() == [[0.5, 0], [0.5, 0]]


def test_numpys_numbers_keep_their_dtype():
    for kind in ("int8", "uint8", "int32", "int64", "float16", "float32", "float64"):
        assert Tensor(getattr(np, kind)(3)).dtype == getattr(ms, kind)
    assert (ops.ones(2) * np.int64(2)).dtype == ms.float32 and Tensor(3).dtype == ms.int64
    counts = Tensor([1, 2, 1], ms.int32).histc(4, 0.0, 3.0)
    assert counts.asnumpy().tolist() == [0, 2, 1, 0] and counts.dtype == ms.int32


def test_bprop_is_checked():
    class Wrong(nn.Cell):
        def __init__(self, gradients):
            super().__init__()
            self.gradients = gradients

        def construct(self, x, y):
            return x + y

        def bprop(self, x, y, out, dout):
            return self.gradients

    x = Tensor(np.ones(2, np.float32))
    g = ops.GradOperation(get_all=True)
    with pytest.raises(TypeError, match="2 arguments, got 1"):
        g(Wrong((x,)))(x, x)
    wide = x.astype(ms.float64)
    assert g(Wrong((wide, x)))(x, x)[0].dtype == ms.float32
    ms.set_context(check_bprop=True)
    try:
        with pytest.raises(TypeError, match="gradient of float64"):
            g(Wrong((wide, x)))(x, x)
        with pytest.raises(TypeError, match="gradient of int"):
            g(Wrong((2, 3)))(x, x)
    finally:
        ms.set_context(check_bprop=False)


@pytest.mark.parametrize("f", ["assign", "assign_add", "assign_sub"])
def test_assign_keeps_the_kind(f):
    p = Parameter(Tensor([1, 2], ms.int32), name="p")
    with pytest.raises(TypeError, match="float32 Tensor for a Parameter of int32"):
        getattr(ms.ops, f)(p, Tensor([1.5, 2]))
    assert p.asnumpy().tolist() == [1, 2]
    getattr(ms.ops, f)(p, Tensor([1, 1], ms.int32))
    assert p.asnumpy().tolist() == {"assign": [1, 1], "assign_add": [2, 3], "assign_sub": [0, 1]}[f]


def test_model_checks_what_it_is_given():
    net, loss = nn.ReLU(), nn.MSELoss()
    for wrong in ([], (1, 2, 3), [1, 2]):
        with pytest.raises(ValueError, match="list of three"):
            ms.Model(net, eval_network=net, eval_indexes=wrong, metrics={"mse"})
    dense = nn.Dense(1, 1)
    model = ms.Model(dense, loss, nn.SGD(dense.trainable_params(), 0.1))
    for wrong, error in (("2", TypeError), (True, TypeError), (1.0, TypeError), (0, ValueError), (-1, ValueError)):
        with pytest.raises(error, match="epoch must be a positive int"):
            model.train(wrong, [(Tensor([[1.0]]), Tensor([[2.0]]))])


def test_initializers_of_ones_own():
    from rutile.common import initializer as init

    @init._register("a_pair")
    class Two(init.Initializer):
        def __init__(self, value=2):
            super().__init__(value=value)
            self.value = value

        def _initialize(self, arr):
            init._assignment(arr, self.value)

    for dtype in (ms.int32, ms.float16, ms.bfloat16, ms.bool_):
        made = init.initializer(Two(1), [2, 3], dtype)
        assert made.shape == (2, 3) and made.dtype == dtype and bool((made == 1).all())
    assert init.initializer("two", (1,)).asnumpy().tolist() == init.initializer("a_pair", (1,)).asnumpy().tolist() == [2.0]
    assert nn.Dense(2, 2, weight_init=Two(3)).weight.asnumpy().tolist() == [[3.0, 3.0]] * 2
    half = init.initializer("XavierUniform", (2, 2), ms.float16)
    assert init.initializer(half).dtype == ms.float16
    with pytest.raises(NotImplementedError, match="_initialize"):
        init.initializer(init.Initializer(), (2,))


def test_summary_collector_checks(tmp_path):
    from rutile.train.callback import SummaryCollector
    with pytest.raises(ValueError, match="empty string"):
        ms.train.SummaryRecord("")
    a_file = tmp_path / "file"
    a_file.write_text("x")
    for error, args in ((ValueError, {"summary_dir": ""}), (TypeError, {"summary_dir": None}), (NotADirectoryError, {"summary_dir": str(a_file)}),
                        (TypeError, {"collect_specified_data": {1: True}}), (ValueError, {"collect_specified_data": {"x": True}}),
                        (ValueError, {"collect_specified_data": {"histogram_regular": "*"}})):
        with pytest.raises(error):
            SummaryCollector(**{"summary_dir": str(tmp_path), **args})


def test_mint_flatten_and_cumsum():
    x = ops.ones((2, 3, 4))
    with pytest.raises(ValueError, match="comes after"):
        ms.mint.flatten(x, 2, 1)
    assert ms.mint.flatten(x, -2, -1).shape == (2, 12) and ms.mint.flatten(Tensor(1.0)).shape == (1,)
    twice = ms.mint.repeat_interleave(x, Tensor([1, 0, 2]), dim=1, output_size=3)
    assert twice.shape == (2, 3, 4) and ms.mint.repeat_interleave(x, 2).shape == (48,)
    with pytest.raises(ValueError, match="3 entries, not 4"):
        ms.mint.repeat_interleave(x, Tensor([1, 0, 2]), 1, output_size=4)
    counts = Tensor([1, 2, 3], ms.int32)
    assert ms.mint.cumsum(counts, 0).dtype == ms.int64 and ms.mint.cumsum(counts, 0, dtype=ms.int32).dtype == ms.int32


def test_products_with_jacobians_take_tensors():
    def cube(x):
        return x ** 3

    with pytest.raises(TypeError, match="are Tensors, got int"):
        ops.vjp(cube, Tensor([1.0]))[1](1)
    with pytest.raises(TypeError, match="are Tensors, got int"):
        ops.jvp(cube, 1, 1)


def test_parameters_whose_init_scripts_replace(monkeypatch):
    old, seen = Parameter.__init__, []

    def patched(self, default_input, name=None, requires_grad=True, **kwargs):
        seen.append(name)
        old(self, default_input, name=f"patched.{name}", requires_grad=requires_grad)

    monkeypatch.setattr(Parameter, "__init__", patched)
    p = Parameter(Tensor([1.0, 2.0]), name="w", requires_grad=False)
    assert (p.name, p.requires_grad, seen) == ("patched.w", False, ["w"]) and (p == Tensor([1.0, 2.0])).all()
    assert nn.Dense(2, 3).weight.shape == (3, 2)
    monkeypatch.undo()
    assert Parameter(Tensor([1.0]), name="w").name == "w"

    class Named(Parameter):
        def __new__(cls, value):
            return super().__new__(cls, Tensor(value), name="own", requires_grad=False)

    class Doubled(Parameter):
        def __init__(self, value, name=None):
            super().__init__(value * 2, name=name)

    assert (Named([1.0]).name, Named([1.0]).requires_grad) == ("own", False)
    assert float(Doubled(Tensor([3.0]), name="d")) == 6 and Doubled(Tensor([3.0]), name="d").name == "d"
    with pytest.raises(TypeError):
        Parameter.__init__(p, Tensor([1.0]), nothing=1)


def test_deformable_offsets_are_of_columns_first():
    # Numbers of MindSpore 2.10 on the CPU.
    x = Tensor((np.arange(30) * 7 % 11 / 5 - 1).reshape(1, 1, 5, 6).astype(np.float32))
    offsets = Tensor((np.arange(240) * 5 % 13 / 6 - 1).reshape(1, 12, 4, 5).astype(np.float32))
    w = Tensor((np.arange(8) % 3 - 1).reshape(2, 1, 2, 2).astype(np.float32))
    y = ops.deformable_conv2d(x, w, offsets, (2, 2), (1, 1, 1, 1), (0, 0, 0, 0)).asnumpy()
    np.testing.assert_allclose(y.ravel()[[0, 7, 13, 21, 39]], [-0.44444, -0.35, 0.19815, -0.14074, 0.23333], atol=2e-5)
    read = ops.operations.DeformableOffsets
    y = read((1, 1, 1, 1), (0, 0, 0, 0), (2, 2))(x, offsets).asnumpy()
    assert y.shape == (1, 1, 8, 10)
    np.testing.assert_allclose(y.ravel()[[0, 9, 33, 50, 79]], [0, 0, -0.18889, 0.13333, 0.15556], atol=2e-5)
    last = read((1, 1, 1, 1), (0, 0, 0, 0), (2, 2), data_format="NHWC")(x.transpose(0, 2, 3, 1), offsets.transpose(0, 2, 3, 1)).asnumpy()
    np.testing.assert_array_equal(last[..., 0], y[:, 0])
    with pytest.raises(ValueError):
        read((1, 1, 1, 1), (0, 0, 0, 0), (2, 2), modulated=False)(x, offsets)


def test_parameters_take_other_shapes_and_dtypes():
    net = nn.Dense(2, 3)
    f = ms.jit(net)
    x = Tensor([[1.0, 2.0]])
    assert f(x).shape == (1, 3)
    with pytest.raises(ValueError):
        net.weight.set_data(Tensor(np.ones((4, 2), np.float32)))
    net.weight.set_data(Tensor(np.ones((4, 2), np.float32)), slice_shape=True)
    net.bias.set_data(Tensor(np.zeros(4, np.float32)), slice_shape=True)
    assert f(x).asnumpy().tolist() == [[3, 3, 3, 3]]
    assert net.to(ms.float64) is net and net.weight.dtype == net.bias.dtype == ms.float64
    assert f(x.astype(ms.float64)).dtype == ms.float64
    assert net.to(Tensor(1.0)).weight.dtype == ms.float32 and net.to("CPU", ms.float16).bias.dtype == ms.float16
    count = Parameter(Tensor(np.array([3])), name="count", requires_grad=False)
    net.insert_param_to_cell("count", count)
    assert net.to(dtype=ms.float32).count.dtype == ms.int64
    with pytest.raises(TypeError):
        net.to(ms.int32)
    assert Tensor([[1, 2], [3, 4]]).index((Tensor([1, 0]), Tensor([0, 1]))).asnumpy().tolist() == [3, 2]
    with pytest.raises(TypeError):
        Tensor([1]).index(0)


def test_compiled_cells_give_shapes_and_dtypes():
    class Net(nn.Cell):
        def construct(self, x):
            return x * 2, x.shape, x.dtype, {"as": ops.dtype(x.astype(ms.int32))}

    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        y, shape, dtype, more = Net()(Tensor([[1.0, 2.0]]))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert shape == (1, 2) and dtype == ms.float32 and more == {"as": ms.int32} and y.asnumpy().tolist() == [[2, 4]]


def test_optimizers_tell_about_their_groups():
    net = nn.SequentialCell(nn.Dense(2, 2), nn.Dense(2, 2))
    p = net.trainable_params()
    grouped = nn.Momentum([{"params": p[:2], "lr": 0.1}, {"params": p[2:]}, {"order_params": p}], 0.05, 0.9)
    assert grouped.is_group and grouped.is_group_lr and grouped.is_group_params_ordered
    plain = nn.Momentum(p, 0.05, 0.9)
    assert not (plain.is_group or plain.is_group_lr or plain.is_group_params_ordered)
