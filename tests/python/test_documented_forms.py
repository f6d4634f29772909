# SPDX-License-Identifier: Apache-2.0
"""Dtypes, containers and names as the examples of MindSpore's reference show them."""

import numpy as np
import pytest

import rutile as ms
import rutile.numpy as mnp
from rutile import Parameter, Tensor, amp, context, errors, mint, nn, ops

X = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)


def test_set_seed_seeds_numpy_too():
    ms.set_seed(7)
    first = np.random.rand(3)
    ms.set_seed(7)
    assert (np.random.rand(3) == first).all() and (np.random.RandomState(7).rand(3) == first).all()
    ms.set_seed(7)
    ms.manual_seed(3)  # of Tensors' random numbers alone
    assert (np.random.rand(3) == first).all()


def test_whole_numbers_of_parameters_are_int32():
    assert Parameter(3, name="n").dtype == ms.int32 and Parameter(Tensor(3), name="n").dtype == ms.int64
    big = Parameter(2**40, name="n")
    assert big.dtype == ms.int64 and int(big) == 2**40
    assert ops.tuple_to_array((1, 2)).dtype == ms.int32 and ops.tuple_to_array((1.5, 2)).asnumpy().tolist() == [1.5, 2]


def test_complex_numbers_of_python_are_complex128():
    assert Tensor(1 + 2j).dtype == Tensor([1 + 2j, 3]).dtype == ms.complex128
    assert (Tensor([1.0]) * 2j).dtype == ms.complex64 and Tensor(1j, ms.complex64).dtype == ms.complex64


@pytest.mark.parametrize("index", [1.5, "a", range(2), {0}, Tensor([1.0]), np.array([1.0])])
def test_what_is_no_index_is_an_index_error(index):
    with pytest.raises(errors.IndexError, match="a tensor is indexed by int, slice"):
        Tensor(X)[index]
    with pytest.raises(errors.IndexError):
        x = Tensor(X)
        x[index] = 1.0


def test_indices_of_pools_are_int64():
    for y, at in (nn.MaxPool2d(2, 2, pad_mode="pad", return_indices=True)(Tensor(X)), ops.max_pool2d(Tensor(X), 2, return_indices=True),
                  ops.adaptive_max_pool2d(Tensor(X), 2, return_indices=True), mint.nn.functional.max_pool2d(Tensor(X), 2, return_indices=True)):
        assert at.dtype == ms.int64 and at.asnumpy().ravel().tolist() == [5, 7, 13, 15] * 2 and y.shape == (1, 2, 2, 2)
    y, at = nn.MaxPool2d(2, 2, pad_mode="pad", return_indices=True)(Tensor(X))
    assert nn.MaxUnpool2d(2, 2)(y, at).asnumpy().sum() == y.asnumpy().sum()
    _, at = nn.MaxPool1d(2, 2, pad_mode="pad", return_indices=True)(Tensor(X.reshape(1, 2, 16)))
    _, deep = ops.max_pool3d(Tensor(X.reshape(1, 1, 2, 4, 4)), 2, return_indices=True)
    assert at.dtype == deep.dtype == ms.int64 and deep.asnumpy().ravel().tolist() == [21, 23, 29, 31]


def test_what_vjp_pulls_back_is_a_tuple():
    _, pull = ms.vjp(lambda x: x * x, Tensor([1.0, 2.0]))
    (g,) = pull(Tensor([1.0, 1.0]))
    assert g.asnumpy().tolist() == [2, 4]
    net = nn.Dense(2, 1, weight_init="ones", bias_init="zeros")
    (gx,), (gw, gb) = ms.vjp(net, Tensor([[1.0, 2.0]]), weights=[net.weight, net.bias])[1](Tensor([[1.0]]))
    assert gx.asnumpy().tolist() == [[1, 1]] and gw.asnumpy().tolist() == [[1, 2]] and gb.asnumpy().tolist() == [1]


@pytest.mark.parametrize("jacobian", [ms.jacfwd, ms.jacrev])
def test_one_further_result_of_a_jacobian_is_bare(jacobian):
    j, aux = jacobian(lambda x: (x * x, x + 1), has_aux=True)(Tensor([1.0, 2.0]))
    assert j.asnumpy().tolist() == [[2, 0], [0, 4]] and aux.asnumpy().tolist() == [2, 3]
    _, aux = jacobian(lambda x: (x * x, x + 1, x), has_aux=True)(Tensor([1.0, 2.0]))
    assert isinstance(aux, tuple) and len(aux) == 2


