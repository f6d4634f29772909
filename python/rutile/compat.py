# SPDX-License-Identifier: Apache-2.0
"""Lets scripts written for MindSpore run: rutile.compat.install() makes `mindspore` a name of this package."""

import importlib as _importlib
import sys as _sys

__all__ = ["install"]


class _Alias:
    """Finds name.x.y as rutile.x.y: the same module under two names. A finder and loader of the import system (their
    base classes would bring in many modules)."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.name and not fullname.startswith(self.name + "."):
            return None
        ours = "rutile" + fullname[len(self.name):]
        try:
            module = _importlib.import_module(ours)
        except ModuleNotFoundError as e:
            if e.name and e.name.startswith("rutile"):
                return None  # says that `fullname` is missing
            raise
        from importlib.util import spec_from_loader
        spec = spec_from_loader(fullname, self, is_package=hasattr(module, "__path__"))
        spec.loader_state = module
        return spec

    def create_module(self, spec):
        # The import system writes the new name into the module it gets.
        module = spec.loader_state
        self._kept = {k: getattr(module, k, None) for k in ("__name__", "__loader__", "__package__", "__spec__", "__path__")
                      if hasattr(module, k)}
        return module

    def exec_module(self, module):
        for k, v in self._kept.items():
            setattr(module, k, v)


def install(name="mindspore"):
    """From now on `import mindspore` (and its submodules) gives Rutile. Refused where the real package was imported."""
    if name in _sys.modules and _sys.modules[name] is not _sys.modules["rutile"]:
        from rutile import errors
        raise errors.RuntimeError(f"{name} was imported already; call rutile.compat.install() before that")
    if not any(isinstance(f, _Alias) and f.name == name for f in _sys.meta_path):
        _sys.meta_path.insert(0, _Alias(name))
    _importlib.import_module(name)
