# SPDX-License-Identifier: Apache-2.0
"""Mistakes that mypy has to find: one in each line with a remark."""

from rutile import Tensor, nn, ops

x = Tensor([1.0])
ops.table.relu(x, x)  # too many arguments
ops.table.softmax(x, axiss=1)  # an argument that is none
ops.table.leaky_relu(x, alpha="a")  # the type of an attribute
x.no_such_method()  # a method that is none
nn.Dense("3", 4)  # the type of an argument
n: int = ops.table.add(x, x)  # the type of a result
nn.NoSuchLayer()  # a layer that is none