def test_counts_are_float32_but_for_mint():
    for counts in (ops.bincount(Tensor([1, 2, 2]), minlength=4), Tensor([1, 2, 2]).bincount(minlength=4)):
        assert counts.dtype == ms.float32 and counts.asnumpy().tolist() == [0, 1, 2, 0]
    assert mint.bincount(Tensor([1, 2, 2])).dtype == ms.int64
    assert ops.bincount(Tensor([1, 2]), Tensor([0.5, 1.0], ms.float64)).dtype == ms.float64


def test_masks_of_the_dropout_primitive_are_numbers():
    x = Tensor(np.ones((4, 4), np.float16))
    y, mask = ops.Dropout(keep_prob=0.5)(x)
    assert mask.dtype == x.dtype and (y.asnumpy() == mask.asnumpy() * 2).all()


WHOLE = {
    "arange": lambda: mnp.arange(3), "arange3": lambda: mnp.arange(0, 6, 2), "array": lambda: mnp.array([[1, 2], [3, 4]]),
    "number": lambda: mnp.array(3), "full": lambda: mnp.full((2,), 3), "where": lambda: mnp.where(Tensor([True, False]), 1, 2),
    "add": lambda: mnp.add(1, 2), "cumsum": lambda: mnp.cumsum(Tensor([True, True])), "count": lambda: mnp.count_nonzero(Tensor([1, 0])),
    "searchsorted": lambda: mnp.searchsorted(Tensor([1, 2]), 2), "digitize": lambda: mnp.digitize(Tensor([1.0]), Tensor([0.0, 1.5])),
    "diag_indices": lambda: mnp.diag_indices(3)[0], "triu_indices": lambda: mnp.triu_indices(3)[1], "tril_indices": lambda: mnp.tril_indices(3)[0],
    "ix_": lambda: mnp.ix_([0, 1], [2])[0], "unravel_index": lambda: mnp.unravel_index([5], (2, 3))[1], "indices": lambda: mnp.indices((2, 3))[1],
    "edges": lambda: mnp.histogram([1, 2, 1], bins=[0, 1, 2, 3])[1], "mgrid": lambda: mnp.mgrid[0:2],
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_of_rutile_numpy_are_int32(name):
    assert WHOLE[name]().dtype == ms.int32


def test_numbers_of_rutile_numpy_that_are_not_int32():
    assert mnp.array([2**40]).dtype == mnp.array(Tensor([1])).dtype == mnp.arange(2**40, 2**40 + 2).dtype == ms.int64
    assert mnp.add(Tensor([1]), 2).dtype == mnp.unravel_index(Tensor([5]), (2, 3))[0].dtype == ms.int64
    assert mnp.array([True]).dtype == ms.bool_ and mnp.arange(3.0).dtype == mnp.array([1, 2.5]).dtype == ms.float32
    assert mnp.array([1, 2], ms.int8).dtype == ms.int8 and mnp.arange(3, dtype="float32").dtype == ms.float32


def test_names_of_rutile_numpy():
    x = Tensor([1.25, 2.5])
    y = mnp.copy(x)
    assert (y == x).all() and y is not x and mnp.around(Tensor([1.26]), 1).asnumpy() == np.float32(1.3)
    assert mnp.matrix_power([[1.0, 2.0], [3.0, 4.0]], 2).asnumpy().tolist() == [[7, 10], [15, 22]]
    assert [g.shape for g in mnp.indices((2, 3))] == [(2, 3)] * 2


def test_primitives_show_their_attributes():
    assert repr(ops.Add()) == "Prim[Add]" and repr(ops.ReduceSum(keep_dims=True)) == "Prim[ReduceSum]<keep_dims=True>"
    assert "pad_mode=same" in repr(ops.Conv2D(3, 4, pad_mode="same"))


def test_part_of_a_sequence_keeps_the_names_of_its_cells():
    part = nn.SequentialCell(nn.ReLU(), nn.ReLU6(), nn.Dense(3, 4))[1:]
    assert [name for name, _ in part.name_cells().items()] == ["1", "2"] and part(Tensor(np.ones((2, 3), np.float32))).shape == (2, 4)
    with pytest.raises(KeyError):
        part.insert_child_to_cell("training", nn.ReLU())


def test_status_of_an_overflow_may_have_elements():
    net = nn.WithLossCell(nn.Dense(2, 1), nn.MSELoss())
    step = nn.TrainOneStepWithLossScaleCell(net, nn.SGD(net.trainable_params(), 0.1), Tensor(8.0))
    grads = (Tensor([1.0]), Tensor([2.0]))
    for status, want in ((Tensor([0] * 8, ms.int32), False), (Tensor([0, 1], ms.int32), True), (Tensor(False), False)):
        found = step.get_overflow_status(status, grads)
        assert found.shape == () and bool(step.process_loss_scale(found)) is want
    assert bool(step.get_overflow_status(Tensor([0] * 8, ms.int32), (Tensor([float("inf")]),)))


def test_loss_scalers_of_ones_own():
    scale = Parameter(Tensor(8.0), name="scale")
    a, (b,) = amp._grad_scale_map(scale, (Tensor([1.0], ms.float16), (Tensor([2.0]),)))
    assert a.dtype == ms.float16 and (float(a), float(b)) == (8, 16) and float(amp._grad_unscale_map(scale, b)) == 2


def test_names_of_contexts_and_devices():
    context.set_context(debug_level=context.DEBUG)
    context.set_context(debug_level=context.RELEASE)
    assert context.get_auto_parallel_context("dataset_strategy") == "data_parallel"
    assert ms.hal.is_available("CPU") and ms.hal.device_count("CPU") == 1 and not ms.hal.is_available("Ascend")
    assert ms.hal.device_count("Ascend") == 0 and ms.hal.get_arch_list("CPU") is None and ms.hal.is_initialized("CPU")
    assert ms.hal.get_device_capability(0, "CPU") is None and ms.hal.get_device_properties(0) is None
    assert ms.hal.Event is ms.runtime.Event and isinstance(ms.hal.memory_stats(), dict)
    with pytest.raises(errors.ValueError, match="device_target must be one of"):
        ms.hal.is_available("TPU")
    with pytest.raises(errors.ValueError, match="no device 3"):
        ms.hal.get_device_name(3, "CPU")


def test_gather_of_a_tensor_takes_batch_dims_by_place():
    x, i = Tensor(np.arange(1, 13, dtype=np.float32).reshape(3, 4)), Tensor([0, 2, 1])
    for y in (x.gather(i, 1, 1), x.gather(i, 1, batch_dims=1), ops.gather(x, i, 1, 1)):
        assert y.asnumpy().tolist() == [1, 7, 10]
    assert x.gather(i, 1).shape == (3, 3)


def test_lists_and_tuples_that_come_back():
    clipped = ops.clip_by_value([Tensor([1.0, 9.0])], 2, 3)
    assert isinstance(clipped, tuple) and clipped[0].asnumpy().tolist() == [2, 3]
    assert isinstance(mnp.ogrid[0:2, 0:3], list) and mnp.unique([3, 1, 3], return_inverse=True)[1].dtype == ms.int32


def test_places_without_an_axis_are_0():
    value, place = ops.Median(global_median=True)(Tensor([[1, 7, 6], [5, 1, 3], [9, 17, 1]]))
    assert int(value) == 5 and int(place) == 0
    x = Tensor([[2, 5], [-7, 1]])
    for got, want in ((x.argmin_with_value(axis=None), -7), (x.argmax_with_value(axis=None), 5), (ops.min(x), -7)):
        assert int(got[0]) == want and int(got[1]) == 0


def test_indices_along_an_axis_broadcast_as_numpys():
    x = np.arange(24).reshape(2, 3, 4)
    for shape, axis in (((1, 1, 2), 2), ((2, 1, 5), -1), ((1, 2, 1), 1), ((3, 1, 4), 0), ((2, 3, 0), 2)):
        i = np.random.RandomState(0).randint(0, x.shape[axis], shape)
        a = x[:1] if shape == (2, 1, 5) else x
        got, want = mnp.take_along_axis(Tensor(a), Tensor(i), axis).asnumpy(), np.take_along_axis(a, i, axis)
        assert got.shape == want.shape and (got == want).all()


def test_schedules_of_ones_own_read_the_last_rates():
    class Halved(ms.experimental.optim.lr_scheduler.LRScheduler):
        def get_lr(self):
            return list(self._last_lr) if self.last_epoch == 0 else [lr * 0.5 for lr in self._last_lr]

    optimizer = ms.experimental.optim.SGD(nn.Dense(2, 1).trainable_params(), 0.5)
    scheduler = Halved(optimizer)
    scheduler.step()
    assert [float(lr) for lr in scheduler.get_last_lr()] == [0.25]


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_systems_of_equations_by_their_factors(dtype):
    from rutile.scipy import linalg
    r = np.random.RandomState(1)
    a = r.randn(4, 4).astype(dtype) + (1j * r.randn(4, 4) if dtype is np.complex128 else 0)
    factors = linalg.lu_factor(Tensor(a))
    for b in (r.randn(4).astype(dtype), r.randn(4, 2).astype(dtype)):
        for trans, m in ((0, a), (1, a.T), ("C", a.conj().T)):
            np.testing.assert_allclose(linalg.lu_solve(factors, Tensor(b), trans).asnumpy(), np.linalg.solve(m, b), rtol=1e-10)
    np.testing.assert_allclose(linalg.det(Tensor(a)).asnumpy(), np.linalg.det(a), rtol=1e-10)
    p, low, up = linalg.lu(Tensor(a))
    assert p.dtype == ms.int32
    np.testing.assert_allclose(p.asnumpy() @ low.asnumpy() @ up.asnumpy(), a, rtol=1e-10)
    with pytest.raises(errors.ValueError, match="does not go with"):
        linalg.lu_solve(factors, Tensor(np.ones(3)))


@pytest.mark.parametrize("mode", [context.PYNATIVE_MODE, context.GRAPH_MODE])
@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(3), nn.MaxPool2d(2), nn.ReflectionPad2d(1), nn.LSTM(3, 4)])
def test_layers_say_what_is_no_tensor(layer, mode):
    name = type(layer).__name__
    context.set_context(mode=mode)
    try:
        for wrong, kind in ((None, "NoneType"), ("a", "str"), (3, "int")):
            with pytest.raises(errors.TypeError) as info:
                nn.SequentialCell(layer)(wrong) if wrong is None else layer(wrong)
            assert kind in str(info.value) and name in str(info.value), str(info.value)
            assert wrong is None or not isinstance(layer, nn.Conv2d) or "rutile.Tensor(value) makes one" in str(info.value)
    finally:
        context.set_context(mode=context.PYNATIVE_MODE)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.SmoothL1Loss(), nn.BCEWithLogitsLoss(), nn.SoftmaxCrossEntropyWithLogits()])
