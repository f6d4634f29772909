// SPDX-License-Identifier: Apache-2.0
// What a body that is being traced (of cond, while_loop, scan, vmap) has to know of what runs
// around it: a body becomes ops before anybody differentiates it.
#pragma once

#include <string>

#include "rutile/core/api.h"
#include "rutile/core/error.h"
#include "rutile/core/tensor.h"

namespace rutile::graph {

// Whether a gradient scope is open around the body that this thread traces.
RUTILE_API bool differentiated_outside();

// The error that Python's gradients (a hook, a bprop) cannot be part of that body's ops; a compiled
// function then runs as it is written, and vmap slice by slice.
[[noreturn]] RUTILE_API void refuse_python_gradient(const Tensor& t);

// Throws that ops cannot say this, which Python can: a compiled function then runs as it is
// written.
[[noreturn]] RUTILE_API void refuse_as_ops(ErrorCode code, const std::string& text);

}  // namespace rutile::graph
