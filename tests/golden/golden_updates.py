# SPDX-License-Identifier: Apache-2.0
"""Ten float64 steps of every optimizer (updates_f64.json): PyTorch's, or where it has none the paper's formulas here."""

import numpy as np
import torch
from golden_data import describe, uniform

torch.set_default_dtype(torch.float64)  # of scalars that optimizers keep
STEPS = 10
SHAPE = (2, 3)


def torch_steps(kind, **options):
    def run(param, grads, lr):
        p = torch.nn.Parameter(torch.from_numpy(param.copy()))
        optimizer = kind([p], lr=lr, **options)
        for g in grads:
            p.grad = torch.from_numpy(g.copy())
            optimizer.step()
            yield p.detach().numpy().copy()

    return run


def lion(beta1, beta2, weight_decay):
    """Chen et al., "Symbolic discovery of optimization algorithms", 2023, program 1."""

    def run(p, grads, lr):
        m = np.zeros_like(p)
        for g in grads:
            c = beta1 * m + (1 - beta1) * g
            p = p - lr * (np.sign(c) + weight_decay * p)
            m = beta2 * m + (1 - beta2) * g
            yield p

    return run


def lamb(beta1, beta2, eps, weight_decay):
    """You et al., "Large batch optimization for deep learning", 2020, algorithm 2 with phi(z) = z."""

    def run(p, grads, lr):
        m, v = np.zeros_like(p), np.zeros_like(p)
        for t, g in enumerate(grads, 1):
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            r = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
            u = r + weight_decay * p
            p = p - lr * np.linalg.norm(p) / np.linalg.norm(u) * u
            yield p

    return run


def lars(momentum, coefficient, eps, weight_decay):
    """You et al., "Large batch training of convolutional networks", 2017, algorithm 1."""

    def run(p, grads, lr):
        v = np.zeros_like(p)
        for g in grads:
            w = np.linalg.norm(p)
            local = coefficient * w / (np.linalg.norm(g) + weight_decay * w + eps)
            v = momentum * v + lr * local * (g + weight_decay * p)
            p = p - v
            yield p

    return run


def ftrl(l1, l2, lr_power, initial):
    """McMahan et al., "Ad click prediction", 2013, algorithm 1, in TensorFlow's form of beta and l2."""

    def run(p, grads, lr):
        n, z = np.full_like(p, initial), np.zeros_like(p)
        for g in grads:
            after = n + g * g
            sigma = (after**-lr_power - n**-lr_power) / lr
            z = z + g - sigma * p
            n = after
            rate = n**-lr_power / lr + 2 * l2
            p = np.where(np.abs(z) > l1, (np.sign(z) * l1 - z) / rate, 0.0)
            yield p

    return run


def cases():
    """(op, attributes of the op, lr, starts of slots, steps)"""
    o = torch.optim
    yield "sgd", {}, 0.1, {}, torch_steps(o.SGD)
    yield "sgd", {"weight_decay": 0.1, "maximize": True}, 0.1, {}, torch_steps(o.SGD, weight_decay=0.1, maximize=True)
    for extra in ({}, {"nesterov": True, "weight_decay": 0.1}, {"dampening": 0.5}, {"maximize": True}):
        yield "momentum", {"momentum": 0.8, **extra}, 0.1, {}, torch_steps(o.SGD, momentum=0.8, **extra)
    betas = {"beta1": 0.8, "beta2": 0.95}
    pair = {"betas": (0.8, 0.95)}
    for name, kind in (("adam", o.Adam), ("adamw", o.AdamW)):
        for amsgrad in (False, True):
            for extra in ({"eps": 1e-8, "weight_decay": 0.0}, {"eps": 0.1, "weight_decay": 0.3, "maximize": True}):
                yield (name + ("_amsgrad" if amsgrad else ""), {**betas, **extra}, 0.05, {},
                       torch_steps(kind, **pair, amsgrad=amsgrad, **extra))
    for extra in ({}, {"weight_decay": 0.3, "maximize": True}):
        yield "adamax", {**betas, **extra}, 0.05, {}, torch_steps(o.Adamax, **pair, **extra)
    for extra in ({}, {"weight_decay": 0.3}, {"weight_decay": 0.3, "decoupled_weight_decay": True}):
        yield ("nadam", {**betas, "momentum_decay": 0.01, **extra}, 0.05, {},
               torch_steps(o.NAdam, **pair, momentum_decay=0.01, **extra))
        yield "radam", {**betas, **extra}, 0.05, {}, torch_steps(o.RAdam, **pair, **extra)
    yield "adagrad", {}, 0.1, {}, torch_steps(o.Adagrad)
    yield ("adagrad", {"lr_decay": 0.2, "weight_decay": 0.1}, 0.1, {"sum": 0.5},
           torch_steps(o.Adagrad, lr_decay=0.2, weight_decay=0.1, initial_accumulator_value=0.5))
    for extra in ({}, {"rho": 0.7, "eps": 1e-3, "weight_decay": 0.1}):
        yield "adadelta", extra, 1.0, {}, torch_steps(o.Adadelta, **extra)
    for momentum in (0.0, 0.6):
        for centered in (False, True):
            name = "rmsprop" + ("_centered" if centered else "") + ("_momentum" if momentum else "")
            attrs = {"alpha": 0.8, "weight_decay": 0.1, "momentum": momentum, "eps": 0.01}
            yield name, attrs, 0.05, {}, torch_steps(o.RMSprop, centered=centered, **attrs)
    yield "rprop", {}, 0.1, {"step_size": 0.1}, torch_steps(o.Rprop)
    yield ("rprop", {"eta_minus": 0.7, "eta_plus": 1.5, "min_step": 0.05, "max_step": 0.2}, 0.1, {"step_size": 0.1},
           torch_steps(o.Rprop, etas=(0.7, 1.5), step_sizes=(0.05, 0.2)))
    for extra in ({}, {"lambd": 0.1, "alpha": 0.5, "t0": 3.0, "weight_decay": 0.1}):
        yield "asgd", extra, 0.1, {}, torch_steps(o.ASGD, **extra)
    yield "ftrl", {}, 0.1, {"accum": 0.1}, ftrl(0.0, 0.0, -0.5, 0.1)
    yield "ftrl", {"l1": 0.3, "l2": 0.2, "lr_power": -0.7}, 0.1, {"accum": 0.2}, ftrl(0.3, 0.2, -0.7, 0.2)
    yield "lion", {**betas, "weight_decay": 0.3}, 0.05, {}, lion(0.8, 0.95, 0.3)
    yield "lamb", {**betas, "weight_decay": 0.3, "eps": 1e-6}, 0.05, {}, lamb(0.8, 0.95, 1e-6, 0.3)
    yield ("lars", {"momentum": 0.8, "coefficient": 0.5, "weight_decay": 0.1, "eps": 1e-3}, 0.1, {},
           lars(0.8, 0.5, 1e-3, 0.1))


