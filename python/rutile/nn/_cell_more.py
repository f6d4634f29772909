# SPDX-License-Identifier: Apache-2.0
"""What MindSpore's Cell has besides: flags, buffers, state dicts, and settings that mean nothing on one machine."""

from rutile import _rutile
from rutile._rutile import Parameter, Tensor

_errors = _rutile.errors


class CellMore:
    """Part of Cell."""

    @property
    def cls_name(self):
        """The name of the class."""
        return type(self).__name__

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
        """{path: Parameter or buffer}; the values alone (Tensors) unless keep_vars.

        >>> from rutile import nn
        >>> sorted(nn.SequentialCell(nn.Dense(2, 1)).state_dict())
        ['0.bias', '0.weight']
        """
        found = {} if destination is None else destination
        for path, cell in self.cells_and_names():
            start = prefix + (f"{path}." if path else "")
            for name, p in cell._params.items():
                if p is not None:
                    found[start + name] = p if keep_vars else p.value()
            for name, persistent in cell.__dict__.get("_buffers", {}).items():
                if persistent and getattr(cell, name) is not None:
                    found[start + name] = getattr(cell, name)
        return found

    def load_state_dict(self, state_dict, strict=True):
        """Takes values as state_dict() gives them; returns (missing, unexpected) paths, which strict makes an error."""
        if not isinstance(state_dict, dict):
            raise _errors.TypeError(f"load_state_dict takes a dict, got {type(state_dict).__name__}")
        own = self.state_dict(keep_vars=True)
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        if strict and (missing or unexpected):
            raise _errors.RuntimeError(f"load_state_dict: missing {missing}, unexpected {unexpected}")
        for name, value in state_dict.items():
            if name in own and own[name].shape != value.shape:
                raise _errors.RuntimeError(f"load_state_dict: {name} has the shape {own[name].shape}, got {value.shape}")
        for name, value in state_dict.items():
            if name not in own:
                continue
            value = value.value() if isinstance(value, Parameter) else value
            if isinstance(own[name], Parameter):
                own[name].set_data(value)
            else:
                head, _, last = name.rpartition(".")
                setattr(self.get_sub_cell(head), last, value)
        return missing, unexpected

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

    def set_data_parallel(self):
        """Nothing."""

    def compile_and_run(self, *args, **kwargs):
        """Compiles for such arguments and runs."""
        return self._call_compiled(args, kwargs)