def test_losses_say_what_is_no_tensor(loss):
    with pytest.raises(errors.TypeError, match=rf"\[{type(loss).__name__}\].*NoneType.*argument 1"):
        loss(Tensor([[1.0, 2.0]]), None)
    with pytest.raises(TypeError, match="missing 1 required"):
        loss(Tensor([[1.0, 2.0]]))


def test_cells_of_ones_own_keep_their_errors():
    class Own(nn.Cell):
        def construct(self, x):
            return x.shape

    with pytest.raises(AttributeError, match="shape") as info:
        Own()(None)
    assert not isinstance(info.value, TypeError)
    for outer in (nn.SequentialCell([Own()]), nn.SequentialCell([nn.SequentialCell([Own()])])):
        with pytest.raises(AttributeError, match="shape") as info:
            outer(None)
        assert not isinstance(info.value, TypeError)

    class Loss(nn.Cell):
        def construct(self, x, y):
            return y * 2.5

    with pytest.raises(TypeError, match="unsupported operand"):
        nn.WithLossCell(nn.ReLU(), Loss())(Tensor([1.0]), None)
    with pytest.raises(errors.TypeError):
        ms.train.LossMonitor("a")
    with pytest.raises(errors.ValueError):
        ms.train.LossMonitor(-1)
    assert mnp.polyder([1, 2, 3]).dtype == ms.int32 and mnp.polyder(Tensor([1, 2, 3])).asnumpy().tolist() == [2, 2]


