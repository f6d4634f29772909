// SPDX-License-Identifier: Apache-2.0
// Shapes and strides: up to kMaxRank 64-bit numbers, stored inline.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "rutile/core/api.h"
#include "rutile/core/error.h"

namespace rutile {

inline constexpr int kMaxRank = 8;

class Dims {
 public:
  constexpr Dims() = default;
  constexpr Dims(std::initializer_list<int64_t> v) { assign(v.begin(), v.size()); }
  constexpr explicit Dims(std::span<const int64_t> v) { assign(v.data(), v.size()); }
  static constexpr Dims filled(int rank, int64_t value) {
    Dims d;
    for (int i = 0; i < rank; ++i) d.push_back(value);
    return d;
  }
  constexpr int rank() const { return rank_; }
  constexpr int size() const { return rank_; }
  constexpr bool empty() const { return rank_ == 0; }
  constexpr int64_t& operator[](int i) { return v_[i]; }
  constexpr int64_t operator[](int i) const { return v_[i]; }
  constexpr int64_t back() const { return v_[rank_ - 1]; }
  constexpr const int64_t* begin() const { return v_; }
  constexpr const int64_t* end() const { return v_ + rank_; }
  constexpr const int64_t* data() const { return v_; }
  constexpr void push_back(int64_t x) {
    if (rank_ == kMaxRank) rank_overflow();
    v_[rank_++] = x;
  }
  constexpr void pop_back() { --rank_; }
  constexpr bool operator==(const Dims& o) const {
    if (rank_ != o.rank_) return false;
    for (int i = 0; i < rank_; ++i) {
      if (v_[i] != o.v_[i]) return false;
    }
    return true;
  }
  // Product of the entries (1 for rank 0). Shapes that reach here passed checked_numel.
  constexpr int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= v_[i];
    return n;
  }

 private:
  constexpr void assign(const int64_t* p, size_t n) {
    if (n > static_cast<size_t>(kMaxRank)) rank_overflow();
    for (size_t i = 0; i < n; ++i) v_[i] = p[i];
    rank_ = static_cast<int8_t>(n);
  }
  [[noreturn]] static void rank_overflow() {
    throw_error(ErrorCode::kValue, "a tensor has at most 8 dimensions");
  }
  int64_t v_[kMaxRank] = {};
  int8_t rank_ = 0;
};
using Shape = Dims;
using Strides = Dims;

RUTILE_API std::string to_string(const Dims& d);  // "[2,3]"

// Number of elements; an error for a negative dimension or a product beyond 2^48.
RUTILE_API Status checked_numel(const Shape& s, int64_t* numel);
RUTILE_API Strides contiguous_strides(const Shape& s);
// Row-major by the permutation `order` (slowest first): {0,2,3,1} gives channels-last of NCHW.
RUTILE_API Strides ordered_strides(const Shape& s, const Dims& order);
// NumPy broadcasting of two shapes.
RUTILE_API Status broadcast_shapes(const Shape& a, const Shape& b, Shape* out);
// Maps axis in [-rank, rank) to [0, rank).
RUTILE_API Status normalize_axis(int64_t axis, int rank, int* out);

// Product of dimensions [begin, end).
inline int64_t product(const Shape& s, int begin, int end) {
  int64_t n = 1;
  for (int i = begin; i < end; ++i) n *= s[i];
  return n;
}

}  // namespace rutile
