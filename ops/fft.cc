// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/fft.h"

#include <algorithm>
#include <cmath>

#include "rutile/core/complex.h"
#include "rutile/ops/arrange.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

// The axis and the points along it, where `own` is what x would have.
Status points(const FftAttrs& a, const TensorMeta& x, int* axis, int64_t* n) {
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), axis));
  if (a.n != -1) *n = a.n;
  if (*n < 1) return value_error(cat("expects at least 1 point, got ", *n));
  return Status();
}

Status made(const TensorMeta& x, int axis, int64_t n, DType dtype, TensorMeta* out) {
  Shape shape = x.shape;
  shape[axis] = n;
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, dtype, x.device);
  return Status();
}

int64_t own_points(const FftAttrs& a, const TensorMeta& x) {
  int axis = 0;
  return normalize_axis(a.axis, x.rank(), &axis).ok() ? x.shape[axis] : 0;
}

Status infer_fft(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<FftAttrs>();
  if (!is_complex(x.dtype) && x.dtype != DType::kF32 && x.dtype != DType::kF64) {
    return type_error(cat("expects complex numbers, f32 or f64, got ", x.dtype));
  }
  int axis = 0;
  int64_t n = own_points(a, x);
  RUTILE_RETURN_IF_ERROR(points(a, x, &axis, &n));
  return made(x, axis, n, complex_dtype(x.dtype), out);
}

Status infer_rfft(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<FftAttrs>();
  if (x.dtype != DType::kF32 && x.dtype != DType::kF64) {
    return type_error(cat("expects f32 or f64, got ", x.dtype));
  }
  int axis = 0;
  int64_t n = own_points(a, x);
  RUTILE_RETURN_IF_ERROR(points(a, x, &axis, &n));
  return made(x, axis, n / 2 + 1, complex_dtype(x.dtype), out);
}

Status infer_irfft(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<FftAttrs>();
  if (!is_complex(x.dtype)) return type_error(cat("expects complex numbers, got ", x.dtype));
  int axis = 0;
  int64_t n = 2 * (own_points(a, x) - 1);
  RUTILE_RETURN_IF_ERROR(points(a, x, &axis, &n));
  return made(x, axis, n, real_dtype(x.dtype), out);
}

int axis_of(GradCtx& c) {
  int axis = 0;
  throw_if_error(normalize_axis(c.attrs<FftAttrs>().axis, c.in_meta(0).rank(), &axis));
  return axis;
}

// The transposed transform divides where the other direction would.
FftNorm dual(FftNorm norm) {
  return norm == FftNorm::kOrtho     ? norm
         : norm == FftNorm::kForward ? FftNorm::kBackward
                                     : FftNorm::kForward;
}

// Cut off or filled with zeros behind, to n points.
Tensor resized(const Tensor& x, int axis, int64_t n) {
  const int64_t had = x.dim(axis);
  Dims starts = Dims::filled(x.rank(), 0), ends = x.shape();
  if (had > n) {
    ends[axis] = n;
    return slice(x, starts, ends);
  }
  Dims after = Dims::filled(x.rank(), 0);
  after[axis] = n - had;
  return had == n ? x : pad(x, starts, after);
}

// x times `factor` at the points that have a conjugate among the n.
Tensor weigh_pairs(const Tensor& x, int axis, int64_t n, double factor) {
  const DType t = real_dtype(x.dtype());
  const Tensor k = arange(0, x.dim(axis), 1, DType::kI64);
  const Tensor paired = logical_and(greater(k, 0), less(k * 2, n));
  Shape shape = Shape::filled(x.rank(), 1);
  shape[axis] = x.dim(axis);
  return x * reshape(where(paired, full(k.shape(), factor, t), 1.0), shape);
}

template <Tensor (*other)(Arg, FftAttrs)>
GradResult grad_fft(GradCtx& c) {
  const auto& a = c.attrs<FftAttrs>();
  const int axis = axis_of(c);
  const Tensor g = other(c.grad(), {-1, axis, dual(a.norm)});
  const Tensor dx = resized(g, axis, c.in_meta(0).shape[axis]);
  return {is_complex(c.in_meta(0).dtype) ? dx : real(dx)};
}
GradResult grad_rfft(GradCtx& c) {
  const auto& a = c.attrs<FftAttrs>();
  const int axis = axis_of(c);
  const int64_t had = c.in_meta(0).shape[axis], n = a.n == -1 ? had : a.n;
  const Tensor half = weigh_pairs(c.grad(), axis, n, 0.5);
  return {resized(irfft(half, {n, axis, dual(a.norm)}), axis, had)};
}
GradResult grad_irfft(GradCtx& c) {
  const auto& a = c.attrs<FftAttrs>();
  const int axis = axis_of(c);
  const int64_t n = c.grad().dim(axis);
  const Tensor twice = weigh_pairs(rfft(c.grad(), {-1, axis, dual(a.norm)}), axis, n, 2);
  return {resized(twice, axis, c.in_meta(0).shape[axis])};
}

