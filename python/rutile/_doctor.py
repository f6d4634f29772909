# SPDX-License-Identifier: Apache-2.0
"""What this installation runs on, and whether it computes right: `python -m rutile doctor` and rutile.run_check()."""

import os
import platform
import sys
import time

from rutile import _rutile

__all__ = ["report", "text", "run_check"]

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_BACKENDS = ("cuda", "nccl", "gloo")
_CURES = {"cuda": "pip install rutile-cu13, or build Rutile where nvcc 13 is", "nccl": "build Rutile where NCCL and CUDA are",
          "gloo": "apt-get install libgloo-dev, then build Rutile again"}


def _version_of(module):
    from importlib import metadata
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        return None


def _installations():
    """Places where a distribution named rutile is installed; more than one is a mistake."""
    from importlib import metadata
    return sorted({str(d.locate_file("rutile")) for d in metadata.distributions() if (d.metadata["Name"] or "").lower() == "rutile"})


def _plugins():
    """For each device or communication plugin: where it is, or where it was looked for."""
    found = {}
    for name in _BACKENDS:
        paths = _rutile.dist.plugin_paths(name)
        there = [p for p in paths if os.path.exists(p)]
        found[name] = {"found": bool(there), "path": there[0] if there else None,
                       "why": None if there else "no file " + " or ".join(paths) + "; " + _CURES[name]}
    return found


def _gpus():
    """The GPUs that can be used, by name, or why there are none."""
    count = _rutile._device_count("cuda")
    if count:
        return {"devices": [_rutile._device_properties(f"cuda:{i}") for i in range(count)], "why": None}
    return {"devices": [], "why": _rutile._cuda_unavailable_reason().splitlines()[-1].strip()}


def _check_multiplication():
    x = _rutile.Tensor([[1.0, 2.0], [3.0, 4.0]])
    if (x * x).asnumpy().tolist() != [[1.0, 4.0], [9.0, 16.0]]:
        raise AssertionError("a product of matrices, element by element, is wrong")


def _check_training():
    """Convolution, matrix product and gradients against float64; a step eagerly and compiled against one another."""
    import rutile
    from rutile import ops

    generator = [(i * 37 % 101) / 50.0 - 1.0 for i in range(2 * 3 * 12 * 12)]
    x = rutile.Tensor(generator).reshape((2, 3, 12, 12))
    w = rutile.Tensor(generator[:8 * 3 * 9]).reshape((8, 3, 3, 3)) * 0.2
    v = rutile.Tensor(generator[:10 * 64]).reshape((10, 64)) * 0.1

    def loss(w, v):
        y = ops.relu(ops.table.conv2d(x.astype(w.dtype), w))
        return ops.table.mean(ops.square(ops.matmul(y.reshape((2, -1))[:, :64], v.T)))

    eager = rutile.value_and_grad(loss, grad_position=(0, 1))
    value, grads = eager(w, v)
    compiled_value, compiled_grads = rutile.jit(eager)(w, v)
    exact_value, exact_grads = eager(w.astype(rutile.float64), v.astype(rutile.float64))
    pairs = [(value, exact_value, "the loss"), (compiled_value, exact_value, "the compiled loss")]
    pairs += [(g, e, "a gradient") for g, e in zip(grads, exact_grads)]
    pairs += [(g, e, "a compiled gradient") for g, e in zip(compiled_grads, exact_grads)]
    for got, want, what in pairs:
        error = float(ops.table.max(ops.abs(got.astype(rutile.float64) - want)))
        scale = float(ops.table.max(ops.abs(want)))
        if not error <= 1e-4 * scale:
            raise AssertionError(f"{what} of a convolution and a matrix product is off by {error:.2g} (its size is {scale:.2g})")


def _speed():
    """GFLOP/s of a float32 matrix product of 512 x 512, and nanoseconds of an eager add of four numbers."""
    from rutile import ops
    a = ops.full((512, 512), 0.5)
    for _ in range(3):
        ops.matmul(a, a)
    start = time.perf_counter()
    for _ in range(10):
        ops.matmul(a, a)
    gflops = 10 * 2 * 512**3 / (time.perf_counter() - start) / 1e9
    add, x = ops.table.add, _rutile.Tensor([1.0, 2.0, 3.0, 4.0])
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(2000):
            add(x, x)
        best = min(best, (time.perf_counter() - start) / 2000 * 1e9)
    return {"matmul_gflops": round(gflops, 1), "add_ns": round(best)}


