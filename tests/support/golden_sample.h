// SPDX-License-Identifier: Apache-2.0
// One call of an op that a file of tests/golden describes, with its gradients.
#pragma once

#include "rutile/tests/support/golden_values.h"

namespace rutile::golden {

// Runs a sample of the file whose seeds begin with `folder`, eager and as a compiled function, and
// compares the outputs and the gradients of the first, which the file calls `first`. It may leave
// out later outputs. Returns the op.
const OpDef* check_op_sample(const Json& sample, const std::string& folder,
                             const std::string& first);

}  // namespace rutile::golden
