// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/shape.h"

#include <algorithm>
#include <limits>

namespace rutile {

std::string to_string(const Dims& d) {
  std::string out = "[";
  for (int i = 0; i < d.rank(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(d[i]);
  }
  out += ']';
  return out;
}

Status checked_numel(const Shape& s, int64_t* numel) {
  constexpr int64_t kMaxElements = int64_t{1} << 48;
  int64_t n = 1;
  int64_t extent = 1;  // zeros count as 1, so that no stride of an empty tensor overflows
  for (int i = 0; i < s.rank(); ++i) {
    if (s[i] < 0) {
      return value_error(cat("dimension ", i, " of shape ", to_string(s), " is negative"));
    }
    const int64_t d = std::max<int64_t>(s[i], 1);
    if (d > kMaxElements / extent) {
      return value_error(cat("shape ", to_string(s), " has more than 2^48 elements"));
    }
    extent *= d;
    n *= s[i];
  }
  *numel = n;
  return Status();
}

namespace {

// Strides are also asked for shapes whose number of elements is refused afterwards.
int64_t next_step(int64_t step, int64_t extent) {
  int64_t next = 0;
  const bool over = __builtin_mul_overflow(step, std::max<int64_t>(extent, 1), &next);
  return over ? std::numeric_limits<int64_t>::max() : next;
}

}  // namespace

Strides contiguous_strides(const Shape& s) {
  Strides out = s;  // for the rank
  int64_t step = 1;
  for (int i = s.rank() - 1; i >= 0; --i) {
    out[i] = step;
    step = next_step(step, s[i]);
  }
  return out;
}

Strides ordered_strides(const Shape& s, const Dims& order) {
  RUTILE_CHECK(order.rank() == s.rank(), "ordered_strides: order and shape differ in rank");
  Strides out = Dims::filled(s.rank(), 0);
  int64_t step = 1;
  for (int i = s.rank() - 1; i >= 0; --i) {
    const int64_t d = order[i];
    RUTILE_CHECK(d >= 0 && d < s.rank() && out[static_cast<int>(d)] == 0,
                 "ordered_strides: order is not a permutation");
    out[static_cast<int>(d)] = step;
    step = next_step(step, s[static_cast<int>(d)]);
  }
  return out;
}

Status broadcast_shapes(const Shape& a, const Shape& b, Shape* out) {
  const int rank = std::max(a.rank(), b.rank());
  Shape result = Dims::filled(rank, 1);
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const int64_t da = ia >= 0 ? a[ia] : 1, db = ib >= 0 ? b[ib] : 1;
    if (da != db && da != 1 && db != 1) {
      return value_error(cat("shapes ", to_string(a), " and ", to_string(b), " do not broadcast: ",
                             da, " against ", db, " in dimension ", i - rank));
    }
    result[i] = da == 1 ? db : da;
  }
  *out = result;
  return Status();
}

Status normalize_axis(int64_t axis, int rank, int* out) {
  if (axis < -rank || axis >= rank) {
    if (rank == 0) return index_error(cat("axis ", axis, ": a 0-d tensor has no axes"));
    return index_error(cat("axis ", axis, " is out of range for rank ", rank, ": expects ", -rank,
                           " to ", rank - 1));
  }
  *out = static_cast<int>(axis < 0 ? axis + rank : axis);
  return Status();
}

}  // namespace rutile
