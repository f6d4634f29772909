// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/fft.h"

#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {
namespace {

constexpr int kThreads = 256;

template <class C>
struct Pair {
  C re, im;
};

// Point j of the line, zero behind what is given.
template <class C>
RUTILE_FN Pair<C> point(const FftArgs& a, int64_t base, int64_t j) {
  if (a.in == FftSide::kReal) {
    if (j >= a.given) return {0, 0};
    return {static_cast<const C*>(a.x)[base + j * a.in_step], 0};
  }
  const Pair<C>* const x = static_cast<const Pair<C>*>(a.x);
  if (a.in == FftSide::kComplex) return j < a.given ? x[base + j * a.in_step] : Pair<C>{0, 0};
  // Of the second half the conjugates are given; what is its own conjugate has no imaginary part.
  const bool turned = j > a.n / 2;
  const int64_t from = turned ? a.n - j : j;
  if (from >= a.given) return {0, 0};
  Pair<C> v = x[base + from * a.in_step];
  if (from == 0 || 2 * from == a.n) v.im = 0;
  if (turned) v.im = -v.im;
  return v;
}

// Each step takes points that lie n / r apart and leaves what they make together.
template <class C>
__global__ void __launch_bounds__(kThreads) fft(RUTILE_PARAM FftArgs a) {
  const int64_t line = blockIdx.x;
  int64_t at[2];
  a.line_at.find(line, at);
  Pair<C>* from = static_cast<Pair<C>*>(a.workspace) + 2 * a.n * line;
  Pair<C>* to = from + a.n;
  for (int64_t j = threadIdx.x; j < a.n; j += kThreads) from[j] = point<C>(a, at[0], j);
  __syncthreads();
  int64_t done = 1;
  for (int f = 0; f < a.factors; ++f) {
    const int64_t r = a.factor[f], apart = a.n / r, step = a.n / (done * r);
    for (int64_t i = threadIdx.x; i < a.n; i += kThreads) {
      const int64_t j = i % apart, p = i / apart, k = j % done;
      // exp(-2 pi i (k / (done r) + p / r)), in steps of 1 / n
      const int64_t turn = (k * step + p * apart) % a.n;
      C re = 0, im = 0;
      int64_t angle = 0;
      for (int64_t q = 0; q < r; ++q) {
        const Pair<C> v = from[j + q * apart];
        const C c = static_cast<C>(a.turns[2 * angle]), s = static_cast<C>(a.turns[2 * angle + 1]);
        re += v.re * c - v.im * s;
        im += v.re * s + v.im * c;
        angle += turn;
        if (angle >= a.n) angle -= a.n;
      }
      to[j / done * done * r + k + p * done] = {re, im};
    }
    __syncthreads();
    Pair<C>* const kept = from;
    from = to;
    to = kept;
    done *= r;
  }
  const C scale = static_cast<C>(a.scale);
  for (int64_t k = threadIdx.x; k < a.results; k += kThreads) {
    const Pair<C> v = from[k];
    if (a.out == FftSide::kReal) {
      static_cast<C*>(a.y)[at[1] + k * a.out_step] = v.re * scale;
    } else {
      static_cast<Pair<C>*>(a.y)[at[1] + k * a.out_step] = {v.re * scale, v.im * scale};
    }
  }
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) pack(RUTILE_PARAM FftPoints p) {
  const FftArgs& a = p.lines;
  const int64_t e = thread_number(), width = a.in == FftSide::kHalf ? a.n / 2 + 1 : a.n;
  if (e >= a.lines * width) return;
  int64_t at[2];
  a.line_at.find(e / width, at);
  const Pair<C> v = point<C>(a, at[0], e % width);
  if (a.in == FftSide::kReal) {
    static_cast<C*>(p.points)[e] = v.re;
  } else {
    static_cast<Pair<C>*>(p.points)[e] = v;
  }
}

template <class C>
__global__ void __launch_bounds__(kCoverThreads) unpack(RUTILE_PARAM FftPoints p) {
  const FftArgs& a = p.lines;
  const int64_t e = thread_number();
  if (e >= a.lines * a.results) return;
  const int64_t line = e / a.results, k = e % a.results, width = p.halves ? a.n / 2 + 1 : a.n;
  int64_t at[2];
  a.line_at.find(line, at);
  const C scale = static_cast<C>(a.scale);
  if (a.out == FftSide::kReal) {
    const C v = static_cast<const C*>(p.points)[line * width + k];
    static_cast<C*>(a.y)[at[1] + k * a.out_step] = v * scale;
    return;
  }
  const bool other = k >= width;
  Pair<C> v = static_cast<const Pair<C>*>(p.points)[line * width + (other ? a.n - k : k)];
  if (other != p.conjugate) v.im = -v.im;
  static_cast<Pair<C>*>(a.y)[at[1] + k * a.out_step] = {v.re * scale, v.im * scale};
}

}  // namespace

int launch_fft_pack(const FftPoints& p, Stream stream) {
  const FftArgs& a = p.lines;
  const Grid grid = cover(a.lines * (a.in == FftSide::kHalf ? a.n / 2 + 1 : a.n));
  return a.wide ? launch(pack<double>, grid, stream, p) : launch(pack<float>, grid, stream, p);
}
int launch_fft_unpack(const FftPoints& p, Stream stream) {
  const Grid grid = cover(p.lines.lines * p.lines.results);
  return p.lines.wide ? launch(unpack<double>, grid, stream, p)
                      : launch(unpack<float>, grid, stream, p);
}

int launch_fft(const FftArgs& a, Stream stream) {
  const Grid grid{.x = a.lines, .threads = kThreads};
  return a.wide ? launch_blocks(fft<double>, grid, stream, a)
                : launch_blocks(fft<float>, grid, stream, a);
}

}  // namespace rutile::cuda
