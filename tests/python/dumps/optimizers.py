# SPDX-License-Identifier: Apache-2.0
"""What optimizers do in ten steps, and learning rates. Run with MindSpore it writes optimizers.npz, which the tests compare
with Rutile's.

    python tests/python/dumps/optimizers.py [words]     (mindspore 2.10, numpy < 2; words: only cases that have one of them)
"""

import os
import sys
import zlib

import numpy as np

FILE = os.path.join(os.path.dirname(__file__), "optimizers.npz")
STEPS = 10
SHAPES = {"w": (4, 16), "conv": (2, 3, 2), "norm.gamma": (3,), "bias": (5,)}

# `p` are the parameters; `E` is experimental.optim and `S` its lr_scheduler.
OPTIMIZERS = """
nn.Momentum(p, 0.1, 0.9)
nn.Momentum(p, [0.1, 0.2, 0.3, 0.2, 0.1, 0.05, 0.2, 0.3, 0.1, 0.1], 0.9, weight_decay=0.1, loss_scale=8.0)
nn.SGD(p, 0.1)
nn.SGD(p, 0.1, 0.9, 0.3, 0.1)
nn.SGD(p, 0.1, 0.9, nesterov=True)
nn.Adam(p, 0.01)
nn.Adam(p, 0.01, 0.8, 0.99, 1e-3, weight_decay=0.1, loss_scale=4.0)
nn.Adam(p, 0.01, use_nesterov=True)
nn.Adam(p, 0.01, use_amsgrad=True)
nn.AdamOffload(p, 0.01)
nn.LazyAdam(p, 0.01, weight_decay=0.1)
nn.AdamWeightDecay(p, 0.01, weight_decay=0.1)
nn.AdaMax(p, 0.01, weight_decay=0.1)
nn.Adadelta(p, 0.5, weight_decay=0.1)
nn.Adagrad(p, 0.2, 0.1, weight_decay=0.1)
nn.Adagrad(p, 0.2, 0.1, update_slots=False)
nn.ASGD(p, 0.1, t0=3.0, weight_decay=0.1)
nn.Rprop(p, 0.1, weight_decay=0.1)
nn.RMSProp(p, 0.1, momentum=0.5, weight_decay=0.1)
nn.RMSProp(p, 0.1, centered=True, epsilon=0.01)
nn.FTRL(p, 0.1, 0.1, l2=0.03)
nn.FTRL(p, 0.1, 0.1, -0.3, weight_decay=0.1)
nn.ProximalAdagrad(p, 0.1, 0.1, 0.02, 0.03)
nn.Lamb(p, 0.01, weight_decay=0.1)
nn.LARS(nn.Momentum(p, 0.1, 0.9, 0.1))
nn.AdaFactor(p)
nn.AdaFactor(p, 0.1, relative_step=False, scale_parameter=False, beta1=0.0, weight_decay=0.1)
nn.Momentum([{'params': p[:1], 'lr': 0.05, 'weight_decay': 0.2, 'grad_centralization': False}, {'params': p[1:]}, {'order_params': p}], 0.1, 0.9, 0.1)
nn.Adam([{'params': p[2:], 'lr': nn.ExponentialDecayLR(0.1, 0.9, 2)}, {'params': p[:2], 'weight_decay': 0.1}, {'order_params': p}], nn.CosineDecayLR(0.01, 0.1, 5))
nn.Momentum(p, nn.PolynomialDecayLR(0.1, 0.01, 4, 2.0), 0.9, nn.ExponentialDecayLR(0.2, 0.9, 2))
nn.AdamWeightDecay(p, nn.WarmUpLR(0.1, 4), weight_decay=nn.ExponentialDecayLR(0.2, 0.9, 2))
E.SGD(p, 0.1, 0.9, 0.1, 0.1)
E.Adam(p, 0.01, weight_decay=0.1)
E.AdamW(p, 0.01, amsgrad=True)
E.AdamW([{'params': p[:2], 'lr': 0.05}, {'params': p[2:], 'weight_decay': 0.3}], 0.01)
E.Adadelta(p, 0.5, weight_decay=0.1)
E.Adagrad(p, 0.1, 0.1, 0.1)
E.Adamax(p, 0.01, weight_decay=0.1)
E.ASGD(p, 0.1, t0=3.0, weight_decay=0.1)
E.RMSprop(p, 0.01, momentum=0.5, centered=True)
E.RMSprop(p, 0.01, weight_decay=0.1)
E.Rprop(p, 0.1)
E.NAdam(p, 0.01, weight_decay=0.1)
E.RAdam(p, 0.01, weight_decay=0.1)
"""

