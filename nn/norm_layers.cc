// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/norm_layers.h"

#include <algorithm>

#include "rutile/nn/init.h"
#include "rutile/nn/layer_util.h"
#include "rutile/ops/communicator.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/sync_norm.h"
#include "rutile/ops/view.h"

namespace rutile::nn {

SyncBatchNorm::SyncBatchNorm(int64_t channels, SyncBatchNormOptions o)
    : BatchNorm2d(channels, {.eps = o.eps, .momentum = o.momentum, .affine = o.affine}),
      sync_(std::move(o)) {}

Tensor SyncBatchNorm::construct(const Tensor& x) {
  const int ranks = communicator(sync_.group)->size();
  if (!training() || ranks == 1) return BatchNorm2d::construct(x);
  const ops::BatchNormResult r = ops::sync_batch_norm(x, value_or_none(weight), value_or_none(bias),
                                                      {.eps = sync_.eps, .group = sync_.group});
  const int64_t channels = std::max<int64_t>(x.dim(1), 1);
  ops::batch_norm_update_stats(
      *running_mean(), *running_var(), r.mean, r.rstd,
      {.momentum = sync_.momentum, .eps = sync_.eps, .count = x.numel() / channels * ranks});
  return r.y;
}

GroupNorm::GroupNorm(int64_t groups, int64_t channels, GroupNormOptions o)
    : groups_(groups), channels_(channels), options_(o) {
  need_positive("GroupNorm", "groups", groups);
  need_positive("GroupNorm", "channels", channels);
  if (channels % groups != 0) {
    throw_error(ErrorCode::kValue,
                cat("[GroupNorm] groups ", groups, " must divide ", channels, " channels"));
  }
  if (!o.affine) return;
  register_parameter("weight", init::ones({channels}), &weight);
  register_parameter("bias", init::zeros({channels}), &bias);
}

Tensor GroupNorm::construct(const Tensor& x) {
  return ops::group_norm(x, value_or_none(weight), value_or_none(bias),
                         {.num_groups = groups_, .eps = options_.eps});
}

std::string GroupNorm::extra_repr() const {
  return cat(groups_, ", ", channels_, options_.affine ? "" : ", affine=false");
}

InstanceNorm2d::InstanceNorm2d(int64_t channels, InstanceNormOptions o)
    : channels_(channels), options_(o) {
  need_positive("InstanceNorm", "channels", channels);
  if (o.affine) {
    register_parameter("weight", init::ones({channels}), &weight);
    register_parameter("bias", init::zeros({channels}), &bias);
  }
  if (!o.track_running_stats) return;
  running_mean_ = register_buffer("running_mean", init::zeros({channels}));
  running_var_ = register_buffer("running_var", init::ones({channels}));
}

Tensor InstanceNorm2d::construct(const Tensor& x) {
  const int one = spatial() + 1;  // the rank without a batch
  if ((x.rank() != one && x.rank() != one + 1) || x.dim(x.rank() - one) != channels_) {
    const char* pixels[] = {"l", "h,w", "d,h,w"};
    const char* of = pixels[spatial() - 1];
    refuse(type_name(), cat("expects [n,", channels_, ",", of, "] or [", channels_, ",", of,
                            "], got ", x.meta()));
  }
  return x.rank() == one ? ops::squeeze(batch(ops::expand_dims(x, 0)), {0}) : batch(x);
}

Tensor InstanceNorm2d::batch(const Tensor& x) {
  const Tensor scale = value_or_none(weight), shift = value_or_none(bias);
  if (running_mean_ && !training()) {
    return ops::batch_norm_inference(x, running_mean_->read(), running_var_->read(), scale, shift,
                                     {.eps = options_.eps});
  }
  const ops::GroupNormResult r =
      ops::instance_norm_with_stats(x, scale, shift, {.eps = options_.eps});
  if (running_mean_) {
    ops::instance_norm_update_stats(*running_mean_, *running_var_, r.mean, r.rstd,
                                    product(x.shape(), 2, x.rank()), options_.momentum,
                                    options_.eps);
  }
  return r.y;
}

std::string InstanceNorm2d::extra_repr() const {
  return cat(channels_, options_.affine ? ", affine=true" : "",
             options_.track_running_stats ? ", track_running_stats=true" : "");
}

LocalResponseNorm::LocalResponseNorm(int64_t size, LocalResponseNormOptions o) : options_(o) {
  need_positive("LocalResponseNorm", "size", size);
  options_.size = size;
}

Tensor LocalResponseNorm::construct(const Tensor& x) {
  return ops::local_response_norm(x, options_);
}

std::string LocalResponseNorm::extra_repr() const {
  return cat(options_.size, ", alpha=", options_.alpha, ", beta=", options_.beta,
             ", k=", options_.k);
}

}  // namespace rutile::nn
