// SPDX-License-Identifier: Apache-2.0
// Gradient by the weight of depthwise convolutions: oneDNN has vector kernels for few sizes only
// (5x5 over 96 channels of 48x48, batch 8: 13 ms).
#include "rutile/kernels/cpu/conv_depthwise.h"

#include <algorithm>
#include <utility>

#include "rutile/core/thread.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr int64_t kBlock = 16;
constexpr int64_t kMostTaps = 1024;

struct DepthwisePlan : Plan {
  DepthwiseShape shape;
  DepthwiseKernels kernels;
  int64_t channels = 0;
  Strides dw;
};

// The channels as blocks of 16 neighbours: blocked, or whole ones of channels-last images.
bool describe(const TensorMeta& m, DepthwiseShape::Image* image) {
  const int64_t pixels = m.dim(2) * m.dim(3), blocks = (m.dim(1) + kBlock - 1) / kBlock;
  if (m.layout != kStrided) {
    *image = {blocks * pixels * kBlock, pixels * kBlock, m.dim(3) * kBlock, kBlock};
    return channel_block(m.layout) == kBlock;
  }
  *image = {m.strides[0], kBlock, m.strides[2], m.strides[3]};
  return m.strides[1] == 1 && m.dim(1) % kBlock == 0;
}

// What stands in the shape of the call; false where it is no such convolution.
bool shape_of(const CallMeta& call, DepthwiseShape* s) {
  const ConvShape c = conv_shape(call);
  if (c.ic != 1 || c.oc != 1 || c.groups < kBlock || c.empty()) return false;
  *s = {c.n,     c.h,     c.w,     c.oh,    c.ow, c.kh, c.kw, c.stride_h, c.stride_w,
        c.pad_h, c.pad_w, c.dil_h, c.dil_w, 0,    1,    1,    {},         {}};
  s->blocks = (c.groups + kBlock - 1) / kBlock;
  s->workers = num_threads();
  // With few blocks the images are dealt out too.
  if (s->blocks < 4 * s->workers && s->blocks % s->workers != 0) s->parts = s->workers;
  s->parts = std::min(s->parts, s->n);
  const int64_t span = (c.kh - 1) * c.dil_h + (c.kw - 1) * c.dil_w;
  return s->taps() <= kMostTaps && span < 4096 && c.stride_h < 4096 && c.stride_w < 4096;
}

bool takes(const CallMeta& call) {
  const DType t = call.in(0).dtype;
  return isa() != Isa::kBaseline && (t == DType::kF32 || t == DType::kBF16) &&
         call.in(1).dtype == t && call.out().dtype == DType::kF32;
}

bool supports(const CallMeta& call, Reason* reason) {
  DepthwiseShape s;
  if (!takes(call)) {
    reason->text = "takes f32 and bf16, gives f32, needs AVX2";
  } else if (!shape_of(call, &s)) {
    reason->text = "takes depthwise convolutions of 16 channels or more";
  } else if (call.out().layout != kStrided || !describe(call.in(0), &s.dy) ||
             !describe(call.in(1), &s.x)) {
    reason->text = "takes images in blocks of 16 channels side by side";
  }
  return reason->text.empty();
}

Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const DepthwisePlan&>(plan);
  const DepthwiseShape& s = p.shape;
  float* sums = static_cast<float*>(args.workspace);
  const int64_t size = s.blocks * s.taps() * kBlock;
  p.kernels.run(s, args.in[0], args.in[1], sums, sums + s.parts * size);
  float* dw = static_cast<float*>(args.out[0]);
  for (int64_t c = 0; c < p.channels; ++c) {
    for (int64_t t = 0; t < s.taps(); ++t) {
      const float* from = sums + (c / kBlock * s.taps() + t) * kBlock + c % kBlock;
      float sum = from[0];
      for (int64_t part = 1; part < s.parts; ++part) sum += from[part * size];
      dw[c * p.dw[0] + t / s.kw * p.dw[2] + t % s.kw * p.dw[3]] = sum;
    }
  }
  return Status();
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<DepthwisePlan>();
  DepthwiseShape& s = p->shape;
  shape_of(call, &s);
  describe(call.in(0), &s.dy);
  describe(call.in(1), &s.x);
  p->channels = call.out().dim(0);
  p->dw = call.out().strides;
  p->kernels = call.in(0).dtype == DType::kF32 ? RUTILE_CHOOSE_ISA(depthwise_f32)
                                               : RUTILE_CHOOSE_ISA(depthwise_bf16);
  p->workspace_bytes = sizeof(float) * static_cast<size_t>(s.parts * s.blocks * s.taps() * kBlock +
                                                           s.workers * p->kernels.floats(s));
  p->run = run;
  *plan = std::move(p);
  return Status();
}

// As oneDNN's forward kernels place images on this machine.
Status prefer(const CallMeta& call, LayoutPrefs* prefs) {
  DepthwiseShape s;
  if (!takes(call) || !shape_of(call, &s)) {
    return Status(ErrorCode::kUnsupported, "no preference");
  }
  Placement image;
  if (isa() == Isa::kAvx512) {
    static const Layout blocked = intern_layout("aBcd16b");
    image.layout = blocked;
  } else if (call.in(0).dim(1) % kBlock == 0) {
    image.channels_last = true;
  } else {
    return Status(ErrorCode::kUnsupported, "no preference");
  }
  prefs->in = {image, image};
  prefs->out = {Placement()};
  return Status();
}

}  // namespace

void register_conv_depthwise_cpu() {
  register_kernel({.op = &ops::kConv2dWeightGrad,
                   .name = "conv2d_depthwise",
                   .supports = supports,
                   .prepare = prepare,
                   .prefer = prefer});
}

}  // namespace rutile::kernels
