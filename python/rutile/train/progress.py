# SPDX-License-Identifier: Apache-2.0
"""One line that shows where a loop stands, by tqdm's conventions: in place on a terminal and in a notebook, a plain line
every few seconds elsewhere.

>>> import io
>>> from rutile.train import ProgressLine
>>> out = io.StringIO()
>>> for i in ProgressLine(range(3), desc="rows", file=out, mininterval=0, plain_interval=0):
...     pass
>>> out.getvalue().splitlines()[-1].startswith("rows: 100%|")
True
"""

import os as _os
import sys as _sys
import time as _time

__all__ = ["ProgressLine", "say"]

_PLAIN_SECONDS = 10.0
_open = []


def _time_text(seconds):
    """1:02:03 or 02:03."""
    minutes, s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:d}:{minutes:02d}:{s:02d}" if hours else f"{minutes:02d}:{s:02d}"


def _short(n):
    """1.23M for large numbers."""
    if abs(n) < 1000:
        return f"{n:d}" if isinstance(n, int) else f"{n:.2f}"
    for unit in ("k", "M", "G", "T"):
        n /= 1000
        if abs(n) < 999.5:
            break
    return f"{n:.3g}{unit}"


def _value_text(v):
    return f"{v:.3g}" if isinstance(v, float) else str(v)


def _in_notebook():
    shell = _sys.modules.get("IPython")
    shell = shell.get_ipython() if shell is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def style_of(file):
    """"off", "plain" or "line": by RUTILE_PROGRESS (0, plain, 1), else by what the file is."""
    wish = _os.environ.get("RUTILE_PROGRESS", "1")
    if wish == "0":
        return "off"
    try:
        terminal = file.isatty()
    except (AttributeError, ValueError):
        terminal = False
    return "line" if wish != "plain" and (terminal or _in_notebook()) else "plain"


def say(text):
    """Prints a line on standard output, above the lines that stand open."""
    for line in _open:
        line._erase()
    print(text, flush=True)
    for line in _open:
        line._show(_time.perf_counter())


class ProgressLine:
    """Around an iterable, or by hand with update(n): `desc:  40%|####      | 40/100 [00:04<00:06, 10.00it/s, loss=0.5]`.

    total: by default the iterable's length; unit: what is counted; leave=False erases the line at the end; disable shows
    nothing. mininterval: seconds between two lines in place, plain_interval: between two plain ones; a loop that ends
    before says nothing there. file: standard error. RUTILE_PROGRESS=0 shows nothing, =plain plain lines on a terminal too.
    """

    def __init__(self, iterable=None, desc="", total=None, leave=True, file=None, ncols=None, mininterval=0.1, unit="it",
                 disable=False, initial=0, postfix=None, plain_interval=_PLAIN_SECONDS):
        if total is None and iterable is not None and hasattr(iterable, "__len__"):
            total = len(iterable)
        self.iterable, self.desc, self.total, self.leave, self.unit = iterable, desc, total, leave, unit
        self.n = self.initial = initial
        self.file, self.ncols = _sys.stderr if file is None else file, ncols
        self._style = "off" if disable else style_of(self.file)
        self._interval = mininterval if self._style == "line" else plain_interval
        self._postfix, self._width, self._closed = "", 0, False
        self._start = self._shown = _time.perf_counter()
        self._rate, self._rate_at, self._rate_n = None, self._start, initial
        if postfix:
            self.set_postfix(postfix)
        if self._style == "line":
            _open.append(self)
            self._show(self._start)

    def __iter__(self):
        try:
            for item in self.iterable:
                yield item
                self.update()
        finally:
            self.close()

    def __len__(self):
        return self.total

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def update(self, n=1):
        """n more are done."""
        self.n += n
        now = _time.perf_counter()
        if now - self._shown >= self._interval and self._style != "off":
            self._show(now)

    def set_postfix(self, values=None, refresh=False, **more):
        """What stands behind the rate, as name=value."""
        pairs = {**(values or {}), **more}
        self._postfix = ", ".join(f"{k}={_value_text(v)}" for k, v in pairs.items())
        if refresh and self._style != "off":
            self._show(_time.perf_counter())

    def set_description(self, desc):
        """What stands in front."""
        self.desc = desc

    def close(self):
        """Ends the line; where plain lines were shown, with a last one."""
        if self._closed:
            return
        self._closed = True
        if self._style == "line":
            self._show(_time.perf_counter())
            _open.remove(self)
            self._write("\n") if self.leave else self._erase()
        elif self._style == "plain" and self._shown != self._start:
            self._show(_time.perf_counter())

    # ---- Text

    def _speed(self, now):
        """Smoothed, the latest most."""
        if now - self._rate_at > 1e-3 and self.n > self._rate_n:
            rate = (self.n - self._rate_n) / (now - self._rate_at)
            self._rate = rate if self._rate is None else 0.3 * rate + 0.7 * self._rate
            self._rate_at, self._rate_n = now, self.n
        return self._rate

    def __str__(self):
        return self._text(_time.perf_counter())

    def _text(self, now):
        elapsed, rate = now - self._start, self._speed(now)
        if rate is None:
            speed = f"?{self.unit}/s"
        elif rate >= 1:
            speed = f"{rate:.2f}{self.unit}/s"
        else:
            speed = f"{1 / rate:.2f}s/{self.unit}"
        head = f"{self.desc}: " if self.desc else ""
        tail = f", {self._postfix}]" if self._postfix else "]"
        if not self.total:
            return f"{head}{_short(self.n)}{self.unit} [{_time_text(elapsed)}, {speed}{tail}"
        left = "?" if rate is None else _time_text(max(self.total - self.n, 0) / rate)
        part = min(self.n / self.total, 1.0)
        before = f"{head}{part:4.0%}|"
        after = f"| {_short(self.n)}/{_short(self.total)} [{_time_text(elapsed)}<{left}, {speed}{tail}"
        import shutil  # not while the package is imported
        room = (self.ncols or shutil.get_terminal_size((80, 24)).columns) - len(before) - len(after) - 1
        return before + self._bar(part, max(min(room, 40), 1)) + after

    def _bar(self, part, width):
        encoding = (getattr(self.file, "encoding", None) or "ascii").lower()
        if "utf" in encoding and self._style == "line":
            eighths = round(part * width * 8)
            full, rest = divmod(eighths, 8)
            text = "\u2588" * full + ("" if not rest else chr(0x2590 - rest))
        else:
            text = "#" * round(part * width)
        return text.ljust(width)

    def _show(self, now):
        text = self._text(now)
        if self._style == "line":
            self._write("\r" + text + " " * max(self._width - len(text), 0))
            self._width = len(text)
        else:
            self._write(text + "\n")
        self._shown = now

    def _erase(self):
        self._write("\r" + " " * self._width + "\r")

    def _write(self, text):
        try:
            self.file.write(text)
            self.file.flush()
        except (OSError, ValueError):
            self._style = "off"  # a pipe that is gone is no reason to end the loop
