// SPDX-License-Identifier: Apache-2.0
// Convolutions as matrix products: patches of the image are gathered into rows [kh, kw, channels]
// (im2col, tile by tile), and Eigen multiplies. Serves f64, and the other types where oneDNN is
// absent.
#include "rutile/ops/conv.h"

#include <algorithm>
#include <cstring>

#include "rutile/core/thread.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cpu/dnnl_rows.h"
#include "rutile/kernels/cpu/eigen_gemm.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {

namespace {

struct Im2col : Plan {
  ConvShape s;
  Strides x, w, y;
  bool bias = false;
  int64_t bias_step = 0;
  int64_t k = 0;      // columns of a patch row: kh * kw * channels
  int64_t tile = 0;   // rows at a time
  int64_t tiles = 0;  // per image
  int parts = 1;      // threads
};

bool supports(const CallMeta& call, Reason* reason) {
  for (const TensorMeta* m : call.inputs) {
    if (m && m->layout != kStrided) {
      reason->text = "takes strided tensors only";
      return false;
    }
  }
  const DType in = call.in(0).dtype, out = call.out().dtype;
  if (call.out().layout != kStrided ||
      (out != in && !(is_low_precision(in) && out == DType::kF32))) {
    reason->text = "gives strided tensors of its input's type, or f32";
    return false;
  }
  if (conv_shape(call).empty()) {
    reason->text = "an input is empty";
    return false;
  }
  return true;
}

// Rows [first, first + rows) of the patch matrix of image n and group g.
template <class T, class C>
void gather(const Im2col& p, const T* x, int64_t n, int64_t g, int64_t first, int64_t rows,
            C* col) {
  const ConvShape& s = p.s;
  const T* image = x + n * p.x[0] + g * s.ic * p.x[1];
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t i = (first + r) / s.ow, j = (first + r) % s.ow;
    for (int64_t kp = 0; kp < s.kh; ++kp) {
      const int64_t ih = i * s.stride_h - s.pad_h + kp * s.dil_h;
      for (int64_t kq = 0; kq < s.kw; ++kq, col += s.ic) {
        const int64_t iw = j * s.stride_w - s.pad_w + kq * s.dil_w;
        if (ih < 0 || ih >= s.h || iw < 0 || iw >= s.w) {
          std::memset(col, 0, sizeof(C) * s.ic);
          continue;
        }
        const T* from = image + ih * p.x[2] + iw * p.x[3];
        for (int64_t c = 0; c < s.ic; ++c) col[c] = static_cast<C>(from[c * p.x[1]]);
      }
    }
  }
}

// Adds patch rows into an image of sums [h, w, channels].
template <class C>
void scatter_add(const Im2col& p, const C* col, int64_t first, int64_t rows, C* image) {
  const ConvShape& s = p.s;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t i = (first + r) / s.ow, j = (first + r) % s.ow;
    for (int64_t kp = 0; kp < s.kh; ++kp) {
      const int64_t ih = i * s.stride_h - s.pad_h + kp * s.dil_h;
      for (int64_t kq = 0; kq < s.kw; ++kq, col += s.ic) {
        const int64_t iw = j * s.stride_w - s.pad_w + kq * s.dil_w;
        if (ih < 0 || ih >= s.h || iw < 0 || iw >= s.w) continue;
        C* to = image + (ih * s.w + iw) * s.ic;
        for (int64_t c = 0; c < s.ic; ++c) to[c] += col[c];
      }
    }
  }
}

// Rows of y (or dy) of image n and group g as a matrix [rows, oc].
template <class T, class C>
void gather_y(const Im2col& p, const T* y, int64_t n, int64_t g, int64_t first, int64_t rows,
              C* out) {
  const ConvShape& s = p.s;
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = y + n * p.y[0] + g * s.oc * p.y[1] + (first + r) / s.ow * p.y[2] +
                    (first + r) % s.ow * p.y[3];
    for (int64_t o = 0; o < s.oc; ++o) out[r * s.oc + o] = static_cast<C>(from[o * p.y[1]]);
  }
}

// The weight as [groups, oc, kh, kw, channels].
template <class T, class C>
void pack_weight(const Im2col& p, const T* w, C* out) {
  const ConvShape& s = p.s;
  for (int64_t o = 0; o < s.groups * s.oc; ++o) {
    for (int64_t kp = 0; kp < s.kh; ++kp) {
      for (int64_t kq = 0; kq < s.kw; ++kq) {
        for (int64_t c = 0; c < s.ic; ++c) {
          *out++ = static_cast<C>(w[o * p.w[0] + c * p.w[1] + kp * p.w[2] + kq * p.w[3]]);
        }
      }
    }
  }
}

