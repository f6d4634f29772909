// SPDX-License-Identifier: Apache-2.0
// Calls described as graphs of cuDNN's. A header, because tests describe the same graphs to ask
// cuDNN about GPUs that are not there (tests/cuda_plugin/cudnn_test.cc).
#pragma once

#include <dlfcn.h>

namespace rutile::cuda {
// The library that the headers below get when they open one by its name.
void* open_for_cudnn(const char* file, int mode);
}  // namespace rutile::cuda

#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#define dlopen ::rutile::cuda::open_for_cudnn
#include <cudnn_frontend.h>
#undef dlopen

#include <cmath>
#include <memory>
#include <vector>

#include "rutile/core/placement.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cuda/cudnn_calls.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"
#include "rutile/ops/conv_norm.h"

namespace rutile::cuda {

namespace fe = cudnn_frontend;
using CudnnTensor = std::shared_ptr<fe::graph::Tensor_attributes>;

struct CudnnGraph {
  fe::graph::Graph graph;
  std::vector<int> inputs, outputs;  // numbers of the operands that the graph reads and writes
  std::vector<size_t> unread;        // bytes of results that nobody asked for
  bool channels_last = false;        // its images are
};
// The graph's names of an op's operands.
constexpr int64_t input_uid(int i) { return 1 + i; }
constexpr int64_t output_uid(int i) { return 101 + i; }
constexpr int64_t unread_uid(size_t i) { return 201 + static_cast<int64_t>(i); }

inline bool cudnn_type(DType t, fe::DataType_t* out) {
  switch (t) {
    case DType::kF16:
      *out = fe::DataType_t::HALF;
      return true;
    case DType::kBF16:
      *out = fe::DataType_t::BFLOAT16;
      return true;
    case DType::kF32:
      *out = fe::DataType_t::FLOAT;
      return true;
    case DType::kF64:
      *out = fe::DataType_t::DOUBLE;
      return true;
    default:
      return false;
  }
}
inline fe::DataType_t cudnn_type(DType t) {
  fe::DataType_t type = fe::DataType_t::FLOAT;
  (void)cudnn_type(t, &type);
  return type;
}

// Dimensions of one element have any stride; beside a channels-last image engines want to see that
// of its order.
inline std::vector<int64_t> cudnn_strides(const CudnnGraph& p, const TensorMeta& m) {
  TensorMeta last;
  const bool either = p.channels_last && m.rank() == 4 &&
                      place(m.shape, m.dtype, m.device, {kStrided, true}, &last).ok() &&
                      same_placement(m, last);
  const Strides& s = either ? last.strides : m.strides;
  return std::vector<int64_t>(s.begin(), s.end());
}

// Operand i of the call, placed as `m`.
inline CudnnTensor cudnn_input(CudnnGraph* p, const TensorMeta& m, int i) {
  p->inputs.push_back(i);
  return p->graph.tensor(fe::graph::Tensor_attributes()
                             .set_dim(std::vector<int64_t>(m.shape.begin(), m.shape.end()))
                             .set_stride(cudnn_strides(*p, m))
                             .set_data_type(cudnn_type(m.dtype))
                             .set_uid(input_uid(i)));
}
inline void cudnn_written(const CudnnGraph& p, const CudnnTensor& t, const TensorMeta& m,
                          fe::DataType_t type, int64_t uid) {
  t->set_output(true)
      .set_dim(std::vector<int64_t>(m.shape.begin(), m.shape.end()))
      .set_stride(cudnn_strides(p, m))
      .set_data_type(type)
      .set_uid(uid);
}
inline void cudnn_output(CudnnGraph* p, const CudnnTensor& t, const TensorMeta& m, int i) {
  cudnn_written(*p, t, m, cudnn_type(m.dtype), output_uid(i));
  p->outputs.push_back(i);
}
inline CudnnTensor cudnn_pointwise(CudnnGraph* p, fe::PointwiseMode_t mode, const CudnnTensor& a,
                                   const CudnnTensor& b = nullptr) {
  const auto attributes = fe::graph::Pointwise_attributes().set_mode(mode);
  return b ? p->graph.pointwise(a, b, attributes) : p->graph.pointwise(a, attributes);
}

inline void begin_graph(const CallMeta& c, CudnnGraph* p) {
  for (const TensorMeta* m : c.inputs) p->channels_last |= m && m->is_channels_last();
  for (const TensorMeta& m : c.outputs) p->channels_last |= m.is_channels_last();
  const auto wide = c.in(0).dtype == DType::kF64 ? fe::DataType_t::DOUBLE : fe::DataType_t::FLOAT;
  p->graph.set_compute_data_type(wide).set_intermediate_data_type(wide);
}

// ---- Convolutions -------------------------------------------------------------------------------

// The attributes that the three operations share.
template <class A>
A conv_attributes(const kernels::ConvShape& s) {
  const auto last = [&](int64_t d, int64_t h, int64_t w) {
    return s.spatial == 3 ? std::vector<int64_t>{d, h, w} : std::vector<int64_t>{h, w};
  };
  A a;
  a.set_pre_padding(last(s.pad_d, s.pad_h, s.pad_w))
      .set_post_padding(last(s.pad_d, s.pad_h, s.pad_w))
      .set_stride(last(s.stride_d, s.stride_h, s.stride_w))
      .set_dilation(last(s.dil_d, s.dil_h, s.dil_w));
  return a;
}

// [c] as one element for each channel of `rank` dimensions.
inline TensorMeta of_channels(const TensorMeta& m, int rank) {
  const int64_t step = m.strides[0], channels = m.dim(0);
  TensorMeta out = m;
  out.shape = Shape::filled(rank, 1);
  out.strides = Strides::filled(rank, step * channels);
  out.shape[1] = channels;
  out.strides[1] = step;
  return out;
}

// Of a convolution or one of its gradients; `biased`: with the bias, if there is one.
inline void describe_conv(const CallMeta& c, bool biased, CudnnGraph* p) {
  const kernels::ConvShape s = kernels::conv_shape(c);
  const kernels::ConvKind kind = kernels::conv_kind(c.op);
  begin_graph(c, p);
  const CudnnTensor first = cudnn_input(p, c.in(0), 0), second = cudnn_input(p, c.in(1), 1);
  CudnnTensor out;
  if (kind == kernels::ConvKind::kForward) {
    out = p->graph.conv_fprop(first, second, conv_attributes<fe::graph::Conv_fprop_attributes>(s));
    if (biased && c.has(2)) {
      const CudnnTensor bias = cudnn_input(p, of_channels(c.in(2), c.out().rank()), 2);
      out = cudnn_pointwise(p, fe::PointwiseMode_t::ADD, out, bias);
    }
  } else if (kind == kernels::ConvKind::kInputGrad) {
    out = p->graph.conv_dgrad(first, second, conv_attributes<fe::graph::Conv_dgrad_attributes>(s));
  } else {
    out = p->graph.conv_wgrad(first, second, conv_attributes<fe::graph::Conv_wgrad_attributes>(s));
    if (widens(c)) {
      out->set_dim(std::vector<int64_t>(c.out().shape.begin(), c.out().shape.end()));
      out = cudnn_pointwise(p, fe::PointwiseMode_t::IDENTITY, out);
    }
  }
  cudnn_output(p, out, c.out(), 0);
}

// ---- Convolutions with a batch norm at both ends ------------------------------------------------

// relu(x * scale + shift), operands `at` and at + 1 being scale and shift.
inline CudnnTensor normalised_image(const CallMeta& c, const CudnnTensor& x, int at,
                                    CudnnGraph* p) {
  const auto channels = [&](int i) { return cudnn_input(p, of_channels(c.in(i), 4), i); };
  const CudnnTensor scaled = cudnn_pointwise(p, fe::PointwiseMode_t::MUL, x, channels(at));
  const CudnnTensor moved = cudnn_pointwise(p, fe::PointwiseMode_t::ADD, scaled, channels(at + 1));
  return cudnn_pointwise(p, fe::PointwiseMode_t::RELU_FWD, moved);
}

inline void describe_stats(const CallMeta& c, CudnnGraph* p) {
  const kernels::ConvShape s = kernels::conv_shape(c);
  begin_graph(c, p);
  const CudnnTensor x = cudnn_input(p, c.in(0), 0), w = cudnn_input(p, c.in(1), 1);
  const CudnnTensor u = c.has(2) ? normalised_image(c, x, 2, p) : x;
  const CudnnTensor y =
      p->graph.conv_fprop(u, w, conv_attributes<fe::graph::Conv_fprop_attributes>(s));
  cudnn_output(p, y, c.out(0), 0);
  const auto [sum, square] = p->graph.genstats(y, fe::graph::Genstats_attributes());
  cudnn_output(p, sum, of_channels(c.out(1), 4), 1);
  cudnn_output(p, square, of_channels(c.out(2), 4), 2);
}

inline void describe_norm_weight_grad(const CallMeta& c, CudnnGraph* p) {
  const kernels::ConvShape s = kernels::conv_shape(c);
  begin_graph(c, p);
  p->graph.set_intermediate_data_type(cudnn_type(c.in(1).dtype));
  const CudnnTensor dy = cudnn_input(p, c.in(0), 0), x = cudnn_input(p, c.in(1), 1);
  const CudnnTensor u = normalised_image(c, x, 2, p);
  const CudnnTensor d =
      p->graph.conv_wgrad(dy, u, conv_attributes<fe::graph::Conv_wgrad_attributes>(s));
  cudnn_output(p, d, c.out(), 0);
}

inline void describe_norm_input_grad(const CallMeta& c, CudnnGraph* p) {
  using Mode = fe::PointwiseMode_t;
  const kernels::ConvShape s = kernels::conv_shape(c);
  begin_graph(c, p);
  const CudnnTensor dy = cudnn_input(p, c.in(0), 0), w = cudnn_input(p, c.in(1), 1);
  const CudnnTensor dz =
      p->graph.conv_dgrad(dy, w, conv_attributes<fe::graph::Conv_dgrad_attributes>(s));
  dz->set_dim(std::vector<int64_t>(c.out().shape.begin(), c.out().shape.end()));
  const CudnnTensor x = cudnn_input(p, c.in(2), 2);
  const auto channels = [&](int i) { return cudnn_input(p, of_channels(c.in(i), 4), i); };
  const CudnnTensor mean = channels(3), rstd = channels(4), gamma = channels(5);
  CudnnTensor z = cudnn_pointwise(p, Mode::SUB, x, mean);
  z = cudnn_pointwise(p, Mode::MUL, z, rstd);
  z = cudnn_pointwise(p, Mode::MUL, z, gamma);
  z = cudnn_pointwise(p, Mode::ADD, z, channels(6));
  const CudnnTensor d = cudnn_pointwise(p, Mode::RELU_BWD, dz, z);
  cudnn_output(p, d, c.out(0), 0);
  const auto r = p->graph.dbn_weight(d, x, mean, rstd, gamma, fe::graph::DBN_weight_attributes());
  cudnn_output(p, r[0], of_channels(c.out(1), 4), 1);
  cudnn_output(p, r[1], of_channels(c.out(2), 4), 2);
  // What dx is made of: the graph around computes that from the sums.
  for (size_t i = 2; i < r.size(); ++i) {
    const TensorMeta m = of_channels(c.out(1), 4);
    cudnn_written(*p, r[i], m, fe::DataType_t::FLOAT, unread_uid(p->unread.size()));
    p->unread.push_back(static_cast<size_t>(m.nbytes()));
  }
}

// ---- Attention ----------------------------------------------------------------------------------

inline float attention_scale(const CallMeta& c, int64_t d) {
  const double s = c.as<ops::AttentionAttrs>().scale;
  return static_cast<float>(s != 0 ? s : 1 / std::sqrt(static_cast<double>(d)));
}

// [b, h, t] as cuDNN's [b, h, t, 1].
inline TensorMeta as_column(const TensorMeta& m) {
  TensorMeta out = m;
  out.shape.push_back(1);
  out.strides.push_back(1);
  return out;
}

inline void describe_attention(const CallMeta& c, CudnnGraph* p) {
  const auto tensor = [&](int i) { return cudnn_input(p, c.in(i), i); };
  begin_graph(c, p);
  const int mask = attention_mask(c);
  const CudnnTensor added = c.has(mask) ? cudnn_input(p, added_mask(c), mask) : nullptr;
  if (c.op == &ops::kAttention) {
    const CudnnTensor q = tensor(0), k = tensor(1), v = tensor(2);
    fe::graph::SDPA_attributes a;
    if (added) a.set_bias(added);
    a.set_generate_stats(true)
        .set_causal_mask(c.as<ops::AttentionAttrs>().causal)
        .set_attn_scale(attention_scale(c, c.in(0).dim(3)));
    const auto [y, lse] = p->graph.sdpa(q, k, v, a);
    cudnn_output(p, y, c.out(0), 0);
    cudnn_output(p, lse, as_column(c.out(1)), 1);
    return;
  }
  const CudnnTensor dy = tensor(0), q = tensor(1), k = tensor(2), v = tensor(3), y = tensor(4);
  const CudnnTensor lse = cudnn_input(p, as_column(c.in(5)), 5);
  fe::graph::SDPA_backward_attributes a;
  if (added) a.set_bias(added);
  a.set_causal_mask(c.as<ops::AttentionAttrs>().causal)
      .set_attn_scale(attention_scale(c, c.in(1).dim(3)))
      .set_deterministic_algorithm(true);
  const auto [dq, dk, dv] = p->graph.sdpa_backward(q, k, v, y, dy, lse, a);
  cudnn_output(p, dq, c.out(0), 0);
  cudnn_output(p, dk, c.out(1), 1);
  cudnn_output(p, dv, c.out(2), 2);
}

// ---- Plans --------------------------------------------------------------------------------------

// Engines that would give other bits in another run, or compute f32 in fewer bits than it has.
inline std::vector<fe::NumericalNote_t> refused_notes(bool single) {
  std::vector<fe::NumericalNote_t> notes{fe::NumericalNote_t::NONDETERMINISTIC};
  if (!single) return notes;
  notes.push_back(fe::NumericalNote_t::TENSOR_CORE);
  notes.push_back(fe::NumericalNote_t::DOWN_CONVERT_INPUTS);
  return notes;
}

}  // namespace rutile::cuda
