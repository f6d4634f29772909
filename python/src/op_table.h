// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace rutile::python {

// op_table(): what stubs and pages of documentation are made of.
void add_op_table(pybind11::module_& m);

}  // namespace rutile::python
