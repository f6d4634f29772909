// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/losses.h"

#include "rutile/ops/elementwise.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/view.h"

namespace rutile::nn {

namespace {

Tensor full_precision(const Tensor& x) {
  return is_low_precision(x.dtype()) ? ops::cast(x, DType::kF32) : x;
}

}  // namespace

Tensor CrossEntropyLoss::operator()(const Tensor& logits, const Tensor& labels) const {
  const ops::CrossEntropyAttrs attrs{
      .label_smoothing = label_smoothing, .ignore_index = ignore_index, .reduction = reduction};
  if (logits.rank() <= 2) return ops::cross_entropy(logits, labels, attrs);
  Shape leading = logits.shape();
  leading.pop_back();
  if (!(labels.shape() == leading)) {
    throw_error(ErrorCode::kValue,
                cat("[CrossEntropyLoss] logits ", logits.meta(), " expect labels of shape ",
                    leading, ", got ", labels.meta()));
  }
  const Tensor loss =
      ops::cross_entropy(ops::reshape(logits, {leading.numel(), logits.shape().back()}),
                         ops::reshape(labels, {leading.numel()}), attrs);
  return reduction == Reduction::kNone ? ops::reshape(loss, leading) : loss;
}

Tensor MSELoss::operator()(const Tensor& x, const Tensor& y) const {
  return ops::mse_loss(full_precision(x), full_precision(y), reduction);
}

Tensor L1Loss::operator()(const Tensor& x, const Tensor& y) const {
  return ops::l1_loss(full_precision(x), full_precision(y), reduction);
}

Tensor SmoothL1Loss::operator()(const Tensor& x, const Tensor& y) const {
  return ops::smooth_l1_loss(full_precision(x), full_precision(y), beta, reduction);
}

Tensor BCEWithLogitsLoss::operator()(const Tensor& x, const Tensor& y) const {
  return ops::bce_with_logits_loss(full_precision(x), full_precision(y), reduction);
}

}  // namespace rutile::nn
