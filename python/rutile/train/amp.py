# SPDX-License-Identifier: Apache-2.0
"""Mixed precision for networks, and the training step that goes with it."""

import logging as _logging

from rutile import _hints, _rutile
from rutile import dtype as _dtype
from rutile import nn
from rutile._rutile import Tensor
from rutile.ops import operations as _P

_errors, _log = _rutile.errors, _logging.getLogger("rutile")

__all__ = ["auto_mixed_precision", "build_train_network", "custom_mixed_precision", "get_black_list", "get_white_list"]

LEVELS = ("O0", "O1", "O2", "O3", "auto")

_WHITE = ("Conv1d", "Conv2d", "Conv3d", "Conv1dTranspose", "Conv2dTranspose", "Conv3dTranspose", "Dense", "LSTMCell",
          "RNNCell", "GRUCell")
_WHITE_PRIMITIVES = ("Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "MatMul", "BatchMatMul", "PReLU", "ReLU",
                     "Ger")
_BLACK = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm")


def _found(module, names):
    return [getattr(module, n) for n in names if hasattr(module, n)]


def get_white_list():
    """The Cells and primitives that level O1 computes in low precision.

    >>> from rutile import amp, nn
    >>> nn.Conv2d in amp.get_white_list()
    True
    """
    return _found(nn, _WHITE) + _found(_P, _WHITE_PRIMITIVES)


def get_black_list():
    """The Cells that level O2 keeps in float32: norms.

    >>> from rutile import amp, nn
    >>> nn.BatchNorm2d in amp.get_black_list()
    True
    """
    return _found(nn, _BLACK)


def _map(fn, x):
    if isinstance(x, Tensor):
        return fn(x)
    return type(x)(_map(fn, v) for v in x) if isinstance(x, (tuple, list)) else x


def _cast_low_to(dtype):
    low = ("float16", "bfloat16")
    return lambda x: x.cast(dtype) if x.dtype.name in low else x


_to_float32 = _cast_low_to("float32")


def _float32_out(cell, inputs, output):
    return _map(_to_float32, output)


def _float32_in(cell, inputs):
    return _map(_to_float32, inputs)


def _low_in(dtype):
    def hook(cell, inputs):
        return _map(lambda x: x.cast(dtype) if x.dtype.name in ("float32", "float64") else x, inputs)

    return hook


# Norms take a low precision input beside float32 parameters and statistics.
def _is_norm(cell):
    return isinstance(cell, tuple(get_black_list()))


def _check(network, dtype):
    if not isinstance(network, nn.Cell):
        raise _errors.TypeError(f"mixed precision is for Cells, got {type(network).__name__}")
    if dtype not in ("float16", "bfloat16"):
        raise _errors.ValueError(f"mixed precision is float16 or bfloat16, got {dtype}")


def _white(network, cells, dtype):
    """These Cells compute in low precision and give float32."""
    for _, cell in list(network.cells_and_names()):
        if type(cell) in cells:
            cell.to_float(dtype)
            cell.register_forward_pre_hook(_low_in(dtype))
            cell.register_forward_hook(_float32_out)


def _black(network, cells, dtype):
    """All but these Cells compute in low precision."""
    network.to_float(dtype)
    for _, cell in list(network.cells_and_names()):
        if type(cell) in cells:
            cell.to_float(_dtype.float32)
            if not _is_norm(cell):
                cell.register_forward_pre_hook(_float32_in)


def _lower(network, level, dtype):
    """All but the float32 of the result."""
    if level == "O1":
        _white(network, get_white_list(), dtype)
    elif level == "O2":
        _black(network, get_black_list(), dtype)
    elif level != "O0":
        network.to_float(dtype)


def auto_mixed_precision(network, amp_level="O0", dtype=_dtype.float16):
    """Makes a network compute in float16 or bfloat16 where its level says so; returns the network.

    O0: nowhere. O1: Cells of get_white_list() (matrix products, convolutions), their results are float32 again. O2: all
    Cells but get_black_list(), the network's result is float32. O3: all, the result is float32. auto: the ops that gain
    by it. Parameters stay float32; within a Cell sums, norms, exponentials and losses are computed in float32 at every
    level, so O3 is no less exact than O2. A function can have the level "auto".

    >>> import rutile
    >>> from rutile import amp, nn
    >>> net = amp.auto_mixed_precision(nn.SequentialCell(nn.Dense(4, 4), nn.ReLU()), "O2")
    >>> net(rutile.ops.ones((1, 4))).dtype
    rutile.float32
    """
    if amp_level == "auto" and callable(network) and not isinstance(network, nn.Cell):
        return _auto_function(network, dtype)
    _check(network, dtype)
    if amp_level not in LEVELS:
        raise _errors.ValueError(f"the amp level is one of {list(LEVELS)}, got {amp_level!r}")
    if amp_level == "O0":
        return network
    if network.__dict__.get("_amp_level"):
        _log.warning("auto_mixed_precision: %s has level %s already", type(network).__name__, network._amp_level)
    network.__dict__["_amp_level"] = amp_level
    _lower(network, amp_level, dtype)
    if amp_level in ("O2", "O3"):
        network.register_forward_hook(_float32_out)
    return network


