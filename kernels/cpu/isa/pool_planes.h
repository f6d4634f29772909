// SPDX-License-Identifier: Apache-2.0
// Pooling of row-major planes: by columns into a padded line of f32, then along it.
#pragma once

#include "rutile/kernels/cpu/isa/pool_lanes.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

// Every stride-th element from p on.
RUTILE_INLINE V16 load_strided(const float* p, int64_t stride) {
  if (stride == 1) return load(p);
  V16 r;
  if (stride == 2) {
#if defined(__AVX512F__)
    constexpr I16 kEven{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
    return __builtin_shuffle(load(p), load(p + 16), kEven);
#else
    for (int half = 0; half < 2; ++half) {
      const __m256 a = _mm256_loadu_ps(p + 16 * half), b = _mm256_loadu_ps(p + 16 * half + 8);
      const __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88));
      const __m256 sorted = _mm256_castpd_ps(_mm256_permute4x64_pd(even, 0xd8));
      __builtin_memcpy(reinterpret_cast<char*>(&r) + 32 * half, &sorted, 32);
    }
    return r;
#endif
  }
  for (int i = 0; i < 16; ++i) r[i] = p[i * stride];
  return r;
}
RUTILE_INLINE I16 load_strided(const int32_t* p, int64_t stride) {
  return reinterpret_cast<I16>(load_strided(reinterpret_cast<const float*>(p), stride));
}
RUTILE_INLINE I16 load_index(const int32_t* p) { return get_index<16>(p, 16); }

// A line of pool_line(s) floats holds pixel j of a row at [pad + j] and padding around.

// Maximum over the rows of one window row, by column.
template <class T>
void max_columns(const PoolShape& s, const T* plane, int64_t row, float* values, int32_t* at) {
  const PoolWindows& rows = s.rows;
  const int64_t w = s.columns.in, top = row * rows.stride - rows.pad;
  const PoolRange kh = rows.taps[row];
  for (int64_t j = 0; j < w; j += 16) {
    const int64_t n = w - j < 16 ? w - j : 16;
    V16 best = splat(kLowest);
    I16 index = I16{} + kNowhere;
    if (kh.begin < kh.end) {
      const int64_t first = (top + kh.begin * rows.dilation) * w + j;
      best = get<16>(plane + first, n);
      index = Lanes<16>::kIota + static_cast<int32_t>(first);
    }
    for (int64_t i = kh.begin; i < kh.end; ++i) {
      const int64_t pixel = (top + i * rows.dilation) * w + j;
      const V16 v = get<16>(plane + pixel, n);
      const I16 take = (v > best) | (v != v);
      best = take ? v : best;
      index = take ? Lanes<16>::kIota + static_cast<int32_t>(pixel) : index;
    }
    put<16>(values + j, best, n);
    put_index<16>(at + j, index, n);
  }
}

// Columns come left to right, while the first of equal maxima and the last NaN count in row order:
// their positions decide.
template <class T>
void max_along(const PoolWindows& w, const float* values, const int32_t* at, T* y,
               int32_t* indices) {
  for (int64_t column = 0; column < w.out; column += 16) {
    const int64_t n = w.out - column < 16 ? w.out - column : 16;
    V16 best = splat(kLowest);
    I16 index = I16{} + kNowhere;
    for (int64_t k = 0; k < w.kernel; ++k) {
      const int64_t from = column * w.stride + k * w.dilation;
      const V16 v = load_strided(values + from, w.stride);
      const I16 i = load_strided(at + from, w.stride);
      const I16 nan = (v != v) & ((best == best) | (i > index));
      const I16 take = (v > best) | ((v == best) & (i < index)) | nan;
      best = take ? v : best;
      index = take ? i : index;
    }
    index = index == kNowhere ? I16{} - 1 : index;
    put<16>(y + column, best, n);
    put_index<16>(indices + column, index, n);
  }
}

