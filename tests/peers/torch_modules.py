# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own samples of its modules and optimizers, run through ours in float64.

    python tests/peers/torch_modules.py [names of modules or optimizers]

Needs PyTorch and expecttest beside rutile; not part of `make test`. Layers are those of rutile.mint.nn, else of rutile.nn,
with PyTorch's parameters; values and gradients by inputs and parameters are compared. Optimizers make ten steps with each
of PyTorch's sets of options. A line for each module that differs or refuses samples, then a table. The exit status is 1 if
a value differs.
"""

import collections
import sys
import warnings

import numpy as np
import rutile
import torch
from rutile import Parameter, Tensor, mint, nn, ops
from rutile.experimental import optim
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.common_optimizers import optim_db
from torch_names import Unmapped
from torch_samples import close, flat, numpy_of, plain

# Ours under other names, or with other arguments: PyTorch's constructor arguments -> a Cell.
LAYERS = {
    "RNN": lambda *a, bias=True, dropout=0.0, **k: nn.RNN(*a, has_bias=bias, dropout=dropout, dtype="float64", **k),
    "GRU": lambda *a, bias=True, dropout=0.0, **k: nn.GRU(*a, has_bias=bias, dropout=dropout, dtype="float64", **k),
    "LSTM": lambda *a, bias=True, dropout=0.0, proj_size=0, **k: nn.LSTM(*a, has_bias=bias, dropout=dropout, proj_size=proj_size,
                                                                         dtype="float64", **k),
    "RNNCell": lambda *a, bias=True, **k: nn.RNNCell(*a, has_bias=bias, **k),
    "GRUCell": lambda *a, bias=True, **k: nn.GRUCell(*a, has_bias=bias, **k),
    "LSTMCell": lambda *a, bias=True, **k: nn.LSTMCell(*a, has_bias=bias, **k),
    "Bilinear": lambda a, b, out, bias=True: nn.BiDense(a, b, out, has_bias=bias),
    "ConvTranspose1d": lambda *a, **k: transposed(nn.Conv1dTranspose, *a, **k),
    "ConvTranspose3d": lambda *a, **k: transposed(nn.Conv3dTranspose, *a, **k),
    "LPPool3d": lambda p, kernel_size, stride=None, ceil_mode=False: Function(lambda x: ops.table.lp_pool3d(
        x, norm_type=float(p), kernel=each(kernel_size, 3), stride=each(stride or 0, 3), ceil_mode=ceil_mode)),
    **{f"CircularPad{n}d": lambda padding, n=n: Function(lambda x: ops.pad(x, each(padding, 2 * n), "circular")) for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d": lambda *a, n=n, **k: instance_norm(getattr(nn, f"InstanceNorm{n}d"), *a, **k) for n in (1, 2, 3)},
    "Softplus": lambda beta=1, threshold=20: mint.nn.Softplus(beta, threshold),
    "Hardshrink": lambda lambd=0.5: mint.nn.Hardshrink(lambd),
    "Softshrink": lambda lambd=0.5: mint.nn.Softshrink(lambd),
    "LocalResponseNorm": lambda size, alpha=1e-4, beta=0.75, k=1.0: Function(lambda x: ops.table.local_response_norm(
        x, size=size, alpha=alpha, beta=beta, k=k)),
    "CELU": lambda alpha=1.0, inplace=False: nn.CELU(alpha),
    "SELU": lambda inplace=False: nn.SeLU(),
    "Threshold": lambda threshold, value, inplace=False: nn.Threshold(threshold, value),
    "Softmin": lambda dim=None: nn.Softmin(dim),
    "MultiLabelMarginLoss": lambda reduction="mean": nn.MultilabelMarginLoss(reduction),
    "HuberLoss": lambda reduction="mean", delta=1.0: nn.HuberLoss(reduction, delta),
    "MaxPool1d": lambda kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False: nn.MaxPool1d(
        kernel_size, stride or kernel_size, "pad", padding, dilation, return_indices, ceil_mode),
    "MaxPool3d": lambda kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False: nn.MaxPool3d(
        kernel_size, stride or kernel_size, "pad", padding, dilation, return_indices, ceil_mode),
    "RMSNorm": lambda shape, eps=None, elementwise_affine=True: RmsNorm(shape, eps, elementwise_affine),
    "MultiheadAttention": lambda embed_dim, num_heads, dropout=0.0, bias=True, **k: nn.MultiheadAttention(embed_dim, num_heads, dropout, bias, **k),
}
# What of their results PyTorch's forward gives, where ours gives more or less.
OPTIMIZERS = {"SGD": optim.SGD, "Adam": optim.Adam, "AdamW": optim.AdamW, **{n: getattr(optim, n) for n in (
    "Adadelta", "Adagrad", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop") if hasattr(optim, n)}}


class Function(nn.Cell):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def construct(self, *args):
        return self.f(*args)


def each(v, n):
    return (v,) * n if isinstance(v, int) else tuple(v)


def instance_norm(layer, features, eps=1e-5, momentum=0.1, affine=False, track_running_stats=False):
    if track_running_stats:
        raise Unmapped("running statistics: MindSpore's layer uses those of the image always")
    return layer(features, eps, momentum, affine)


def transposed(layer, i, o, kernel, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1):
    more = {"output_padding": output_padding} if layer is nn.Conv3dTranspose else {}
    if output_padding and not more:
        raise Unmapped("output_padding")
    padding = tuple(p for p in padding for _ in range(2)) if isinstance(padding, tuple) else padding
    return layer(i, o, kernel, stride, "pad", padding, dilation, groups, has_bias=bias, **more)


class RmsNorm(nn.Cell):
    def __init__(self, shape, eps, affine):
        super().__init__()
        self.n, self.eps = len(shape), np.finfo(np.float64).eps if eps is None else eps
        self.weight = Parameter(ops.ones(tuple(shape), "float64"), name="weight") if affine else None

    def construct(self, input):
        return ops.table.rms_norm(input, self.weight, axes=self.n, eps=self.eps)[0]


def made(name, args, kwargs):
    kwargs = {k: v for k, v in kwargs.items() if k not in ("device", "dtype")}
    if ("Norm" in name or "Transformer" in name) and not kwargs.pop("bias", True):
        raise Unmapped("no bias beside the weight")
    if name in LAYERS:
        return LAYERS[name](*args, **kwargs)
    for module in (mint.nn, nn):
        if hasattr(module, name):
            return getattr(module, name)(*args, **kwargs)
    return None


def kept(options):
    """Without what is PyTorch's alone at its default."""
    return {k: v for k, v in options.items() if not (k in ("maximize", "decoupled_weight_decay") and not v)}


