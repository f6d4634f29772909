# SPDX-License-Identifier: Apache-2.0
"""Writes docs/python_ops.md: which names of mindspore.ops and mindspore.nn this package has.

    PYTHONPATH=build/release/python python tools/python_ops_page.py [--check]

The names lie in tests/python/dumps/mindspore_names.json (public names of MindSpore 2.10 without those of its graph parser
and of sparse tensors).
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def section(title, names, module):
    done = [n for n in names if hasattr(module, n)]
    missing = [n for n in names if not hasattr(module, n)]
    wrapped = ["", f"## {title}: {len(done)} of {len(names)}", ""]
    for what, some in (("Done", done), ("Missing", missing)):
        wrapped += [f"{what}:", ""]
        line = ""
        for n in some:
            if len(line) + len(n) > 110:
                wrapped.append(line.rstrip())
                line = ""
            line += f"`{n}` "
        wrapped += [line.rstrip(), ""]
    return wrapped[:-1]


def page():
    from rutile import nn, ops
    names = json.loads((ROOT / "tests/python/dumps/mindspore_names.json").read_text())
    lines = ["# MindSpore's names", "", f"Which names of MindSpore {names['version']} the Python package has, written by "
             "`tools/python_ops_page.py`. Operators of the C++", "table have further names: `rutile.ops.table`."]
    lines += section("Functions of ops", names["functions"], ops)
    lines += section("Primitives", names["primitives"], ops.operations)
    lines += section("Cells of nn", names["nn"], nn)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    file = ROOT / "docs/python_ops.md"
    if "--check" in sys.argv:
        sys.exit(0 if file.read_text() == page() else f"{file} is out of date: run tools/python_ops_page.py")
    file.write_text(page())
