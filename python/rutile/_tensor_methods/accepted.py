# SPDX-License-Identifier: Apache-2.0
"""What MindSpore's scripts set or ask of tensors and parameters and what has one answer here."""

import weakref as _weakref

from rutile._rutile import Parameter, Tensor, errors as _errors
from rutile._tensor_methods._register import add_method, add_property, method, named


@method
def init_data(self, slice_index=None, shape=None, opt_shard_group=None):
    """This tensor: initializers have run when it was made."""
    return self


@method
def set_const_arg(self, const_arg=True):
    """Taken for scripts' sake: what a compiled function reads by value is a constant of it."""
    return self


def _does_nothing(name):
    setattr(Tensor, name, named(lambda self, *args, **kwargs: self, name, "Does nothing: there is one memory."))


for _name in ("pin_memory", "offload", "wait_pipeline", "flush_from_cache", "data_sync", "requires_grad_"):
    _does_nothing(_name)
add_method("is_pinned", lambda self: False, "False: there is one memory.")
add_method("is_shared", lambda self: False, "False: memory is this process's own.")
add_property("has_init", lambda self: False, "False: initializers have run.")
add_property("init_finished", lambda self: True, "True: initializers have run.")
add_property("is_meta", lambda self: False, "False: it has values.")
add_property("init", lambda self: None, "None: initializers have run.")
add_property("is_init", lambda self: False, "False: it is no Parameter that waits for an initializer.")


@method
def value(self):
    """This tensor; of a Parameter its value now."""
    return self


add_property("data", lambda self: self, "This tensor; of a Parameter its value now.")


_settings = {}  # id of a Parameter -> (weak reference, {name: value})

# MindSpore's settings of a Parameter for several devices: kept for scripts' sake, nothing reads them.
_PARAMETER_SETTINGS = {"layerwise_parallel": False, "parallel_optimizer": True, "parallel_optimizer_comm_recompute": False, "comm_fusion": 1,
                       "cache_enable": False, "cache_shape": [], "key": -1, "sliced": False, "param_info": None, "init_mode": None}


def _setting(name, default):
    def get(self):
        return _settings.get(id(self), (None, {}))[1].get(name, default)

    def set(self, value):
        if isinstance(default, bool) and not isinstance(value, bool):
            raise _errors.TypeError(f"Parameter.{name} is a bool, got {value!r}")
        at = id(self)
        if at not in _settings:
            _settings[at] = (_weakref.ref(self, lambda _: _settings.pop(at, None)), {})
        _settings[at][1][name] = value

    return property(get, set, doc="A setting of MindSpore's for several devices: kept, and not used.")


def _set_value(self, value):
    self.set_data(value if isinstance(value, Tensor) else Tensor(value, self.dtype))


for _name, _default in _PARAMETER_SETTINGS.items():
    setattr(Parameter, _name, _setting(_name, _default))
Parameter.inited_param = property(lambda self: None, doc="None: initializers have run.")
Parameter.is_init = property(lambda self: True, doc="True: initializers have run.")
Parameter.default_input = property(lambda self: self.value(), _set_value, doc="The value.")
