# SPDX-License-Identifier: Apache-2.0
"""Cell: parameters, child Cells and a function of tensors (construct)."""

import contextlib as _contextlib
import itertools as _itertools
import weakref as _weakref

from rutile import _hints, _rutile
from rutile import context as _context
from rutile._rutile import Parameter, Tensor
from rutile.common.parameter import ParameterTuple
from rutile.dtype import DType, bfloat16, float16, float32
from rutile.nn import _effects, _reads, _traces
from rutile.nn._cell_settings import CellSettings
from rutile.nn._primitives import primitive_of
from rutile.ops import _forwards
from rutile.ops import transform as _transform

_in_cell, _inside_transform = _rutile.in_cell, _rutile.inside_transform
_cells_edition, _call_cell = _rutile.cells_edition, _rutile.call_cell
_modes = _context._settings
_PRECISIONS = (("fp16", float16), ("bf16", bfloat16), ("fp32", float32))
_errors = _rutile.errors

# Every change of a Cell gets a number of its own, so equal numbers mean equal Cells; what a new one has is below 0.
_new_edition = _rutile.change_cells
_numbers = _itertools.count(1)
_tracing = 0


def _changed(cell, name=None):
    """name: of the attribute, where nothing but its value is another."""
    if _tracing == 0:
        edition = _new_edition()
        cell.__dict__["_edition"] = edition
        if name is None:
            cell.__dict__["_structure"] = edition


# Attributes that change only by being set.
_FIXED = (type(None), bool, int, float, complex, str, bytes, type)


class _Key:
    """What a trace of a Cell depends on; equal ones are the same object."""

    __slots__ = ("structure", "around", "reads", "root", "text", "__weakref__")

    def __init__(self, root, structure, before):
        # around: what a trace reads besides the Cells, which may change without their knowledge.
        self.structure, self.around = structure, ()
        self.root, self.reads = _weakref.ref(root), _reads.Reads()
        self.text = f"<{type(root).__name__}{_reads.difference(root, structure, before)}>"

    def held(self):
        """Names and values of the attributes that may change without a Cell's knowledge, one after the other."""
        root = self.root()
        return () if root is None else root._held()

    def __repr__(self):
        return self.text


class HookHandle:
    """Takes a hook away again by remove()."""

    def __init__(self, cell, hooks, number):
        self._cell, self._hooks, self._number = _weakref.ref(cell), hooks, number

    def remove(self):
        self._hooks.pop(self._number, None)
        cell = self._cell()
        if cell is not None:
            _changed(cell)


class _BadName(_errors.ValueError, KeyError):
    """MindSpore's KeyError; __str__ of KeyError would quote the text."""

    __str__ = Exception.__str__


