# SPDX-License-Identifier: Apache-2.0
"""Cells around networks, and layers that MindSpore has no kernels for on CPU, in both modes."""

import math

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, nn, ops

R = np.random.RandomState(0)


@pytest.fixture(params=["pynative", "graph"], autouse=True)
def mode(request):
    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def close(ours, theirs, tolerance=1e-5):
    np.testing.assert_allclose(ours.asnumpy(), theirs, rtol=tolerance, atol=tolerance)


def test_gradients_as_cells():
    x, y = R.randn(4, 3).astype(np.float32), R.randn(4, 2).astype(np.float32)
    net = nn.Dense(3, 2)
    w, b = net.weight.asnumpy(), net.bias.asnumpy()
    d = 2 * (x @ w.T + b - y) / y.size
    grads = nn.WithGradCell(net, nn.MSELoss())(Tensor(x), Tensor(y))
    close(grads[0], d.T @ x)
    close(nn.WithGradCell(net, nn.MSELoss(), sens=Tensor(3.0))(Tensor(x), Tensor(y))[1], 3 * d.sum(0))
    loss, grads = nn.ForwardValueAndGrad(nn.WithLossCell(net, nn.MSELoss()), get_all=True, sens_param=True)(
        Tensor(x), Tensor(y), Tensor(2.0))
    close(loss, ((x @ w.T + b - y) ** 2).mean())
    close(grads[0], 2 * d @ w)

    class Cube(nn.Cell):
        def construct(self, v):
            return v * v * v

    v, u = R.randn(3).astype(np.float32), R.randn(3).astype(np.float32)
    out, along = nn.Jvp(Cube())(Tensor(v), Tensor(u))
    close(out, v**3)
    close(along, 3 * v * v * u)
    close(nn.Vjp(Cube())(Tensor(v), Tensor(u))[1], 3 * v * v * u)


def test_time_distributed_and_parts():
    x = R.randn(2, 5, 3).astype(np.float32)
    dense = nn.Dense(3, 4)
    want = x @ dense.weight.asnumpy().T + dense.bias.asnumpy()
    close(nn.TimeDistributed(dense, 1)(Tensor(x)), want)
    close(nn.TimeDistributed(dense, 1, reshape_with_axis=0)(Tensor(x)), want)
    conv = nn.Conv2d(3, 4, 3)
    video = R.randn(2, 3, 5, 6, 4).astype(np.float32)  # the time is the third dimension
    frames = [conv(Tensor(np.ascontiguousarray(video[:, :, t]))).asnumpy() for t in range(5)]
    close(nn.TimeDistributed(conv, 2)(Tensor(video)), np.stack(frames, 2))
    net = nn.WithLossCell(nn.Dense(3, 1), nn.MSELoss("sum"))
    data, label = Tensor(R.randn(6, 3).astype(np.float32)), Tensor(R.randn(6, 1).astype(np.float32))
    close(nn.GradAccumulationCell(net, 3)(data, label), net(data, label).asnumpy())
    g = (Tensor([1.0]),)
    assert nn.DistributedGradReducer([Parameter(Tensor([1.0]), name="w")])(g)[0].asnumpy() == 1
    for wrong, error in ((lambda: nn.TimeDistributed(3, 1), TypeError), (lambda: nn.TimeDistributed(dense, 1.0), TypeError),
                         (lambda: nn.GradAccumulationCell(net, 0), ValueError), (lambda: nn.GradAccumulationCell(net, 4)(data, label), ValueError),
                         (lambda: nn.TimeDistributed(dense, 1)(Tensor(x[0])), ValueError)):
        with pytest.raises(error):
            wrong()


