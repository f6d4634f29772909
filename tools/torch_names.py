# SPDX-License-Identifier: Apache-2.0
"""Writes docs/api/torch_names.json: public names of PyTorch with their arguments. Run where torch is installed:

    python tools/torch_names.py
"""

import inspect
import json
import pathlib
import re

import torch
import torch.optim.lr_scheduler
import torch.utils.data

FILE = pathlib.Path(__file__).resolve().parent.parent / "docs/api/torch_names.json"
# Parts of the library, other devices, quantised and sparse tensors, and what ends in _ (see the page).
LEFT_OUT = re.compile(r"_$|^_|cudnn|miopen|mkldnn|fbgemm|quantize|^q_|^q.*scheme|^sym_|_copy$|autocast|^native_|^unsafe_|sparse|"
                      r"coalesce|parse_|type_comment|override|torch_function|_indices$|^import_ir|symeig|^eig$|^solve$|"
                      r"distributed|conj_physical|resolve_|nested|^is_(cuda|xpu|ipu|maia|mps|mtia|xla|vulkan|cpu|meta|quantized)|"
                      r"choose_qparams|^int_repr|dequantize|grouped_mm|scaled_|boolean_dispatch|batch_norm_|with_indices|"
                      r"s.?addmm|spmm|hspmm|dsmm|hsmm|^smm$|ccol|crow|_stats|hash_tensor|(in|ex)terop|deterministic|vulkan|"
                      r"classproperty|handle_|assert_|storage|^reinforce|^volatile|_grad_|output_nr|retain|record_stream|"
                      r"chalf|^c(float|double)$|^(mtia|xpu|ipu|char)$|as_subclass|module_load|data_ptr|dim_order|grad_dtype")


def arguments(o, override=None):
    for source in (o, override):
        try:
            names = [p.name for p in inspect.signature(source).parameters.values()
                     if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        except (TypeError, ValueError):
            continue
        return [n for n in names if n not in ("self", "inplace", "out", "generator", "layout", "pin_memory", "device")]
    return None


def main():
    overrides = torch.overrides.get_testing_overrides()
    found = {}

    def add(prefix, module, keep):
        for name in sorted(dir(module)):
            o = getattr(module, name)
            if not LEFT_OUT.search(name) and keep(name, o):
                found[f"{prefix}.{name}"] = arguments(o, overrides.get(o))

    functions = lambda name, o: name[0].islower() and callable(o) and not isinstance(o, type)  # noqa: E731
    add("torch", torch, lambda n, o: functions(n, o) and (o in overrides or n in (
        "arange", "eye", "full", "linspace", "logspace", "ones", "rand", "randint", "randn", "randperm", "tensor", "zeros", "empty",
        "from_numpy", "manual_seed", "save", "load", "compile", "as_tensor", "is_tensor", "vmap", "no_grad", "meshgrid")))
    add("torch.Tensor", torch.Tensor, lambda n, o: n[0].islower())
    add("torch.nn", torch.nn, lambda n, o: isinstance(o, type) and issubclass(o, torch.nn.Module) and "Lazy" not in n)
    add("torch.nn.functional", torch.nn.functional, functions)
    add("torch.optim", torch.optim, lambda n, o: isinstance(o, type))
    add("torch.optim.lr_scheduler", torch.optim.lr_scheduler,
        lambda n, o: isinstance(o, type) and o.__module__ == "torch.optim.lr_scheduler")
    for name in dir(torch.nn.init):
        if name.endswith("_") and not name.startswith("_"):
            found[f"torch.nn.init.{name}"] = arguments(getattr(torch.nn.init, name))
    for name in ("DataLoader", "Dataset", "IterableDataset", "TensorDataset", "ConcatDataset", "Subset", "random_split",
                 "RandomSampler", "SequentialSampler", "SubsetRandomSampler", "WeightedRandomSampler", "DistributedSampler"):
        found[f"torch.utils.data.{name}"] = None
    for name in ("grad", "functional.jacobian", "functional.vjp", "functional.jvp", "detect_anomaly"):
        found[f"torch.autograd.{name}"] = None
    found.update({"torch.nn.utils.clip_grad_norm_": None, "torch.nn.utils.clip_grad_value_": None, "torch.nn.Parameter": None, "torch.no_grad": None,
                  "torch.amp.autocast": None, "torch.amp.GradScaler": None, "torch.utils.checkpoint.checkpoint": None,
                  "torch.profiler.profile": None, "torch.profiler.schedule": None, "torch.utils.tensorboard.SummaryWriter": None})
    for name in ("Compose", "ToTensor", "Normalize", "Resize", "CenterCrop", "RandomCrop", "RandomHorizontalFlip",
                 "RandomVerticalFlip", "RandomResizedCrop", "RandomRotation", "ColorJitter", "Grayscale", "RandomGrayscale", "Pad",
                 "RandomErasing", "RandomApply", "RandomChoice", "RandomOrder", "ToPILImage", "FiveCrop", "TenCrop", "GaussianBlur",
                 "RandomAffine", "RandomPerspective", "AutoAugment", "RandAugment", "TrivialAugmentWide", "Lambda"):
        found[f"torchvision.transforms.{name}"] = None
    for name in ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "ImageFolder"):
        found[f"torchvision.datasets.{name}"] = None
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in found.items())
    FILE.write_text(f'{{"version": "{torch.__version__.split("+")[0]}", "names": {{\n{lines}\n}}}}\n', encoding="utf-8")
    print(len(found))


if __name__ == "__main__":
    main()
