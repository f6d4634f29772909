# SPDX-License-Identifier: Apache-2.0
"""The checks of the tree find what they are for."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools"))

import check_layers  # noqa: E402
import check_sizes  # noqa: E402
import check_text  # noqa: E402
import files  # noqa: E402

ALLOWED = check_layers.parse_layers(files.read(check_layers.LAYERS))


@pytest.mark.parametrize("source, target", [
    ("core/a.cc", "rutile/core/a.h"),
    ("ops/a.cc", "rutile/core/a.h"),
    ("train/a.cc", "rutile/core/a.h"),
    ("train/a.cc", "rutile/graph/ir/a.h"),
    ("nn/optim/a.cc", "rutile/autograd/tape.h"),
    ("apps/lenet/a.cc", "rutile/kernels/register.h"),
    ("python/src/a.cc", "rutile/train/a.h"),
    ("tests/graph/a.cc", "rutile/kernels/cpu/a.h"),
    ("kernels/fake/a.cc", "rutile/kernels/fake/b.h"),
])
def test_allowed_include(source, target):
    assert check_layers.problem_of(source, '"', target, ALLOWED) is None


@pytest.mark.parametrize("source, target", [
    ("core/a.cc", "rutile/ops/a.h"),
    ("ops/a.cc", "rutile/kernels/register.h"),
    ("kernels/a.cc", "rutile/graph/a.h"),
    ("graph/a.cc", "rutile/autograd/a.h"),
    ("autograd/a.cc", "rutile/kernels/a.h"),
    ("io/a.cc", "rutile/dataset/a.h"),
    ("nn/a.cc", "rutile/nn/../train/a.h"),
    ("nn/a.cc", "rutile/tests/support/a.h"),
    ("kernels/a.cc", "rutile/kernels/fake/a.h"),
    ("core/a.cc", "shape.h"),
    ("core/a.cc", "rutile/nowhere/a.h"),
])
def test_refused_include(source, target):
    assert check_layers.problem_of(source, '"', target, ALLOWED)


def test_system_headers_are_free():
    assert check_layers.problem_of("core/a.cc", "<", "vector", ALLOWED) is None


def test_layers_refuse_a_name_from_below():
    with pytest.raises(ValueError):
        check_layers.parse_layers("a: b\nb:\n")


def test_kernels_autograd_and_graph_are_strangers():
    for one in check_layers.STRANGERS:
        assert ALLOWED[one].isdisjoint(set(check_layers.STRANGERS) - {one})


def test_long_functions_are_found():
    body = "".join(f"  step({i});\n" for i in range(90))
    text = f"namespace a {{\n\nint long_one(int a,\n             int b) {{\n{body}}}\n\nint short_one() {{\n  return 1;\n}}\n\n}}\n"
    assert check_sizes.long_functions(text) == [(3, "long_one", 93)]


def test_a_constructor_has_the_class_name_and_its_own_length():
    body = "".join(f"    step({i});\n" for i in range(90))
    short = "class A {\n public:\n  explicit A(int n)\n      : n_(n),\n        m_(2 * n) {\n    step();\n  }\n"
    assert not check_sizes.long_functions(short + "".join(f"  int f{i}() const;\n" for i in range(90)) + "};\n")
    assert check_sizes.long_functions(short.replace("    step();\n", body) + "};\n") == [(3, "A", 94)]
    lines = short.replace("m_(2 * n) {", "m_(step(1,\n                2)) {").replace("    step();\n", body)
    assert check_sizes.long_functions(lines + "};\n") == [(3, "A", 95)]
    one = f"B::B(int n,\n     int k)\n    : n_(n) {{\n{body}}}\n"
    assert check_sizes.long_functions(one) == [(1, "B::B", 94)]


def test_a_class_is_no_function():
    members = "".join(f"  int m{i}() const;\n" for i in range(90))
    assert not check_sizes.long_functions(f"class Big : public Base {{\n{members}}};\n")


def test_text_problems():
    spdx = f"// {check_text.SPDX}\n"
    assert not list(check_text.problems_of("core/a.h", spdx + "#pragma once\n"))
    assert list(check_text.problems_of("core/a.cc", "int a;\n"))
    assert list(check_text.problems_of("core/a.h", spdx))
    assert list(check_text.problems_of("core/a.cc", spdx + 'auto p = "' + "/home" + '/someone/data";\n'))
    assert list(check_text.problems_of("core/a.cc", spdx + "int a;"))
