# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers and their cells, by MindSpore's names, weight names and gate order (input, forget, cell, output of an
LSTM; reset, update, new of a GRU)."""

import math as _math

from rutile import _rutile
from rutile import ops
from rutile._rutile import Parameter, Tensor
from rutile.common.initializer import Uniform, initializer
from rutile.common.parameter import ParameterTuple
from rutile.nn.cell import Cell
from rutile.nn.layer import _positive
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"]

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def _floating(x):
    return isinstance(x, Tensor) and x.dtype.name in ("float16", "bfloat16", "float32", "float64")


def _sequence(kind, x, h, c, w_ih, w_hh, b_ih, b_hh, lengths, reverse, w_hr=None):
    """One direction of one layer: (y [t, n, h], h, c)."""
    # The inputs of all steps in one product; only a gru needs its second bias apart.
    apart = kind == "gru" or b_ih is None
    gx = table.linear(x, w_ih, b_ih if apart else b_ih + b_hh)
    if gx.dtype.name in ("float16", "bfloat16"):
        gx, h, w_hh = gx.cast("float32"), h.cast("float32"), w_hh.cast("float32")
        c = None if c is None else c.cast("float32")
        b_hh, w_hr = (None if v is None else v.cast("float32") for v in (b_hh, w_hr))
    y, h, c = table.recurrent(gx, h, w_hh, c, b_hh if apart else None, lengths, w_hr, kind=kind, reverse=reverse)[:3]
    return y, h, c


class _Recurrent(Cell):
    def _setup(self, kind, input_size, hidden_size, num_layers=1, has_bias=True, batch_first=False, dropout=0.0,
               bidirectional=False, dtype="float32", *, proj_size=0):
        name = type(self).__name__
        _positive(name, hidden_size=hidden_size, input_size=input_size, num_layers=num_layers)
        for key, v in (("has_bias", has_bias), ("batch_first", batch_first), ("bidirectional", bidirectional)):
            if not isinstance(v, bool):
                raise _errors.TypeError(f"[{name}] {key} must be a bool, got {type(v).__name__}")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)):
            raise _errors.TypeError(f"[{name}] dropout must be a float, got {type(dropout).__name__}")
        if not 0 <= dropout < 1:
            raise _errors.ValueError(f"[{name}] dropout must be in [0, 1), got {dropout}")
        self._kind, self.input_size, self.hidden_size, self.num_layers = kind, input_size, hidden_size, num_layers
        self.has_bias, self.batch_first, self.dropout, self.bidirectional = has_bias, batch_first, float(dropout), bidirectional
        if isinstance(proj_size, bool) or not isinstance(proj_size, int) or not 0 <= proj_size < hidden_size:
            raise _errors.ValueError(f"[{name}] proj_size must be an int from 0 to below hidden_size, got {proj_size!r}")
        if proj_size and kind != "lstm":
            raise _errors.ValueError(f"[{name}] proj_size is for an LSTM alone, got {proj_size}")
        self.proj_size, self._width = proj_size, proj_size or hidden_size
        rows, ways, init = _GATES[kind] * hidden_size, 1 + bidirectional, Uniform(1 / _math.sqrt(hidden_size))
        lists = {"w_ih": [], "w_hh": [], "b_ih": [], "b_hh": []}
        lists.update({"w_hr": []} if proj_size else {})
        for i in range(num_layers * ways):
            end = f"_l{i // ways}" + ("_reverse" if i % ways else "")
            width = input_size if i < ways else self._width * ways
            shapes = {"w_ih": (rows, width), "w_hh": (rows, self._width)}
            shapes.update({"b_ih": (rows,), "b_hh": (rows,)} if has_bias else {})
            shapes.update({"w_hr": (proj_size, hidden_size)} if proj_size else {})
            for key, shape in shapes.items():
                full = key.replace("w_", "weight_").replace("b_", "bias_") + end
                lists[key].append(Parameter(initializer(init, shape, dtype), name=full))
        # Grouped by kind: the order in which MindSpore lists and saves them.
        for key, found in lists.items():
            setattr(self, f"{key}_list", ParameterTuple(found))

    def _start(self, x, hx):
        """(h, c) of all layers and directions, [layers * ways, n, h]; c None unless of an LSTM."""
        name, lstm = type(self).__name__, self._kind == "lstm"
        front = (self.num_layers * (1 + self.bidirectional), x.shape[1])
        shapes = ((*front, self._width), (*front, self.hidden_size))
        if hx is None:
            return table.full(shapes[0], 0.0, x.dtype.name), table.full(shapes[1], 0.0, x.dtype.name) if lstm else None
        if lstm and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise _errors.TypeError(f"[{name}] hx must be the tuple (h, c), got {type(hx).__name__}")
        states = tuple(hx) if lstm else (hx,)
        for state, shape in zip(states, shapes):
            if not isinstance(state, Tensor):
                raise _errors.TypeError(f"[{name}] hx must be a Tensor, got {type(state).__name__}")
            if state.dtype != x.dtype:
                raise _errors.TypeError(f"[{name}] hx must have the dtype of x, {x.dtype}, got {state.dtype}")
            if state.shape != shape:
                raise _errors.ValueError(f"[{name}] hx must have the shape {shape}, got {state.shape}")
        return states[0], states[1] if lstm else None

    def _single(self, x, hx):
        """A batch of one, whose states [layers * ways, hidden_size] and results are without the batch, too."""
        def each(states, f):
            if isinstance(states, (tuple, list)):
                return tuple(each(v, f) for v in states)
            return f(states) if isinstance(states, Tensor) else states

        hx = each(hx, lambda v: v.expand_dims(1) if v.ndim == 2 else v)
        at = 0 if self.batch_first else 1
        y, states = self.construct(x.expand_dims(at), hx)
        return y.squeeze(at), each(states, lambda v: v.squeeze(1))

    def construct(self, x, hx=None, seq_length=None):
        name = type(self).__name__
        if not _floating(x):
            raise _errors.TypeError(f"[{name}] x must be a Tensor of floats, got {getattr(x, 'dtype', type(x).__name__)}")
        if x.ndim == 2 and seq_length is None:  # one sequence [t, input_size]
            return self._single(x, hx)
        if x.ndim != 3 or x.shape[2] != self.input_size:
            raise _errors.ValueError(f"[{name}] expects 3 dimensions, the last {self.input_size}, got {x.shape}")
        x = x.swapaxes(0, 1) if self.batch_first else x
        h, c = self._start(x, hx)
        if seq_length is not None:
            if not isinstance(seq_length, Tensor) or seq_length.dtype.name not in ("int32", "int64"):
                raise _errors.TypeError(f"[{name}] seq_length must be a Tensor of int32 or int64")
            if seq_length.shape != (x.shape[1],):
                raise _errors.ValueError(f"[{name}] seq_length must have the shape {(x.shape[1],)}, got {seq_length.shape}")
            seq_length = seq_length.cast("int64")
            alive = (table.arange(0, x.shape[0]).reshape(-1, 1, 1) < seq_length.reshape(1, -1, 1)).cast(x.dtype)
        dtype, ways = x.dtype, 1 + self.bidirectional
        hs, cs = [], []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = ops.dropout(x, self.dropout)
            outputs = []
            for way in range(ways):
                i = layer * ways + way
                bias = (self.b_ih_list[i].value(), self.b_hh_list[i].value()) if self.has_bias else (None, None)
                projection = self.w_hr_list[i].value() if self.proj_size else None
                y, last, cell = _sequence(self._kind, x, h[i], None if c is None else c[i], self.w_ih_list[i].value(),
                                          self.w_hh_list[i].value(), *bias, seq_length, way == 1, projection)
                outputs.append(y.cast(dtype))
                hs.append(last.cast(dtype))
                cs.append(cell.cast(dtype) if c is not None else None)
            x = outputs[0] if ways == 1 else table.concat(outputs, axis=2)
            x = x if seq_length is None else x * alive
        y = x.swapaxes(0, 1) if self.batch_first else x
        return (y, ops.stack(hs)) if c is None else (y, (ops.stack(hs), ops.stack(cs)))

    def extend_repr(self):
        return (f"input_size={self.input_size}, hidden_size={self.hidden_size}, num_layers={self.num_layers}, "
                f"has_bias={self.has_bias}, batch_first={self.batch_first}, dropout={self.dropout}, "
                f"bidirectional={self.bidirectional}" + (f", proj_size={self.proj_size}" if self.proj_size else ""))


class RNN(_Recurrent):
    """Elman's network (tanh or relu): (y, h) of x [t, n, input_size] and h [layers * ways, n, hidden_size].

    RNN(input_size, hidden_size, num_layers=1, has_bias=True, batch_first=False, dropout=0.0, bidirectional=False,
    nonlinearity="tanh"). Calls take (x, hx=None, seq_length=None); behind seq_length [n] y is zero and h stands still.
    Of one sequence [t, input_size] all is without the batch, of the other two as well.

    >>> from rutile import nn, ops
    >>> y, h = nn.RNN(3, 4, batch_first=True)(ops.ones((2, 5, 3)))
    >>> y.shape, h.shape
    ((2, 5, 4), (1, 2, 4))
    """

    def __init__(self, *args, nonlinearity="tanh", **kwargs):
        super().__init__()
        if nonlinearity not in ("tanh", "relu"):
            raise _errors.ValueError(f"[RNN] nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
        self._setup("rnn_" + nonlinearity, *args, **kwargs)


class GRU(_Recurrent):
    """Cho et al., 2014: (y, h) of x [t, n, input_size] and h [layers * ways, n, hidden_size].

    GRU(input_size, hidden_size, num_layers=1, has_bias=True, batch_first=False, dropout=0.0, bidirectional=False). Calls
    take (x, hx=None, seq_length=None); behind seq_length [n] y is zero and h stands still.
    """

    def __init__(self, *args, **kwargs):
        super().__init__()
        self._setup("gru", *args, **kwargs)


class LSTM(_Recurrent):
    """Hochreiter and Schmidhuber, 1997: (y, (h, c)) of x [t, n, input_size] and (h, c), each [layers * ways, n,
    hidden_size].

    LSTM(input_size, hidden_size, num_layers=1, has_bias=True, batch_first=False, dropout=0.0, bidirectional=False). Calls
    take (x, hx=None, seq_length=None); behind seq_length [n] y is zero and the states stand still. With proj_size
    (keyword only; Sak et al., 2014) y and h have so many numbers in place of hidden_size: h' = w_hr (o tanh(c')).

    >>> from rutile import nn, ops
    >>> y, (h, c) = nn.LSTM(3, 4, num_layers=2, bidirectional=True)(ops.ones((5, 2, 3)))
    >>> y.shape, c.shape
    ((5, 2, 8), (4, 2, 4))
    """

    def __init__(self, *args, **kwargs):
        super().__init__()
        self._setup("lstm", *args, **kwargs)


class _RecurrentCell(Cell):
    def _setup(self, kind, input_size, hidden_size, has_bias, dtype):
        name = type(self).__name__
        _positive(name, hidden_size=hidden_size, input_size=input_size)
        if not isinstance(has_bias, bool):
            raise _errors.TypeError(f"[{name}] has_bias must be a bool, got {type(has_bias).__name__}")
        self._kind, self.input_size, self.hidden_size, self.has_bias = kind, input_size, hidden_size, has_bias
        rows, init = _GATES[kind] * hidden_size, Uniform(1 / _math.sqrt(hidden_size))
        self.weight_ih = Parameter(initializer(init, (rows, input_size), dtype))
        self.weight_hh = Parameter(initializer(init, (rows, hidden_size), dtype))
        self.bias_ih = Parameter(initializer(init, (rows,), dtype)) if has_bias else None
        self.bias_hh = Parameter(initializer(init, (rows,), dtype)) if has_bias else None

    def _step(self, x, h, c=None):
        name = type(self).__name__
        for v in (x, h) + (() if c is None else (c,)):
            if not _floating(v):
                raise _errors.TypeError(f"[{name}] x and hx must be Tensors of floats, got "
                                        f"{getattr(v, 'dtype', type(v).__name__)}")
        if x.ndim == 1 and h.ndim == 1:
            h, c = self._step(x.expand_dims(0), h.expand_dims(0), None if c is None else c.expand_dims(0))
            return h.squeeze(0), None if c is None else c.squeeze(0)
        if x.ndim != 2 or h.shape != (x.shape[0], self.hidden_size) or x.shape[1] != self.input_size:
            raise _errors.ValueError(f"[{name}] expects [n, {self.input_size}] and [n, {self.hidden_size}], got {x.shape} "
                                     f"and {h.shape}")
        bias = (self.bias_ih.value(), self.bias_hh.value()) if self.has_bias else (None, None)
        _, h, c = _sequence(self._kind, x.expand_dims(0), h, c, self.weight_ih.value(), self.weight_hh.value(), *bias, None,
                            False)
        return h.cast(x.dtype), c.cast(x.dtype) if self._kind == "lstm" else None

    def extend_repr(self):
        return f"input_size={self.input_size}, hidden_size={self.hidden_size}, has_bias={self.has_bias}"


class RNNCell(_RecurrentCell):
    """One step of an RNN: h' of (x [n, input_size], h [n, hidden_size])."""

    def __init__(self, input_size, hidden_size, has_bias=True, nonlinearity="tanh", dtype="float32"):
        super().__init__()
        if nonlinearity not in ("tanh", "relu"):
            raise _errors.ValueError(f"[RNNCell] nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        self._setup("rnn_" + nonlinearity, input_size, hidden_size, has_bias, dtype)

    def construct(self, x, hx):
        return self._step(x, hx)[0]


class GRUCell(_RecurrentCell):
    """One step of a GRU: h' of (x [n, input_size], h [n, hidden_size])."""

    def __init__(self, input_size, hidden_size, has_bias=True, dtype="float32"):
        super().__init__()
        self._setup("gru", input_size, hidden_size, has_bias, dtype)

    def construct(self, x, hx):
        return self._step(x, hx)[0]


class LSTMCell(_RecurrentCell):
    """One step of an LSTM: (h', c') of (x [n, input_size], (h, c)), each [n, hidden_size]."""

    def __init__(self, input_size, hidden_size, has_bias=True, dtype="float32"):
        super().__init__()
        self._setup("lstm", input_size, hidden_size, has_bias, dtype)

    def construct(self, x, hx):
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise _errors.TypeError(f"[LSTMCell] hx must be the tuple (h, c), got {type(hx).__name__}")
        return self._step(x, *hx)
