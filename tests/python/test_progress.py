# SPDX-License-Identifier: Apache-2.0
"""The line of progress on terminals, in notebooks and in files, and what stands above it."""

import io
import re

import pytest

import rutile as ms
from rutile import Tensor, nn
from rutile.train import LossMonitor, ProgressBar, ProgressLine

LINE = re.compile(r"^(.+: )?[ \d]{3}%\|.*\| \S+/\S+ \[\d\d:\d\d<(\?|\d\d:\d\d), \S+(it|step)/s.*\]$|^.*s/(it|step).*\]$")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("RUTILE_PROGRESS", raising=False)


def test_in_place():
    out = Terminal()
    with ProgressLine(total=4, desc="work", file=out, mininterval=0, ncols=70) as line:
        for i in range(4):
            line.set_postfix(loss=0.125, name="x")
            line.update()
    text = out.getvalue()
    assert text.endswith("\n") and text.count("\n") == 1
    shown = [t.rstrip() for t in text.rstrip("\n").split("\r")[1:]]
    assert len(shown) == 6 and all(LINE.match(t) and len(t) <= 70 for t in shown), shown
    assert shown[0].startswith("work:   0%|") and shown[2].startswith("work:  50%|") and "4/4" in shown[-1]
    assert "loss=0.125, name=x]" in shown[-1] and "\u2588" in shown[-1]
    out = Terminal()
    list(ProgressLine(range(3), file=out, leave=False))
    assert out.getvalue().endswith("\r") and not out.getvalue().rstrip("\r ").endswith("\n")


def test_plain_lines_and_none(monkeypatch):
    out = io.StringIO()
    list(ProgressLine(range(3), desc="d", file=out, plain_interval=0))
    lines = out.getvalue().splitlines()
    assert len(lines) == 4 and all(LINE.match(t) for t in lines) and "\r" not in out.getvalue()
    out = io.StringIO()
    list(ProgressLine(range(3), file=out))
    assert out.getvalue() == "", "what ends before the first line says nothing"
    for setting, terminal, shows in (("0", True, False), ("plain", True, True)):
        monkeypatch.setenv("RUTILE_PROGRESS", setting)
        out = Terminal()
        list(ProgressLine(range(3), file=out, plain_interval=0))
        assert bool(out.getvalue()) == shows and "\r" not in out.getvalue()


def test_without_length_and_with_large_numbers():
    out = io.StringIO()
    list(ProgressLine((i for i in range(3)), file=out, plain_interval=0))
    assert out.getvalue().splitlines()[-1].startswith("3it [00:00, ")
    assert "1.5k/2M" in str(ProgressLine(total=2_000_000, initial=1500, disable=True))


def test_a_file_that_is_gone_ends_nothing():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    assert list(ProgressLine(range(3), file=Gone(), plain_interval=0)) == [0, 1, 2]


DATA = [(Tensor([[1.0]]), Tensor([[2.0]]))] * 3


def model():
    net = nn.Dense(1, 1)
    return ms.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.1), metrics={"mse"})


def test_training_shows_its_line(monkeypatch, capsys):
    err = Terminal()
    monkeypatch.setattr("sys.stderr", err)
    model().fit(2, DATA, DATA)
    text = err.getvalue()
    assert text.count("\n") == 2 and "Epoch 1/2: 100%|" in text and "mse=" in text and "loss=" in text and "3/3" in text
    err.truncate(0)
    model().train(1, DATA, callbacks=[LossMonitor()])
    assert "Epoch" not in err.getvalue(), "the lines of LossMonitor are enough"
    model().train(1, DATA, callbacks=[LossMonitor(3), ProgressBar()])
    assert "Epoch 1/1" in err.getvalue()
    model().eval(DATA, callbacks=ProgressBar())
    assert "Eval: 100%|" in err.getvalue()
    assert capsys.readouterr().out.count("loss is") == 4


def test_lines_stand_above(monkeypatch):
    both = Terminal()
    monkeypatch.setattr("sys.stderr", both)
    monkeypatch.setattr("sys.stdout", both)
    model().train(1, DATA, callbacks=[ProgressBar(mininterval=0), LossMonitor()])
    on_screen = []
    for line in both.getvalue().split("\n"):
        on_screen.append([t for t in line.split("\r") if t.strip()][-1] if line.strip("\r ") else "")
    assert [t.startswith("epoch: 1 step: ") for t in on_screen] == [True] * 3 + [False] * 2 and on_screen[3].startswith("Epoch 1/1: 100%")


def test_notebooks(monkeypatch):
    import sys
    import types

    class ZMQInteractiveShell:
        pass

    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: ZMQInteractiveShell()))
    out = io.StringIO()
    list(ProgressLine(range(2), file=out, mininterval=0))
    assert "\r" in out.getvalue()


def test_no_line_is_shown_in_files(capsys):
    model().train(1, DATA)
    assert capsys.readouterr() == ("", "")
