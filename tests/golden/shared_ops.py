# SPDX-License-Identifier: Apache-2.0
"""Results and gradients of single ops by PyTorch in float64, for tests/ops/shared_ops_test.cc.

A script calls case() for each sample and write() at the end:

    ops = SharedOps("elementwise")
    ops.case("lerp", torch.lerp, [real(3, 4), real(4), real(3, 1)])
    ops.case("polygamma", lambda x: torch.polygamma(2, x), [real(5, offset=2)], n=2)
    ops.write()                                      # tests/golden/shared_elementwise.json

Inputs are made from seeds, as in golden_data.py, or given as numbers (with NaN and infinities). The gradient is that of
sum(output * uniform("<prefix>/dy<i>")) over the floating outputs.
"""

import collections
import json
import math
import pathlib

import numpy as np
import torch
from golden_data import describe, indices, uniform


def real(*shape, bound=1.0, offset=0.0):
    return {"shape": list(shape), "bound": bound, "offset": offset}


def complexes(*shape, bound=1.0, offset=0.0):
    """Complex numbers with such real and imaginary parts."""
    return {**real(*shape, bound=bound, offset=offset), "complex": True}


def index(*shape, modulo):
    return {"shape": list(shape), "modulo": modulo}


def values(numbers, dtype="float64"):
    """Numbers as given; complex128 are written as pairs."""
    array = np.asarray(numbers, dtype=dtype)
    if dtype == "complex128":
        parts = np.stack([array.real, array.imag], -1)
        return {"shape": list(array.shape), "values": [_number(v) for v in parts.ravel().tolist()], "dtype": dtype,
                "complex": True}
    return {"shape": list(array.shape), "values": [_number(v) for v in array.ravel().tolist()], "dtype": dtype}


def _number(v):
    return v if not isinstance(v, float) or math.isfinite(v) else str(v)


def _make(spec, name):
    if spec is None:
        return None
    if "modulo" in spec:
        return torch.from_numpy(indices(name, spec["shape"], spec["modulo"]))
    if spec.get("complex"):
        pairs = [*spec["shape"], 2]
        array = np.asarray([float(v) for v in spec["values"]]).reshape(pairs) if "values" in spec else \
            uniform(name, pairs, spec["bound"]) + spec["offset"]
        return torch.view_as_complex(torch.as_tensor(array))
    if "values" in spec:
        array = np.asarray([float(v) if isinstance(v, str) else v for v in spec["values"]], dtype=spec["dtype"])
        return torch.from_numpy(array.reshape(spec["shape"]))
    return torch.as_tensor(uniform(name, spec["shape"], spec["bound"]) + spec["offset"])


def _parts(tensor):
    """Complex numbers as pairs of real ones."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _describe(name, tensor):
    tensor = _parts(tensor)
    array = tensor.detach().to(torch.float64).contiguous().numpy()
    if np.isfinite(array).all():
        return describe(name, array)
    return {"shape": list(array.shape), "values": [_number(v) for v in array.ravel().tolist()]}


class SharedOps:
    def __init__(self, name):
        self.name = name
        self.rows = []
        self.counts = collections.Counter()

    def case(self, op, function, inputs, gradient=True, **attrs):
        """`function` takes the tensors and gives one or several; `attrs` are those of Rutile's op."""
        prefix = f"shared/{op}/{self.counts[op]}"
        row = {"op": op, "index": self.counts[op], "attrs": {k: _number(v) for k, v in attrs.items()},
               "inputs": inputs}
        self.counts[op] += 1
        tensors = [_make(spec, f"{prefix}/x{i}") for i, spec in enumerate(inputs)]
        leaves = [t.requires_grad_() if gradient and t is not None and (t.is_floating_point() or t.is_complex()) else None
                  for t in tensors]
        out = function(*tensors)
        out = [out] if isinstance(out, torch.Tensor) else list(out)
        row["outputs"] = [_describe(f"{prefix}/y{i}", y) for i, y in enumerate(out)]
        total = sum((_parts(y) * torch.as_tensor(uniform(f"{prefix}/dy{i}", list(_parts(y).shape), 1.0))).sum()
                    for i, y in enumerate(out) if y.requires_grad)
        if isinstance(total, torch.Tensor):
            used = [x for x in leaves if x is not None]
            grads = iter(torch.autograd.grad(total, used, allow_unused=True))
            row["grads"] = []
            for i, x in enumerate(leaves):
                g = next(grads) if x is not None else None
                row["grads"].append(None if g is None else _describe(f"{prefix}/dx{i}", g))
        self.rows.append(row)

    def write(self):
        path = pathlib.Path(__file__).with_name(f"shared_{self.name}.json")
        lines = ",\n".join(json.dumps(r, allow_nan=False, separators=(",", ":")) for r in self.rows)
        path.write_text('{"samples": [\n' + lines + "\n]}\n")
        print(f"{path.name}: {len(self.rows)} samples of {len(self.counts)} ops, {path.stat().st_size} bytes")
