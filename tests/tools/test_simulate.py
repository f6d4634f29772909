# SPDX-License-Identifier: Apache-2.0
"""The calculation of training on many GPUs, where its results are known by hand."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "benchmarks", "dist"))

import simulate  # noqa: E402


def options(*arguments):
    o = simulate.parser().parse_args(list(arguments))
    o.wire_bytes = 2 if o.wire == "bf16" else 4
    return o


def test_resnet50_has_its_gradients():
    layers = simulate.resnet50()
    assert sum(layer.elements for layer in layers) == 25_557_032
    ready = simulate.ready_times(layers, 29.0)
    assert ready[0][0] == 2_049_000 and ready[-1][1] == pytest.approx(29.0)
    assert [b[1] for b in ready] == sorted(b[1] for b in ready)


def test_buckets_are_filled_as_the_reducer_fills_them():
    mb = 250_000  # elements
    gradients = [(2 * mb, 1.0), (mb, 2.0), (8 * mb, 3.0), (mb, 4.0)]
    assert simulate.buckets_of(gradients, 4, 9) == [(2e6, 1.0), (9e6, 3.0), (1e6, 4.0)]
    assert [size for size, _ in simulate.buckets_of(gradients, 2, 9)] == [1e6, 4.5e6, 0.5e6]


def test_an_all_reduce_takes_the_time_of_the_formula():
    links = simulate.Links(4, node_rate=1e6, node_delay=0.001, net_rate=1e5, net_delay=0.01)
    assert links.all_reduce(1e6, 4) == pytest.approx(2 * 3 / 4 * 1.0 + 6 * 0.001)
    # Two nodes: in the node as before, between them each GPU a quarter.
    assert links.all_reduce(1e6, 8) == pytest.approx(2 * 3 / 4 + 0.006 + 2 * 1 / 2 * 2.5e5 / 1e5 + 2 * 0.01)
    assert links.all_reduce(1e6, 1) == 0


def test_steps():
    o = options("--interference", "0", "--jitter", "0", "--forward-ms", "10", "--backward-ms", "20", "--update-ms", "1")
    gradients = [(250_000, 10.0), (250_000, 20.0)]
    links = simulate.Links(8, 1e6, 0.0, 1e6, 0.0)  # 1 MB a millisecond
    assert simulate.simulate(gradients, 1, links, o).ms == 31
    step = simulate.simulate(gradients, 2, links, o)
    # The first MB is sent beside backward, the second behind it.
    assert (step.ms, step.communication, step.exposed) == (32, 2, 1)
    o.zero = True
    assert simulate.simulate(gradients, 2, links, o).ms == pytest.approx(32 + 1 - 0.5)
    sizes = [simulate.simulate(simulate.ready_times(simulate.resnet50(), 29.0), n, simulate.links_of(options(), 1.5), options()).ms
             for n in simulate.SIZES]
    assert sizes == sorted(sizes)


def test_the_page_has_the_table(capsys):
    simulate.main(["--markdown"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    page = open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "distributed.md"), encoding="utf-8").read()
    for row in rows[2:]:
        assert " | ".join(cell.strip() for cell in row.split("|")).strip() in page
