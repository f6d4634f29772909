// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv_rules.h"

#include <algorithm>

#include "rutile/core/complex.h"
#include "rutile/ops/image_meta.h"

namespace rutile::ops::conv_rules {

namespace {

constexpr int64_t kMaxAttr = (int64_t{1} << 31) - 1;

const char* image_dims(int count) {
  static constexpr const char* kNames[] = {"NCW", "NCHW", "NCDHW"};
  return kNames[count - 1];
}

Status check_axis(int64_t kernel, int64_t stride, int64_t pad, int64_t dilation) {
  RUTILE_RETURN_IF_ERROR(check_size(stride, "stride", 1, kMaxAttr));
  RUTILE_RETURN_IF_ERROR(check_size(pad, "pad", 0, kMaxAttr));
  RUTILE_RETURN_IF_ERROR(check_size(dilation, "dilation", 1, kMaxAttr));
  return check_size(kernel, "weight's kernel", 1, kMaxAttr);
}

// Ranks, groups and signs; `weight_dims` names the dimensions of the weight but the spatial ones.
Status check_operands(const Shape& x, const Shape& w, const Geometry& a, const char* weight_dims) {
  const int spatial = a.stride.rank(), rank = spatial + 2;
  const char* dims = image_dims(spatial);
  if (x.rank() != rank) {
    const char* hint = x.rank() == rank - 1 ? ": one image needs a first dimension of 1" : "";
    return value_error(cat("x expects rank ", rank, " (", dims, "), got ", x.rank(), hint));
  }
  if (w.rank() != rank) {
    return value_error(
        cat("weight expects rank ", rank, " (", weight_dims, dims + 2, "), got ", w.rank()));
  }
  RUTILE_RETURN_IF_ERROR(check_size(a.groups, "groups", 1, kMaxAttr));
  for (int i = 0; i < rank; ++i) {
    if (x[i] < 0 || w[i] < 0) return value_error("negative dimension");
  }
  if (w[0] == 0 || w[1] == 0) return value_error(cat("weight has no channels: ", w));
  if (w[1] > kMaxAttr) return value_error(cat("weight has too many channels: ", w));
  return Status();
}

// Two for each multiplication with an addition: each pixel of the result (dy, backward) meets each
// weight of its group.
double products(const TensorMeta& pixels, const TensorMeta& weight) {
  return (is_complex(pixels.dtype) ? 8 : 2) * elements(pixels) *
         static_cast<double>(product(weight.shape, 1, weight.rank()));
}

}  // namespace

Status output_shape(const Shape& x, const Shape& w, const Geometry& a, Shape* y) {
  RUTILE_RETURN_IF_ERROR(check_operands(x, w, a, "OI"));
  if (w[1] * a.groups != x[1]) {
    return value_error(cat("weight expects ", w[1] * a.groups, " input channels, got ", x[1]));
  }
  if (w[0] % a.groups != 0) {
    return value_error(cat("groups ", a.groups, " does not divide ", w[0], " output channels"));
  }
  const int spatial = a.stride.rank();
  *y = {x[0], w[0]};
  for (int i = 0; i < spatial; ++i) {
    RUTILE_RETURN_IF_ERROR(check_axis(w[i + 2], a.stride[i], a.pad[i], a.dilation[i]));
    const int64_t span = a.dilation[i] * (w[i + 2] - 1) + 1, padded = x[i + 2] + 2 * a.pad[i];
    if (span > padded) {
      return value_error(cat("the kernel spans ", span, " in ", spatial_name(i, spatial),
                             ", the padded input only ", padded));
    }
    y->push_back((padded - span) / a.stride[i] + 1);
  }
  int64_t numel = 0;
  return checked_numel(*y, &numel);
}

Status transposed_shape(const Shape& x, const Shape& w, const Geometry& a, const Dims& output_pad,
                        Shape* y) {
  RUTILE_RETURN_IF_ERROR(check_operands(x, w, a, "IO"));
  if (x[1] != w[0]) return value_error(cat("weight expects ", w[0], " input channels, got ", x[1]));
  if (w[0] % a.groups != 0) {
    return value_error(cat("groups ", a.groups, " does not divide ", w[0], " input channels"));
  }
  const int spatial = a.stride.rank();
  *y = {x[0], w[1] * a.groups};
  for (int i = 0; i < spatial; ++i) {
    const int64_t in = x[i + 2], extra = output_pad[i];
    for (const int64_t v : {a.stride[i], extra, a.dilation[i], w[i + 2]}) {
      if (v > kMaxAttr) return value_error(cat("an attribute or kernel is too large: ", v));
    }
    RUTILE_RETURN_IF_ERROR(check_axis(w[i + 2], a.stride[i], a.pad[i], a.dilation[i]));
    if (extra < 0 || extra >= std::max(a.stride[i], a.dilation[i])) {
      return value_error(
          cat("output_pad expects 0 or more, below stride or dilation, got ", extra));
    }
    const char* dim = spatial_name(i, spatial);
    if (in < 1) return value_error(cat("x expects at least one pixel in ", dim, ", got ", in));
    if (in > kMaxAttr) return value_error(cat("x is too large in ", dim, ": ", in));
    const int64_t span = a.dilation[i] * (w[i + 2] - 1) + 1;
    const int64_t size = (in - 1) * a.stride[i] - 2 * a.pad[i] + span + extra;
    if (size < 1) return value_error(cat("the result would have ", size, " pixels in ", dim));
    y->push_back(size);
  }
  int64_t numel = 0;
  return checked_numel(*y, &numel);
}

Status check_dtypes(const CallMeta& c) {
  const DType t = c.in(0).dtype;
  if (!is_differentiable(t)) {
    return type_error(
        cat("expects a floating dtype or a complex one, got ", t, "; cast to f32 first"));
  }
  for (int i = 1; i < c.num_inputs(); ++i) {
    if (c.has(i) && c.in(i).dtype != t) {
      return type_error(cat("expects one dtype, got ", t, " and ", c.in(i).dtype));
    }
  }
  return Status();
}

Status check_out_dtype(const OptionalDType& t, DType in) {
  if (t.set && is_complex(in)) return type_error(cat("out_dtype is for real numbers, not ", in));
  if (t.set && !is_floating(t.value)) {
    return type_error(cat("out_dtype expects a floating dtype, got ", t.value));
  }
  return Status();
}

Status check_bias(const CallMeta& c, int64_t channels) {
  if (!c.has(2) || c.in(2).shape == Shape{channels}) return Status();
  return value_error(cat("bias expects shape [", channels, "], got ", c.in(2).shape));
}

Status check_dy(const Shape& dy, const Shape& y) {
  if (dy == y) return Status();
  return value_error(cat("dy expects shape ", y, ", got ", dy));
}

TensorMeta image_like(const Shape& shape, DType dtype, const TensorMeta& like) {
  TensorMeta m(shape, dtype, like.device);
  if (channel_block(like.layout)) {
    m.layout = like.layout;
    return m;
  }
  Dims order{0};
  for (int i = 2; i < shape.rank(); ++i) order.push_back(i);
  order.push_back(1);
  m.strides = ordered_strides(shape, order);
  return m;
}

uint32_t saves_other_factor(uint32_t needs) {
  return (needs & 1u ? 2u : 0u) | (needs & 2u ? 1u : 0u);
}

double conv_flops(const CallMeta& c) {
  return products(c.out(), c.in(1)) + (c.has(2) ? elements(c.out()) : 0);
}
double input_grad_flops(const CallMeta& c) { return products(c.in(0), c.in(1)); }
double weight_grad_flops(const CallMeta& c) { return products(c.in(0), c.out()); }
double transpose_flops(const CallMeta& c) {
  return products(c.in(0), c.in(1)) + (c.has(2) ? elements(c.out()) : 0);
}

}  // namespace rutile::ops::conv_rules
