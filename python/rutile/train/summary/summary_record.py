# SPDX-License-Identifier: Apache-2.0
"""SummaryRecord: scalars, images, histograms, tensors, graphs and texts of a run, in a file for TensorBoard."""

import logging as _logging
import os as _os

from rutile import _rutile
from rutile._rutile import Tensor

_errors, _files, _log = _rutile.errors, _rutile.files, _logging.getLogger("rutile")

__all__ = ["SummaryRecord"]

_VALUES = ("tensor", "scalar", "image", "histogram")
_LINEAGE = ("train_lineage", "eval_lineage", "dataset_graph", "custom_lineage_data")


def check_export(options):
    """export_options, which say whether tensors are written as .npy files too."""
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise _errors.TypeError(f"[SummaryRecord] export_options must be a dict, got {type(options).__name__}")
    for key, value in options.items():
        if key != "tensor_format" or value not in ("npy", None):
            raise _errors.ValueError(f"[SummaryRecord] export_options is {{'tensor_format': 'npy'}}, got {options!r}")
    return options


def as_markdown(value):
    """A dict as a table, anything else as a block."""
    if not isinstance(value, dict):
        return f"```\n{value}\n```"
    rows = "".join(f"| {k} | {v} |\n" for k, v in value.items())
    return f"| name | value |\n|---|---|\n{rows}"


