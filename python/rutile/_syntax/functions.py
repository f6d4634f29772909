# SPDX-License-Identifier: Apache-2.0
"""Functions with rewritten control flow: same signature, closure, file and lines."""

import ast
import copy
import dis
import functools
import inspect
import sys
import textwrap
import types

import numpy as np

from rutile import _rutile
from rutile._syntax import branches
from rutile._syntax.effects import HELPERS, Refused, effects, helper
from rutile._syntax.flags import Flags
from rutile.nn.cell import Cell
from rutile._syntax.rewriter import PURE, Rewriter

__all__ = ["rewrite"]

Tensor = _rutile.Tensor

_TRANSFORMS = "rutile.ops.transform"
_ARRAYS = frozenset(("array", "asarray", "zeros", "ones", "full", "eye", "arange", "linspace", "prod", "zeros_like", "ones_like"))
_REFUSED = (ast.Yield, ast.YieldFrom, ast.Await, ast.Global, ast.Nonlocal, ast.NamedExpr, ast.Match, ast.AsyncFor,
            ast.AsyncWith) + ((ast.TryStar,) if hasattr(ast, "TryStar") else ())


def _locate(node, line):
    """Made nodes stand in the line of what is around them, so that errors name the user's lines."""
    if "lineno" in node._attributes:
        line = getattr(node, "lineno", line)
        node.lineno = node.end_lineno = line
        node.col_offset = node.end_col_offset = 0
    for child in ast.iter_child_nodes(node):
        _locate(child, line)


def _lambda_of(tree, code):
    """As a function, where no other lambda of these lines takes the same arguments."""
    names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Lambda)
             and tuple(a.arg for a in n.args.posonlyargs + n.args.args + n.args.kwonlyargs) == names]
    if len(found) != 1:
        raise Refused("a lambda among others")
    made = ast.FunctionDef("lambda", found[0].args, [ast.Return(found[0].body)], [], None, None)
    return ast.copy_location(made, found[0])


@functools.lru_cache(maxsize=1024)
def _rewritten_code(code):
    """The code of the rewritten function, and what it does beside computing values."""
    try:
        lines, first = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, IndentationError) as e:
        raise Refused(f"no source text: {e}") from None
    ast.increment_lineno(tree, first - 1)
    function = _lambda_of(tree, code) if code.co_name == "<lambda>" else tree.body[0]
    if not isinstance(function, ast.FunctionDef) or function.name != code.co_name.strip("<>"):
        raise Refused("no function of its own")
    for node in ast.walk(function):
        if isinstance(node, _REFUSED):
            raise Refused(f"{type(node).__name__.lower()} in line {node.lineno}")
    _check_inner_functions(function)
    function.decorator_list = []
    _plain_arguments(function)
    read = _compiled(copy.deepcopy(function), [n for n in code.co_freevars if n != HELPERS], code)
    if _fingerprint(read) != _fingerprint(code):
        raise Refused("its file holds another text now")
    impure = effects(function.body).impure
    function.body = Flags().function(function.body)
    rewriter = Rewriter()
    body = []
    for s in function.body:
        new = rewriter.visit(s)
        body += new if isinstance(new, list) else [new]
    arguments = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    names = [n for n in effects(body).stored if n not in arguments]
    unset = [ast.Assign([ast.Name(n, ast.Store())], helper("unset", ast.Constant(n))) for n in names]
    function.body = unset + body
    free = [n for n in code.co_freevars if n != HELPERS]
    return _compiled(function, free + [HELPERS], code), impure


def _fingerprint(code):
    """Names, constants and operators: the same for the same text, whatever its lines."""
    operators = sorted((i.opname, str(i.arg)) for i in dis.get_instructions(code)
                       if i.opname.startswith(("BINARY", "INPLACE", "UNARY", "COMPARE")))
    constants = {repr(c) for c in code.co_consts if not isinstance(c, types.CodeType)}
    return set(code.co_names), code.co_varnames, constants, set(operators)


def _plain_arguments(function):
    """Defaults and annotations come from the function itself."""
    function.args.defaults = [ast.Constant(None) for _ in function.args.defaults]
    function.args.kw_defaults = [d and ast.Constant(None) for d in function.args.kw_defaults]
    for a in ast.walk(function.args):
        if isinstance(a, ast.arg):
            a.annotation = None
    function.returns = None


