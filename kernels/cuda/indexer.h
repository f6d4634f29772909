// SPDX-License-Identifier: Apache-2.0
// From an element's number to its place in several strided operands. make_indexer() merges
// dimensions; numbers below 2^31 are divided by multiplying.
#pragma once

#include "rutile/core/shape.h"
#include "rutile/kernels/cuda/device.h"

namespace rutile::cuda {

// n / size for n < 2^31: (mulhi(n, magic) + n) >> shift (Granlund and Montgomery, 1994).
struct Divider {
  uint32_t size = 1, magic = 1, shift = 0;
  RUTILE_FN uint32_t divide(uint32_t n) const {
    const auto high = static_cast<uint32_t>((static_cast<uint64_t>(n) * magic) >> 32);
    return (high + n) >> shift;
  }
};
inline Divider divider_of(uint32_t size) {
  Divider d;
  if (size == 0) return d;  // of a tensor without elements
  d.size = size;
  while ((uint64_t{1} << d.shift) < size) ++d.shift;
  d.magic =
      static_cast<uint32_t>(((uint64_t{1} << 32) * ((uint64_t{1} << d.shift) - size)) / size + 1);
  return d;
}

template <int kOperands>
struct Indexer {
  int rank = 0;  // dimension 0 is the fastest
  bool small = true;
  int64_t size[kMaxRank] = {};
  Divider divider[kMaxRank];
  int64_t stride[kOperands][kMaxRank] = {};

  RUTILE_FN void find(int64_t i, int64_t (&at)[kOperands]) const {
    for (int k = 0; k < kOperands; ++k) at[k] = 0;
    if (small) {
      auto n = static_cast<uint32_t>(i);
      for (int d = 0; d < rank; ++d) {
        const uint32_t q = divider[d].divide(n);
        const int64_t r = n - q * divider[d].size;
        for (int k = 0; k < kOperands; ++k) at[k] += r * stride[k][d];
        n = q;
      }
    } else {
      for (int d = 0; d < rank; ++d) {
        const int64_t q = i / size[d], r = i - q * size[d];
        for (int k = 0; k < kOperands; ++k) at[k] += r * stride[k][d];
        i = q;
      }
    }
  }
  RUTILE_FN int64_t find_one(int64_t i) const {
    int64_t at[kOperands];
    find(i, at);
    return at[0];
  }
};

// Strides by operand, over one shape (slowest dimension first): dimensions of one element go,
// neighbours that every operand walks through evenly become one.
template <int kOperands>
Indexer<kOperands> make_indexer(const Shape& shape, const Strides (&strides)[kOperands]) {
  Indexer<kOperands> x;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    if (shape[d] == 1) continue;
    bool continues = x.rank > 0;
    for (int k = 0; continues && k < kOperands; ++k) {
      continues = strides[k][d] == x.stride[k][x.rank - 1] * x.size[x.rank - 1];
    }
    if (continues) {
      x.size[x.rank - 1] *= shape[d];
      continue;
    }
    x.size[x.rank] = shape[d];
    for (int k = 0; k < kOperands; ++k) x.stride[k][x.rank] = strides[k][d];
    ++x.rank;
  }
  x.small = shape.numel() <= 0x7fffffff;
  for (int d = 0; x.small && d < x.rank; ++d) {
    x.divider[d] = divider_of(static_cast<uint32_t>(x.size[d]));
  }
  return x;
}

}  // namespace rutile::cuda
