# SPDX-License-Identifier: Apache-2.0
"""The update rules of optimizers as primitives: each writes its first inputs and returns them.

A rule is (what is written, further inputs, function): the function gets all inputs by name and gives the new values.
"""

from rutile._rutile import Tensor
from rutile._rutile import ops as _table


def _number(x):
    return x.asnumpy().item() if isinstance(x, Tensor) and x.size == 1 else x


def _momentum(p, variable, accumulation, learning_rate, gradient, momentum):
    scale = getattr(p, "gradient_scale", 1.0)
    g = gradient if scale == 1.0 else gradient * scale
    a = accumulation * momentum + g
    return variable - learning_rate * (g + momentum * a if p.use_nesterov else a), a


def _adam_step(m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, g, nesterov=False):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    rate = lr * (1 - beta2_power) ** 0.5 / (1 - beta1_power)
    return rate * (beta1 * m + (1 - beta1) * g if nesterov else m) / (_table.sqrt(v) + epsilon), m, v


def _adam(p, var, m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, gradient):
    step, m, v = _adam_step(m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, gradient, p.use_nesterov)
    return var - step, m, v


def _adam_delta(p, m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, gradient):
    step, m, v = _adam_step(m, v, beta1_power, beta2_power, lr, beta1, beta2, epsilon, gradient, p.use_nesterov)
    return m, v, -step


def _adam_decay(p, var, m, v, lr, beta1, beta2, epsilon, decay, gradient):
    m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient * gradient
    return var - lr * (m / (_table.sqrt(v) + epsilon) + decay * var), m, v


def _amsgrad(p, var, m, v, vhat, beta1_power, beta2_power, lr, *rest):
    beta1, beta2, epsilon, grad = rest if len(rest) == 4 else (p.beta1, p.beta2, p.epsilon, rest[0])
    m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad * grad
    vhat = _table.maximum(vhat, v)
    return var - lr * (1 - beta2_power) ** 0.5 / (1 - beta1_power) * m / (_table.sqrt(vhat) + epsilon), m, v, vhat


def _adamax(p, var, m, v, beta1_power, lr, beta1, beta2, epsilon, grad):
    m, v = beta1 * m + (1 - beta1) * grad, _table.maximum(beta2 * v, _table.abs(grad))
    return var - lr / (1 - beta1_power) * m / (v + epsilon), m, v


def _adadelta(p, var, accum, accum_update, lr, rho, epsilon, grad):
    accum = rho * accum + (1 - rho) * grad * grad
    update = _table.sqrt(accum_update + epsilon) * grad / _table.sqrt(accum + epsilon)
    return var - lr * update, accum, rho * accum_update + (1 - rho) * update * update


def _adagrad(p, var, accum, lr, grad):
    if p.update_slots:
        accum = accum + grad * grad
    return var - lr * grad / (_table.sqrt(accum) + getattr(p, "epsilon", 0.0)), accum


def _adagrad_da(p, var, total, squares, grad, lr, l1, l2, global_step):
    total, squares = total + grad, squares + grad * grad
    step, l1 = _number(global_step), _number(l1)
    kept = _table.sign(total) * _table.relu(_table.abs(total) - l1 * step) if l1 > 0 else total
    return -lr * kept / (l2 * step * lr + _table.sqrt(squares)), total, squares


def _ftrl_step(var, accum, linear, grad, lr, l1, l2, lr_power, shrinkage=0.0):
    g = grad if not shrinkage else grad + 2 * shrinkage * var
    new = accum + grad * grad
    power = -_number(lr_power)
    linear = linear + g - (new ** power - accum ** power) / lr * var
    x = _table.sign(linear) * l1 - linear
    y = new ** power / lr + 2 * l2
    x = x / y
    return _table.where(_table.abs(linear) > l1, x, _table.full((), 0, x.dtype)), new, linear


def _ftrl(p, var, accum, linear, grad, lr, l1, l2, lr_power):
    return _ftrl_step(var, accum, linear, grad, lr, l1, l2, lr_power)


def _rms_prop(p, var, mean_square, moment, learning_rate, grad, decay, momentum, epsilon):
    mean_square = decay * mean_square + (1 - decay) * grad * grad
    moment = momentum * moment + learning_rate * grad / _table.sqrt(mean_square + epsilon)
    return var - moment, mean_square, moment


def _centered_rms_prop(p, var, mean_gradient, mean_square, moment, grad, learning_rate, decay, momentum, epsilon):
    mean_gradient = decay * mean_gradient + (1 - decay) * grad
    mean_square = decay * mean_square + (1 - decay) * grad * grad
    moment = momentum * moment + learning_rate * grad / _table.sqrt(mean_square - mean_gradient * mean_gradient + epsilon)
    return var - moment, mean_gradient, mean_square, moment