// 5 n log2 n for complex points, as is usual; half of it for real ones.
double fft_flops(const CallMeta& c) {
  int axis = 0;
  const TensorMeta &x = c.in(0), &y = c.out();
  const bool real = !is_complex(x.dtype) || !is_complex(y.dtype);
  if (!normalize_axis(c.as<FftAttrs>().axis, x.rank(), &axis).ok() || y.numel() == 0) return 0;
  const double n = static_cast<double>(std::max(x.shape[axis], y.shape[axis]));
  const double lines = elements(y) / static_cast<double>(y.shape[axis]);
  return lines * (real ? 2.5 : 5) * n * std::log2(std::max(n, 2.0));
}

Tensor as_complex(const Tensor& x) { return cast(x, complex_dtype(x.dtype())); }
// f32 and f64 stay real: their transforms cost half.
Tensor as_real(const Tensor& x) {
  return is_complex(x.dtype()) || x.dtype() == DType::kF64 ? x : cast(x, DType::kF32);
}

FftAttrs exchanged(FftAttrs a) {
  a.norm = dual(a.norm);
  return a;
}
FftnAttrs exchanged(FftnAttrs a) {
  a.norm = dual(a.norm);
  return a;
}
FftnAttrs over_two(FftnAttrs a) {
  if (a.axes.empty()) a.axes = {-2, -1};
  return a;
}

// Axes and points of each.
struct Resolved {
  Dims axes, s;
};
Resolved resolve(const char* name, const Tensor& x, const FftnAttrs& a) {
  const auto fail = [&](ErrorCode code, const std::string& text) {
    throw_error(code, cat("[", name, "] ", text, " | x ", x.meta()));
  };
  Resolved r{a.axes, a.s};
  if (!a.s.empty() && !a.axes.empty() && a.s.rank() != a.axes.rank()) {
    fail(ErrorCode::kValue, cat("s ", a.s, " and axes ", a.axes, " differ in number"));
  }
  const int count = !a.axes.empty() ? a.axes.rank() : !a.s.empty() ? a.s.rank() : x.rank();
  if (count > x.rank()) fail(ErrorCode::kValue, cat("has ", count, " axes for ", x.rank()));
  if (r.axes.empty()) {
    for (int i = x.rank() - count; i < x.rank(); ++i) r.axes.push_back(i);
  }
  if (r.s.empty()) r.s = Dims::filled(count, -1);
  uint32_t seen = 0;
  for (int i = 0; i < count; ++i) {
    int axis = 0;
    const Status s = normalize_axis(r.axes[i], x.rank(), &axis);
    if (!s.ok()) fail(s.code(), s.message());
    if (seen >> axis & 1u) fail(ErrorCode::kValue, cat("axis ", axis, " is named twice"));
    seen |= 1u << axis;
    r.axes[i] = axis;
  }
  return r;
}

using Transform = Tensor (*)(Arg, FftAttrs);
// `last` along the last axis, before or behind `others` along the other ones.
Tensor over_axes(const char* name, Arg x, const FftnAttrs& a, Transform last, Transform others,
                 bool last_first) {
  const Resolved r = resolve(name, x.tensor, a);
  Tensor y = x.tensor;
  const int count = r.axes.rank();
  const auto along = [&](int i, Transform f) {
    y = f(Arg(y, x.where), {r.s[i], r.axes[i], a.norm});
  };
  if (count > 0 && last_first) along(count - 1, last);
  for (int i = count - 2; i >= 0; --i) along(i, others);
  if (count > 0 && !last_first) along(count - 1, last);
  return y;
}

