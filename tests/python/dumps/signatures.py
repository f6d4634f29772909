# SPDX-License-Identifier: Apache-2.0
"""Arguments of the Cells of nn and their defaults. Run with MindSpore it writes signatures.json, which the tests compare with
Rutile's.

    python tests/python/dumps/signatures.py     (mindspore 2.10, numpy < 2)
"""

import inspect
import json
import os

FOLDER = os.path.dirname(__file__)
FILE = os.path.join(FOLDER, "signatures.json")


def text(default):
    """A default; "" for none. Element types are written as strings."""
    if default is inspect.Parameter.empty:
        return ""
    if inspect.isfunction(default):
        return "function"
    if repr(default).startswith("mindspore."):
        return repr(repr(default).rsplit(".", 1)[-1])
    return repr(default)


def arguments(cell):
    """[[name, default], ...] of a class; None where it takes whatever comes."""
    init = cell.__init__
    while hasattr(init, "__wrapped__"):
        init = init.__wrapped__
    found = init.__closure__ if getattr(init, "__name__", "") == "deco" else None
    if found:  # the optimizers' decorator names no __wrapped__
        init = next(c.cell_contents for c in found if inspect.isfunction(c.cell_contents))
    parameters = list(inspect.signature(init).parameters.values())[1:]
    if any(p.kind == inspect.Parameter.VAR_POSITIONAL for p in parameters):
        return None
    return [[p.name, text(p.default)] for p in parameters if p.kind != inspect.Parameter.VAR_KEYWORD]


def main():
    import mindspore as ms
    with open(os.path.join(FOLDER, "mindspore_names.json")) as f:
        names = json.load(f)["nn"]
    found = {n: arguments(getattr(ms.nn, n)) for n in names if isinstance(getattr(ms.nn, n, None), type)}
    with open(FILE, "w") as f:
        f.write(json.dumps({n: a for n, a in found.items() if a is not None}, separators=(",", ":")) + "\n")
    print(len(found))


if __name__ == "__main__":
    main()