class Cell(CellSettings):
    """A layer or network.

    Parameters and Cells assigned to attributes belong to it; construct() says what it computes. Called from outside in
    GRAPH_MODE it is compiled as a whole. `training` is False at first: set_train() for training.

    >>> import rutile
    >>> from rutile import nn, ops
    >>> class Net(nn.Cell):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = nn.Dense(3, 2)
    ...     def construct(self, x):
    ...         return ops.relu(self.fc(x))
    >>> net = Net()
    >>> net(rutile.Tensor([[1.0, 2.0, 3.0]])).shape, [p.name for p in net.get_parameters()]
    ((1, 2), ['fc.weight', 'fc.bias'])
    """

    def __new__(cls, *args, **kwargs):
        # Here, not in __init__: a subclass may forget to call that one.
        if kwargs:
            _hints.check_keywords(cls.__name__, cls.__init__, kwargs, _errors.TypeError)
        self = super().__new__(cls)
        self.__dict__.update(_params={}, _cells={}, _pre_hooks={}, _hooks={}, _back_hooks={}, _auto_prefix=True, _prefix="",
                             _scope="", training=False, _requires_grad=False, _precision=None, _recompute=False, _jit=None, _trace_key=None,
                             _trace_key_at=None, _trace_keys=None, _edition=-next(_numbers), _structure=0, _read_names={}, _begun=False)
        if cls.construct is Cell.construct and hasattr(cls, "forward"):
            self.__dict__.update(construct=self.forward, _begun=True)  # written for PyTorch: may do without super().__init__()
        return self

    def __init__(self, auto_prefix=True, flags=None):
        self.__dict__.update(_auto_prefix=auto_prefix, _begun=True)
        if flags:
            self.add_flags(**flags)

    _own_names = frozenset(("_params", "_cells", "_pre_hooks", "_hooks", "_back_hooks", "_auto_prefix", "_prefix", "_scope",
                            "_requires_grad", "_precision", "_recompute", "_jit", "_trace_key", "_trace_key_at", "_trace_keys", "_edition", "_structure",
                            "_read_names", "_begun"))

    # ---- Attributes

    def __getattr__(self, name):
        d = self.__dict__
        for kind in ("_params", "_cells"):
            if kind in d and name in d[kind]:
                return d[kind][name]
        if "_cells" in d and not name.startswith("_"):
            made = primitive_of(self, name)
            if made is not None:
                return made
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name, value):
        d = self.__dict__
        if isinstance(value, Parameter):
            self.insert_param_to_cell(name, value)
        elif isinstance(value, Cell):
            self._check_begun(name)
            for other in (d, d["_params"]):
                other.pop(name, None)
            d["_cells"][name] = value
            self._show(name, value)
            self._adopt(name, value)
        elif isinstance(value, Tensor) and d["_params"].get(name) is not None:
            d["_params"][name].set_data(value)
            return
        elif value is None and (name in d["_params"] or name in d["_cells"]):
            (d["_params"] if name in d["_params"] else d["_cells"])[name] = None
            self._show(name, None)
        elif name in self._own_names:
            raise AttributeError(f"{type(self).__name__}.{name} is kept by Cell itself: give the attribute another name")
        else:
            if isinstance(value, ParameterTuple):
                for p in value:
                    if not any(q is p for q in d["_params"].values()):
                        self.insert_param_to_cell(p.name, p, check_name_contain_dot=False)
            if d["_cells"].get(name) is not None:
                raise _errors.TypeError(f"{type(self).__name__}.{name} is a Cell, {type(d['_cells'][name]).__name__}, and can "
                                        f"become another Cell or None, not {type(value).__name__}")
            there = d["_params"].pop(name, self) is not self or d["_cells"].pop(name, self) is not self
            there = there or isinstance(value, ParameterTuple)
            prop = getattr(type(self), name, None)
            if isinstance(prop, property):
                prop.__set__(self, value)
                there = True  # wherever it keeps the value
            elif name in d and d[name] is value:
                return
            else:
                _reads.writing(self, name)
                d[name] = value
            _changed(self, None if there else name)
            return
        _changed(self)

    def __delattr__(self, name):
        kinds = [kind for kind in (self.__dict__, self._params, self._cells) if name in kind]
        if kinds:
            if kinds[0] is self.__dict__:
                _reads.writing(self, name)
            for kind in kinds:
                del kind[name]
            _changed(self)
            return
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __dir__(self):
        return sorted({*super().__dir__(), *self._params, *self._cells})

    def __getstate__(self):
        state = dict(self.__dict__)
        state.update(_jit=None, _trace_key=None, _trace_key_at=None, _trace_keys=None, _read_names={})
        if "construct" in state:
            del state["construct"]
        return state

    def __setstate__(self, state):
        self.__dict__.update({"_read_names": {}, "_begun": True}, **state)
        _changed(self)

    def _check_begun(self, name):
        if not self.__dict__.get("_begun", True):
            raise AttributeError(f"{type(self).__name__}.{name} is set before Cell.__init__() has run: call super().__init__() "
                                 "first in __init__()")

    def _show(self, name, value):
        """A Cell or Parameter is found where its class has an attribute of that name, too: self.cells = CellList(...)."""
        if hasattr(type(self), name) and not hasattr(type(getattr(type(self), name)), "__set__"):
            self.__dict__[name] = value

    def _adopt(self, name, cell):
        if not cell._scope:  # in messages a shared Cell keeps the name that it got first
            cell._set_scope(self._scope_below(name))
        if self._auto_prefix:  # its Parameters have the last one, as in MindSpore
            cell.update_parameters_name(f"{self._prefix}{name}.")

    def _set_scope(self, scope):
        self.__dict__["_scope"] = scope

    def _scope_below(self, name):
        return name

    def insert_param_to_cell(self, param_name, param, check_name_contain_dot=True):
        """Adds a Parameter under a name; without a name of its own it takes this one."""
        if not param_name or (check_name_contain_dot and "." in param_name):
            raise _BadName(f"{param_name!r} cannot name a parameter: it is empty or has a dot")
        if not isinstance(param, Parameter):
            raise _errors.TypeError(f"{param_name} must be a Parameter, got {type(param).__name__}")
        self._check_begun(param_name)
        self.__dict__.pop(param_name, None)
        self._cells.pop(param_name, None)
        self._params[param_name] = param
        self._show(param_name, param)
        if not param.name:
            param.name = self._prefix + param_name
        _changed(self)

    def insert_child_to_cell(self, child_name, child_cell):
        """Adds a Cell under a name."""
        if not child_name or "." in child_name:
            raise _BadName(f"{child_name!r} cannot name a Cell: it is empty or has a dot")
        if child_cell is None:
            self._cells[child_name] = None
            return
        if not isinstance(child_cell, Cell):
            raise _errors.TypeError(f"{child_name} must be a Cell, got {type(child_cell).__name__}")
        if hasattr(self, child_name) and self._cells.get(child_name, self) is not None:
            raise _BadName(f"{type(self).__name__} has a {child_name!r} already")
        setattr(self, child_name, child_cell)

    # ---- Calls

    def construct(self, *args, **kwargs):
        """What the Cell computes. Subclasses define it."""
        raise AttributeError(f"{type(self).__name__} has no construct(): define construct(self, x), which computes the result, "
                             "or call the Cells that it holds")

    def __call__(self, *args, **kwargs):
        d = self.__dict__
        if not d["_begun"]:
            raise AttributeError(f"{type(self).__name__} was made without Cell.__init__(): call super().__init__() in its __init__()")
        if _modes["mode"] == 0:
            if not _inside_transform():
                return self._call_compiled(args, kwargs) if _modes["save_graphs"] else _call_cell(self, args, kwargs)
            return self._call_recorded(args, kwargs)
        if d["_requires_grad"]:
            return self._call_recorded(args, kwargs)
        if d["_pre_hooks"] or d["_hooks"] or d["_back_hooks"]:
            return _in_cell(d["_scope"] or type(self).__name__, d["_precision"], self._with_hooks, *args, **kwargs)
        if d["_recompute"] or type(self).bprop is not None:
            return _in_cell(d["_scope"] or type(self).__name__, d["_precision"], self._construct, *args, **kwargs)
        return _in_cell(d["_scope"] or type(self).__name__, d["_precision"], self.construct, *args, **kwargs)

    def _call_recorded(self, args, kwargs):
        """As written; a gradient of the same call that follows counts running statistics no second time."""
        result, call = _rutile.record_forward(lambda: self._as_written(args, kwargs), args)
        if call is not None:
            _forwards.keep(self, call, args, kwargs)
        return result

    def _as_written(self, args, kwargs):
        return _in_cell(self._scope or type(self).__name__, self._precision, self._with_hooks, *args, **kwargs)

    # A subclass may define bprop(self, *inputs, out, dout): the gradients of its inputs, in place of construct's own.
    # Parameters that construct reads have none then, unless self.internal_params lists them: their gradients stand behind
    # those of the inputs.
    bprop = None

    def _construct(self, *args, **kwargs):
        if type(self).bprop is not None:
            from rutile.ops.custom import with_gradient
            return with_gradient(lambda *a: self.construct(*a, **kwargs), self.bprop, *args,
                                 parameters=tuple(getattr(self, "internal_params", ())))
        if self._recompute:
            return _rutile.recompute(self.construct, args, kwargs)
        return self.construct(*args, **kwargs)

    def _compiled_function(self):
        if self._jit is None:
            # The function must not keep the Cell alive: the Cell keeps it.
            me = _weakref.proxy(self)

            def run(key, args, kwargs):
                return me._traced(args, kwargs)

            run.__name__ = type(self).__name__
            # Where this Cell cannot be traced, those below it are compiled each on its own.
            self.__dict__["_jit"] = _rutile.JitFunction(
                run, rewritten=lambda key, args, kwargs: me._traced_rewritten(args, kwargs),
                as_written=lambda key, args, kwargs: me._as_written(args, kwargs))
        return self._jit

    def _call_compiled(self, args, kwargs):
        jit = self.__dict__["_jit"] or self._compiled_function()
        if not _modes["save_graphs"]:
            return jit(self._tree_key(), args, kwargs)
        before = jit.compilations
        out = jit(self._tree_key(), args, kwargs)
        if jit.compilations != before:
            _context._save_graph(f"{type(self).__name__}_{before}", jit.graph_text())
        return out

    def _traced(self, args, kwargs):
        global _tracing
        _tracing += 1
        try:
            return Cell.__call__(self, *args, **kwargs)
        finally:
            _tracing -= 1

    def _traced_rewritten(self, args, kwargs):
        with self._rewritten():
            return self._traced(args, kwargs)

    @_contextlib.contextmanager
    def _rewritten(self):
        """This Cell and those below run with their control flow as ops."""
        from rutile import _syntax
        changed = []
        try:
            for cell in self._walk():
                if "construct" in cell.__dict__ or type(cell).__module__.startswith("rutile.nn"):
                    continue
                try:
                    cell.__dict__["construct"] = _syntax.rewrite(cell.construct)
                    changed.append(cell)
                except _syntax.Refused:
                    pass  # traced as it is written
            with _syntax.scope():
                yield
        finally:
            for cell in changed:
                del cell.__dict__["construct"]

    def compile(self, *args, **kwargs):
        """Traces and compiles for such arguments, without running."""
        self.check_names()
        self._compiled_function().prepare(self._tree_key(), args, kwargs)

    def _tree_key(self):
        at, d = _cells_edition(), self.__dict__
        if d["_trace_key_at"] == at:
            return d["_trace_key"]
        cells, structure, editions = list(self._walk()), [_transform.hooks_edition], []
        for cell in cells:
            editions.append(cell._edition)
            structure.append((cell._structure, cell.training, len(cell._hooks), len(cell._pre_hooks), len(cell._back_hooks)))
            structure.extend((id(p), p.requires_grad) for p in cell._params.values() if p is not None)
        structure = tuple(structure)
        items = (structure, tuple(editions))
        keys = self.__dict__["_trace_keys"]
        if keys is None:
            keys = self.__dict__["_trace_keys"] = {}
        if items not in keys:
            by_id = {id(c): c for c in cells}
            same = (k for k in reversed(keys.values()) if k.structure == structure and k.reads.hold(by_id))
            key = next(same, None) or _Key(self, structure, self._trace_key)
            if len(keys) >= 64:
                keys.pop(next(iter(keys)))
            keys[items] = key
        keys[items].around = self._around()
        self.__dict__.update(_trace_key=keys[items], _trace_key_at=at)
        return self._trace_key

    def _around(self):
        """Classes and hooks, then names and values: what traces read, and what may change without a Cell's knowledge."""
        classes, held = {}, []
        for cell in self._walk():
            for hooks in (cell._pre_hooks, cell._hooks, cell._back_hooks):
                classes.update((id(h[0]), h[0]) for h in hooks.values())
            classes.update((id(c), c) for c in type(cell).__mro__ if issubclass(c, Cell) and not c.__module__.startswith("rutile."))
            for name in cell.__dict__["_read_names"]:
                # Plain values by the Cell's edition; what changes in place is looked at in each call.
                value = cell.__dict__.get(name)
                if not isinstance(value, (*_FIXED, Cell)):
                    held += (name, value)
        return (*classes.values(), *held)

    def _held(self):
        return tuple(x for cell in self._walk() for name, value in cell.__dict__.items()
                     if name not in cell._own_names and not isinstance(value, (*_FIXED, Cell)) for x in (name, value))

    def _walk(self, seen=None):
        seen = set() if seen is None else seen
        if id(self) in seen:
            return
        seen.add(id(self))
        yield self
        for cell in self._cells.values():
            if cell is not None:
                yield from cell._walk(seen)

    # ---- Contents

    def cells(self):
        """The Cells directly below."""
        return [c for c in self._cells.values() if c is not None]

    def name_cells(self):
        """The Cells directly below, by name."""
        return {name: c for name, c in self._cells.items() if c is not None}

    def cells_and_names(self, cells=None, name_prefix=""):
        """(path, Cell) of this one and all below, each once."""
        seen = cells if cells is not None else set()
        if self in seen:
            return
        seen.add(self)
        yield name_prefix, self
        for name, cell in self._cells.items():
            if cell is not None:
                yield from cell.cells_and_names(seen, f"{name_prefix}.{name}" if name_prefix else name)

    def parameters_and_names(self, name_prefix="", expand=True):
        """(path, Parameter) of this Cell and, with expand, of all below; each once."""
        seen = set()
        for path, cell in self.cells_and_names(name_prefix=name_prefix) if expand else [(name_prefix, self)]:
            for name, p in cell._params.items():
                if p is not None and id(p) not in seen:
                    seen.add(id(p))
                    yield (f"{path}.{name}" if path else name), p

    def get_parameters(self, expand=True):
        """The Parameters, in the order of their attributes."""
        for _, p in self.parameters_and_names(expand=expand):
            yield p

    def trainable_params(self, recurse=True):
        """The Parameters that require a gradient."""
        return [p for p in self.get_parameters(expand=recurse) if p.requires_grad]

    def untrainable_params(self, recurse=True):
        """The others."""
        return [p for p in self.get_parameters(expand=recurse) if not p.requires_grad]

    def parameters_dict(self, recurse=True):
        """The Parameters by their names."""
        return {p.name: p for p in self.get_parameters(expand=recurse)}

    def update_parameters_name(self, prefix="", recurse=True):
        """Names all Parameters below by a prefix and the attributes that lead to them."""
        for path, cell in self.cells_and_names() if recurse else [("", self)]:
            cell.__dict__["_prefix"] = f"{prefix}{path}." if path else prefix
        for path, p in self.parameters_and_names(expand=recurse):
            p.name = prefix + path

    def apply(self, fn):
        """Calls fn on every Cell below and on this one; returns the Cell."""
        for cell in Cell.cells(self):
            type(cell).apply(cell, fn)
        fn(self)
        return self

    # ---- Modes

    def set_train(self, mode=True):
        """Training behaviour (dropout, statistics of the batch) for this Cell and all below; returns the Cell."""
        for cell in self._walk():
            if cell.__dict__["training"] != bool(mode):
                cell.__dict__["training"] = bool(mode)
                if _tracing == 0:
                    _new_edition()
        return self

    def set_grad(self, requires_grad=True):
        """Says that gradients will be asked for; they always can be. Returns the Cell."""
        self.__dict__["_requires_grad"] = requires_grad
        return self

    @property
    def requires_grad(self):
        """What set_grad said."""
        return self._requires_grad

    def to_float(self, dst_type):
        """Precision of this Cell and all below: float16 or bfloat16 (matrix products and convolutions compute in it,
        parameters stay float32), or float32. Returns the Cell."""
        if not isinstance(dst_type, DType) or dst_type.name not in ("float16", "bfloat16", "float32"):
            raise _errors.ValueError(f"to_float takes float16, bfloat16 or float32, got {dst_type!r}")
        flags = {name: precision == dst_type for name, precision in _PRECISIONS}
        for cell in self._walk():
            cell.__dict__["_precision"] = dst_type
            cell.__dict__.setdefault("_flags", {}).update(flags)
            cell.__dict__.update(flags)
            _changed(cell)
        return self

    def recompute(self, mode=True):
        """Gradients of this Cell keep its inputs alone: backward runs it again, with the same dropout masks. Costs a
        second forward of the Cell. Returns the Cell."""
        self.__dict__["_recompute"] = bool(mode)
        _changed(self)
        return self

    def add_flags(self, **flags):
        """Sets attributes; returns the Cell. fp16, bf16 or fp32, where true, is also the precision of this Cell, and of those
        below that have none of their own, as to_float() has it; add_flags_recursive() is for all below."""
        self.__dict__.setdefault("_flags", {}).update(flags)
        for name, value in flags.items():
            setattr(self, name, value)
        for name, precision in _PRECISIONS:
            if flags.get(name):
                self.__dict__["_precision"] = precision
                _changed(self)
        return self

    @property
    def param_prefix(self):
        """What stands before the names of the Parameters below."""
        return self._prefix[:-1]

    # ---- Hooks

    def register_forward_pre_hook(self, hook_fn, *, prepend=False, with_kwargs=False):
        """hook_fn(cell, inputs) runs before construct; what it returns (unless None) replaces the inputs.

        with_kwargs: hook_fn(cell, inputs, kwargs), which may return (inputs, kwargs). prepend: before the hooks there are.
        """
        return self._register(self._pre_hooks, hook_fn, (with_kwargs,), prepend)

    def register_forward_hook(self, hook_fn, *, prepend=False, with_kwargs=False, always_call=False):
        """hook_fn(cell, inputs, output) runs after construct; what it returns (unless None) replaces the output.

        with_kwargs: hook_fn(cell, inputs, kwargs, output). always_call: also after an error, with None as output. prepend:
        before the hooks there are.
        """
        return self._register(self._hooks, hook_fn, (with_kwargs, always_call), prepend)

    def register_backward_hook(self, hook_fn):
        """hook_fn(cell, grad_inputs, grad_outputs) sees the gradients of the inputs and outputs as tuples, once both are
        there; what it returns (unless None) replaces those of the inputs. Inputs that nobody differentiates by have None."""
        return self._register(self._back_hooks, hook_fn, (False,))

    def register_backward_pre_hook(self, hook_fn):
        """hook_fn(cell, grad_outputs) sees the gradients of the outputs first; what it returns (unless None) replaces them."""
        return self._register(self._back_hooks, hook_fn, (True,))

    def _register(self, hooks, fn, kind, prepend=False):
        if not callable(fn):
            raise _errors.TypeError(f"a hook is a function, got {type(fn).__name__}")
        number, before = next(_numbers), dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[number] = (fn, *kind)
        hooks.update(before)
        _changed(self)
        return HookHandle(self, hooks, number)

    # ---- Text

    def extend_repr(self):
        """What repr() shows in the parentheses."""
        return ""

    def __repr__(self):
        extra, children = self.extend_repr(), self.name_cells()
        if not children:
            return f"{type(self).__name__}({extra})"
        lines = [extra] if extra else []
        for name, cell in children.items():
            lines.append(f"({name}): {cell!r}")
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def _set_again(cell, name, value):
    """Sets an attribute as construct did when it was traced."""
    d = cell.__dict__
    if _effects.same(d.get(name, _effects.GONE), value):
        return
    if value is _effects.GONE:
        d.pop(name, None)
    else:
        d[name] = value
    if name in d["_read_names"]:
        _changed(cell, name)


_rutile._set_cell_type(Cell, _Key, lambda: _traces.Trace(Cell, _set_again, _changed))
