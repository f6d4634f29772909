// SPDX-License-Identifier: Apache-2.0
// Differentiation and recomputation of Python functions.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace rutile::python {

void add_transforms(pybind11::module_& m);

}  // namespace rutile::python
