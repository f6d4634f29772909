// SPDX-License-Identifier: Apache-2.0
// What samples of convolutions of two and three dimensions share.
#pragma once

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {

template <class Int>  // Int2 or Int3
struct ConvCase {
  const char* name;
  Shape x, weight;
  Int stride{1}, pad{0}, dilation{1};
  int64_t groups = 1;
};

template <class A, class Int>
A attrs_of_case(const ConvCase<Int>& c) {
  A a;
  a.stride = c.stride;
  a.pad = c.pad;
  a.dilation = c.dilation;
  a.groups = c.groups;
  return a;
}

inline int64_t conv_size(int64_t in, int64_t kernel, int64_t stride, int64_t pad,
                         int64_t dilation) {
  return (in + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
}

// Sums of up to 600 products: rounding of f32 grows with them.
inline void sum_tolerance(SampleGroup group) {
  group.dtypes(kFloats).tolerance(DType::kF32, 1e-4).tolerance(DType::kF64, 1e-11);
}
inline void complex_tolerance(SampleGroup group) {
  group.dtypes(kComplexes).tolerance(DType::kC64, 1e-4).tolerance(DType::kC128, 1e-11);
}

}  // namespace rutile::samples
