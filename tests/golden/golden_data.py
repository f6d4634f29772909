# SPDX-License-Identifier: Apache-2.0
"""The integer hash behind all golden inputs, the sketches of a tensor, and the JSON writer.

Everything here has a twin in C++: change one only together with the other and with the files.
"""

import json
import math

import numpy as np

SKETCHES = 16
FULL_VALUES = 64  # tensors of at most this many elements are stored whole
SQRT3 = math.sqrt(3.0)


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def hashes(seed, count):
    """h(seed, i) for i in 0 .. count - 1, as uint64."""
    z = np.arange(count, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(fnv1a64(seed))
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def uniform(seed, shape, bound):
    """float64 values in [-bound, bound), row-major over shape."""
    unit = (hashes(seed, math.prod(shape)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return ((2.0 * unit - 1.0) * bound).reshape(shape)


def indices(seed, shape, modulo):
    """int64 values in [0, modulo), row-major over shape."""
    return (hashes(seed, math.prod(shape)) % np.uint64(modulo)).astype(np.int64).reshape(shape)


def sketches(name, array):
    """16 random-sign sums; the mean square difference of two sketches estimates |a - b|^2."""
    flat = np.ascontiguousarray(array, dtype=np.float64).ravel()
    total = flat.sum()
    result = []
    for k in range(SKETCHES):
        negative = (hashes(f"sketch.{k}/{name}", flat.size) >> np.uint64(63)).astype(np.float64)
        result.append(float(total - 2.0 * (flat * negative).sum()))
    return result


def summary(name, array):
    array = np.asarray(array)
    return {"norm": float(np.sqrt(np.square(array).sum())), "sketch": sketches(name, array)}


def describe(name, array):
    """The whole tensor if it is small, else its norm and sketches; always its shape."""
    array = np.asarray(array, dtype=np.float64)
    result = {"shape": list(array.shape)}
    if array.size <= FULL_VALUES:
        return {**result, "values": array.ravel().tolist()}
    return {**result, **summary(name, array)}


def hash_check():
    """Known answers for a second implementation of h; hex, since JSON numbers are doubles."""
    rows = []
    for seed, i in (("", 0), ("", 1), ("a", 0), ("resnet50/conv1.weight", 12345), ("lenet/y.0", 7)):
        value = int(hashes(seed, i + 1)[i])
        rows.append(
            {"seed": seed, "i": i, "h": f"0x{value:016x}", "uniform01": (value >> 11) * 2.0**-53}
        )
    return rows


def _lines(value, depth, level):
    """Objects and lists open over lines down to `depth`; below that one line each."""
    if depth == 0 or not isinstance(value, (dict, list)) or not value:
        return json.dumps(value, allow_nan=False)
    pad, end = " " * (level + 1), " " * level
    if isinstance(value, dict):
        rows = [
            f"{pad}{json.dumps(k)}: {_lines(v, depth - 1, level + 1)}" for k, v in value.items()
        ]
        return "{\n" + ",\n".join(rows) + "\n" + end + "}"
    return (
        "[\n" + ",\n".join(pad + _lines(v, depth - 1, level + 1) for v in value) + "\n" + end + "]"
    )


def write_json(path, document):
    path.write_text(_lines(document, 2, 0) + "\n")