class OwnStep(nn.TrainOneStepWithLossScaleCell):
    """As scripts of BERT's time write it."""

    def construct(self, *inputs):
        loss = self.network(*inputs)
        scaling_sens = self.scale_sense
        status, scaling_sens = self.start_overflow_check(loss, scaling_sens)
        filled = ops.ones_like(loss) * ops.cast(scaling_sens.value(), loss.dtype)
        grads = self.grad(self.network, self.weights)(*inputs, filled)
        grads = self.hyper_map(ops.partial(lambda s, g: g * ops.reciprocal(s), scaling_sens.value()), grads)
        grads = self.grad_reducer(grads)
        cond = self.get_overflow_status(status, grads)
        overflow = self.process_loss_scale(cond)
        if not overflow:
            self.optimizer(grads)
        return loss, cond, scaling_sens.value()


def test_step_of_ones_own():
    net = nn.Dense(2, 1, weight_init="ones", bias_init="zeros")
    step = OwnStep(nn.WithLossCell(net, nn.MSELoss()), nn.SGD(net.trainable_params(), 0.1),
                   nn.DynamicLossScaleUpdateCell(1024.0, 2, 2)).set_train()
    good, bad = Tensor([[1.0, 2.0]]), Tensor([[1.0, float("inf")]])
    scales, flags = [], []
    for x in (good, bad, good, good, good):
        before = net.weight.asnumpy()
        _, overflow, _ = step(x, Tensor([[0.0]]))
        flags.append(bool(overflow))
        scales.append(float(step.scale_sense.asnumpy()))
        assert (net.weight.asnumpy() == before).all() == flags[-1]
    assert flags == [False, True, False, False, False] and scales == [1024, 512, 512, 1024, 1024]
    step.set_sense_scale(Tensor(8.0))
    assert float(step.scale_sense.asnumpy()) == 8


def test_norms_images_and_matrices():
    x = R.randn(2, 3, 4, 5).astype(np.float32) * 3 + 1
    axes = (2, 3)
    want = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    close(nn.InstanceNorm2d(3)(Tensor(x)), want, 1e-4)
    close(nn.InstanceNorm1d(3)(Tensor(x.reshape(2, 3, 20))), want.reshape(2, 3, 20), 1e-4)
    want = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    close(nn.LayerNormExt((4, 5))(Tensor(x)), want, 1e-4)
    a = R.rand(2, 3, 16, 16).astype(np.float32)
    close(nn.SSIM()(Tensor(a), Tensor(a)), np.ones(2))
    assert (nn.SSIM()(Tensor(a), Tensor(R.rand(*a.shape).astype(np.float32))).asnumpy() < 0.3).all()
    close(nn.MSSSIM(power_factors=(0.5, 0.5), filter_size=3)(Tensor(a), Tensor(a)), np.ones(2))
    b = np.clip(a + 0.1, 0, 2)
    close(nn.PSNR()(Tensor(a), Tensor(b)), 10 * np.log10(1 / ((a - b) ** 2).mean((1, 2, 3))), 1e-4)
    as_bytes = (a * 255).astype(np.uint8)
    close(nn.PSNR(255)(Tensor(as_bytes), Tensor(255 - as_bytes)),
          10 * np.log10(255**2 / ((as_bytes - (255.0 - as_bytes)) ** 2).mean((1, 2, 3))), 1e-3)
    m = R.randn(2, 3, 5).astype(np.float32)
    d = R.randn(2, 3).astype(np.float32)
    want = m.copy()
    want[:, range(3), range(3)] = d
    close(nn.MatrixSetDiag()(Tensor(m), Tensor(d)), want)
    close(nn.MatrixDiagPart()(Tensor(m)), np.diagonal(m, axis1=1, axis2=2))
    close(nn.Roll([1, 2], [0, 2])(Tensor(m)), np.roll(m, (1, 2), (0, 2)))
    p = (m[0] @ m[0].T + np.eye(3)).astype(np.float32)
    close(nn.MatInverse()(Tensor(p)), np.linalg.inv(p), 1e-3)
    close(nn.MatDet()(Tensor(p)), np.linalg.det(p), 1e-2)
    image = R.randn(1, 2, 5, 6).astype(np.float32)
    y = nn.Unfold([1, 2, 3, 1], [1, 1, 2, 1], [1, 2, 1, 1])(Tensor(image)).asnumpy()
    assert y.shape == (1, 12, 3, 2)
    # Channels: those of a window's place together.
    np.testing.assert_array_equal(y[0, :, 1, 1].reshape(2, 3, 2), image[0][:, 1:4:2, 2:5].transpose(1, 2, 0))


