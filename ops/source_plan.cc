// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/source_plan.h"

namespace rutile {

SourcePlan::~SourcePlan() = default;

}  // namespace rutile
