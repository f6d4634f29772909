// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/conv_layers.h"

#include "rutile/nn/layer_util.h"
#include "rutile/ops/conv1d.h"
#include "rutile/ops/conv3d.h"

namespace rutile::nn {

namespace {

// What differs from the defaults.
template <class Options>
std::string text_of(const Options& o, int64_t in, int64_t out, const std::string& kernel) {
  using Size = decltype(o.stride);
  std::string text = cat(in, ", ", out, ", kernel=", kernel);
  if (!(o.stride == Size(1))) text += cat(", stride=", o.stride);
  if (!(o.pad == Size(0))) text += cat(", pad=", o.pad);
  if constexpr (requires { o.output_pad; }) {
    if (!(o.output_pad == Size(0))) text += cat(", output_pad=", o.output_pad);
  }
  if (!(o.dilation == Size(1))) text += cat(", dilation=", o.dilation);
  if (o.groups != 1) text += cat(", groups=", o.groups);
  return o.bias ? text : text + ", bias=false";
}

std::string kernel_text(const Shape& weight) {
  if (weight.rank() == 3) return cat(weight[2]);
  return to_string(Int3{weight[2], weight[3], weight[4]});
}

template <class Attrs, class Options>
Attrs attrs_from(const Options& o) {
  Attrs a;
  a.stride = o.stride;
  a.pad = o.pad;
  a.dilation = o.dilation;
  a.groups = o.groups;
  if constexpr (requires { a.output_pad; }) a.output_pad = o.output_pad;
  return a;
}

}  // namespace

Conv1d::Conv1d(int64_t in, int64_t out, int64_t kernel, Conv1dOptions o) : options_(o) {
  check_conv("Conv1d", in, out, {kernel}, o.groups);
  const Shape shape{out, in / o.groups, kernel};
  register_parameter("weight", first_weight(shape, o.weight_init), &weight);
  if (o.bias) register_parameter("bias", default_bias(out, shape), &bias);
}

Tensor Conv1d::construct(const Tensor& x) {
  return ops::conv1d(x, weight->read(), value_or_none(bias),
                     attrs_from<ops::Conv1dAttrs>(options_));
}

std::string Conv1d::extra_repr() const {
  const Shape& s = weight->meta().shape;
  return text_of(options_, s[1] * options_.groups, s[0], kernel_text(s));
}

Conv3d::Conv3d(int64_t in, int64_t out, Int3 kernel, Conv3dOptions o) : options_(o) {
  check_conv("Conv3d", in, out, {kernel.d, kernel.h, kernel.w}, o.groups);
  const Shape shape{out, in / o.groups, kernel.d, kernel.h, kernel.w};
  register_parameter("weight", first_weight(shape, o.weight_init), &weight);
  if (o.bias) register_parameter("bias", default_bias(out, shape), &bias);
}

Tensor Conv3d::construct(const Tensor& x) {
  return ops::conv3d(x, weight->read(), value_or_none(bias),
                     attrs_from<ops::Conv3dAttrs>(options_));
}

std::string Conv3d::extra_repr() const {
  const Shape& s = weight->meta().shape;
  return text_of(options_, s[1] * options_.groups, s[0], kernel_text(s));
}

ConvTranspose1d::ConvTranspose1d(int64_t in, int64_t out, int64_t kernel, ConvTranspose1dOptions o)
    : options_(o) {
  check_conv("ConvTranspose1d", in, out, {kernel}, o.groups);
  const Shape shape{in, out / o.groups, kernel};
  register_parameter("weight", first_weight(shape, o.weight_init), &weight);
  if (o.bias) register_parameter("bias", default_bias(out, shape), &bias);
}

Tensor ConvTranspose1d::construct(const Tensor& x) {
  return ops::conv_transpose1d(x, weight->read(), value_or_none(bias),
                               attrs_from<ops::ConvTranspose1dAttrs>(options_));
}

std::string ConvTranspose1d::extra_repr() const {
  const Shape& s = weight->meta().shape;
  return text_of(options_, s[0], s[1] * options_.groups, kernel_text(s));
}

ConvTranspose3d::ConvTranspose3d(int64_t in, int64_t out, Int3 kernel, ConvTranspose3dOptions o)
    : options_(o) {
  check_conv("ConvTranspose3d", in, out, {kernel.d, kernel.h, kernel.w}, o.groups);
  const Shape shape{in, out / o.groups, kernel.d, kernel.h, kernel.w};
  register_parameter("weight", first_weight(shape, o.weight_init), &weight);
  if (o.bias) register_parameter("bias", default_bias(out, shape), &bias);
}

Tensor ConvTranspose3d::construct(const Tensor& x) {
  return ops::conv_transpose3d(x, weight->read(), value_or_none(bias),
                               attrs_from<ops::ConvTranspose3dAttrs>(options_));
}

std::string ConvTranspose3d::extra_repr() const {
  const Shape& s = weight->meta().shape;
  return text_of(options_, s[0], s[1] * options_.groups, kernel_text(s));
}

}  // namespace rutile::nn
