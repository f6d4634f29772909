// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/fault.h"

#include "rutile/core/error.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/range_error.h"

namespace rutile::cuda {

namespace {

Status matrix_fault(const FaultReport& r) {
  const std::string which =
      r.limit == 0 ? std::string("the matrix") : cat("matrix ", r.position, " of the batch");
  if (r.kind == FaultKind::kSingular) {
    return value_error(cat(which, " is singular: pivot ", r.value, " is zero"));
  }
  if (r.kind == FaultKind::kNotPositive) {
    return value_error(cat(which, " is not positive definite: its leading minor of order ",
                           r.value + 1, " is not"));
  }
  return value_error(cat(which, " has elements that are infinite or NaN"));
}

ops::RequireRangeAttrs attrs_of(const FaultReport& r) {
  return {.min = r.low, .max = r.high, .positive = r.limit, .what = r.name.text};
}

}  // namespace

Status fault_status(const FaultReport& r) {
  switch (r.kind) {
    case FaultKind::kNone:
      return Status();
    case FaultKind::kDivision:
      return value_error("integer division by zero");
    case FaultKind::kRange:
      return value_error(cat("value ", r.value, " (element ", r.position, ") is out of range"));
    case FaultKind::kNumber:
      return kernels::out_of_range(attrs_of(r), r.number);
    case FaultKind::kFewPositive:
      return kernels::too_few_positive(attrs_of(r), r.value);
    case FaultKind::kPivot:
      return index_error(cat("pivot ", r.value, " (element ", r.position,
                             ") is out of range: expects 1 to ", r.limit));
    case FaultKind::kSingular:
    case FaultKind::kNotPositive:
    case FaultKind::kNotFinite:
      return matrix_fault(r);
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
