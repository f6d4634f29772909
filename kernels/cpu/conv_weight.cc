// SPDX-License-Identifier: Apache-2.0
// Gradient by the weight of convolutions as a product over all pixels, into a blocked weight.
// oneDNN goes image by image and adds to all of dw for each, which costs more than the products
// where the images have few pixels; in bf16 it also transposes them first.
#include "rutile/kernels/cpu/conv_weight.h"

#include <utility>

#include "rutile/core/thread.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr int64_t kFewPixels = 16, kSomePixels = 49;  // of an image of dy

struct ConvWeightPlan : Plan {
  ConvWeightShape shape;
  ConvWeightKernels kernels;
};

// An image without gaps, of which every pixel counts once, is one long row.
void flatten(ConvWeightShape* s) {
  const bool one_to_one =
      s->taps() == 1 && s->stride_h == 1 && s->stride_w == 1 && s->pad_h == 0 && s->pad_w == 0;
  if (!one_to_one || s->x.row != s->w * s->x.column || s->dy.row != s->ow * s->dy.column) return;
  s->w *= s->h;
  s->ow *= s->oh;
  s->h = s->oh = 1;
}

ConvWeightShape shape_of(const CallMeta& call, bool* fits) {
  const ConvShape c = conv_shape(call);
  ConvWeightShape s{c.n,     c.h,        c.w,        c.oh,          c.ow,    c.kh,
                    c.kw,    c.stride_h, c.stride_w, c.pad_h,       c.pad_w, c.dil_h,
                    c.dil_w, c.ic / 16,  c.oc / 16,  num_threads(), {},      {}};
  *fits = c.groups == 1 && !c.empty() && describe(call.in(1), &s.x) && describe(call.in(0), &s.dy);
  if (*fits) flatten(&s);
  return s;
}

ConvWeightKernels kernels_of(DType t) {
  return t == DType::kF32 ? RUTILE_CHOOSE_ISA(conv_weight_f32)
                          : RUTILE_CHOOSE_ISA(conv_weight_bf16);
}

// Measured on ResNet-50 at 224x224 within its step (docs/decisions.md).
bool pays(const ConvWeightShape& s, bool pairs_images) {
  const int64_t pixels = s.oh * s.ow;
  if (pixels <= kFewPixels || (s.taps() > 1 && pixels <= kSomePixels)) return true;
  return pairs_images && s.n > 1 && (s.taps() == 1 || s.stride_h > 1 || s.stride_w > 1);
}

Layout weight_layout() {
  static const Layout layout = intern_layout("ABcd16b16a");
  return layout;
}

bool supports(const CallMeta& call, Reason* reason) {
  const DType t = call.in(0).dtype;
  if (isa() == Isa::kBaseline) return refuse(reason, "needs AVX2");
  if ((t != DType::kF32 && t != DType::kBF16) || call.out().dtype != DType::kF32) {
    return refuse(reason, "takes f32 and bf16, gives f32");
  }
  if (call.out().layout != weight_layout()) return refuse(reason, "gives ABcd16b16a");
  if (t == DType::kBF16 && onednn_has_amx()) return refuse(reason, "oneDNN has AMX for bf16 here");
  bool fits = false;
  const ConvWeightShape s = shape_of(call, &fits);
  if (!fits) return refuse(reason, "takes whole blocks of 16 channels side by side");
  if (!pays(s, kernels_of(t).pairs_images)) return refuse(reason, "oneDNN is faster there");
  return true;
}

Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ConvWeightPlan&>(plan);
  p.kernels.run(p.shape, args.in[0], args.in[1], static_cast<float*>(args.out[0]), args.workspace);
  return Status();
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ConvWeightPlan>();
  bool fits = false;
  p->shape = shape_of(call, &fits);
  p->kernels = kernels_of(call.in(0).dtype);
  p->workspace_bytes = static_cast<size_t>(p->kernels.workspace(p->shape));
  p->run = run;
  *plan = std::move(p);
  return Status();
}

Status prefer(const CallMeta& call, LayoutPrefs* prefs);

// Images lie as the convolution that would run otherwise, and its neighbours, want them.
Status others_prefer(const CallMeta& call, LayoutPrefs* prefs) {
  for (const KernelRow& row : kernel_rows(*call.op, DeviceType::kCpu)) {
    if (row.prefer && row.prefer != prefer && row.prefer(call, prefs).ok()) return Status();
  }
  return Status(ErrorCode::kUnsupported, "no preference");
}

Status prefer(const CallMeta& call, LayoutPrefs* prefs) {
  RUTILE_RETURN_IF_ERROR(others_prefer(call, prefs));
  TensorMeta dy, x, dw = call.out();
  for (const auto& [meta, i] : {std::pair{&dy, 0}, std::pair{&x, 1}}) {
    const TensorMeta& m = call.in(i);
    RUTILE_RETURN_IF_ERROR(place(m.shape, m.dtype, m.device, prefs->in[i], meta));
  }
  dw.layout = weight_layout();
  const TensorMeta* in[] = {&dy, &x};
  Reason reason;
  if (!supports(CallMeta{call.op, call.attrs, in, {&dw, 1}}, &reason)) {
    return Status(ErrorCode::kUnsupported, reason.text);
  }
  prefs->out = {Placement{weight_layout(), false}};
  return Status();
}

}  // namespace

void register_conv_weight_cpu() {
  register_kernel({.op = &ops::kConv2dWeightGrad,
                   .name = "conv2d_weight_tiles",
                   .supports = supports,
                   .prepare = prepare,
                   .prefer = prefer});
}

}  // namespace rutile::kernels
