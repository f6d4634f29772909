// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/signal.h"

#include <algorithm>
#include <cmath>

#include "rutile/core/complex.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fft.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/require.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

constexpr int64_t kLongest = int64_t{1} << 40;

template <class A>
int64_t hop_of(const A& a) {
  return a.hop_length > 0 ? a.hop_length : std::max<int64_t>(1, a.n_fft / 4);
}
template <class A>
int64_t window_of(const A& a) {
  return a.win_length > 0 ? a.win_length : a.n_fft;
}
template <class A>
Status check_lengths(const CallMeta& c, const A& a) {
  if (a.n_fft < 1 || a.n_fft > kLongest)
    return value_error(cat("expects n_fft >= 1, got ", a.n_fft));
  if (a.hop_length < 0 || a.hop_length > kLongest) {
    return value_error(cat("expects hop_length >= 1, got ", a.hop_length));
  }
  if (a.win_length < 0 || a.win_length > a.n_fft) {
    return value_error(cat("expects win_length of 1 to n_fft, got ", a.win_length));
  }
  const TensorMeta& x = c.in(0);
  if (!is_differentiable(x.dtype) || is_low_precision(x.dtype)) {
    return type_error(cat("expects f32, f64 or complex numbers, got ", x.dtype));
  }
  if (!c.has(1)) return Status();
  const TensorMeta& w = c.in(1);
  if (!(w.shape == Shape{window_of(a)})) {
    return value_error(cat("window expects shape [", window_of(a), "], got ", w.shape));
  }
  if (w.dtype != real_dtype(x.dtype) && w.dtype != complex_dtype(x.dtype)) {
    return type_error(cat("window expects ", real_dtype(x.dtype), ", got ", w.dtype));
  }
  return Status();
}

Status infer_stft(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<StftAttrs>();
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_lengths(c, a));
  if (x.rank() < 1 || x.rank() > 2) {
    return value_error(cat("expects shape [n] or [b, n], got ", x.shape));
  }
  const bool complex_in = is_complex(x.dtype) || (c.has(1) && is_complex(c.in(1).dtype));
  if (a.onesided && complex_in) {
    return type_error("gives onesided spectra of real numbers only");
  }
  const int64_t around = a.center ? a.n_fft / 2 : 0, n = x.shape.back();
  if (around > 0 && a.pad_mode == PadMode::kReflect && around >= n) {
    return value_error(cat("cannot reflect ", around, " points of a signal of ", n));
  }
  if (around > 0 && a.pad_mode != PadMode::kConstant && around > n) {
    return value_error(cat("cannot put ", around, " points around a signal of ", n));
  }
  if (n + 2 * around < a.n_fft) {
    return value_error(cat("expects at least n_fft = ", a.n_fft, " points, got ", n));
  }
  Shape shape;
  if (x.rank() == 2) shape.push_back(x.dim(0));
  shape.push_back(a.onesided ? a.n_fft / 2 + 1 : a.n_fft);
  shape.push_back(1 + (n + 2 * around - a.n_fft) / hop_of(a));
  Shape pieces = shape;
  pieces[shape.rank() - 2] = a.n_fft;
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(pieces, &numel));
  *out = TensorMeta(shape, complex_dtype(x.dtype), x.device);
  return Status();
}

// The window in the middle of n_fft points, ones for none.
template <class A>
Tensor whole_window(const A& a, const Tensor& window, DType dtype) {
  const int64_t n = window_of(a), before = (a.n_fft - n) / 2;
  const Tensor w = window.defined() ? window : full({n}, 1, dtype);
  return n == a.n_fft ? w : pad(w, {before}, {a.n_fft - n - before});
}
// Where point j of piece t lies in the signal: [pieces, n_fft].
Tensor places(int64_t pieces, int64_t hop, int64_t n_fft) {
  const Tensor start = arange(int64_t{0}, pieces) * Scalar(hop);
  return expand_dims(start, 1) + arange(int64_t{0}, n_fft);
}

TensorList compose_stft(const void* attrs, In in) {
  const auto& a = *static_cast<const StftAttrs*>(attrs);
  const DType part = real_dtype(in[0].dtype());
  const int64_t hop = hop_of(a), around = a.center ? a.n_fft / 2 : 0;
  Tensor x = in[0].rank() == 1 ? expand_dims(in[0], 0) : in[0];
  if (around > 0) x = pad(x, {0, around}, {0, around}, a.pad_mode);
  const int64_t pieces = 1 + (x.dim(1) - a.n_fft) / hop;
  const Tensor cut =
      gather(x, places(pieces, hop, a.n_fft), 1) * whole_window(a, operand(in, 1), part);
  const FftAttrs transform{.norm = a.normalized ? FftNorm::kOrtho : FftNorm::kBackward};
  const Tensor y = swapaxes(a.onesided ? rfft(cut, transform) : fft(cut, transform), -2, -1);
  return {in[0].rank() == 1 ? reshape(y, {y.dim(1), y.dim(2)}) : y};
}
template <int kRank>
double transform_flops(const CallMeta& c) {
  const TensorMeta& y = kRank == 1 ? c.out() : c.in(0);
  const double n = y.rank() < 2 ? 2 : static_cast<double>(y.dim(y.rank() - 2)) + 2;
  return 5 * elements(y) * std::log2(n);
}

