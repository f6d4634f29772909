# SPDX-License-Identifier: Apache-2.0
"""The steps of recurrent networks as functions of their weights, and the base of cells of one's own."""

import math as _math

from rutile import _inner, ops
from rutile._rutile import Parameter
from rutile.common.initializer import Uniform, initializer
from rutile.nn import Cell
from rutile.nn.recurrent import GRUCell, LSTMCell, RNNCell, _positive

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


def _gates(inputs, hidden, w_ih, w_hh, b_ih, b_hh):
    return ops.dense(inputs, w_ih, b_ih), ops.dense(hidden, w_hh, b_hh)


def _rnn_tanh_cell(inputs, hidden, w_ih, w_hh, b_ih, b_hh):
    x, h = _gates(inputs, hidden, w_ih, w_hh, b_ih, b_hh)
    return ops.tanh(x + h)


def _rnn_relu_cell(inputs, hidden, w_ih, w_hh, b_ih, b_hh):
    x, h = _gates(inputs, hidden, w_ih, w_hh, b_ih, b_hh)
    return ops.relu(x + h)


def _lstm_cell(inputs, hidden, w_ih, w_hh, b_ih, b_hh):
    x, h = _gates(inputs, hidden[0], w_ih, w_hh, b_ih, b_hh)
    enter, forget, cell, leave = ops.chunk(x + h, 4, 1)
    c = ops.sigmoid(forget) * hidden[1] + ops.sigmoid(enter) * ops.tanh(cell)
    return ops.sigmoid(leave) * ops.tanh(c), c


def _gru_cell(inputs, hidden, w_ih, w_hh, b_ih, b_hh):
    x, h = _gates(inputs, hidden, w_ih, w_hh, b_ih, b_hh)
    (x_reset, x_update, x_new), (h_reset, h_update, h_new) = ops.chunk(x, 3, 1), ops.chunk(h, 3, 1)
    new = ops.tanh(x_new + ops.sigmoid(x_reset + h_reset) * h_new)
    return new + ops.sigmoid(x_update + h_update) * (hidden - new)


class RNNCellBase(Cell):
    """Weights of a recurrent cell with num_chunks gates: weight_ih, weight_hh and, with has_bias, bias_ih and bias_hh."""

    def __init__(self, input_size, hidden_size, has_bias, num_chunks, dtype="float32"):
        super().__init__()
        _positive(type(self).__name__, hidden_size=hidden_size, input_size=input_size)
        self.input_size, self.hidden_size, self.has_bias = input_size, hidden_size, has_bias
        rows, init = num_chunks * hidden_size, Uniform(1 / _math.sqrt(hidden_size))
        self.weight_ih = Parameter(initializer(init, (rows, input_size), dtype))
        self.weight_hh = Parameter(initializer(init, (rows, hidden_size), dtype))
        self.bias_ih = Parameter(initializer(init, (rows,), dtype)) if has_bias else None
        self.bias_hh = Parameter(initializer(init, (rows,), dtype)) if has_bias else None


__getattr__ = _inner.from_nn(__name__)
