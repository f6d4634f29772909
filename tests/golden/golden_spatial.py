# SPDX-License-Identifier: Apache-2.0
"""float64 results and gradients of the ops on images (spatial_f64.json)."""

import collections

import torch
import torch.nn.functional as F
from golden_data import describe, uniform


class Samples:
    """Sample i of an op: its inputs, in the op's order, are drawn from "spatial/<op>/<i>/<k>"; outputs are those of
    the op and the gradients of sum(out.0 * uniform("spatial/<op>/<i>/seed")) by the floating inputs."""

    def __init__(self):
        self.rows = []
        self.counts = collections.Counter()

    def add(self, op, attrs, inputs, function, no_gradient=()):
        """inputs: shape, or (shape, bound, offset), or a tensor of integers, or None."""
        index = self.counts[op]
        self.counts[op] += 1
        prefix = f"spatial/{op}/{index}"
        tensors, rows = [], []
        for k, spec in enumerate(inputs):
            if spec is None:
                tensors.append(None)
                rows.append(None)
                continue
            if isinstance(spec, torch.Tensor):
                tensors.append(spec)
                rows.append({"shape": list(spec.shape), "integers": spec.flatten().tolist()})
                continue
            shape, bound, offset = spec if isinstance(spec[0], tuple) else (spec, 1.0, 0.0)
            tensors.append(torch.from_numpy(uniform(f"{prefix}/{k}", shape, bound) + offset))
            rows.append({"shape": list(shape), "bound": bound, "offset": offset})
        leaves = [
            (k, t.requires_grad_())
            for k, t in enumerate(tensors)
            if t is not None and t.is_floating_point() and k not in no_gradient
        ]
        out = function(*tensors)
        out = out if isinstance(out, tuple) else (out,)
        seed = torch.from_numpy(uniform(f"{prefix}/seed", tuple(out[0].shape), 1.0))
        grads = torch.autograd.grad((out[0] * seed).sum(), [t for _, t in leaves])
        outputs = {}
        for i, y in enumerate(out):
            outputs[f"out.{i}"] = describe(f"{prefix}/out.{i}", y.detach().contiguous().numpy())
        for (k, _), g in zip(leaves, grads):
            outputs[f"grad.{k}"] = describe(f"{prefix}/grad.{k}", g.contiguous().numpy())
        self.rows.append(
            {"op": op, "index": index, "attrs": attrs, "inputs": rows, "outputs": outputs}
        )


def convolutions(s):
    def case(dims, x, weight, stride=1, pad=0, dilation=1, groups=1, bias=True):
        a = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups}
        f = {1: F.conv1d, 3: F.conv3d}[dims]
        inputs = [x, weight] + ([(weight[0],)] if bias else [])
        s.add(
            f"conv{dims}d",
            a,
            inputs,
            lambda x, w, b=None: f(x, w, b, stride, pad, dilation, groups),
        )

    case(1, (2, 3, 9), (4, 3, 3), pad=1)
    case(1, (2, 4, 11), (6, 2, 4), stride=2, pad=3, dilation=2, groups=2)
    case(1, (1, 6, 8), (6, 1, 3), groups=6, bias=False)
    case(3, (2, 3, 4, 5, 6), (4, 3, 3, 3, 3), pad=1)
    case(3, (1, 4, 5, 7, 6), (6, 2, 2, 3, 1), (1, 2, 3), (0, 1, 2), (2, 1, 1), 2)

    def transposed(dims, x, weight, stride=1, pad=0, output_pad=0, dilation=1, groups=1):
        a = {"stride": stride, "pad": pad, "output_pad": output_pad}
        a.update(dilation=dilation, groups=groups)
        f = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[dims]
        s.add(
            f"conv_transpose{dims}d",
            a,
            [x, weight, (weight[1] * groups,)],
            lambda x, w, b: f(x, w, b, stride, pad, output_pad, groups, dilation),
        )

    transposed(1, (2, 3, 5), (3, 4, 3), 2, 1, 1)
    transposed(1, (2, 4, 5), (4, 2, 3), 2, 1, 3, 4, 2)
    transposed(2, (2, 3, 4, 5), (3, 4, 3, 2), (1, 2), (2, 0), (1, 2), 3)
    transposed(3, (2, 3, 2, 3, 2), (3, 4, 3, 2, 2), (2, 1, 2), (1, 0, 0), (1, 0, 1))
    transposed(3, (1, 3, 2, 3, 3), (3, 4, 2, 2, 2), 1, (1, 0, 0), (1, 0, 2), (2, 1, 3))


