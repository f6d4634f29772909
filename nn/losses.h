// SPDX-License-Identifier: Apache-2.0
// Losses: functions of (prediction, target) as small values that convert to LossFn.
//
//   nn::CrossEntropyLoss loss{.label_smoothing = 0.1};
//   Tensor l = loss(logits, labels);   // logits [n, classes] or [n, t, classes], labels i64
//
// Losses compute in f32 (f64 for f64 inputs) also inside a mixed-precision scope.
#pragma once

#include <functional>

#include "rutile/ops/attrs.h"
#include "rutile/ops/call.h"

namespace rutile::nn {

using LossFn = std::function<Tensor(const Tensor& prediction, const Tensor& target)>;

// -log softmax(logits)[label], over the last dimension. Leading dimensions are flattened; labels
// are i32 or i64 of the leading shape.
struct RUTILE_API CrossEntropyLoss {
  double label_smoothing = 0;
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& logits, const Tensor& labels) const;
};

// (x - y)^2
struct RUTILE_API MSELoss {
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& y) const;
};

// |x - y|
struct RUTILE_API L1Loss {
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& y) const;
};

// d^2 / (2 beta) below beta, |d| - beta / 2 above.
struct RUTILE_API SmoothL1Loss {
  double beta = 1;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& y) const;
};

// -y log sigmoid(x) - (1 - y) log(1 - sigmoid(x)), without overflow.
struct RUTILE_API BCEWithLogitsLoss {
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& y) const;
};

}  // namespace rutile::nn
