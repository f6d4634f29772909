# SPDX-License-Identifier: Apache-2.0
"""Statements as calls of the helpers in branches.py."""

import ast

from rutile._syntax.effects import MADE, Refused, effects, helper, sets_attribute

__all__ = ["PURE", "Rewriter"]

# Python's functions that compute a value and nothing else; super() finds its class by its own name.
PURE = frozenset(("abs", "all", "any", "bool", "dict", "divmod", "enumerate", "float", "format", "getattr", "hasattr", "int",
                  "isinstance", "issubclass", "len", "list", "max", "min", "pow", "range", "repr", "reversed", "round",
                  "slice", "sorted", "str", "sum", "super", "tuple", "type", "zip"))


def _load(name):
    return ast.Name(name, ast.Load())


def _assign(names, value):
    if not names:
        return ast.Expr(value)
    targets = [ast.Name(n, ast.Store()) for n in names]
    return ast.Assign([ast.Tuple(targets, ast.Store())], value)


def _tuple(names):
    return ast.Tuple([_load(n) for n in names], ast.Load())


def _texts(names):
    return ast.Tuple([ast.Constant(n) for n in names], ast.Load())


def _lambda(value):
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), value)


class Rewriter(ast.NodeTransformer):
    """Rewrites statements from the inside out; break, continue and return first become flags that are tested."""

    def __init__(self):
        self.count = 0
        self.tests = set()  # of which the truth alone is read
        self.alone = set()  # calls whose result nobody reads

    def _mark(self, node):
        if isinstance(node, ast.BoolOp):
            self.tests.add(node)
            for v in node.values:
                self._mark(v)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._mark(node.operand)

    def _name(self, what):
        self.count += 1
        return f"{MADE}{what}_{self.count}"

    def _function(self, name, params, body):
        args = ast.arguments([], [ast.arg(p) for p in params], None, [], [], None, [])
        return ast.FunctionDef(name, args, body + [ast.Return(_tuple(params))], [], None, None)

    def _at(self, node, statements):
        for s in statements:
            if hasattr(node, "lineno"):
                s.lineno = node.lineno
        return statements

    # Expressions

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        which = ("all_", "any_") if node in self.tests else ("and_", "or_")
        which = which[isinstance(node.op, ast.Or)]
        return helper(which, *[_lambda(v) for v in node.values])

    def visit_Call(self, node):
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id in PURE):
            node.func = helper("stated", node.func, ast.Constant(node.lineno)) if node in self.alone else helper("called", node.func)
        return node

    def visit_Attribute(self, node):
        self.generic_visit(node)
        private = node.attr.startswith("__") and not node.attr.endswith("__")  # the compiler knows of what class
        if private or not isinstance(node.ctx, ast.Load):
            return node
        return helper("attribute", node.value, ast.Constant(node.attr))

    def visit_UnaryOp(self, node):
        self._mark(node)
        self.generic_visit(node)
        return helper("not_", node.operand) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node):
        self._mark(node.test)
        self.generic_visit(node)
        return helper("choose", node.test, _lambda(node.body), _lambda(node.orelse))

    def visit_Compare(self, node):
        simple = all(isinstance(v, (ast.Name, ast.Constant, ast.Attribute)) for v in node.comparators[:-1])
        self.generic_visit(node)
        plain = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
        if len(node.ops) == 1 or not all(isinstance(op, plain) for op in node.ops):
            return node
        if not simple:
            return node  # would be computed twice
        left, parts = node.left, []
        for op, right in zip(node.ops, node.comparators):
            parts.append(_lambda(ast.Compare(left, [op], [right])))
            left = right
        return helper("all_", *parts)

    def _plain(self, node):
        return node  # a function of its own: it reads what is around it, and is no part of this one's flow

    visit_Lambda = visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_Lambda = _plain
    visit_FunctionDef = visit_ClassDef = _plain

    # Statements

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            self.alone.add(node.value)
        self.generic_visit(node)
        return node

    def visit_Assign(self, node):
        if not sets_attribute(node):
            self.generic_visit(node)
            return node
        owner, name = node.targets[0].value.id, node.targets[0].attr
        return self._at(node, [ast.Expr(helper("stored", _load(owner), ast.Constant(name), self.visit(node.value), ast.Constant(node.lineno)))])

    def visit_AugAssign(self, node):
        if not sets_attribute(node):
            self.generic_visit(node)
            return node
        owner, name = node.target.value.id, node.target.attr
        now = ast.Assign([ast.Name(f"{MADE}value", ast.Store())], helper("attribute", _load(owner), ast.Constant(name)))
        then = ast.AugAssign(ast.Name(f"{MADE}value", ast.Store()), node.op, self.visit(node.value))
        last = ast.Expr(helper("stored", _load(owner), ast.Constant(name), _load(f"{MADE}value"), ast.Constant(node.lineno)))
        return self._at(node, [now, then, last])

    def visit_If(self, node):
        impure = effects(node.body + node.orelse, True).impure
        self._mark(node.test)
        self.generic_visit(node)
        names = effects(node.body + node.orelse).stored
        yes, no = self._name("then"), self._name("else")
        return self._at(node, [
            self._function(yes, names, node.body), self._function(no, names, node.orelse),
            _assign(names, helper("if_", node.test, _load(yes), _load(no), _tuple(names), _texts(names),
                                   ast.Constant(impure)))])

    def visit_While(self, node):
        if node.orelse:
            raise Refused("else of a while")
        impure = effects(node.body, True).impure
        self._mark(node.test)
        self.generic_visit(node)
        names = effects(node.body).stored
        test, body = self._name("test"), self._name("body")
        tester = ast.FunctionDef(test, ast.arguments([], [ast.arg(n) for n in names], None, [], [], None, []),
                                 [ast.Return(node.test)], [], None, None)
        return self._at(node, [
            tester, self._function(body, names, node.body),
            _assign(names, helper("while_", _load(test), _load(body), _tuple(names), _texts(names),
                                   ast.Constant(impure)))])

    def visit_For(self, node):
        if node.orelse:
            raise Refused("else of a for")
        impure = effects(node.body, True).impure
        self.generic_visit(node)
        item = self._name("item")
        body = [ast.Assign([node.target], _load(item))] + node.body
        names = [n for n in effects(body).stored if n != item]
        function = self._name("body")
        made = self._function(function, names, body)
        made.args.args.insert(0, ast.arg(item))
        stop = getattr(node, "stop", None)
        return self._at(node, [made, _assign(names, helper(
            "for_", self._iterable(node.iter), _load(function), _tuple(names), _texts(names),
            ast.Constant(names.index(stop) if stop in names else -1), ast.Constant(impure)))])

    def _iterable(self, node):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range" and not node.keywords:
            return helper("range_", *node.args)
        return node
