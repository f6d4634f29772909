// SPDX-License-Identifier: Apache-2.0
// 3x3 convolutions with stride 1, and their gradient by the input, by Winograd's algorithm in f32:
// 2.25 times fewer products than the direct sum of oneDNN. Images and weights lie as
// oneDNN's convolution, which states the preferences, wants them. Where a pixel is infinite or NaN,
// all results of its tile are NaN, as with cuDNN.
#include "rutile/kernels/cpu/conv_winograd.h"

#include <utility>

#include "rutile/core/thread.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/post_ops.h"

namespace rutile::kernels {
namespace {

struct WinogradPlan : Plan {
  WinogradShape shape;
  WinogradKernels kernels;
  bool bias = false, residual = false, relu = false;
};

struct WeightGradPlan : Plan {
  WinogradShape shape;
  WinogradWeightGradKernels kernels;
};

bool refuse(Reason* reason, const char* why) {
  reason->text = why;
  return false;
}

Layout image_layout() {
  static const Layout layout = intern_layout("aBcd16b");
  return layout;
}

// The channels that the results have lie innermost.
Layout weight_layout(bool input_grad) {
  static const Layout forward = intern_layout("ABcd16b16a"), grad = intern_layout("ABcd16a16b");
  return input_grad ? grad : forward;
}

// The gradient by the input is the convolution of dy with the taps turned round.
WinogradShape shape_of(const CallMeta& call) {
  const ConvShape c = conv_shape(call);
  constexpr int64_t kTaps = 9 * 16 * 16;
  WinogradShape s{.n = c.n,
                  .h = c.h,
                  .w = c.w,
                  .oh = c.oh,
                  .ow = c.ow,
                  .pad_h = c.pad_h,
                  .pad_w = c.pad_w,
                  .in_blocks = c.ic / 16,
                  .out_blocks = c.oc / 16,
                  .weight_in = kTaps,
                  .weight_out = c.ic / 16 * kTaps,
                  .workers = num_threads()};
  if (conv_kind(call.op) != ConvKind::kInputGrad) return s;
  std::swap(s.h, s.oh);
  std::swap(s.w, s.ow);
  std::swap(s.in_blocks, s.out_blocks);
  std::swap(s.weight_in, s.weight_out);
  s.pad_h = 2 - s.pad_h;
  s.pad_w = 2 - s.pad_w;
  s.flipped = true;
  return s;
}

// Taps that lie inside the image, over all rows of the result; the direct sum skips the others.
int64_t taps_inside(int64_t in, int64_t out, int64_t pad) {
  int64_t taps = 0;
  for (int64_t i = 0; i < out; ++i) {
    for (int64_t k = 0; k < 3; ++k) taps += i + k >= pad && i + k < in + pad;
  }
  return taps;
}

// Whether it is faster than the direct sum: products for each pair of channels against those of the
// tiles and, counted in products, the maps of images and weights. Measured for 16 to 512 channels
// and 1 to 56 pixels a side (docs/decisions.md).
bool pays(const WinogradShape& s, bool weight_grad) {
  if (s.in_blocks < 2 || s.out_blocks < 2) return false;
  constexpr double kTileMap = 100, kWeightMap = 1700, kWeightGradMap = 500;
  const double tiles = static_cast<double>(s.tiles());
  const double in = 16.0 * static_cast<double>(s.in_blocks);
  const double out = 16.0 * static_cast<double>(s.out_blocks);
  const int64_t direct = weight_grad
                             ? 9 * s.oh * s.ow
                             : taps_inside(s.h, s.oh, s.pad_h) * taps_inside(s.w, s.ow, s.pad_w);
  return static_cast<double>(s.n * direct) > (16 + kTileMap / in + kTileMap / out) * tiles +
                                                 (weight_grad ? kWeightGradMap : kWeightMap);
}

bool has_geometry(const ConvShape& c) {
  return c.groups == 1 && c.kh == 3 && c.kw == 3 && c.stride_h == 1 && c.stride_w == 1 &&
         c.dil_h == 1 && c.dil_w == 1 && c.pad_h <= 2 && c.pad_w <= 2;
}

bool supports_act(const CallMeta& call, Reason* reason) {
  const ops::Activation act = call.as<ops::Conv2dActAttrs>().act;
  if (act != ops::Activation::kNone && act != ops::Activation::kRelu) {
    return refuse(reason, "has no activation but ReLU");
  }
  if (call.has(3) && (call.in(3).layout != image_layout() || call.in(3).dtype != DType::kF32)) {
    return refuse(reason, "takes a residual in aBcd16b");
  }
  return true;
}

bool supports(const CallMeta& call, Reason* reason) {
  const ConvShape c = conv_shape(call);
  if (isa() == Isa::kBaseline) return refuse(reason, "needs AVX2");
  if (!has_geometry(c)) return refuse(reason, "takes one group of 3x3 taps with stride 1");
  if (c.empty()) return refuse(reason, "an input is empty");
  const ConvTensors t = conv_tensors(call);
  for (const TensorMeta* m : {t.x, t.weight, t.y}) {
    if (m->dtype != DType::kF32) return refuse(reason, "takes f32");
  }
  if (t.x->layout != image_layout() || t.y->layout != image_layout() || c.ic % 16 || c.oc % 16) {
    return refuse(reason, "takes images in aBcd16b, whole blocks of channels");
  }
  if (t.weight->layout != weight_layout(conv_kind(call.op) == ConvKind::kInputGrad)) {
    return refuse(reason, "takes weights with the channels of the result innermost");
  }
  if (conv_kind(call.op) == ConvKind::kForward && call.has(2) &&
      (call.in(2).dtype != DType::kF32 || !call.in(2).is_contiguous())) {
    return refuse(reason, "takes a bias in f32 without gaps");
  }
  if (call.op == &ops::kConv2dAct && !supports_act(call, reason)) return false;
  const bool grad = conv_kind(call.op) == ConvKind::kWeightGrad;
  return pays(shape_of(call), grad) || refuse(reason, "oneDNN is faster there");
}

Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const WinogradPlan&>(plan);
  const auto in = [&](int i) { return static_cast<const float*>(args.in[i]); };
  p.kernels.run(p.shape,
                {in(0), in(1), p.bias ? in(2) : nullptr, p.residual ? in(3) : nullptr,
                 static_cast<float*>(args.out[0]), p.relu},
                args.workspace);
  return Status();
}

Status run_weight_grad(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const WeightGradPlan&>(plan);
  p.kernels.run(p.shape, static_cast<const float*>(args.in[0]),
                static_cast<const float*>(args.in[1]), static_cast<float*>(args.out[0]),
                args.workspace);
  return Status();
}

Status prepare_weight_grad(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<WeightGradPlan>();
  p->shape = shape_of(call);
  p->kernels = RUTILE_CHOOSE_ISA(conv_winograd_weight_grad);
  p->workspace_bytes = static_cast<size_t>(p->kernels.workspace(p->shape));
  p->run = run_weight_grad;
  *plan = std::move(p);
  return Status();
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<WinogradPlan>();
  p->shape = shape_of(call);
  p->kernels = RUTILE_CHOOSE_ISA(conv_winograd);
  p->workspace_bytes = static_cast<size_t>(p->kernels.workspace(p->shape));
  p->bias = call.has(2);
  if (call.op == &ops::kConv2dAct) {
    p->residual = call.has(3);
    p->relu = call.as<ops::Conv2dActAttrs>().act == ops::Activation::kRelu;
    if (p->residual) p->may_overwrite = 1u << 3;
  }
  p->run = run;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_conv_winograd_cpu() {
  for (const OpDef* op : {&ops::kConv2d, &ops::kConv2dAct, &ops::kConv2dInputGrad}) {
    register_kernel(
        {.op = op, .name = "conv2d_winograd", .supports = supports, .prepare = prepare});
  }
  register_kernel({.op = &ops::kConv2dWeightGrad,
                   .name = "conv2d_winograd",
                   .supports = supports,
                   .prepare = prepare_weight_grad});
}

}  // namespace rutile::kernels
