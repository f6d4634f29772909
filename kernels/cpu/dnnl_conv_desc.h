// SPDX-License-Identifier: Apache-2.0
// How oneDNN is asked for a convolution: descriptors of its tensors, and the primitive that is
// chosen for a call. Seen by sources that see oneDNN.
#pragma once

#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cpu/dnnl_util.h"

namespace rutile::kernels {

// Groups of few channels would leave most lanes of a vector empty: neighbours are joined into one
// group of 16, whose weights are zero between the groups. Four times the products are done in half
// the time (32 groups of 4 channels, 28x28, batch 8), and images are placed as others want them.
struct Joined {
  ConvShape s;
  int64_t by = 1;
};

Joined joined(ConvShape s);

// Descriptors of x, weight, bias and y for a primitive; dtypes differ only for gradients.
struct Descs {
  dnnl::memory::desc x, weight, bias, y;
};

// One of the three primitive descriptors, empty if oneDNN has none.
struct AnyConvDesc {
  dnnl::convolution_forward::primitive_desc forward;
  dnnl::convolution_backward_data::primitive_desc input_grad;
  dnnl::convolution_backward_weights::primitive_desc weight_grad;
  const char* impl = "";  // empty: none
  Descs descs;
  dnnl::memory::desc scratchpad;
  dnnl::primitive primitive;
};

dnnl::memory::desc image_desc(const TensorMeta& m);
dnnl::memory::dims weight_dims(const ConvShape& s);
dnnl::memory::format_tag row_major_weight(const ConvShape& s);
dnnl::memory::desc weight_desc(const TensorMeta& m, const ConvShape& s);
bool has_residual(const CallMeta& call);

bool is_vectorised(const AnyConvDesc& d);
// What the layout pass aims at.
AnyConvDesc preferred(const CallMeta& call, const ConvShape& s);
// What the call runs: the images as they lie, else channels-last instead of other strides, else as
// oneDNN wishes.
AnyConvDesc choose(const CallMeta& call, const ConvShape& s);

}  // namespace rutile::kernels
