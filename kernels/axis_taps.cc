// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/axis_taps.h"

#include <algorithm>
#include <cmath>

#include "rutile/ops/adaptive_pool.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/interpolate.h"
#include "rutile/ops/pool3d.h"

namespace rutile::kernels {

namespace {

using Mode = InterpolateMode;

// Of one dimension; `factor` is the scale that was asked for, 0 if only the size was.
struct Interpolation {
  int64_t in, out;
  double factor;
  Mode mode;
  bool align_corners, antialias;
};

// Pixels of the input per pixel of the result.
double step_of(const Interpolation& a) {
  if (a.align_corners) {
    return a.out > 1 ? static_cast<double>(a.in - 1) / static_cast<double>(a.out - 1) : 0;
  }
  return a.factor > 0 ? 1 / a.factor : static_cast<double>(a.in) / static_cast<double>(a.out);
}

// The position, in pixels of the input, of the middle of pixel `o`.
double source(const Interpolation& a, double step, int64_t o) {
  return a.align_corners ? step * static_cast<double>(o)
                         : step * (static_cast<double>(o) + 0.5) - 0.5;
}

// In single precision, and by shifting where the size doubles, as PyTorch does it: at the borders
// of pixels another rounding takes another pixel.
int64_t nearest_pixel(const Interpolation& a, int64_t o) {
  const float step = a.factor > 0 ? static_cast<float>(1 / a.factor)
                                  : static_cast<float>(a.in) / static_cast<float>(a.out);
  float at = 0;
  if (a.mode == Mode::kNearestExact) {
    at = static_cast<float>((static_cast<double>(o) + 0.5) * static_cast<double>(step));
  } else if (a.in == a.out) {
    return o;
  } else if (a.out == 2 * a.in) {
    return o / 2;
  } else {
    at = static_cast<float>(o) * step;
  }
  return std::min(static_cast<int64_t>(std::floor(at)), a.in - 1);
}

double linear_kernel(double x) { return std::max(0.0, 1 - std::abs(x)); }

// Keys, "Cubic convolution interpolation for digital image processing", 1981.
double cubic_kernel(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

void add_linear(const Interpolation& a, double at, AxisTaps* t) {
  at = std::max(at, 0.0);
  const int64_t p = std::min(static_cast<int64_t>(at), a.in - 1);
  const double next = p + 1 < a.in ? at - static_cast<double>(p) : 0;
  t->add(p, 1 - next);
  t->add(p + 1, next);
}

void add_cubic(const Interpolation& a, double at, AxisTaps* t) {
  const double whole = std::floor(at);
  for (int k = -1; k <= 2; ++k) {
    const int64_t p = static_cast<int64_t>(whole) + k;
    t->add(std::clamp<int64_t>(p, 0, a.in - 1), cubic_kernel(at - whole - k, -0.75));
  }
}

// The kernel widened to all pixels that one of the result covers, its weights brought to sum 1.
void add_antialiased(const Interpolation& a, double step, int64_t o, AxisTaps* t) {
  const bool cubic = a.mode == Mode::kBicubic;
  const double wide = std::max(step, 1.0), support = (cubic ? 2 : 1) * wide;
  const double middle = step * (static_cast<double>(o) + 0.5);
  const int64_t begin = std::max<int64_t>(static_cast<int64_t>(middle - support + 0.5), 0);
  const int64_t end = std::min(static_cast<int64_t>(middle + support + 0.5), a.in);
  const size_t first = t->weight.size();
  double sum = 0;
  for (int64_t p = begin; p < end; ++p) {
    const double x = (static_cast<double>(p) - middle + 0.5) / wide;
    const double w = cubic ? cubic_kernel(x, -0.5) : linear_kernel(x);
    t->add(p, w);
    sum += w;
  }
  for (size_t i = first; i < t->weight.size() && sum != 0; ++i) t->weight[i] /= sum;
}

void add_mean(int64_t begin, int64_t end, double divisor, AxisTaps* t) {
  for (int64_t p = begin; p < end; ++p) t->add(p, 1 / divisor);
}

// What covers pixel `o` of the result.
void add_covered(int64_t in, int64_t out, int64_t o, AxisTaps* t, bool mean) {
  const int64_t begin = o * in / out, end = ((o + 1) * in + out - 1) / out;
  add_mean(begin, end, mean ? static_cast<double>(end - begin) : 1, t);
}

AxisTaps interpolation(const Interpolation& a) {
  AxisTaps t;
  t.in = a.in;
  t.out = a.out;
  const double step = step_of(a);
  for (int64_t o = 0; o < a.out; ++o) {
    switch (a.mode) {
      case Mode::kNearest:
      case Mode::kNearestExact:
        t.add(nearest_pixel(a, o), 1);
        break;
      case Mode::kArea:
        add_covered(a.in, a.out, o, &t, true);
        break;
      default:
        if (a.antialias) {
          add_antialiased(a, step, o, &t);
        } else if (a.mode == Mode::kBicubic) {
          add_cubic(a, source(a, step, o), &t);
        } else if (a.in == a.out) {
          t.add(o, 1);
        } else {
          add_linear(a, source(a, step, o), &t);
        }
    }
    t.close();
  }
  return t;
}

template <class A>
std::vector<AxisTaps> interpolations(const A& a, const Dims& in, const Dims& out) {
  std::vector<AxisTaps> axes;
  const double factor = a.recompute_scale_factor ? 0 : a.scale_factor;
  for (int i = 0; i < in.rank(); ++i) {
    axes.push_back(interpolation({in[i], out[i], factor, a.mode, a.align_corners, a.antialias}));
  }
  return axes;
}

template <class A>
std::vector<AxisTaps> averages(const A& a, const Dims& in, const Dims& out) {
  const Dims kernel = ops::entries(a.kernel), pads = ops::entries(a.pad);
  Dims strides = ops::entries(a.stride);
  std::vector<AxisTaps> axes;
  for (int i = 0; i < in.rank(); ++i) {
    const int64_t stride = strides[i] ? strides[i] : kernel[i];
    AxisTaps t;
    t.in = in[i];
    t.out = out[i];
    for (int64_t o = 0; o < out[i]; ++o) {
      const int64_t start = o * stride - pads[i];
      const int64_t stop = std::min(start + kernel[i], in[i] + pads[i]);
      const int64_t begin = std::max<int64_t>(start, 0), end = std::min(stop, in[i]);
      const int64_t size = a.count_include_pad ? stop - start : end - begin;
      // The divisor of a window is the product of those of its dimensions.
      const int64_t divisor = a.divisor_override == 0 ? size : i == 0 ? a.divisor_override : 1;
      add_mean(begin, end, static_cast<double>(divisor), &t);
      t.close();
    }
    axes.push_back(std::move(t));
  }
  return axes;
}

}  // namespace

bool AxisTaps::is_identity() const {
  if (in != out || static_cast<int64_t>(pixel.size()) != out) return false;
  for (int64_t i = 0; i < out; ++i) {
    const auto k = static_cast<size_t>(i);
    if (first[k] != i || pixel[k] != i || weight[k] != 1) return false;
  }
  return true;
}

AxisTaps transposed(const AxisTaps& t) {
  AxisTaps r;
  r.in = t.out;
  r.out = t.in;
  r.first.assign(static_cast<size_t>(r.out) + 1, 0);
  for (const int32_t p : t.pixel) ++r.first[static_cast<size_t>(p) + 1];
  for (size_t i = 1; i < r.first.size(); ++i) r.first[i] += r.first[i - 1];
  r.pixel.resize(t.pixel.size());
  r.weight.resize(t.weight.size());
  std::vector<int64_t> next = r.first;
  for (int64_t o = 0; o < t.out; ++o) {
    for (int64_t k = t.first[static_cast<size_t>(o)]; k < t.first[static_cast<size_t>(o) + 1];
         ++k) {
      const auto from = static_cast<size_t>(k);
      const auto to = static_cast<size_t>(next[static_cast<size_t>(t.pixel[from])]++);
      r.pixel[to] = static_cast<int32_t>(o);
      r.weight[to] = t.weight[from];
    }
  }
  return r;
}

int resampled_dims(const CallMeta& call) {
  const bool pool = call.op == &ops::kAvgPool3d || call.op == &ops::kAvgPool3dGrad;
  return pool ? 3 : call.in(0).rank() - 2;
}

std::vector<AxisTaps> axis_taps(const CallMeta& call) {
  const bool backward = call.op == &ops::kInterpolateGrad || call.op == &ops::kAvgPool3dGrad;
  const int spatial = resampled_dims(call);
  Dims in = ops::spatial_size(call.in(0), spatial), out = ops::spatial_size(call.out(), spatial);
  if (backward) std::swap(in, out);
  std::vector<AxisTaps> axes;
  if (call.op == &ops::kInterpolate) {
    axes = interpolations(call.as<ops::InterpolateAttrs>(), in, out);
  } else if (call.op == &ops::kInterpolateGrad) {
    axes = interpolations(call.as<ops::InterpolateGradAttrs>(), in, out);
  } else if (call.op == &ops::kAvgPool3d) {
    axes = averages(call.as<ops::AvgPool3dAttrs>(), in, out);
  } else {
    axes = averages(call.as<ops::AvgPool3dGradAttrs>(), in, out);
  }
  if (backward) {
    for (AxisTaps& t : axes) t = transposed(t);
  }
  return axes;
}

int window_dims(const OpDef* op) {
  return op == &ops::kAdaptiveMaxPool1d ? 1 : op == &ops::kAdaptiveMaxPool2d ? 2 : 3;
}

std::vector<AxisTaps> window_taps(const CallMeta& call) {
  const bool adaptive = call.op != &ops::kMaxPool3d;
  const int spatial = window_dims(call.op);
  const Dims in = ops::spatial_size(call.in(0), spatial);
  const Dims out = ops::spatial_size(call.out(), spatial);
  std::vector<AxisTaps> axes;
  for (int i = 0; i < spatial; ++i) {
    AxisTaps t;
    t.in = in[i];
    t.out = out[i];
    for (int64_t o = 0; o < out[i]; ++o) {
      if (adaptive) {
        add_covered(in[i], out[i], o, &t, false);
      } else {
        const auto& a = call.as<ops::MaxPool3dAttrs>();
        const int64_t kernel = ops::entries(a.kernel)[i], stride = ops::entries(a.stride)[i];
        const int64_t dilation = ops::entries(a.dilation)[i];
        const int64_t start = o * (stride ? stride : kernel) - ops::entries(a.pad)[i];
        // From the first tap that is not before the image.
        for (int64_t k = start < 0 ? (-start + dilation - 1) / dilation : 0; k < kernel; ++k) {
          const int64_t p = start + k * dilation;
          if (p >= in[i]) break;
          t.add(p, 1);
        }
      }
      t.close();
    }
    axes.push_back(std::move(t));
  }
  return axes;
}

}  // namespace rutile::kernels
