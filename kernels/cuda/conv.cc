// SPDX-License-Identifier: Apache-2.0
// Rows of convolutions that need no library.
#include "rutile/kernels/cuda/conv.h"

#include "rutile/core/device_settings.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"

namespace rutile::cuda {
namespace {

using kernels::ConvKind;

void set5(const Strides& s, int64_t (&out)[5]) {
  const Strides v = kernels::volume_strides(s);
  for (int d = 0; d < 5; ++d) out[d] = v[d];
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const ConvKind kind = kernels::conv_kind(c.op);
  auto p = kernel_plan<ConvArgs>(kind == ConvKind::kForward     ? launch_conv
                                 : kind == ConvKind::kInputGrad ? launch_conv_input_grad
                                                                : launch_conv_weight_grad,
                                 [](ConvArgs* a, const KernelArgs& k) {
                                   a->first = k.in[0];
                                   a->second = k.in[1];
                                   if (a->biased) a->bias = k.in[2];
                                   a->out = k.out[0];
                                 });
  ConvArgs& a = p->args;
  const kernels::ConvShape s = kernels::conv_shape(c);
  const kernels::ConvTensors t = kernels::conv_tensors(c);
  a.in_type = c.in(0).dtype;
  a.out_type = c.out().dtype;
  a.biased = kind == ConvKind::kForward && c.has(2);
  if (a.biased) {
    a.bias_type = c.in(2).dtype;
    a.bias_step = c.in(2).strides[0];
  }
  a.n = s.n, a.groups = s.groups, a.ic = s.ic, a.oc = s.oc;
  const int64_t sizes[6][3] = {{s.d, s.h, s.w},
                               {s.od, s.oh, s.ow},
                               {s.kd, s.kh, s.kw},
                               {s.stride_d, s.stride_h, s.stride_w},
                               {s.pad_d, s.pad_h, s.pad_w},
                               {s.dil_d, s.dil_h, s.dil_w}};
  for (int d = 0; d < 3; ++d) {
    a.in[d] = sizes[0][d], a.result[d] = sizes[1][d], a.kernel[d] = sizes[2][d];
    a.stride[d] = sizes[3][d], a.pad[d] = sizes[4][d], a.dilation[d] = sizes[5][d];
  }
  a.group = group_shape(s.n * s.out_pixels(), false);
  set5(t.x->strides, a.x);
  set5(t.weight->strides, a.w);
  set5(t.y->strides, a.y);
  *plan = std::move(p);
  return Status();
}

}  // namespace

Status prefer_channels_last(const CallMeta& c, LayoutPrefs* prefs) {
  const DType t = c.in(0).dtype;
  const bool tensor_cores =
      is_low_precision(t) || (t == DType::kF32 && device_settings().tf32_conv);
  if (c.in(0).rank() != 4 || !tensor_cores) {
    return Status(ErrorCode::kUnsupported, "runs as its operands lie");
  }
  const auto place = [](const TensorMeta* m) {
    return m && m->rank() == 4 ? Placement{kStrided, true} : Placement();
  };
  for (const TensorMeta* m : c.inputs) prefs->in.push_back(place(m));
  for (const TensorMeta& m : c.outputs) prefs->out.push_back(place(&m));
  return Status();
}

void register_conv() {
  for (const OpDef* op : {&ops::kConv2d, &ops::kConv2dInputGrad, &ops::kConv2dWeightGrad,
                          &ops::kConv3d, &ops::kConv3dInputGrad, &ops::kConv3dWeightGrad}) {
    add_row(*op, "direct", prepare, only_real, prefer_channels_last);
  }
}

}  // namespace rutile::cuda
