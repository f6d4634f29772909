# SPDX-License-Identifier: Apache-2.0
"""ONNX's own node tests, run through our ops: which operators a converter can express, and whether values are equal.

    python tests/peers/onnx_samples.py [ONNX's operator names]

Needs the package onnx beside rutile; not part of `make test`. Graphs of several nodes (the bodies of ONNX's functions,
If, Loop, Scan) are run node by node. A line for each test that is not equal, then a table. The exit status is 1 if a
value differs.
"""

import collections
import sys
import warnings

import numpy as np
import onnx_layers  # noqa: F401  fills OPERATORS
import onnx_sequences  # noqa: F401
import rutile
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx_names import DTYPES, OPERATORS, OTHER_DTYPES, Unmapped, ints
from rutile import Tensor

# What their operators take last: how many results the node names.
COUNTED = {"MaxPool", "Split", "Dropout", "LayerNormalization", "SoftmaxCrossEntropyLoss", "RNN", "GRU", "LSTM", "Attention"}
# Differences that are meant: part of a test's name -> why.
KNOWN = {}


def to_tensor(v):
    if isinstance(v, np.ndarray | np.generic):
        v = np.asarray(v)
        if v.dtype.kind in "OUS":
            raise Unmapped("strings")
        if v.dtype.name == "bfloat16":
            return Tensor(v.astype(np.float32)).astype("bfloat16")
        if v.dtype.kind not in "biufc":
            raise Unmapped(v.dtype.name)
        return Tensor(v)
    raise Unmapped("sequences or optional values")


def attribute(a):
    v = helper.get_attribute_value(a)
    if a.type == a.TENSOR:
        if v.data_type in OTHER_DTYPES:
            raise Unmapped(OTHER_DTYPES[v.data_type])
        return to_tensor(numpy_helper.to_array(v))
    if isinstance(v, bytes):
        return v.decode()
    return [x.decode() if isinstance(x, bytes) else x for x in v] if isinstance(v, list | tuple) else v


def run_if(attrs, known, cond):
    return run_graph(attrs["then_branch" if bool(cond.asnumpy()) else "else_branch"], {}, known)


def run_loop(attrs, known, count, cond, *carried):
    body, i, carried = attrs["body"], 0, list(carried)
    n = len(carried)
    limit = None if count is None else ints(count)[0]
    scans = [[] for _ in body.output[n + 1:]]
    going = True if cond is None else bool(cond.asnumpy())
    while going and (limit is None or i < limit):
        given = dict(zip((v.name for v in body.input), (Tensor(np.int64(i)), Tensor(np.array(going)), *carried)))
        out = run_graph(body, given, known)
        going, carried = bool(out[0].asnumpy()), out[1:n + 1]
        for kept, v in zip(scans, out[n + 1:]):
            kept.append(v)
        i += 1
    return [*carried, *(rutile.ops.stack(v, 0) for v in scans)]


def run_scan(attrs, known, *inputs):
    body, n = attrs["body"], attrs["num_scan_inputs"]
    states, scanned = list(inputs[:-n]), inputs[-n:]
    axes = attrs.get("scan_input_axes", [0] * n)
    turned = attrs.get("scan_input_directions", [0] * n)
    outs = len(body.output) - len(states)
    kept = [[] for _ in range(outs)]
    length = scanned[0].shape[axes[0]]
    for i in range(length):
        rows = [rutile.ops.movedim(x, d, 0)[length - 1 - i if back else i] for x, d, back in zip(scanned, axes, turned)]
        out = run_graph(body, dict(zip((v.name for v in body.input), (*states, *rows))), known)
        states = out[:len(states)]
        for k, v in zip(kept, out[len(states):]):
            k.append(v)
    back = attrs.get("scan_output_directions", [0] * outs)
    to = attrs.get("scan_output_axes", [0] * outs)
    return [*states, *(rutile.ops.stack(v[::-1] if r else v, d) for v, r, d in zip(kept, back, to))]


CONTROL = {"If": run_if, "Loop": run_loop, "Scan": run_scan}


