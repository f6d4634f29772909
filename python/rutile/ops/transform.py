# SPDX-License-Identifier: Apache-2.0
"""Differentiation by MindSpore's arguments."""

import functools as _functools
import weakref as _weakref

from rutile import _rutile
from rutile.ops import _forwards
from rutile._rutile import Parameter

hooks_edition = 0  # another number whenever a hook of a Parameter comes or goes
_parameter_hooks = {}  # id -> (Parameter, {number: hook})
_tensor_hooks = {}  # id -> (weak reference to a Tensor, {number: hook})


class ParameterHook:
    """A hook of a Parameter's gradient, until remove()."""

    def __init__(self, parameter, hook):
        global hooks_edition
        hooks_edition = _rutile.change_cells()
        self._at, self._number = id(parameter), hooks_edition
        _parameter_hooks.setdefault(self._at, (parameter, {}))[1][self._number] = hook

    def remove(self):
        """Takes the hook away; a second time it does nothing."""
        global hooks_edition
        hooks = _parameter_hooks.get(self._at, (None, {}))[1]
        if hooks.pop(self._number, None) is not None:
            hooks_edition = _rutile.change_cells()
            if not hooks:
                del _parameter_hooks[self._at]


class TensorHook:
    """A hook of a Tensor's gradient, until remove()."""

    def __init__(self, tensor, hook):
        global hooks_edition
        hooks_edition = _rutile.change_cells()
        self._hook, self._at, self._number = hook, id(tensor), hooks_edition
        # Within a gradient scope it belongs to the tape; a Tensor from outside keeps it for the functions that it is handed to.
        if not _rutile.add_hook(tensor, lambda g: None if self._hook is None else self._hook(g)):
            at = self._at
            gone = _weakref.ref(tensor, lambda _: _tensor_hooks.pop(at, None))
            _tensor_hooks.setdefault(at, (gone, {}))[1][self._number] = hook

    def remove(self):
        """Takes the hook away; a second time it does nothing."""
        self._hook = None
        hooks = _tensor_hooks.get(self._at, (None, {}))[1]
        if hooks.pop(self._number, None) is not None and not hooks:
            del _tensor_hooks[self._at]


def _by_hooks(x, grad):
    """The gradient of an argument, as the hooks of the Tensors in it give it."""
    if isinstance(x, _rutile.Tensor):
        return _through_hooks(x, grad, _tensor_hooks) if id(x) in _tensor_hooks else grad
    if isinstance(x, dict):
        return {k: _by_hooks(v, grad[k]) for k, v in x.items()}
    if type(x) in (tuple, list):
        return type(x)(_by_hooks(v, g) for v, g in zip(x, grad))
    return grad


def _arguments_by_hooks(position, args, grads):
    if isinstance(position, (tuple, list)):
        return tuple(_by_hooks(args[i], g) for i, g in zip(position, grads))
    return _by_hooks(args[position], grads)


def _repeated(fn, args, kwargs):
    """fn; where it is a Cell that has just been called with these arguments, that call once more."""
    if not hasattr(type(fn), "construct"):
        return fn
    call = _forwards.take(fn, args, kwargs)
    return fn if call is None else lambda *a, **k: call.replay(lambda: fn(*a, **k))


def _native(fn, position, weights, has_aux, args, kwargs):
    fn = _repeated(fn, args, kwargs)
    if isinstance(weights, tuple) and not all(p.requires_grad for p in weights):
        return _with_frozen(fn, position, weights, has_aux, args, kwargs)
    value, grads = _rutile.value_and_grad(fn, position, weights, has_aux, args, kwargs)
    alone = position is None or position in ((), [])
    if _tensor_hooks and not alone:
        grads = _arguments_by_hooks(position, args, grads) if weights is None else (_arguments_by_hooks(position, args, grads[0]), grads[1])
    if not _parameter_hooks or weights is None:
        return value, grads
    by_weights = grads if alone else grads[1]
    if isinstance(weights, Parameter):
        by_weights = _through_hooks(weights, by_weights)
    else:
        by_weights = tuple(_through_hooks(p, g) for p, g in zip(weights, by_weights))
    return value, by_weights if alone else (grads[0], by_weights)


def _with_frozen(fn, position, weights, has_aux, args, kwargs):
    """Parameters that need no gradient have zeros, as MindSpore says."""
    used = tuple(p for p in weights if p.requires_grad)
    alone = position is None or position in ((), [])
    if alone and not used:
        value, mine = fn(*args, **kwargs), ()
    else:
        value, grads = _native(fn, position, used if used else None, has_aux, args, kwargs)
        mine = grads if alone else grads[1] if used else ()
    rest = iter(mine)
    by_weights = tuple(next(rest) if p.requires_grad else _rutile.ops.full(p.shape, 0, p.dtype) for p in weights)
    return value, by_weights if alone else (grads[0] if used else grads, by_weights)