Tensor shifted(Arg x, const Dims& axes, bool back) {
  const Tensor& t = x.tensor;
  Dims over = axes, by;
  for (int i = 0; axes.empty() && i < t.rank(); ++i) over.push_back(i);
  for (const int64_t axis : over) {
    int d = 0;
    throw_if_error(normalize_axis(axis, t.rank(), &d));
    by.push_back(back ? -(t.dim(d) / 2) : t.dim(d) / 2);
  }
  return over.empty() ? t : roll(x, by, over);
}

double frequency_step(const char* name, int64_t n, double d) {
  if (n < 1 || d == 0) {
    throw_error(ErrorCode::kValue,
                cat("[", name, "] expects n >= 1 and d other than 0, got ", n, " and ", d));
  }
  return 1.0 / (static_cast<double>(n) * d);
}

}  // namespace

#define RUTILE_FFT(constant, function, prepared, infer_fn, rule, text)    \
  constinit const OpDef constant = define({.name = #function,             \
                                           .inputs = {"x"},               \
                                           .attrs = attrs_of<FftAttrs>(), \
                                           .infer = infer_fn,             \
                                           .flops = fft_flops,            \
                                           .grad = rule,                  \
                                           .doc = text});                 \
  Tensor function(Arg x, FftAttrs attrs) {                                \
    return call1(constant, &attrs, {prepared(x.tensor)}, x.where);        \
  }
RUTILE_FFT(kFft, fft, as_real, infer_fft, grad_fft<ifft>, "Discrete Fourier transform.")
RUTILE_FFT(kIfft, ifft, as_real, infer_fft, grad_fft<fft>, "Inverse Fourier transform.")
RUTILE_FFT(kRfft, rfft, as_real, infer_rfft, grad_rfft,
           "Fourier transform of real numbers, without the conjugate half.")
RUTILE_FFT(kIrfft, irfft, as_complex, infer_irfft, grad_irfft,
           "Inverse Fourier transform to real numbers, of the half that rfft gives.")
#undef RUTILE_FFT

Tensor hfft(Arg x, FftAttrs attrs) {
  return irfft(Arg(conj(as_complex(x.tensor)), x.where), exchanged(attrs));
}
Tensor ihfft(Arg x, FftAttrs attrs) { return conj(rfft(x, exchanged(attrs))); }

Tensor fftn(Arg x, const FftnAttrs& a) { return over_axes("fftn", x, a, fft, fft, true); }
Tensor ifftn(Arg x, const FftnAttrs& a) { return over_axes("ifftn", x, a, ifft, ifft, true); }
Tensor rfftn(Arg x, const FftnAttrs& a) { return over_axes("rfftn", x, a, rfft, fft, true); }
Tensor irfftn(Arg x, const FftnAttrs& a) { return over_axes("irfftn", x, a, irfft, ifft, false); }
Tensor hfftn(Arg x, const FftnAttrs& a) {
  return irfftn(Arg(conj(as_complex(x.tensor)), x.where), exchanged(a));
}
Tensor ihfftn(Arg x, const FftnAttrs& a) { return conj(rfftn(x, exchanged(a))); }
Tensor fft2(Arg x, FftnAttrs a) { return fftn(x, over_two(a)); }
Tensor ifft2(Arg x, FftnAttrs a) { return ifftn(x, over_two(a)); }
Tensor rfft2(Arg x, FftnAttrs a) { return rfftn(x, over_two(a)); }
Tensor irfft2(Arg x, FftnAttrs a) { return irfftn(x, over_two(a)); }
Tensor hfft2(Arg x, FftnAttrs a) { return hfftn(x, over_two(a)); }
Tensor ihfft2(Arg x, FftnAttrs a) { return ihfftn(x, over_two(a)); }

Tensor fftshift(Arg x, const Dims& axes) { return shifted(x, axes, false); }
Tensor ifftshift(Arg x, const Dims& axes) { return shifted(x, axes, true); }

Tensor fftfreq(int64_t n, double d, DType dtype) {
  const double step = frequency_step("fftfreq", n, d);
  const Tensor k = arange(0, n, 1, DType::kI64);
  const Tensor turned = where(less(k, (n + 1) / 2), k, k - n);
  return cast(cast(turned, DType::kF64) * step, dtype);
}
Tensor rfftfreq(int64_t n, double d, DType dtype) {
  const double step = frequency_step("rfftfreq", n, d);
  return cast(cast(arange(0, n / 2 + 1, 1, DType::kI64), DType::kF64) * step, dtype);
}

}  // namespace rutile::ops
