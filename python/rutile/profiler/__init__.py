# SPDX-License-Identifier: Apache-2.0
"""Where the time goes: ops that run eagerly and kernels of compiled functions, of the thread that starts it.

>>> import rutile
>>> x = rutile.Tensor([[1.0, 2.0]])
>>> with rutile.profiler.Profiler() as p:
...     with rutile.profiler.Span("forward"):
...         y = rutile.ops.relu(x)
>>> [e["name"] for e in p.events()]
['forward', 'relu']
>>> print(p.table().split()[-1] != "")  # p.write("trace.json") is for chrome://tracing and ui.perfetto.dev
True
"""

from rutile._rutile import Span
from rutile.profiler.parts import AicoreMetrics, ExportType, HostSystem, ProfilerActivity, ProfilerLevel, mstx
from rutile.profiler.profiler import Profiler
from rutile.profiler.steps import ProfilerAction, profile, schedule, tensorboard_trace_handler

__all__ = ["AicoreMetrics", "ExportType", "HostSystem", "Profiler", "ProfilerAction", "ProfilerActivity", "ProfilerLevel", "Span",
           "mstx", "profile", "schedule", "tensorboard_trace_handler"]
