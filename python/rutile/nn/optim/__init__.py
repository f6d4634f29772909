# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for the optimizers, also under the names of its files (nn.optim.momentum, nn.optim.adam, ...)."""

import sys as _sys
import types as _types

from rutile.nn.more_optimizers import *  # noqa: F401,F403
from rutile.nn.optimizer import *  # noqa: F401,F403
from rutile.nn import more_optimizers as _more, optimizer as _base

__all__ = _base.__all__ + _more.__all__

_FILES = {"ada_grad": ["Adagrad"], "adadelta": ["Adadelta"], "adafactor": ["AdaFactor"],
          "adam": ["Adam", "AdamOffload", "AdamWeightDecay"], "adamax": ["AdaMax"], "asgd": ["ASGD"], "ftrl": ["FTRL"],
          "lamb": ["Lamb"], "lars": ["LARS"], "lazyadam": ["LazyAdam"], "momentum": ["Momentum"], "optimizer": ["Optimizer"],
          "proximal_ada_grad": ["ProximalAdagrad"], "rmsprop": ["RMSProp"], "rprop": ["Rprop"], "sgd": ["SGD"]}



def opt_init_args_register(fn):
    """MindSpore's decorator of __init__ of optimizers: keeps the arguments as init_args, init_params and init_learning_rate."""
    import functools
    import inspect
    signature = inspect.signature(fn)

    @functools.wraps(fn)
    def init(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        given.pop(next(iter(signature.parameters)))
        kept = {"init_params": {"params": given.pop("params", None)}, "init_learning_rate": given.pop("learning_rate", None)}
        fn(self, *args, **kwargs)
        self.__dict__.update(kept, init_args=given)

    return init


for _file, _names in _FILES.items():
    _module = _types.ModuleType(f"{__name__}.{_file}", "MindSpore's place for " + ", ".join(_names) + ".")
    _module.__dict__.update({n: globals()[n] for n in _names}, __all__=_names)
    _sys.modules[_module.__name__] = globals()[_file] = _module
optimizer.opt_init_args_register = opt_init_args_register  # noqa: F821
