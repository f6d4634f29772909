// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv.h"

#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/conv3d.h"

namespace rutile::kernels {

namespace {

struct ConvRef : Plan {
  ConvShape s;
  Strides x, w, y;
  int64_t bias_step = 0;
  bool bias = false;
};

struct Pixel {
  int64_t d, h, w;
};

int64_t at(const Strides& s, int64_t a, int64_t b, const Pixel& p) {
  return a * s[0] + b * s[1] + p.d * s[2] + p.h * s[3] + p.w * s[4];
}

template <class F>
void for_each_pixel(int64_t d, int64_t h, int64_t w, F f) {
  for (int64_t i = 0; i < d; ++i) {
    for (int64_t j = 0; j < h; ++j) {
      for (int64_t k = 0; k < w; ++k) f(Pixel{i, j, k});
    }
  }
}

// Calls f(channel of x, pixel of x, channel of the weight, its tap) for every product of the
// element of y in channel o at `out`.
template <class F>
void for_each_product(const ConvShape& s, int64_t o, const Pixel& out, F f) {
  for_each_pixel(s.kd, s.kh, s.kw, [&](const Pixel& tap) {
    const Pixel in{out.d * s.stride_d - s.pad_d + tap.d * s.dil_d,
                   out.h * s.stride_h - s.pad_h + tap.h * s.dil_h,
                   out.w * s.stride_w - s.pad_w + tap.w * s.dil_w};
    if (in.d < 0 || in.d >= s.d || in.h < 0 || in.h >= s.h || in.w < 0 || in.w >= s.w) return;
    for (int64_t c = 0; c < s.ic; ++c) f(o / s.oc * s.ic + c, in, c, tap);
  });
}

template <class T, class R>
Status run_forward(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const ConvRef&>(base);
  const ConvShape& s = p.s;
  const T* x = static_cast<const T*>(args.in[0]);
  const T* w = static_cast<const T*>(args.in[1]);
  const T* bias = p.bias ? static_cast<const T*>(args.in[2]) : nullptr;
  R* y = static_cast<R*>(args.out[0]);
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t o = 0; o < s.oc * s.groups; ++o) {
      for_each_pixel(s.od, s.oh, s.ow, [&](const Pixel& out) {
        double sum = bias ? static_cast<double>(bias[o * p.bias_step]) : 0;
        for_each_product(s, o, out,
                         [&](int64_t channel, const Pixel& in, int64_t c, const Pixel& tap) {
                           sum += static_cast<double>(x[at(p.x, n, channel, in)]) *
                                  static_cast<double>(w[at(p.w, o, c, tap)]);
                         });
        y[at(p.y, n, o, out)] = static_cast<R>(sum);
      });
    }
  }
  return Status();
}

// Both gradients scatter into sums in the workspace, which then round once.
template <class T, class R>
Status run_input_grad(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const ConvRef&>(base);
  const ConvShape& s = p.s;
  const T* dy = static_cast<const T*>(args.in[0]);
  const T* w = static_cast<const T*>(args.in[1]);
  R* dx = static_cast<R*>(args.out[0]);
  double* sums = static_cast<double*>(args.workspace);
  const int64_t channels = s.ic * s.groups;
  for (int64_t i = 0; i < s.n * channels * s.pixels(); ++i) sums[i] = 0;
  const auto slot = [&](int64_t n, int64_t c, const Pixel& in) {
    return (((n * channels + c) * s.d + in.d) * s.h + in.h) * s.w + in.w;
  };
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t o = 0; o < s.oc * s.groups; ++o) {
      for_each_pixel(s.od, s.oh, s.ow, [&](const Pixel& out) {
        const double g = static_cast<double>(dy[at(p.y, n, o, out)]);
        for_each_product(
            s, o, out, [&](int64_t channel, const Pixel& in, int64_t c, const Pixel& tap) {
              sums[slot(n, channel, in)] += g * static_cast<double>(w[at(p.w, o, c, tap)]);
            });
      });
    }
  }
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for_each_pixel(s.d, s.h, s.w, [&](const Pixel& in) {
        dx[at(p.x, n, c, in)] = static_cast<R>(sums[slot(n, c, in)]);
      });
    }
  }
  return Status();
}

