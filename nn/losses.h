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
#include "rutile/ops/ctc.h"
#include "rutile/ops/loss.h"

namespace rutile::nn {

using LossFn = std::function<Tensor(const Tensor& prediction, const Tensor& target)>;

// -log softmax(logits)[label], over the last dimension. Leading dimensions are flattened; labels
// are i32 or i64 of the leading shape, or class probabilities in the shape of the logits.
struct RUTILE_API CrossEntropyLoss {
  double label_smoothing = 0;
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::kMean;
  Tensor weight = {};  // [classes]
  Tensor operator()(const Tensor& logits, const Tensor& labels) const;
};

// The others are ops of ops/loss.h with their attributes as fields; formulas and shapes stand
// there.

// cross_entropy without the softmax: takes log-probabilities [n, classes, ..].
struct RUTILE_API NLLLoss {
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::kMean;
  Tensor weight = {};  // [classes]
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// (x - t)^2
struct RUTILE_API MSELoss {
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// |x - t|
struct RUTILE_API L1Loss {
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// d^2 / (2 beta) below beta, |d| - beta / 2 above.
struct RUTILE_API SmoothL1Loss {
  double beta = 1;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// d^2 / 2 up to delta, delta (|d| - delta / 2) above.
struct RUTILE_API HuberLoss {
  double delta = 1;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// -t log x - (1 - t) log(1 - x) with probabilities x.
struct RUTILE_API BCELoss {
  Reduction reduction = Reduction::kMean;
  Tensor weight = {};
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// BCELoss of sigmoid(x), without overflow; pos_weight scales the term of t.
struct RUTILE_API BCEWithLogitsLoss {
  Reduction reduction = Reduction::kMean;
  Tensor weight = {}, pos_weight = {};
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// t (log t - x) with log-probabilities x.
struct RUTILE_API KLDivLoss {
  ops::BatchReduction reduction = ops::BatchReduction::kMean;
  bool log_target = false;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// exp(x) - t x, or x - t log(x + eps).
struct RUTILE_API PoissonNLLLoss {
  bool log_input = true, full = false;
  double eps = 1e-8;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// log(1 + exp(-t x))
struct RUTILE_API SoftMarginLoss {
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// x where t is 1, max(0, margin - x) where it is -1.
struct RUTILE_API HingeEmbeddingLoss {
  double margin = 1;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// Margins of the labelled class over the others.
struct RUTILE_API MultiMarginLoss {
  int64_t p = 1;
  double margin = 1;
  Reduction reduction = Reduction::kMean;
  Tensor weight = {};  // [classes]
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// Margins of the labelled classes over those that are not.
struct RUTILE_API MultiLabelMarginLoss {
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// Mean over the classes of BCEWithLogitsLoss.
struct RUTILE_API MultiLabelSoftMarginLoss {
  Reduction reduction = Reduction::kMean;
  Tensor weight = {};
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// BCEWithLogitsLoss that counts less what is predicted well (Lin et al., 2017).
struct RUTILE_API SigmoidFocalLoss {
  double alpha = 0.25, gamma = 2;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// The same for classes: logits [n, classes, ..] and labels.
struct RUTILE_API FocalLoss {
  double gamma = 2;
  Reduction reduction = Reduction::kMean;
  Tensor weight = {};  // [classes]
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// 1 - 2 sum(x t) / (sum(x^2) + sum(t^2) + smooth)
struct RUTILE_API DiceLoss {
  double smooth = 1e-5;
  Tensor operator()(const Tensor& x, const Tensor& target) const;
};

// Of three tensors and more: no LossFn, but easily part of one.

// -log P of label sequences over all their alignments (connectionist temporal classification).
//   nn::CTCLoss loss{.blank = 0};
//   Tensor l = loss(log_probs, targets, input_lengths, target_lengths);
// log_probs [t, n, classes]; targets i64 [n, s], or all one after the other; lengths i64 [n].
struct RUTILE_API CTCLoss {
  int64_t blank = 0;
  Reduction reduction = Reduction::kMean;
  bool zero_infinity = false;
  Tensor operator()(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                    const Tensor& target_lengths) const;
};

// (log v + (x - t)^2 / v) / 2
struct RUTILE_API GaussianNLLLoss {
  bool full = false;
  double eps = 1e-6;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x, const Tensor& target, const Tensor& var) const;
};

// max(0, margin - t (x1 - x2))
struct RUTILE_API MarginRankingLoss {
  double margin = 0;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x1, const Tensor& x2, const Tensor& target) const;
};

// 1 - cos(x1, x2) where t is 1, max(0, cos(x1, x2) - margin) where it is -1.
struct RUTILE_API CosineEmbeddingLoss {
  double margin = 0;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& x1, const Tensor& x2, const Tensor& target) const;
};

// max(0, d(anchor, positive) - d(anchor, negative) + margin) with the p-norm as distance.
struct RUTILE_API TripletMarginLoss {
  double margin = 1, p = 2, eps = 1e-6;
  bool swap = false;
  Reduction reduction = Reduction::kMean;
  Tensor operator()(const Tensor& anchor, const Tensor& positive, const Tensor& negative) const;
};

}  // namespace rutile::nn
