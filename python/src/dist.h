// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

#include <span>

#include "rutile/autograd/tape.h"

namespace rutile::python {

// Lets a dist.Reducer (None: nothing) send the gradients of `watched` while backward runs.
void attach_reducer(const pybind11::object& reducer, GradScope& scope,
                    std::span<const Tensor> watched);

// The submodule dist: groups of processes, gradient reduction, starting ranks.
void add_dist(pybind11::module_& m);

}  // namespace rutile::python
