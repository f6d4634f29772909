# SPDX-License-Identifier: Apache-2.0
"""Weight files: MindSpore's .ckpt, which MindSpore and Rutile read from each other, and safetensors."""

import os as _os
import threading as _threading
import warnings as _warnings

from rutile import _hints, _rutile
from rutile._rutile import Parameter, Tensor
from rutile.nn import _shards

_errors, _files = _rutile.errors, _rutile.files

__all__ = ["async_ckpt_thread_status", "ckpt_to_safetensors", "load_checkpoint", "load_param_into_net", "safetensors_to_ckpt",
           "save_checkpoint"]


def __getattr__(name):
    from rutile import _refused
    if name in _refused.OF_TRAIN or name in ("load_mindir", "save_mindir"):
        return _refused.refused(name)
    raise AttributeError(f"module 'rutile.train.serialization' has no attribute {name!r}")


_FORMATS = ("ckpt", "safetensors")


class _Background:
    """One save at a time on a thread of its own."""

    def __init__(self):
        self._thread, self._error = None, None

    def busy(self):
        return self._thread is not None and self._thread.is_alive()

    def wait(self):
        """Until the save is done; raises what went wrong in it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def start(self, fn, *args):
        self.wait()

        def run():
            try:
                fn(*args)
            except BaseException as e:  # noqa: BLE001 - given to whoever waits
                self._error = e

        # Not a daemon: the interpreter waits for it at its end.
        self._thread = _threading.Thread(target=run, name="save_checkpoint")
        self._thread.start()


_background = _Background()


def async_ckpt_thread_status():
    """Whether a checkpoint is being written in the background."""
    return _background.busy()


def _no_cipher(name, key):
    if key is not None:
        raise _errors.UnsupportedError(f"[{name}] encrypted files are not supported: leave the key None")


def _bool(function, name, value):
    if not isinstance(value, bool):
        raise _errors.TypeError(f"[{function}] {name} must be a bool, got {type(value).__name__}")


def _path(name, path, format):
    if format not in _FORMATS:
        raise _errors.ValueError(f"[{name}] the format is 'ckpt' or 'safetensors', got {format!r}")
    if not isinstance(path, (str, _os.PathLike)):
        raise _errors.TypeError(f"[{name}] ckpt_file_name must be a string, got {type(path).__name__}")
    return _os.fspath(path)


def _of_cell(cell):
    items = {}
    for p in cell.get_parameters():
        if p.name in items and items[p.name] is not p:
            _warnings.warn(f"[save_checkpoint] two parameters are called {p.name!r}; only the last one is saved", stacklevel=4)
        items[p.name] = p
    return list(items.items())


def _of_list(values):
    items = []
    for v in values:
        if isinstance(v, Parameter):
            items.append((v.name, v))
        elif isinstance(v, dict) and isinstance(v.get("name"), str) and isinstance(v.get("data"), (Tensor, str)):
            items.append((v["name"], v["data"]))
        else:
            raise _errors.TypeError("[save_checkpoint] a list holds Parameters or dicts {'name': str, 'data': Tensor}, got "
                                    f"{type(v).__name__}")
    return items


def _of_dict(values):
    items = []
    for name, v in values.items():
        if not isinstance(name, str) or not isinstance(v, (Tensor, str)):
            raise _errors.TypeError("[save_checkpoint] a dict holds Parameters or Tensors by name, got "
                                    f"{type(v).__name__} by {type(name).__name__}")
        items.append((name, v))
    return items


def _appended(append_dict):
    if append_dict is None:
        return []
    if not isinstance(append_dict, dict):
        raise _errors.TypeError(f"[save_checkpoint] append_dict must be a dict, got {type(append_dict).__name__}")
    items = []
    for name, v in append_dict.items():
        if not isinstance(name, str) or not isinstance(v, (bool, int, float, str, Tensor)):
            raise _errors.TypeError("[save_checkpoint] append_dict holds int, float, bool, str, Parameter or Tensor by name, "
                                    f"got {type(v).__name__} by {type(name).__name__}")
        if isinstance(v, (bool, int, float)):
            v = Tensor(v, "bool" if isinstance(v, bool) else "int64" if isinstance(v, int) else "float32")
        items.append((name, v))
    return items


def save_checkpoint(save_obj, ckpt_file_name, integrated_save=True, async_save=False, append_dict=None, enc_key=None,
                    enc_mode="AES-GCM", choice_func=None, crc_check=False, format="ckpt", **kwargs):
    """Writes the parameters of a Cell, a list or a dict to a file that MindSpore reads as well.

    save_obj: a Cell, a list of Parameters or of {"name": ..., "data": Tensor}, or a dict as load_checkpoint gives it; any
    shapes and dtypes. ckpt_file_name gets the format as its suffix where it has none. append_dict: further values: int
    (stored as int64), float (float32), bool, str, Tensor. choice_func(name) says which parameters to write. crc_check adds
    a checksum to a .ckpt. integrated_save: of states that are kept in shards (enable_parallel_optimizer) the file has the
    whole, for which all processes call this; otherwise this process's shard. async_save (True, "thread" or "process"): the file is written by a thread, from the values of
    now; what goes wrong is raised by the next call. format: "ckpt" or "safetensors" (without text). The file is replaced
    as a whole or stays as it was. enc_mode has no effect here; enc_key is not supported.

    Errors: TypeError and ValueError for arguments, OSError for what the system refuses.

    >>> import rutile, tempfile, os
    >>> from rutile import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "net.ckpt")
    >>> rutile.save_checkpoint(nn.Dense(3, 2), path, append_dict={"epoch": 4, "note": "first"})
    >>> {name: getattr(v, "shape", v) for name, v in rutile.load_checkpoint(path).items()}
    {'weight': (2, 3), 'bias': (2,), 'epoch': (), 'note': 'first'}
    """
    from rutile.nn.cell import Cell
    path = _path("save_checkpoint", ckpt_file_name, format)
    _no_cipher("save_checkpoint", enc_key)
    for name, value in (("integrated_save", integrated_save), ("crc_check", crc_check)):
        _bool("save_checkpoint", name, value)
    if not isinstance(async_save, (bool, str)):
        raise _errors.TypeError(f"[save_checkpoint] async_save must be a bool or str, got {type(async_save).__name__}")
    if isinstance(async_save, str) and async_save not in ("process", "thread"):
        raise _errors.ValueError(f"[save_checkpoint] async_save is a bool, 'process' or 'thread', got {async_save!r}")
    unknown = set(kwargs) - {"incremental", "global_step_num", "remove_redundancy"}
    if unknown:
        known = ("integrated_save", "async_save", "append_dict", "enc_key", "enc_mode", "choice_func", "crc_check", "format")
        raise _errors.TypeError(f"[save_checkpoint] there is no argument {sorted(unknown)[0]!r}"
                                f"{_hints.close(sorted(unknown)[0], known)}")
    if _os.path.isdir(path):
        raise IsADirectoryError(f"[save_checkpoint] {path!r} is a folder")
    path = path if path.endswith("." + format) else f"{path}.{format}"
    if isinstance(save_obj, Cell):
        items = _of_cell(save_obj)
    elif isinstance(save_obj, (list, tuple)):
        items = _of_list(save_obj)
    elif isinstance(save_obj, dict):
        items = _of_dict(save_obj)
    else:
        raise _errors.TypeError(f"[save_checkpoint] save_obj must be a Cell, list or dict, got {type(save_obj).__name__}")
    items = [(name, v) for name, v in items if choice_func is None or choice_func(name)]
    if integrated_save:
        items = [(name, _shards.whole(v) if isinstance(v, Parameter) and _shards.is_shard(v) else v) for name, v in items]
    extra = _appended(append_dict)
    names = {name for name, _ in extra}
    _write(path, [x for x in items if x[0] not in names] + extra, format, crc_check, async_save)


def _write(path, items, format, crc, background):
    if format == "safetensors" and crc:
        raise _errors.ValueError("[save_checkpoint] crc_check goes with the format 'ckpt'")
    if format == "safetensors":
        items.sort(key=lambda item: item[0])
    write, last = (_files.save_ckpt, crc) if format == "ckpt" else (_files.save_safetensors, {"format": "ms"})
    _background.wait()
    if background:
        # Values, not Parameters: what training writes meanwhile goes elsewhere.
        items = [(name, v.value() if isinstance(v, Parameter) else v) for name, v in items]
        _background.start(write, path, items, last)
    else:
        write(path, items, last)


def _prefixes(name, prefix):
    if prefix is None:
        return None
    prefix = (prefix,) if isinstance(prefix, str) else prefix
    if not isinstance(prefix, (list, tuple)) or not all(isinstance(p, str) for p in prefix):
        raise _errors.TypeError(f"[load_checkpoint] {name} must be a string or a list of strings, got {prefix!r}")
    if not prefix or "" in prefix:
        raise _errors.ValueError(f"[load_checkpoint] {name} must not be empty")
    return tuple(prefix)


_INDEX = ".safetensors.index.json"


def _in_parts(path):
    """The entries of the files that an index names, in its order."""
    import json
    with open(path, encoding="utf-8") as f:
        try:
            index = json.load(f)
        except ValueError as e:
            raise _errors.ValueError(str(e)) from None
    where = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(where, dict) or not all(isinstance(v, str) for v in where.values()):
        raise _errors.ValueError("an index has a weight_map: the file of each name")
    parts = {}
    for name in dict.fromkeys(where.values()):
        if _os.path.basename(name) != name:
            raise _errors.ValueError(f"the files of an index lie beside it, got {name!r}")
        parts[name] = dict(_files.load_safetensors(_os.path.join(_os.path.dirname(path), name))[0])
    for key, name in where.items():
        if key not in parts[name]:
            raise _errors.ValueError(f"{name!r} holds no {key!r}")
    return [(key, parts[name][key]) for key, name in where.items()]


def load_checkpoint(ckpt_file_name, net=None, strict_load=False, filter_prefix=None, dec_key=None, dec_mode="AES-GCM",
                    specify_prefix=None, choice_func=None, crc_check=False, remove_redundancy=False, format=None):
    """What a weight file holds: a dict of Parameters (and str, for appended text) by name, in the order of the file.

    ckpt_file_name: a .ckpt of MindSpore or Rutile, a .safetensors, or the .safetensors.index.json of several. net: a Cell to load it into, as load_param_into_net
    does with strict_load. choice_func(name) says what to take; filter_prefix leaves out, specify_prefix takes only names
    that begin so (a string or several; then choice_func is not asked). A checksum in the file is always verified;
    crc_check warns where there is none. Parameters that are not float32 or float64 have requires_grad False. Encrypted files (dec_key) are not supported.

    Errors: ValueError for a missing or damaged file and when nothing is left to load, TypeError for arguments.
    """
    path = _path("load_checkpoint", ckpt_file_name, "ckpt" if format is None else format)
    _no_cipher("load_checkpoint", dec_key)
    for name, value in (("strict_load", strict_load), ("crc_check", crc_check), ("remove_redundancy", remove_redundancy)):
        _bool("load_checkpoint", name, value)
    if remove_redundancy:
        raise _errors.UnsupportedError("[load_checkpoint] files of which devices hold parts are not supported")
    take, leave = _prefixes("specify_prefix", specify_prefix), _prefixes("filter_prefix", filter_prefix)
    format = format or ("safetensors" if path.endswith((".safetensors", _INDEX)) else "ckpt")
    if not path.endswith((format, _INDEX)):
        other = path.endswith((".pth", ".pt", ".bin"))
        hint = ": save it from PyTorch with safetensors.torch.save_file(net.state_dict(), 'net.safetensors')" if other else ""
        raise _errors.ValueError(f"[load_checkpoint] {path!r} is to be read as {format!r}, but does not end with it{hint}")
    _background.wait()
    if not _os.path.exists(path):
        raise _errors.ValueError(f"[load_checkpoint] the file {path!r} does not exist")
    try:
        items = _in_parts(path) if path.endswith(_INDEX) else (
            _files.load_ckpt(path) if format == "ckpt" else _files.load_safetensors(path)[0])
    except _errors.ValueError as e:
        raise _errors.ValueError(f"[load_checkpoint] {path!r} is no {format} file, or damaged: {e}") from None
    if crc_check and not _has_checksum(path, format):
        _warnings.warn(f"[load_checkpoint] {path!r} has no checksum", stacklevel=2)
    chosen = {}
    for name, value in items:
        if take is not None or leave is not None:
            if (take is not None and not name.startswith(take)) or (leave is not None and name.startswith(leave)):
                continue
        elif choice_func is not None and not choice_func(name):
            continue
        chosen[name] = value if isinstance(value, str) else Parameter(
            value, name=name, requires_grad=value.dtype.name in ("float32", "float64"))
    if not chosen:
        raise _errors.ValueError(f"[load_checkpoint] nothing of the {len(items)} parameters of {path!r} is left to load: look at "
                                 "filter_prefix, specify_prefix and choice_func")
    if net is not None:
        load_param_into_net(net, chosen, strict_load)
    return chosen


def _has_checksum(path, format):
    if format != "ckpt" or _os.path.getsize(path) < 17:
        return False
    with open(path, "rb") as f:
        f.seek(-17, _os.SEEK_END)
        return f.read(7) == b"crc_num"


_FLOATS = ("float16", "float32", "float64", "bfloat16")
_INTS = ("int8", "int16", "int32", "int64")
# What the C++ library and PyTorch call the parameters of layers.
_OTHER_NAMES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
                "embedding_table": "weight"}
# What the C++ library calls the states of optimizers: by parameter, and alone.
_OTHER_SLOTS = {"moments": ("momentum", "velocity", "accum"), "moment": ("momentum",), "accum": ("momentum", "sum", "square_avg"),
                "accum_update": ("acc_delta",), "moment1": ("m",), "moment2": ("v", "u"), "vhat": ("vmax",), "adam_m": ("m",),
                "adam_v": ("v",), "lamb_m": ("m",), "lamb_v": ("v",), "exp_avg": ("m",), "exp_avg_sq": ("v",),
                "max_exp_avg_sq": ("vmax",), "exp_inf": ("u",), "mean_square": ("square_avg",), "mean_grad": ("grad_avg",),
                "ax_": ("ax",)}
_OTHER_STATES = {"global_step": "step", "state_step": "step", "step_t": "step", "learning_rate": "lr",
                 "learning_rate_group_0": "lr"}


def _assign(p, new, strict):
    new = _shards.own(p, new)
    if p.shape != new.shape and not strict and p.size == new.size == 1:
        new = (new.value() if isinstance(new, Parameter) else new).reshape(p.shape)
    if p.shape != new.shape:
        longer = len(new.shape) > len(p.shape) and new.shape[:len(p.shape)] == p.shape
        if not (longer and all(n == 1 for n in new.shape[len(p.shape):])):
            raise _errors.RuntimeError(f"[load_param_into_net] {p.name} has the shape {p.shape} in the network and {new.shape} "
                                       "in parameter_dict")
        new = (new.value() if isinstance(new, Parameter) else new).reshape(p.shape)
    kinds = {p.dtype.name, new.dtype.name}
    if len(kinds) > 1 and (strict or not (kinds.issubset(_FLOATS) or kinds.issubset(_INTS))):
        raise _errors.RuntimeError(f"[load_param_into_net] {p.name} has the type {p.dtype} in the network and {new.dtype} in "
                                   "parameter_dict")
    p.set_data(new.value() if isinstance(new, Parameter) else new)


def _source(name, values):
    """The name in values that stands for a parameter; None if there is none."""
    if name in values:
        return name
    first, _, rest = name.partition(".")
    starts = [first + "."] + [slot + "." for slot in _OTHER_SLOTS.get(first, ())] if rest else [""]
    head, _, last = (rest or name).rpartition(".")
    ends = [rest or name]
    if last in _OTHER_NAMES:
        ends.append(f"{head}.{_OTHER_NAMES[last]}" if head else _OTHER_NAMES[last])
    names = [start + end for start in starts for end in ends] + [_OTHER_STATES.get(name)]
    return next((n for n in names if n in values), None)


def _powers(net, missing, values):
    """Sets what follows from the step and the C++ library does not keep: the powers of beta of Adam's states, ASGD's step sizes;
    Momentum's factor stays. Returns what is missing still."""
    from rutile.nn.optimizer import Optimizer
    if "step" not in values:
        return missing
    step, left = int(values["step"].asnumpy().reshape(-1)[0]), list(missing)
    for cell in net._walk():
        if isinstance(cell, Optimizer):
            for p in missing:
                for key in ("beta1", "beta2"):
                    if cell._params.get(f"{key}_power") is p:
                        p.set_data(Tensor([getattr(cell, key) ** step], "float32").reshape(p.shape))
                        left = [q for q in left if q is not p]
            derived = cell._derived(step, values.get("lr"))
            for p in [p for p in left if id(p) in derived]:
                if derived[id(p)] is not None:
                    p.set_data(Tensor(derived[id(p)], "float32").reshape(p.shape))
                left = [q for q in left if q is not p]
    return left


