# SPDX-License-Identifier: Apache-2.0
"""float64 forward results of single ops whose meaning is easy to get wrong (ops_f64.json)."""

import collections

import torch
import torch.nn.functional as F
from golden_data import describe, indices, uniform


class Samples:
    """Collects samples; the i-th of an op draws its arguments from seeds "ops/<op>/<i>/<arg>"."""

    def __init__(self):
        self.rows = []
        self.counts = collections.Counter()

    def open(self, op, **attrs):
        self.prefix = f"ops/{op}/{self.counts[op]}"
        self.row = {"op": op, "index": self.counts[op], "attrs": attrs, "inputs": {}, "outputs": {}}
        self.counts[op] += 1
        self.rows.append(self.row)

    def real(self, name, *shape, bound=1.0, offset=0.0):
        self.row["inputs"][name] = {"shape": list(shape), "bound": bound, "offset": offset}
        return torch.from_numpy(uniform(f"{self.prefix}/{name}", shape, bound) + offset)

    def index(self, name, *shape, modulo):
        self.row["inputs"][name] = {"shape": list(shape), "modulo": modulo}
        return torch.from_numpy(indices(f"{self.prefix}/{name}", shape, modulo))

    def close(self, **outputs):
        for name, value in outputs.items():
            value = value.detach().contiguous().numpy()
            self.row["outputs"][name] = describe(f"{self.prefix}/{name}", value)


def convolutions(s):
    cases = [  # x, weight, bias?, stride, pad, dilation, groups
        ((2, 3, 6, 5), (4, 3, 3, 3), True, (1, 1), (1, 1), (1, 1), 1),
        ((1, 2, 7, 7), (3, 2, 3, 3), False, (2, 2), (1, 1), (1, 1), 1),
        ((1, 2, 6, 9), (2, 2, 3, 5), True, (2, 1), (0, 2), (1, 1), 1),
        ((1, 3, 8, 7), (2, 3, 3, 3), True, (1, 1), (2, 2), (2, 2), 1),
        ((1, 4, 5, 5), (6, 2, 3, 3), True, (2, 2), (1, 1), (1, 1), 2),
        ((1, 6, 6, 6), (6, 1, 3, 3), True, (2, 2), (1, 1), (1, 1), 6),
        ((1, 3, 4, 4), (6, 1, 3, 3), False, (1, 1), (0, 0), (1, 1), 3),
        ((2, 37, 5, 5), (6, 37, 1, 1), False, (2, 2), (0, 0), (1, 1), 1),
        ((1, 3, 17, 17), (8, 3, 7, 7), False, (2, 2), (3, 3), (1, 1), 1),
        ((1, 4, 9, 8), (4, 2, 2, 3), True, (1, 2), (1, 2), (2, 1), 2),
        ((1, 1, 5, 4), (1, 1, 2, 2), True, (1, 1), (0, 0), (1, 1), 1),
    ]
    for x, weight, has_bias, stride, pad, dilation, groups in cases:
        s.open("conv2d", stride=stride, pad=pad, dilation=dilation, groups=groups)
        bias = (weight[0],)
        args = [
            s.real("x", *x),
            s.real("weight", *weight),
            s.real("bias", *bias) if has_bias else None,
        ]
        s.close(y=F.conv2d(*args, stride, pad, dilation, groups))


def pools(s):
    maxima = [  # x, offset, kernel, stride, pad; the offset -3 shows that padding is not zero
        ((1, 2, 8, 8), 0.0, (3, 3), (2, 2), (1, 1)),
        ((1, 1, 7, 7), 0.0, (3, 3), (2, 2), (1, 1)),
        ((1, 2, 7, 5), 0.0, (2, 2), (2, 2), (0, 0)),
        ((1, 2, 6, 6), 0.0, (3, 2), (1, 2), (1, 0)),
        ((1, 2, 4, 4), -3.0, (3, 3), (2, 2), (1, 1)),
        ((2, 37, 9, 9), 0.0, (3, 3), (2, 2), (1, 1)),
    ]
    for x, offset, kernel, stride, pad in maxima:
        s.open("max_pool2d", kernel=kernel, stride=stride, pad=pad, ceil_mode=False)
        s.close(y=F.max_pool2d(s.real("x", *x, offset=offset), kernel, stride, pad))
    averages = [  # x, kernel, stride, pad
        ((1, 2, 8, 7), (3, 3), (2, 2), (1, 1)),
        ((1, 2, 5, 6), (3, 2), (1, 2), (1, 1)),
        ((1, 2, 7, 7), (2, 2), (2, 2), (0, 0)),
    ]
    for x, kernel, stride, pad in averages:
        for include in (True, False):
            attrs = {"kernel": kernel, "stride": stride, "pad": pad}
            s.open("avg_pool2d", **attrs, ceil_mode=False, count_include_pad=include)
            s.close(y=F.avg_pool2d(s.real("x", *x), kernel, stride, pad, False, include))
    for x, size in (((2, 5, 7, 7), (1, 1)), ((1, 2, 7, 5), (3, 2)), ((1, 2, 3, 4), (5, 4))):
        s.open("adaptive_avg_pool2d", output_size=size)
        s.close(y=F.adaptive_avg_pool2d(s.real("x", *x), size))


