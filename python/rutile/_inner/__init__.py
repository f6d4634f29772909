# SPDX-License-Identifier: Apache-2.0
"""Inner names of MindSpore's files that published networks import, kept apart from the public modules."""


def from_nn(module):
    """A module's __getattr__ that finds what it does not define itself in rutile.nn."""
    def find(name):
        from rutile import nn
        if not name.startswith("__") and hasattr(nn, name):
            return getattr(nn, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find
