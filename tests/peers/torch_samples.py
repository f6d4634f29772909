# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own samples of its ops, run through ours: values and gradients in float64 and complex128.

    python tests/peers/torch_samples.py [PyTorch's op names]

Needs PyTorch and expecttest beside rutile; not part of `make test`. A line for each op that differs, refuses samples, or
is missing by its name, then a table. The exit status is 1 if a value or gradient differs.
"""

import collections
import inspect
import sys
import warnings

import numpy as np
import rutile
import torch
from rutile import Tensor, ops
from rutile.ops import table
from torch.testing._internal.common_methods_invocations import op_db
from torch_more_names import ADAPTERS, SETTLED
from torch_names import CASTS, DROPPED, Unmapped

SAMPLES = 1000
# PyTorch's argument -> what ours may be called.
RENAMED = {"dim": ("axis", "axes"), "dims": ("axes", "axis"), "keepdim": ("keepdims",), "kernel_size": ("kernel",),
           "padding": ("pad", "padding"), "output_padding": ("output_pad",), "correction": ("correction", "ddof"),
           "is_causal": ("causal",), "attn_mask": ("mask",), "num_classes": ("depth",), "dtype": ("dtype",),
           "dim1": ("axis1",), "dim2": ("axis2",)}
# Another function under the same name, or random numbers.
OTHER = {"arange", "unfold", "vander", "fill", "cond", "normal", "uniform", "multinomial"}
# Differences that are meant.
KNOWN = {"hypot": "gradient 0 at (0, 0)", "nextafter": "no gradient", "pow": "the gradient of 0^i, which is NaN", "cov": "weights of f32 are summed in f64", "nn.functional.ctc_loss": "ours is the gradient by log-probabilities as they are, PyTorch's that by their logits",
         **dict.fromkeys(("cholesky_inverse", "cholesky_solve"), "ours is the gradient of the triangle that is read"),
         **dict.fromkeys((f"special.bessel_{k}" for k in ("j0", "j1", "y0", "y1")), "PyTorch's have 6 to 9 digits, ours 15 (mpmath)")}
# PyTorch's further results are not ours.
FIRST = {"linalg.lstsq"}
RANDOM = ("drop", "rand", "rrelu", "gumbel", "bernoulli", "empty")


def ours(name):
    last = name.split(".")[-1]
    if name in ADAPTERS:
        return ADAPTERS[name], ""
    if name == "linalg.polar":  # PyTorch's other polar has two inputs
        return None, "missing"
    if last in OTHER or any(r in last for r in RANDOM) or name.startswith(("masked.", "sparse.")):
        return None, "other"
    for candidate in (name.replace(".", "_"), last):
        for module in (table, ops):
            if callable(getattr(module, candidate, None)):
                return getattr(module, candidate), ""
    return None, "missing"


def argument_names(f):
    try:
        return list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        text = getattr(f, "__text_signature__", None) or "()"
        return [w.split("=")[0].strip() for w in text[1:-1].split(",")]


def plain(v):
    """PyTorch's dtypes by their names."""
    if isinstance(v, list | tuple):
        return type(v)(plain(x) for x in v) if not isinstance(v, torch.Size) else tuple(v)
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    return str(v).split(".")[1] if isinstance(v, torch.dtype) else v


class Sample:
    """One call: its float tensors are what is differentiated by."""

    def __init__(self, name, sample):
        self.name, self.variables = name, []
        self.call = tuple(self.place(v) for v in (sample.input, sample.args, sample.kwargs))

    def place(self, v):
        if isinstance(v, torch.Tensor):
            self.variables.append(v.detach().clone())
            return self, len(self.variables) - 1
        if isinstance(v, torch.Size | list | tuple):
            return [self.place(x) for x in v] if isinstance(v, list) else tuple(self.place(x) for x in v)
        return {k: self.place(x) for k, x in v.items()} if isinstance(v, dict) else v

    def fill(self, v, tensors):
        if isinstance(v, tuple) and len(v) == 2 and v[0] is self:
            return tensors[v[1]]
        if isinstance(v, list | tuple):
            return type(v)(self.fill(x, tensors) for x in v)
        return {k: self.fill(x, tensors) for k, x in v.items()} if isinstance(v, dict) else v

    def torch(self, op, tensors):
        x, args, kwargs = (self.fill(v, tensors) for v in self.call)
        return SETTLED.get(self.name, (lambda r: r,))[0](op(x, *args, **kwargs))

    def rutile(self, f, tensors):
        return SETTLED.get(self.name, (None, lambda r: r))[1](self.called(f, tensors))

    def called(self, f, tensors):
        x, args, kwargs = (plain(self.fill(v, tensors)) for v in self.call)
        kwargs = {k: v for k, v in kwargs.items() if k not in DROPPED}
        if self.name in CASTS and kwargs.get("dtype") is not None:
            x = x.astype(kwargs.pop("dtype"))
        if self.name in ADAPTERS:
            return f(x, *args, **kwargs)
        names, renamed = argument_names(f), {}
        for k, v in kwargs.items():
            k = next((n for n in (k, *RENAMED.get(k, ())) if n in names), k)
            renamed[k] = (v,) if k == "axes" and isinstance(v, int) else v
        return f(x, *args, **{k: v for k, v in renamed.items() if v is not None})


def flat(result):
    return [t for r in result for t in flat(r)] if isinstance(result, list | tuple) else [result]


def pairs_of(array):
    """Complex numbers as pairs of real ones."""
    return np.stack([array.real, array.imag], -1) if np.iscomplexobj(array) else array


def close(got, want):
    if np.iscomplexobj(got) != np.iscomplexobj(want):
        return f"{got.dtype} for {want.dtype}"
    got, want = pairs_of(got), pairs_of(want)
    if got.shape != want.shape:
        return f"shape {list(got.shape)} for {list(want.shape)}"
    if want.dtype == bool or got.dtype == bool:
        return "" if np.array_equal(got.astype(bool), want.astype(bool)) else "other truth values"
    got, want = got.astype(np.float64), want.astype(np.float64)
    if np.allclose(got, want, rtol=1e-6, atol=1e-9, equal_nan=True):
        return ""
    return f"off by {np.nanmax(np.abs(got - want)):.2g}"


def numpy_of(tensor):
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)


