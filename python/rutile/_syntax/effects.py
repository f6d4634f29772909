# SPDX-License-Identifier: Apache-2.0
"""What a piece of code assigns, and whether it may stand in a branch of the graph."""

import ast

__all__ = ["HELPERS", "MADE", "Refused", "effects", "has", "helper", "sets_attribute"]

_CHANGING = frozenset(("append", "extend", "insert", "pop", "popitem", "setdefault", "appendleft"))
_WRITING = frozenset(("assign", "assign_add", "assign_sub"))  # statements that the graph has as well
HELPERS = "__rutile_syntax"  # the name of branches.py in rewritten functions
MADE = "__made_"  # what names of made functions begin with


class Refused(Exception):
    """A statement cannot be rewritten."""


class _Names(ast.NodeVisitor):
    def __init__(self, checked=False):
        self.checked = checked  # whether calls that stand alone are checked when they run
        self.stored = []
        self.impure = None  # the first line that has another effect than assigning names

    def _store(self, name):
        if name not in self.stored:
            self.stored.append(name)

    def _refuse(self, node, what):
        if self.impure is None:
            self.impure = f"{what} in line {getattr(node, 'lineno', 0)}"

    def visit_Name(self, node):
        if isinstance(node.ctx, (ast.Store, ast.Del)):
            self._store(node.id)

    def visit_Assign(self, node):
        if self.checked and sets_attribute(node):
            self.visit(node.value)
        else:
            self.generic_visit(node)

    visit_AugAssign = visit_Assign

    def visit_Attribute(self, node):
        if isinstance(node.ctx, ast.Store):
            self._refuse(node, f"an assignment to .{node.attr}")
        self.generic_visit(node)

    def visit_Subscript(self, node):
        if isinstance(node.ctx, ast.Store):
            self._refuse(node, "an assignment to a part of an object")
        self.generic_visit(node)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            f = node.value.func
            name = f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "")
            if name not in _WRITING and not self.checked:
                self._refuse(node, f"{name}() as a statement")
        self.generic_visit(node)

    def visit_Call(self, node):
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
            self._refuse(node, f".{node.func.attr}()")
        self.generic_visit(node)

    def _other(self, node):
        self._refuse(node, type(node).__name__.lower())
        self.generic_visit(node)

    visit_Raise = visit_Try = visit_With = visit_Delete = visit_Import = visit_ImportFrom = visit_ClassDef = _other

    def visit_FunctionDef(self, node):
        if not node.name.startswith(MADE):
            self._store(node.name)

    def visit_Lambda(self, node):
        pass

    def _comprehension(self, node):
        inner = _Names(self.checked)
        for child in ast.iter_child_nodes(node):
            inner.visit(child)
        if inner.impure:
            self.impure = self.impure or inner.impure

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


def effects(statements, checked=False):
    """The names that statements assign (`stored`), and what else they do (`impure`: None or a text). checked: calls that stand alone
    are checked when they run."""
    names = _Names(checked)
    for s in statements:
        names.visit(s)
    return names


def sets_attribute(node):
    """Whether a statement is name.attribute = value or += value, which is checked when it runs."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    private = isinstance(targets[0], ast.Attribute) and targets[0].attr.startswith("__")
    return len(targets) == 1 and isinstance(targets[0], ast.Attribute) and isinstance(targets[0].value, ast.Name) and not private


def has(statements, kinds, loops=False):
    """Whether one of these statements stands there, not in a function of its own; loops: nor in a loop of its own."""
    for s in statements:
        if isinstance(s, kinds):
            return True
        if isinstance(s, (ast.FunctionDef, ast.Lambda, ast.ClassDef)) or (loops and isinstance(s, (ast.For, ast.While))):
            continue
        for field in ("body", "orelse", "finalbody"):
            if has(getattr(s, field, None) or [], kinds, loops):
                return True
        for handler in getattr(s, "handlers", None) or []:
            if has(handler.body, kinds, loops):
                return True
    return False


def helper(name, *args):
    """A call of a helper in branches.py."""
    return ast.Call(ast.Attribute(ast.Name(HELPERS, ast.Load()), name, ast.Load()), list(args), [])