def _compiled(function, free, code):
    """The code of a definition that finds these names around it."""
    factory = ast.FunctionDef("__factory", ast.arguments([], [ast.arg(n) for n in free], None, [], [], None, []), [function],
                              [], None, None)
    module = ast.Module([factory], [])
    _locate(module, function.lineno)
    try:
        outer = next(c for c in compile(module, code.co_filename, "exec").co_consts if isinstance(c, types.CodeType))
    except SyntaxError as e:
        raise Refused(str(e)) from None
    return next(c for c in outer.co_consts if isinstance(c, types.CodeType) and c.co_name == function.name)


def _check_inner_functions(function):
    """Functions in the function must not read what a rewritten statement assigns: it is another variable then."""
    stored = set()
    for node in ast.walk(function):
        if isinstance(node, (ast.If, ast.For, ast.While)):
            stored.update(effects([node]).stored)
    for node in ast.walk(function):
        if node is function or not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.GeneratorExp, ast.ClassDef)):
            continue
        own = {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)}
        own.update(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        for n in ast.walk(node):
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id in stored - own:
                raise Refused(f"a function in it reads {n.id}, which an if or a loop assigns")


def rewrite(function):
    """The function with its control flow as calls; Refused where that cannot be."""
    if isinstance(function, types.MethodType):
        return types.MethodType(rewrite(function.__func__), function.__self__)
    if isinstance(function, _rutile.JitFunction):
        return rewrite(function.__wrapped__)
    if isinstance(function, types.FunctionType) and function.__globals__.get("__name__") == _TRANSFORMS:
        return _of_rewritten(function)
    inner = getattr(function, "__wrapped__", None)
    if not isinstance(function, types.FunctionType) or inner is not None:
        raise Refused("not a Python function")
    code, impure = _rewritten_code(function.__code__)
    if impure and branches.depth():
        raise branches.BranchRefused(f"{function.__name__} in a branch on a traced tensor: {impure}")
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    cells[HELPERS] = types.CellType(_NAMESPACE)
    new = types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__,
                             tuple(cells[n] for n in code.co_freevars))
    new.__kwdefaults__ = function.__kwdefaults__
    return new


def _of_rewritten(function):
    """grad(f) and its like, of the rewritten f."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    inner = [name for name in ("fn", "both") if name in cells]
    if not inner:
        return function  # grad() itself: it calls nothing
    for name in inner:
        cells[name] = types.CellType(_called(cells[name].cell_contents))
    new = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__,
                             tuple(cells[n] for n in function.__code__.co_freevars))
    new.__kwdefaults__ = function.__kwdefaults__
    return new


def _called(function):
    """What is called instead: a user's function is rewritten as its caller was. In a branch it may only compute."""
    if not isinstance(function, (types.FunctionType, types.MethodType, type, _rutile.JitFunction, Cell)):
        method = getattr(type(function), "__call__", None)  # of an object
        if isinstance(method, types.FunctionType) and _is_users(method):
            function = method.__get__(function)
    plain = function.__func__ if isinstance(function, types.MethodType) else function
    if isinstance(plain, _rutile.JitFunction) or (isinstance(plain, types.FunctionType) and _is_users(plain)):
        try:
            return rewrite(function)
        except Refused as e:
            if branches.depth():
                raise branches.BranchRefused(str(e)) from None
            return function
    if isinstance(function, np.ufunc):
        return functools.partial(_ufunc, function) if branches.depth() else function
    if branches.depth() and not _computes(function):
        raise branches.BranchRefused(f"a call of {getattr(function, '__qualname__', type(function).__name__)}")
    if branches.depth() and isinstance(function, Cell) and hasattr(function, "global_step"):
        function = functools.partial(_updated, function)
    elif isinstance(function, Cell):
        function = functools.partial(_cell, function)
    return function


def _cell(cell, *args, **kwargs):
    with cell._rewritten():
        return cell(*args, **kwargs)


def _updated(optimizer, *args):
    # As a tensor: `done = False` of the other branch is no other kind of value then.
    done = optimizer(*args)
    return _rutile.Tensor(True) if done is True else done


def _stated(function, line):
    """What is called in a statement of its own: in a branch it writes Parameters, as Cells and assign() do, or is Refused."""
    if branches.depth() and not isinstance(function, Cell) and getattr(function, "name", getattr(function, "__name__", "")) not in _WRITING:
        name = getattr(function, "__name__", type(function).__name__)
        raise branches.BranchRefused(f"{name}() as a statement in line {line} under a condition that is a traced tensor")
    return _called(function)