def pools(s):
    for k, st, p, ceil, include in (
        (2, 2, 0, False, True),
        (3, 2, 1, True, True),
        (3, 2, 1, True, False),
        (3, 1, 1, False, False),
    ):
        a = {"kernel": k, "stride": st, "pad": p, "ceil_mode": ceil, "count_include_pad": include}
        s.add("avg_pool1d", a, [(2, 3, 8)], lambda x: F.avg_pool1d(x, k, st, p, ceil, include))
        s.add("avg_pool2d", a, [(1, 2, 8, 7)], lambda x: F.avg_pool2d(x, k, st, p, ceil, include))
        s.add(
            "avg_pool3d", a, [(1, 2, 4, 6, 5)], lambda x: F.avg_pool3d(x, k, st, p, ceil, include)
        )
    a = {"kernel": (1, 2, 3), "stride": (2, 1, 2), "divisor_override": 5}
    s.add(
        "avg_pool3d",
        a,
        [(2, 4, 4, 5)],
        lambda x: F.avg_pool3d(x, (1, 2, 3), (2, 1, 2), divisor_override=5),
    )
    for k, st, p, d, ceil in (
        (2, 2, 0, 1, False),
        (3, 2, 1, 1, True),
        (2, 3, 1, 2, True),
        (3, 1, 0, 2, False),
    ):
        a = {"kernel": k, "stride": st, "pad": p, "dilation": d, "ceil_mode": ceil}
        for dims, x in ((1, (2, 3, 9)), (2, (1, 2, 9, 8)), (3, (1, 2, 5, 7, 6))):
            f = getattr(F, f"max_pool{dims}d")
            s.add(f"max_pool{dims}d", a, [x], lambda x: f(x, k, st, p, d, ceil, True))


def other_pools(s):
    shapes = {1: (2, 3, 11), 2: (1, 2, 7, 5), 3: (1, 2, 5, 3, 4)}
    for dims, x in shapes.items():
        size = (4, 3, 6)[:dims]
        a = {"output_size": size if dims > 1 else size[0]}
        average = getattr(F, f"adaptive_avg_pool{dims}d")
        largest = getattr(F, f"adaptive_max_pool{dims}d")
        for shape in (x, x[1:]):
            s.add(f"adaptive_avg_pool{dims}d", a, [shape], lambda x: average(x, size))
            s.add(f"adaptive_max_pool{dims}d", a, [shape], lambda x: largest(x, size, True))
        power = getattr(F, f"lp_pool{dims}d")
        for p, k, st, ceil in ((2, 3, 2, False), (3, 2, None, True), (1.5, 2, 1, False)):
            a = {"norm_type": p, "kernel": k, "stride": st or 0, "ceil_mode": ceil}
            s.add(f"lp_pool{dims}d", a, [(x, 0.5, 1.0)], lambda x: power(x, p, k, st, ceil))
        pool = getattr(F, f"max_pool{dims}d")
        unpool = getattr(F, f"max_unpool{dims}d")
        for k, st, p, given in ((2, 2, 0, False), (2, 2, 0, True), (3, 3, 1, True)):
            image = x if given else (2, 3, 6, 4, 4)[: dims + 2]
            full = torch.arange(float(torch.tensor(image).prod())).mul(7.3).sin().view(image)
            y, indices = pool(full, k, st, p, return_indices=True)
            out = x[2:] if given else None
            a = {"kernel": k, "stride": st, "pad": p, "output_size": out}
            s.add(
                f"max_unpool{dims}d",
                a,
                [tuple(y.shape), indices],
                lambda v, i: unpool(v, i, k, st, p, out),
            )


def rearrangements(s):
    for x, k, d, p, st in (
        ((2, 3, 5, 6), 3, 1, 1, 1),
        ((1, 2, 7, 8), (2, 3), (2, 1), (1, 2), (1, 3)),
        ((3, 4, 6), 2, 1, 0, 2),
    ):
        a = {"kernel": k, "dilation": d, "pad": p, "stride": st}
        s.add("unfold", a, [x], lambda x: F.unfold(x, k, d, p, st))
        columns = tuple(F.unfold(torch.zeros(x), k, d, p, st).shape)
        a = {"output_size": x[-2:], **a}
        s.add("fold", a, [columns], lambda c: F.fold(c, x[-2:], k, d, p, st))
    s.add("pixel_shuffle", {"upscale_factor": 2}, [(2, 8, 3, 2)], lambda x: F.pixel_shuffle(x, 2))
    s.add(
        "pixel_unshuffle",
        {"downscale_factor": 3},
        [(2, 2, 6, 3)],
        lambda x: F.pixel_unshuffle(x, 3),
    )
    s.add("channel_shuffle", {"groups": 3}, [(2, 6, 2, 3)], lambda x: F.channel_shuffle(x, 3))


