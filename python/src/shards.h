// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace rutile::python {

// Sharding of optimizers' states, and checkpoints that ranks write together.
void add_shards(pybind11::module_& m);

}  // namespace rutile::python
