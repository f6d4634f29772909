# SPDX-License-Identifier: Apache-2.0
"""Which element types PyTorch's CPU ops take that ours refuse, or answer in another type.

    python tests/peers/torch_dtypes.py [PyTorch's op names]

Needs PyTorch and expecttest beside rutile; not part of `make test`. The first samples of each op run in every type that
PyTorch names for it. A line for each op: types that are refused (all samples of the type) and types of results that differ.
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
from torch_samples import Sample, flat, ours

SAMPLES = 4
TYPES = {torch.bool: "bool", torch.uint8: "u8", torch.int8: "i8", torch.int16: "i16", torch.int32: "i32", torch.int64: "i64",
         torch.float16: "f16", torch.bfloat16: "bf16", torch.float32: "f32", torch.float64: "f64", torch.complex64: "c64",
         torch.complex128: "c128"}


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
    return "same", ""


def main(only):
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    kinds = collections.Counter()
    for op in op_db:
        f = ours(op.name)[0]
        if f is None or only and op.name not in only:
            continue
        refused, other, why = [], [], collections.Counter()
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
            if seen["refused"] and not seen["same"] + seen["type"]:
                refused.append(short)
                kinds["refused"] += 1
            elif seen["type"]:
                kinds["another type"] += 1
            elif seen["same"]:
                kinds["same"] += 1
        if refused:
            print(f"{op.name}: refuses {' '.join(refused)} ({why.most_common(1)[0][0][:90]})", flush=True)
        if other:
            print(f"{op.name}: {', '.join(dict.fromkeys(other))}", flush=True)
    print(" ".join(f"{k} {n}" for k, n in sorted(kinds.items())))


if __name__ == "__main__":
    main(sys.argv[1:])