template <class T, class R>
Status run_weight_grad(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const ConvRef&>(base);
  const ConvShape& s = p.s;
  const T* dy = static_cast<const T*>(args.in[0]);
  const T* x = static_cast<const T*>(args.in[1]);
  R* dw = static_cast<R*>(args.out[0]);
  double* sums = static_cast<double*>(args.workspace);
  const auto slot = [&](int64_t c, const Pixel& tap) {
    return ((c * s.kd + tap.d) * s.kh + tap.h) * s.kw + tap.w;
  };
  for (int64_t o = 0; o < s.oc * s.groups; ++o) {
    for (int64_t i = 0; i < s.ic * s.taps(); ++i) sums[i] = 0;
    for (int64_t n = 0; n < s.n; ++n) {
      for_each_pixel(s.od, s.oh, s.ow, [&](const Pixel& out) {
        const double g = static_cast<double>(dy[at(p.y, n, o, out)]);
        for_each_product(
            s, o, out, [&](int64_t channel, const Pixel& in, int64_t c, const Pixel& tap) {
              sums[slot(c, tap)] += g * static_cast<double>(x[at(p.x, n, channel, in)]);
            });
      });
    }
    for (int64_t c = 0; c < s.ic; ++c) {
      for_each_pixel(s.kd, s.kh, s.kw, [&](const Pixel& tap) {
        dw[at(p.w, o, c, tap)] = static_cast<R>(sums[slot(c, tap)]);
      });
    }
  }
  return Status();
}

template <class T, class R>
RunFn pick(ConvKind kind) {
  if (kind == ConvKind::kForward) return run_forward<T, R>;
  return kind == ConvKind::kInputGrad ? run_input_grad<T, R> : run_weight_grad<T, R>;
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ConvRef>();
  p->s = conv_shape(call);
  const ConvTensors t = conv_tensors(call);
  const ConvKind kind = conv_kind(call.op);
  p->x = volume_strides(t.x->strides);
  p->w = volume_strides(t.weight->strides);
  p->y = volume_strides(t.y->strides);
  p->bias = kind == ConvKind::kForward && call.has(2);
  if (p->bias) p->bias_step = call.in(2).strides[0];
  if (kind == ConvKind::kInputGrad) {
    p->workspace_bytes = sizeof(double) * static_cast<size_t>(t.x->numel());
  }
  if (kind == ConvKind::kWeightGrad) {
    p->workspace_bytes = sizeof(double) * static_cast<size_t>(p->s.ic * p->s.taps());
  }
  p->run = dispatch_float(call.in(0).dtype, [&](auto in) -> RunFn {
    return dispatch_float(call.out().dtype, [&](auto out) -> RunFn {
      return pick<typename decltype(in)::type, typename decltype(out)::type>(kind);
    });
  });
  *plan = std::move(p);
  return Status();
}

void add_row(const OpDef& op, const char* name) {
  register_kernel(
      {.op = &op, .name = name, .supports = only_real, .prepare = prepare, .reference = true});
}

}  // namespace

void register_conv_ref() {
  add_row(ops::kConv2d, "conv2d_ref");
  add_row(ops::kConv2dInputGrad, "conv2d_input_grad_ref");
  add_row(ops::kConv2dWeightGrad, "conv2d_weight_grad_ref");
  add_row(ops::kConv3d, "conv3d_ref");
  add_row(ops::kConv3dInputGrad, "conv3d_input_grad_ref");
  add_row(ops::kConv3dWeightGrad, "conv3d_weight_grad_ref");
}

}  // namespace rutile::kernels