class SummaryRecord:
    """Writes what a training shows of itself into log_dir, for `tensorboard --logdir`.

    The values of the summary operators in the network (ops.ScalarSummary, ImageSummary, TensorSummary,
    HistogramSummary) of the latest step, and those of add_value, are written by record(step). One may be open at a time;
    close it, or use `with`. num_process is taken and not used: a thread that trains writes into a buffer. network: its
    compiled graph is written by the first record() after it ran in GRAPH_MODE. max_file_size: bytes, later values are
    left out. export_options={"tensor_format": "npy"}: tensors also as .npy files in export_<time>/tensor.

    Errors: TypeError and ValueError for arguments, RuntimeError while another SummaryRecord is open, or where the system
    refuses to write.

    >>> import tempfile, rutile
    >>> from rutile.train import SummaryRecord
    >>> with tempfile.TemporaryDirectory() as folder, SummaryRecord(folder) as summary:
    ...     summary.add_value("scalar", "loss", rutile.Tensor(0.5))
    ...     summary.record(1)
    True
    """

    _open = None

    def __init__(self, log_dir, file_prefix="events", file_suffix="_MS", num_process=32, network=None, max_file_size=None,
                 raise_exception=False, export_options=None):
        if SummaryRecord._open is not None:
            raise _errors.RuntimeError(f"[SummaryRecord] only one may be open at a time: close that of {SummaryRecord._open.log_dir}")
        for name, value, kinds in (("log_dir", log_dir, (str, _os.PathLike)), ("file_prefix", file_prefix, str),
                                   ("file_suffix", file_suffix, str), ("max_file_size", max_file_size, (int, type(None))),
                                   ("raise_exception", raise_exception, bool)):
            if not isinstance(value, kinds) or (name == "max_file_size" and isinstance(value, bool)):
                raise _errors.TypeError(f"[SummaryRecord] {name} must not be {value!r}")
        if not _os.fspath(log_dir):
            raise _errors.ValueError("[SummaryRecord] log_dir must be the path of a folder, got an empty string")
        self._export = check_export(export_options)
        self._folder, self._network, self._has_graph, self._mode = _os.path.realpath(log_dir), network, False, "train"
        self._pool = {}
        self._file = _files.EventFile(self._folder, file_prefix, file_suffix, max(max_file_size or 0, 0))
        self._closed = False
        _files.start_recording()
        SummaryRecord._open = self

    def __enter__(self):
        if self._closed:
            raise _errors.ValueError("[SummaryRecord] it has been closed")
        return self

    def __exit__(self, *error):
        self.close()

    def __del__(self):
        if not self.__dict__.get("_closed", True):
            self.close()

    @property
    def log_dir(self):
        """The path of the event file."""
        return self._file.path

    def set_mode(self, mode):
        """"train", or "eval": record() then leaves out the values of summary operators."""
        if mode not in ("train", "eval"):
            raise _errors.ValueError(f"[SummaryRecord] the mode is 'train' or 'eval', got {mode!r}")
        self._mode = mode

    def add_value(self, plugin, name, value):
        """A value for the next record().

        plugin: "scalar", "image" ([n, c, h, w]), "histogram" or "tensor" with a Tensor; "graph" with a Cell that was
        compiled, or the bytes of a GraphDef; "train_lineage", "eval_lineage", "custom_lineage_data" with a dict and
        "dataset_graph" with a Dataset, shown as texts. A name that was added is replaced.
        """
        if plugin in _VALUES:
            if not isinstance(name, str) or not name:
                raise _errors.ValueError(f"[SummaryRecord] a name is a string that is not empty, got {name!r}")
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                raise _errors.ValueError(f"[SummaryRecord] the name {name!r} cannot be written as UTF-8") from None
            if not isinstance(value, Tensor):
                raise _errors.TypeError(f"[SummaryRecord] the value of {name!r} must be a Tensor, got {type(value).__name__}")
            self._check(plugin, name, value)
        elif plugin == "graph":
            if not isinstance(value, bytes):
                jit = getattr(value, "_jit", None)
                if jit is None:
                    raise _errors.TypeError("[SummaryRecord] a graph is a Cell that was compiled, or bytes; got "
                                            f"{type(value).__name__}")
                value = jit.graph_def()
        elif plugin not in _LINEAGE:
            raise _errors.ValueError(f"[SummaryRecord] plugin is one of {[*_VALUES, 'graph', *_LINEAGE]}, got {plugin!r}")
        self._pool[plugin, name] = value

    @staticmethod
    def _check(plugin, name, value):
        if value.dtype.name.startswith("complex"):
            raise _errors.TypeError(f"[SummaryRecord] the value of {name!r} must be real, got {value.dtype}")
        if plugin == "scalar" and value.size != 1:
            raise _errors.ValueError(f"[SummaryRecord] the scalar {name!r} must have one element, got {list(value.shape)}")
        if plugin == "image" and (value.ndim not in (3, 4) or value.shape[-3] not in (1, 3) or value.size == 0):
            raise _errors.ValueError(f"[SummaryRecord] the image {name!r} must be [n, c, h, w] with 1 or 3 channels, got "
                                     f"{list(value.shape)}")

    def record(self, step, train_network=None, plugin_filter=None):
        """Writes all values as those of a step; plugin_filter(plugin) says which kinds. False where it is closed."""
        if isinstance(step, bool) or not isinstance(step, int):
            raise _errors.TypeError(f"[SummaryRecord] step must be an int, got {type(step).__name__}")
        if self._closed:
            _log.error("SummaryRecord.record: %s is closed", self._file.path)
            return False
        self._record_graph(train_network)
        if self._mode == "train":
            for kind, tag, value in _files.take_recorded():
                self._pool[kind, tag] = value
        pool, self._pool = self._pool, {}
        for (plugin, name), value in pool.items():
            if plugin_filter is None or plugin_filter(plugin):
                self._write(plugin, name, value, step)
        return True

    def _record_graph(self, train_network):
        if self._network is None or self._has_graph:
            return
        for cell in (self._network, train_network):
            jit = getattr(cell, "_jit", None)
            if jit is not None:
                self._file.add_graph(jit.graph_def())
                self._has_graph = True
                return

    def _write(self, plugin, name, value, step):
        if plugin == "scalar":
            self._file.add_scalar(name, step, float(value.asnumpy().reshape(())))
        elif plugin == "image":
            self._file.add_image(name, step, value)
        elif plugin == "histogram":
            self._file.add_histogram(name, step, value)
        elif plugin == "tensor":
            self._file.add_tensor(name, step, value)
            if self._export.get("tensor_format") == "npy":
                self._write_npy(name, value, step)
        elif plugin == "graph":
            self._file.add_graph(value)
        else:
            self._file.add_text(name or plugin, step, as_markdown(value))

    def _write_npy(self, name, value, step):
        import numpy
        stamp = _os.path.basename(self._file.path).split("tfevents.")[1].split(".")[0]
        folder = _os.path.join(self._folder, f"export_{stamp}", "tensor")
        _os.makedirs(folder, exist_ok=True)
        numpy.save(_os.path.join(folder, f"{name.replace('/', '_')}_{step}.npy"), value.asnumpy())

    def flush(self):
        """Writes what is buffered to the file."""
        if not self._closed:
            self._file.flush()

    def close(self):
        """Ends the file."""
        if self._closed:
            return
        self._closed = True
        if SummaryRecord._open is self:
            SummaryRecord._open = None
        _files.stop_recording()
        self._file.close()
