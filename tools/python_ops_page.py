# SPDX-License-Identifier: Apache-2.0
"""Writes docs/python_ops.md: which names of MindSpore's modules this package has, and why others are missing.

    PYTHONPATH=build/release/python python tools/python_ops_page.py [--check]

The names lie in tests/python/dumps/mindspore_names.json (public names of MindSpore 2.10 without those of its graph parser).
"""

import importlib
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Why a name is missing: the first pattern that fits a name says it.
REASONS = (
    ("of several processes: every process has the whole model here",
     r"all_gather|all_reduce|all_to_all|AllGather|AllReduce|Alltoall|AlltoAll|[Bb]arrier$|[Bb]roadcast$|broadcast_object|[Rr]educe_?[Ss]catter|reduce$|Reduce$|"
     r"recv|Recei?ve$|isend|irecv|[Ss]end$|send_object|scatter_(object|tensor)|gather_(object|into)|Collective|NeighborExchange|P2POp|[Bb]atch_?[Ii][Ss]end|"
     r"process_group|get_(backend|rank|world_size|global_rank|group_rank)|new_group|is_(available|initialized)$|TCPStore|set_comm_ops|Pull$|Push$|[Rr]eshard|"
     r"shard$|Layout|distribute$|parallel|pipeline|Pipeline|MicroBatch|VirtualDataset|AdaSum|rank_list|transform_checkpoint|strateg|merge_sliced|"
     r"load_distributed|load_segmented|unified_safetensors|restore_group|export_split|ps_context|algo_parameters|_matmul$|communication|device_num"),
    ("kernels of Ascend NPUs, which MindSpore's CPU build does not run either",
     r"[Ff]lash_?[Aa]ttention|fused_infer|infer_attention|moe_|Moe|nsa_|lightning|multi_scale_deformable|ring_attention|speed_fusion|PagedAttention|ReshapeAndCache|"
     r"ApplyRotaryPosEmb|GroupTopk|DynamicGRU|DynamicRNN|BasicLSTM|BatchToSpaceNDV2|RNNTLoss|rotated_iou|conv_tbc|batch_norm_(elemt|gather|stats)|Thor|thor|"
     r"ConvertNetUtils|ConvertModelUtils|OptTFT|TrainFaultTolerance|mindio|hifloat8|float8|qint4|MapCacheIdx|flops|Flops|Symbol$"),
    ("MindSpore's own compiler, graph parser, kernel builders and files: this package has other ones",
     r"RegOp|DataType$|op_info|custom_info|vm_impl|[Kk]ernel$|CustomOpBuilder|_hybrid|^J$|SliceGetItem|isconstant|is_dynamic|is_sequence|is_tensor_bool|hastype|"
     r"^in_dict|not_in_dict|zip_operation|iter_converter|reduced_shape|ref_to_embed|recompute_block|broadcast_gradient|embed$|GraphCell|GetNext|UpdateState|PyExecute|Morph|"
     r"GeSwitch|Merge|merge$|TensorToTuple|DtypeToEnum|DumpGradient|ms_memory|swap_tensors|recursion_limit|SymbolTree|Node|ScopedValue|obfuscate|"
     r"load_obf|save_mindir|load_mindir|compile_cache|set_dump|enable_dynamic|DatasetHelper|connect_network|data_sink|hook_map|cast_inputs|dump|type_none|Type$|"
     r"Int$|tensor_type|QuantDtype|^number$|saved_tensors|register_saved|get_log_config|^hooks$|remove_hook|parameter_forward_hook|get_level|COMPATIBLE|untyped|Untyped|storage$|run_construct"),
    ("export to model files: with the exchange of models", r"^export$|^load$|mindir"),
    ("memory, streams and settings of accelerators: with the CUDA backend",
     r"[Mm]em(ory|Pool)|[Ss]tream|Event$|Allocator|synchronize|launch|device_limit|DeviceCtx|cpu_affinity|current_device|set_deterministic|empty_cache|offload|"
     r"dispatch_threads|to_empty|^to_$"),
)


def reason(name):
    return next((text for text, pattern in REASONS if re.search(pattern, name)), "not yet")


def wrapped(names):
    lines, line = [], ""
    for n in names:
        if len(line) + len(n) > 110:
            lines.append(line.rstrip())
            line = ""
        line += f"`{n}` "
    return lines + [line.rstrip()]


def section(title, names, module, listed=True):
    missing = [n for n in names if not hasattr(module, n)]
    refused = [n for n in names if getattr(getattr(module, n, None), "_refused", False) is True]
    done = [n for n in names if n not in {*missing, *refused}]
    lines = ["", f"## {title}: {len(done)} of {len(names)}"]
    if listed:
        lines += ["", "Done:", "", *wrapped(done)]
    if refused:
        lines += ["", "Refused, with an error that says why:", "", *wrapped(refused)]
    kinds = {}
    for n in missing:
        kinds.setdefault(reason(n), []).append(n)
    for text in [t for t, _ in REASONS] + ["not yet"]:
        if text in kinds:
            lines += ["", f"Missing, {text}:", "", *wrapped(kinds[text])]
    return lines


def found(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def page():
    import rutile
    from rutile import nn, ops
    names = json.loads((ROOT / "tests/python/dumps/mindspore_names.json").read_text())
    lines = ["# MindSpore's names", "", f"Which names of MindSpore {names['version']} the Python package has, written by "
             "`tools/python_ops_page.py`. Operators of the C++", "table have further names: `rutile.ops.table`."]
    lines += section("Functions of ops", names["functions"], ops)
    lines += section("Primitives", names["primitives"], ops.operations)
    lines += section("Cells of nn", names["nn"], nn)
    for title, some in names["modules"].items():
        module = {"mindspore": rutile, "Tensor": rutile.Tensor, "nn.Cell": nn.Cell, "Model": rutile.Model, "COOTensor": rutile.COOTensor,
                  "CSRTensor": rutile.CSRTensor}.get(title) or found(f"rutile.{title}")
        lines += section(title, some, module, listed=False)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    file = ROOT / "docs/python_ops.md"
    if "--check" in sys.argv:
        sys.exit(0 if file.read_text() == page() else f"{file} is out of date: run tools/python_ops_page.py")
    file.write_text(page())
