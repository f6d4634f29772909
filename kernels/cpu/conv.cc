// SPDX-License-Identifier: Apache-2.0
// Convolutions as matrix products: patches of the image are gathered into rows [taps, channels]
// (im2col, tile by tile), and Eigen multiplies. Serves f64, and the other types where oneDNN is
// absent.
#include "rutile/ops/conv.h"

#include <algorithm>
#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cpu/dnnl_rows.h"
#include "rutile/kernels/cpu/eigen_gemm.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/conv3d.h"

namespace rutile::kernels {

namespace {

constexpr double kProductsPerNs = 10;

struct Im2col : Plan {
  ConvShape s;
  Strides x, w, y;
  bool bias = false;
  int64_t bias_step = 0;
  int64_t k = 0;      // columns of a patch row: taps * channels
  int64_t tile = 0;   // rows at a time
  int64_t tiles = 0;  // per image
  int parts = 1;      // threads
};

bool supports(const CallMeta& call, Reason* reason) {
  for (const TensorMeta* m : call.inputs) {
    if (m && m->layout != kStrided) return refuse(reason, "takes strided tensors only");
  }
  const DType in = call.in(0).dtype, out = call.out().dtype;
  if (!is_floating(in)) return refuse(reason, "takes real numbers only");
  if (call.out().layout != kStrided ||
      (out != in && !(is_low_precision(in) && out == DType::kF32))) {
    return refuse(reason, "gives strided tensors of its input's type, or f32");
  }
  if (conv_shape(call).empty()) return refuse(reason, "an input is empty");
  return true;
}

// Pixel `i` of the result, counted in row-major order, as an offset by the strides `y`.
int64_t out_offset(const ConvShape& s, const Strides& y, int64_t i) {
  return i / s.ow / s.oh * y[2] + i / s.ow % s.oh * y[3] + i % s.ow * y[4];
}

// Calls f(offset of the pixel in an image of strides `x`) for every tap that makes pixel `i` of the
// result, with -1 where the tap meets padding.
template <class F>
void for_each_tap(const ConvShape& s, const Strides& x, int64_t i, F f) {
  const int64_t d = i / s.ow / s.oh * s.stride_d - s.pad_d;
  const int64_t h = i / s.ow % s.oh * s.stride_h - s.pad_h;
  const int64_t w = i % s.ow * s.stride_w - s.pad_w;
  for (int64_t kd = 0; kd < s.kd; ++kd) {
    const int64_t id = d + kd * s.dil_d;
    for (int64_t kh = 0; kh < s.kh; ++kh) {
      const int64_t ih = h + kh * s.dil_h;
      const bool row = id >= 0 && id < s.d && ih >= 0 && ih < s.h;
      for (int64_t kw = 0; kw < s.kw; ++kw) {
        const int64_t iw = w + kw * s.dil_w;
        f(row && iw >= 0 && iw < s.w ? id * x[2] + ih * x[3] + iw * x[4] : -1);
      }
    }
  }
}

// Rows [first, first + rows) of the patch matrix of image n and group g.
template <class T, class C>
void gather(const Im2col& p, const T* x, int64_t n, int64_t g, int64_t first, int64_t rows,
            C* col) {
  const ConvShape& s = p.s;
  const T* image = x + n * p.x[0] + g * s.ic * p.x[1];
  for (int64_t r = 0; r < rows; ++r) {
    for_each_tap(s, p.x, first + r, [&](int64_t offset) {
      if (offset < 0) {
        std::memset(col, 0, sizeof(C) * s.ic);
      } else {
        for (int64_t c = 0; c < s.ic; ++c) col[c] = static_cast<C>(image[offset + c * p.x[1]]);
      }
      col += s.ic;
    });
  }
}

// Adds patch rows into an image of sums [d, h, w, channels].
template <class C>
void scatter_add(const Im2col& p, const C* col, int64_t first, int64_t rows, C* image) {
  const ConvShape& s = p.s;
  const Strides sums{0, 1, s.h * s.w * s.ic, s.w * s.ic, s.ic};
  for (int64_t r = 0; r < rows; ++r) {
    for_each_tap(s, sums, first + r, [&](int64_t offset) {
      for (int64_t c = 0; offset >= 0 && c < s.ic; ++c) image[offset + c] += col[c];
      col += s.ic;
    });
  }
}

// Rows of y (or dy) of image n and group g as a matrix [rows, oc].
template <class T, class C>
void gather_y(const Im2col& p, const T* y, int64_t n, int64_t g, int64_t first, int64_t rows,
              C* out) {
  const ConvShape& s = p.s;
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = y + n * p.y[0] + g * s.oc * p.y[1] + out_offset(s, p.y, first + r);
    for (int64_t o = 0; o < s.oc; ++o) out[r * s.oc + o] = static_cast<C>(from[o * p.y[1]]);
  }
}

// Calls f(offset) for every element of the weight, as [groups, oc, taps, channels].
template <class F>
void for_each_weight(const Im2col& p, F f) {
  const ConvShape& s = p.s;
  for (int64_t o = 0; o < s.groups * s.oc; ++o) {
    for (int64_t tap = 0; tap < s.taps(); ++tap) {
      const int64_t offset = o * p.w[0] + tap / s.kw / s.kh * p.w[2] + tap / s.kw % s.kh * p.w[3] +
                             tap % s.kw * p.w[4];
      for (int64_t c = 0; c < s.ic; ++c) f(offset + c * p.w[1]);
    }
  }
}

template <class T, class C>
void pack_weight(const Im2col& p, const T* w, C* out) {
  for_each_weight(p, [&](int64_t offset) { *out++ = static_cast<C>(w[offset]); });
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
    const int64_t n = item / p.tiles / s.groups, rows = std::min(p.tile, s.out_pixels() - first);
    C* col = buffers + part * buffer;
    C* out = col + p.tile * p.k;
    gather(p, x, n, g, first, rows, col);
    eigen_gemm<C>(rows, s.oc, p.k, {col, p.k, 1}, {weight + g * s.oc * p.k, 1, p.k}, out, s.oc,
                  false);
    for (int64_t r = 0; r < rows; ++r) {
      R* to = y + n * p.y[0] + g * s.oc * p.y[1] + out_offset(s, p.y, first + r);
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
  const int64_t image = s.pixels() * s.ic, buffer = p.tile * (p.k + s.oc) + image;
  in_parts(p.parts, s.n * s.groups, [&](int64_t part, int64_t item) {
    const int64_t g = item % s.groups, n = item / s.groups;
    C* col = buffers + part * buffer;
    C* rows_y = col + p.tile * p.k;
    C* sums = rows_y + p.tile * s.oc;
    std::memset(sums, 0, sizeof(C) * image);
    for (int64_t first = 0; first < s.out_pixels(); first += p.tile) {
      const int64_t rows = std::min(p.tile, s.out_pixels() - first);
      gather_y(p, dy, n, g, first, rows, rows_y);
      eigen_gemm<C>(rows, p.k, s.oc, {rows_y, s.oc, 1}, {weight + g * s.oc * p.k, p.k, 1}, col, p.k,
                    false);
      scatter_add(p, col, first, rows, sums);
    }
    for (int64_t i = 0; i < s.pixels(); ++i) {
      R* to = dx + n * p.x[0] + g * s.ic * p.x[1] + i / s.w / s.h * p.x[2] +
              i / s.w % s.h * p.x[3] + i % s.w * p.x[4];
      for (int64_t c = 0; c < s.ic; ++c) to[c * p.x[1]] = static_cast<R>(sums[i * s.ic + c]);
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
    const int64_t n = item / p.tiles / s.groups, rows = std::min(p.tile, s.out_pixels() - first);
    C* sums = buffers + part * buffer;
    C* col = sums + size;
    C* rows_y = col + p.tile * p.k;
    gather(p, x, n, g, first, rows, col);
    gather_y(p, dy, n, g, first, rows, rows_y);
    eigen_gemm<C>(s.oc, p.k, rows, {rows_y, 1, s.oc}, {col, p.k, 1}, sums + g * s.oc * p.k, p.k,
                  true);
  });
  int64_t from = 0;
  for_each_weight(p, [&](int64_t offset) {
    C sum = 0;
    for (int t = 0; t < p.parts; ++t) sum += buffers[t * buffer + from];
    dw[offset] = static_cast<R>(sum);
    ++from;
  });
  return Status();
}

template <class T, class R, class C>
RunFn pick(ConvKind kind) {
  if (kind == ConvKind::kForward) return run_forward<T, R, C>;
  return kind == ConvKind::kInputGrad ? run_input_grad<T, R, C> : run_weight_grad<T, R, C>;
}

RunFn pick_types(ConvKind kind, DType in, DType out) {
  switch (in) {
    case DType::kF64:
      return pick<double, double, double>(kind);
    case DType::kF32:
      return pick<float, float, float>(kind);
    case DType::kBF16:
      return out == in ? pick<BFloat16, BFloat16, float>(kind) : pick<BFloat16, float, float>(kind);
    default:
      return out == in ? pick<Half, Half, float>(kind) : pick<Half, float, float>(kind);
  }
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<Im2col>();
  p->s = conv_shape(call);
  const ConvShape& s = p->s;
  const ConvTensors t = conv_tensors(call);
  const ConvKind kind = conv_kind(call.op);
  p->x = volume_strides(t.x->strides);
  p->w = volume_strides(t.weight->strides);
  p->y = volume_strides(t.y->strides);
  p->bias = kind == ConvKind::kForward && call.has(2);
  if (p->bias) p->bias_step = call.in(2).strides[0];
  p->k = s.taps() * s.ic;
  p->tile = std::clamp<int64_t>(65536 / p->k, 16, std::max<int64_t>(16, s.out_pixels()));
  p->tiles = (s.out_pixels() + p->tile - 1) / p->tile;
  const double products = static_cast<double>(s.n * s.out_pixels()) * s.groups * s.oc * p->k;
  p->parts = threads_for(products / kProductsPerNs);
  const size_t element = call.in(0).dtype == DType::kF64 ? 8 : 4;
  const int64_t weight = s.groups * s.oc * p->k;
  int64_t buffer = p->tile * (p->k + s.oc);
  if (kind == ConvKind::kInputGrad) buffer += s.pixels() * s.ic;
  if (kind == ConvKind::kWeightGrad) buffer += weight;
  p->workspace_bytes = element * static_cast<size_t>(weight + p->parts * buffer);
  p->run = pick_types(kind, call.in(0).dtype, call.out().dtype);
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
  for (const OpDef* op : {&ops::kConv3d, &ops::kConv3dInputGrad, &ops::kConv3dWeightGrad}) {
    register_kernel({.op = op, .name = "conv3d_im2col", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
