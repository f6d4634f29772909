# SPDX-License-Identifier: Apache-2.0
"""float64 values and gradients of the losses of ops/loss.h (losses_f64.json)."""

import itertools

import torch
import torch.nn.functional as F
from golden_data import describe, indices, uniform

REDUCTIONS = ("none", "mean", "sum")


class Losses:
    """Sample i of an op: its inputs, in the op's order, are drawn from "losses/<op>/<i>/<k>"; outputs are the loss and
    the gradients of sum(loss * uniform("losses/<op>/<i>/seed")) by the inputs that are not constant."""

    def __init__(self):
        self.rows = []

    def add(self, op, attrs, inputs, function, no_gradient=()):
        """inputs: (shape, bound, offset), or (shape, modulo, None) for labels, or a list of numbers, or None."""
        index = sum(row["op"] == op for row in self.rows)
        prefix = f"losses/{op}/{index}"
        tensors, rows = [], []
        for k, spec in enumerate(inputs):
            if spec is None:
                tensors.append(None)
                rows.append(None)
            elif isinstance(spec, torch.Tensor):
                tensors.append(spec)
                kind = "integers" if spec.dtype == torch.int64 else "numbers"
                rows.append({"shape": list(spec.shape), kind: spec.flatten().tolist()})
            elif spec[2] is None:
                tensors.append(torch.from_numpy(indices(f"{prefix}/{k}", spec[0], spec[1])))
                rows.append({"shape": list(spec[0]), "modulo": spec[1]})
            else:
                data = torch.from_numpy(uniform(f"{prefix}/{k}", spec[0], spec[1]) + spec[2])
                tensors.append(data)
                rows.append({"shape": list(spec[0]), "bound": spec[1], "offset": spec[2]})
        leaves = []
        for k, t in enumerate(tensors):
            if t is not None and t.is_floating_point() and k not in no_gradient:
                leaves.append((k, t.requires_grad_()))
        loss = function(*tensors)
        seed = torch.from_numpy(uniform(f"{prefix}/seed", tuple(loss.shape), 1.0))
        grads = torch.autograd.grad((loss * seed).sum(), [t for _, t in leaves])
        outputs = {"loss": describe(f"{prefix}/loss", loss.detach().numpy())}
        for (k, _), g in zip(leaves, grads):
            outputs[f"grad.{k}"] = describe(f"{prefix}/grad.{k}", g.contiguous().numpy())
        self.rows.append({"op": op, "index": index, "attrs": attrs, "inputs": rows, "outputs": outputs})


