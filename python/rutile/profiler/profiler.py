# SPDX-License-Identifier: Apache-2.0
"""Profiler: from start to stop, and tables in files."""

import logging as _logging
import os as _os

from rutile import _hints, _rutile

_errors, _log = _rutile.errors, _logging.getLogger("rutile")

__all__ = ["Profiler"]

_TAKEN = ("profiler_level", "activities", "schedule", "on_trace_ready", "profile_memory", "aic_metrics", "with_stack",
          "data_process", "parallel_strategy", "sync_enable", "mstx", "data_simplification", "l2_cache", "hbm_ddr", "pcie",
          "op_time", "profile_communication", "aicore_metrics", "profile_framework", "host_stack", "timeline_limit", "env_enable",
          "is_detail", "output_path", "start_profile", "experimental_config", "record_shapes", "export_type", "sys_io",
          "sys_interconnection", "host_sys", "mstx_domain_include", "mstx_domain_exclude")


class Profiler:
    """Records the ops and kernels of the thread that starts it.

    It starts when it is made, or at start() with start_profile=False; `with` starts it where it does not run and ends it.
    After stop(): table(), events(), to_json(), write(path). As MindSpore: analyse() ends it and writes
    <output_path>/profiler/: cpu_op_type_info_0.csv and cpu_op_detail_info_0.csv (times in ms), step_trace_raw_0_detail_time.csv
    of the steps between calls of step(), and cpu_timeline_display_0.json for chrome://tracing. shapes: operands in the
    events; max_events: later ones are counted. On a GPU the events of kind "device" are its own kernels, copies and fills,
    summed up in gpu_activity_data_0.csv and devices(), and compiled steps run as one graph; device=False: kernel by kernel,
    as ops of the tables. Further keywords of MindSpore's are taken and change nothing.

    Errors: RuntimeError while another one runs in the thread, and for tables of one that never started.

    >>> import rutile
    >>> p = rutile.Profiler(output_path="/tmp/profile")
    >>> y = rutile.ops.relu(rutile.Tensor([1.0, -1.0]))
    >>> p.stop()
    >>> p.op_analyse("relu")["relu"]["op_occurrences"]
    1
    """

    def __init__(self, output_path="./data", start_profile=True, shapes=True, max_events=1000000, device=True, **kwargs):
        for name in kwargs:
            if name not in _TAKEN:
                known = ("output_path", "start_profile", "shapes", "max_events", "device", *_TAKEN)
                raise _errors.TypeError(f"[Profiler] there is no argument {name!r}{_hints.close(name, known)}")
        if not isinstance(output_path, (str, _os.PathLike)):
            raise _errors.TypeError(f"[Profiler] output_path must be a string, got {type(output_path).__name__}")
        if not isinstance(start_profile, bool):
            raise _errors.TypeError(f"[Profiler] start_profile must be a bool, got {start_profile!r}")
        self._output, self._core = _os.fspath(output_path), _rutile.Profiler(shapes, max_events, device)
        self._running, self._ever, self._steps, self._metadata = False, False, [], {}
        if start_profile:
            self.start()

    def __enter__(self):
        if not self._running:
            self.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def start(self):
        """Starts to record, from nothing."""
        self._core.start()
        self._running, self._ever, self._steps = True, True, []

    def stop(self):
        """Ends recording."""
        self._core.stop()
        self._running = False

    def step(self):
        """Says that a step of the training ends here."""
        if self._running:
            with _rutile.Span(f"ProfilerStep#{len(self._steps)}"):
                pass
            self._steps.append(None)

    def table(self, rows=25):
        """Time by op and by Cell, as text."""
        return self._core.table(rows)

    def events(self):
        """What was recorded, a dict for each event."""
        return self._core.events()

    def devices(self):
        """Launches a step and gaps of each device, as text."""
        return self._core.devices()

    def to_json(self):
        """The trace as JSON."""
        return self._core.to_json()

    def write(self, path):
        """Writes the trace for Chrome and Perfetto."""
        self._core.write(path)

    def add_metadata(self, key, value):
        """A text that analyse() writes into profiler_metadata.json."""
        if not isinstance(key, str) or not isinstance(value, str):
            raise _errors.TypeError("[Profiler] add_metadata takes two strings")
        self._metadata[key] = value

    def add_metadata_json(self, key, value):
        """A JSON text that analyse() writes into profiler_metadata.json."""
        import json
        try:
            self._metadata[key] = json.loads(value)
        except (TypeError, ValueError) as e:
            raise _errors.ValueError(f"[Profiler] add_metadata_json: the value of {key!r} is no JSON: {e}") from e

    # ---- Tables

    def _work(self):
        return [e for e in self.events() if e["kind"] in ("op", "kernel")]

    @staticmethod
    def _grouped(events, key):
        found = {}
        for e in events:
            row = found.setdefault(key(e), {"op_occurrences": 0, "op_total_time": 0.0})
            row["op_occurrences"] += 1
            row["op_total_time"] += e["self_us"] / 1000
        total = sum(r["op_total_time"] for r in found.values()) or 1.0
        for r in found.values():
            r["op_avg_time"] = r["op_total_time"] / r["op_occurrences"]
            r["proportion"] = r["op_total_time"] / total
        return dict(sorted(found.items(), key=lambda item: -item[1]["op_total_time"]))

    def op_analyse(self, op_name, device_id=None):
        """Occurrences, times in ms and share of an op, or of each of a list."""
        names = [op_name] if isinstance(op_name, str) else list(op_name)
        rows = self._grouped(self._work(), lambda e: e["name"])
        empty = {"op_occurrences": 0, "op_total_time": 0.0, "op_avg_time": 0.0, "proportion": 0.0}
        return {name: rows.get(name, empty) for name in names}

    def analyse(self, offline_path=None, pretty=False, step_list=None, mode="sync"):
        """Ends recording and writes the files."""
        if self._running:
            self.stop()
        if not self._ever:
            raise _errors.RuntimeError("[Profiler] analyse: this Profiler was not started")
        folder = _os.path.join(self._output, "profiler")
        _os.makedirs(folder, exist_ok=True)
        path = lambda name: _os.path.join(folder, name)  # noqa: E731
        work = self._work()
        self._write_rows(path("cpu_op_type_info_0.csv"), ["op_type"], self._grouped(work, lambda e: (e["name"],)))
        full = lambda e: (e["name"], e["kernel"] or e["name"], "/".join(filter(None, (e["cell"], e["name"]))), e["operands"])  # noqa: E731
        self._write_rows(path("cpu_op_detail_info_0.csv"), ["op_type", "op_name", "op_full_name", "input_shapes"],
                         self._grouped(work, full))
        device = [e for e in self.events() if e["kind"] == "device"]
        if device:
            self._write_rows(path("gpu_activity_data_0.csv"), ["name", "op_full_name", "stream_id"],
                             self._grouped(device, lambda e: (e["name"], e["kernel"], e["stream"])), side="GPU")
        self._write_steps(path("step_trace_raw_0_detail_time.csv"))
        self.write(path("cpu_timeline_display_0.json"))
        if self._metadata:
            import json
            with open(path("profiler_metadata.json"), "w", encoding="utf-8") as f:
                json.dump(self._metadata, f)

    @staticmethod
    def _write_rows(path, names, rows, side="CPU"):
        import csv
        columns = ["op_occurrences", "op_total_time", "op_avg_time", "proportion"]
        with open(path, "w", newline="", encoding="utf-8") as f:
            out = csv.writer(f)
            out.writerow(["op_side", *names, *columns])
            for key, row in rows.items():
                out.writerow([side, *key, *(row[c] for c in columns)])

    def _write_steps(self, path):
        import csv
        events = self.events()
        ends = [e["start_us"] for e in events if e["kind"] == "span" and e["name"].startswith("ProfilerStep#")]
        phases = ("forward", "backward", "optimizer")
        with open(path, "w", newline="", encoding="utf-8") as f:
            out = csv.writer(f)
            out.writerow(["step_num", "start_point", "end_point", "total", *phases])
            begin = 0.0
            for number, end in enumerate(ends, 1):
                inside = [e for e in events if begin <= e["start_us"] < end and e["kind"] in ("op", "kernel")]
                times = [sum(e["self_us"] for e in inside if e["phase"] == p) for p in phases]
                out.writerow([number, begin, end, end - begin, *times])
                begin = end