def load_param_into_net(net, parameter_dict, strict_load=False, remove_redundancy=False):
    """Gives the Parameters of a Cell the values of those with their names.

    parameter_dict: as load_checkpoint gives it. strict_load=False converts between floating types and between integer
    types, and where parameters are left it tries names with one common prefix in front ("network.fc.weight" for
    "fc.weight") and the names of the C++ library and PyTorch for norms and embeddings ("bn.weight" for "bn.gamma") and of
    the C++ library for states of optimizers ("momentum.fc.weight" for "moments.fc.weight", "step" for "global_step").
    Returns (names in the Cell, names in parameter_dict) that were not loaded.

    Errors: TypeError for arguments, RuntimeError for another shape or dtype; nothing is loaded then.

    >>> import rutile
    >>> from rutile import nn
    >>> a, b = nn.Dense(3, 2), nn.Dense(3, 2)
    >>> rutile.load_param_into_net(b, a.parameters_dict())
    ([], [])
    >>> bool((a.weight == b.weight).all())
    True
    """
    from rutile.nn.cell import Cell
    if not isinstance(net, Cell):
        swapped = ": the arguments are (net, parameter_dict)" if isinstance(parameter_dict, Cell) else ""
        raise _errors.TypeError(f"[load_param_into_net] net must be a Cell, got {type(net).__name__}{swapped}")
    if not isinstance(parameter_dict, dict):
        raise _errors.TypeError(f"[load_param_into_net] parameter_dict must be a dict, got {type(parameter_dict).__name__}")
    for name, v in parameter_dict.items():
        if not isinstance(name, str) or not isinstance(v, (Tensor, str)):
            raise _errors.TypeError("[load_param_into_net] parameter_dict holds Parameters by name, got "
                                    f"{type(v).__name__} by {type(name).__name__}")
    for name, value in (("strict_load", strict_load), ("remove_redundancy", remove_redundancy)):
        _bool("load_param_into_net", name, value)
    if remove_redundancy:
        raise _errors.UnsupportedError("[load_param_into_net] files of which devices hold parts are not supported")
    values = {name: v for name, v in parameter_dict.items() if isinstance(v, Tensor)}
    plan, missing = [], []
    for p in net.get_parameters():
        source = p.name if p.name in values else None if strict_load else _source(p.name, values)
        if source is None:
            missing.append(p)
        else:
            plan.append((p, source))
    if missing and not strict_load:
        missing = _with_prefix(missing, values, plan)
        missing = _powers(net, missing, values)
    before = [(p, p.value()) for p, _ in plan]
    try:
        for p, source in plan:
            _assign(p, values[source], strict_load)
    except Exception:
        for p, value in before:
            p.set_data(value)
        raise
    used = {source for _, source in plan}
    missing = [p.name for p in missing if not p.name.startswith("accu_grads")]
    unused = [name for name in parameter_dict if name not in used]
    if missing:
        _warnings.warn(_unmatched(missing, [name for name in unused if name in values]), stacklevel=2)
    return missing, unused


