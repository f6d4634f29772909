# SPDX-License-Identifier: Apache-2.0
"""`if` over tensor values in compiled functions: the source of a function is rewritten so that such an `if` becomes cond.

    if x.sum() > 0:          def yes(y): y = x * 2; return (y,)
        y = x * 2            def no(y): y = x; return (y,)
    else:            ->      (y,) = branch(x.sum() > 0, yes, no, (current(lambda: y),))
        y = x

Eagerly, and where the test is no tensor of a trace, `branch` runs one of the two as the `if` would have. What a rewrite
cannot keep (break, continue, a return that not both ways have, attributes or items that are set) stays an `if`.
"""

import ast as _ast
import functools as _functools
import inspect as _inspect
import textwrap as _textwrap
import types as _types

from rutile import _rutile
from rutile._rutile import Tensor

_errors = _rutile.errors

_HELPERS = "__rutile_branches__"


class _Unset:
    def __repr__(self):
        return "<not set>"


UNSET = _Unset()


def current(read):
    """The value of a variable, or UNSET."""
    try:
        return read()
    except NameError:
        return UNSET


def branch(test, yes, no, values):
    """What `if test` does: yes(*values) or no(*values); over a tensor of a trace both become parts of a cond."""
    known = _truth(test)
    if known is None:
        return _cond(test, yes, no, values)
    return yes(*values) if known else no(*values)


def negate(test):
    """`not test`, of a trace's tensor too."""
    known = _truth(test)
    return _rutile.ops.logical_not(test) if known is None else not known


def joined(conjunction, first, *others):
    """`first and ...` or `first or ...`, of a trace's tensors too; the others are functions, called if they matter."""
    value = first
    for other in others:
        known = _truth(value)
        if known is None:
            op = _rutile.ops.logical_and if conjunction else _rutile.ops.logical_or
            value = op(value.cast("bool"), _as_bool(other()))
        elif known != conjunction:
            return value
        else:
            value = other()
    return value


def _truth(value):
    """bool(value), or None for a tensor of a trace."""
    if not isinstance(value, Tensor) or value.size != 1:
        return bool(value)
    try:
        return bool(value)
    except _errors.RuntimeError:
        if not _rutile.inside_transform():
            raise
        return None


def _as_bool(v):
    return v.cast("bool") if isinstance(v, Tensor) else Tensor(bool(v))


def _cond(test, yes, no, values):
    """The results are the variables that both ways set: tensors and numbers by cond, other things must be the same."""
    others, kinds = [], []

    def run(way):
        def body():
            found = way(*values)
            # Numbers are tensors from here on, as either way may have computed them.
            found = [Tensor(v) if isinstance(v, (bool, int, float)) else v for v in found]
            others.append([None if _is_tensors(v) else v for v in found])
            kinds.append([_is_tensors(v) for v in found])
            for a, b, x, y in zip(kinds[0], kinds[-1], others[0], others[-1]):
                if a != b or (not a and x is not y and x != y):
                    raise _errors.ValueError(
                        "an if over a tensor's value sets a variable to a tensor in one way and to something else (or not at "
                        "all) in the other; set it to tensors of one shape and dtype in both")
            return tuple(v for v in found if _is_tensors(v))
        return body

    results = iter(_rutile.cond(test.reshape(()).cast("bool"), run(yes), run(no), ()))
    return tuple(next(results) if tensor else other for tensor, other in zip(kinds[0], others[0]))


def _is_tensors(v):
    if isinstance(v, Tensor):
        return True
    return type(v) in (tuple, list) and len(v) > 0 and all(_is_tensors(x) for x in v)


# ---- The rewrite

_STOPS = (_ast.Break, _ast.Continue, _ast.Yield, _ast.YieldFrom, _ast.Await, _ast.Global, _ast.Nonlocal, _ast.Delete,
          _ast.Import, _ast.ImportFrom, _ast.Try, _ast.NamedExpr, _ast.FunctionDef, _ast.AsyncFunctionDef, _ast.ClassDef)