// Calls f(part, item) for this part's share of the items, part by part in parallel.
template <class F>
void in_parts(int parts, int64_t items, F f) {
  parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = items * t / parts; i < items * (t + 1) / parts; ++i) f(t, i);
    }
  });
}

template <class T, class R, class C>
Status run_forward(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const Im2col&>(base);
  const ConvShape& s = p.s;
  const T* x = static_cast<const T*>(args.in[0]);
  const T* bias = p.bias ? static_cast<const T*>(args.in[2]) : nullptr;
  R* y = static_cast<R*>(args.out[0]);
  C* weight = static_cast<C*>(args.workspace);
  C* buffers = weight + s.groups * s.oc * p.k;
  pack_weight(p, static_cast<const T*>(args.in[1]), weight);
  const int64_t buffer = p.tile * (p.k + s.oc);
  in_parts(p.parts, s.n * s.groups * p.tiles, [&](int64_t part, int64_t item) {
    const int64_t first = item % p.tiles * p.tile, g = item / p.tiles % s.groups;
    const int64_t n = item / p.tiles / s.groups, rows = std::min(p.tile, s.oh * s.ow - first);
    C* col = buffers + part * buffer;
    C* out = col + p.tile * p.k;
    gather(p, x, n, g, first, rows, col);
    eigen_gemm<C>(rows, s.oc, p.k, {col, p.k, 1}, {weight + g * s.oc * p.k, 1, p.k}, out, s.oc,
                  false);
    for (int64_t r = 0; r < rows; ++r) {
      R* to = y + n * p.y[0] + g * s.oc * p.y[1] + (first + r) / s.ow * p.y[2] +
              (first + r) % s.ow * p.y[3];
      for (int64_t o = 0; o < s.oc; ++o) {
        const C b = bias ? static_cast<C>(bias[(g * s.oc + o) * p.bias_step]) : C(0);
        to[o * p.y[1]] = static_cast<R>(out[r * s.oc + o] + b);
      }
    }
  });
  return Status();
}

template <class T, class R, class C>
Status run_input_grad(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const Im2col&>(base);
  const ConvShape& s = p.s;
  const T* dy = static_cast<const T*>(args.in[0]);
  R* dx = static_cast<R*>(args.out[0]);
  C* weight = static_cast<C*>(args.workspace);
  C* buffers = weight + s.groups * s.oc * p.k;
  pack_weight(p, static_cast<const T*>(args.in[1]), weight);
  const int64_t image = s.h * s.w * s.ic, buffer = p.tile * (p.k + s.oc) + image;
  in_parts(p.parts, s.n * s.groups, [&](int64_t part, int64_t item) {
    const int64_t g = item % s.groups, n = item / s.groups;
    C* col = buffers + part * buffer;
    C* rows_y = col + p.tile * p.k;
    C* sums = rows_y + p.tile * s.oc;
    std::memset(sums, 0, sizeof(C) * image);
    for (int64_t first = 0; first < s.oh * s.ow; first += p.tile) {
      const int64_t rows = std::min(p.tile, s.oh * s.ow - first);
      gather_y(p, dy, n, g, first, rows, rows_y);
      eigen_gemm<C>(rows, p.k, s.oc, {rows_y, s.oc, 1}, {weight + g * s.oc * p.k, p.k, 1}, col, p.k,
                    false);
      scatter_add(p, col, first, rows, sums);
    }
    for (int64_t h = 0; h < s.h; ++h) {
      for (int64_t w = 0; w < s.w; ++w) {
        R* to = dx + n * p.x[0] + g * s.ic * p.x[1] + h * p.x[2] + w * p.x[3];
        for (int64_t c = 0; c < s.ic; ++c) {
          to[c * p.x[1]] = static_cast<R>(sums[(h * s.w + w) * s.ic + c]);
        }
      }
    }
  });
  return Status();
}

