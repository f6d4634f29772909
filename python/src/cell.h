// SPDX-License-Identifier: Apache-2.0
// What a Cell written in Python needs of the call path.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace rutile::python {

// in_cell(name, precision, fn, ...), inside_transform(), cells_edition(), change_cells(),
// in_optimizer(fn), cell_path(); false with a Python error set.
bool add_cell_functions(PyObject* module);

}  // namespace rutile::python
