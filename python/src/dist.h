// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace rutile::python {

// The submodule dist: groups of processes, gradient reduction, starting ranks.
void add_dist(pybind11::module_& m);

}  // namespace rutile::python
