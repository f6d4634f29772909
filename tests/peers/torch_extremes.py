# SPDX-License-Identifier: Apache-2.0
"""PyTorch's elementwise ops and reductions against ours on numbers at the edge: NaN, infinities, -0, denormals, the
largest and smallest of each type.

    python tests/peers/torch_extremes.py [PyTorch's op names]

Needs PyTorch and expecttest beside rutile; not part of `make test`. Unary ops get each number, binary ones each pair,
reductions rows of them. A line for each op, type and kind of difference with the first inputs that show it; differences
that are meant stand in KNOWN. The exit status is 1 if another one is found.
"""

import collections
import itertools
import sys
import types
import warnings

import numpy as np
import rutile
import torch
from rutile import Tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import BinaryUfuncInfo, ReductionOpInfo, UnaryUfuncInfo
from torch_names import Unmapped
from torch_samples import Sample, flat, numpy_of, ours

FLOATS = {torch.float32: (np.float32, 1e-5), torch.float64: (np.float64, 1e-9), torch.float16: (np.float16, 2e-3)}
INTS = {torch.int32: np.int32, torch.int64: np.int64, torch.uint8: np.uint8, torch.int8: np.int8}
ROWS = [[], [0], [1, -1], [2, 2, 2]]
# What is meant.
KNOWN = {**dict.fromkeys(("fmod", "remainder"), "PyTorch takes a denormal divisor for 0"), "i0": "of infinity", "heaviside": "NaN of NaN, as NumPy's",
         "ldexp": "2^y is not rounded to f16 first", "gcd": "of the smallest integer",
         **dict.fromkeys(("nn.functional.relu", "nn.functional.logsigmoid", "nn.functional.softshrink", "nn.functional.tanhshrink"), "the sign of a zero"),
         **dict.fromkeys(("sign", "sgn"), "NaN of NaN, as NumPy's"), **dict.fromkeys(("__rdiv__", "__rmod__"), "PyTorch multiplies by a reciprocal, or takes denormals for 0"),
         **dict.fromkeys(("igamma", "igammac"), "NaN of NaN; denormals are no zeros"), **dict.fromkeys(("all", "any"), "u8 gives bool"),
         **dict.fromkeys(("mean", "nanmean", "std", "var", "linalg.vector_norm"), "summed in a wider type: no overflow on the way"),
         **dict.fromkeys(("special.i1", "special.modified_bessel_i0", "special.modified_bessel_i1", "special.modified_bessel_k1",
                          "special.scaled_modified_bessel_k0", "special.scaled_modified_bessel_k1"), "infinity of infinity; denormals are no zeros"),
         "special.ndtr": "PyTorch loses the digits of small results", "special.zeta": "0 at infinity",
         **dict.fromkeys((f"special.bessel_{k}" for k in ("j0", "j1", "y0", "y1")), "PyTorch's have fewer digits, and NaN at infinity"),
         "special.spherical_bessel_j0": "made of sinc here"}
# PyTorch itself ends the process.
CRASHES = {"lcm"}


def numbers(dtype):
    """The numbers to try."""
    if dtype in INTS:
        info = np.iinfo(INTS[dtype])
        return np.array(sorted({info.min, info.max, info.max - 1, 0, 1, 2, 7} | ({-1, -2, -7} if info.min else {31})), INTS[dtype])
    info = np.finfo(FLOATS[dtype][0])
    positive = [0.0, float(info.smallest_subnormal), float(info.tiny), 1e-3, 0.5, 1.0, 1.5, 2.5, 7.0, 100.0, 20000.0,
                float(info.max), np.inf]
    return np.array([*positive, *(-v for v in positive), np.nan], FLOATS[dtype][0])


def rows(dtype):
    """Rows of up to three of them."""
    if dtype in INTS:
        info = np.iinfo(INTS[dtype])
        more = [[info.min], [info.max, 1], [info.min, info.max], [info.max, info.max, 2], [0, 0]]
    else:
        info = np.finfo(FLOATS[dtype][0])
        more = [[np.nan], [np.nan, 1], [1, np.nan, np.inf], [np.inf], [-np.inf], [np.inf, -np.inf], [np.inf, 1], [-np.inf, -np.inf],
                [-0.0], [0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0], [info.max, info.max], [info.max, -info.max], [info.tiny, info.tiny],
                [info.smallest_subnormal], [1e30 if info.max > 1e30 else 1e4] * 3, [-1e30 if info.max > 1e30 else -1e4, 1]]
    return [np.array(r, dtype=FLOATS[dtype][0] if dtype in FLOATS else INTS[dtype]) for r in ROWS + more
            if dtype not in INTS or all(info.min <= v <= info.max for v in r)]


