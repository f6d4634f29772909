# SPDX-License-Identifier: Apache-2.0
"""Names of MindSpore whose feature there is none here: they can be imported, and say so when they are used."""

from rutile import _rutile

_SEVERAL = "it is of MindSpore's sharded models; here every process has the whole model (rutile.nn.DistributedGradReducer, docs/distributed.md)"
_PARTS = "files that several devices wrote in parts by a strategy are not read; save whole ones with save_checkpoint"
_NPU = "it is of Ascend NPUs"
_TREE = "it edits source code by MindSpore's own parser; change the Cells themselves (insert_child_to_cell, setattr)"
_MODELS = "model files (MINDIR, ONNX) are not written or read; save_checkpoint keeps the weights, load_checkpoint reads them"
_SERVER = "there is no parameter server; train data-parallel (docs/distributed.md)"

REASONS = {
    **dict.fromkeys(("Layout", "shard", "get_algo_parameters", "set_algo_parameters", "reset_algo_parameters", "parameter_broadcast",
                     "sync_pipeline_shared_parameters", "export_split_mindir", "communication_stream"), _SEVERAL),
    **dict.fromkeys(("build_searched_strategy", "get_ckpt_path_with_strategy", "load_distributed_checkpoint", "merge_pipeline_strategys",
                     "merge_sliced_parameter", "rank_list_for_transform", "restore_group_info_list", "transform_checkpoint_by_rank",
                     "transform_checkpoints", "unified_safetensors"), _PARTS),
    **dict.fromkeys(("export", "load", "load_mindir", "save_mindir"), _MODELS),
    **dict.fromkeys(("get_ps_context", "set_ps_context"), _SERVER),
    **dict.fromkeys(("ConvertModelUtils", "ConvertNetUtils", "FlopsUtilizationCollector", "TrainFaultTolerance", "flops_collection",
                     "mindio_preload", "set_mindio_server_info", "get_device_limit", "set_device_limit", "get_stream_limit",
                     "set_stream_limit", "reset_stream_limit", "StreamLimitCtx", "set_kernel_launch_capture", "set_dump"), _NPU),
    **dict.fromkeys(("Node", "NodeType", "ScopedValue", "SymbolTree"), _TREE),
    **dict.fromkeys(("MemPool", "PluggableAllocator", "use_mem_pool", "memory_replay"),
                    "memory comes from the core's own allocator (rutile.runtime.set_memory limits it)"),
    **dict.fromkeys(("register_saved_tensors_hooks", "saved_tensors_hooks", "swap_tensors"),
                    "what backward keeps is not reached from Python; recompute or jit(remat=...) keep less of it"),
    **dict.fromkeys(("obfuscate_ckpt", "load_obf_params_into_net"), "checkpoints are not obfuscated; protect the files themselves"),
    "QuantDtype": "there are no quantised element types", "UntypedStorage": "tensors have no storage of their own to share",
    "SummaryLandscape": "loss landscapes are pages of MindInsight's; SummaryCollector writes losses and histograms for TensorBoard"}
# Of ops: parameter servers, tensors that are spread over devices by a layout, and NPUs' kernels that compute while they send.
_OPS_OF_SEVERAL = {**dict.fromkeys(("Pull", "Push"), _SERVER), **dict.fromkeys(("Reshard", "reshard", "distribute"), _SEVERAL),
                   **dict.fromkeys(("all_gather_matmul", "matmul_reduce_scatter"), _NPU)}
OF_PARALLEL = ("Layout", "build_searched_strategy", "convert_checkpoint_by_rank", "convert_checkpoints", "get_algo_parameters",
               "load_distributed_checkpoint", "merge_pipeline_strategys", "merge_sliced_parameter", "parameter_broadcast",
               "rank_list_for_convert", "rank_list_for_transform", "reset_algo_parameters", "restore_group_info_list",
               "set_algo_parameters", "set_op_strategy_config", "shard", "sync_pipeline_shared_parameters",
               "transform_checkpoint_by_rank", "transform_checkpoints", "unified_safetensors")
OF_BOOST = ("AdaSum", "AutoBoost", "BoostTrainOneStepCell", "BoostTrainOneStepWithLossScaleCell", "DimReduce", "FreezeOpt",
            "GradientFreeze", "GroupLossScaleManager", "LessBN", "OptimizerProcess", "ParameterProcess", "freeze_cell")
# Operators that MindSpore's own CPU build has no kernel for either.
OF_OPS = ("ApplyRotaryPosEmb", "BasicLSTMCell", "BatchToSpaceNDV2", "CudnnGRU", "DynamicGRUV2", "DynamicRNN", "FlashAttentionScore",
          "GroupTopk", "MapCacheIdx", "PagedAttention", "PagedAttentionMask", "PromptFlashAttention", "RNNTLoss", "ReshapeAndCache",
          "flash_attention_score", "fused_infer_attention_score", "incre_flash_attention", "lightning_indexer",
          "moe_distribute_combine", "moe_distribute_dispatch", "moe_init_routing_v2", "moe_token_permute", "moe_token_unpermute",
          "multi_scale_deformable_attn_function", "nsa_compress", "nsa_compress_attention", "nsa_select_attention",
          "prompt_flash_attention", "ring_attention_update", "rotated_iou", "sparse_flash_attention", "speed_fusion_attention")
OF_OPS += tuple(_OPS_OF_SEVERAL)
# What is refused in those modules alone.
INNER = {**dict.fromkeys((n for n in OF_PARALLEL if n not in REASONS), _PARTS), "set_op_strategy_config": _SEVERAL,
         **dict.fromkeys(OF_BOOST, "of MindSpore's ways to train faster there is boost.GradientAccumulation"),
         **dict.fromkeys(OF_OPS, "its kernel is of Ascend NPUs or cuDNN, and MindSpore's CPU build has none either"), **_OPS_OF_SEVERAL}
# Those that are in rutile.runtime and rutile.train as well.
OF_RUNTIME = ("MemPool", "PluggableAllocator", "StreamLimitCtx", "communication_stream", "get_device_limit", "get_stream_limit",
              "memory_replay", "reset_stream_limit", "set_device_limit", "set_kernel_launch_capture", "set_stream_limit", "use_mem_pool")
OF_TRAIN = ("ConvertModelUtils", "ConvertNetUtils", "FlopsUtilizationCollector", "SummaryLandscape", "TrainFaultTolerance",
            "build_searched_strategy", "export", "export_split_mindir", "get_ckpt_path_with_strategy", "load_distributed_checkpoint",
            "load", "merge_sliced_parameter", "restore_group_info_list")


def _reason(name):
    return REASONS.get(name) or INNER[name]


def _error(name):
    return _rutile.errors.UnsupportedError(f"{name} is not supported: {_reason(name)}")


def refused(name):
    """A class or function of this name that raises an error when it is used."""
    if name[0].isupper():
        def fail(self, *args, **kwargs):
            raise _error(name)
        return type(name, (), {"__doc__": f"Not supported: {_reason(name)}.", "__init__": fail, "__module__": "rutile", "_refused": True})

    def function(*args, **kwargs):
        if kwargs.get("file_format") == "AIR":
            raise _rutile.errors.ValueError(f"[{name}] Only support export file in 'AIR' format with Ascend backend.")
        raise _error(name)
    function.__name__ = function.__qualname__ = name
    function.__module__, function.__doc__, function._refused = "rutile", f"Not supported: {_reason(name)}.", True
    return function