def test_a_slice_of_a_sequence_takes_further_cells():
    a, b, c, d = (nn.Dense(2, 2) for _ in range(4))
    for part, cells in ((slice(1, None), (b, c)), (slice(None, None, 2), (a, c))):
        net = nn.SequentialCell([a, b, c])[part]
        net.append(d)
        assert tuple(net.cells()) == (*cells, d)


def test_one_tensor_of_several_keeps_its_dtype_as_one_alone():
    x = Tensor([1, 9])
    assert ops.clip_by_value([x, x], 2.5, 3.5)[1].dtype == ops.clip_by_value(x, 2.5, 3.5).dtype == x.dtype


def test_bins_are_integers_of_any_kind():
    for bins in (3, np.int64(3)):
        counts, edges = mnp.histogram(Tensor([1.0, 2.0, 4.0]), bins=bins)
        assert counts.asnumpy().tolist() == [1, 1, 1] and edges.shape == (4,)


def test_to_float_says_its_flags():
    net = nn.SequentialCell(nn.Dense(2, 2)).to_float(ms.float16)
    assert net.fp16 and not net.fp32 and net[0].get_flags()["fp16"]
    net.to_float(ms.float32)
    assert net.fp32 and not net[0].get_flags()["fp16"]


def test_whole_axes_of_an_index_cost_nothing():
    @ms.jit
    def parts(x):
        return ms.grad(lambda v: sum((p * p).sum() for p in ops.split(v, 2, 2)))(x)

    x = Tensor(np.ones((2, 3, 6), np.float32))
    assert np.array_equal(parts(x).asnumpy(), 2 * x.asnumpy())
    assert "slice_grad" not in parts.graph_text(), parts.graph_text()