def _add_sign(p, var, m, lr, alpha, sign_decay, beta, grad):
    m = beta * m + (1 - beta) * grad
    return var - lr * (alpha + sign_decay * _table.sign(grad) * _table.sign(m)) * grad, m


def _power_sign(p, var, m, lr, logbase, sign_decay, beta, grad):
    m = beta * m + (1 - beta) * grad
    return var - lr * _table.exp(logbase * sign_decay * _table.sign(grad) * _table.sign(m)) * grad, m


def _proximal(x, rate, l1, l2):
    return _table.sign(x) / (1 + rate * l2) * _table.relu(_table.abs(x) - rate * l1)


def _proximal_adagrad(p, var, accum, lr, l1, l2, grad):
    accum = accum + grad * grad
    rate = lr / _table.sqrt(accum)
    return _proximal(var - rate * grad, rate, l1, l2), accum


def _proximal_descent(p, var, alpha, l1, l2, delta):
    return (_proximal(var - alpha * delta, alpha, l1, l2),)


def _keras_momentum(p, var, accum, lr, grad, momentum):
    accum = accum * momentum - grad * lr
    return var + (accum * momentum - grad * lr if p.use_nesterov else accum), accum


def _sgd(p, parameters, gradient, learning_rate, accum, momentum, stat):
    g = gradient if not p.weight_decay else gradient + p.weight_decay * parameters
    if not p.nesterov and not isinstance(momentum, Tensor) and momentum == 0:
        return parameters - learning_rate * g, accum, stat * 0
    # The first update takes the gradient as it is: stat says where it has not been yet.
    moved = accum * momentum + (1 - p.dampening) * g
    accum = _table.where(stat > 0, g.cast(moved.dtype), moved)
    return parameters - learning_rate * (g + momentum * accum if p.nesterov else accum), accum, stat * 0


def _weight_scale_momentum(p, weight_decay, loss_scale, variable, accumulation, learning_rate, gradient, momentum):
    g = gradient * loss_scale + weight_decay * variable
    accumulation = accumulation * momentum + g
    return variable - learning_rate * accumulation, accumulation


def _lars(weight, gradient, w_squares, g_squares, weight_decay, learning_rate, epsilon, hyperpara, use_clip):
    w, g = _table.sqrt(w_squares), _table.sqrt(g_squares)
    rate = hyperpara * w / (g + weight_decay * w + epsilon)
    if use_clip:
        rate = _table.clip(rate / learning_rate, min=0.0, max=1.0)
    return (gradient + weight_decay * weight) * rate


