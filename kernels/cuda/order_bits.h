// SPDX-License-Identifier: Apache-2.0
// Numbers as bits that compare as they do: NaN last, both zeros alike.
#pragma once

#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {

RUTILE_FN uint64_t ordered_bits(double v) {
  if (v != v) return ~uint64_t{0};
  if (v == 0) v = 0;
  const auto u = std::bit_cast<uint64_t>(v);
  return u >> 63 ? ~u : u | uint64_t{1} << 63;
}

RUTILE_FN uint64_t ordered_bits(DType t, const void* p, int64_t i) {
  if (t == DType::kF64) return ordered_bits(at<double>(p, i));
  if (is_floating(t)) return ordered_bits(static_cast<double>(load<float>(t, p, i)));
  if (t == DType::kU64) return at<uint64_t>(p, i);
  return static_cast<uint64_t>(load<int64_t>(t, p, i)) ^ uint64_t { 1 } << 63;
}

RUTILE_FN bool is_nan_at(DType t, const void* p, int64_t i) {
  return is_floating(t) && ordered_bits(t, p, i) == ~uint64_t{0};
}

}  // namespace rutile::cuda