def run_node(node, known):
    attrs = {a.name: attribute(a) for a in node.attribute}
    inputs = [known[name] if name else None for name in node.input]
    if node.op_type in CONTROL:
        return CONTROL[node.op_type](attrs, known, *inputs)
    if node.op_type not in OPERATORS:
        raise Unmapped(f"operator {node.op_type}")
    more = {"wanted": len(node.output)} if node.op_type in COUNTED else {}
    out = OPERATORS[node.op_type](attrs, *inputs, **more)
    return list(out) if isinstance(out, list | tuple) else [out]


def run_graph(graph, given, outer):
    known = {**outer, **given, **{v.name: to_tensor(numpy_helper.to_array(v)) for v in graph.initializer}}
    for node in graph.node:
        for name, v in zip(node.output, run_node(node, known)):
            if name:
                known[name] = v
    return [known[v.name] for v in graph.output]


def close(got, want, rtol, atol):
    if str(got.dtype).lower().endswith("bfloat16"):
        got = got.astype("float32")
    got, want = got.asnumpy(), np.asarray(want)
    name = want.dtype.name
    if want.dtype.name == "bfloat16":
        want, rtol = want.astype(np.float32), max(rtol, 1e-2)
    if got.dtype != want.dtype:
        return f"{got.dtype} for {want.dtype}"
    if got.shape != want.shape:
        return f"shape {list(got.shape)} for {list(want.shape)}"
    if want.dtype.kind in "biu":
        return "" if np.array_equal(got, want) else "other integers or truth values"
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    got, want = got.astype(wide), want.astype(wide)
    atol = max(atol, {"bfloat16": 4e-3, "float16": 1e-3}.get(name, 0))
    return "" if np.allclose(got, want, rtol=rtol, atol=atol, equal_nan=True) else f"off by {np.nanmax(np.abs(got - want)):.2g}"


def declared_types(case):
    """Names of the types of inputs and outputs that we have not."""
    graph = case.model.graph
    for v in (*graph.input, *graph.output):
        if v.type.WhichOneof("value") != "tensor_type":
            return "sequences or optional values"
        if v.type.tensor_type.elem_type not in DTYPES:
            return OTHER_DTYPES.get(v.type.tensor_type.elem_type, "another type")
    return ""


# Tests of operators as they were in old versions.
OLD = {"test_scan_sum": "Scan of version 8, with a batch"}


def compare(case):
    if case.name in OLD:
        return "not expressible", OLD[case.name]
    if what := declared_types(case):
        return "not expressible", what
    for inputs, outputs in case.data_sets:
        try:
            given = dict(zip((v.name for v in case.model.graph.input), (to_tensor(v) for v in inputs)))
            got = run_graph(case.model.graph, given, {"": None})
        except Unmapped as e:
            return "not expressible", str(e)
        except (rutile.Error, TypeError, ValueError, IndexError, RuntimeError, KeyError, AttributeError) as e:
            return "refused", f"{type(e).__name__} {str(e).split('|')[0].strip()}"
        for g, w in zip(got, outputs, strict=True):
            if np.asarray(w).dtype == object:
                return "not expressible", "4 bits"
            if what := close(g, w, case.rtol, max(case.atol, 1e-6)):
                return "differs", what
    return "equal", ""


def main(only):
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    kinds, by_operator = collections.Counter(), collections.defaultdict(collections.Counter)
    for case in collect_testcases(None):
        nodes = case.model.graph.node
        name = nodes[0].op_type if len(nodes) == 1 else "functions"
        if only and not any(n.op_type in only for n in nodes):
            continue
        kind, what = compare(case)
        reason = next((v for k, v in KNOWN.items() if k in case.name), "") if kind == "differs" else ""
        kinds["known" if reason else kind] += 1
        by_operator[name][kind] += 1
        if kind != "equal":
            print(f"{case.name}: {kind}: {what[:150]}{f' ({reason})' if reason else ''}", flush=True)
    whole = [n for n, c in sorted(by_operator.items()) if set(c) == {"equal"}]
    print(f"{len(whole)} of {len(by_operator)} operators equal throughout:", ", ".join(whole))
    for name, c in sorted(by_operator.items()):
        if name not in whole:
            print(f"{name}:", ", ".join(f"{kind} {n}" for kind, n in c.items()))
    print(" ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    return kinds["differs"] + kinds["refused"] > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
