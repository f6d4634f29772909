# SPDX-License-Identifier: Apache-2.0
"""SummaryCollector: what TensorBoard shows of a training by Model."""

import logging as _logging
import os as _os
import re as _re

from rutile import _rutile
from rutile._rutile import Parameter, Tensor
from rutile.train.callback._callback import Callback, _loss_of

_errors, _log = _rutile.errors, _logging.getLogger("rutile")

__all__ = ["SummaryCollector"]

_SWITCHES = ("collect_metric", "collect_graph", "collect_train_lineage", "collect_eval_lineage", "collect_input_data",
             "collect_dataset_graph")
_TENSOR_STEPS = 20
_HISTOGRAMS = 5


def _positive(name, value, none=False):
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise _errors.TypeError(f"[SummaryCollector] {name} must be an int, got {type(value).__name__}")
    if value <= 0:
        raise _errors.ValueError(f"[SummaryCollector] {name} must be positive, got {value}")


class SummaryCollector(Callback):
    """Writes the loss, the input images, the first weights, the graph, the metrics of fit(), settings and what summary
    operators give into summary_dir, for `tensorboard --logdir`.

    collect_freq: every so many steps, and the first one. collect_specified_data switches parts: collect_metric,
    collect_graph (of GRAPH_MODE), collect_train_lineage, collect_eval_lineage, collect_input_data, collect_dataset_graph
    (all True), histogram_regular (a regular expression of the parameters shown as histograms; None: the first five).
    keep_default_action=False: what it does not name is off. custom_lineage_data: a dict of names and values, shown as a
    text. collect_tensor_freq: collect_freq of ops.TensorSummary; by default 20 steps of the run at most. num_process is
    taken and not used, collect_landscape is not collected. Others: as SummaryRecord.

    >>> from rutile.train import SummaryCollector
    >>> SummaryCollector("/tmp/summary", collect_freq=100)._collect_freq
    100
    """

    def __init__(self, summary_dir, collect_freq=10, num_process=32, collect_specified_data=None, keep_default_action=True,
                 custom_lineage_data=None, collect_tensor_freq=None, max_file_size=None, export_options=None):
        from rutile.train.summary.summary_record import check_export
        if not isinstance(summary_dir, (str, _os.PathLike)):
            raise _errors.TypeError(f"[SummaryCollector] summary_dir must be a string, got {summary_dir!r}")
        if not _os.fspath(summary_dir):
            raise _errors.ValueError("[SummaryCollector] summary_dir must be the path of a folder, got an empty string")
        if _os.path.isfile(summary_dir):
            raise NotADirectoryError(f"[SummaryCollector] summary_dir is a file: {_os.fspath(summary_dir)}")
        _positive("collect_freq", collect_freq)
        _positive("collect_tensor_freq", collect_tensor_freq, True)
        _positive("max_file_size", max_file_size, True)
        if not isinstance(keep_default_action, bool):
            raise _errors.TypeError(f"[SummaryCollector] keep_default_action must be a bool, got {keep_default_action!r}")
        self._summary_dir, self._collect_freq, self._tensor_freq = _os.fspath(summary_dir), collect_freq, collect_tensor_freq
        self._max_file_size, self._export = max_file_size, check_export(export_options)
        self._wanted = self._specified(collect_specified_data, keep_default_action)
        self._custom = self._checked(custom_lineage_data)
        self._record, self._begun, self._graph_saved, self._tensor_steps = None, False, False, range(0)

    @staticmethod
    def _specified(given, keep):
        wanted = {name: keep or given is None for name in _SWITCHES}
        wanted["histograms"] = keep or given is None
        wanted["histogram_regular"] = None
        if given is None:
            return wanted
        if not isinstance(given, dict):
            raise _errors.TypeError(f"[SummaryCollector] collect_specified_data must be a dict, got {type(given).__name__}")
        for name, value in given.items():
            if not isinstance(name, str):
                raise _errors.TypeError(f"[SummaryCollector] collect_specified_data has names, got {name!r}")
            if name in _SWITCHES:
                if not isinstance(value, bool):
                    raise _errors.TypeError(f"[SummaryCollector] {name} must be a bool, got {value!r}")
                wanted[name] = value
            elif name == "histogram_regular":
                if not isinstance(value, (str, type(None))):
                    raise _errors.TypeError(f"[SummaryCollector] histogram_regular must be a string, got {value!r}")
                try:
                    wanted.update(histograms=True, histogram_regular=value and _re.compile(value))
                except _re.error as e:
                    raise _errors.ValueError(f"[SummaryCollector] histogram_regular {value!r} is no expression: {e}") from None
            elif name != "collect_landscape":
                raise _errors.ValueError(f"[SummaryCollector] collect_specified_data has no {name!r}; there are "
                                         f"{[*_SWITCHES, 'histogram_regular']}")
            elif value is not None:
                _log.warning("SummaryCollector: loss landscapes are not collected")
        return wanted

    @staticmethod
    def _checked(custom):
        if custom is None:
            return {}
        if not isinstance(custom, dict):
            raise _errors.TypeError(f"[SummaryCollector] custom_lineage_data must be a dict, got {type(custom).__name__}")
        for name, value in custom.items():
            if not isinstance(name, str) or not isinstance(value, (int, float, str)):
                raise _errors.TypeError(f"[SummaryCollector] custom_lineage_data has names and strings or numbers, got {name!r}: "
                                        f"{value!r}")
        return custom

    def __enter__(self):
        from rutile.train.summary import SummaryRecord
        if self._record is not None and SummaryRecord._open is self._record:
            raise _errors.ValueError("[SummaryCollector] there is more than one in the list of callbacks")
        self._record = SummaryRecord(self._summary_dir, max_file_size=self._max_file_size, export_options=self._export)
        self._begun = self._graph_saved = False
        return self

    def __exit__(self, *error):
        if self._record is not None:
            self._record.close()

    def begin(self, run_context):
        args = run_context.original_args()
        self._record.set_mode(args.mode)

    def step_end(self, run_context):
        args = run_context.original_args()
        if args.mode != "train":
            return
        step = args.cur_step_num
        if not self._begun:
            self._first(args)
        due, tensors = step % self._collect_freq == 0 or not self._begun, step in self._tensor_steps or not self._begun
        self._begun = True
        if due:
            self._collect(args)
        if due or tensors:
            self._record.record(step, plugin_filter=lambda plugin: tensors if plugin == "tensor" else due)

    def _first(self, args):
        """What is there once: graph, pipeline, settings."""
        step, total = args.cur_step_num, args.epoch_num * args.batch_num
        freq = self._tensor_freq or max(self._collect_freq, -(-total // _TENSOR_STEPS))
        self._tensor_steps = range(0, total + 1, freq)
        jit = args.train_network._jit
        if self._wanted["collect_graph"] and jit is not None and jit.compilations:
            self._record.add_value("graph", "train_network/auto", args.train_network)
        if self._wanted["collect_dataset_graph"]:
            self._record.add_value("dataset_graph", "train_dataset", repr(args.train_dataset)[:10000])
        if self._custom:
            self._record.add_value("custom_lineage_data", "custom_lineage_data", self._custom)

    def _collect(self, args):
        if self._wanted["collect_input_data"]:
            self._collect_input(args)
        if self._wanted["collect_metric"]:
            self._record.add_value("scalar", "loss/auto", Tensor(_loss_of(args), "float32"))
        if self._wanted["histograms"] and args.optimizer is not None:
            regular, parameters = self._wanted["histogram_regular"], list(args.optimizer.parameters)
            chosen = [p for p in parameters if regular.match(p.name)] if regular else parameters[:_HISTOGRAMS]
            for p in chosen:
                self._record.add_value("histogram", p.name + "/auto", p.value())

    def _collect_input(self, args):
        batch = args.train_dataset_element
        x = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        if isinstance(x, Tensor) and x.ndim == 4 and x.shape[1] in (1, 3) and x.size:
            self._record.add_value("image", "input_data/auto", x)
        else:
            _log.info("SummaryCollector: the input is no image [n, c, h, w]")
            self._wanted["collect_input_data"] = False

    def epoch_end(self, run_context):
        args = run_context.original_args()
        if args.mode == "train" and self._wanted["collect_metric"]:
            self._record_metrics(args.metrics, args.cur_step_num)
        self._record.flush()

    def _record_metrics(self, metrics, step):
        for name, value in (metrics or {}).items():
            if getattr(value, "size", 1) == 1:
                self._record.add_value("scalar", f"eval/{name}", Tensor(float(value), "float32"))
        self._record.set_mode("eval")  # values of operators stay for their step
        self._record.record(step)
        self._record.set_mode("train")

    def end(self, run_context):
        args = run_context.original_args()
        if args.mode == "train" and self._wanted["collect_train_lineage"] and args.cur_step_num:
            self._record.add_value("train_lineage", "train_lineage", self._lineage(args))
        elif args.mode == "eval" and self._wanted["collect_eval_lineage"]:
            self._record.add_value("eval_lineage", "eval_lineage", {
                **{k: v for k, v in args.metrics.items()}, "network": type(args.network).__name__})
        self._record.set_mode("eval")
        self._record.record(args.cur_step_num)
        self._record.flush()

    @staticmethod
    def _lineage(args):
        optimizer = args.optimizer
        rate = optimizer.learning_rate if hasattr(optimizer, "learning_rate") else None
        dataset = args.train_dataset
        return {
            "train_network": type(args.network).__name__, "loss_function": type(args.loss_fn).__name__ if args.loss_fn else None,
            "loss": _loss_of(args), "optimizer": type(optimizer).__name__,
            "learning_rate": float(rate.asnumpy()) if isinstance(rate, Parameter) and rate.size == 1 else None,
            "epoch": args.epoch_num, "step_num": args.cur_step_num, "parallel_mode": args.parallel_mode,
            "device_num": args.device_number,
            "batch_size": dataset.get_batch_size() if hasattr(dataset, "get_batch_size") else None,
            "train_dataset_size": args.batch_num,
        }