template <class T, class R, class C>
Status run_weight_grad(const Plan& base, const KernelArgs& args) {
  const auto& p = static_cast<const Im2col&>(base);
  const ConvShape& s = p.s;
  const T* dy = static_cast<const T*>(args.in[0]);
  const T* x = static_cast<const T*>(args.in[1]);
  R* dw = static_cast<R*>(args.out[0]);
  const int64_t size = s.groups * s.oc * p.k, buffer = p.tile * (p.k + s.oc) + size;
  C* buffers = static_cast<C*>(args.workspace);
  for (int t = 0; t < p.parts; ++t) std::memset(buffers + t * buffer, 0, sizeof(C) * size);
  in_parts(p.parts, s.n * s.groups * p.tiles, [&](int64_t part, int64_t item) {
    const int64_t first = item % p.tiles * p.tile, g = item / p.tiles % s.groups;
    const int64_t n = item / p.tiles / s.groups, rows = std::min(p.tile, s.oh * s.ow - first);
    C* sums = buffers + part * buffer;
    C* col = sums + size;
    C* rows_y = col + p.tile * p.k;
    gather(p, x, n, g, first, rows, col);
    gather_y(p, dy, n, g, first, rows, rows_y);
    eigen_gemm<C>(s.oc, p.k, rows, {rows_y, 1, s.oc}, {col, p.k, 1}, sums + g * s.oc * p.k, p.k,
                  true);
  });
  for (int64_t o = 0, from = 0; o < s.groups * s.oc; ++o) {
    for (int64_t kp = 0; kp < s.kh; ++kp) {
      for (int64_t kq = 0; kq < s.kw; ++kq) {
        for (int64_t c = 0; c < s.ic; ++c, ++from) {
          C sum = 0;
          for (int t = 0; t < p.parts; ++t) sum += buffers[t * buffer + from];
          dw[o * p.w[0] + c * p.w[1] + kp * p.w[2] + kq * p.w[3]] = static_cast<R>(sum);
        }
      }
    }
  }
  return Status();
}

template <class T, class R, class C>
RunFn pick(const OpDef* op) {
  if (op == &ops::kConv2d) return run_forward<T, R, C>;
  return op == &ops::kConv2dInputGrad ? run_input_grad<T, R, C> : run_weight_grad<T, R, C>;
}

RunFn pick_types(const OpDef* op, DType in, DType out) {
  switch (in) {
    case DType::kF64:
      return pick<double, double, double>(op);
    case DType::kF32:
      return pick<float, float, float>(op);
    case DType::kBF16:
      return out == in ? pick<BFloat16, BFloat16, float>(op) : pick<BFloat16, float, float>(op);
    default:
      return out == in ? pick<Half, Half, float>(op) : pick<Half, float, float>(op);
  }
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<Im2col>();
  p->s = conv_shape(call);
  const ConvShape& s = p->s;
  const ConvTensors t = conv_tensors(call);
  p->x = t.x->strides;
  p->w = t.weight->strides;
  p->y = t.y->strides;
  p->bias = call.op == &ops::kConv2d && call.has(2);
  if (p->bias) p->bias_step = call.in(2).strides[0];
  p->k = s.kh * s.kw * s.ic;
  p->tile = std::clamp<int64_t>(65536 / p->k, 16, s.oh * s.ow < 16 ? 16 : s.oh * s.ow);
  p->tiles = (s.oh * s.ow + p->tile - 1) / p->tile;
  const double products = static_cast<double>(s.n * s.oh * s.ow) * s.groups * s.oc * p->k;
  p->parts = products < 5e5 ? 1 : num_threads();  // below, threads cost more than they bring
  const size_t element = call.in(0).dtype == DType::kF64 ? 8 : 4;
  const int64_t weight = s.groups * s.oc * p->k;
  int64_t buffer = p->tile * (p->k + s.oc);
  if (call.op == &ops::kConv2dInputGrad) buffer += s.h * s.w * s.ic;
  if (call.op == &ops::kConv2dWeightGrad) buffer += weight;
  p->workspace_bytes = element * static_cast<size_t>(weight + p->parts * buffer);
  p->run = pick_types(call.op, call.in(0).dtype, call.out().dtype);
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_conv_cpu() {
#if RUTILE_ONEDNN
  register_conv_gemm_dnnl();
  register_conv_dnnl();
#endif
  if (!eigen_runs()) return;
  for (const OpDef* op : {&ops::kConv2d, &ops::kConv2dInputGrad, &ops::kConv2dWeightGrad}) {
    register_kernel({.op = op, .name = "conv2d_im2col", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
