# SPDX-License-Identifier: Apache-2.0
"""What surprises in the migration documents and between versions of MindSpore."""

import copy
import pickle

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, ParameterTuple, Tensor, nn, ops


class ForgottenCell(nn.Cell):
    def __init__(self):
        self.fc = nn.Dense(2, 2)
        super().__init__()


class ForgottenParameter(nn.Cell):
    def __init__(self):
        self.w = Parameter(Tensor([1.0]), name="w")
        super().__init__()


class ForgottenTuple(nn.Cell):
    def __init__(self):
        self.all = ParameterTuple([Parameter(Tensor([1.0]), name="w")])
        super().__init__()


class Forgotten(nn.Cell):
    def __init__(self):
        self.scale = 3

    def construct(self, x):
        return x * self.scale


class Late(nn.Cell):
    def __init__(self):
        self.scale, self.shift = 3, Tensor([1.0])
        super().__init__()

    def construct(self, x):
        return x * self.scale + self.shift


class OfPyTorch(nn.Cell):
    def __init__(self):
        self.fc = nn.Dense(2, 1)

    def forward(self, x):
        return self.fc(x)


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["eager", "graph"])
def test_init_of_cell_comes_first(mode):
    """MindSpore's AttributeError; what is written with forward(), as the documents' PyTorch classes, may do without."""
    ms.set_context(mode=mode)
    try:
        for make in (ForgottenCell, ForgottenParameter, ForgottenTuple):
            with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
                make()
        with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
            Forgotten()(Tensor([1.0]))
        x = Tensor([[1.0, 2.0]])
        for net in (Late(), copy.deepcopy(Late()), pickle.loads(pickle.dumps(Late()))):
            assert net(x).asnumpy().tolist() == [[4, 7]]
        for net in (OfPyTorch(), copy.deepcopy(OfPyTorch())):
            assert net(x).shape == (1, 1) and [p.name for p in net.get_parameters()] == ["fc.weight", "fc.bias"]
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_exponential_decay_is_by_steps():
    """PyTorch's ExponentialLR decays once an epoch, ExponentialDecayLR(decay_steps=1) once a step."""
    net = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    optimizer = nn.SGD(net.trainable_params(), nn.ExponentialDecayLR(0.5, 0.1, decay_steps=1))
    weights = []
    for _ in range(3):
        optimizer((ops.ones_like(net.weight),))
        weights.append(float(net.weight))
    np.testing.assert_allclose(weights, [0.5, 0.45, 0.445], rtol=1e-6)


def test_labels_of_cifar_need_a_cast():
    """Cifar10Dataset gives uint32, which the loss refuses as MindSpore's does."""
    loss, logits = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), Tensor([[1.0, 2.0]])
    with pytest.raises(TypeError):
        loss(logits, Tensor([1], ms.uint32))
    cast = ms.dataset.transforms.TypeCast(ms.int32)
    assert float(loss(logits, Tensor(cast(np.array([1], np.uint32))))) == pytest.approx(np.log(1 + np.exp(-1.0)))


def test_iterators_have_their_number_of_epochs_and_shuffle():
    class Source:
        def __len__(self):
            return 50

        def __getitem__(self, i):
            return np.int32(i)

    ms.dataset.config.set_seed(3)
    data = ms.dataset.GeneratorDataset(Source(), ["x"])
    rows = data.create_tuple_iterator(num_epochs=2, output_numpy=True)
    epochs = [[int(x) for x, in rows] for _ in range(2)]
    assert all(sorted(e) == list(range(50)) and e != list(range(50)) for e in epochs)
    with pytest.raises(RuntimeError):
        next(iter(rows))


def test_parameters_from_a_filter_are_read_once():
    net = nn.SequentialCell(nn.Dense(2, 2), nn.BatchNorm1d(2))
    momentum = nn.Momentum(filter(lambda p: p.requires_grad, net.get_parameters()), 0.1, 0.9, 1e-4, 1024)
    assert [p.name for p in momentum.parameters] == ["0.weight", "0.bias", "1.gamma", "1.beta"]
    assert [p.name for p in momentum.moments] == ["moments." + p.name for p in momentum.parameters]


def test_batch_normalisation_keeps_unbiased_variances():
    x = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    bn = nn.BatchNorm2d(2)
    assert not bn.training
    bn.set_train()(Tensor(x))
    np.testing.assert_allclose(bn.moving_mean.asnumpy(), 0.1 * x.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bn.moving_variance.asnumpy(), 0.9 + 0.1 * x.var((0, 2, 3), ddof=1), rtol=1e-5)


def test_normalize_of_py_transforms_takes_channels_first():
    from rutile.dataset import py_transforms
    image = np.full((4, 5, 3), 255, np.uint8)
    out = py_transforms.Compose([py_transforms.ToTensor(), py_transforms.Normalize(mean=(0.5,) * 3, std=(0.25,) * 3)])(image)
    assert isinstance(out, np.ndarray) and out.shape == (3, 4, 5) and out.dtype == np.float32 and (out == 2).all()
