// SPDX-License-Identifier: Apache-2.0
// Sources of random numbers as Python sees them.
#pragma once

#include <pybind11/pybind11.h>

namespace rutile::python {

// Adds the class Keys and default_keys().
void add_random(pybind11::module_& m);

}  // namespace rutile::python