def elements(s):
    shape, wide = (4, 5), (2, 7, 3)
    x, prob = (shape, 2.0, 0.0), (shape, 0.45, 0.5)
    for r in REDUCTIONS:
        a = {"reduction": r}
        s.add("mse_loss", a, [x, x], lambda p, t: F.mse_loss(p, t, reduction=r))
        s.add("l1_loss", a, [x, x], lambda p, t: F.l1_loss(p, t, reduction=r))
        for beta in (0.7, 1.0, 0.0):
            s.add("smooth_l1_loss", {**a, "beta": beta}, [x, x],
                  lambda p, t: F.smooth_l1_loss(p, t, reduction=r, beta=beta))
        for delta in (0.7, 1.0):
            s.add("huber_loss", {**a, "delta": delta}, [x, x],
                  lambda p, t: F.huber_loss(p, t, reduction=r, delta=delta))
        for weight in (None, ((5,), 0.5, 1.0)):
            s.add("binary_cross_entropy", a, [prob, prob, weight],
                  lambda p, t, w: F.binary_cross_entropy(p, t, w, reduction=r), no_gradient=(2,))
        for weight, pos in itertools.product((None, ((4, 1), 0.5, 1.0)), (None, ((5,), 0.5, 1.0))):
            s.add("binary_cross_entropy_with_logits", a, [(shape, 30.0, 0.0), prob, weight, pos],
                  lambda p, t, w, q: F.binary_cross_entropy_with_logits(p, t, w, reduction=r, pos_weight=q),
                  no_gradient=(2, 3))
        for log_target in (False, True):
            for name in (r, "batchmean") if r == "sum" else (r,):
                s.add("kl_div", {"reduction": name, "log_target": log_target},
                      [(wide, 1.0, -1.5), (wide, 0.45, -0.6 if log_target else 0.5)],
                      lambda p, t: F.kl_div(p, t, reduction=name, log_target=log_target))
        for log_input, full in itertools.product((True, False), (True, False)):
            s.add("poisson_nll_loss", {**a, "log_input": log_input, "full": full, "eps": 1e-3},
                  [(shape, 1.0, 1.2), (shape, 2.0, 2.1)],
                  lambda p, t: F.poisson_nll_loss(p, t, log_input, full, eps=1e-3, reduction=r), no_gradient=(1,))
        for full in (True, False):
            s.add("gaussian_nll_loss", {**a, "full": full, "eps": 0.5}, [x, x, ((4, 1), 0.8, 0.9)],
                  lambda p, t, v: F.gaussian_nll_loss(p, t, v, full, 0.5, r))
        signs = torch.tensor([1.0, -1, -1, 1, 1] * 4, dtype=torch.float64).reshape(shape)
        s.add("soft_margin_loss", a, [(shape, 20.0, 0.0), signs],
              lambda p, t: F.soft_margin_loss(p, t, reduction=r), no_gradient=(1,))
        for margin in (0.0, 0.8):
            b = {**a, "margin": margin}
            s.add("hinge_embedding_loss", b, [x, signs.clone()],
                  lambda p, t: F.hinge_embedding_loss(p, t, margin, reduction=r), no_gradient=(1,))
            s.add("margin_ranking_loss", b, [x, x, signs.clone()],
                  lambda p, q, t: F.margin_ranking_loss(p, q, t, margin, reduction=r), no_gradient=(2,))
    for target, var in (((4,), (4,)), ((4, 1), (4,)), ((1,), (4, 4))):
        s.add("gaussian_nll_loss", {}, [((4, 4), 2.0, 0.0), (target, 2.0, 0.0), (var, 0.8, 0.9)],
              lambda p, t, v: F.gaussian_nll_loss(p, t, v))
    s.add("hinge_embedding_loss", {}, [x, signs.clone()], F.hinge_embedding_loss, no_gradient=(1,))
    edges = torch.tensor([0, 1, 0, 1, 0.5], dtype=torch.float64)
    hits = torch.tensor([0, 1, 1, 0, 0.5], dtype=torch.float64)
    s.add("binary_cross_entropy", {"reduction": "none"}, [edges, hits, None],
          lambda p, t, w: F.binary_cross_entropy(p, t, reduction="none"), no_gradient=(1,))
    zeros = torch.tensor([0, 0.5, 0, 1, 0.5], dtype=torch.float64)
    s.add("kl_div", {"reduction": "none", "log_target": False}, [((5,), 1.0, -1.0), zeros],
          lambda p, t: F.kl_div(p, t, reduction="none"), no_gradient=(1,))


def focal(x, t, alpha, gamma, reduction):
    """torchvision.ops.sigmoid_focal_loss"""
    p = torch.sigmoid(x)
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none") * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
    if alpha >= 0:
        loss = (alpha * t + (1 - alpha) * (1 - t)) * loss
    return loss if reduction == "none" else getattr(loss, reduction)()


def class_focal(x, y, weight, gamma, reduction):
    log_p = F.log_softmax(x, 1).gather(1, y.unsqueeze(1)).squeeze(1)
    loss = -log_p * (1 - log_p.exp()) ** gamma
    loss = loss if weight is None else loss * weight[y]
    return loss if reduction == "none" else getattr(loss, reduction)()


def dice(x, t, smooth):
    return 1 - 2 * (x * t).sum() / ((x * x).sum() + (t * t).sum() + smooth)


