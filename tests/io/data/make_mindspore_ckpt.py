# SPDX-License-Identifier: Apache-2.0
"""Writes mindspore.ckpt and mindspore_net.ckpt with MindSpore 2.10 on CPU (`pip install mindspore "numpy<2"`).

With a path as argument it reads that file, one that Rutile wrote, and prints what MindSpore finds in it. (tests/python's
test_checkpoint.py writes such a file where RUTILE_KEEP_CKPT names one.)
"""

import os
import sys

import mindspore as ms
import numpy as np
from mindspore import nn


def main():
    if len(sys.argv) > 1:
        for name, v in ms.load_checkpoint(sys.argv[1], crc_check=True).items():
            print(name, v if isinstance(v, str) else (v.shape, str(v.dtype), v.float().asnumpy().ravel().tolist()))
        return
    here = os.path.dirname(os.path.abspath(__file__))
    items = []
    for t in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"):
        items.append({"name": t, "data": ms.Tensor(np.arange(6).reshape(2, 3).astype(t))})
    items.append({"name": "bool", "data": ms.Tensor(np.array([True, False, True]))})
    items.append({"name": "bfloat16", "data": ms.Tensor([1.5, -2.25], ms.bfloat16)})
    items.append({"name": "scalar", "data": ms.Tensor(2.5, ms.float32)})
    path = os.path.join(here, "mindspore.ckpt")
    ms.save_checkpoint(items, path, append_dict={"epoch": 3, "rate": 0.5, "flag": True, "note": "h\u00e9\u20ac\U0001d11e"},
                       crc_check=True)
    os.chmod(path, 0o644)

    ms.set_seed(1)
    net = nn.SequentialCell([nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Dense(32, 3)])
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    step = nn.TrainOneStepCell(nn.WithLossCell(net, loss), nn.Momentum(net.trainable_params(), 0.1, 0.9)).set_train()
    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 1, 4, 4)
    losses = [float(step(ms.Tensor(x), ms.Tensor(np.array([0, 1, 2, 0], np.int32))).asnumpy()) for _ in range(2)]
    path = os.path.join(here, "mindspore_net.ckpt")
    # With what the next step and the network in evaluation mode give.
    saved = step.parameters_dict()
    saved = {k: ms.Parameter(v.value().copy(), name=k) for k, v in saved.items()}
    losses.append(float(step(ms.Tensor(x), ms.Tensor(np.array([0, 1, 2, 0], np.int32))).asnumpy()))
    ms.load_param_into_net(step, saved)
    outputs = net.set_train(False)(ms.Tensor(x))
    ms.save_checkpoint(saved, path, append_dict={"next_loss": losses[-1], "outputs": outputs})
    os.chmod(path, 0o644)
    print(losses, list(saved))


if __name__ == "__main__":
    main()
