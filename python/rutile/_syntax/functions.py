# SPDX-License-Identifier: Apache-2.0
"""Functions with rewritten control flow: same signature, closure, file and lines."""

import ast
import functools
import inspect
import sys
import textwrap
import types

from rutile import _rutile
from rutile._syntax import branches
from rutile._syntax.effects import HELPERS, Refused, effects, helper
from rutile._syntax.flags import Flags
from rutile.nn.cell import Cell
from rutile._syntax.rewriter import Rewriter

__all__ = ["rewrite"]

_TRANSFORMS = "rutile.ops.transform"
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
    function = _lambda_of(tree, code) if code.co_name == "<lambda>" else tree.body[0]
    if not isinstance(function, ast.FunctionDef) or function.name != code.co_name.strip("<>"):
        raise Refused("no function of its own")
    for node in ast.walk(function):
        if isinstance(node, _REFUSED):
            raise Refused(f"{type(node).__name__.lower()} in line {node.lineno}")
    function.decorator_list = []
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
    function.args.defaults = [ast.Constant(None) for _ in function.args.defaults]
    function.args.kw_defaults = [d and ast.Constant(None) for d in function.args.kw_defaults]
    for a in ast.walk(function.args):
        if isinstance(a, ast.arg):
            a.annotation = None
    function.returns = None
    free = [n for n in code.co_freevars if n != HELPERS]
    factory = ast.FunctionDef("__factory", ast.arguments([], [ast.arg(n) for n in free + [HELPERS]], None, [], [], None, []),
                              [function], [], None, None)
    module = ast.Module([factory], [])
    _locate(module, function.lineno)
    ast.increment_lineno(module, first - 1)
    outer = next(c for c in compile(module, code.co_filename, "exec").co_consts if isinstance(c, types.CodeType))
    inner = next(c for c in outer.co_consts if isinstance(c, types.CodeType) and c.co_name == function.name)
    return inner, impure


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
        raise Refused("not a Python function")
    for name in inner:
        cells[name] = types.CellType(_called(cells[name].cell_contents))
    new = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__,
                             tuple(cells[n] for n in function.__code__.co_freevars))
    new.__kwdefaults__ = function.__kwdefaults__
    return new


def _called(function):
    """What is called instead: a user's function is rewritten as its caller was."""
    if not isinstance(function, (types.FunctionType, types.MethodType, type, _rutile.JitFunction, Cell)):
        method = getattr(type(function), "__call__", None)  # of an object
        if isinstance(method, types.FunctionType) and _is_users(method):
            function = method.__get__(function)
    plain = function.__func__ if isinstance(function, types.MethodType) else function
    if not isinstance(plain, _rutile.JitFunction) and not (isinstance(plain, types.FunctionType) and _is_users(plain)):
        return function
    try:
        return rewrite(function)
    except Refused:
        return function


def _is_users(function):
    if function.__globals__.get("__name__") == _TRANSFORMS:
        return True
    root = (function.__globals__.get("__name__") or "").split(".")[0]
    return root not in ("rutile", "numpy") and root not in sys.stdlib_module_names or root == "__main__"


_NAMESPACE = types.SimpleNamespace(called=_called, **branches.HELPERS)
