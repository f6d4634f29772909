# SPDX-License-Identifier: Apache-2.0
"""Finding the op that goes wrong, and seeing what a network is made of."""

from rutile import _rutile

_errors = _rutile.errors

__all__ = ["detect_anomaly", "explain", "summary", "verify"]


def detect_anomaly(nan=True, inf=True):
    """A context in which the first op that writes a NaN (an infinity) raises ValueError, eagerly and compiled.

    The message names the op, the first element, the shapes, the Cell and the line of the forward call, also when it
    happens in backward. It costs a pass over every result. inf=False lets masks of -inf through.

    >>> import rutile
    >>> with rutile.debug.detect_anomaly():
    ...     try:
    ...         rutile.ops.log(rutile.Tensor([1.0, -1.0]))
    ...     except ValueError as e:
    ...         print(str(e).split(";")[0])
    [log] gives 1 nan among 2 elements, the first at [1]
    """
    return _rutile.DetectAnomaly(nan, inf)


def _compiled(fn, args):
    """The compiled function behind a Cell or function, and what it is called with."""
    from rutile.nn.cell import Cell
    if isinstance(fn, Cell):
        return fn._compiled_function(), (fn._tree_key(), args, {})
    if isinstance(fn, _rutile.JitFunction):
        return fn, args
    if not callable(fn):
        raise _errors.TypeError(f"takes a Cell or a function, got {type(fn).__name__}")
    return _rutile.JitFunction(fn, ""), args


def explain(fn, *args):
    """Why a compiled Cell or function takes its time: passes, fusions and what stood against them, reorders, memory, and
    each kernel beside its limit. str() of the result is the report; .write(folder) and .to_json() give it as files.

    It runs the function a few times (some seconds) and puts all Parameters back.
    """
    compiled, given = _compiled(fn, args)
    return compiled.explain(*given)


def verify(fn, *args):
    """Holds each node of a compiled Cell or function against its reference kernel on these arguments, and the graph after
    each pass against the one that was traced; Parameters stay as they are. The result has .ok, .nodes and a text.

    >>> import rutile
    >>> from rutile import nn
    >>> rutile.verify(nn.Dense(3, 2), rutile.ops.ones((1, 3))).ok
    True
    """
    compiled, given = _compiled(fn, args)
    return compiled.verify(*given)


class _Row:
    def __init__(self, path, cell, output, own):
        self.path, self.type, self.output, self.parameters = path, type(cell).__name__, output, own


class Summary:
    """The rows of a network: path, type, output shapes and own parameters; as text by str()."""

    def __init__(self, rows, total, trainable):
        self.rows, self.parameters, self.trainable = rows, total, trainable

    def __str__(self):
        lines = [("Cell", "Output", "Parameters")]
        for r in self.rows:
            depth = r.path.count(".") + 1 if r.path else 0
            name = r.path.rpartition(".")[2]
            lines.append((f"{'  ' * depth}{r.type}{f' ({name})' if name else ''}", r.output, f"{r.parameters:,}" if r.parameters else "-"))
        widths = [max(len(line[i]) for line in lines) for i in range(3)]
        out = [f"{a.ljust(widths[0])}  {b.ljust(widths[1])}  {c.rjust(widths[2])}" for a, b, c in lines]
        rule = "-" * len(out[0])
        end = [f"parameters: {self.parameters:,}, {self.trainable:,} of them trainable ({self.parameters * 4 / 2**20:.2f} MB in float32)"]
        return "\n".join([out[0], rule, *out[1:], rule, *end])

    __repr__ = __str__


def _shapes(out):
    if isinstance(out, _rutile.Tensor):
        return str(list(out.shape))
    if isinstance(out, (tuple, list)):
        return ", ".join(_shapes(o) for o in out)
    return type(out).__name__


def _example(x):
    if isinstance(x, _rutile.Tensor):
        return x
    if isinstance(x, (tuple, list)) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in x):
        from rutile import ops
        return ops.ones(tuple(x))
    raise _errors.TypeError(f"[summary] inputs are Tensors or shapes, got {x!r}")


def summary(net, *inputs):
    """The Cells of a network in the order in which they run, with the shapes that they give and their parameters.

    inputs: Tensors, or shapes of float32 ones. The network runs once, op by op, in evaluation mode.

    >>> import rutile
    >>> from rutile import nn
    >>> print(rutile.summary(nn.SequentialCell(nn.Dense(3, 4), nn.ReLU()), (2, 3)))
    Cell            Output  Parameters
    ----------------------------------
    SequentialCell  [2, 4]           -
      Dense (0)     [2, 4]          16
      ReLU (1)      [2, 4]           -
    ----------------------------------
    parameters: 16, 16 of them trainable (0.00 MB in float32)
    """
    from rutile import context
    from rutile.nn.cell import Cell
    if not isinstance(net, Cell):
        raise _errors.TypeError(f"[summary] takes a Cell, got {type(net).__name__}")
    paths = {id(cell): path for path, cell in net.cells_and_names()}
    rows, handles, outputs = [], [], {}

    def note(cell, args):
        if id(cell) not in outputs:
            outputs[id(cell)] = ""
            own = sum(p.size for p in cell._params.values() if p is not None)
            rows.append((cell, _Row(paths[id(cell)], cell, "", own)))

    def give(cell, args, out):
        outputs[id(cell)] = _shapes(out)

    training, mode = net.training, context.get_context("mode")
    try:
        for _, cell in net.cells_and_names():
            handles += [cell.register_forward_pre_hook(note), cell.register_forward_hook(give)]
        net.set_train(False)
        context.set_context(mode=context.PYNATIVE_MODE)
        net(*map(_example, inputs))
    finally:
        context.set_context(mode=mode)
        net.set_train(training)
        for handle in handles:
            handle.remove()
    for cell, row in rows:
        row.output = outputs[id(cell)]
    parameters = list(net.get_parameters())
    return Summary([row for _, row in rows], sum(p.size for p in parameters), sum(p.size for p in parameters if p.requires_grad))
