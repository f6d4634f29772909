# SPDX-License-Identifier: Apache-2.0
"""Settings of the process: execution mode and device."""

import os as _os

from rutile import _rutile

GRAPH_MODE = 0
PYNATIVE_MODE = 1

_settings = {
    "mode": PYNATIVE_MODE,
    "device_target": "CPU",
    "device_id": 0,
    "deterministic": "OFF",
    "save_graphs": False,
    "save_graphs_path": ".",
}


def _choice(name, value, allowed):
    if value not in allowed:
        raise _rutile.errors.ValueError(f"set_context: {name} must be one of {list(allowed)}, got {value!r}")


def set_context(**kwargs):
    """Sets what the keywords name.

    mode: GRAPH_MODE (0) compiles each call of a Cell from outside (and what a Cell calls within it) into one graph;
    PYNATIVE_MODE (1, the default) runs op by op. Functions of rutile.ops called outside a Cell run op by op in both
    modes. device_target: "CPU". deterministic: "ON" or "OFF"; on the CPU results are the same in both. device_id: 0.
    save_graphs (bool), save_graphs_path: writes the text of every compiled graph of a Cell below the path.
    """
    for name, value in kwargs.items():
        if name == "mode":
            _choice(name, value, (GRAPH_MODE, PYNATIVE_MODE))
        elif name == "device_target":
            _choice(name, value, ("CPU",))
        elif name == "device_id":
            _choice(name, value, (0,))
        elif name == "deterministic":
            _choice(name, value, ("ON", "OFF"))
        elif name not in _settings:
            raise _rutile.errors.ValueError(f"set_context: there is no setting {name!r}; known are "
                                            f"{sorted(_settings)}")
        _settings[name] = value


def get_context(name):
    """The value of a setting."""
    if name not in _settings:
        raise _rutile.errors.ValueError(f"get_context: there is no setting {name!r}")
    return _settings[name]


def set_device(device_target, device_id=0):
    """set_context(device_target=..., device_id=...)"""
    set_context(device_target=device_target, device_id=device_id)


def _save_graph(name, text):
    if _settings["save_graphs"]:
        folder = _settings["save_graphs_path"]
        _os.makedirs(folder, exist_ok=True)
        with open(_os.path.join(folder, f"{name}.txt"), "w") as f:
            f.write(text)
