// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rutile/python/src/py_tensor.h"

namespace rutile::python {

// Adds a function for every op of the table; false with a Python error set.
bool add_op_functions(PyObject* module);

}  // namespace rutile::python