def test_random_layers():
    x = Tensor(-np.ones((4, 1000), np.float32))
    y = -nn.RReLU(0.2, 0.6)(x).asnumpy()
    assert 0.2 <= y.min() < 0.21 and 0.59 < y.max() <= 0.6 and y.std() == pytest.approx(0.4 / math.sqrt(12), rel=0.05)
    dropout = nn.DropoutExt(0.25).set_train()
    kept = dropout(x).asnumpy()
    assert (kept == 0).mean() == pytest.approx(0.25, abs=0.03) and kept.min() == pytest.approx(-1 / 0.75)
    assert (nn.DropoutExt(1.0).set_train()(x).asnumpy() == 0).all() and (nn.DropoutExt(0.5)(x).asnumpy() == -1).all()
    planes = nn.Dropout2dExt(0.5).set_train()(Tensor(np.ones((8, 16, 2, 2), np.float32))).asnumpy().reshape(128, 4)
    assert ((planes == 0).all(1) | (planes == 2).all(1)).all() and 0.2 < (planes[:, 0] == 0).mean() < 0.8
    y = nn.FractionalMaxPool2d(2, output_ratio=0.5)(Tensor(R.randn(2, 3, 9, 8).astype(np.float32)))
    assert y.shape == (2, 3, 4, 4)
    loss = nn.SampledSoftmaxLoss(4, 20)(Tensor(R.randn(20, 3).astype(np.float32)), Tensor(np.zeros(20, np.float32)),
                                        Tensor(np.array([[1], [19]], np.int32)), Tensor(R.randn(2, 3).astype(np.float32)))
    assert loss.shape == (2,) and (loss.asnumpy() > 0).all()


def test_masks_of_attention():
    x = R.randn(2, 5, 8).astype(np.float32)
    net = nn.MultiheadAttention(8, 2, batch_first=True)
    causal = np.triu(np.ones((5, 5), bool), 1)
    y, weights = net(Tensor(x), Tensor(x), Tensor(x), attn_mask=Tensor(causal))
    assert (weights.asnumpy()[:, causal] == 0).all() and weights.asnumpy().sum(-1) == pytest.approx(np.ones((2, 5)), abs=1e-5)
    close(net(Tensor(x), Tensor(x), Tensor(x), need_weights=False, attn_mask=Tensor(causal))[0], y.asnumpy())
    each = net(Tensor(x), Tensor(x), Tensor(x), average_attn_weights=False)[1]
    assert each.shape == (2, 2, 5, 5)
    more = nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True)
    y, weights = more(Tensor(x), Tensor(x), Tensor(x), attn_mask=Tensor(causal))
    assert weights.shape == (2, 5, 7) and (weights.asnumpy()[:, :, 5:] > 0).all()
    alone = net(Tensor(x[0]), Tensor(x[0]), Tensor(x[0]))[0]
    close(alone, net(Tensor(x[:1]), Tensor(x[:1]), Tensor(x[:1]))[0].asnumpy()[0])
    for wrong in (lambda: nn.MultiheadAttention(8, 3), lambda: net(Tensor(x), Tensor(x), Tensor(x), attn_mask=Tensor(causal[:3])),
                  lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"), lambda: nn.Transformer(8, 2, 1, 1, 8)(
                      Tensor(x), Tensor(x[..., :4]))):
        with pytest.raises(ValueError):
            wrong()