def _names_set(statements):
    """Variables that statements set, or None where they do what a function of its own could not."""
    names = []
    for statement in statements:
        for node in _ast.walk(statement):
            if isinstance(node, _STOPS):
                return None
            if isinstance(node, (_ast.Attribute, _ast.Subscript)) and not isinstance(node.ctx, _ast.Load):
                return None
            if isinstance(node, _ast.Name) and isinstance(node.ctx, _ast.Store) and node.id not in names:
                names.append(node.id)
    return names


def _returns(statements):
    return [n for s in statements for n in _ast.walk(s) if isinstance(n, _ast.Return)]


def _ends(statements):
    """Whether the last statement is the only return."""
    return bool(statements) and isinstance(statements[-1], _ast.Return) and len(_returns(statements)) == 1


def _helper(attribute, *arguments):
    where = _ast.Attribute(_ast.Name(_HELPERS, _ast.Load()), attribute, _ast.Load())
    return _ast.Call(where, list(arguments), [])


def _later(expression):
    empty = _ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return _ast.Lambda(empty, expression)


def _test(expression):
    """A test whose not, and, or take tensors of a trace."""
    if isinstance(expression, _ast.UnaryOp) and isinstance(expression.op, _ast.Not):
        return _helper("negate", _test(expression.operand))
    if isinstance(expression, _ast.BoolOp):
        first, *others = (_test(v) for v in expression.values)
        return _helper("joined", _ast.Constant(isinstance(expression.op, _ast.And)), first, *map(_later, others))
    return expression


class _Rewrite:
    def __init__(self):
        self.count = 0

    def block(self, statements):
        """Statements with their ifs rewritten; what follows an if that returns is its other way."""
        out = []
        for i, s in enumerate(statements):
            if isinstance(s, _ast.If):
                rest = statements[i + 1:]
                if not s.orelse and _ends(s.body) and _ends(rest):
                    s = _ast.copy_location(_ast.If(s.test, s.body, rest), s)
                    out += self.rewritten(s)
                    return out
                out += self.rewritten(s)
            else:
                for field in ("body", "orelse", "finalbody"):
                    inner = getattr(s, field, None)
                    if isinstance(inner, list) and not isinstance(s, (_ast.FunctionDef, _ast.ClassDef, _ast.AsyncFunctionDef)):
                        setattr(s, field, self.block(inner))
                out.append(s)
        return out

    def rewritten(self, s):
        names = _names_set(s.body + s.orelse)
        both = _ends(s.body) and _ends(s.orelse)
        keep = names is None or (_returns(s.body + s.orelse) and not both)
        body, orelse = self.block(s.body), self.block(s.orelse)
        if keep:
            return [_ast.copy_location(_ast.If(s.test, body, orelse), s)]
        self.count += 1
        yes, no = f"_yes_{self.count}_", f"_no_{self.count}_"

        def function(name, statements):
            arguments = _ast.arguments(posonlyargs=[], args=[_ast.arg(n) for n in names], kwonlyargs=[], kw_defaults=[],
                                       defaults=[])
            if both:
                value = statements[-1].value or _ast.Constant(None)
                end = _ast.Return(_ast.Tuple([value], _ast.Load()))
                statements = statements[:-1]
            else:
                end = _ast.Return(_ast.Tuple([_ast.Name(n, _ast.Load()) for n in names], _ast.Load()))
            return _ast.FunctionDef(name=name, args=arguments, body=[*statements, end], decorator_list=[], returns=None)

        call = _helper("branch", _test(s.test), _ast.Name(yes, _ast.Load()), _ast.Name(no, _ast.Load()),
                       _ast.Tuple([_helper("current", _later(_ast.Name(n, _ast.Load()))) for n in names], _ast.Load()))
        if both:
            last = _ast.Return(_ast.Subscript(call, _ast.Constant(0), _ast.Load()))
        elif names:
            last = _ast.Assign([_ast.Tuple([_ast.Name(n, _ast.Store()) for n in names], _ast.Store())], call)
        else:
            last = _ast.Expr(call)
        made = [function(yes, body), function(no, orelse), last]
        for node in made:
            _ast.copy_location(node, s)
        return made