def grids(s):
    for dims, x, grid in ((2, (2, 3, 4, 5), (2, 3, 4, 2)), (3, (1, 2, 3, 2, 4), (1, 2, 2, 3, 3))):
        for mode in ("bilinear", "nearest", "bicubic")[: 5 - dims]:
            for padding in ("zeros", "border", "reflection"):
                for corners in (False, True):
                    a = {"mode": mode, "padding_mode": padding, "align_corners": corners}
                    s.add(
                        "grid_sample",
                        a,
                        [x, (grid, 1.7, 0.0)],
                        lambda x, g: F.grid_sample(x, g, mode, padding, corners),
                    )
    for size in ((2, 3, 4, 5), (2, 1, 2, 1, 3)):
        dims = len(size) - 2
        for corners in (False, True):
            a = {"size": size, "align_corners": corners}
            theta = (2, dims, dims + 1)
            s.add("affine_grid", a, [theta], lambda t: F.affine_grid(t, size, corners))


def norms(s):
    for x, groups in (((2, 6, 3, 4), 3), ((3, 8), 2), ((2, 4, 5), 1)):
        c = (x[1],)
        a = {"num_groups": groups, "eps": 1e-3}
        s.add("group_norm", a, [x, c, c], lambda x, w, b: F.group_norm(x, groups, w, b, 1e-3))
    for x in ((2, 3, 5), (2, 4, 3, 3), (1, 2, 2, 3, 2)):
        c = (x[1],)
        a = {"eps": 1e-5}
        s.add("instance_norm", a, [x, c, c], lambda x, w, b: F.instance_norm(x, weight=w, bias=b))
        for size in (2, 3, 5):
            a = {"size": size, "alpha": 0.5, "beta": 0.75, "k": 1.5}
            s.add(
                "local_response_norm",
                a,
                [x],
                lambda x: F.local_response_norm(x, size, 0.5, 0.75, 1.5),
            )


def distances(s):
    x = (3, 5)
    for p in (1.0, 2.0, 3.0):
        s.add("normalize", {"p": p}, [x], lambda x: F.normalize(x, p))
        a = {"p": p, "eps": 1e-3}
        s.add("pairwise_distance", a, [x, x], lambda x, y: F.pairwise_distance(x, y, p, 1e-3))
    s.add("cosine_similarity", {}, [(2, 4, 3), (4, 3)], lambda x, y: F.cosine_similarity(x, y))
    s.add("cosine_similarity", {"axis": -1}, [x, x], lambda x, y: F.cosine_similarity(x, y, -1))


def interpolations(s):
    def case(x, mode, size=None, scale=None, corners=None, antialias=False, recompute=None):
        a = {"mode": mode}
        if size is not None:
            a["size"] = list(size)
        if scale is not None:
            a["scale_factor"] = scale
        if corners is not None:
            a["align_corners"] = corners
        if antialias:
            a["antialias"] = True
        if recompute is not None:
            a["recompute_scale_factor"] = recompute
        s.add(
            "interpolate",
            a,
            [x],
            lambda x: F.interpolate(x, size, scale, mode, corners, recompute, antialias=antialias),
        )

    shapes = {1: (2, 3, 7), 2: (1, 2, 5, 7), 3: (1, 2, 3, 4, 5)}
    for dims, x in shapes.items():
        for mode in ("nearest", "nearest-exact", "area"):
            case(x, mode, size=(9, 4, 7)[:dims])
            case(x, mode, scale=2.0)
            case(x, mode, scale=0.6)
            case(x, mode, scale=1.7)
    for dims, mode in ((1, "linear"), (2, "bilinear"), (2, "bicubic"), (3, "trilinear")):
        x = shapes[dims]
        for corners in (False, True):
            case(x, mode, size=(9, 4, 7)[:dims], corners=corners)
            case(x, mode, size=(1, 1, 1)[:dims], corners=corners)
            case(x, mode, scale=2.0, corners=corners)
            case(x, mode, scale=1.3, corners=corners)
            case(x, mode, scale=0.6, corners=corners)
        case(x, mode, scale=1.3, corners=False, recompute=True)
        if dims == 2:
            for corners in (False, True):
                case((1, 2, 12, 10), mode, size=(5, 14), corners=corners, antialias=True)
                case((1, 2, 12, 10), mode, scale=0.45, corners=corners, antialias=True)


def all_samples():
    samples = Samples()
    for family in (convolutions, pools, other_pools, rearrangements, grids, norms, distances, interpolations):
        family(samples)
    return samples.rows
