#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the type stubs (.pyi) of the package in FOLDER, from the package itself: tools/stubs/make.py build/release/python

Each module's public names become its stub: ops of the table with the types of their inputs and attributes, functions and
classes with the annotations that they have, else with what names, defaults and return statements say (stubs/guess.py), and
Any where that says nothing. The build runs this (target rutile_stubs), so stubs are never older than the code.
"""
import argparse
import enum
import importlib
import inspect
import os
import pkgutil
import sys
import types

import guess
from guess import Code

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = """# Written by tools/stubs/make.py.
# mypy: disable-error-code="override"
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload
import types
import enum
from builtins import (bool as _bool, bytes as _bytes, complex as _complex, dict as _dict, float as _float, int as _int,
                      list as _list, set as _set, str as _str, tuple as _tuple, type as _type)
import numpy as np
from typing_extensions import Self
{imports}
"""
IMPORTS = {"rutile._types": ["DTypeLike", "Ints", "Number", "TensorLike"], "rutile.dtype": ["DType"],
           "rutile": ["Parameter", "Tensor"], "rutile.nn.cell": ["Cell"]}
DUNDERS = {"__call__", "__len__", "__iter__", "__next__", "__getitem__", "__setitem__", "__delitem__", "__contains__", "__getattr__",
           "__setattr__", "__delattr__", "__new__", "__del__", "__add__", "__radd__", "__iadd__", "__sub__", "__rsub__",
           "__mul__", "__rmul__", "__truediv__", "__neg__", "__enter__", "__exit__", "__eq__", "__hash__", "__bool__", "__init__", "__reversed__",
           "__copy__", "__deepcopy__", "__reduce__"}
UNSEEN = {"rutile.__main__", "rutile._doctor", "rutile._types", "rutile._rutile"}
# Decorators give back what they get.
DECORATORS = {"jit", "ms_function"}


class Package:
    """All modules, and for each object the module that defines it."""

    def __init__(self):
        rutile = importlib.import_module("rutile")
        names = ["rutile"] + sorted(m.name for m in pkgutil.walk_packages(rutile.__path__, "rutile."))
        self.modules = {n: importlib.import_module(n) for n in names if n not in UNSEEN}
        self.table = self.modules["rutile.ops.table"] = importlib.import_module("rutile.ops.table")
        # Modules that are made at run time have no file.
        self.modules.update({n: m for n, m in sorted(sys.modules.items()) if n.startswith("rutile.") and n not in UNSEEN
                             and "_rutile" not in n and isinstance(m, types.ModuleType) and m.__name__ == n})
        self.native = importlib.import_module("rutile._rutile")
        self.rows = {row["name"]: row for row in self.native.op_table()}
        self.of_table = {id(f): n for n, f in vars(self.table).items() if n in self.rows}
        self.code = Code(self)
        # Classes of private names that public ones derive from.
        self.bases = set()
        for name, module in self.modules.items():
            for o in vars(module).values():
                if inspect.isclass(o) and o.__module__ == name:
                    self.bases |= {home for base in o.__mro__[1:] if (home := self.home(base))}

    def home(self, o):
        """(module, name) where o is defined, None where that is in no stub."""
        if id(o) in self.of_table:
            return "rutile.ops.table", self.of_table[id(o)]
        module, name = getattr(o, "__module__", None), getattr(o, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str) or "." in name:
            return None
        if module == "rutile._rutile" and getattr(self.native, name, None) is o:
            return module, name
        if module in self.modules and getattr(self.modules[module], name, None) is o:
            return module, name
        if not module.startswith("rutile") and getattr(sys.modules.get(module), name, None) is o:
            return module, name
        return None


class Stub:
    """The stub of one module."""

    def __init__(self, package, name):
        self.package, self.name, self.module = package, name, package.modules[name]
        self.lines = []
        self.done = set()

    def text(self):
        exported = getattr(self.module, "__all__", None)
        names = [n for n in vars(self.module)
                 if not n.startswith("_") or n in (exported or ()) or (self.name, n) in self.package.bases]
        if self.name == "rutile":
            with open(os.path.join(HERE, "tensor.pyi"), encoding="utf-8") as file:
                template = guess.plain(file.read())
            self.lines += tensor_classes(self.package, template)
            self.done |= {"Tensor", "Parameter"}
        for name in sorted(names, key=lambda n: (is_alias(self, n), n)):
            if name not in self.done:
                self.emit(name, getattr(self.module, name), exported)
        if exported is not None:
            self.lines.append("__all__ = [" + ", ".join(f'"{n}"' for n in sorted(set(exported))) + "]")
        defined = set(names)
        imports = "".join(f"from {module} import {', '.join(n for n in some if n not in defined)}\n"
                          for module, some in IMPORTS.items() if module != self.name and set(some) - defined)
        if self.name == "rutile":
            imports = imports.replace("from rutile import Parameter, Tensor\n", "")
        return HEADER.format(imports=imports) + "\n".join(self.lines) + "\n"

    def emit(self, name, o, exported):
        package = self.package
        if isinstance(o, types.ModuleType):
            if o.__name__ == "rutile._rutile.ops":
                self.lines.append(f"from rutile.ops import table as {name}")
            elif o.__name__.startswith("rutile.") and "_rutile" not in o.__name__:
                parent, _, last = o.__name__.rpartition(".")
                self.lines.append(f"from {parent} import {last} as {name}")
            return
        home = package.home(o)
        if home and home != (self.name, name):
            module, original = home
            if module.startswith("rutile") or name in (exported or ()):
                if module == self.name:
                    self.lines.append(f"{name} = {original}")
                else:
                    self.lines.append(f"from {module} import {original} as {name}")
            return
        if inspect.isclass(o):
            self.lines += class_lines(package, o, name)
        elif callable(o) and not isinstance(o, (types.SimpleNamespace,)) and (inspect.isroutine(o) or home):
            self.lines += function_lines(package, o, name, self.name)
        else:
            self.lines.append(f"{name}: {guess.plain(guess.type_of_value(o, package))}")


def is_alias(stub, name):
    """Assignments `new = old` come after what they name."""
    home = stub.package.home(getattr(stub.module, name))
    return home is not None and home[0] == stub.name and home[1] != name


def function_lines(package, f, name, module, indent=""):
    if name in DECORATORS and module == "rutile":
        first, *rest = guess.parameters(package, f, module)
        first = first.split(":")[0].split("=")[0].strip()
        tail = "".join(f", {p}" for p in rest)
        return ["_F = TypeVar('_F', bound=Callable[..., Any])", "@overload", f"def {name}({first}: _F{tail}) -> _F: ...", "@overload",
                f"def {name}({first}: None = ...{tail}) -> Callable[[_F], _F]: ..."]
    parameters = guess.parameters(package, f, module)
    if id(f) in package.of_table:
        result = guess.table_result(package.rows[package.of_table[id(f)]])
    else:
        result = package.code.result(f, module)
    return [f"{indent}def {name}({', '.join(parameters)}) -> {guess.plain(result)}: ..."]


def bases_of(package, c, name):
    bases = []
    for base in c.__bases__:
        home = package.home(base)
        if base is object or base.__module__ in ("pybind11_builtins", "abc"):
            continue
        if home and home[0].startswith("rutile"):
            bases.append(f"{home[0]}.{home[1]}" if home[0] != c.__module__ else home[1])
        elif base.__module__ == "enum":
            bases.append(f"enum.{base.__name__}")
        elif base.__module__ == "builtins":
            bases.append(base.__name__ if base.__name__ != name else f"builtins.{base.__name__}")
        else:
            bases.append("Any")
    return bases


def class_lines(package, c, name):
    bases = bases_of(package, c, name)
    lines = [f"import {b.rpartition('.')[0]}" for b in bases if "." in b and not b.startswith("enum.")]
    lines.append(f"class {name}" + (f"({', '.join(bases)})" if bases else "") + ":")
    if issubclass(c, enum.Enum):
        members = [f"    {key} = {guess.literal(m.value)}" for key, m in c.__members__.items()]
        return lines + (members or ["    ..."])
    body = []
    for key, value in vars(c).items():
        if key.startswith("_") and key not in DUNDERS:
            continue
        if key == "__new__":
            if isinstance(value, staticmethod):
                text = function_lines(package, value.__func__, key, c.__module__, "    ")[0]
                body.append(text.rpartition(" -> ")[0] + " -> Self: ...")
            continue
        if key == "__hash__" and value is None:
            body.append("    __hash__ = None  # type: ignore[assignment]")
            continue
        body += member_lines(package, c, key, value)
    known = {k for base in c.__mro__ for k in vars(base)}
    for attribute, kind in sorted(package.code.attributes(c).items()):
        if attribute not in known:
            body.append(f"    {attribute}: {kind}")
    return lines + (body or ["    ..."])


def member_lines(package, c, key, value):
    module = c.__module__
    if isinstance(value, property):
        lines = ["    @property", f"    def {key}(self) -> {guess.plain(package.code.result(value.fget, module))}: ..."]
        if value.fset:
            lines += [f"    @{key}.setter", f"    def {key}(self, value: Any) -> None: ..."]
        return lines
    if isinstance(value, staticmethod):
        return ["    @staticmethod"] + function_lines(package, value.__func__, key, module, "    ")
    if isinstance(value, classmethod):
        return ["    @classmethod"] + function_lines(package, value.__func__, key, module, "    ")
    if inspect.isclass(value):
        return [f"    {key}: _type[Any]"]
    if callable(value) and (inspect.isroutine(value) or type(value).__name__ == "instancemethod"):
        return function_lines(package, getattr(value, "__func__", value), key, module, "    ")
    if isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
        return [f"    {key}: Any"]
    return [f"    {key}: {guess.plain(guess.type_of_value(value, package))}"]


def tensor_classes(package, template):
    """The classes of the template, with the methods that it does not name."""
    parts = template.split("\nclass Parameter")
    text = [parts[0].rstrip(), "class Parameter" + parts[1].rstrip()]
    lines = []
    for part, c in zip(text, (package.modules["rutile"].Tensor, package.modules["rutile"].Parameter)):
        lines += [line for line in part.splitlines() if not line.startswith("#")]
        written = {line.split("def ")[1].split("(")[0] for line in lines if "def " in line}
        written |= {line.split(":")[0].strip() for line in lines if line.startswith("    ") and "def " not in line}
        for key, value in sorted(vars(c).items()):
            if not key.startswith("_") and key not in written:
                lines += member_lines(package, c, key, value)
    return lines


def native_stub(package):
    """What other stubs take from the extension: its pybind11 classes and functions."""
    lines = []
    for name, o in sorted(vars(package.native).items()):
        if inspect.isclass(o) and o.__module__ == "rutile._rutile":
            lines.append(f"class {name}:")
            body = []
            for key, value in vars(o).items():
                if key.startswith("_") and key not in DUNDERS:
                    continue
                if isinstance(value, property):
                    body += ["    @property", f"    def {key}(self) -> Any: ..."]
                elif callable(value):
                    body += guess.pybind_lines(value, key, "    ")
            lines += body or ["    ..."]
        elif inspect.isroutine(o) and not name.startswith("_"):
            known = bool(getattr(o, "__text_signature__", None))
            lines += function_lines(package, o, name, "rutile._rutile") if known else guess.pybind_lines(o, name, "")
    imports = "".join(f"from {m} import {', '.join(n)}\n" for m, n in IMPORTS.items() if m == "rutile")
    return HEADER.format(imports=imports) + "\n".join(lines) + "\ndef __getattr__(name: str) -> Any: ...\n"


def path_of(folder, module):
    parts = module.split(".")
    base = os.path.join(folder, *parts)
    return os.path.join(base, "__init__.pyi") if os.path.isdir(base) else base + ".pyi"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="holds the folder rutile; the stubs are written into it")
    folder = os.path.abspath(parser.parse_args().folder)
    sys.path.insert(0, folder)
    package = Package()
    texts = {name: Stub(package, name).text() for name in package.modules}
    texts["rutile._rutile"] = native_stub(package)
    paths = {path_of(folder, name) for name in texts}
    for place, _, files in os.walk(os.path.join(folder, "rutile")):
        for old in (os.path.join(place, f) for f in files if f.endswith(".pyi")):
            if old not in paths and not os.path.islink(old):
                os.remove(old)  # of a module that is gone
    for name, text in texts.items():
        path = path_of(folder, name)
        if os.path.islink(path):
            continue  # written by hand
        old = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                old = file.read()
        if old != text:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)


if __name__ == "__main__":
    main()
