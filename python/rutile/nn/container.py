# SPDX-License-Identifier: Apache-2.0
"""Cells in order."""

from rutile import _rutile
from rutile.nn.cell import Cell

_errors = _rutile.errors

__all__ = ["CellDict", "CellList", "SequentialCell"]


class _Ordered(Cell):
    """Cells by number; renumbered when one comes or goes in the middle."""

    def _fill(self, cells):
        for cell in cells:
            self.append(cell)

    def append(self, cell):
        """Adds a Cell at the end; returns this one."""
        if not isinstance(cell, Cell):
            raise _errors.TypeError(f"{type(self).__name__} holds Cells, got {type(cell).__name__}")
        place = len(self._cells)
        while str(place) in self._cells:  # of a slice, whose Cells keep their names
            place += 1
        setattr(self, str(place), cell)
        return self

    def extend(self, cells):
        """Adds Cells at the end; returns this one."""
        self._fill(cells)
        return self

    def __iadd__(self, cells):
        return self.extend(cells)

    def insert(self, index, cell):
        """Adds a Cell before a place."""
        rest = Cell.cells(self)
        rest.insert(index, cell)
        self._renumber(rest)

    def _renumber(self, cells):
        self._cells.clear()
        for i, cell in enumerate(cells):
            setattr(self, str(i), cell)

    def __len__(self):
        return len(self._cells)

    def __iter__(self):
        return iter(Cell.cells(self))

    def __bool__(self):
        return len(self._cells) > 0

    def _at(self, index):
        n = len(self._cells)
        if isinstance(index, _rutile.Tensor) and not _rutile.is_traced(index):
            index = index.item()
        if isinstance(index, bool) or not isinstance(index, int):
            raise _errors.TypeError(f"{type(self).__name__} is indexed by int or slice, got {type(index).__name__}")
        if not -n <= index < n:
            raise _errors.IndexError(f"index {index} is out of range for {n} Cells")
        return index % n

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(Cell.cells(self)[index])
        return self._cells[str(self._at(index))]

    def __setitem__(self, index, cell):
        if not isinstance(cell, Cell):
            raise _errors.TypeError(f"{type(self).__name__} holds Cells, got {type(cell).__name__}")
        setattr(self, list(self._cells)[self._at(index)], cell)

    def __delitem__(self, index):
        rest = Cell.cells(self)
        if isinstance(index, slice):
            del rest[index]
        else:
            del rest[self._at(index)]
        self._renumber(rest)


class SequentialCell(_Ordered):
    """Cells one after the other: SequentialCell([a, b]), SequentialCell(a, b) or of an OrderedDict."""

    def __init__(self, *args):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], dict):
            for name, cell in args[0].items():
                self.insert_child_to_cell(name, cell)
        else:
            self._fill(args[0] if len(args) == 1 and not isinstance(args[0], Cell) else args)

    def __getitem__(self, index):
        if isinstance(index, slice):  # its Cells keep their names
            return type(self)(dict(list(self._cells.items())[index]))
        return Cell.cells(self)[self._at(index)]

    def construct(self, x):
        for cell in self._cells.values():
            x = cell(x)
        return x


class _Uncalled:
    """Holds Cells that others call: their names begin with its own, "blocks.0"."""

    def _set_scope(self, scope):
        below = [(name, cell) for name, cell in self._cells.items() if cell is not None and cell._scope == self._scope_below(name)]
        super()._set_scope(scope)
        for name, cell in below:
            cell._set_scope(self._scope_below(name))

    def _scope_below(self, name):
        return f"{self._scope}.{name}" if self._scope else name


class CellList(_Uncalled, _Ordered):
    """Cells as a list; it is not called itself."""

    def __init__(self, *args, auto_prefix=True):
        super().__init__(auto_prefix)
        self._fill(args[0] if len(args) == 1 and not isinstance(args[0], Cell) else args)


class CellDict(_Uncalled, Cell):
    """Cells by name; it is not called itself."""

    def __init__(self, *args, auto_prefix=True):
        super().__init__(auto_prefix)
        if args:
            self.update(args[0])

    def update(self, cells):
        """Adds the Cells of a dict (or of pairs)."""
        for name, cell in cells.items() if hasattr(cells, "items") else cells:
            self[name] = cell

    def __setitem__(self, name, cell):
        if name in self._cells:
            setattr(self, name, cell)
        else:
            self.insert_child_to_cell(name, cell)

    def __getitem__(self, name):
        return self._cells[name]

    def __delitem__(self, name):
        delattr(self, name)

    def clear(self):
        """Takes all Cells away."""
        for name in list(self._cells):
            del self[name]

    def pop(self, key):
        """Takes a Cell away and returns it."""
        cell = self[key]
        del self[key]
        return cell

    def __len__(self):
        return len(self._cells)

    def __iter__(self):
        return iter(self._cells)

    def __contains__(self, name):
        return name in self._cells

    def keys(self):
        """The names."""
        return self._cells.keys()

    def values(self):
        """The Cells."""
        return self._cells.values()

    def items(self):
        """(name, Cell)"""
        return self._cells.items()