def _auto_function(fn, dtype):
    import functools

    @functools.wraps(fn)
    def low(*args, **kwargs):
        return _rutile.in_cell(getattr(fn, "__name__", "function"), dtype, fn, *args, **kwargs)

    return low


def custom_mixed_precision(network, *, white_list=None, black_list=None, dtype=_dtype.float16):
    """As auto_mixed_precision's O1 with another white list of Cells, or its O2 with another black list.

    >>> import rutile
    >>> from rutile import amp, nn
    >>> net = amp.custom_mixed_precision(nn.SequentialCell(nn.Dense(4, 4)), white_list=[nn.Dense])
    """
    if not isinstance(network, nn.Cell):
        raise _errors.TypeError(f"custom_mixed_precision takes a Cell, got {type(network).__name__}")
    if (white_list is None) == (black_list is None):
        raise _errors.ValueError("custom_mixed_precision takes either white_list or black_list")
    _check(network, dtype)
    which, cells = ("white_list", white_list) if white_list is not None else ("black_list", black_list)
    kinds = (nn.Cell, _P.Primitive) if which == "white_list" else (nn.Cell,)
    if not isinstance(cells, list) or not all(isinstance(c, type) and issubclass(c, kinds) for c in cells):
        raise _errors.TypeError(f"custom_mixed_precision: {which} must be a list of classes of Cells, got {cells!r}")
    if white_list is not None:
        _white(network, cells, dtype)
    else:
        _black(network, cells, dtype)
        network.register_forward_hook(_float32_out)
    return network


def prepare(network, loss_fn, level, keep_batchnorm_fp32=None):
    """The network at a level (its results as they come), its loss in float32."""
    _check(network, "float16")
    _lower(network, "O3" if keep_batchnorm_fp32 is False and level == "O2" else level, _dtype.float16)
    if loss_fn is not None and level != "O0":
        loss_fn.to_float(_dtype.float32)
        loss_fn.register_forward_pre_hook(_float32_in)


def training_step(network, optimizer, scaler, who):
    """The Cell that trains a network (which gives its loss), by a loss scale manager or without."""
    if scaler is None:
        return nn.TrainOneStepCell(network, optimizer).set_train()
    update = scaler.get_update_cell()
    if update is None:
        return nn.TrainOneStepCell(network, optimizer, scaler.get_loss_scale()).set_train()
    if optimizer.loss_scale != 1.0:
        raise _errors.ValueError(f"[{who}] the loss is scaled and unscaled by the step: the optimizer's loss_scale must "
                                 f"be 1, got {optimizer.loss_scale}")
    return nn.TrainOneStepWithLossScaleCell(network, optimizer, update).set_train()


def build_train_network(network, optimizer, loss_fn=None, level="O0", boost_level="O0", **kwargs):
    """A training step of a network with its loss, at a level of mixed precision.

    loss_scale_manager: how the loss is scaled; level O2 has a DynamicLossScaleManager unless another or None is given.
    keep_batchnorm_fp32=False makes O2 O3. cast_model_type "float16" or "bfloat16" is level O3 in that dtype.

    >>> import rutile
    >>> from rutile import amp, nn
    >>> net = nn.Dense(2, 1)
    >>> step = amp.build_train_network(net, nn.SGD(net.trainable_params(), 0.1), nn.MSELoss(), level="O0")
    >>> step(rutile.ops.ones((4, 2)), rutile.ops.ones((4, 1))).shape
    ()
    """
    from rutile.train.loss_scale_manager import DynamicLossScaleManager
    known = ("loss_scale_manager", "keep_batchnorm_fp32", "cast_model_type")
    for name in kwargs:
        if name not in known:
            raise _errors.ValueError(f"build_train_network: there is no argument {name!r}{_hints.close(name, known)}; others are "
                                     f"{list(known)}")
    if not isinstance(optimizer, nn.Optimizer):
        raise _errors.TypeError(f"build_train_network: optimizer must be an Optimizer, got {type(optimizer).__name__}")
    if level not in LEVELS:
        raise _errors.ValueError(f"build_train_network: level is one of {list(LEVELS)}, got {level!r}")
    cast = kwargs.get("cast_model_type")
    if cast is not None and cast != "float32" and level in ("O0", "O3"):
        auto_mixed_precision(network, "O3", cast if isinstance(cast, _dtype.DType) else getattr(_dtype, str(cast)))
    else:
        prepare(network, loss_fn, level, kwargs.get("keep_batchnorm_fp32"))
    scaler = kwargs.get("loss_scale_manager")
    if level == "O2" and "loss_scale_manager" not in kwargs:
        scaler = DynamicLossScaleManager()
    network = nn.WithLossCell(network, loss_fn) if loss_fn is not None else network
    return training_step(network, optimizer, scaler, "build_train_network")
