// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/fault.h"

#include <mutex>
#include <unordered_map>
#include <vector>

#include "rutile/core/error.h"
#include "rutile/core/running_op.h"
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
  if (r.kind == FaultKind::kNotFinite) {
    return value_error(cat(which, " has elements that are infinite or NaN"));
  }
  return value_error(cat(which, " is too ill-conditioned: the iteration does not converge"));
}

ops::RequireRangeAttrs attrs_of(const FaultReport& r) {
  return {.min = r.low, .max = r.high, .positive = r.limit, .what = r.name.text};
}

// What kernels were queued for. Captured kernels keep their numbers.
struct Sources {
  std::mutex mutex;
  std::vector<std::string> texts{""};
  std::unordered_map<std::string, int32_t> numbers;
};
Sources& sources() {
  static Sources* const made = new Sources();
  return *made;
}

Status status_of(const FaultReport& r) {
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
    case FaultKind::kNoConvergence:
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

}  // namespace

int32_t fault_source() {
  constexpr size_t kMost = 1 << 20;
  std::string text = running_op_text();
  if (text.empty()) return 0;
  Sources& s = sources();
  const std::lock_guard lock(s.mutex);
  if (const auto found = s.numbers.find(text); found != s.numbers.end()) return found->second;
  if (s.texts.size() == kMost) return 0;
  const auto number = static_cast<int32_t>(s.texts.size());
  s.texts.push_back(text);
  s.numbers.emplace(std::move(text), number);
  return number;
}

Status fault_status(const FaultReport& r) {
  Status s = status_of(r);
  if (s.ok() || r.source <= 0) return s;
  Sources& known = sources();
  const std::lock_guard lock(known.mutex);
  if (static_cast<size_t>(r.source) >= known.texts.size()) return s;
  return Status(s.code(),
                cat(s.message(), " | queued by ", known.texts[static_cast<size_t>(r.source)]));
}

}  // namespace rutile::cuda