def report():
    """All that the doctor says, a dict of plain values; "ok" is whether the checks passed."""
    data = {"version": _rutile.__version__, "package": _PACKAGE, "python": platform.python_version(),
            "executable": sys.executable, "platform": platform.platform()}
    data["packages"] = {name: _version_of(name) for name in ("numpy", "pillow", "torch")}
    data["system"] = _rutile.system_info()
    data["threads"] = _rutile.num_threads()
    data["environment"] = {k: v for k, v in sorted(os.environ.items()) if k.startswith(("RUTILE_", "OMP_"))}
    data["plugins"] = _plugins()
    data["gpus"] = _gpus()
    problems = []
    places = _installations()
    if len(places) > 1:
        problems.append("rutile is installed more than once: " + ", ".join(places))
    checks = {}
    for name, check in (("multiplication", _check_multiplication), ("training", _check_training)):
        start = time.perf_counter()
        try:
            check()
            checks[name] = {"ok": True, "ms": round(1e3 * (time.perf_counter() - start), 1)}
        except Exception as e:  # whatever it is, the doctor reports it
            checks[name] = {"ok": False, "error": f"{type(e).__name__}: {e}"}
            problems.append(f"the check '{name}' failed: {checks[name]['error']}")
    data["checks"] = checks
    try:
        data["speed"] = _speed()
    except Exception as e:
        problems.append(f"the speed could not be measured: {e}")
    data["problems"] = problems
    data["ok"] = not problems
    return data


def text(data):
    """The report for a person to read."""
    system = data["system"]
    rows = [("rutile", f"{data['version']} in {data['package']}"),
            ("python", f"{data['python']} ({data['executable']})"),
            ("platform", data["platform"]),
            ("packages", ", ".join(f"{k} {v or 'not installed'}" for k, v in data["packages"].items())),
            ("compiler", system["compiler"]),
            ("processor", f"kernels for {system['isa']}; has {' '.join(system['cpu_features']) or 'nothing newer'}"),
            ("oneDNN", system["onednn"] or "built without"),
            ("threads", f"{data['threads']} of {system['cores']} cores"
             + (f", quota {system['cpu_quota']:g} processors" if system["cpu_quota"] else "")),
            ("memory", f"{system['memory_available'] / 2**30:.1f} GiB free of {system['memory_total'] / 2**30:.1f} GiB"
             + (f", limit {system['memory_limit'] / 2**30:.1f} GiB" if system["memory_limit"] else ""))]
    rows += [("environment", f"{k}={v}") for k, v in data["environment"].items()]
    rows += [(f"plugin {k}", p["path"] if p["found"] else "not found: " + p["why"]) for k, p in data["plugins"].items()]
    gpus = data["gpus"]
    rows += [(f"GPU {i}", f"{d['name']}, {d['total_memory'] / 2**30:.1f} GiB") for i, d in enumerate(gpus["devices"])]
    if not gpus["devices"]:
        rows.append(("GPU", "none can be used: " + gpus["why"]))
    for name, check in data["checks"].items():
        rows.append((f"check {name}", f"right, {check['ms']} ms" if check["ok"] else f"WRONG: {check['error']}"))
    if "speed" in data:
        rows.append(("speed", f"matmul {data['speed']['matmul_gflops']} GFLOP/s, add of 4 floats {data['speed']['add_ns']} ns"))
    lines = [f"{name:<22}{value}" for name, value in rows]
    return "\n".join(lines + [f"problem: {p}" for p in data["problems"]] + ["all is well" if data["ok"] else "NOT WELL"])


def run_check():
    """Multiplies two tensors and trains a step, and prints whether the results are right.

    >>> import rutile
    >>> rutile.run_check()  # doctest: +ELLIPSIS
    Rutile version: ...
    The result of multiplication calculation is correct, Rutile has been installed on platform [CPU] successfully!
    """
    print(f"Rutile version: {_rutile.__version__}")
    try:
        _check_multiplication()
        _check_training()
    except Exception as e:
        print(f"Rutile running check failed.\n{e}")
        return
    print("The result of multiplication calculation is correct, Rutile has been installed on platform [CPU] successfully!")
