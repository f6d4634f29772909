// SPDX-License-Identifier: Apache-2.0
// Compilation of Python functions.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace rutile::python {

void add_jit(pybind11::module_& m);

}  // namespace rutile::python
