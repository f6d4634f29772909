# SPDX-License-Identifier: Apache-2.0
"""rutile._checkparam: the checks that MindSpore's scripts call on their own arguments."""

import pytest

from rutile import _checkparam as check
from rutile import errors, nn
from rutile._checkparam import Rel, Validator


def test_values_come_back():
    assert check.check_positive_int(3, "a", "b") == 3 and check.check_int(-3) == -3 and check.check_bool(False) is False
    assert check.check_value_type("x", 1.5, [int, float]) == 1.5 and check.check_string("a", ["a"]) == "a"
    assert check.check_int_range(3, 1, 3, check.INC_RIGHT) == 3 and check.check_float_range(0.0, 0, 1, check.INC_BOTH) == 0
    assert check.check_positive_int_sequence((1, 2)) == (1, 2) and check.twice(3) == (3, 3) == check.twice((3, 3))
    assert Validator.check_non_negative_float(0.0) == 0 and Validator.check("a", 1, "b", 2, Rel.LT) == 1
    assert check.check_number("n", 2, 1, Rel.GE, "op") == 2 and check.check_str_by_regular("_x12_sf.asdf")


@pytest.mark.parametrize("wrong", (
    lambda: check.check_int(True), lambda: check.check_int(3.3), lambda: check.check_bool(1), lambda: check.twice((1, 2, 3)), lambda: check.twice(0.5),
    lambda: check.check_value_type("x", True, [int], "op"), lambda: check.check_is_float(1), lambda: check.check_positive_int("1"),
    lambda: check.check_number("n", "1", 1, Rel.GE, "op")))
def test_wrong_types(wrong):
    with pytest.raises(errors.TypeError):
        wrong()


@pytest.mark.parametrize("wrong", (
    lambda: check.check_int_positive(-1), lambda: check.check_input_format("NHWC"), lambda: check.check_int_range(3, 1, 3, Rel.INC_LEFT),
    lambda: check.check_float_range(1.5, 0, 1, Rel.INC_BOTH), lambda: check.check_string("c", ["a"]), lambda: check.check_str_by_regular(".x"),
    lambda: check.check_non_negative_int_sequence((1, -1)), lambda: check.check("a", 1, "b", 2), lambda: check.check_is_number(float("inf"), float)))
def test_wrong_values(wrong):
    with pytest.raises(ValueError):
        wrong()


def test_no_activation():
    assert nn.get_activation("") is None and nn.Dense(2, 2, activation="").activation is None
