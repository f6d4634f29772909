// SPDX-License-Identifier: Apache-2.0
// Convolution and its gradients by oneDNN. Images are taken as they lie where a vector kernel
// exists for that, weights in any placement; what oneDNN wants otherwise is reordered in the
// workspace.
#include <algorithm>
#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cpu/dnnl_conv_desc.h"
#include "rutile/kernels/cpu/dnnl_post_ops.h"
#include "rutile/kernels/cpu/dnnl_rows.h"
#include "rutile/kernels/cpu/dnnl_util.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"

namespace rutile::kernels {

using dnnl::memory;

namespace {

constexpr double kElementNs = 0.3;  // of copying weights

struct DnnlConv : Plan {
  // Of the two inputs and the output of the call, in its order.
  DnnlReorder in[2], out;
  DnnlCall call;
  DnnlResidual residual;
  bool bias = false;
  // The weight where groups are joined: [outputs, by * inputs, taps] in the workspace.
  Joined shape;
  Strides weight_strides;
  size_t weight_size = 0, weight_at = 0;
  bool weight_is_output = false;
  // Bytes to clear first. oneDNN 3.2 leaves weights whose tap meets padding only as they were.
  size_t clear_scratch = 0, clear_result = 0;
};

int threads_for(const ConvShape& s) {
  return dnnl_threads(static_cast<double>(s.n * s.out_pixels() * s.taps()) * s.groups * s.oc *
                      s.ic);
}

// oneDNN keeps sizes and distances within an image as int.
bool fits_int(const ConvShape& s) {
  for (const int64_t v :
       {s.d,     s.h,     s.w,        s.od,       s.oh,           s.ow,           s.kd,
        s.kh,    s.kw,    s.stride_d, s.stride_h, s.stride_w,     s.pad_d,        s.pad_h,
        s.pad_w, s.dil_d, s.dil_h,    s.dil_w,    s.dil_d * s.kd, s.dil_h * s.kh, s.dil_w * s.kw}) {
    if (v > 1 << 24) return false;
  }
  return true;
}

bool has_zero_stride(const TensorMeta& m) {
  for (int i = 0; m.layout == kStrided && i < m.rank(); ++i) {
    if (m.strides[i] == 0 && m.dim(i) > 1) return true;
  }
  return false;
}

// Whether some tap of the kernel meets padding only.
bool has_unseen_taps(const ConvShape& s) {
  const auto unseen = [](int64_t taps, int64_t size, int64_t out, int64_t stride, int64_t pad,
                         int64_t dilation) {
    for (int64_t k = 0; k < taps; ++k) {
      // The first pixel of the result whose place is not before the image.
      const int64_t at = k * dilation - pad;
      const int64_t first = at >= 0 ? 0 : (-at + stride - 1) / stride;
      if (first >= out || first * stride + at >= size) return true;
    }
    return false;
  };
  return unseen(s.kd, s.d, s.od, s.stride_d, s.pad_d, s.dil_d) ||
         unseen(s.kh, s.h, s.oh, s.stride_h, s.pad_h, s.dil_h) ||
         unseen(s.kw, s.w, s.ow, s.stride_w, s.pad_w, s.dil_w);
}

bool supports(const CallMeta& call, Reason* reason) {
  if (!dnnl_has(call.in(0).dtype) || !dnnl_has(call.out().dtype)) {
    return refuse(reason, "takes f32, and bf16 where the machine has AVX-512");
  }
  if (call.op == &ops::kConv2dAct &&
      !takes_activation(call.as<ops::Conv2dActAttrs>().act, reason)) {
    return false;
  }
  const Joined join = joined(conv_shape(call));
  const ConvShape& s = join.s;
  if (s.empty()) return refuse(reason, "an input is empty");
  if (!fits_int(s)) return refuse(reason, "a size or distance is beyond its integers");
  if (s.groups * join.by > 1 && conv_tensors(call).weight->layout != kStrided) {
    return refuse(reason, "the weight of a grouped convolution is blocked");
  }
  for (const TensorMeta* m : call.inputs) {
    if (m && has_zero_stride(*m)) return refuse(reason, "an input repeats its elements");
  }
  if (call.has(2) && !call.in(2).is_contiguous()) return refuse(reason, "the bias has gaps");
  bool found = false;
  const Status status = dnnl_try(threads_for(s), [&] { found = *choose(call, s).impl != 0; });
  if (!status.ok()) return refuse(reason, status.message());
  return found || refuse(reason, "oneDNN has no implementation");
}

// Between the weight of the call and that of joined groups: spreads the first or gathers the
// second.
template <class T>
void move_weight(const DnnlConv& p, T* weight, T* wide) {
  const ConvShape& s = p.shape.s;
  const int64_t by = p.shape.by, ic = s.ic / by, oc = s.oc / by, taps = s.taps();
  const Strides& to = p.weight_strides;
  parallel_for(0, s.groups * s.oc, grain_for(kElementNs * static_cast<double>(s.ic * taps)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t o = begin; o < end; ++o) {
                   T* line = wide + o * s.ic * taps;
                   if (!p.weight_is_output) std::fill_n(line, s.ic * taps, T());
                   line += o / oc % by * ic * taps;
                   for (int64_t i = 0; i < ic * taps; ++i) {
                     const int64_t c = i / taps, row = i % taps / s.kw;
                     T& w = weight[o * to[0] + c * to[1] + row / s.kh * to[2] + row % s.kh * to[3] +
                                   i % s.kw * to[4]];
                     (p.weight_is_output ? w : line[i]) = p.weight_is_output ? line[i] : w;
                   }
                 }
               });
}

void move_weight(const DnnlConv& p, void* weight, void* wide) {
  if (p.weight_size == 2) {
    move_weight(p, static_cast<uint16_t*>(weight), static_cast<uint16_t*>(wide));
  } else {
    move_weight(p, static_cast<uint32_t*>(weight), static_cast<uint32_t*>(wide));
  }
}

Status execute(const DnnlConv& p, const KernelArgs& args, void* second, void* result);

Status run(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const DnnlConv&>(base);
  if (p.shape.by == 1) return execute(p, args, args.in[1], args.out[0]);
  void* wide = static_cast<char*>(args.workspace) + p.weight_at;
  if (p.weight_is_output) {
    RUTILE_RETURN_IF_ERROR(execute(p, args, args.in[1], wide));
    move_weight(p, args.out[0], wide);
    return Status();
  }
  move_weight(p, args.in[1], wide);
  return execute(p, args, wide, args.out[0]);
}

Status execute(const DnnlConv& p, const KernelArgs& args, void* second, void* result) {
  void* ws = args.workspace;
  RUTILE_RETURN_IF_ERROR(p.in[0].run(args.in[0], ws));
  RUTILE_RETURN_IF_ERROR(p.in[1].run(second, ws));
  void* a = p.in[0].placed(args.in[0], ws);
  void* b = p.in[1].placed(second, ws);
  void* y = p.out.placed(result, ws);
  if (p.residual.defined()) RUTILE_RETURN_IF_ERROR(p.residual.run(args.in[3], y, ws));
  if (p.clear_scratch > 0) std::memset(ws, 0, p.clear_scratch);
  if (p.clear_result > 0) std::memset(y, 0, p.clear_result);
  if (p.bias) {
    RUTILE_RETURN_IF_ERROR(p.call.run({a, b, args.in[2], y, ws}));
  } else {
    RUTILE_RETURN_IF_ERROR(p.call.run({a, b, y, ws}));
  }
  return p.out.run(result, ws);
}

void set_call(const CallMeta& call, const AnyConvDesc& d, DnnlConv* p) {
  switch (conv_kind(call.op)) {
    case ConvKind::kForward:
      if (p->bias) {
        p->call.set(dnnl::convolution_forward(d.forward), {{DNNL_ARG_SRC, d.descs.x},
                                                           {DNNL_ARG_WEIGHTS, d.descs.weight},
                                                           {DNNL_ARG_BIAS, d.descs.bias},
                                                           {DNNL_ARG_DST, d.descs.y},
                                                           {DNNL_ARG_SCRATCHPAD, d.scratchpad}});
        return;
      }
      p->call.set(dnnl::convolution_forward(d.forward), {{DNNL_ARG_SRC, d.descs.x},
                                                         {DNNL_ARG_WEIGHTS, d.descs.weight},
                                                         {DNNL_ARG_DST, d.descs.y},
                                                         {DNNL_ARG_SCRATCHPAD, d.scratchpad}});
      return;
    case ConvKind::kInputGrad:
      p->call.set(dnnl::convolution_backward_data(d.input_grad),
                  {{DNNL_ARG_DIFF_DST, d.descs.y},
                   {DNNL_ARG_WEIGHTS, d.descs.weight},
                   {DNNL_ARG_DIFF_SRC, d.descs.x},
                   {DNNL_ARG_SCRATCHPAD, d.scratchpad}});
      return;
    case ConvKind::kWeightGrad:
      p->call.set(dnnl::convolution_backward_weights(d.weight_grad),
                  {{DNNL_ARG_DIFF_DST, d.descs.y},
                   {DNNL_ARG_SRC, d.descs.x},
                   {DNNL_ARG_DIFF_WEIGHTS, d.descs.weight},
                   {DNNL_ARG_SCRATCHPAD, d.scratchpad}});
  }
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<DnnlConv>();
  p->shape = joined(conv_shape(call));
  const ConvShape& s = p->shape.s;
  const ConvTensors t = conv_tensors(call);
  RUTILE_RETURN_IF_ERROR(dnnl_try(threads_for(s), [&] {
    const AnyConvDesc d = choose(call, s);
    p->bias = !d.descs.bias.is_zero();
    size_t* ws = &p->workspace_bytes;
    reserve(d.scratchpad.get_size(), ws);  // at offset 0
    if (conv_kind(call.op) == ConvKind::kWeightGrad && has_unseen_taps(s)) {
      p->clear_scratch = d.scratchpad.get_size();
      p->clear_result = d.descs.weight.get_size();
    }
    const memory::desc x = image_desc(*t.x), y = image_desc(*t.y);
    memory::desc w;
    if (p->shape.by == 1) {
      w = weight_desc(*t.weight, s);
    } else {
      w = {weight_dims(s), dnnl_dtype(t.weight->dtype), row_major_weight(s)};
      p->weight_size = dtype_size(t.weight->dtype);
      p->weight_strides = volume_strides(t.weight->strides);
      p->weight_is_output = conv_kind(call.op) == ConvKind::kWeightGrad;
      p->weight_at = reserve(w.get_size(), ws);
    }
    switch (conv_kind(call.op)) {
      case ConvKind::kForward:
        p->in[0].set(x, d.descs.x, false, ws);
        p->in[1].set(w, d.descs.weight, false, ws);
        p->out.set(d.descs.y, y, true, ws);
        if (has_residual(call)) {
          TensorMeta residual = call.in(3);
          if (!dnnl_describes(residual)) residual = p->residual.pack(residual, ws);
          p->residual.set(image_desc(residual), d.descs.y);
          if (p->residual.same_placement() && !p->out.needed()) p->may_overwrite = 1u << 3;
        }
        break;
      case ConvKind::kInputGrad:
        p->in[0].set(y, d.descs.y, false, ws);
        p->in[1].set(w, d.descs.weight, false, ws);
        p->out.set(d.descs.x, x, true, ws);
        break;
      case ConvKind::kWeightGrad:
        p->in[0].set(y, d.descs.y, false, ws);
        p->in[1].set(x, d.descs.x, false, ws);
        p->out.set(d.descs.weight, w, true, ws);
        break;
    }
    set_call(call, d, p.get());
  }));
  p->run = run;
  *plan = std::move(p);
  return Status();
}

Status prefer(const CallMeta& call, LayoutPrefs* prefs) {
  const Joined join = joined(conv_shape(call));
  const ConvShape& s = join.s;
  const auto none = [] { return Status(ErrorCode::kUnsupported, "no preference"); };
  if (!dnnl_has(call.in(0).dtype) || !dnnl_has(call.out().dtype) || s.empty() || !fits_int(s))
    return none();
  Placement x, w, y;
  bool vectorised = false;
  RUTILE_RETURN_IF_ERROR(dnnl_try(threads_for(s), [&] {
    const AnyConvDesc d = preferred(call, s);
    vectorised = is_vectorised(d);
    if (!vectorised) return;
    x = dnnl_placement(d.descs.x);
    y = dnnl_placement(d.descs.y);
    if (s.groups * join.by == 1) w = dnnl_placement(d.descs.weight);
  }));
  if (!vectorised) return none();
  switch (conv_kind(call.op)) {
    case ConvKind::kForward:
      prefs->in = {x, w};
      if (call.num_inputs() > 2) prefs->in.push_back(Placement());
      if (has_residual(call)) prefs->in.push_back(y);
      prefs->out = {y};
      break;
    case ConvKind::kInputGrad:
      prefs->in = {y, w};
      prefs->out = {x};
      break;
    case ConvKind::kWeightGrad:
      prefs->in = {y, x};
      prefs->out = {w};
      break;
  }
  return Status();
}

}  // namespace

void register_conv_dnnl() {
  for (const OpDef* op :
       {&ops::kConv2d, &ops::kConv2dAct, &ops::kConv2dInputGrad, &ops::kConv2dWeightGrad}) {
    register_kernel({.op = op,
                     .name = "conv2d_dnnl",
                     .supports = supports,
                     .prepare = prepare,
                     .prefer = prefer});
  }
  for (const OpDef* op : {&ops::kConv3d, &ops::kConv3dInputGrad, &ops::kConv3dWeightGrad}) {
    register_kernel({.op = op, .name = "conv3d_dnnl", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