@_functools.lru_cache(maxsize=4096)
def _new_code(code):
    """The code of a function with its ifs rewritten; None where nothing changes or no source is known."""
    try:
        lines, first = _inspect.getsourcelines(code)
        tree = _ast.parse(_textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None
    if len(tree.body) != 1 or not isinstance(tree.body[0], _ast.FunctionDef):
        return None
    definition = tree.body[0]
    # Private names of a class mean something else outside of it.
    names = {getattr(n, "id", getattr(n, "attr", "")) for n in _ast.walk(definition)}
    if any(n.startswith("__") and not n.endswith("__") for n in names):
        return None
    rewrite = _Rewrite()
    definition.body = rewrite.block(definition.body)
    if not rewrite.count:
        return None
    definition.decorator_list = []
    _ast.increment_lineno(tree, first - 1)
    # Names of the function around it must be free again, and so must __class__, which super() reads.
    names = [n for n in code.co_freevars if n != "__class__"]
    around = _ast.parse("def __around():\n" + "".join(f"    {n} = None\n" for n in names) + "    pass\n").body[0]
    around.body = [*around.body, definition]
    module = _ast.Module([around], [])
    if "__class__" in code.co_freevars:
        around.body = around.body[:-1]
        around.body += [_ast.ClassDef(name="__C", bases=[], keywords=[], body=[definition], decorator_list=[])]
    _ast.fix_missing_locations(module)
    try:
        compiled = compile(module, code.co_filename, "exec")
    except (SyntaxError, ValueError):
        return None
    return _find(compiled, code)


def _find(compiled, code):
    for inner in compiled.co_consts:
        if isinstance(inner, _types.CodeType):
            if inner.co_name == code.co_name and inner.co_freevars == code.co_freevars:
                return inner
            found = _find(inner, code)
            if found is not None:
                return found
    return None


def rewritten(fn):
    """fn, or a function like it whose ifs may be over tensor values."""
    if isinstance(fn, _types.MethodType):
        inner = rewritten(fn.__func__)
        return fn if inner is fn.__func__ else _types.MethodType(inner, fn.__self__)
    if not isinstance(fn, _types.FunctionType) or _HELPERS in fn.__code__.co_names:
        return fn
    code = _new_code(fn.__code__)
    if code is None:
        return fn
    fn.__globals__.setdefault(_HELPERS, _module())
    new = _types.FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
    new.__kwdefaults__ = fn.__kwdefaults__
    return _functools.update_wrapper(new, fn)


def rewrite_construct(cls):
    """Does so with construct of a Cell's class."""
    for base in cls.__mro__:
        construct = vars(base).get("construct")
        if construct is not None and not base.__module__.startswith("rutile."):
            new = rewritten(construct)
            if new is not construct:
                base.construct = new


def rewrite_cells(fn, depth=4):
    """Does so with the Cells that a function, or one that it closes over, knows."""
    from rutile.nn.cell import Cell
    fn = getattr(fn, "__wrapped__", fn)
    known = [getattr(fn, "__self__", None)]
    inner = getattr(fn, "__func__", fn)
    for cell in getattr(inner, "__closure__", None) or ():
        try:
            known.append(cell.cell_contents)
        except ValueError:  # not set yet
            pass
    if isinstance(inner, _types.FunctionType):
        known += [inner.__globals__[n] for n in inner.__code__.co_names if n in inner.__globals__]
    for value in known:
        if isinstance(value, Cell):
            for cell in value._walk():
                rewrite_construct(type(cell))
        elif depth and isinstance(value, (_types.FunctionType, _types.MethodType)) and (
                not (value.__module__ or "").startswith("rutile.") or hasattr(value, "__wrapped__")):
            rewrite_cells(value, depth - 1)


def rewrite_class(cls):
    """Does so with the methods that a class defines itself."""
    for name, member in list(vars(cls).items()):
        if isinstance(member, _types.FunctionType):
            new = rewritten(member)
            if new is not member:
                setattr(cls, name, new)


def _module():
    import sys
    return sys.modules[__name__]
