# SPDX-License-Identifier: Apache-2.0
"""Lets scripts written for MindSpore run: rutile.compat.install() makes `mindspore` a name of this package."""

import importlib as _importlib
import sys as _sys

__all__ = ["install"]

# Where MindSpore has more modules than we have.
_NN = ("nn.layer.activation nn.layer.basic nn.layer.channel_shuffle nn.layer.combined nn.layer.container nn.layer.conv "
       "nn.layer.dense nn.layer.embedding nn.layer.image nn.layer.math nn.layer.normalization nn.layer.padding "
       "nn.layer.pooling nn.layer.rnn_cells nn.layer.rnns nn.layer.timedistributed nn.layer.transformer nn.loss.loss "
       "nn.wrap.cell_wrapper nn.wrap.grad_reducer nn.wrap.loss_scale nn.dynamic_lr").split()
_OPTIMIZERS = ("ada_grad adadelta adafactor adam adamax adasum asgd ftrl lamb lars lazyadam momentum optimizer "
               "proximal_ada_grad rmsprop rprop sgd thor").split()
_PRIMITIVES = ("_rl_inner_ops _quant_ops _tensor_array _embedding_cache_ops _ocr_ops _csr_ops _grad_ops _inner_ops array_ops comm_ops control_ops custom_ops debug_ops image_ops inner_ops linalg_ops "
               "manually_defined math_ops nn_ops other_ops random_ops sparse_ops spectral_ops").split()
_FUNCTIONS = ("array_func clip_func debug_func fft_func grad grad.grad_func sparse_func sparse_unary_func vmap_func image_func linalg_func math_func nn_func other_func "
              "parameter_func random_func spectral_func").split()
# Folder: its modules, whose names stand in the folder itself.
_WITHIN = {"experimental.optim": "adadelta adagrad adam adamax adamw asgd nadam radam rmsprop rprop sgd",
           "mint.nn": "layer layer.activation layer.basic layer.conv layer.normalization layer.padding layer.pooling",
           "mint.optim": "adam adamw sgd", "nn": "grad grad.cell_grad sparse sparse.sparse",
           "nn.probability.bijector": "bijector exp gumbel_cdf invert power_transform scalar_affine softplus",
           "nn.probability.bnn_layers": "bnn_cell_wrapper conv_variational dense_variational layer_distribution",
           "nn.probability.distribution": "bernoulli beta categorical cauchy exponential gamma geometric gumbel half_normal laplace log_normal "
                                          "logistic normal poisson student_t transformed_distribution uniform",
           "numpy": "array_creations array_ops logic_ops math_ops", "runtime": "event executor memory stream",
           "train.metrics": "bleu_score cosine_similarity dice error fbeta hausdorff_distance loss mean_surface_distance metric "
                            "occlusion_sensitivity perplexity precision recall root_mean_square_surface_distance topk"}
MOVED = {
    **dict.fromkeys(_NN, "nn"),
    **{f"nn.optim.{name}": "nn.optim" for name in _OPTIMIZERS},
    **{f"ops.operations.{name}": "ops.operations" for name in _PRIMITIVES},
    **{f"ops.function.{name}": "ops" for name in _FUNCTIONS},
    **{f"{folder}.{name}": folder for folder, names in _WITHIN.items() for name in names.split()},
    "nn.layer.conv": "_inner.conv", "nn.layer.rnn_cells": "_inner.rnn_cells", "nn.probability.distribution.distribution": "nn.probability.distribution",
    "dataset.engine.datasets": "dataset", "dataset.transforms.transforms": "dataset.transforms", "train.parallel_utils": "context",
    "ops.operations._grad_ops": "ops._grad_ops", "common.mutable": "", "common.tensor": "", "communication.management": "communication",
    "utils": "", "utils.dlpack": "", "nn.metrics": "train.metrics", "ops.auto_generate": "ops",
    **dict.fromkeys(("hal.device", "hal.event", "hal.memory", "hal.stream"), "hal"),
    **dict.fromkeys(("ops.auto_generate.gen_ops_def", "ops.auto_generate.gen_ops_prim", "ops.auto_generate.gen_extend_func"), "ops"),
    "ops._primitive_cache": "ops", "ops.functional_overload": "ops", "ops.composite.base": "ops.composite",
    "train.callback._callback": "train.callback", "ops.function.comm_func": "ops.communication", "mint.distributed.distributed": "mint.distributed",
}


def moved(name):
    """The module that stands for one of MindSpore's."""
    return _importlib.import_module(f"rutile.{MOVED[name]}".rstrip("."))


_FOLDERS = frozenset(m.rpartition(".")[0] for m in MOVED)


class _Alias:
    """Finds name.x.y as rutile.x.y: the same module under two names. A finder and loader of the import system (their
    base classes would bring in many modules)."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.name and not fullname.startswith(self.name + "."):
            return None
        below = fullname[len(self.name) + 1:]
        if self.name == "rutile" and below not in MOVED:
            return None
        ours = f"rutile.{MOVED.get(below, below)}".rstrip(".")
        try:
            module = _importlib.import_module(ours)
        except ModuleNotFoundError as e:
            if e.name and e.name.startswith("rutile"):
                return None  # says that `fullname` is missing
            raise
        from importlib.util import spec_from_loader
        spec = spec_from_loader(fullname, self, is_package=hasattr(module, "__path__") or below in _FOLDERS)
        spec.loader_state = module
        return spec

    def create_module(self, spec):
        # The import system writes the new name into the module it gets.
        module = spec.loader_state
        self._kept = {k: getattr(module, k, None) for k in ("__name__", "__loader__", "__package__", "__spec__", "__path__")
                      if hasattr(module, k)}
        return module

    def exec_module(self, module):
        for k, v in self._kept.items():
            setattr(module, k, v)


def install(name="mindspore"):
    """From now on `import mindspore` (and its submodules) gives Rutile. Refused where the real package was imported."""
    if name in _sys.modules and _sys.modules[name] is not _sys.modules["rutile"]:
        from rutile import errors
        raise errors.RuntimeError(f"{name} was imported already; call rutile.compat.install() before that")
    if not any(isinstance(f, _Alias) and f.name == name for f in _sys.meta_path):
        # `from mindspore.x import y` asks for rutile.x.y, as module x is called.
        _sys.meta_path[:0] = [_Alias(name), _Alias("rutile")]
    _importlib.import_module(name)