def rows(s):
    x, labels = ((6, 5), 2.0, 0.0), ((6,), 5, None)
    lists = torch.tensor([0, 3, -1, 1, 1, 2, 1, 0, 3, 4, -1, 0, 0, 0, 0, 4, 4, 4, -1, 0]).reshape(4, 5)
    signs = torch.tensor([1.0, -1, -1, 1, 1, -1], dtype=torch.float64)
    for r in REDUCTIONS:
        a = {"reduction": r}
        for weight in (None, ((5,), 0.5, 1.0)):
            for ignore in (-100, 2):
                s.add("nll_loss", {**a, "ignore_index": ignore}, [((6, 5, 2), 1.0, -1.5), ((6, 2), 5, None), weight],
                      lambda p, y, w: F.nll_loss(p, y, w, ignore_index=ignore, reduction=r), no_gradient=(2,))
            for p in (1, 2):
                s.add("multi_margin_loss", {**a, "p": p, "margin": 0.9}, [x, labels, weight],
                      lambda v, y, w: F.multi_margin_loss(v, y, p, 0.9, w, reduction=r), no_gradient=(2,))
            s.add("multilabel_soft_margin_loss", a, [x, ((6, 5), 0.5, 0.5), weight],
                  lambda v, t, w: F.multilabel_soft_margin_loss(v, t, w, reduction=r), no_gradient=(2,))
            s.add("focal_loss", {**a, "gamma": 2.0}, [((3, 4, 2), 2.0, 0.0), ((3, 2), 4, None),
                                                     weight and ((4,), 0.5, 1.0)],
                  lambda v, y, w: class_focal(v, y, w, 2.0, r))
        s.add("multilabel_margin_loss", a, [((4, 5), 2.0, 0.0), lists],
              lambda v, y: F.multilabel_margin_loss(v, y, reduction=r))
        for margin in (0.0, 0.3):
            s.add("cosine_embedding_loss", {**a, "margin": margin}, [x, x, signs.clone()],
                  lambda u, v, t: F.cosine_embedding_loss(u, v, t, margin, reduction=r), no_gradient=(2,))
        for p, swap in itertools.product((1.0, 2.0, 3.0), (False, True)):
            s.add("triplet_margin_loss", {**a, "p": p, "swap": swap, "margin": 0.8}, [x, x, x],
                  lambda u, v, w: F.triplet_margin_loss(u, v, w, 0.8, p, swap=swap, reduction=r))
        for alpha, gamma in ((0.25, 2.0), (-1.0, 1.5), (0.6, 0.0)):
            s.add("sigmoid_focal_loss", {**a, "alpha": alpha, "gamma": gamma}, [x, ((6, 5), 0.5, 0.5)],
                  lambda v, t: focal(v, t, alpha, gamma, r))
    s.add("dice_loss", {"smooth": 0.01}, [((6, 5), 0.5, 0.5)] * 2, lambda v, t: dice(v, t, 0.01))


class Ctc(torch.autograd.Function):
    """PyTorch's loss of each sequence. Its gradient is that by the logits of log_softmax, which differs from that by
    the log-probabilities by their exponential."""

    @staticmethod
    def forward(ctx, x, targets, steps, lengths, blank):
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            loss = F.ctc_loss(leaf, targets, steps, lengths, blank, reduction="none")
        ctx.save_for_backward(leaf, loss, steps)
        return loss.detach().clone()

    @staticmethod
    def backward(ctx, g):
        leaf, loss, steps = ctx.saved_tensors
        g = torch.where(torch.isinf(loss), 0.0, g)
        grad = torch.autograd.grad(loss, leaf, g)[0]
        inside = torch.arange(leaf.shape[0])[:, None, None] < steps[None, :, None]
        grad = torch.where(inside, grad - leaf.exp() * g[None, :, None], 0.0)
        return torch.where(torch.isinf(loss)[None, :, None], 0.0, grad), None, None, None, None


def ctc(x, targets, steps, lengths, blank, reduction, zero_infinity):
    loss = Ctc.apply(x, targets, steps, lengths, blank)
    if zero_infinity:
        loss = torch.where(torch.isinf(loss), 0.0, loss)
    if reduction == "mean":
        loss = (loss / lengths.clamp(min=1)).mean()
    loss = loss.sum() if reduction == "sum" else loss
    want = F.ctc_loss(x, targets, steps, lengths, blank, reduction, zero_infinity)
    assert torch.allclose(loss, want, rtol=1e-12), (loss, want)
    return loss


def sequences(s):
    x = ((14, 4, 6), 1.5, -2.0)
    steps, lengths = torch.tensor([14, 11, 9, 13]), torch.tensor([5, 0, 3, 4])
    padded = torch.tensor([[1, 1, 2, 2, 5], [0, 0, 0, 0, 0], [3, 3, 3, 0, 0], [4, 1, 4, 1, 0]])
    flat = torch.cat([row[:n] for row, n in zip(padded, lengths)])
    last = torch.tensor([[0, 1, 2, 2, 4], [1, 0, 0, 0, 0], [3, 3, 3, 0, 0], [4, 1, 4, 1, 0]])
    short = torch.tensor([14, 11, 4, 13])
    for r in REDUCTIONS:
        for targets, n, blank, zero in ((padded, steps, 0, False), (flat, steps, 0, False), (last, steps, 5, False),
                                        (padded, short, 0, True)):
            s.add("ctc_loss", {"reduction": r, "blank": blank, "zero_infinity": zero}, [x, targets, n, lengths],
                  lambda v, t, a, b: ctc(v, t, a, b, blank, r, zero))


def all_samples():
    samples = Losses()
    elements(samples)
    rows(samples)
    sequences(samples)
    return samples.rows
