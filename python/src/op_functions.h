// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rutile/ops/op_def.h"
#include "rutile/python/src/py_tensor.h"

namespace rutile::python {

// Adds a function for every op of the table, those that write Parameters in place to `updates`;
// false with a Python error set.
bool add_op_functions(PyObject* module, PyObject* updates);
// For one that was registered later.
bool add_op_function(const OpDef& op, PyObject* module, PyObject* updates);

}  // namespace rutile::python