def tensor(v):
    return Tensor(v.detach().resolve_conj().numpy()) if isinstance(v, torch.Tensor) else v


def tree(v, f):
    if isinstance(v, list | tuple):
        return type(v)(tree(x, f) for x in v)
    return {k: tree(x, f) for k, x in v.items()} if isinstance(v, dict) else f(v)


def copy_parameters(cell, module):
    """In the order of definition; None if the shapes do not go in pairs."""
    for _, sub in list(cell.cells_and_names()):
        for p in list(sub.get_parameters(expand=False)):
            if "float" in str(p.dtype).lower() and "64" not in str(p.dtype):
                setattr(sub, p.name.split(".")[-1], Parameter(p.astype("float64"), name=p.name, requires_grad=p.requires_grad))
    own, theirs = list(cell.trainable_params()), list(module.named_parameters())
    by_name = {p.name.split(".")[-1]: p for p in own}
    if len(by_name) == len(theirs) and all(n in by_name for n, _ in theirs):
        own = [by_name[n] for n, _ in theirs]
    if sorted(int(np.prod(p.shape)) for p in own) != sorted(p.numel() for _, p in theirs):
        return None
    pairs = []
    for (_, q), p in zip(theirs, own, strict=True):
        if int(np.prod(p.shape)) != q.numel():
            return None
        p.set_data(Tensor(q.detach().numpy().reshape(tuple(p.shape))))
        pairs.append((p, q))
    return pairs


def compare_module(name, sample, training):
    args, kwargs = sample.constructor_input.args, sample.constructor_input.kwargs
    torch.manual_seed(0)
    module = next(m.module_cls for m in module_db if m.module_cls.__name__ == name)(*args, **kwargs).double().train(training)
    try:
        cell = made(name, plain(tree(args, tensor)), plain(tree(kwargs, tensor)))
    except Unmapped as e:
        return "unmapped", str(e)
    except (rutile.Error, TypeError, ValueError, RuntimeError) as e:
        return "refused", f"constructor: {str(e).split('|')[0].strip()}"
    if cell is None:
        return "missing", ""
    cell.set_train(training)
    given, more = sample.forward_input.args, sample.forward_input.kwargs
    want = flat(module(*given, **more))
    try:
        pairs = copy_parameters(cell, module)
        if pairs is None:
            return "refused", "other parameters"
        inputs = tree(given, tensor)
        leaves = [v for v in flat(inputs) if isinstance(v, Tensor) and "float" in str(v.dtype).lower()]
        got = flat(cell(*plain(inputs), **plain(tree(more, tensor))))
    except (rutile.Error, TypeError, ValueError, IndexError, RuntimeError, AttributeError) as e:
        return "refused", f"{type(e).__name__} {str(e).split('|')[0].strip()}"
    got = [g for g in got if isinstance(g, Tensor)]
    want = [w for w in want if isinstance(w, torch.Tensor)]
    if len(got) < len(want):
        return "differs", f"{len(got)} results for {len(want)}"
    for g, w in zip(got, want, strict=False):
        if what := close(g.asnumpy(), numpy_of(w)):
            return "differs", what
    return gradients(cell, module, pairs, given, more, inputs, leaves, want)