def _unmatched(missing, unused):
    """What was not loaded, and the names in the file that may have been meant."""
    def some(names):
        return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")

    text = f"[load_param_into_net] {len(missing)} parameters of the network are not in parameter_dict: {some(missing)}"
    if not unused:
        return text
    import difflib
    near = [(name, difflib.get_close_matches(name, unused, 1, 0.6)) for name in missing[:20]]
    pairs = [f"{found[0]} for {name}" for name, found in near if found]
    text += f"; {len(unused)} in parameter_dict are not in the network: {some(unused)}"
    return text + (f"; perhaps {', '.join(pairs)}" if pairs else "")


def _with_prefix(missing, values, plan):
    """Adds to the plan what is found under a common prefix; returns the rest."""
    tried = set()
    for p in list(missing):
        for name in values:
            prefix = name[:-len(p.name)]
            if not name.endswith("." + p.name) or prefix in tried:
                continue
            tried.add(prefix)
            found = [(q, prefix + q.name) for q in missing if prefix + q.name in values]
            plan.extend(found)
            names = {id(q) for q, _ in found}
            missing = [q for q in missing if id(q) not in names]
    return missing


def _convert(file_path, save_path, name_map, source, target):
    if not isinstance(file_path, (str, _os.PathLike)):
        raise _errors.TypeError(f"[{source}_to_{target}] file_path must be a string, got {type(file_path).__name__}")
    file_path = _os.fspath(file_path)
    if _os.path.isdir(file_path):
        files = sorted(_os.path.join(file_path, f) for f in _os.listdir(file_path) if f.endswith("." + source))
    else:
        files = [file_path]
    if save_path is not None:
        _os.makedirs(save_path, exist_ok=True)
    for path in files:
        values = load_checkpoint(path, format=source)
        values = {(name_map or {}).get(name, name): v for name, v in values.items()}
        folder = _os.path.dirname(path) if save_path is None else _os.fspath(save_path)
        name = _os.path.splitext(_os.path.basename(path))[0]
        save_checkpoint(values, _os.path.join(folder, f"{name}.{target}"), format=target)


def ckpt_to_safetensors(file_path, save_path=None, name_map=None, file_name_regex=None, processes_num=1):
    """Writes a .ckpt (or all of a folder) as .safetensors, beside it or into save_path; name_map gives new names."""
    _convert(file_path, save_path, name_map, "ckpt", "safetensors")


def safetensors_to_ckpt(file_path, save_path=None, name_map=None, file_name_regex=None, processes_num=1):
    """Writes a .safetensors (or all of a folder) as .ckpt, beside it or into save_path; name_map gives new names."""
    _convert(file_path, save_path, name_map, "safetensors", "ckpt")