// One row without padding: as many windows as whole vectors take without reading behind `readable`
// elements; how many that are.
template <class T>
int64_t max_row(const PoolWindows& w, const T* x, int64_t readable, int32_t first, T* y,
                int32_t* indices) {
  if constexpr (!__is_same(T, float)) return 0;
  int64_t column = 0;
  const auto step = static_cast<int32_t>(w.stride), tap = static_cast<int32_t>(w.dilation);
  const int64_t reach = (w.kernel - 1) * w.dilation + 16 * w.stride + 16;
  for (; column + 16 <= w.out && column * w.stride + reach <= readable; column += 16) {
    const float* from = reinterpret_cast<const float*>(x) + column * w.stride;
    V16 best = load_strided(from, w.stride);
    I16 at = (Lanes<16>::kIota + static_cast<int32_t>(column)) * step + first, index = at;
    for (int64_t k = 1; k < w.kernel; ++k) {
      const V16 v = load_strided(from + k * w.dilation, w.stride);
      at += tap;
      const I16 take = (v > best) | (v != v);
      best = take ? v : best;
      index = take ? at : index;
    }
    put<16>(reinterpret_cast<float*>(y) + column, best, 16);
    put_index<16>(indices + column, index, 16);
  }
  return column;
}

template <class T>
void max_planes(const PoolShape& s, const T* x, T* y, int32_t* indices, float* line, int64_t begin,
                int64_t end) {
  const int64_t length = pool_line(s), pad = s.columns.pad;
  int32_t* at = reinterpret_cast<int32_t*>(line + length);
  for (int64_t i = 0; i < length; ++i) {
    line[i] = kLowest;
    at[i] = kNowhere;
  }
  const bool alone = s.rows.kernel == 1 && s.rows.pad == 0 && pad == 0;
  const int64_t out = s.columns.out, pixels = s.rows.in * s.columns.in;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / s.rows.out, row = task % s.rows.out;
    const T* plane = x + image * pixels;
    if (alone) {
      const int64_t first = row * s.rows.stride * s.columns.in;
      const int64_t readable = (s.images - image) * pixels - first;
      const int64_t done = max_row(s.columns, plane + first, readable, static_cast<int32_t>(first),
                                   y + task * out, indices + task * out);
      if (done == out) continue;
    }
    max_columns(s, plane, row, line + pad, at + pad);
    max_along(s.columns, line, at, y + task * out, indices + task * out);
  }
}

template <class T>
void max_grad_planes(const PoolShape& s, const T* dy, const int32_t* indices, T* dx, float* sums,
                     int64_t begin, int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t w = columns.in, pixels = rows.in * w, outputs = rows.out * columns.out;
  const double inverse = 1.0 / static_cast<double>(w);
  for (int64_t image = begin; image < end; ++image) {
    for (int64_t i = 0; i < pixels; ++i) sums[i] = 0;
    for (int64_t row = 0; row < rows.out; ++row) {
      const int64_t top = row * rows.stride - rows.pad;
      for (int64_t column = 0; column < columns.out; ++column) {
        const int64_t o = image * outputs + row * columns.out + column;
        const int64_t index = indices[o];
        if (index < 0 || index >= pixels) continue;
        // Exact: the fraction is at least 1/2 away from the next multiple of w.
        const auto i = static_cast<int64_t>((static_cast<double>(index) + 0.5) * inverse);
        const int64_t down = i - top,
                      right = index - i * w - (column * columns.stride - columns.pad);
        const bool inside = down >= 0 && down <= (rows.kernel - 1) * rows.dilation && right >= 0 &&
                            right <= (columns.kernel - 1) * columns.dilation;
        if (inside && (rows.dilation == 1 || down % rows.dilation == 0) &&
            (columns.dilation == 1 || right % columns.dilation == 0)) {
          sums[index] += dy[o];
        }
      }
    }
    T* to = dx + image * pixels;
    int64_t i = 0;
    for (; i + 16 <= pixels; i += 16) store(to + i, load(sums + i));
    if (i < pixels) store_part(to + i, load_part(sums + i, pixels - i), pixels - i);
  }
}

// Windows of different sizes, one by one.
template <class T>
void average_uneven(const PoolShape& s, const float* line, int64_t row, T* y) {
  for (int64_t column = 0; column < s.columns.out; ++column) {
    const PoolRange kw = s.columns.taps[column];
    float sum = 0;
    for (int64_t j = kw.begin; j < kw.end; ++j) sum += line[j];
    y[column] = T(sum * (s.columns.share[column] * s.rows.share[row]));
  }
}