def _stored(owner, name, value, line):
    """owner.name = value; in a branch it writes a Parameter, or is Refused."""
    if not branches.depth():
        setattr(owner, name, value)
        return
    parameter = owner._params.get(name) if isinstance(owner, Cell) else None
    if parameter is None or not isinstance(value, _rutile.Tensor) or parameter.shape != value.shape:
        raise branches.BranchRefused(f"an assignment to .{name} in line {line} under a condition that is a traced tensor")
    if value is not parameter:
        branches.ops.assign(parameter, value if value.dtype == parameter.dtype else value.astype(parameter.dtype))


def _ufunc(function, *args, **kwargs):
    if len(args) > function.nin or "out" in kwargs:
        raise branches.BranchRefused(f"{function.__name__}() of NumPy, which writes to an array,")
    return function(*args, **kwargs)


def _attribute(value, name):
    """value.name; in a branch a property may only compute, and is rewritten as a call is."""
    if branches.depth() and type(value).__module__ != "builtins":
        found = inspect.getattr_static(type(value), name, None)
        getter = found.fget if isinstance(found, property) else getattr(found, "func", None)  # a cached_property
        if isinstance(getter, types.FunctionType) and _is_users(getter):
            if not isinstance(found, property):
                raise branches.BranchRefused(f".{name}, which keeps its value,")
            return _called(getter)(value)
        if found is None and inspect.getattr_static(value, name, None) is None:
            hook = getattr(type(value), "__getattr__", None)
            if isinstance(hook, types.FunctionType) and _is_users(hook):
                return _called(hook)(value, name)
    return getattr(value, name)


def _computes(function):
    """Whether a call that is not rewritten is known to compute a value and nothing else."""
    if isinstance(function, Cell):
        return all(_cell_computes(c) for c in function._walk())
    owner = getattr(function, "__self__", None)
    plain = function.__func__ if isinstance(function, types.MethodType) else function  # x.tanh as ops.tanh
    if isinstance(plain, types.BuiltinFunctionType) and type(plain.__self__).__name__ == "PyCapsule":
        return getattr(_rutile.ops, plain.__name__, None) is plain
    if isinstance(function, types.BuiltinFunctionType) and owner is not None:
        if isinstance(owner, types.ModuleType):
            return owner.__name__ in ("math", "operator") or (owner.__name__ == "builtins" and function.__name__ in PURE)
        if type(owner) in (list, dict):
            return function.__name__ in ("get", "items", "keys", "values", "copy", "index", "count")
        return isinstance(owner, (str, tuple, int, float, Tensor))
    if _numpys(function):
        return True
    kind = function if isinstance(function, type) else type(function)
    python = isinstance(plain, types.FunctionType)
    module = plain.__globals__.get("__name__") if python else kind.__module__
    module = module or getattr(kind, "__module__", "") or ""
    return module.split(".")[0] in ("rutile", "_rutile") or (isinstance(function, type) and kind.__module__ == "builtins"
                                                              and kind.__name__ in PURE)


def _numpys(function):
    """NumPy's scalars, and functions that make an array."""
    if isinstance(function, type):
        return issubclass(function, np.generic)
    name = getattr(function, "__name__", "")
    return name in _ARRAYS and getattr(np, name, None) is function


def _cell_computes(cell):
    if cell._hooks or cell._pre_hooks:
        return False
    if type(cell).__module__.startswith("rutile."):
        return True
    construct = type(cell).construct
    construct = getattr(construct, "__wrapped__", construct)
    try:
        return isinstance(construct, types.FunctionType) and not _rewritten_code(construct.__code__)[1]
    except Refused:
        return False


def _is_users(function):
    if function.__globals__.get("__name__") == _TRANSFORMS:
        return True
    root = (function.__globals__.get("__name__") or "").split(".")[0]
    return root not in ("rutile", "numpy") and root not in sys.stdlib_module_names or root == "__main__"


_WRITING = frozenset(("assign", "assign_add", "assign_sub", "Assign", "AssignAdd", "AssignSub"))
_NAMESPACE = types.SimpleNamespace(called=_called, stated=_stated, stored=_stored, attribute=_attribute, **branches.HELPERS)
