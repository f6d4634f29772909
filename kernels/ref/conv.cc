// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/conv.h"

#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {

namespace {

struct ConvRef : Plan {
  ConvShape s;
  Strides x, w, y;
  int64_t bias_step = 0;
  bool bias = false;
};

int64_t at(const Strides& s, int64_t a, int64_t b, int64_t c, int64_t d) {
  return a * s[0] + b * s[1] + c * s[2] + d * s[3];
}

// Calls f(n, group, o, c, i, j, p, q, ih, iw) for every product of the convolution.
template <class F>
void for_each_product(const ConvShape& s, int64_t n, int64_t o, int64_t i, int64_t j, F f) {
  for (int64_t p = 0; p < s.kh; ++p) {
    const int64_t ih = i * s.stride_h - s.pad_h + p * s.dil_h;
    if (ih < 0 || ih >= s.h) continue;
    for (int64_t q = 0; q < s.kw; ++q) {
      const int64_t iw = j * s.stride_w - s.pad_w + q * s.dil_w;
      if (iw < 0 || iw >= s.w) continue;
      for (int64_t c = 0; c < s.ic; ++c) f(n, o / s.oc * s.ic + c, ih, iw, c, p, q);
    }
  }
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
      for (int64_t i = 0; i < s.oh; ++i) {
        for (int64_t j = 0; j < s.ow; ++j) {
          double sum = bias ? static_cast<double>(bias[o * p.bias_step]) : 0;
          for_each_product(s, n, o, i, j,
                           [&](int64_t b, int64_t channel, int64_t ih, int64_t iw, int64_t c,
                               int64_t kp, int64_t kq) {
                             sum += static_cast<double>(x[at(p.x, b, channel, ih, iw)]) *
                                    static_cast<double>(w[at(p.w, o, c, kp, kq)]);
                           });
          y[at(p.y, n, o, i, j)] = static_cast<R>(sum);
        }
      }
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
  for (int64_t i = 0; i < s.n * channels * s.h * s.w; ++i) sums[i] = 0;
  const auto slot = [&](int64_t n, int64_t c, int64_t h, int64_t v) {
    return ((n * channels + c) * s.h + h) * s.w + v;
  };
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t o = 0; o < s.oc * s.groups; ++o) {
      for (int64_t i = 0; i < s.oh; ++i) {
        for (int64_t j = 0; j < s.ow; ++j) {
          const double g = static_cast<double>(dy[at(p.y, n, o, i, j)]);
          for_each_product(s, n, o, i, j,
                           [&](int64_t b, int64_t channel, int64_t ih, int64_t iw, int64_t c,
                               int64_t kp, int64_t kq) {
                             sums[slot(b, channel, ih, iw)] +=
                                 g * static_cast<double>(w[at(p.w, o, c, kp, kq)]);
                           });
        }
      }
    }
  }
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t h = 0; h < s.h; ++h) {
        for (int64_t v = 0; v < s.w; ++v) {
          dx[at(p.x, n, c, h, v)] = static_cast<R>(sums[slot(n, c, h, v)]);
        }
      }
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
  const auto slot = [&](int64_t c, int64_t kp, int64_t kq) { return (c * s.kh + kp) * s.kw + kq; };
  for (int64_t o = 0; o < s.oc * s.groups; ++o) {
    for (int64_t i = 0; i < s.ic * s.kh * s.kw; ++i) sums[i] = 0;
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t i = 0; i < s.oh; ++i) {
        for (int64_t j = 0; j < s.ow; ++j) {
          const double g = static_cast<double>(dy[at(p.y, n, o, i, j)]);
          for_each_product(s, n, o, i, j,
                           [&](int64_t b, int64_t channel, int64_t ih, int64_t iw, int64_t c,
                               int64_t kp, int64_t kq) {
                             sums[slot(c, kp, kq)] +=
                                 g * static_cast<double>(x[at(p.x, b, channel, ih, iw)]);
                           });
        }
      }
    }
    for (int64_t c = 0; c < s.ic; ++c) {
      for (int64_t kp = 0; kp < s.kh; ++kp) {
        for (int64_t kq = 0; kq < s.kw; ++kq) {
          dw[at(p.w, o, c, kp, kq)] = static_cast<R>(sums[slot(c, kp, kq)]);
        }
      }
    }
  }
  return Status();
}

template <class T, class R>
RunFn pick(const OpDef* op) {
  if (op == &ops::kConv2d) return run_forward<T, R>;
  return op == &ops::kConv2dInputGrad ? run_input_grad<T, R> : run_weight_grad<T, R>;
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ConvRef>();
  p->s = conv_shape(call);
  const ConvTensors t = conv_tensors(call);
  p->x = t.x->strides;
  p->w = t.weight->strides;
  p->y = t.y->strides;
  p->bias = call.op == &ops::kConv2d && call.has(2);
  if (p->bias) p->bias_step = call.in(2).strides[0];
  if (call.op == &ops::kConv2dInputGrad)
    p->workspace_bytes = sizeof(double) * static_cast<size_t>(t.x->numel());
  if (call.op == &ops::kConv2dWeightGrad) {
    p->workspace_bytes = sizeof(double) * static_cast<size_t>(p->s.ic * p->s.kh * p->s.kw);
  }
  p->run = dispatch_float(call.in(0).dtype, [&call](auto in) -> RunFn {
    return dispatch_float(call.out().dtype, [&call](auto out) -> RunFn {
      return pick<typename decltype(in)::type, typename decltype(out)::type>(call.op);
    });
  });
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_conv_ref() {
  register_kernel(
      {.op = &ops::kConv2d, .name = "conv2d_ref", .prepare = prepare, .reference = true});
  register_kernel({.op = &ops::kConv2dInputGrad,
                   .name = "conv2d_input_grad_ref",
                   .prepare = prepare,
                   .reference = true});
  register_kernel({.op = &ops::kConv2dWeightGrad,
                   .name = "conv2d_weight_grad_ref",
                   .prepare = prepare,
                   .reference = true});
}

}  // namespace rutile::kernels