def norms(s):
    cases = [  # x, offset of x, training, momentum, eps
        ((4, 3, 5, 5), 0.0, True, 0.1, 1e-5),
        ((8, 6), 0.0, True, 0.1, 1e-5),
        ((2, 37, 3, 2), 0.0, True, 0.3, 1e-3),
        ((4, 2, 4, 4), 1000.0, True, 0.1, 1e-5),  # E[x^2] - E[x]^2 loses the variance here
        ((2, 3, 4, 4), 0.0, False, 0.1, 1e-5),
    ]
    for x, offset, training, momentum, eps in cases:
        s.open("batch_norm", training=training, momentum=momentum, eps=eps)
        channels = x[1]
        data = s.real("x", *x, offset=offset)
        weight = s.real("weight", channels, bound=0.5, offset=1.0)
        bias = s.real("bias", channels)
        running_mean = s.real("running_mean", channels)
        running_var = s.real("running_var", channels, bound=0.5, offset=1.0)
        y = F.batch_norm(data, running_mean, running_var, weight, bias, training, momentum, eps)
        outputs = {"y": y, "running_mean": running_mean, "running_var": running_var}
        if training:
            axes = [axis for axis in range(len(x)) if axis != 1]
            outputs["mean"] = data.mean(axes)
            outputs["rstd"] = (data.var(axes, unbiased=False) + eps).rsqrt()
        s.close(**outputs)
    layers = [
        ((4, 7), 1, True, 0.0),
        ((2, 3, 4), 2, True, 0.0),
        ((3, 5), 1, False, 0.0),
        ((5, 37), 1, True, 1000.0),
    ]
    for x, axes, affine, offset in layers:
        s.open("layer_norm", normalized_axes=axes, eps=1e-5)
        data, inner = s.real("x", *x, offset=offset), x[-axes:]
        weight = s.real("weight", *inner, bound=0.5, offset=1.0) if affine else None
        bias = s.real("bias", *inner) if affine else None
        s.close(y=F.layer_norm(data, inner, weight, bias, 1e-5))


def activations(s):
    for op, function in (("softmax", F.softmax), ("log_softmax", F.log_softmax)):
        for x, axis, bound in (
            ((3, 7), -1, 1.0),
            ((2, 5, 3), 1, 1.0),
            ((4, 6), 0, 1.0),
            ((2, 9), -1, 1000.0),
        ):
            s.open(op, axis=axis)
            s.close(y=function(s.real("x", *x, bound=bound), axis))
    for approximate in ("none", "tanh"):
        for bound in (4.0, 30.0):
            s.open("gelu", approximate=approximate)
            s.close(y=F.gelu(s.real("x", 4, 8, bound=bound), approximate=approximate))


def losses(s):
    def case(x, reduction, smoothing, ignore, weighted=False):
        s.open("cross_entropy", reduction=reduction, label_smoothing=smoothing, ignore_index=ignore)
        logits = s.real("logits", *x, bound=4.0)
        labels = s.index("labels", x[0], *x[2:], modulo=x[1])
        weight = s.real("weight", x[1], bound=0.5, offset=1.0) if weighted else None
        s.close(
            loss=F.cross_entropy(logits, labels, weight, None, ignore, None, reduction, smoothing)
        )

    for reduction in ("mean", "sum", "none"):
        for smoothing in (0.0, 0.1):
            for ignore in (-100, 2):
                case((9, 5), reduction, smoothing, ignore)
    case((9, 5), "mean", 0.0, -100, weighted=True)
    case((9, 5), "mean", 0.1, 2, weighted=True)
    case((2, 4, 3), "mean", 0.0, 1)  # classes stand in axis 1


def lookups_and_attention(s):
    s.open("embedding")
    table = s.real("weight", 11, 5)
    s.close(y=F.embedding(s.index("ids", 3, 4, modulo=11), table))
    cases = [  # query length, key length, causal, scale (null: 1 / sqrt(head size))
        (6, 6, True, None),
        (6, 6, False, None),
        (5, 5, True, 0.3),
        (3, 5, True, None),
        (70, 70, True, None),  # not square: the mask is aligned at the top left
    ]
    for rows, columns, causal, scale in cases:
        s.open("sdpa", causal=causal, scale=scale)
        query = s.real("q", 1, 2, rows, 4, bound=2.0)
        key = s.real("k", 1, 2, columns, 4, bound=2.0)
        value = s.real("v", 1, 2, columns, 4)
        s.close(y=F.scaled_dot_product_attention(query, key, value, is_causal=causal, scale=scale))


def optimizers(s):
    def case(op, kind, **attrs):
        s.open(op, **attrs, steps=3)
        param = torch.nn.Parameter(s.real("param", 3, 4))
        if "beta1" in attrs:
            attrs["betas"] = (attrs.pop("beta1"), attrs.pop("beta2"))
        optimizer = kind([param], **attrs)
        after = {}
        for step in range(3):
            param.grad = s.real(f"grad.{step}", 3, 4)
            optimizer.step()
            after[f"param.{step}"] = param.detach().clone()
        s.close(**after)  # param.<step>: the parameter after the update with grad.<step>

    def sgd(momentum, dampening, weight_decay, nesterov):
        case(
            "sgd",
            torch.optim.SGD,
            lr=0.1,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    def adam(op, kind, weight_decay, eps):
        case(op, kind, lr=0.01, beta1=0.9, beta2=0.99, eps=eps, weight_decay=weight_decay)

    sgd(0.0, 0.0, 0.0, False)
    sgd(0.9, 0.0, 0.01, False)
    sgd(0.9, 0.0, 0.01, True)
    sgd(0.9, 0.5, 0.01, False)  # the first step is not dampened
    for eps in (1e-8, 0.1):
        adam("adam", torch.optim.Adam, 0.0, eps)
        adam("adam", torch.optim.Adam, 0.1, eps)
        adam("adamw", torch.optim.AdamW, 0.1, eps)


def all_samples():
    samples = Samples()
    for family in (
        convolutions,
        pools,
        norms,
        activations,
        losses,
        lookups_and_attention,
        optimizers,
    ):
        family(samples)
    return samples.rows