Status infer_istft(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<IstftAttrs>();
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_lengths(c, a));
  if (!is_complex(x.dtype)) return type_error(cat("expects complex numbers, got ", x.dtype));
  const int r = x.rank();
  if (r < 2 || r > 3) {
    return value_error(
        cat("expects shape [frequencies, pieces] or [b, frequencies, pieces], got ", x.shape));
  }
  const int64_t frequencies = a.onesided ? a.n_fft / 2 + 1 : a.n_fft, pieces = x.dim(r - 1);
  if (x.dim(r - 2) != frequencies || pieces < 1) {
    return value_error(
        cat("expects ", frequencies, " frequencies of at least one piece, got shape ", x.shape));
  }
  if (a.onesided && a.return_complex)
    return type_error("onesided spectra are those of real numbers");
  if (!a.return_complex && c.has(1) && is_complex(c.in(1).dtype)) {
    return type_error("a complex window gives complex numbers");
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel({pieces, std::max(hop_of(a), a.n_fft)}, &numel));
  if (a.length < -1 || a.length > kLongest) {
    return value_error(cat("expects length >= 0, got ", a.length));
  }
  const int64_t covered = a.n_fft + hop_of(a) * (pieces - 1) - (a.center ? 2 * (a.n_fft / 2) : 0);
  Shape shape;
  if (r == 3) shape.push_back(x.dim(0));
  shape.push_back(a.length >= 0 ? a.length : covered);
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, a.return_complex ? x.dtype : real_dtype(x.dtype), x.device);
  return Status();
}

TensorList compose_istft(const void* attrs, In in) {
  const auto& a = *static_cast<const IstftAttrs*>(attrs);
  const Tensor x = in[0].rank() == 2 ? expand_dims(in[0], 0) : in[0];
  const int64_t hop = hop_of(a), pieces = x.dim(2), batch = x.dim(0);
  const FftAttrs transform{.n = a.n_fft,
                           .norm = a.normalized ? FftNorm::kOrtho : FftNorm::kBackward};
  const Tensor turned = swapaxes(x, -2, -1);
  // A real signal is read from the first half, whatever the second one holds.
  const Tensor half = a.onesided ? turned : slice_axis(turned, -1, 0, a.n_fft / 2 + 1);
  const Tensor cut = a.return_complex ? ifft(turned, transform) : irfft(half, transform);
  const Tensor w = whole_window(a, operand(in, 1), real_dtype(x.dtype()));
  const int64_t whole = a.n_fft + hop * (pieces - 1), from = a.center ? a.n_fft / 2 : 0;
  const int64_t end = a.length >= 0 ? std::min(from + a.length, whole) : whole - from;
  const Tensor at = reshape(places(pieces, hop, a.n_fft), {pieces * a.n_fft});
  const Tensor sums = index_add(reshape(cut * w, {batch, pieces * a.n_fft}), at, 1, whole);
  const Tensor squares = broadcast_to(w * w, {pieces, a.n_fft});
  Tensor weights = index_add(reshape(squares, {pieces * a.n_fft}), at, 0, whole);
  weights = slice_axis(weights, 0, from, end);
  const RequireRangeAttrs some{.min = 1e-11, .what = "the sum of squared windows"};
  if (weights.numel() > 0) {
    // The result is what is used: a check that nobody reads is dropped from a graph.
    if (is_complex(weights.dtype())) {
      const Tensor size = require_range(abs(weights), some);
      weights = size / (conj(weights) / size);
    } else {
      weights = require_range(weights, some);
    }
  }
  Tensor y = slice_axis(sums, 1, from, end) / weights;
  const int64_t lacking = a.length < 0 ? 0 : a.length - y.dim(1);
  if (lacking > 0) y = pad(y, {0, 0}, {0, lacking});
  return {in[0].rank() == 2 ? reshape(y, {y.dim(1)}) : y};
}

}  // namespace

constinit const OpDef kStft =
    define({.name = "stft",
            .inputs = {"x", "window?"},
            .attrs = attrs_of<StftAttrs>(),
            .infer = infer_stft,
            .flops = transform_flops<1>,
            .compose = compose_stft,
            .amp = Amp::kHigh,
            .doc = "Fourier transforms of overlapping pieces of a signal."});
Tensor stft(Arg x, StftAttrs attrs, const Tensor& window) {
  return call1(kStft, &attrs, {x.tensor, window}, x.where);
}

constinit const OpDef kIstft = define({.name = "istft",
                                       .inputs = {"x", "window?"},
                                       .attrs = attrs_of<IstftAttrs>(),
                                       .infer = infer_istft,
                                       .flops = transform_flops<2>,
                                       .compose = compose_istft,
                                       .amp = Amp::kHigh,
                                       .checks_values = true,
                                       .doc = "The signal of the spectra that stft gives."});
Tensor istft(Arg x, IstftAttrs attrs, const Tensor& window) {
  return call1(kIstft, &attrs, {x.tensor, window}, x.where);
}

}  // namespace rutile::ops