def gradients(cell, module, pairs, given, more, inputs, leaves, want):
    used = [w for w in want if w.requires_grad and w.numel()]
    if not pairs or not used:
        return "same", ""
    expected = torch.autograd.grad(sum(w.sum() for w in used), [q for _, q in pairs], allow_unused=True)

    def loss(*args):
        out = [v for v in flat(cell(*args, **plain(tree(more, tensor)))) if isinstance(v, Tensor)]
        return sum((ops.sum(v) for v, w in zip(out, want, strict=False) if w.requires_grad and w.numel()), Tensor(0.0, "float64"))

    try:
        _, got = rutile.value_and_grad(loss, None, [p for p, _ in pairs])(*plain(inputs))
    except (rutile.Error, TypeError, ValueError, IndexError, RuntimeError) as e:
        return "refused", f"gradient: {str(e).split('|')[0].strip()}"
    for (p, q), g, w in zip(pairs, flat(got), expected, strict=True):
        w = np.zeros(tuple(q.shape)) if w is None else numpy_of(w)
        if what := close(g.asnumpy().reshape(w.shape), w):
            return "differs", f"gradient of {p.name} {what}"
    return "same", ""


# ---- Optimizers --------------------------------------------------------------------------------------------------

DROPPED = ("foreach", "fused", "capturable", "differentiable")


def drawn(rng, shape, of_complex):
    return rng.normal(size=shape) + (1j * rng.normal(size=shape) if of_complex else 0)


def compare_optimizer(info, sample, of_complex):
    options = kept({k: v for k, v in sample.kwargs.items() if k not in DROPPED})
    if info.optim_cls is torch.optim.SGD:
        options.setdefault("lr", 1e-3)
    rng = np.random.default_rng(0)
    start = [drawn(rng, shape, of_complex) for shape in ((5, 3), (4,))]
    theirs = [torch.tensor(v, requires_grad=True) for v in start]
    own = [Parameter(Tensor(v), name=f"p{i}") for i, v in enumerate(start)]
    optimizer = info.optim_cls(theirs, **options)
    try:
        ours = OPTIMIZERS[info.optim_cls.__name__](own, **{k: float(v) if isinstance(v, torch.Tensor) else v for k, v in options.items()})
    except (rutile.Error, TypeError, ValueError, RuntimeError) as e:
        return "refused", str(e).split("|")[0].strip()
    for _ in range(10):
        steps = [drawn(rng, v.shape, of_complex) for v in start]
        for p, g in zip(theirs, steps):
            p.grad = torch.tensor(g)
        optimizer.step()
        ours(tuple(Tensor(g) for g in steps))
    for p, q in zip(own, theirs):
        if what := close(p.asnumpy(), numpy_of(q)):
            return "differs", what
    return "same", ""


def report(name, results, kinds):
    seen = collections.Counter(results)
    for (kind, what), count in seen.items():
        kinds[kind] += count
        if kind != "same":
            print(f"{name}: {count} {kind}{': ' if what else ''}{what[:150]}", flush=True)


def main(only):
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    kinds = collections.Counter()
    for m in module_db:
        name = m.module_cls.__name__
        if name.startswith(("Lazy", "LinearCross")) or name == "TransformerEncoder" or only and name not in only:
            continue
        results = []
        for training in (True, False):
            samples = m.module_inputs_func(m, device="cpu", dtype=torch.float64, requires_grad=True, training=training)
            for sample in samples:
                try:
                    results.append(compare_module(name, sample, training))
                except (RuntimeError, TypeError, ValueError) as e:  # PyTorch's own
                    results.append(("skipped", str(e)[:80]))
        report(name, results, kinds)
    for info in optim_db:
        name = info.optim_cls.__name__
        if only and name not in only:
            continue
        if name not in OPTIMIZERS:
            report(name, [("missing", "")], kinds)
            continue
        for of_complex in (False, True):
            results = [compare_optimizer(info, s, of_complex) for s in info.optim_inputs_func("cpu")]
            report(name + " of complex numbers" * of_complex, results, kinds)
    print(" ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    return kinds["differs"] > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