def sample(*tensors, **kwargs):
    return types.SimpleNamespace(input=tensors[0], args=tensors[1:], kwargs=kwargs)


def cases(op, dtype):
    """(what it is, sample) for each call."""
    v = numbers(dtype)
    if isinstance(op, UnaryUfuncInfo):
        yield v, sample(torch.from_numpy(v))
    elif isinstance(op, BinaryUfuncInfo):
        if dtype in INTS and any(k in op.name for k in ("div", "fmod", "remainder")):
            v = v[v != 0]  # an error in both
        a, b = (np.array(c, v.dtype) for c in zip(*itertools.product(v, v), strict=True))
        yield list(zip(a, b, strict=True)), sample(torch.from_numpy(a), torch.from_numpy(b))
    else:
        for r in rows(dtype):
            yield [r], sample(torch.from_numpy(r))
            if op.supports_multiple_dims or op.name not in ("count_nonzero",):
                yield [r], sample(torch.from_numpy(r.reshape(1, -1)), dim=1)


def kind(v):
    if isinstance(v, bool | np.bool_) or np.issubdtype(np.asarray(v).dtype, np.integer):
        return str(v)
    return "nan" if np.isnan(v) else "-0" if v == 0 and np.signbit(v) else "0" if v == 0 else str(v)


def differences(inputs, got, want, tolerance):
    """(input, got, want) where the two differ."""
    if got.shape != want.shape:
        return [(inputs[0], f"shape {got.shape}", f"shape {want.shape}")]
    if np.iscomplexobj(got) or np.iscomplexobj(want):
        return []
    out = []
    for i, (g, w) in enumerate(zip(got.reshape(-1), want.reshape(-1), strict=True)):
        same = kind(g) == kind(w)
        if not same and np.isfinite(g) and np.isfinite(w) and not (g == 0 and w == 0):
            if not np.issubdtype(got.dtype, np.floating):
                same = g == w
            else:  # denormals may be 0
                tiny = np.finfo(got.dtype).tiny
                same = abs(float(g) - float(w)) <= max(tolerance * abs(float(w)), float(tiny))
        if not same:
            out.append((inputs[i] if len(inputs) == got.size else inputs[0], kind(g), kind(w)))
    return out


def call(op, f, s):
    """(ours, PyTorch's) results, or None where either refuses."""
    with torch.no_grad():
        try:
            want = flat(s.torch(op, s.variables))
        except (RuntimeError, TypeError, ValueError, IndexError) as e:
            return None, f"PyTorch: {str(e)[:60]}"
    try:
        got = flat(s.rutile(f, [Tensor(v.numpy()) for v in s.variables]))
    except Unmapped:
        return None, ""
    except (rutile.Error, TypeError, ValueError, IndexError, RuntimeError, AttributeError) as e:
        return None, str(e).split("|")[0].strip()
    got = [g.astype("float32") if "bfloat" in str(g.dtype).lower() else g for g in got]
    return [(g.asnumpy(), numpy_of(w)) for g, w in zip(got, want, strict=False) if isinstance(w, torch.Tensor)], ""


def main(only):
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    counts = collections.Counter()
    for op in op_db:
        if not isinstance(op, UnaryUfuncInfo | BinaryUfuncInfo | ReductionOpInfo) or op.name in CRASHES or only and op.name not in only:
            continue
        f = ours(op.name)[0]
        if f is None:
            continue
        for dtype in [t for t in (*FLOATS, *INTS) if t in op.dtypes]:
            found, refused = [], collections.Counter()
            for inputs, s in cases(op, dtype):
                pairs, why = call(op, f, Sample(op.name, s))
                if pairs is None:
                    refused[why] += bool(why) and not why.startswith("PyTorch")
                    continue
                tolerance = FLOATS[dtype][1] if dtype in FLOATS else 1e-5
                for g, w in pairs:
                    found += differences(inputs, g, w, tolerance)
            name = str(dtype).split(".")[-1]
            for why, n in refused.items():
                if n:
                    print(f"{op.name} {name}: refuses {n}: {why[:100]}", flush=True)
            counts["the same"] += not found
            if found:
                meant = KNOWN.get(op.name)
                counts["known" if meant else "differ"] += 1
                shown = "; ".join(f"{str(x)[:40]}: {g} for {w}" for x, g, w in found[:4])
                print(f"{op.name} {name}: {len(found)} differ{f' ({meant})' if meant else ''}: {shown}", flush=True)
    print(" ".join(f"{k} {n}" for k, n in sorted(counts.items())))
    return counts["differ"] > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
