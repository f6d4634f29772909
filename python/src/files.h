// SPDX-License-Identifier: Apache-2.0
// Files for Python: weights and arrays, as the functions of io/ read and write them.
#pragma once

#include <pybind11/pybind11.h>

namespace rutile::python {

void add_files(pybind11::module_ m);

}  // namespace rutile::python
