# SPDX-License-Identifier: Apache-2.0
"""break, continue and early return as flags that are tested."""

import ast

from rutile._syntax.effects import Refused, has, helper

__all__ = ["DONE", "VALUE", "Flags"]

DONE, VALUE = "__returned", "__result"


def _always_returns(statements):
    """Whether no way leads to the end of the statements."""
    for s in statements:
        if isinstance(s, (ast.Return, ast.Raise)):
            return True
        if isinstance(s, ast.If) and _always_returns(s.body) and _always_returns(s.orelse):
            return True
    return False


def _load(name):
    return ast.Name(name, ast.Load())


def _flag(name, value):
    return ast.Assign([ast.Name(name, ast.Store())], ast.Constant(value))


def _guarded(statements, flags):
    """The statements behind one that may have set a flag run only where none is set."""
    if not statements:
        return []
    test = _load(flags[0]) if len(flags) == 1 else ast.BoolOp(ast.Or(), [_load(f) for f in flags])
    return [ast.If(ast.UnaryOp(ast.Not(), test), statements, [])]


class Flags:
    """Turns the jumps of a function into assignments of flags, and what follows them into ifs."""

    def __init__(self):
        self.count = 0

    def function(self, statements):
        """A body whose returns set a flag and a value."""
        last = statements[-1:] if isinstance(statements[-1], ast.Return) else []
        head = statements[:len(statements) - len(last)]
        if not has(head, ast.Return):
            return self.block(head, None, None) + last
        return ([_flag(DONE, False), _flag(VALUE, None)] + self.block(statements, None, None)
                + [ast.Return(_load(VALUE) if _always_returns(statements) else helper("result", _load(DONE), _load(VALUE)))])

    def block(self, statements, stop, skip):
        done = []
        for i, s in enumerate(statements):
            new, flags = self.statement(s, stop, skip)
            done += new
            if flags is None:
                return done  # nothing behind it runs
            if flags:
                return done + _guarded(self.block(statements[i + 1:], stop, skip), flags)
        return done

    def statement(self, s, stop, skip):
        """The statement with flags for its jumps, and the flags that it may set (None: it always jumps)."""
        if isinstance(s, ast.Return):
            value = s.value if s.value is not None else ast.Constant(None)
            return [ast.Assign([ast.Name(VALUE, ast.Store())], value), _flag(DONE, True)], None
        if isinstance(s, ast.Break):
            return [_flag(stop, True)], None
        if isinstance(s, ast.Continue):
            return [_flag(skip, True)], None
        if isinstance(s, ast.If):
            flags = [DONE] if has([s], ast.Return) else []
            if stop and has(s.body + s.orelse, ast.Break, loops=True):
                flags.append(stop)
            if skip and has(s.body + s.orelse, ast.Continue, loops=True):
                flags.append(skip)
            return [ast.copy_location(ast.If(s.test, self.block(s.body, stop, skip), self.block(s.orelse, stop, skip)), s)], flags
        if isinstance(s, (ast.While, ast.For)):
            return self.loop(s)
        if has([s], (ast.Return, ast.Break, ast.Continue)) and not isinstance(s, (ast.FunctionDef, ast.ClassDef)):
            raise Refused(f"a jump out of {type(s).__name__.lower()} in line {s.lineno}")
        return [s], []

    def loop(self, s):
        returns = has(s.body, ast.Return)
        stops = returns or has(s.body, ast.Break, loops=True)
        self.count += 1
        stop, skip = f"__stop_{self.count}", f"__skip_{self.count}"
        skips = has(s.body, ast.Continue, loops=True)
        body = self.block(s.body, stop, skip)
        if skips:
            body = [_flag(skip, False)] + body
        if returns:
            body.append(ast.If(_load(DONE), [_flag(stop, True)], []))
        before = [_flag(stop, False)] if stops else []
        if skips:
            before.append(_flag(skip, False))
        if isinstance(s, ast.While):
            test = ast.BoolOp(ast.And(), [ast.UnaryOp(ast.Not(), _load(stop)), s.test]) if stops else s.test
            new = ast.While(test, body, s.orelse)
        else:
            new = ast.For(s.target, s.iter, body, s.orelse)
            new.stop = stop if stops else None
        return before + [ast.copy_location(new, s)], [DONE] if returns else []
