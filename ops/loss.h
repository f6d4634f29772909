// SPDX-License-Identifier: Apache-2.0
// Losses. Results follow PyTorch's definitions, also at the borders: a mean over no label at all is
// NaN.
//
//   Tensor loss = cross_entropy(logits, labels, {.label_smoothing = 0.1});   // 0-d
#pragma once

#include "rutile/ops/call.h"

namespace rutile {
namespace ops {

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

struct NllLossAttrs {
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(ignore_index, reduction)
};
// cross_entropy without the softmax: takes log-probabilities.
extern RUTILE_API const OpDef kNllLoss;
RUTILE_API Tensor nll_loss(Arg log_p, Arg labels, NllLossAttrs a = {}, const Tensor& weight = {});

// ---- Losses of elements: x and target have one shape, `weight` broadcasts to it -----------------

struct LossAttrs {
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(reduction)
};
// (x - t)^2
extern RUTILE_API const OpDef kMseLoss;
RUTILE_API Tensor mse_loss(Arg x, Arg target, Reduction reduction = Reduction::kMean);
// |x - t|
extern RUTILE_API const OpDef kL1Loss;
RUTILE_API Tensor l1_loss(Arg x, Arg target, Reduction reduction = Reduction::kMean);

struct SmoothL1LossAttrs {
  double beta = 1;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(beta, reduction)
};
// (x - t)^2 / (2 beta) where |x - t| < beta, else |x - t| - beta / 2; beta >= 0
extern RUTILE_API const OpDef kSmoothL1Loss;
RUTILE_API Tensor smooth_l1_loss(Arg x, Arg target, double beta = 1.0,
                                 Reduction reduction = Reduction::kMean);

struct HuberLossAttrs {
  double delta = 1;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(delta, reduction)
};
// (x - t)^2 / 2 where |x - t| <= delta, else delta (|x - t| - delta / 2); delta > 0
extern RUTILE_API const OpDef kHuberLoss;
RUTILE_API Tensor huber_loss(Arg x, Arg target, double delta = 1.0,
                             Reduction reduction = Reduction::kMean);

// -w (t log p + (1 - t) log(1 - p)), logarithms not below -100; p in [0, 1].
extern RUTILE_API const OpDef kBinaryCrossEntropy;
RUTILE_API Tensor binary_cross_entropy(Arg p, Arg target, Reduction reduction = Reduction::kMean,
                                       const Tensor& weight = {});
// binary_cross_entropy(sigmoid(x), target) without its rounding; pos_weight scales the term of t
// and broadcasts too.
extern RUTILE_API const OpDef kBinaryCrossEntropyWithLogits;
RUTILE_API Tensor binary_cross_entropy_with_logits(Arg x, Arg target,
                                                   Reduction reduction = Reduction::kMean,
                                                   const Tensor& weight = {},
                                                   const Tensor& pos_weight = {});

struct SigmoidFocalLossAttrs {
  double alpha = 0.25;  // weight of the positive class; negative: no weights
  double gamma = 2;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(alpha, gamma, reduction)
};
// a (1 - q)^gamma times binary_cross_entropy_with_logits, where q = p t + (1 - p)(1 - t), p =
// sigmoid(x) and a = alpha t + (1 - alpha)(1 - t) (Lin et al., "Focal loss", 2017).
extern RUTILE_API const OpDef kSigmoidFocalLoss;
RUTILE_API Tensor sigmoid_focal_loss(Arg x, Arg target, SigmoidFocalLossAttrs a = {});

struct DiceLossAttrs {
  double smooth = 1e-5;
  RUTILE_REFLECT(smooth)
};
// 1 - 2 sum(x t) / (sum(x^2) + sum(t^2) + smooth) over all elements (Milletari et al., "V-Net",
// 2016): always 0-d.
extern RUTILE_API const OpDef kDiceLoss;
RUTILE_API Tensor dice_loss(Arg x, Arg target, double smooth = 1e-5);

// batchmean: the sum over the size of the first dimension, which is what the formula says.
enum class BatchReduction : uint8_t { kNone, kMean, kSum, kBatchMean };
struct KlDivAttrs {
  BatchReduction reduction = BatchReduction::kMean;
  bool log_target = false;
  RUTILE_REFLECT(reduction, log_target)
};
// Kullback-Leibler divergence t (log t - x) with log-probabilities x, 0 where t is 0; with
// log_target the target is a log-probability too.
extern RUTILE_API const OpDef kKlDiv;
RUTILE_API Tensor kl_div(Arg x, Arg target, KlDivAttrs a = {});

struct PoissonNllLossAttrs {
  bool log_input = true, full = false;
  double eps = 1e-8;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(log_input, full, eps, reduction)
};
// exp(x) - t x, or without log_input x - t log(x + eps); full adds Stirling's t log t - t +
// log(2 pi t) / 2 where t > 1.
extern RUTILE_API const OpDef kPoissonNllLoss;
RUTILE_API Tensor poisson_nll_loss(Arg x, Arg target, PoissonNllLossAttrs a = {});

struct GaussianNllLossAttrs {
  bool full = false;
  double eps = 1e-6;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(full, eps, reduction)
};
// (log v + (x - t)^2 / v) / 2 with v = max(var, eps), which the gradient of var does not see; full
// adds log(2 pi) / 2. target and var broadcast to x; a var in the shape of x without its last
// dimension has one variance for each row.
extern RUTILE_API const OpDef kGaussianNllLoss;
RUTILE_API Tensor gaussian_nll_loss(Arg x, Arg target, Arg var, GaussianNllLossAttrs a = {});

// log(1 + exp(-t x)), t is 1 or -1.
extern RUTILE_API const OpDef kSoftMarginLoss;
RUTILE_API Tensor soft_margin_loss(Arg x, Arg target, Reduction reduction = Reduction::kMean);

struct HingeEmbeddingLossAttrs {
  double margin = 1;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(margin, reduction)
};
// x where t is 1, max(0, margin - x) where t is -1.
extern RUTILE_API const OpDef kHingeEmbeddingLoss;
RUTILE_API Tensor hinge_embedding_loss(Arg x, Arg target, double margin = 1.0,
                                       Reduction reduction = Reduction::kMean);
struct MarginLossAttrs {
  double margin = 0;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(margin, reduction)
};
// max(0, margin - t (x1 - x2)): t is 1 where x1 should be the larger, -1 where x2.
extern RUTILE_API const OpDef kMarginRankingLoss;
RUTILE_API Tensor margin_ranking_loss(Arg x1, Arg x2, Arg target, double margin = 0.0,
                                      Reduction reduction = Reduction::kMean);

// ---- Losses of rows: x [n,c] or [c] gives [n] or 0-d before the reduction -----------------------

struct MultiMarginLossAttrs {
  int64_t p = 1;  // 1 or 2
  double margin = 1;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(p, margin, reduction)
};
// sum_{k != y} w_y max(0, margin - x_y + x_k)^p / c with labels y, i32 or i64 [n], and weight [c].
extern RUTILE_API const OpDef kMultiMarginLoss;
RUTILE_API Tensor multi_margin_loss(Arg x, Arg labels, MultiMarginLossAttrs a = {},
                                    const Tensor& weight = {});

// sum_{j, k} max(0, 1 - x_j + x_k) / c over the classes j that labels [n,c] (i32 or i64) lists in
// front of its first negative number, and the classes k that it does not. Works on n c^2 numbers.
extern RUTILE_API const OpDef kMultilabelMarginLoss;
RUTILE_API Tensor multilabel_margin_loss(Arg x, Arg labels, Reduction reduction = Reduction::kMean);

// Mean over the classes (the last dimension) of w times binary_cross_entropy_with_logits.
extern RUTILE_API const OpDef kMultilabelSoftMarginLoss;
RUTILE_API Tensor multilabel_soft_margin_loss(Arg x, Arg target,
                                              Reduction reduction = Reduction::kMean,
                                              const Tensor& weight = {});

// 1 - cos(x1, x2) where t is 1, max(0, cos(x1, x2) - margin) where t is -1; x1, x2 [n,d] or [d],
// t [n] or 0-d.
extern RUTILE_API const OpDef kCosineEmbeddingLoss;
RUTILE_API Tensor cosine_embedding_loss(Arg x1, Arg x2, Arg target, double margin = 0.0,
                                        Reduction reduction = Reduction::kMean);

struct TripletMarginLossAttrs {
  double margin = 1, p = 2, eps = 1e-6;
  bool swap = false;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(margin, p, eps, swap, reduction)
};
// max(0, d(anchor, positive) - d(anchor, negative) + margin), d(a, b) the p-norm of a - b + eps
// over the last dimension; with swap d(positive, negative) where that is smaller (Balntas et al.,
// 2016). The three have one shape.
extern RUTILE_API const OpDef kTripletMarginLoss;
RUTILE_API Tensor triplet_margin_loss(Arg anchor, Arg positive, Arg negative,
                                      TripletMarginLossAttrs a = {});

struct FocalLossAttrs {
  double gamma = 2;
  Reduction reduction = Reduction::kMean;
  RUTILE_REFLECT(gamma, reduction)
};
// -w_y (1 - p_y)^gamma log p_y with p = softmax(logits) over the classes of [n,c,..], labels and
// weight as for cross_entropy; the mean is over the labels.
extern RUTILE_API const OpDef kFocalLoss;
RUTILE_API Tensor focal_loss(Arg logits, Arg labels, FocalLossAttrs a = {},
                             const Tensor& weight = {});

}  // namespace ops

template <>
struct EnumNames<ops::BatchReduction> {
  static constexpr const char* value[] = {"none", "mean", "sum", "batchmean"};
};

}  // namespace rutile
