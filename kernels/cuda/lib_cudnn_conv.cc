// SPDX-License-Identifier: Apache-2.0
// Rows of convolutions over cuDNN, alone or with a batch norm at both ends.
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cuda/cudnn_calls.h"
#include "rutile/kernels/cuda/elementwise.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"
#include "rutile/ops/conv_norm.h"

namespace rutile::cuda {
namespace {

using kernels::ConvKind;

bool supports_conv(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (!cudnn_takes(c.in(0).dtype) || !cudnn_takes(c.out().dtype)) {
    reason->text = "takes floating types";
    return false;
  }
  if (kernels::conv_shape(c).empty()) {
    reason->text = "takes no empty images";
    return false;
  }
  return has_cudnn(reason);
}

// The convolution, then y += bias.
struct BiasedPlan : Plan {
  std::unique_ptr<Plan> conv;
  ElementwiseArgs add;
  ElementwiseLaunch launch = nullptr;
};

Status run_biased(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const BiasedPlan&>(plan);
  RUTILE_RETURN_IF_ERROR(p.conv->run(*p.conv, k));
  ElementwiseArgs a = p.add;
  a.out = k.out[0];
  a.in[0] = k.out[0];
  a.in[1] = k.in[2];
  return launch_status(p.launch(a, k.stream));
}

void add_bias(const CallMeta& c, std::unique_ptr<Plan> conv, std::unique_ptr<Plan>* plan) {
  const TensorMeta &y = c.out(), &bias = c.in(2);
  auto p = std::make_unique<BiasedPlan>();
  p->run = run_biased;
  p->workspace_bytes = conv->workspace_bytes;
  p->conv = std::move(conv);
  p->launch = binary_kernel(ElementwiseOp::Add,
                            y.dtype == DType::kF64 ? Compute::kDouble : Compute::kFloat);
  p->add.n = y.numel();
  p->add.inputs = 2;
  p->add.out_type = p->add.in_type[0] = y.dtype;
  p->add.in_type[1] = bias.dtype;
  Strides channel = Strides::filled(y.rank(), 0);
  channel[1] = bias.strides[0];
  const Strides strides[4] = {y.strides, y.strides, channel, Strides::filled(y.rank(), 0)};
  p->add.index = make_indexer<4>(y.shape, strides);
  *plan = std::move(p);
}

// A gradient in low precision in the workspace, then its conversion.
struct WidenedPlan : Plan {
  std::unique_ptr<Plan> conv;
  size_t at = 0;  // in the workspace
  ElementwiseArgs cast;
};

Status run_widened(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const WidenedPlan&>(plan);
  void* low = static_cast<char*>(k.workspace) + p.at;
  void* const outputs[] = {low};
  RUTILE_RETURN_IF_ERROR(p.conv->run(*p.conv, {k.in, outputs, k.workspace, k.stream}));
  ElementwiseArgs a = p.cast;
  a.in[0] = low;
  a.out = k.out[0];
  return launch_status(unary_kernel(ElementwiseOp::Cast, Compute::kFloat)(a, k.stream));
}

Status prepare_widened(const CallMeta& c, DescribeFn describe, std::unique_ptr<Plan>* plan) {
  TensorMeta low = c.out();
  low.dtype = c.in(0).dtype;
  const CallMeta narrow{c.op, c.attrs, c.inputs, {&low, 1}};
  auto p = std::make_unique<WidenedPlan>();
  RUTILE_RETURN_IF_ERROR(make_cudnn_plan(narrow, " alone", describe, &p->conv));
  p->run = run_widened;
  p->at = (p->conv->workspace_bytes + 255) / 256 * 256;
  p->workspace_bytes = p->at + static_cast<size_t>(low.nbytes());
  p->cast.n = low.numel();
  p->cast.out_type = DType::kF32;
  p->cast.in_type[0] = low.dtype;
  const Strides none = Strides::filled(low.rank(), 0),
                strides[4] = {low.strides, low.strides, none, none};
  p->cast.index = make_indexer<4>(low.shape, strides);
  *plan = std::move(p);
  return Status();
}

// In one graph if cuDNN can, else in two kernels.
Status prepare_conv(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const ConvKind kind = kernels::conv_kind(c.op);
  const bool biased = kind == ConvKind::kForward && c.has(2);
  const CudnnDescriptions& all = cudnn_descriptions();
  Status s = make_cudnn_plan(c, " whole", all.biased_conv, plan);
  if (s.ok()) return s;
  if (kind == ConvKind::kWeightGrad && widens(c)) return prepare_widened(c, all.conv, plan);
  if (!biased) return s;
  std::unique_ptr<Plan> conv;
  RUTILE_RETURN_IF_ERROR(make_cudnn_plan(c, " alone", all.conv, &conv));
  add_bias(c, std::move(conv), plan);
  return Status();
}

// ---- With a batch norm at both ends -------------------------------------------------------------

bool supports_norm_conv(const CallMeta& c, Reason* reason) {
  const int x = c.op == &ops::kConv2dStats ? 0 : c.op == &ops::kConv2dNormWeightGrad ? 1 : 2;
  if (!is_low_precision(c.in(x).dtype) || !c.in(x).is_channels_last()) {
    reason->text = "takes images in low precision that lie channels-last";
    return false;
  }
  return supports_conv(c, reason);
}

Status prepare_norm_conv(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const CudnnDescriptions& all = cudnn_descriptions();
  const DescribeFn describe = c.op == &ops::kConv2dStats            ? all.stats
                              : c.op == &ops::kConv2dNormWeightGrad ? all.norm_weight_grad
                                                                    : all.norm_input_grad;
  Status s = make_cudnn_plan(c, "", describe, plan);
  if (s.ok() || c.op != &ops::kConv2dNormWeightGrad || !widens(c)) return s;
  return prepare_widened(c, describe, plan);
}

}  // namespace

void register_cudnn_convs() {
  for (const OpDef* op : {&ops::kConv2d, &ops::kConv2dInputGrad, &ops::kConv2dWeightGrad,
                          &ops::kConv3d, &ops::kConv3dInputGrad, &ops::kConv3dWeightGrad}) {
    add_row(*op, "cudnn", prepare_conv, supports_conv, prefer_channels_last);
  }
  for (const OpDef* op :
       {&ops::kConv2dStats, &ops::kConv2dNormWeightGrad, &ops::kConv2dNormInputGrad}) {
    add_row(*op, "cudnn", prepare_norm_conv, supports_norm_conv, prefer_channels_last);
  }
}

}  // namespace rutile::cuda