def _through_hooks(parameter, grad, hooks=_parameter_hooks):
    for hook in tuple(hooks.get(id(parameter), (None, {}))[1].values()):
        changed = hook(grad)
        if changed is not None:
            if not isinstance(changed, _rutile.Tensor) or changed.shape != grad.shape:
                raise _rutile.errors.ValueError(f"a hook returns a Tensor {grad.shape} or None, got {changed!r}")
            grad = changed
    return grad


def _weights(weights):
    if weights is None or isinstance(weights, Parameter):
        return weights
    return tuple(weights)


def value_and_grad(fn, grad_position=0, weights=None, has_aux=False, return_ids=False, sens_param=False, *, argnums=False):
    """A function that returns fn's result and its gradients.

    grad_position (also: argnums): the arguments to differentiate by, an int or a tuple of them (then the gradients
    come as a tuple), None for none. Each is a Tensor or nested tuples, lists and dicts of Tensors; its gradient has
    the same structure. weights: a Parameter, or several, whose gradients come as a tuple; with grad_position as well
    the gradients are the pair (by arguments, by weights). has_aux: fn returns a tuple whose first entry is
    differentiated and the rest is passed on; without, all results are. What has several elements is differentiated as
    its sum. return_ids: every gradient becomes (position or parameter's name, gradient). sens_param: the last argument of
    the returned function is what the result is multiplied by before that.

    >>> import rutile
    >>> f = rutile.value_and_grad(lambda p, x: rutile.ops.sum(p["w"] * x + p["b"]))
    >>> value, grads = f({"w": rutile.Tensor(2.0), "b": rutile.Tensor(1.0)}, rutile.Tensor([3.0, 4.0]))
    >>> float(value), float(grads["w"]), float(grads["b"])
    (16.0, 7.0, 2.0)
    """
    if not callable(fn):
        raise _rutile.errors.TypeError(f"value_and_grad takes a function, got {type(fn).__name__}")
    position = grad_position if argnums is False else argnums
    parameters = _weights(weights)

    if sens_param:
        return _named(_with_sens(fn, position, parameters, has_aux, return_ids), fn)

    def wrapped(*args, **kwargs):
        value, grads = _native(fn, position, parameters, has_aux, args, kwargs)
        return value, _with_ids(grads, position, parameters) if return_ids else grads

    return _named(wrapped, fn)


def _with_sens(fn, position, parameters, has_aux, return_ids):
    """The last argument is what the result is multiplied by, as in GradOperation."""
    def wrapped(*args, **kwargs):
        *args, sens = args
        kept = []

        def scaled(*a, **k):
            out = fn(*a, **k)
            kept.append(out)
            main = _tuple(out[0] if has_aux else out)
            return tuple(y * s for y, s in zip(main, _tuple(sens)))

        _, grads = _native(scaled, position, parameters, False, tuple(args), kwargs)
        return kept[0], _with_ids(grads, position, parameters) if return_ids else grads

    return wrapped


def _named(wrapped, fn):
    try:
        return _functools.wraps(fn)(wrapped)
    except AttributeError:
        return wrapped


def _with_ids(grads, position, weights):
    def by_position(g):
        return tuple(zip(position, g)) if isinstance(position, (tuple, list)) else (position, g)

    def by_weights(g):
        return (weights.name, g) if isinstance(weights, Parameter) else tuple((p.name, x) for p, x in zip(weights, g))

    if position is None:
        return by_weights(grads)
    if weights is None:
        return by_position(grads)
    return by_position(grads[0]), by_weights(grads[1])


def value_and_grad_sending(fn, weights, reducer):
    """value_and_grad(fn, None, weights, has_aux=True) whose gradients a dist.Reducer may send while backward runs.

    Its reduce() of the gradients, unchanged, then waits for them only.
    """
    if reducer is None or _parameter_hooks or not all(p.requires_grad for p in weights):
        return value_and_grad(fn, None, weights, has_aux=True)
    return lambda *args: _rutile.value_and_grad(fn, None, tuple(weights), True, args, {}, reducer)


def grad(fn, grad_position=0, weights=None, has_aux=False, return_ids=False, sens_param=False, *, argnums=False):
    """As value_and_grad, without the value: the gradients, with has_aux (gradients, a tuple of the rest of the result)."""
    both = value_and_grad(fn, grad_position, weights, has_aux, return_ids, sens_param, argnums=argnums)

    def wrapped(*args, **kwargs):
        value, grads = both(*args, **kwargs)
        if not has_aux:
            return grads
        return grads, value[1:]

    return _named(wrapped, fn)


class GradOperation:
    """MindSpore's older way: GradOperation(get_all, get_by_list, sens_param)(fn, weights)(*args).

    get_all: by all arguments, as a tuple (else by the first); get_by_list: by the weights (default: the network's
    trainable ones); both: the pair. sens_param: the last argument is what the result is multiplied by.
    """

    def __init__(self, get_all=False, get_by_list=False, sens_param=False):
        self.get_all, self.get_by_list, self.sens_param = get_all, get_by_list, sens_param

    def __call__(self, fn, weights=None):
        if self.get_by_list and weights is None:
            weights = fn.trainable_params() if hasattr(fn, "trainable_params") else ()

        def wrapped(*args, **kwargs):
            call = fn
            if self.sens_param:
                *args, sens = args
                forward = _repeated(fn, tuple(args), kwargs)

                def call(*a, **k):
                    return _weighed(forward(*a, **k), sens)
            # As MindSpore has it: numbers, texts and None among the arguments have no entry.
            position = tuple(i for i, x in enumerate(args) if _holds_tensors(x)) if self.get_all else None if self.get_by_list else 0
            return _native(call, position, _weights(weights) if self.get_by_list else None, False, tuple(args),
                           kwargs)[1]

        return _named(wrapped, fn)