def compare(op, f, sample):
    """(kind, what): kind is "same", "skipped" (PyTorch itself refuses), "refused" or "differs"."""
    s = Sample(op.name, sample)
    by = [i for i, v in enumerate(s.variables) if v.is_floating_point() or v.is_complex()]
    for i in by:
        s.variables[i].requires_grad_()
    try:
        want = flat(s.torch(op, s.variables))
    except (RuntimeError, TypeError, ValueError, IndexError) as e:
        return "skipped", str(e)
    tensors = [Tensor(v.detach().resolve_conj().numpy()) for v in s.variables]
    try:
        got = flat(s.rutile(f, tensors))
    except Unmapped as e:
        return "unmapped", str(e)
    except (rutile.Error, TypeError, ValueError, IndexError, RuntimeError, AttributeError) as e:
        return "refused", str(e).split("|")[0].strip()
    pairs = [(w, g) for w, g in zip(want, got, strict=False) if isinstance(w, torch.Tensor)]
    if op.name in FIRST:
        want, pairs = want[:1], pairs[:1]
    if len(want) > len(got):
        return "differs", f"{len(got)} results for {len(want)}"
    for w, g in pairs:
        g = g.astype("float32") if "bfloat" in str(g.dtype).lower() else g
        if what := close(g.asnumpy(), numpy_of(w)):
            return "differs", what
    return compare_gradients(s, f, by, tensors, [w for w, _ in pairs])


def compare_gradients(s, f, by, tensors, want):
    used = [(i, w) for i, w in enumerate(want) if w.requires_grad and w.numel()]
    if not used or not by:
        return "same", ""
    used = [(i, torch.view_as_real(w.resolve_conj()) if w.is_complex() else w) for i, w in used]
    weights = [np.random.default_rng(i).uniform(0.5, 1.5, tuple(w.shape)) for i, w in used]
    total = sum((w * torch.from_numpy(c)).sum() for (_, w), c in zip(used, weights, strict=True))
    try:
        expected = torch.autograd.grad(total, [s.variables[i] for i in by], allow_unused=True)
    except RuntimeError as e:
        return "skipped", str(e)

    def loss(*variables):
        given = list(tensors)
        for i, v in zip(by, variables, strict=True):
            given[i] = v
        results = [ops.view_as_real(r) if ops.is_complex(r) else r for r in flat(s.rutile(f, given))]
        return sum((ops.sum(results[i] * Tensor(c)) for (i, _), c in zip(used, weights, strict=True)), Tensor(0.0, "float64"))

    try:
        got = rutile.grad(loss, tuple(range(len(by))))(*[tensors[i] for i in by])
    except (rutile.Error, TypeError, ValueError, IndexError, RuntimeError) as e:
        return "refused", "gradient: " + str(e).split("|")[0].strip()
    for g, w in zip(flat(got), expected, strict=True):
        if what := close(g.asnumpy(), np.zeros(tuple(g.shape), g.asnumpy().dtype) if w is None else numpy_of(w)):
            return "differs", "gradient " + what
    return "same", ""


def main(only):
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    kinds, missing = collections.Counter(), []
    for op in op_db:
        if only and op.name not in only:
            continue
        f, why = ours(op.name)
        if f is None:
            missing += [op.name] if why == "missing" else []
            continue
        dtypes = [next((d for d in (torch.float64, torch.int64, torch.bool) if d in op.dtypes), None), torch.complex128]
        for dtype in (d for d in dtypes if d in op.dtypes):
            seen = collections.Counter()
            for n, sample in enumerate(op.sample_inputs("cpu", dtype)):
                if n == SAMPLES:
                    break
                seen[compare(op, f, sample)] += 1
            for (kind, _), count in seen.items():
                kinds["known" if kind == "differs" and op.name in KNOWN else kind] += count
            for (kind, what), count in seen.most_common():
                if kind in ("refused", "differs"):
                    meant = f" ({KNOWN[op.name]})" if kind == "differs" and op.name in KNOWN else ""
                    of = " of complex numbers" if dtype == torch.complex128 else ""
                    print(f"{op.name}: {count}{of} {kind}{meant}: {what[:150]}", flush=True)
    print("missing by name:", ", ".join(sorted(set(missing))))
    print(" ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    return kinds["differs"] > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
