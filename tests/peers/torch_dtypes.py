# SPDX-License-Identifier: Apache-2.0
"""Which element types PyTorch's CPU ops take that ours refuse, or answer in another type or with other values.

    python tests/peers/torch_dtypes.py [PyTorch's op names]

Needs PyTorch and expecttest beside rutile; not part of `make test`. The first samples of each op run in every type that
PyTorch names for it. Lines for each op: types that are refused (all samples of the type), types of results that differ, and
values that do, beyond what rounding to the type explains (torch_samples.py has f64).
"""

import collections
import sys
import warnings

import numpy as np
import rutile
import torch
from rutile import Tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch_names import Unmapped
from torch_samples import Sample, close, flat, numpy_of, ours

SAMPLES = 4
TYPES = {torch.bool: "bool", torch.uint8: "u8", torch.int8: "i8", torch.int16: "i16", torch.int32: "i32", torch.int64: "i64",
         torch.float16: "f16", torch.bfloat16: "bf16", torch.float32: "f32", torch.float64: "f64", torch.complex64: "c64",
         torch.complex128: "c128"}
# Of the largest element: sums of low precision round on the way.
ROUNDING = {torch.float16: 1e-2, torch.bfloat16: 6e-2, torch.float32: 1e-3, torch.complex64: 1e-3}


def tensor(v):
    v = v.detach().resolve_conj()
    return Tensor(v.float().numpy()).astype("bfloat16") if v.dtype == torch.bfloat16 else Tensor(v.numpy())


def kind(dtype):
    return str(dtype).split(".")[-1].lower()


def outcome(op, f, sample):
    s = Sample(op.name, sample)
    try:
        want = [w for w in flat(s.torch(op, s.variables)) if isinstance(w, torch.Tensor)]
    except (RuntimeError, TypeError, ValueError, IndexError):
        return "skipped", ""
    try:
        got = [g for g in flat(s.rutile(f, [tensor(v) for v in s.variables])) if isinstance(g, Tensor)]
    except Unmapped:
        return "skipped", ""
    except (rutile.Error, TypeError, ValueError, IndexError, RuntimeError, AttributeError) as e:
        return "refused", str(e).split("|")[0].strip()
    for g, w in zip(got, want, strict=False):
        if kind(g.dtype) != kind(w.dtype):
            return "type", f"{kind(g.dtype)} for {kind(w.dtype)}"
    for g, w in zip(got, want, strict=False):
        if what := differs(g, w):
            return "value", what
    return "same", ""


def differs(g, w):
    g = (g.astype("float32") if "bfloat" in str(g.dtype).lower() else g).asnumpy()
    rounding, w = ROUNDING.get(w.dtype), numpy_of(w)
    if rounding is None or g.shape != w.shape or not w.size:
        return close(g, w)
    finite = np.isfinite(w)
    if not np.array_equal(np.isfinite(g), finite):
        return "not finite elsewhere"
    far = np.abs(np.where(finite, g, 0).astype(np.complex128) - np.where(finite, w, 0)).max()
    return f"off by {far:.2g}" if far > rounding * max(1, np.abs(np.where(finite, w, 0)).max()) else ""


def main(only):
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    kinds = collections.Counter()
    for op in op_db:
        f = ours(op.name)[0]
        if f is None or only and op.name not in only:
            continue
        refused, other, values, why = [], [], collections.defaultdict(list), collections.Counter()
        for dtype, short in TYPES.items():
            if dtype not in op.dtypes:
                continue
            seen = collections.Counter()
            for n, sample in enumerate(op.sample_inputs("cpu", dtype)):
                if n == SAMPLES:
                    break
                what, text = outcome(op, f, sample)
                seen[what] += 1
                why[text] += what == "refused"
                if what == "type":
                    other.append(f"{short}: {text}")
                elif what == "value":
                    values[short].append(text)
            if seen["refused"] and not seen["same"] + seen["type"] + seen["value"]:
                refused.append(short)
                kinds["refused"] += 1
            elif seen["type"]:
                kinds["another type"] += 1
            elif seen["value"]:
                kinds["other values"] += 1
            elif seen["same"]:
                kinds["same"] += 1
        if refused:
            print(f"{op.name}: refuses {' '.join(refused)} ({why.most_common(1)[0][0][:90]})", flush=True)
        if values:
            print(f"{op.name}: other values {', '.join(f'{k} ({len(v)}: {v[0]})' for k, v in values.items())}", flush=True)
        if other:
            print(f"{op.name}: {', '.join(dict.fromkeys(other))}", flush=True)
    print(" ".join(f"{k} {n}" for k, n in sorted(kinds.items())))


if __name__ == "__main__":
    main(sys.argv[1:])
