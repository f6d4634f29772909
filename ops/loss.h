// SPDX-License-Identifier: Apache-2.0
// Losses. Results follow PyTorch's definitions, also at the borders: a mean over no label at all is
// NaN.
//
//   Tensor loss = cross_entropy(logits, labels, {.label_smoothing = 0.1});   // 0-d
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct CrossEntropyAttrs {
  double label_smoothing = 0;
  int64_t ignore_index = -100;  // labels of this value count nothing
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(label_smoothing, ignore_index, reduction)
};

// logits [n,c], [n,c,d1,..] or [c]; labels i32 or i64 with the shape of logits without c; weight
// [c] scales classes and gets no gradient. With p = softmax(logits), y the label, e =
// label_smoothing:
//   loss_i = -(1 - e) w_y log p_y - e/c sum_k w_k log p_k
// mean: sum of loss_i over sum of w_y, labels that are ignored left out of both. Computed in f32
// for low precision; the loss is then f32, the gradient in the precision of the logits. Reduced to
// 0-d, or in the shape of labels for Reduction::kNone. A label outside [0, c) is kIndex. The op's
// second output is log(sum(exp(logits))) in the shape of labels.
extern RUTILE_API const OpDef kCrossEntropy;
extern RUTILE_API const OpDef kCrossEntropyGrad;

// Labels as above, or floating targets in the shape of logits: probabilities of the classes, for
// which ignore_index means nothing and the mean is over n.
RUTILE_API Tensor cross_entropy(Arg logits, Arg labels, CrossEntropyAttrs a = {},
                                const Tensor& weight = {});

struct NllLossOptions {
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::kMean;
};
// cross_entropy without the softmax: takes log-probabilities.
RUTILE_API Tensor nll_loss(Arg log_p, Arg labels, NllLossOptions o = {}, const Tensor& weight = {});

// The following take x and target of one shape and reduce over all elements.
// (x - t)^2
RUTILE_API Tensor mse_loss(Arg x, Arg target, Reduction reduction = Reduction::kMean);
// |x - t|
RUTILE_API Tensor l1_loss(Arg x, Arg target, Reduction reduction = Reduction::kMean);
// (x - t)^2 / (2 beta) where |x - t| < beta, else |x - t| - beta / 2; beta >= 0
RUTILE_API Tensor smooth_l1_loss(Arg x, Arg target, double beta = 1.0,
                                 Reduction reduction = Reduction::kMean);
// (x - t)^2 / 2 where |x - t| <= delta, else delta (|x - t| - delta / 2); delta > 0
RUTILE_API Tensor huber_loss(Arg x, Arg target, double delta = 1.0,
                             Reduction reduction = Reduction::kMean);
// -w (t log p + (1 - t) log(1 - p)), logarithms not below -100; p in [0, 1]. w broadcasts.
RUTILE_API Tensor bce_loss(Arg p, Arg target, Reduction reduction = Reduction::kMean,
                           const Tensor& weight = {});
// bce_loss(sigmoid(x), target) without its rounding; pos_weight scales the term of t and
// broadcasts.
RUTILE_API Tensor bce_with_logits_loss(Arg x, Arg target, Reduction reduction = Reduction::kMean,
                                       const Tensor& weight = {}, const Tensor& pos_weight = {});

}  // namespace rutile::ops
