# SPDX-License-Identifier: Apache-2.0
"""What MindSpore's Cell has besides: flags, buffers, state dicts, and settings that mean nothing on one machine."""

from collections import OrderedDict as _OrderedDict, namedtuple as _namedtuple

from rutile import _rutile
from rutile._rutile import Parameter, Tensor

_errors = _rutile.errors
_EXTRA = "_extra_state"
_Loaded = _namedtuple("IncompatibleKeys", ("missing_keys", "unexpected_keys"))


class CellSettings:
    """Part of Cell."""

    @property
    def cls_name(self):
        """The name of the class."""
        return type(self).__name__

    # ---- Hooks

    def _with_hooks(self, *args, **kwargs):
        called = set()
        try:
            for hook, with_kwargs in tuple(self._pre_hooks.values()):
                changed = hook(self, args, kwargs) if with_kwargs else hook(self, args)
                if changed is None:
                    continue
                if not with_kwargs:
                    args = changed if isinstance(changed, tuple) else (changed,)
                elif isinstance(changed, tuple) and len(changed) == 2:
                    args, kwargs = changed
                else:
                    raise _errors.RuntimeError(f"a hook with_kwargs returns (inputs, kwargs) or None, got {changed!r}")
            out = self._with_back_hooks(args, kwargs) if self._back_hooks else self._construct(*args, **kwargs)
            for number, (hook, with_kwargs, _) in tuple(self._hooks.items()):
                called.add(number)
                changed = hook(self, args, kwargs, out) if with_kwargs else hook(self, args, out)
                out = out if changed is None else changed
            return out
        except Exception:
            for number, (hook, with_kwargs, always) in tuple(self._hooks.items()):
                if always and number not in called:
                    self._call_after_error(hook, args, kwargs, with_kwargs)
            raise

    def _call_after_error(self, hook, args, kwargs, with_kwargs):
        try:
            hook(self, args, kwargs, None) if with_kwargs else hook(self, args, None)
        except Exception as e:  # the first error is the user's
            import warnings
            warnings.warn(f"a hook of {type(self).__name__} failed after an error: {e}", stacklevel=4)

    # ---- Hooks of gradients

    def _with_back_hooks(self, args, kwargs):
        """construct between two identities: one sees the outputs' gradients, one those of all inputs."""
        from rutile.ops.custom import with_gradient
        before = [fn for fn, first in self._back_hooks.values() if first]
        after = [fn for fn, first in self._back_hooks.values() if not first]
        seen = {}
        tracked = [_rutile.add_hook(x, lambda dx: None) for x in args if isinstance(x, Tensor)]

        def call(hooks, grads, *more):
            for hook in hooks:
                changed = hook(self, grads, *more)
                if changed is not None:
                    changed = changed if isinstance(changed, (tuple, list)) else (changed,)
                    if len(changed) != len(grads):
                        raise _errors.ValueError(f"a hook returns {len(grads)} gradients or None, got {len(changed)}")
                    grads = tuple(changed)
            return grads

        def of_outputs(*given):
            seen["outputs"] = call(before, given[-1])
            if not any(tracked):
                call(after, (None,) * len(args), seen["outputs"])
            return seen["outputs"]

        def of_inputs(*given):
            return call(after, given[-1], seen.get("outputs", ()))

        out = self._construct(*with_gradient(lambda *xs: xs, of_inputs, *args), **kwargs)
        many = isinstance(out, tuple)
        outs = with_gradient(lambda *ys: ys, of_outputs, *(out if many else (out,)))
        return outs if many else outs[0]

    # ---- Flags and parts

    def get_flags(self):
        """The attributes that add_flags set."""
        return dict(self.__dict__.get("_flags", {}))

    def add_flags_recursive(self, **flags):
        """add_flags for this Cell and all below; returns the Cell."""
        for cell in self._walk():
            cell.add_flags(**flags)
        return self

    def get_scope(self):
        """The name that the Cell has in the one above."""
        return self._scope

    def get_sub_cell(self, target):
        """The Cell below that a path of attributes ("block.0.conv") leads to; "" is this one."""
        cell = self
        for name in target.split(".") if target else []:
            below = cell._cells.get(name)
            if below is None:
                raise AttributeError(f"{type(cell).__name__} has no Cell {name!r}")
            cell = below
        return cell

    def check_names(self):
        """ValueError where two Parameters have one name."""
        seen = set()
        for p in self.get_parameters():
            if p.name in seen:
                raise _errors.ValueError(f"two Parameters are named {p.name!r}")
            seen.add(p.name)

    def init_parameters_data(self, auto_parallel_mode=False):
        """{Parameter: Parameter}: here values are there from the start."""
        return {p: p for p in self.get_parameters()}

    # ---- Buffers: tensors that belong to the state but are not trained

    def register_buffer(self, name, tensor, persistent=True):
        """Keeps a Tensor (or None) as attribute; persistent ones are part of state_dict()."""
        if not isinstance(name, str):
            raise _errors.TypeError(f"a buffer's name is a str, got {type(name).__name__}")
        if not name or "." in name:
            raise _errors.ValueError(f"{name!r} cannot name a buffer: it is empty or has a dot")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise _errors.TypeError(f"a buffer is a Tensor, got {type(tensor).__name__}")
        known = self.__dict__.setdefault("_buffers", {})
        if hasattr(self, name) and name not in known:
            raise _errors.ValueError(f"{type(self).__name__} has a {name!r} already")
        known[name] = bool(persistent)
        setattr(self, name, tensor)

    def named_buffers(self, name_prefix="", recurse=True, remove_duplicate=True):
        """(path, buffer) of this Cell and, with recurse, of all below."""
        seen = set()
        for path, cell in self.cells_and_names(name_prefix=name_prefix) if recurse else [(name_prefix, self)]:
            for name in cell.__dict__.get("_buffers", {}):
                value = getattr(cell, name)
                if value is not None and not (remove_duplicate and id(value) in seen):
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def buffers(self, recurse=True):
        """The buffers."""
        for _, value in self.named_buffers(recurse=recurse):
            yield value

    def get_buffer(self, target):
        """The buffer that a path leads to."""
        head, _, name = target.rpartition(".")
        cell = self.get_sub_cell(head)
        if name not in cell.__dict__.get("_buffers", {}):
            raise AttributeError(f"{type(cell).__name__} has no buffer {name!r}")
        return getattr(cell, name)

    # ---- State dicts

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """An OrderedDict {path: Parameter or buffer}: the Parameters themselves, which go on changing.

        >>> from rutile import nn
        >>> sorted(nn.SequentialCell(nn.Dense(2, 1)).state_dict())
        ['0.bias', '0.weight']
        """
        if args:
            destination, prefix, keep_vars = (*args, prefix, keep_vars)[:3] if len(args) < 3 else args[:3]
        found = _OrderedDict() if destination is None else destination
        cells = [(prefix + (f"{path}." if path else ""), cell) for path, cell in self.cells_and_names()]
        for start, cell in cells:
            for hook in cell._state_hooks("before_saving"):
                hook(cell, start, keep_vars)
            for name, p in cell._params.items():
                if p is not None:
                    found[start + name] = p
            for name, persistent in cell.__dict__.get("_buffers", {}).items():
                if persistent and getattr(cell, name) is not None:
                    found[start + name] = getattr(cell, name)
            if type(cell).get_extra_state is not CellSettings.get_extra_state:
                found[start + _EXTRA] = cell.get_extra_state()
        for start, cell in reversed(cells):
            for hook in cell._state_hooks("after_saving"):
                hook(cell, found, start, {})
        return found

    def load_state_dict(self, state_dict, strict=True):
        """Takes values as state_dict() gives them; returns (missing_keys, unexpected_keys), which strict makes an error.

        What fits is loaded also then, as in PyTorch; where a shape differs nothing is.
        """
        if not isinstance(state_dict, dict):
            raise _errors.TypeError(f"load_state_dict takes a dict, got {type(state_dict).__name__}")
        state_dict = dict(state_dict)
        cells = [(f"{path}." if path else "", cell) for path, cell in self.cells_and_names()]
        told = _Loaded([], [])
        for start, cell in cells:
            for hook in cell._state_hooks("before_loading"):
                hook(cell, state_dict, start, {}, strict, told.missing_keys, told.unexpected_keys, [])
        own = self.state_dict()
        told.missing_keys.extend(name for name in own if name not in state_dict)
        told.unexpected_keys.extend(name for name in state_dict if name not in own)
        for name, value in state_dict.items():
            if name in own and isinstance(own[name], Tensor) and own[name].shape != value.shape:
                raise _errors.RuntimeError(f"load_state_dict: {name} has the shape {own[name].shape}, got {value.shape}")
        for name, value in state_dict.items():
            if name in own:
                self._take_state(name, own[name], value)
        for _, cell in reversed(cells):
            for hook in cell._state_hooks("after_loading"):
                hook(cell, told)
        if strict and (told.missing_keys or told.unexpected_keys):
            raise _errors.RuntimeError(f"load_state_dict: missing {told.missing_keys}, unexpected {told.unexpected_keys}")
        return told

    def _take_state(self, name, own, value):
        head, _, last = name.rpartition(".")
        value = value.value() if isinstance(value, Parameter) else value
        if isinstance(own, Parameter):
            own.set_data(value)
        elif last == _EXTRA:
            self.get_sub_cell(head).set_extra_state(value)
        else:
            setattr(self.get_sub_cell(head), last, value)

    def get_extra_state(self):
        """What state_dict() holds besides Parameters and buffers; Cells that have such define this and set_extra_state."""
        raise _errors.UnsupportedError(f"{type(self).__name__} has no extra state: define get_extra_state and set_extra_state")

    def set_extra_state(self, state):
        """Takes what get_extra_state() gave."""
        raise _errors.UnsupportedError(f"{type(self).__name__} has no extra state: define get_extra_state and set_extra_state")

    def _state_hooks(self, when):
        return tuple(self.__dict__.get("_state_hook_lists", {}).get(when, {}).values())

    def _add_state_hook(self, when, hook):
        if not callable(hook):
            raise _errors.TypeError(f"a hook is a function, got {type(hook).__name__}")
        from rutile.nn.cell import HookHandle
        hooks = self.__dict__.setdefault("_state_hook_lists", {}).setdefault(when, {})
        number = max(hooks, default=0) + 1
        hooks[number] = hook
        return HookHandle(self, hooks, number)

    def register_state_dict_pre_hook(self, hook):
        """hook(cell, prefix, keep_vars) before state_dict() reads the Cell; returns a handle with remove()."""
        return self._add_state_hook("before_saving", hook)

    def register_state_dict_post_hook(self, hook):
        """hook(cell, state_dict, prefix, local_metadata) after state_dict() has read all; returns a handle with remove()."""
        return self._add_state_hook("after_saving", hook)

    def register_load_state_dict_pre_hook(self, hook):
        """hook(cell, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs) before load_state_dict()."""
        return self._add_state_hook("before_loading", hook)

    def register_load_state_dict_post_hook(self, hook):
        """hook(cell, incompatible_keys) after load_state_dict(); it may empty the lists of missing_keys and unexpected_keys."""
        return self._add_state_hook("after_loading", hook)

    def to(self, *args, device=None, dtype=None, non_blocking=False):
        """Casts and moves parameters and buffers: to(dtype), to(device), to(tensor), or both by name; returns the Cell.

        dtype is floating or complex, and leaves integers as they are. Optimizers see the new values; make them afterwards, so that
        what they keep has the new dtype, too.

        >>> import rutile
        >>> rutile.nn.Dense(2, 3).to(rutile.float16).weight.dtype
        rutile.float16
        """
        for a in args:
            if isinstance(a, Tensor):
                device, dtype = a.device, a.dtype
            elif isinstance(a, bool):
                non_blocking = a
            elif isinstance(a, str):
                device = a
            elif a is not None:
                dtype = a
        if dtype is not None and not str(dtype).split(".")[-1].lower().startswith(("float", "bfloat", "complex")):
            raise _errors.TypeError(f"Cell.to takes a floating or complex dtype, got {dtype}")
        for t in [*self.get_parameters(), *self.buffers()]:
            if dtype is not None and t.dtype.name.startswith(("float", "bfloat", "complex")):
                t.set_dtype(dtype)
            if device is not None:
                t.assign_value((t.value() if isinstance(t, Parameter) else t).move_to(str(device).split(":")[0]))
        return self

    # ---- What says how MindSpore compiles and spreads a Cell: there is one machine, and one way to compile

    def set_inputs(self, *inputs, **kwargs):
        """Shapes that may change; they may here without being told."""
        self.__dict__["_inputs"] = inputs

    def get_inputs(self):
        """What set_inputs got; None before."""
        return self.__dict__.get("_inputs")

    def set_jit_config(self, jit_config):
        """Nothing."""

    def set_boost(self, boost_type):
        """Nothing; returns the Cell."""
        return self

    def set_comm_fusion(self, fusion_type, recurse=True):
        """Nothing; returns the Cell."""
        return self

    def set_broadcast_flag(self, mode=True):
        """Nothing; returns the Cell."""
        return self

    def remove_redundant_parameters(self):
        """Nothing: every process holds its parameters once."""

    def set_data_parallel(self):
        """Nothing."""

    def compile_and_run(self, *args, **kwargs):
        """Compiles for such arguments and runs."""
        return self._call_compiled(args, kwargs)
