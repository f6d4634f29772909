// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/running_op.h"

#include "rutile/core/strings.h"

namespace rutile {

RunningOp& running_op() {
  static thread_local constinit RunningOp op;
  return op;
}

std::string running_op_text() {
  const RunningOp& r = running_op();
  if (!r.name) return "";
  const std::string place = r.place ? r.place(r.at, r.in) : "";
  return place.empty() ? r.name : cat(r.name, " in ", place);
}

}  // namespace rutile