template <class T>
void average_planes(const PoolShape& s, const T* x, T* y, float* line, int64_t begin, int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t w = columns.in, length = pool_line(s);
  for (int64_t i = 0; i < length; ++i) line[i] = 0;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / rows.out, row = task % rows.out;
    const PoolRange kh = rows.taps[row];
    const int64_t top = image * rows.in + row * rows.stride - rows.pad;
    for (int64_t j = 0; j < w; j += 16) {
      const int64_t n = w - j < 16 ? w - j : 16;
      V16 sum{};
      for (int64_t i = kh.begin; i < kh.end; ++i) sum += get<16>(x + (top + i) * w + j, n);
      put<16>(line + columns.pad + j, sum, n);
    }
    if (columns.stride == 0) {
      average_uneven(s, line, row, y + task * columns.out);
      continue;
    }
    for (int64_t column = 0; column < columns.out; column += 16) {
      const int64_t n = columns.out - column < 16 ? columns.out - column : 16;
      V16 sum{};
      for (int64_t k = 0; k < columns.kernel; ++k) {
        sum += load_strided(line + column * columns.stride + k, columns.stride);
      }
      sum *= get<16>(columns.share + column, n) * rows.share[row];
      put<16>(y + task * columns.out + column, sum, n);
    }
  }
}

template <class T>
void average_grad_planes(const PoolShape& s, const T* dy, T* dx, float* line, int64_t begin,
                         int64_t end) {
  const PoolWindows &rows = s.rows, &columns = s.columns;
  const int64_t length = pool_line(s), out = columns.out, stride = columns.stride;
  float* spread = line + length;
  const auto write = [&](int64_t task) {
    for (int64_t j = 0; j < columns.in; j += 16) {
      const int64_t n = columns.in - j < 16 ? columns.in - j : 16;
      put<16>(dx + task * columns.in + j, load(spread + columns.pad + j), n);
    }
  };
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / rows.in, down = task % rows.in;
    const PoolRange oh = rows.covers[down];
    if (task > begin && down > 0 && oh.begin == rows.covers[down - 1].begin &&
        oh.end == rows.covers[down - 1].end) {
      write(task);  // the row above has the same windows
      continue;
    }
    for (int64_t column = 0; column < out; column += 16) {
      const int64_t n = out - column < 16 ? out - column : 16;
      V16 sum{};
      for (int64_t row = oh.begin; row < oh.end; ++row) {
        sum += get<16>(dy + (image * rows.out + row) * out + column, n) * rows.share[row];
      }
      put<16>(line + column, sum * get<16>(columns.share + column, n), n);
    }
    if (stride == 0) {
      for (int64_t j = 0; j < columns.in; ++j) {
        float sum = 0;
        for (int64_t o = columns.covers[j].begin; o < columns.covers[j].end; ++o) sum += line[o];
        spread[columns.pad + j] = sum;
      }
    } else {
      for (int64_t i = 0; i < length; ++i) spread[i] = 0;
      for (int64_t k = 0; k < columns.kernel; ++k) {
        for (int64_t column = 0; column < out; ++column) {
          spread[column * stride + k] += line[column];
        }
      }
    }
    write(task);
  }
}

template <class T>
void global_planes(const PoolShape& s, const T* x, T* y, int64_t begin, int64_t end) {
  constexpr int64_t kRun = 16 * 128;
  const int64_t pixels = s.rows.in * s.columns.in;
  for (int64_t image = begin; image < end; ++image) {
    const T* source = x + image * pixels;
    double total = 0;
    for (int64_t p0 = 0; p0 < pixels; p0 += kRun) {
      const int64_t p1 = p0 + kRun < pixels ? p0 + kRun : pixels;
      V16 sum{};
      for (int64_t p = p0; p < p1; p += 16) sum += get<16>(source + p, p1 - p < 16 ? p1 - p : 16);
      float part = 0;
      for (int i = 0; i < 16; ++i) part += sum[i];
      total += part;
    }
    y[image] = T(static_cast<float>(total / static_cast<double>(pixels)));
  }
}

template <class T>
void global_grad_planes(const PoolShape& s, const T* dy, T* dx, int64_t begin, int64_t end) {
  const int64_t pixels = s.rows.in * s.columns.in;
  for (int64_t image = begin; image < end; ++image) {
    const T v(static_cast<float>(dy[image]) / static_cast<float>(pixels));
    T* to = dx + image * pixels;
    for (int64_t p = 0; p < pixels; ++p) to[p] = v;
  }
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
