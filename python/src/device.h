// SPDX-License-Identifier: Apache-2.0
// Devices: the one in force, transfers, what is there.
#pragma once

#include <pybind11/pybind11.h>

namespace rutile::python {
void add_device(pybind11::module_& m);
}  // namespace rutile::python
