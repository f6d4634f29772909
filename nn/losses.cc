// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/losses.h"

#include "rutile/ops/loss.h"
#include "rutile/ops/view.h"

namespace rutile::nn {

Tensor CrossEntropyLoss::operator()(const Tensor& logits, const Tensor& labels) const {
  const ops::CrossEntropyAttrs attrs{
      .label_smoothing = label_smoothing, .ignore_index = ignore_index, .reduction = reduction};
  if (logits.rank() <= 2) return ops::cross_entropy(logits, labels, attrs, weight);
  Shape leading = logits.shape();
  leading.pop_back();
  const bool soft = is_floating(labels.dtype());
  if (!(labels.shape() == (soft ? logits.shape() : leading))) {
    throw_error(ErrorCode::kValue,
                cat("[CrossEntropyLoss] logits ", logits.meta(), " expect labels of shape ",
                    leading, ", got ", labels.meta()));
  }
  const Shape rows{leading.numel(), logits.shape().back()};
  const Tensor loss =
      ops::cross_entropy(ops::reshape(logits, rows),
                         ops::reshape(labels, soft ? rows : Shape{rows[0]}), attrs, weight);
  return reduction == Reduction::kNone ? ops::reshape(loss, leading) : loss;
}

Tensor NLLLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::nll_loss(x, target, {ignore_index, reduction}, weight);
}

Tensor MSELoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::mse_loss(x, target, reduction);
}

Tensor L1Loss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::l1_loss(x, target, reduction);
}

Tensor SmoothL1Loss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::smooth_l1_loss(x, target, beta, reduction);
}

Tensor HuberLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::huber_loss(x, target, delta, reduction);
}

Tensor BCELoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::binary_cross_entropy(x, target, reduction, weight);
}

Tensor BCEWithLogitsLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::binary_cross_entropy_with_logits(x, target, reduction, weight, pos_weight);
}

Tensor KLDivLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::kl_div(x, target, {reduction, log_target});
}

Tensor PoissonNLLLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::poisson_nll_loss(x, target, {log_input, full, eps, reduction});
}

Tensor SoftMarginLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::soft_margin_loss(x, target, reduction);
}

Tensor HingeEmbeddingLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::hinge_embedding_loss(x, target, margin, reduction);
}

Tensor MultiMarginLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::multi_margin_loss(x, target, {p, margin, reduction}, weight);
}

Tensor MultiLabelMarginLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::multilabel_margin_loss(x, target, reduction);
}

Tensor MultiLabelSoftMarginLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::multilabel_soft_margin_loss(x, target, reduction, weight);
}

Tensor SigmoidFocalLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::sigmoid_focal_loss(x, target, {alpha, gamma, reduction});
}

Tensor FocalLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::focal_loss(x, target, {gamma, reduction}, weight);
}

Tensor DiceLoss::operator()(const Tensor& x, const Tensor& target) const {
  return ops::dice_loss(x, target, smooth);
}

Tensor CTCLoss::operator()(const Tensor& log_probs, const Tensor& targets,
                           const Tensor& input_lengths, const Tensor& target_lengths) const {
  return ops::ctc_loss(log_probs, targets, input_lengths, target_lengths,
                       {blank, reduction, zero_infinity});
}

Tensor GaussianNLLLoss::operator()(const Tensor& x, const Tensor& target, const Tensor& var) const {
  return ops::gaussian_nll_loss(x, target, var, {full, eps, reduction});
}

Tensor MarginRankingLoss::operator()(const Tensor& x1, const Tensor& x2,
                                     const Tensor& target) const {
  return ops::margin_ranking_loss(x1, x2, target, margin, reduction);
}

Tensor CosineEmbeddingLoss::operator()(const Tensor& x1, const Tensor& x2,
                                       const Tensor& target) const {
  return ops::cosine_embedding_loss(x1, x2, target, margin, reduction);
}

Tensor TripletMarginLoss::operator()(const Tensor& anchor, const Tensor& positive,
                                     const Tensor& negative) const {
  return ops::triplet_margin_loss(anchor, positive, negative, {margin, p, eps, swap, reduction});
}

}  // namespace rutile::nn
