// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/layers.h"

#include <algorithm>

#include "rutile/nn/init.h"
#include "rutile/nn/layer_util.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/random.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/view.h"

namespace rutile::nn {

Linear::Linear(int64_t in, int64_t out, LinearOptions o) {
  need_positive("Linear", "in", in);
  need_positive("Linear", "out", out);
  register_parameter("weight", first_weight({out, in}, o.weight_init), &weight);
  if (o.bias) register_parameter("bias", default_bias(out, {out, in}), &bias);
}

Tensor Linear::construct(const Tensor& x) {
  return ops::linear(x, weight->read(), value_or_none(bias));
}

std::string Linear::extra_repr() const {
  const Shape& s = weight->meta().shape;
  return cat(s[1], ", ", s[0], bias ? "" : ", bias=false");
}

namespace {

template <class Options>
std::string geometry_text(const Options& o) {
  std::string text;
  if (!(o.stride == Int2(1))) text += cat(", stride=", o.stride);
  if (!(o.pad == Int2(0))) text += cat(", pad=", o.pad);
  if (!(o.dilation == Int2(1))) text += cat(", dilation=", o.dilation);
  if (o.groups != 1) text += cat(", groups=", o.groups);
  return text;
}

}  // namespace

Conv2d::Conv2d(int64_t in, int64_t out, Int2 kernel, Conv2dOptions o) : options_(o) {
  check_conv("Conv2d", in, out, {kernel.h, kernel.w}, o.groups);
  const Shape shape{out, in / o.groups, kernel.h, kernel.w};
  register_parameter("weight", first_weight(shape, o.weight_init), &weight);
  if (o.bias) register_parameter("bias", default_bias(out, shape), &bias);
}

Tensor Conv2d::construct(const Tensor& x) {
  return ops::conv2d(x, weight->read(), value_or_none(bias),
                     {.stride = options_.stride,
                      .pad = options_.pad,
                      .dilation = options_.dilation,
                      .groups = options_.groups});
}

std::string Conv2d::extra_repr() const {
  const Shape& s = weight->meta().shape;
  return cat(s[1] * options_.groups, ", ", s[0], ", kernel=", Int2{s[2], s[3]},
             geometry_text(options_), bias ? "" : ", bias=false");
}

ConvTranspose2d::ConvTranspose2d(int64_t in, int64_t out, Int2 kernel, ConvTranspose2dOptions o)
    : options_(o) {
  check_conv("ConvTranspose2d", in, out, {kernel.h, kernel.w}, o.groups);
  const Shape shape{in, out / o.groups, kernel.h, kernel.w};
  register_parameter("weight", first_weight(shape, o.weight_init), &weight);
  if (o.bias) register_parameter("bias", default_bias(out, shape), &bias);
}

Tensor ConvTranspose2d::construct(const Tensor& x) {
  return ops::conv_transpose2d(x, weight->read(), value_or_none(bias),
                               {.stride = options_.stride,
                                .pad = options_.pad,
                                .output_pad = options_.output_pad,
                                .dilation = options_.dilation,
                                .groups = options_.groups});
}

std::string ConvTranspose2d::extra_repr() const {
  const Shape& s = weight->meta().shape;
  const Int2 more = options_.output_pad;
  return cat(s[0], ", ", s[1] * options_.groups, ", kernel=", Int2{s[2], s[3]},
             geometry_text(options_), more == Int2(0) ? "" : cat(", output_pad=", more),
             bias ? "" : ", bias=false");
}

BatchNorm2d::BatchNorm2d(int64_t channels, NormOptions o) : options_(o) {
  need_positive("BatchNorm2d", "channels", channels);
  if (o.affine) {
    register_parameter("weight", init::ones({channels}), &weight);
    register_parameter("bias", init::zeros({channels}), &bias);
  }
  running_mean_ = register_buffer("running_mean", init::zeros({channels}));
  running_var_ = register_buffer("running_var", init::ones({channels}));
}

Tensor BatchNorm2d::construct(const Tensor& x) {
  const Tensor scale = value_or_none(weight), shift = value_or_none(bias);
  if (!training()) {
    return ops::batch_norm_inference(x, running_mean_->read(), running_var_->read(), scale, shift,
                                     {.eps = options_.eps});
  }
  const ops::BatchNormResult r = ops::batch_norm(x, scale, shift, {.eps = options_.eps});
  const int64_t channels = std::max<int64_t>(x.dim(1), 1);
  ops::batch_norm_update_stats(
      *running_mean_, *running_var_, r.mean, r.rstd,
      {.momentum = options_.momentum, .eps = options_.eps, .count = x.numel() / channels});
  return r.y;
}

std::string BatchNorm2d::extra_repr() const {
  return cat(running_mean_->concrete().numel(), options_.affine ? "" : ", affine=false");
}

LayerNorm::LayerNorm(const Shape& sizes, LayerNormOptions o) : sizes_(sizes), options_(o) {
  if (sizes.empty()) throw_error(ErrorCode::kValue, "[LayerNorm] sizes must not be empty");
  for (int64_t s : sizes) need_positive("LayerNorm", "a size", s);
  register_parameter("weight", init::ones(sizes), &weight);
  if (o.bias) register_parameter("bias", init::zeros(sizes), &bias);
}

LayerNorm::LayerNorm(int64_t size, LayerNormOptions o) : LayerNorm(Shape{size}, o) {}

Tensor LayerNorm::construct(const Tensor& x) {
  return ops::layer_norm(x, weight->read(), value_or_none(bias),
                         {.axes = sizes_.rank(), .eps = options_.eps});
}

std::string LayerNorm::extra_repr() const {
  return sizes_.rank() == 1 ? cat(sizes_[0]) : to_string(sizes_);
}

Embedding::Embedding(int64_t count, int64_t width, EmbeddingOptions o)
    : padding_idx_(o.padding_idx) {
  need_positive("Embedding", "count", count);
  need_positive("Embedding", "width", width);
  const auto standard_normal = [](const Shape& s) { return init::normal(s, 0, 1); };
  register_parameter("weight", first_weight({count, width}, o.weight_init, standard_normal),
                     &weight);
}

Tensor Embedding::construct(const Tensor& ids) {
  return ops::embedding(ids, weight->read(), {.padding_idx = padding_idx_});
}

std::string Embedding::extra_repr() const {
  return cat(weight->meta().dim(0), ", ", weight->meta().dim(1));
}

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p < 1)) {
    throw_error(ErrorCode::kValue, cat("[Dropout] p must be in [0, 1), got ", p));
  }
}
Tensor Dropout::construct(const Tensor& x) {
  return training() && p_ > 0 ? ops::dropout(x, {.p = p_}) : x;
}
std::string Dropout::extra_repr() const { return cat("p=", p_); }

Tensor ReLU::construct(const Tensor& x) { return ops::relu(x); }
Tensor Sigmoid::construct(const Tensor& x) { return ops::sigmoid(x); }
Tensor Tanh::construct(const Tensor& x) { return ops::tanh(x); }
Tensor SiLU::construct(const Tensor& x) { return ops::silu(x); }
Tensor Identity::construct(const Tensor& x) { return x; }
Tensor Flatten::construct(const Tensor& x) { return ops::flatten(x, 1); }
Tensor GELU::construct(const Tensor& x) {
  return ops::gelu(x, {tanh_ ? ops::GeluApproximate::kTanh : ops::GeluApproximate::kNone});
}
Tensor Softmax::construct(const Tensor& x) { return ops::softmax(x, axis_); }
std::string Softmax::extra_repr() const { return cat("axis=", axis_); }

}  // namespace rutile::nn
