// SPDX-License-Identifier: Apache-2.0
// 3x3 convolutions with stride 1, and their gradient by the input, by Winograd's algorithm in f32:
// 2.25 times fewer products than the direct sum of oneDNN. Where they are placed by
// preference, images and weights lie as oneDNN's convolution wants them; row-major ones are moved.
// Where a pixel is infinite or NaN, all results of its tile are NaN, as with cuDNN.
#include "rutile/kernels/cpu/conv_winograd.h"

#include <utility>

#include "rutile/core/thread.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/post_ops.h"
#include "rutile/ops/view.h"

namespace rutile::kernels {
namespace {

// An operand that the loops read, or a result that they write, elsewhere than where it is.
class Moved {
 public:
  // Takes memory from the end of `workspace` if the two differ.
  Status set(const TensorMeta& user, const TensorMeta& loops, bool output, size_t* workspace) {
    if (same_placement(user, loops)) return Status();
    const ops::ReorderAttrs attrs{placement_of(output ? user : loops)};
    const TensorMeta* from[] = {output ? &loops : &user};
    TensorMeta to = output ? user : loops;
    RUTILE_RETURN_IF_ERROR(
        make_plan({&ops::kReorder, &attrs, from, {&to, 1}}, DeviceType::kCpu, &plan_));
    at_ = reserve(static_cast<size_t>(loops.nbytes()), workspace);
    scratch_ = reserve(plan_->workspace_bytes, workspace);
    return Status();
  }
  void* placed(void* user, void* workspace) const {
    return plan_ ? static_cast<char*>(workspace) + at_ : user;
  }
  // Brings what is read, fetches what was written.
  Status run(void* from, void* to, void* workspace) const {
    if (!plan_) return Status();
    return plan_->run(*plan_, {&from, &to, static_cast<char*>(workspace) + scratch_});
  }

 private:
  std::shared_ptr<const Plan> plan_;
  size_t at_ = 0, scratch_ = 0;
};

struct WinogradPlan : Plan {
  WinogradShape shape;
  WinogradKernels kernels;
  WinogradWeightGradKernels weight_grad;
  Moved in[2], out;
  bool bias = false, residual = false, relu = false;
};

Layout image_layout() {
  static const Layout layout = intern_layout("aBcd16b");
  return layout;
}

// The channels that the results have lie innermost.
Layout weight_layout(bool input_grad) {
  static const Layout forward = intern_layout("ABcd16b16a"), grad = intern_layout("ABcd16a16b");
  return input_grad ? grad : forward;
}

// How the loops want an image: as it lies if its channels come in whole blocks.
TensorMeta image_for_loops(const TensorMeta& m) {
  TensorMeta blocked = m;
  BlockedImages images;
  if (!describe(m, &images)) {
    (void)place(m.shape, m.dtype, m.device, {image_layout(), false}, &blocked).ok();
  }
  return blocked;
}

TensorMeta weight_for_loops(const TensorMeta& m, ConvKind kind) {
  TensorMeta blocked = m;
  const Placement p{weight_layout(kind == ConvKind::kInputGrad), false};
  (void)place(m.shape, m.dtype, m.device, p, &blocked).ok();
  return blocked;
}

// The gradient by the input is the convolution of dy with the taps turned round.
WinogradShape shape_of(const CallMeta& call) {
  const ConvShape c = conv_shape(call);
  const ConvTensors t = conv_tensors(call);
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
                  .x = {},
                  .y = {},
                  .weight_in = kTaps,
                  .weight_out = c.ic / 16 * kTaps,
                  .workers = num_threads()};
  describe(image_for_loops(*t.x), &s.x);
  describe(image_for_loops(*t.y), &s.y);
  if (conv_kind(call.op) != ConvKind::kInputGrad) return s;
  std::swap(s.h, s.oh);
  std::swap(s.w, s.ow);
  std::swap(s.x, s.y);
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
  if (call.has(3) && (!same_placement(call.in(3), call.out()) ||
                      !same_placement(call.out(), image_for_loops(call.out())))) {
    return refuse(reason, "takes a residual that lies as the result");
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
  if (c.ic % 16 || c.oc % 16) return refuse(reason, "takes whole blocks of 16 channels");
  for (const TensorMeta* m : {t.x, t.y}) {
    BlockedImages images;
    if (!describe(*m, &images) && !m->is_contiguous()) {
      return refuse(reason, "takes images in blocks of 16 channels, channels-last or row-major");
    }
  }
  const Layout blocked = weight_layout(conv_kind(call.op) == ConvKind::kInputGrad);
  if (t.weight->layout != blocked && !t.weight->is_contiguous()) {
    return refuse(reason, "takes weights with the channels of the result innermost, or row-major");
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
  void *ws = args.workspace, *in[2], *y = p.out.placed(args.out[0], ws);
  for (int i = 0; i < 2; ++i) {
    in[i] = p.in[i].placed(args.in[i], ws);
    RUTILE_RETURN_IF_ERROR(p.in[i].run(args.in[i], in[i], ws));
  }
  const auto *first = static_cast<const float*>(in[0]), *second = static_cast<const float*>(in[1]);
  if (p.weight_grad.run) {
    p.weight_grad.run(p.shape, first, second, static_cast<float*>(y), ws);
  } else {
    const auto optional = [&](bool given, int i) {
      return given ? static_cast<const float*>(args.in[i]) : nullptr;
    };
    p.kernels.run(p.shape,
                  {first, second, optional(p.bias, 2), optional(p.residual, 3),
                   static_cast<float*>(y), p.relu},
                  ws);
  }
  return p.out.run(y, args.out[0], ws);
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<WinogradPlan>();
  const ConvKind kind = conv_kind(call.op);
  const auto for_loops = [&](const TensorMeta& m) {
    return &m == conv_tensors(call).weight ? weight_for_loops(m, kind) : image_for_loops(m);
  };
  p->shape = shape_of(call);
  size_t* ws = &p->workspace_bytes;  // the loops' own at offset 0
  if (kind == ConvKind::kWeightGrad) {
    p->weight_grad = RUTILE_CHOOSE_ISA(conv_winograd_weight_grad);
    *ws = static_cast<size_t>(p->weight_grad.workspace(p->shape));
  } else {
    p->kernels = RUTILE_CHOOSE_ISA(conv_winograd);
    *ws = static_cast<size_t>(p->kernels.workspace(p->shape));
    p->bias = kind == ConvKind::kForward && call.has(2);
  }
  for (int i = 0; i < 2; ++i) {
    RUTILE_RETURN_IF_ERROR(p->in[i].set(call.in(i), for_loops(call.in(i)), false, ws));
  }
  RUTILE_RETURN_IF_ERROR(p->out.set(call.out(), for_loops(call.out()), true, ws));
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
  for (const OpDef* op :
       {&ops::kConv2d, &ops::kConv2dAct, &ops::kConv2dInputGrad, &ops::kConv2dWeightGrad}) {
    register_kernel(
        {.op = op, .name = "conv2d_winograd", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