def test_schedulers_and_groups():
    from rutile.experimental import optim
    p = [Parameter(Tensor([1.0]), name="a"), Parameter(Tensor([1.0]), name="b")]
    o = optim.AdamW([{"params": p[:1], "lr": 0.5}], 0.1)
    assert [float(g["lr"].asnumpy()) for g in o.param_groups] == [0.5] and "lr: 0.5" in repr(o)
    s = optim.lr_scheduler.LambdaLR(o, lambda t: 0.5**t)
    s.step()
    assert float(s.get_last_lr()[0]) == 0.25
    s.step(3)
    assert float(s.get_last_lr()[0]) == 0.0625
    for wrong, error in ((lambda: optim.SGD([], 0.1), ValueError), (lambda: optim.SGD([Tensor([1.0])], 0.1), TypeError),
                         (lambda: optim.SGD(p, -0.1), ValueError), (lambda: optim.Adam(p, betas=(1.0, 0.9)), ValueError),
                         (lambda: optim.SGD([{"params": p}, {"params": p[:1]}], 0.1), ValueError),
                         (lambda: optim.lr_scheduler.StepLR(nn.SGD(p), 1), TypeError),
                         (lambda: optim.lr_scheduler.StepLR(o, 1.5), TypeError),
                         (lambda: optim.lr_scheduler.LambdaLR(o, [abs, abs]), ValueError)):
        with pytest.raises(error):
            wrong()


def test_steps_that_train_nothing_say_so():
    net = nn.Dense(2, 1)
    opt, x, y = nn.SGD(net.trainable_params(), 0.1), Tensor(np.ones((3, 2), np.float32)), Tensor(np.ones((3, 1), np.float32))
    other = nn.TrainOneStepCell(nn.WithLossCell(nn.SequentialCell(nn.Flatten()), nn.MSELoss()), opt)
    with pytest.raises(ValueError, match="depends on no parameter"):
        other(x, x)
    step, scaled = nn.TrainOneStepCell(nn.WithLossCell(net, nn.MSELoss()), opt), nn.TrainOneStepWithLossScaleCell(
        nn.WithLossCell(net, nn.MSELoss()), opt, Tensor(8.0))
    net.weight.requires_grad = net.bias.requires_grad = False
    for s in (step, scaled):
        with pytest.raises(ValueError, match="frozen"):
            s(x, y)
    net.bias.requires_grad = True
    before = net.weight.asnumpy(), net.bias.asnumpy()
    step(x, y)
    assert np.array_equal(net.weight.asnumpy(), before[0]) and not np.array_equal(net.bias.asnumpy(), before[1])


def test_bicubic_between_pixels():
    a = Tensor(np.arange(16).reshape(1, 1, 4, 4).astype(np.float32) ** 1.5)
    want = [-0.40468392, -0.02192101, 0.7985537, 1.9817405, 3.6401548, 4.7734375]  # MindSpore 2.10's row
    # (its weights come from a table of 1,024).
    close(ops.interpolate(a, size=(5, 6), mode="bicubic")[0, 0, 0], want, 3e-3)
    close(nn.Upsample(size=(5, 6), mode="bicubic")(a)[0, 0, 0], want, 3e-3)
    torch = [-0.561308, -0.21402818, 0.664975, 1.6769267, 3.4088652, 4.58457]
    close(ms.mint.nn.functional.interpolate(a, size=(5, 6), mode="bicubic")[0, 0, 0], torch)
    g = ms.grad(lambda v: (ops.interpolate(v, size=(5, 6), mode="bicubic") ** 2).sum())(a)
    bump = Tensor(np.eye(16, dtype=np.float32)[5].reshape(1, 1, 4, 4) * 0.05)
    up, down = ((ops.interpolate(a + s * bump, size=(5, 6), mode="bicubic") ** 2).sum() for s in (1.0, -1.0))
    assert float(up - down) / 0.1 == pytest.approx(float(g.asnumpy()[0, 0, 1, 1]), rel=1e-2)
