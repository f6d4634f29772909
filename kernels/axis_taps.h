// SPDX-License-Identifier: Apache-2.0
// Ops that make each element of an image from some along each of its spatial dimensions:
// interpolation and average pooling (weighted sums), their gradients, maximum pooling.
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
int resampled_dims(const CallMeta& call);
std::vector<AxisTaps> axis_taps(const CallMeta& call);
// The windows of ops::kMaxPool3d and kAdaptiveMaxPool1d to 3d, with weights 1.
int window_dims(const OpDef* op);
std::vector<AxisTaps> window_taps(const CallMeta& call);

}  // namespace rutile::kernels
