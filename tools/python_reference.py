#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pages of the Python package for Sphinx: python_reference.py <folder>. Runs where `import rutile` works.

Every public module has a page; an object stands on the page of the first module that shows it. Docstrings are plain text
with examples: the text is escaped, examples become code.
"""
import importlib
import inspect
import os
import pkgutil
import re
import sys

import rutile

FIRST = ["rutile", "rutile.nn", "rutile.ops", "rutile.ops.operations", "rutile.train", "rutile.amp", "rutile.dataset",
         "rutile.dataset.vision", "rutile.dataset.transforms"]


def modules():
    names = ["rutile"] + [m.name for m in pkgutil.walk_packages(rutile.__path__, "rutile.")]
    public = [n for n in names if not any(part.startswith("_") for part in n.split("."))]
    return sorted(public, key=lambda n: (FIRST.index(n) if n in FIRST else len(FIRST), n))


def escaped(text):
    text = re.sub(r"([\\*`|])", r"\\\1", text)
    return re.sub(r"_(?=\W|$)", r"\\_", text)


def body(doc, indent):
    """A docstring as RST."""
    out, paragraph, example = [], [], []

    def flush():
        if paragraph:
            out.append(" ".join(escaped(line.strip()) for line in paragraph))
            out.append("")
            paragraph.clear()
        if example:
            out.append(".. code-block:: pycon")
            out.append("")
            out.extend("   " + line for line in example)
            out.append("")
            example.clear()

    for line in inspect.cleandoc(doc or "").splitlines():
        if line.lstrip().startswith(">>>") and not example:
            flush()
        if not line.strip():
            flush()
        elif example or line.lstrip().startswith(">>>"):
            example.append(line)
        else:
            paragraph.append(line)
    flush()
    return "".join((" " * indent + line).rstrip() + "\n" for line in out)


def signature(o):
    try:
        text = str(inspect.signature(o))
    except (TypeError, ValueError):
        return "(...)"
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return text if "<" not in text and len(text) < 600 else "(...)"


def methods(cls):
    for name, member in vars(cls).items():
        if name.startswith("_") or not inspect.getdoc(member):
            continue
        if isinstance(member, property):
            yield "attribute", name, "", member
        elif inspect.isroutine(member) or isinstance(member, (staticmethod, classmethod)):
            yield "method", name, signature(getattr(cls, name)), member


def entry(module, name, o):
    if inspect.isclass(o):
        text = f".. py:class:: {name}{signature(o)}\n\n{body(o.__doc__, 3)}"
        for kind, member, sign, value in methods(o):
            text += f"   .. py:{kind}:: {member}{sign}\n\n{body(inspect.getdoc(value), 6)}"
        return text
    return f".. py:function:: {name}{signature(o)}\n\n{body(inspect.getdoc(o), 3)}"


def page(name, seen):
    module = importlib.import_module(name)
    text = f"{name}\n{'=' * len(name)}\n\n{body(module.__doc__, 0)}\n.. py:module:: {name}\n\n"
    elsewhere = []
    public = getattr(module, "__all__", None)
    if public is None:
        public = sorted(n for n, o in vars(module).items() if not n.startswith("_") and callable(o)
                        and str(getattr(o, "__module__", "")).startswith("rutile"))
    for member in dict.fromkeys(public):
        o = getattr(module, member)
        if inspect.ismodule(o) or not callable(o):
            continue
        if id(o) in seen:
            elsewhere.append(f"``{seen[id(o)]}.{member}``")
            continue
        seen[id(o)] = name
        text += entry(name, member, o) + "\n"
    if elsewhere:
        text += "Described elsewhere: " + ", ".join(elsewhere) + ".\n"
    return text


def main(folder):
    os.makedirs(folder, exist_ok=True)
    seen, names = {}, modules()
    index = "Python\n======\n\nThe package ``rutile``.\n\n.. toctree::\n   :maxdepth: 1\n\n"
    for name in names:
        with open(os.path.join(folder, f"{name}.rst"), "w", encoding="utf-8") as file:
            file.write(page(name, seen))
        index += f"   {name}\n"
    with open(os.path.join(folder, "index.rst"), "w", encoding="utf-8") as file:
        file.write(index)
    print(f"reference: {len(names)} modules, {len(seen)} classes and functions of the Python package")


if __name__ == "__main__":
    main(sys.argv[1])
