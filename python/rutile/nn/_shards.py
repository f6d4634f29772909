# SPDX-License-Identifier: Apache-2.0
"""States of optimizers in shards, one on each process: set_auto_parallel_context(enable_parallel_optimizer=True)."""

import weakref as _weakref

from rutile import _rutile, context
from rutile._rutile import Parameter
from rutile.common.parameter import ParameterTuple

_errors = _rutile.errors

_places = {}  # by id of a state: (weak reference to it, its Sharding, number of the parameter)


def wanted():
    """Whether optimizers made now are to be sharded."""
    return bool(context.get_auto_parallel_context("enable_parallel_optimizer")) and _rutile.dist.size() > 1 and (
        context.get_auto_parallel_context("parallel_mode") == context.ParallelMode.DATA_PARALLEL)


def of(parameters, by_element):
    """The Sharding of an optimizer's parameters; by_element: its update treats each element by itself."""
    return _rutile.dist.Sharding(list(parameters), "world", context.optimizer_shard_threshold(), by_element)


def slots(sharding, parameters, prefix, init):
    """States like this process's shards of the parameters, without gradients."""
    from rutile.common.initializer import initializer
    made = []
    for i, p in enumerate(parameters):
        dtype = "float32" if p.dtype.name in ("float16", "bfloat16") else p.dtype
        value = initializer(init, sharding.slot_shape(i), dtype)
        slot = Parameter(value, name=f"{prefix}.{p.name}" if prefix else p.name, requires_grad=False)
        if sharding.kind(i) != "whole":
            at = id(slot)
            _places[at] = (_weakref.ref(slot, lambda _, at=at: _places.pop(at, None)), sharding, i)
        made.append(slot)
    return ParameterTuple(made)


def place(p):
    """(its Sharding, number of the parameter) of a state of which this process has a shard, else (None, 0)."""
    found = _places.get(id(p))
    return (found[1], found[2]) if found is not None and found[0]() is p else (None, 0)


def is_shard(p):
    """Whether other processes have other shards of a state."""
    return place(p)[0] is not None


def whole(p):
    """A Parameter's value, of a shard the whole; then all processes call this."""
    sharding, i = place(p)
    return p.value() if sharding is None else sharding.whole(i, p.value())


def own(p, value):
    """This process's shard of a value for the whole; any other value as it is."""
    sharding, i = place(p)
    if sharding is None or value.shape == p.shape:
        return value
    return sharding.own(i, value.value() if isinstance(value, Parameter) else value)
