// SPDX-License-Identifier: Apache-2.0
// A custom op before and after it is in the table. Private to ops/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rutile/ops/custom.h"

namespace rutile {

struct CustomDef : OpDef {
  CustomOp spec;  // owns the names
  std::string field_names;
  AttrsInfo info;
};

// Checks the definition; nothing is registered yet.
std::unique_ptr<CustomDef> make_custom_def(CustomOp op);
// All of them, in this order, or none: there is room and their names are free.
std::vector<const OpDef*> add_custom_defs(std::vector<std::unique_ptr<CustomDef>> made);

}  // namespace rutile
