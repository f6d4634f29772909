// SPDX-License-Identifier: Apache-2.0
// Axes, and indices that come from data: range checks and their error.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "rutile/core/error.h"
#include "rutile/core/shape.h"

namespace rutile::kernels {

// An axis that infer has checked.
constexpr int axis_of(int64_t axis, int rank) {
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

// The position that index `v` means on an axis of size n; -1 if it is out of range.
constexpr int64_t resolve_index(int64_t v, int64_t n, bool wrap) {
  if (v < 0 && wrap) v += n;
  return v >= 0 && v < n ? v : -1;
}

// "index 12 at [0,3] is out of range: expects 0 to 9"
inline Status index_out_of_range(const char* what, int64_t v, const Dims& at, int64_t n,
                                 bool wrap) {
  if (n == 0)
    return index_error(cat(what, " ", v, " at ", at, " is out of range of an empty axis"));
  return index_error(
      cat(what, " ", v, " at ", at, " is out of range: expects ", wrap ? -n : 0, " to ", n - 1));
}

// The index of element `linear` in row-major order.
inline Dims position_of(int64_t linear, const Shape& shape) {
  Dims at = shape;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    at[i] = linear % shape[i];
    linear /= shape[i];
  }
  return at;
}

// The first element of an index that is out of range, from any thread.
class FirstBad {
 public:
  void report(int64_t at) {
    int64_t seen = at_.load(std::memory_order_relaxed);
    while (at < seen && !at_.compare_exchange_weak(seen, at)) {
    }
  }
  bool any() const { return at_.load() != kNone; }
  int64_t at() const { return at_.load(); }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> at_{kNone};
};

}  // namespace rutile::kernels
