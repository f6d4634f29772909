// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/conv.h"

#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {
namespace {

// [a, b, d, h, w] of element i, the last the fastest.
struct Place5 {
  int64_t a, b, p[3];
  RUTILE_FN Place5(int64_t i, int64_t channels, const int64_t (&size)[3]) {
    for (int d = 2; d >= 0; --d) {
      p[d] = i % size[d];
      i /= size[d];
    }
    b = i % channels;
    a = i / channels;
  }
  RUTILE_FN int64_t at(const int64_t (&step)[5]) const {
    return a * step[0] + b * step[1] + p[0] * step[2] + p[1] * step[3] + p[2] * step[4];
  }
};

// Calls f(tap) for each tap of the kernel.
template <class F>
RUTILE_FN void for_taps(const ConvArgs& a, F&& f) {
  int64_t t[3];
  for (t[0] = 0; t[0] < a.kernel[0]; ++t[0]) {
    for (t[1] = 0; t[1] < a.kernel[1]; ++t[1]) {
      for (t[2] = 0; t[2] < a.kernel[2]; ++t[2]) f(t);
    }
  }
}
RUTILE_FN int64_t tap_at(const ConvArgs& a, int64_t o, int64_t c, const int64_t (&t)[3]) {
  return o * a.w[0] + c * a.w[1] + t[0] * a.w[2] + t[1] * a.w[3] + t[2] * a.w[4];
}
// The pixel of x under a tap of the window at `out`; false in the padding.
RUTILE_FN bool pixel_under(const ConvArgs& a, const int64_t (&out)[3], const int64_t (&t)[3],
                           int64_t (&in)[3]) {
  for (int d = 0; d < 3; ++d) {
    in[d] = out[d] * a.stride[d] - a.pad[d] + t[d] * a.dilation[d];
    if (in[d] < 0 || in[d] >= a.in[d]) return false;
  }
  return true;
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) conv(RUTILE_PARAM ConvArgs a) {
  const int64_t i = thread_number();
  const int64_t channels = a.oc * a.groups;
  if (i >= a.n * channels * a.result[0] * a.result[1] * a.result[2]) return;
  const Place5 at(i, channels, a.result);
  C sum = a.biased ? load<C>(a.bias_type, a.bias, at.b * a.bias_step) : C(0);
  const int64_t first = at.b / a.oc * a.ic;
  for_taps(a, [&](const int64_t(&t)[3]) {
    int64_t p[3];
    if (!pixel_under(a, at.p, t, p)) return;
    const int64_t x =
        at.a * a.x[0] + first * a.x[1] + p[0] * a.x[2] + p[1] * a.x[3] + p[2] * a.x[4];
    const int64_t w = tap_at(a, at.b, 0, t);
    for (int64_t c = 0; c < a.ic; ++c) {
      sum += load<C>(a.in_type, a.first, x + c * a.x[1]) *
             load<C>(a.in_type, a.second, w + c * a.w[1]);
    }
  });
  store<C>(a.out_type, a.out, at.at(a.y), sum);
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) conv_input_grad(RUTILE_PARAM ConvArgs a) {
  const int64_t i = thread_number();
  const int64_t channels = a.ic * a.groups;
  if (i >= a.n * channels * a.in[0] * a.in[1] * a.in[2]) return;
  const Place5 at(i, channels, a.in);
  const int64_t first = at.b / a.ic * a.oc, c = at.b % a.ic;
  C sum = 0;
  for_taps(a, [&](const int64_t(&t)[3]) {
    int64_t p[3];
    for (int d = 0; d < 3; ++d) {
      const int64_t from = at.p[d] + a.pad[d] - t[d] * a.dilation[d];
      if (from < 0 || from % a.stride[d] != 0) return;
      p[d] = from / a.stride[d];
      if (p[d] >= a.result[d]) return;
    }
    const int64_t y =
        at.a * a.y[0] + first * a.y[1] + p[0] * a.y[2] + p[1] * a.y[3] + p[2] * a.y[4];
    for (int64_t o = 0; o < a.oc; ++o) {
      sum += load<C>(a.in_type, a.first, y + o * a.y[1]) *
             load<C>(a.in_type, a.second, tap_at(a, first + o, c, t));
    }
  });
  store<C>(a.out_type, a.out, at.at(a.x), sum);
}

// The lanes of a group sum over the images for one element of the weight.
template <class C>
__global__ void __launch_bounds__(kGroupThreads) conv_weight_grad(RUTILE_PARAM ConvArgs a) {
  __shared__ C shared[kGroupThreads];
  const Group g(a.group);
  const int64_t weights = a.oc * a.groups * a.ic * a.kernel[0] * a.kernel[1] * a.kernel[2];
  const bool valid = g.row < weights;
  const Place5 at(valid ? g.row : 0, a.ic, a.kernel);  // [o, c, taps]
  const int64_t channel = at.a / a.oc * a.ic + at.b;
  const int64_t pixels = a.result[0] * a.result[1] * a.result[2];
  C sum = 0;
  for (int64_t i = g.lane; valid && i < a.n * pixels; i += g.lanes) {
    const Place5 out(i, 1, a.result);
    int64_t p[3];
    if (!pixel_under(a, out.p, at.p, p)) continue;
    const int64_t y =
        out.a * a.y[0] + at.a * a.y[1] + out.p[0] * a.y[2] + out.p[1] * a.y[3] + out.p[2] * a.y[4];
    const int64_t x =
        out.a * a.x[0] + channel * a.x[1] + p[0] * a.x[2] + p[1] * a.x[3] + p[2] * a.x[4];
    sum += load<C>(a.in_type, a.first, y) * load<C>(a.in_type, a.second, x);
  }
  sum = g.sum(sum, shared);
  if (valid && g.lane == 0) store<C>(a.out_type, a.out, at.at(a.w), sum);
}

}  // namespace

int launch_conv(const ConvArgs& a, Stream stream) {
  const int64_t n = a.n * a.oc * a.groups * a.result[0] * a.result[1] * a.result[2];
  return launch(a.in_type == DType::kF64 ? conv<double> : conv<float>, cover(n), stream, a);
}
int launch_conv_input_grad(const ConvArgs& a, Stream stream) {
  const int64_t n = a.n * a.ic * a.groups * a.in[0] * a.in[1] * a.in[2];
  return launch(a.in_type == DType::kF64 ? conv_input_grad<double> : conv_input_grad<float>,
                cover(n), stream, a);
}
int launch_conv_weight_grad(const ConvArgs& a, Stream stream) {
  const int64_t n = a.oc * a.groups * a.ic * a.kernel[0] * a.kernel[1] * a.kernel[2];
  return launch_blocks(
      a.in_type == DType::kF64 ? conv_weight_grad<double> : conv_weight_grad<float>,
      group_grid(a.group, n), stream, a);
}

}  // namespace rutile::cuda