def _holds_tensors(x):
    if isinstance(x, (tuple, list, dict)):
        return any(_holds_tensors(v) for v in (x.values() if isinstance(x, dict) else x))
    return isinstance(x, _rutile.Tensor) or hasattr(type(x), "_tree_fields")


def _weighed(out, sens):
    """A result times what its gradient is multiplied by, of the same structure."""
    if isinstance(out, dict):
        return {k: _weighed(v, sens[k]) for k, v in out.items()}
    if isinstance(out, (tuple, list)):
        if not isinstance(sens, (tuple, list)) or len(sens) != len(out):
            raise _rutile.errors.ValueError(f"sens must have the structure of the result, a tuple of {len(out)}")
        return tuple(_weighed(y, s) for y, s in zip(out, sens))
    return out * sens


def _tuple(x):
    return x if isinstance(x, tuple) else (x,)


def _pulled(fn, inputs, vectors, weights, has_aux):
    """Gradients of sum(outputs * vectors)."""
    def scalar(*args):
        out = fn(*args)
        outputs = _tuple(out[0] if has_aux else out)
        if len(outputs) != len(vectors):
            raise _rutile.errors.ValueError(f"vjp: {len(outputs)} outputs, {len(vectors)} vectors")
        for y, v in zip(outputs, vectors):
            if y.shape != v.shape:
                raise _rutile.errors.ValueError(f"vjp: a vector {v.shape} for an output {y.shape}")
        return sum(((y * v).sum() for y, v in zip(outputs[1:], vectors[1:])), (outputs[0] * vectors[0]).sum())

    position = 0 if len(inputs) == 1 else tuple(range(len(inputs)))
    return _native(scalar, position, _weights(weights), False, tuple(inputs), {})[1]


def _tensors(name, *values):
    for x in values:
        if not isinstance(x, _rutile.Tensor):
            raise _rutile.errors.TypeError(f"{name}: a vector and what it differentiates are Tensors, got {type(x).__name__}")


def vjp(fn, *inputs, weights=None, has_aux=False):
    """(outputs, a function of vectors like the outputs that gives vectors times the Jacobian: a tuple with one gradient per input).

    With weights it gives (gradients of inputs, of weights). has_aux: fn returns (what is differentiated, something else),
    and so does vjp: (outputs, function, something else).

    >>> import rutile
    >>> y, pull = rutile.ops.vjp(lambda x, w: x * w, rutile.Tensor([1.0, 2.0]), rutile.Tensor([3.0, 4.0]))
    >>> [g.asnumpy().tolist() for g in pull(rutile.Tensor([1.0, 1.0]))]
    [[3.0, 4.0], [1.0, 2.0]]
    """
    out = fn(*inputs)

    def pull(*vectors):
        _tensors("vjp", *(x for v in vectors for x in _tuple(v)))
        grads = _pulled(fn, inputs, vectors, weights, has_aux)
        return _tuple(grads) if weights is None else (_tuple(grads[0]), *grads[1:])

    return (out[0], pull, out[1] if len(out) == 2 else out[1:]) if has_aux else (out, pull)


def jvp(fn, inputs, v, has_aux=False):
    """(outputs, the Jacobian times v): the derivative along v, which is like the inputs, by differentiating twice.

    >>> import rutile
    >>> y, along = rutile.ops.jvp(lambda x: x * x * x, rutile.Tensor([1.0, 2.0]), rutile.Tensor([1.0, 0.5]))
    >>> along.asnumpy().tolist()
    [3.0, 6.0]
    """
    inputs, v = _tuple(inputs), _tuple(v)
    _tensors("jvp", *inputs, *v)
    if [x.shape for x in inputs] != [t.shape for t in v]:
        raise _rutile.errors.ValueError("jvp: v must have the shapes of the inputs")
    out = fn(*inputs)
    outputs = _tuple(out[0] if has_aux else out)

    def along(*u):
        # Linear in u: its gradient is the product with v, whatever u is.
        grads = _pulled(fn, inputs, u, None, has_aux)
        return sum(((g * t).sum() for g, t in zip(_tuple(grads)[1:], v[1:])), (_tuple(grads)[0] * v[0]).sum())

    u = tuple(y * 0.0 for y in outputs)
    products = _native(along, tuple(range(len(u))), None, False, u, {})[1]
    result = products[0] if not isinstance(out[0] if has_aux else out, tuple) else products
    return (out[0], result, out[1] if len(out) == 2 else out[1:]) if has_aux else (out, result)
