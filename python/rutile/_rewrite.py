# SPDX-License-Identifier: Apache-2.0
"""The source of a function with its ifs as calls of _branches.branch."""

import ast as _ast
import functools as _functools
import inspect as _inspect
import textwrap as _textwrap
import types as _types

from rutile import _branches

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
    where = _ast.Attribute(_ast.Name(_branches.HELPERS, _ast.Load()), attribute, _ast.Load())
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
def new_code(code):
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