# name: (attributes, how many inputs are written and where they stand, what is returned, rule)
# returned: "first" or "all" of what is written, or "last": the rule's last value, which is not written.
RULES = {
    "ApplyMomentum": ({"use_nesterov": False, "use_locking": False, "gradient_scale": 1.0}, (0, 1), "first", _momentum),
    "Adam": ({"use_locking": False, "use_nesterov": False}, (0, 1, 2), "all", _adam),
    "AdamNoUpdateParam": ({"use_locking": False, "use_nesterov": False}, (0, 1), "last", _adam_delta),
    "AdamWeightDecay": ({"use_locking": False}, (0, 1, 2), "all", _adam_decay),
    "ApplyAdamWithAmsgrad": ({"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "use_locking": False}, (0, 1, 2, 3), "all", _amsgrad),
    "ApplyAdamWithAmsgradV2": ({"use_locking": False}, (0, 1, 2, 3), "all", _amsgrad),
    "ApplyAdaMax": ({}, (0, 1, 2), "all", _adamax),
    "ApplyAdadelta": ({}, (0, 1, 2), "all", _adadelta),
    "ApplyAdagrad": ({"update_slots": True}, (0, 1), "all", _adagrad),
    "ApplyAdagradV2": ({"epsilon": ..., "update_slots": True}, (0, 1), "all", _adagrad),
    "ApplyAdagradDA": ({"use_locking": False}, (0, 1, 2), "first", _adagrad_da),
    "ApplyFtrl": ({"use_locking": False}, (0, 1, 2), "first", _ftrl),
    "ApplyGradientDescent": ({}, (0,), "first", lambda p, var, alpha, delta: (var - alpha * delta,)),
    "ApplyRMSProp": ({"use_locking": False}, (0, 1, 2), "first", _rms_prop),
    "ApplyCenteredRMSProp": ({"use_locking": False}, (0, 1, 2, 3), "first", _centered_rms_prop),
    "ApplyAddSign": ({}, (0, 1), "all", _add_sign),
    "ApplyPowerSign": ({}, (0, 1), "all", _power_sign),
    "ApplyProximalAdagrad": ({"use_locking": False}, (0, 1), "all", _proximal_adagrad),
    "ApplyProximalGradientDescent": ({}, (0,), "first", _proximal_descent),
    "ApplyKerasMomentum": ({"use_locking": False, "use_nesterov": False}, (0, 1), "all", _keras_momentum),
    "SGD": ({"dampening": 0.0, "weight_decay": 0.0, "nesterov": False}, (0, 3, 5), "first", _sgd),
    "FusedWeightScaleApplyMomentum": ({}, (2, 3), "first", _weight_scale_momentum),
}


# The same for some rows: name: (attributes, how many inputs are written, where the gradient stands (the rows' numbers follow it
# or stand last), what the dense rule is called with).
def _rows_adagrad(p, var, accum, grad):
    return _adagrad(p, var, accum, p.lr, grad)


def _rows_ftrl(p, var, accum, linear, grad):
    return _ftrl_step(var, accum, linear, grad, p.lr, p.l1, p.l2, p.lr_power, getattr(p, "l2_shrinkage", 0.0))


def _rows_adadelta(p, var, accum, accum_update, lr, rho, grad):
    return _adadelta(p, var, accum, accum_update, lr, rho, p.epsilon, grad)


def _rows_rms_prop(p, var, ms, mom, lr, grad):
    return _rms_prop(p, var, ms, mom, lr, grad, p.rho, p.momentum, p.epsilon)


_FTRL = {"lr": ..., "l1": ..., "l2": ..., "lr_power": ..., "use_locking": False}
ROW_RULES = {
    "SparseApplyAdagrad": ({"lr": ..., "update_slots": True, "use_locking": False}, 2, _rows_adagrad),
    "SparseApplyAdagradV2": ({"lr": ..., "epsilon": ..., "use_locking": False, "update_slots": True}, 2, _rows_adagrad),
    "SparseApplyFtrl": (_FTRL, 3, _rows_ftrl),
    "FusedSparseFtrl": (_FTRL, 3, _rows_ftrl),
    "SparseApplyFtrlV2": ({"lr": ..., "l1": ..., "l2": ..., "l2_shrinkage": ..., "lr_power": ..., "use_locking": False}, 3, _rows_ftrl),
    "SparseApplyProximalAdagrad": ({"use_locking": False}, 2, _proximal_adagrad),
    "FusedSparseProximalAdagrad": ({"use_locking": False}, 2, _proximal_adagrad),
    "SparseApplyAdadelta": ({"epsilon": ..., "use_locking": False}, 3, _rows_adadelta),
    "SparseApplyRMSProp": ({"rho": ..., "momentum": ..., "epsilon": ..., "use_locking": False}, 3, _rows_rms_prop),
    "FusedSparseLazyAdam": ({"use_locking": False, "use_nesterov": False}, 3, _adam),
}


def write(x, value):
    """x, a Parameter or Tensor, with another value."""
    return x._rebind(value.cast(x.dtype) if value.dtype != x.dtype else value)


def dense(p, inputs, places, returned, rule):
    """One update of whole tensors."""
    from rutile._rutile import Parameter
    values = [x.value() if isinstance(x, Parameter) else x for x in inputs]
    new = rule(p, *values)
    written = [write(inputs[i], v)[...] for i, v in zip(places, new)]
    return written[0] if returned == "first" else new[-1] if returned == "last" else tuple(written)


def rows(p, inputs, count, rule):
    """One update of the rows that the last input names; gradients of a row that comes several times are added up.

    As in MindSpore's kernels, numbers of rows that are not there are left out.
    """
    from rutile._rutile import Parameter
    *inputs, indices = inputs
    values = [x.value() if isinstance(x, Parameter) else x for x in inputs]
    first, grad = values[0], values[-1]
    index = indices.cast("int64").reshape(-1)
    there = _table.logical_and(index >= 0, index < first.shape[0])
    index = _table.where(there, index, index * 0)
    grad = _table.where(there.reshape(-1, *[1] * (first.ndim - 1)), grad.cast(first.dtype), _table.full((), 0, first.dtype))
    total = _table.index_put(first * 0, grad, [index], accumulate=True)
    hit = _table.index_put(_table.full((first.shape[0],), 0, "int64"), there.cast("int64"), [index], accumulate=True) > 0
    hit = hit.reshape(-1, *[1] * (first.ndim - 1))
    new = rule(p, *values[:-1], total)
    return tuple(write(x, _table.where(hit, n, v))[...] for x, n, v in zip(inputs[:count], new, values))
