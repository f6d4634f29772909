// SPDX-License-Identifier: Apache-2.0
// The weight gradient of a depthwise convolution: for every tap the sum over all pixels of dy times
// the pixel of x that it met. Rows of x are copied with their padding, a band at a time, so that
// the loops know no edges.
#include "rutile/kernels/cpu/conv_depthwise.h"

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/isa/vec16.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

constexpr int64_t kBlock = 16;
constexpr int64_t kBandBytes = 128 << 10;  // of the rows of x at hand
constexpr int kColumns = 7;                // taps of a row at a time
constexpr int kRows = 3;                   // rows of taps at a time
#if defined(__AVX512F__)
constexpr int kSums = 21;
#else
constexpr int kSums = 7;  // of two registers each
#endif

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t rows_needed(const DepthwiseShape& s, int64_t rows) {
  return (rows - 1) * s.stride_h + (s.kh - 1) * s.dil_h + 1;
}

// Rows of dy whose rows of x fit into a band; at least one.
int64_t band_rows(const DepthwiseShape& s) {
  const int64_t row = s.padded_width() * kBlock * static_cast<int64_t>(sizeof(float));
  const int64_t fit = (kBandBytes / row - (s.kh - 1) * s.dil_h - 1) / s.stride_h + 1;
  return most(1, least(fit, s.oh));
}

int64_t floats(const DepthwiseShape& s) {
  return rows_needed(s, band_rows(s)) * s.padded_width() * kBlock;
}

// The padded rows of x that `count` rows of dy from `first` on need.
template <class T>
void copy_band(const DepthwiseShape& s, const T* x, int64_t first, int64_t count, float* to) {
  const int64_t width = s.padded_width();
  for (int64_t r = 0; r < rows_needed(s, count); ++r, to += width * kBlock) {
    const int64_t i = first * s.stride_h - s.pad_h + r;
    const bool inside = i >= 0 && i < s.h;
    const int64_t lo = least(s.pad_w, width);
    const int64_t hi = inside ? most(lo, least(width, s.pad_w + s.w)) : lo;
    for (int64_t j = 0; j < lo; ++j) store(to + j * kBlock, V16{});
    for (int64_t j = lo; j < hi; ++j) {
      store(to + j * kBlock, load(x + i * s.x.row + (j - s.pad_w) * s.x.column));
    }
    for (int64_t j = hi; j < width; ++j) store(to + j * kBlock, V16{});
  }
}

// sums[r][c] += over the pixels of dy, x at the pixel's place and r rows, c columns of taps
// further.
template <int R, int C, class T>
void add_taps(const DepthwiseShape& s, const T* dy, const float* x, int64_t count, float* sums) {
  const int64_t width = s.padded_width() * kBlock;
  const int64_t tap_row = s.dil_h * width, tap = s.dil_w * kBlock, step = s.stride_w * kBlock;
  V16 sum[R][C];
#pragma GCC unroll 3
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 7
    for (int c = 0; c < C; ++c) sum[r][c] = load(sums + (r * s.kw + c) * kBlock);
  }
  for (int64_t i = 0; i < count; ++i, dy += s.dy.row, x += s.stride_h * width) {
    const T* g = dy;
    const float* p = x;
    for (int64_t j = 0; j < s.ow; ++j, g += s.dy.column, p += step) {
      const V16 d = load(g);
#pragma GCC unroll 3
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 7
        for (int c = 0; c < C; ++c) sum[r][c] += d * load(p + r * tap_row + c * tap);
      }
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 7
    for (int c = 0; c < C; ++c) store(sums + (r * s.kw + c) * kBlock, sum[r][c]);
  }
}

template <class T>
using AddTaps = void (*)(const DepthwiseShape&, const T*, const float*, int64_t, float*);

// Rows of taps for a number of columns: as many as there are registers for.
constexpr int rows_for(int columns) {
  return kSums / columns < 1 ? 1 : kSums / columns > kRows ? kRows : kSums / columns;
}

template <int C, class T>
AddTaps<T> pick_rows(int64_t rows) {
  if (rows >= 3 && rows_for(C) >= 3) return add_taps<3, C, T>;
  if (rows >= 2 && rows_for(C) >= 2) return add_taps<2, C, T>;
  return add_taps<1, C, T>;
}

template <class T>
AddTaps<T> pick(int64_t rows, int64_t columns) {
  switch (columns) {
    case 1:
      return pick_rows<1, T>(rows);
    case 2:
      return pick_rows<2, T>(rows);
    case 3:
      return pick_rows<3, T>(rows);
    case 4:
      return pick_rows<4, T>(rows);
    case 5:
      return pick_rows<5, T>(rows);
    case 6:
      return pick_rows<6, T>(rows);
    default:
      return pick_rows<7, T>(rows);
  }
}

template <class T>
void add_image(const DepthwiseShape& s, const T* dy, const T* x, float* sums, float* band) {
  const int64_t rows = band_rows(s), width = s.padded_width() * kBlock;
  for (int64_t first = 0; first < s.oh; first += rows) {
    const int64_t count = least(rows, s.oh - first);
    copy_band(s, x, first, count, band);
    for (int64_t c = 0; c < s.kw; c += kColumns) {
      const int64_t columns = least(kColumns, s.kw - c);
      for (int64_t r = 0; r < s.kh;) {
        const int64_t some = least(s.kh - r, rows_for(static_cast<int>(columns)));
        pick<T>(some, columns)(s, dy + first * s.dy.row,
                               band + r * s.dil_h * width + c * s.dil_w * kBlock, count,
                               sums + (r * s.kw + c) * kBlock);
        r += some;
      }
    }
  }
}

template <class T>
void run(const DepthwiseShape& s, const void* dy, const void* x, float* sums, float* workspace) {
  const int64_t tasks = s.blocks * s.parts, size = s.taps() * kBlock, band = floats(s);
  parallel_for(0, s.workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      for (int64_t t = tasks * w / s.workers; t < tasks * (w + 1) / s.workers; ++t) {
        const int64_t block = t % s.blocks, part = t / s.blocks;
        __builtin_memset(sums + t * size, 0, static_cast<size_t>(size) * sizeof(float));
        for (int64_t n = s.n * part / s.parts; n < s.n * (part + 1) / s.parts; ++n) {
          add_image(s, static_cast<const T*>(dy) + n * s.dy.batch + block * s.dy.block,
                    static_cast<const T*>(x) + n * s.x.batch + block * s.x.block, sums + t * size,
                    workspace + w * band);
        }
      }
    }
  });
}

}  // namespace

DepthwiseKernels depthwise_f32() { return {floats, run<float>}; }
DepthwiseKernels depthwise_bf16() { return {floats, run<BFloat16>}; }

}  // namespace rutile::kernels::RUTILE_ISA
