// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/fault.h"

#include "rutile/core/error.h"
#include "rutile/kernels/cuda/host.h"

namespace rutile::cuda {

Status fault_status(const FaultReport& r) {
  switch (r.kind) {
    case FaultKind::kNone:
      return Status();
    case FaultKind::kDivision:
      return value_error("integer division by zero");
    case FaultKind::kRange:
      return value_error(cat("value ", r.value, " (element ", r.position, ") is out of range"));
    default:
      break;
  }
  const char* what = r.kind == FaultKind::kLabel ? "label" : "index";
  if (r.limit == 0) {
    return index_error(
        cat(what, " ", r.value, " (element ", r.position, ") is out of range of an empty axis"));
  }
  return index_error(cat(what, " ", r.value, " (element ", r.position,
                         ") is out of range: expects ", r.wraps ? -r.limit : 0, " to ",
                         r.limit - 1));
}

}  // namespace rutile::cuda