def all_samples():
    rows = []
    for index, (op, attrs, lr, starts, steps) in enumerate(cases()):
        prefix = f"updates/{index}"
        param = uniform(f"{prefix}/param", SHAPE, 1.0)
        grads = [uniform(f"{prefix}/grad.{k}", SHAPE, 1.0) for k in range(STEPS)]
        after = [describe(f"{prefix}/param.{k}", p)["values"] for k, p in enumerate(steps(param, grads, lr))]
        rows.append({"op": op, "index": index, "attrs": attrs, "lr": lr, "starts": starts, "shape": list(SHAPE),
                     "params": after})
    return rows


def schedules():
    """Forty learning rates of PyTorch's schedules by the names of nn/optim/schedule.h."""
    s = torch.optim.lr_scheduler
    table = {
        "step_decay": lambda o: s.StepLR(o, 7, 0.5),
        "multi_step": lambda o: s.MultiStepLR(o, [5, 11, 30], 0.3),
        "exponential": lambda o: s.ExponentialLR(o, 0.9),
        "cosine": lambda o: s.CosineAnnealingLR(o, 39, 0.01),
        "cosine_restarts": lambda o: s.CosineAnnealingWarmRestarts(o, 5, 2, 0.01),
        "polynomial": lambda o: s.PolynomialLR(o, 25, 2.0),
        "one_cycle": lambda o: s.OneCycleLR(o, 0.5, total_steps=40, cycle_momentum=False),
        "one_cycle_linear": lambda o: s.OneCycleLR(
            o, 0.5, total_steps=40, cycle_momentum=False, anneal_strategy="linear"),
        "one_cycle_three_phases": lambda o: s.OneCycleLR(
            o, 0.5, total_steps=40, cycle_momentum=False, three_phase=True),
        "cyclic_triangular": lambda o: s.CyclicLR(o, 0.05, 0.5, 4, 6, cycle_momentum=False),
        "cyclic_triangular2": lambda o: s.CyclicLR(o, 0.05, 0.5, 4, 6, mode="triangular2", cycle_momentum=False),
        "cyclic_exp_range": lambda o: s.CyclicLR(
            o, 0.05, 0.5, 4, 6, mode="exp_range", gamma=0.95, cycle_momentum=False),
        "linear": lambda o: s.LinearLR(o, 0.25, 1.0, 10),
    }
    rows = {}
    for name, make in table.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
        schedule = make(optimizer)
        rates = []
        for _ in range(40):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.step()
        rows[name] = rates
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    plateau = s.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, cooldown=1, threshold=0.01, min_lr=0.03)
    losses = [1.0, 0.8, 0.79, 0.795, 0.799, 0.8, 0.8, 0.8, 0.8, 0.8, 0.5, 0.51, 0.52, 0.53, 0.54, 0.55, 0.56, 0.57, 0.5]
    rates = []
    for loss in losses:
        plateau.step(loss)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return {"rates": rows, "plateau": {"losses": losses, "rates": rates}}
