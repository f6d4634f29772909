// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/dnnl_conv_desc.h"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "rutile/kernels/cpu/dnnl_post_ops.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"

namespace rutile::kernels {

using dnnl::memory;
using Tag = memory::format_tag;

Joined joined(ConvShape s) {
  constexpr int64_t kLanes = 16;
  const int64_t few = std::min(s.ic, s.oc);
  if (s.groups == 1 || few < 2 || few >= kLanes || kLanes % few != 0) return {s, 1};
  const int64_t by = std::gcd(s.groups, kLanes / few);
  s.groups /= by;
  s.ic *= by;
  s.oc *= by;
  return {s, by};
}

namespace {

bool follows_channels_last(const TensorMeta& m) {
  const Strides want = m.rank() == 4 ? ordered_strides(m.shape, {0, 2, 3, 1})
                                     : ordered_strides(m.shape, {0, 2, 3, 4, 1});
  for (int i = 0; i < m.rank(); ++i) {
    if (m.dim(i) != 1 && m.strides[i] != want[i]) return false;
  }
  return true;
}

Tag channels_last(const TensorMeta& m) { return m.rank() == 4 ? Tag::nhwc : Tag::ndhwc; }

}  // namespace

memory::desc image_desc(const TensorMeta& m) {
  if (m.layout != kStrided) return dnnl_desc(m);
  if (follows_channels_last(m)) {
    return {dnnl_dims(m.shape), dnnl_dtype(m.dtype), channels_last(m)};
  }
  if (m.is_contiguous()) {
    return {dnnl_dims(m.shape), dnnl_dtype(m.dtype), m.rank() == 4 ? Tag::nchw : Tag::ncdhw};
  }
  return dnnl_desc(m);
}

namespace {

memory::desc image_any(const TensorMeta& m, bool last) {
  return {dnnl_dims(m.shape), dnnl_dtype(m.dtype), last ? channels_last(m) : Tag::any};
}

}  // namespace

memory::dims weight_dims(const ConvShape& s) {
  memory::dims dims;
  if (s.groups > 1) dims.push_back(s.groups);
  dims.insert(dims.end(), {s.oc, s.ic});
  if (s.spatial == 3) dims.push_back(s.kd);
  dims.insert(dims.end(), {s.kh, s.kw});
  return dims;
}

Tag row_major_weight(const ConvShape& s) {
  if (s.groups == 1) return s.spatial == 2 ? Tag::oihw : Tag::oidhw;
  return s.spatial == 2 ? Tag::goihw : Tag::goidhw;
}

memory::desc weight_desc(const TensorMeta& m, const ConvShape& s) {
  if (m.layout != kStrided) return dnnl_desc(m);
  if (s.groups == 1 && m.is_contiguous()) {
    return {weight_dims(s), dnnl_dtype(m.dtype), row_major_weight(s)};
  }
  memory::dims strides = dnnl_dims(m.strides);
  if (s.groups > 1) strides.insert(strides.begin(), s.oc * m.strides[0]);
  return {weight_dims(s), dnnl_dtype(m.dtype), strides};
}

namespace {

struct Geometry {
  memory::dims stride, dilation, pad;
};

Geometry geometry(const ConvShape& s) {
  if (s.spatial == 2) {
    return {{s.stride_h, s.stride_w}, {s.dil_h - 1, s.dil_w - 1}, {s.pad_h, s.pad_w}};
  }
  return {{s.stride_d, s.stride_h, s.stride_w},
          {s.dil_d - 1, s.dil_h - 1, s.dil_w - 1},
          {s.pad_d, s.pad_h, s.pad_w}};
}

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

dnnl::convolution_forward::primitive_desc forward_desc(
    const Descs& d, const ConvShape& s, const dnnl::primitive_attr& attr = dnnl_attr()) {
  const Geometry g = geometry(s);
  const auto kind = dnnl::prop_kind::forward_training;
  if (!d.bias.is_zero()) {
    return {dnnl_engine(), kind,       kDirect, d.x,   d.weight, d.bias, d.y,
            g.stride,      g.dilation, g.pad,   g.pad, attr,     true};
  }
  return {dnnl_engine(), kind,       kDirect, d.x,   d.weight, d.y,
          g.stride,      g.dilation, g.pad,   g.pad, attr,     true};
}

}  // namespace

bool has_residual(const CallMeta& call) { return call.op == &ops::kConv2dAct && call.has(3); }

namespace {

dnnl::primitive_attr attr_of(const CallMeta& call) {
  if (call.op != &ops::kConv2dAct) return dnnl_attr();
  return post_ops_attr(has_residual(call), call.as<ops::Conv2dActAttrs>().act);
}

// What the backward primitives ask for: some forward convolution of the same sizes.
dnnl::convolution_forward::primitive_desc hint(const CallMeta& call, const ConvShape& s) {
  const ConvTensors t = conv_tensors(call);
  const DType type = call.in(0).dtype;
  Descs d;
  d.x = dnnl_desc_any(t.x->shape, type);
  d.y = dnnl_desc_any(t.y->shape, type);
  d.weight = memory::desc(weight_dims(s), dnnl_dtype(type), Tag::any);
  return forward_desc(d, s);
}

template <class Pd>
void describe(const Pd& pd, AnyConvDesc* out) {
  out->impl = pd.impl_info_str();
  out->scratchpad = pd.scratchpad_desc();
}

AnyConvDesc make_desc(const CallMeta& call, const ConvShape& s, const Descs& d) {
  const Geometry g = geometry(s);
  AnyConvDesc out;
  switch (conv_kind(call.op)) {
    case ConvKind::kForward:
      out.forward = forward_desc(d, s, attr_of(call));
      if (!out.forward) break;
      describe(out.forward, &out);
      out.descs = {out.forward.src_desc(), out.forward.weights_desc(), d.bias,
                   out.forward.dst_desc()};
      break;
    case ConvKind::kInputGrad: {
      const auto h = hint(call, s);
      if (!h) break;
      out.input_grad = dnnl::convolution_backward_data::primitive_desc(
          dnnl_engine(), kDirect, d.x, d.weight, d.y, g.stride, g.dilation, g.pad, g.pad, h,
          dnnl_attr(), true);
      if (!out.input_grad) break;
      describe(out.input_grad, &out);
      out.descs = {out.input_grad.diff_src_desc(),
                   out.input_grad.weights_desc(),
                   {},
                   out.input_grad.diff_dst_desc()};
      break;
    }
    case ConvKind::kWeightGrad: {
      const auto h = hint(call, s);
      if (!h) break;
      out.weight_grad = dnnl::convolution_backward_weights::primitive_desc(
          dnnl_engine(), kDirect, d.x, d.weight, d.y, g.stride, g.dilation, g.pad, g.pad, h,
          dnnl_attr(), true);
      if (!out.weight_grad) break;
      describe(out.weight_grad, &out);
      out.descs = {out.weight_grad.src_desc(),
                   out.weight_grad.diff_weights_desc(),
                   {},
                   out.weight_grad.diff_dst_desc()};
      break;
    }
  }
  return out;
}

}  // namespace

bool is_vectorised(const AnyConvDesc& d) {
  const std::string_view impl = d.impl;
  return impl.find("jit") != std::string_view::npos || impl.find("brg") != std::string_view::npos;
}

namespace {

memory::desc bias_desc(const CallMeta& call) {
  if (conv_kind(call.op) != ConvKind::kForward || !call.has(2)) return {};
  return {{call.in(2).dim(0)}, dnnl_dtype(call.in(2).dtype), Tag::a};
}

AnyConvDesc with_any(const CallMeta& call, const ConvShape& s) {
  const ConvTensors t = conv_tensors(call);
  Descs d;
  d.x = image_any(*t.x, false);
  d.y = image_any(*t.y, false);
  d.weight = memory::desc(weight_dims(s), dnnl_dtype(t.weight->dtype), Tag::any);
  d.bias = bias_desc(call);
  return make_desc(call, s, d);
}

}  // namespace

// The gradient of the input takes the images as the forward
// convolution places them: left free, oneDNN would choose channels-last for strided ones, which
// gains less than two reorders cost (512 to 1024 channels, 28x28, batch 16: 8.3 + 1.5 against 7.1
// ms).
AnyConvDesc preferred(const CallMeta& call, const ConvShape& s) {
  if (conv_kind(call.op) == ConvKind::kInputGrad) {
    if (const auto h = hint(call, s)) {
      Descs d;
      d.x = h.src_desc();
      d.y = h.dst_desc();
      d.weight = memory::desc(weight_dims(s), dnnl_dtype(call.in(1).dtype), Tag::any);
      AnyConvDesc best = make_desc(call, s, d);
      if (is_vectorised(best)) return best;
    }
  }
  return with_any(call, s);
}

namespace {

bool is_gemm(const AnyConvDesc& d) {
  return std::string_view(d.impl).find("gemm") != std::string_view::npos;
}

}  // namespace

AnyConvDesc choose(const CallMeta& call, const ConvShape& s) {
  const ConvTensors t = conv_tensors(call);
  Descs d;
  d.weight = memory::desc(weight_dims(s), dnnl_dtype(t.weight->dtype), Tag::any);
  d.bias = bias_desc(call);
  d.x = image_desc(*t.x);
  d.y = image_desc(*t.y);
  const AnyConvDesc plain = make_desc(call, s, d);
  // In three dimensions, and for the gradient of the weight, another layout gains more over a
  // product of patches than reorders cost.
  const bool patches =
      is_gemm(plain) && (s.spatial == 3 || conv_kind(call.op) == ConvKind::kWeightGrad);
  if (is_vectorised(plain) && !patches) return plain;
  if (t.x->layout == kStrided) d.x = image_any(*t.x, true);
  if (t.y->layout == kStrided) d.y = image_any(*t.y, true);
  const AnyConvDesc last = make_desc(call, s, d);
  if (is_vectorised(last) && !(patches && s.spatial == 2 && is_gemm(last))) return last;
  const AnyConvDesc any = with_any(call, s);
  return patches && is_gemm(any) ? plain : any;
}

}  // namespace rutile::kernels
