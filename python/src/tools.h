// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace rutile::python {

// DetectAnomaly, Profiler and Span.
void add_tools(pybind11::module_& m);

}  // namespace rutile::python
