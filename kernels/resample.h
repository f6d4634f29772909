// SPDX-License-Identifier: Apache-2.0
// Ops that replace each spatial dimension of an image by weighted sums along it: interpolation,
// average pooling, and their gradients.
#pragma once

#include <vector>

#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

// Along one dimension: element o of the result is the sum over k in [first[o], first[o + 1]) of
// weight[k] times element pixel[k] of the input.
struct AxisTaps {
  int64_t in = 0, out = 0;
  std::vector<int64_t> first{0};
  std::vector<int32_t> pixel;
  std::vector<double> weight;

  void add(int64_t p, double w) {
    if (w == 0) return;
    pixel.push_back(static_cast<int32_t>(p));
    weight.push_back(w);
  }
  void close() { first.push_back(static_cast<int64_t>(pixel.size())); }
  // Each element of the result is the same one of the input.
  bool is_identity() const;
};

// The sums of the gradient: of out elements from in ones.
AxisTaps transposed(const AxisTaps& t);
// For each spatial dimension, of ops::kInterpolate, kAvgPool3d and their gradients.
std::vector<AxisTaps> axis_taps(const CallMeta& call);

}  // namespace rutile::kernels
