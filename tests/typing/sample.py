# SPDX-License-Identifier: Apache-2.0
"""A user's program, as mypy --strict has to accept it. It also runs."""

from collections.abc import Iterator

import numpy as np

import rutile
import rutile.dataset as ds
from rutile import Parameter, Tensor, nn, ops
from rutile.common.initializer import Normal, initializer
from rutile.train import Model


class Net(nn.Cell):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, pad_mode="valid", weight_init=Normal(0.02))
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Dense(4 * 6 * 6, classes)
        self.scale = Parameter(Tensor(np.ones(classes, np.float32)), name="scale")

    def construct(self, x: Tensor) -> Tensor:
        x = ops.relu(self.norm(self.conv(x)))
        y: Tensor = self.fc(x.reshape((x.shape[0], -1)))
        return y * self.scale + 0.0


@rutile.jit
def scaled(x: Tensor, factor: float) -> Tensor:
    return ops.tanh(x) * factor


@rutile.jit(remat="cheap")
def energy(x: Tensor) -> Tensor:
    return ops.reduce_sum(ops.square(x)) if x.ndim > 3 else x.mean() + 1


def rows(n: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for i in range(n):
        yield np.full((1, 8, 8), i / n, np.float32), np.array(i % 10, np.int32)


def main() -> None:
    rutile.set_seed(1)
    rutile.set_context(mode=rutile.GRAPH_MODE)
    net = Net()
    names: list[str] = [p.name for p in net.trainable_params()]
    shapes = {name: p.shape for name, p in net.parameters_dict().items()}
    assert "scale" in names and shapes["scale"] == (10,)
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    optimizer = nn.Momentum(net.trainable_params(), learning_rate=0.01, momentum=0.9)
    step = nn.TrainOneStepCell(nn.WithLossCell(net, loss), optimizer)
    step.set_train()
    data = ds.GeneratorDataset(lambda: rows(16), ["image", "label"], shuffle=False).batch(8)
    for image, label in data.create_tuple_iterator():
        value: Tensor = step(image, label)
        print(f"{value.item():.3f}")
    model = Model(net, loss, optimizer, metrics={"accuracy"})
    model.train(1, data, dataset_sink_mode=False)
    rutile.save_checkpoint(net, "net.ckpt")
    rutile.load_param_into_net(net, rutile.load_checkpoint("net.ckpt"))

    x = Tensor([[1.0, -2.0], [3.0, 4.0]], rutile.float32)
    w = initializer("normal", [2, 2], rutile.float32)
    y = ops.matmul(x, w) @ x.T - 2 * x + x[0] ** 2
    z = ops.concat((y, -y), 0)
    value_and_grad = rutile.value_and_grad(energy, grad_position=0)
    _, gradient = value_and_grad(z)
    array = gradient.asnumpy()
    assert array.shape == z.shape == (4, 2) and z.dtype == rutile.float32
    best, places = ops.topk(z, 1)
    total = scaled(z, 0.5).sum(0, keepdims=True).astype(rutile.float16)
    print(best.shape, places.shape, total.dtype, bool((z == z).all()), float(z.max()), len(z), rutile.num_threads())


if __name__ == "__main__":
    main()