SCHEDULES = """
nn.ExponentialDecayLR(0.1, 0.9, 4)
nn.ExponentialDecayLR(0.1, 0.9, 4, True)
nn.NaturalExpDecayLR(0.1, 0.9, 4)
nn.NaturalExpDecayLR(0.1, 0.9, 4, True)
nn.InverseDecayLR(0.1, 0.9, 4)
nn.InverseDecayLR(0.1, 0.9, 4, True)
nn.CosineDecayLR(0.01, 0.1, 6)
nn.PolynomialDecayLR(0.1, 0.01, 6, 0.5)
nn.PolynomialDecayLR(0.1, 0.01, 4, 2.0, True)
nn.WarmUpLR(0.1, 5)
nn.piecewise_constant_lr([2, 5, 10], [0.1, 0.05, 0.01])
nn.exponential_decay_lr(0.1, 0.9, 12, 2, 2)
nn.exponential_decay_lr(0.1, 0.9, 12, 2, 2, True)
nn.natural_exp_decay_lr(0.1, 0.9, 12, 2, 2, True)
nn.inverse_decay_lr(0.1, 0.5, 12, 1, 2, True)
nn.cosine_decay_lr(0.01, 0.1, 12, 2, 3)
nn.polynomial_decay_lr(0.1, 0.01, 12, 2, 2, 0.5)
nn.polynomial_decay_lr(0.1, 0.01, 12, 1, 4, 2.0, True)
nn.warmup_lr(0.1, 12, 2, 3)
S.StepLR(o, 3)
S.LinearLR(o, 0.25, total_iters=4)
S.ExponentialLR(o, 0.9)
S.PolynomialLR(o, 4, 2.0)
S.MultiplicativeLR(o, lambda t: 0.9)
S.ConstantLR(o, 0.5, 3)
S.MultiStepLR(o, [2, 4, 4, 7], 0.5)
S.LambdaLR(o, [lambda t: 0.9 ** t, lambda t: 1 / (1 + t)])
S.SequentialLR(o, [S.ConstantLR(o, 0.5, 2), S.ExponentialLR(o, 0.9)], [4])
S.ReduceLROnPlateau(o, patience=1, cooldown=1)
S.CyclicLR(o, 0.01, 0.1, 3)
S.CyclicLR(o, 0.01, 0.1, 3, 2, 'triangular2')
S.CyclicLR(o, 0.01, 0.1, 3, mode='exp_range', gamma=0.9)
S.CosineAnnealingWarmRestarts(o, 3, 2)
S.CosineAnnealingLR(o, 5, 0.01)
"""


def names_of(text):
    """The expressions."""
    return [line.strip() for line in text.strip().splitlines()]


def key(expression):
    """What stands for a case in the file."""
    return format(zlib.crc32(expression.encode()), "08x")


def _world(ms):
    import importlib
    optim = importlib.import_module(ms.__name__ + ".experimental.optim")
    return {"nn": ms.nn, "E": optim, "S": importlib.import_module(ms.__name__ + ".experimental.optim.lr_scheduler")}


def parameters(ms, seed=0):
    """The parameters that all cases start from."""
    r = np.random.RandomState(seed)
    return [ms.Parameter(ms.Tensor(r.randn(*s).astype(np.float32)), name=n) for n, s in SHAPES.items()]


def gradients(ms, step):
    """Those of a step; some are zero."""
    r = np.random.RandomState(100 + step)
    return tuple(ms.Tensor((r.randn(*s) * (r.rand(*s) > 0.2)).astype(np.float32)) for s in SHAPES.values())


def train(ms, expression, compiled=None):
    """{name: value} of parameters after 1, 2 and all steps, and of the optimizer's states after all"""
    p = parameters(ms)
    optimizer = eval(expression, {"p": p, **_world(ms)})  # noqa: S307
    found = {}
    call = optimizer if compiled is None else compiled(optimizer)
    for step in range(STEPS):
        call(gradients(ms, step))
        if step in (0, 1, STEPS - 1):
            found.update({f"{step} {q.name}": q.asnumpy().copy() for q in p})
    found.update({f"state {q.name}": q.asnumpy().copy() for q in optimizer.get_parameters()
                  if not any(q is x for x in p)})
    return found


def rates(ms, expression):
    """The learning rates of twelve steps (two groups for those of experimental.optim)"""
    p, world = parameters(ms), _world(ms)
    if expression.startswith("S."):
        o = world["E"].SGD([{"params": p[:1], "lr": 0.2}, {"params": p[1:]}], 0.1)
        s = eval(expression, {"o": o, **world})  # noqa: S307
        found = [[float(v.asnumpy()) for v in s.get_last_lr()]]
        for t in range(11):
            if "Plateau" in expression:
                s.step(ms.Tensor([3.0, 2.0, 2.5, 2.4, 2.6, 1.0, 1.2, 1.3, 1.4, 1.5, 1.6][t], ms.float32))
            else:
                s.step()
            found.append([float(v.asnumpy()) for v in s.get_last_lr()])
        return np.array(found)
    s = eval(expression, world)  # noqa: S307
    if isinstance(s, list):
        return np.array(s)
    return np.array([float(np.asarray(s(ms.Tensor(t, ms.int32)).asnumpy()).reshape(())) for t in range(12)])


def main():
    import mindspore as ms
    ms.set_context(mode=ms.PYNATIVE_MODE, device_target="CPU")
    words = sys.argv[1:]
    # Its kernel on CPU changes the slots all the same (and those of Momentum know no nesterov, of FTRL misread l1).
    wrong = ("update_slots=False",)
    found = dict(np.load(FILE)) if words else {}
    for text, make in ((OPTIMIZERS, train), (SCHEDULES, rates)):
        for e in names_of(text):
            if words and not any(w in e for w in words) or any(w in e for w in wrong):
                continue
            try:
                value = make(ms, e)
            except Exception as error:
                print("FAILS", e, str(error).strip().splitlines()[0][:200], flush=True)
                continue
            found.update({f"{key(e)} {k}": v for k, v in value.items()} if isinstance(value, dict) else {key(e): value})
    np.savez_compressed(FILE, **found)
    print(len(found))


if __name__ == "__main__":
    main()
