// SPDX-License-Identifier: Apache-2.0
// dw as a product over all pixels: rows are the weights of a block of input channels and a tap,
// columns output channels, so that results go straight to their place in blocked memory. The pixels
// are packed some at a time; bf16 pairs one image with the next.
#include "rutile/kernels/cpu/conv_weight.h"

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/isa/tile_gemm.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

constexpr int64_t kBlock = 16;
constexpr int64_t kPanelBlocks = 4;        // blocks of output channels at a time
constexpr int64_t kRows = 4;               // rows at a time
constexpr int64_t kDepthAtOnce = 64;       // lanes; a panel of them stays in the first cache
constexpr int64_t kMostOutBlocks = 32;     // packed at a time
constexpr int64_t kMostWeights = 1 << 17;  // added to at a time
constexpr int kVectorsPerBlock = kBlock / kWidth;

// A block of channels of an element pair as lanes; null: zeros.
RUTILE_INLINE void put_block(const float* first, const float*, float* to) {
  store(to, load(first));
}
RUTILE_INLINE void put_block(const BFloat16* first, const BFloat16*, float* to) {
  store(to, load(first));
}
RUTILE_INLINE void put_zeros(float* to) { store(to, V16{}); }
#if defined(__AVX512BF16__)
RUTILE_INLINE __m512i half_of(const BFloat16* p) {
  return _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
RUTILE_INLINE void put_block(const BFloat16* first, const BFloat16* second, uint32_t* to) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                      37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                      11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i order = _mm512_load_si512(kOrder);
  const __m512i other = second ? half_of(second) : _mm512_setzero_si512();
  _mm512_storeu_si512(to, _mm512_permutex2var_epi16(half_of(first), order, other));
}
RUTILE_INLINE void put_zeros(uint32_t* to) { _mm512_storeu_si512(to, _mm512_setzero_si512()); }
#endif

RUTILE_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
RUTILE_INLINE int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// What the pixels of dy meet in an image: pixel (i, j) the element (i * stride + shift).
struct Grid {
  int64_t h, w, stride_h, stride_w, shift_h, shift_w;
};

Grid grid_of(const ConvWeightShape& s, int64_t tap) {
  return {s.h,
          s.w,
          s.stride_h,
          s.stride_w,
          tap / s.kw * s.dil_h - s.pad_h,
          tap % s.kw * s.dil_w - s.pad_w};
}

// The depth consists of the pixels of dy, of C::kDepth images at a time.
template <class C>
int64_t depth_of(const ConvWeightShape& s) {
  return lanes_of<C>(s.n) * s.oh * s.ow;
}

// A block of channels of the depths [begin, end), to[depth - begin][to_step], 0 outside the image.
template <class C, class T>
void pack(const ConvWeightShape& s, const Grid& g, const BlockedImages& m, const T* from,
          int64_t begin, int64_t end, typename C::Lane* to, int64_t to_step) {
  // Pixels of a row that lie inside: lo <= j < hi.
  const int64_t lo = least(s.ow, most(0, (g.stride_w - 1 - g.shift_w) / g.stride_w));
  const int64_t hi = g.w <= g.shift_w
                         ? lo
                         : most(lo, least(s.ow, (g.w - g.shift_w + g.stride_w - 1) / g.stride_w));
  const int64_t step = g.stride_w * m.column;
  int64_t row = begin / s.ow, j = begin % s.ow;
  for (int64_t d = begin; d < end; ++row, j = 0) {
    const int64_t stop = least(s.ow, j + end - d);
    const int64_t image = row / s.oh * C::kDepth, i = row % s.oh * g.stride_h + g.shift_h;
    const bool inside = i >= 0 && i < g.h;
    const int64_t first = inside ? most(j, least(lo, stop)) : stop;
    const int64_t last = inside ? most(first, least(hi, stop)) : stop;
    const T* a = from + image * m.batch + i * m.row + (first * g.stride_w + g.shift_w) * m.column;
    const T* b = C::kDepth == 2 && image + 1 < s.n ? a + m.batch : nullptr;
    d += stop - j;
    for (; j < first; ++j, to += to_step) put_zeros(to);
    for (; j < last; ++j, to += to_step, a += step) {
      put_block(a, b, to);
      if (b) b += step;
    }
    for (; j < stop; ++j, to += to_step) put_zeros(to);
  }
}

// kRows weights by kCount blocks of output channels, the blocks `b_step` and `c_step` apart.
template <class C, int kCount>
void multiply_rows(const typename C::Lane* a, const typename C::Lane* b, int64_t b_step,
                   int64_t depth, float* c, int64_t c_step, bool add) {
  constexpr int kVectorsHere = kCount * kVectorsPerBlock;
  VF sum[kRows][kVectorsHere] = {};
  for (int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int j = 0; j < kVectorsHere; ++j) {
        const auto* right = b + j / kVectorsPerBlock * b_step + j % kVectorsPerBlock * kWidth;
        sum[r][j] = C::multiply_add(a[r], right, sum[r][j]);
      }
    }
    a += kBlock;
    b += kBlock;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectorsHere; ++j) {
      float* to = c + j / kVectorsPerBlock * c_step + r * kBlock + j % kVectorsPerBlock * kWidth;
      store_v(to, add ? load_v(to) + sum[r][j] : sum[r][j]);
    }
  }
}

template <class C>
using MultiplyRows = void (*)(const typename C::Lane*, const typename C::Lane*, int64_t, int64_t,
                              float*, int64_t, bool);

// A tap that no pixel of dy sees, by its row and column.
bool is_unseen(const ConvWeightShape& s, int64_t tap) {
  const auto seen = [](int64_t out, int64_t stride, int64_t shift, int64_t in) {
    for (int64_t o = 0; o < out; ++o) {
      const int64_t i = o * stride + shift;
      if (i >= 0 && i < in) return true;
    }
    return false;
  };
  const Grid g = grid_of(s, tap);
  return !seen(s.oh, g.stride_h, g.shift_h, g.h) || !seen(s.ow, g.stride_w, g.shift_w, g.w);
}

// How dw is cut: groups of output channels whose packed pixels stay in the second cache together
// with the weights that they are added to.
struct Cut {
  int64_t rows;  // blocks of input channels times taps
  int64_t out_groups, row_groups;
  Cut(const ConvWeightShape& s, int64_t workers) : rows(s.in_blocks * s.taps()) {
    out_groups = (s.out_blocks + kMostOutBlocks - 1) / kMostOutBlocks;
    // Every group packs all of x or dy that it needs: the wider side is shared out.
    if (s.out_blocks > rows) {
      while (out_groups < s.out_blocks && out_groups % workers != 0) ++out_groups;
    }
    const int64_t wide = (s.out_blocks + out_groups - 1) / out_groups;
    const int64_t most_rows = most(1, kMostWeights / (wide * kBlock * kBlock));
    row_groups = (rows + most_rows - 1) / most_rows;
    while (row_groups < rows && row_groups * out_groups % workers != 0) ++row_groups;
  }
  int64_t tasks() const { return out_groups * row_groups; }
};

// The lanes of a worker: the columns of a group of output channels and a block of rows.
constexpr int64_t kColumnLanes = kMostOutBlocks * kBlock * kDepthAtOnce;
constexpr int64_t kLanesPerWorker = kColumnLanes + kBlock * kDepthAtOnce;

// The depths [begin, end) where they lie as pack() would put them; null if they do not.
inline const float* in_place(const ConvWeightShape& s, const Grid& g, const BlockedImages& m,
                             const float* from, int64_t begin, int64_t end, float*) {
  const int64_t pixels = s.oh * s.ow, image = begin / pixels;
  const bool same = g.h == s.oh && g.w == s.ow && g.stride_h == 1 && g.stride_w == 1 &&
                    g.shift_h == 0 && g.shift_w == 0;
  if (!same || m.column != kBlock || m.row != s.ow * kBlock || (end - 1) / pixels != image) {
    return nullptr;
  }
  return from + image * m.batch + begin % pixels * kBlock;
}
template <class T, class Lane>
const Lane* in_place(const ConvWeightShape&, const Grid&, const BlockedImages&, const T*, int64_t,
                     int64_t, Lane*) {
  return nullptr;
}

// Blocks of channels that are packed soon, fetched a little at a time.
template <class C, class T>
struct Ahead {
  const ConvWeightShape& s;
  const BlockedImages& m;
  const T* from;
  const T* at[2] = {};
  int64_t lines = 0, done = 0, per_call = 0, block = 0, end = 0, offset = 0, pairs = 0;

  // Blocks [first, last) of the depths from `begin` on, up to the end of their image.
  void aim(const Grid& g, int64_t first, int64_t last, int64_t begin, int64_t calls) {
    const int64_t row = begin / s.ow, image = row / s.oh * C::kDepth;
    lines = done = 0;
    if (image >= s.n) return;
    const int64_t i = most(0, row % s.oh * g.stride_h + g.shift_h);
    const int64_t j = most(0, begin % s.ow * g.stride_w + g.shift_w);
    const int64_t pixels = least(kDepthAtOnce * g.stride_h * g.stride_w, (g.h - i) * g.w - j);
    offset = image * m.batch + i * m.row + j * m.column;
    pairs = C::kDepth == 2 && image + 1 < s.n ? 2 : 1;
    lines = pixels * kBlock * static_cast<int64_t>(sizeof(T)) / 64;
    per_call = (lines * (last - first) + calls - 1) / calls;
    block = first;
    end = last;
    start_block();
  }
  void start_block() {
    at[0] = from + m.block_offset(block) + offset;
    at[1] = at[0] + m.batch;
    done = 0;
  }
  RUTILE_INLINE void fetch() {
    constexpr int64_t kLine = 64 / sizeof(T);
    for (int64_t left = per_call; left > 0 && done < lines; --left) {
      __builtin_prefetch(at[0] + done * kLine, 0, 2);
      if (pairs == 2) __builtin_prefetch(at[1] + done * kLine, 0, 2);
      if (++done == lines && ++block < end) start_block();
    }
  }
};

template <class C, class T>
void multiply_group(const ConvWeightShape& s, const Cut& cut, int64_t task, const T* dy, const T* x,
                    float* dw, typename C::Lane* columns) {
  using Lane = typename C::Lane;
  static constexpr MultiplyRows<C> kTable[kPanelBlocks] = {
      multiply_rows<C, 1>, multiply_rows<C, 2>, multiply_rows<C, 3>, multiply_rows<C, 4>};
  const int64_t og = task / cut.row_groups, rg = task % cut.row_groups;
  const int64_t o0 = s.out_blocks * og / cut.out_groups;
  const int64_t o1 = s.out_blocks * (og + 1) / cut.out_groups;
  const int64_t q0 = cut.rows * rg / cut.row_groups, q1 = cut.rows * (rg + 1) / cut.row_groups;
  const int64_t depth = depth_of<C>(s), c_step = cut.rows * kBlock * kBlock;
  const int64_t calls = (o1 - o0 + kPanelBlocks - 1) / kPanelBlocks * (kBlock / kRows);
  const Grid whole{s.oh, s.ow, 1, 1, 0, 0};
  Lane* rows = columns + kColumnLanes;
  Ahead<C, T> x_ahead{s, s.x, x}, dy_ahead{s, s.dy, dy};
  for (int64_t d = 0; d < depth; d += kDepthAtOnce) {
    const int64_t n = least(depth - d, kDepthAtOnce);
    const Lane* b = in_place(s, whole, s.dy, dy + s.dy.block_offset(o0), d, d + n, rows);
    const int64_t b_step = b ? s.dy.run_step : kDepthAtOnce * kBlock;
    for (int64_t o = o0; !b && o < o1; ++o) {
      pack<C>(s, whole, s.dy, dy + s.dy.block_offset(o), d, d + n, columns + (o - o0) * b_step,
              kBlock);
    }
    if (!b) b = columns;
    dy_ahead.aim(whole, o0, o1, d + kDepthAtOnce, (q1 - q0) * calls);
    for (int64_t q = q0; q < q1; ++q) {
      const int64_t tap = q % s.taps();
      if (q == q0 || tap == 0) {
        const int64_t next = (q / s.taps() + 1) * s.taps();
        const bool last = next >= q1;
        const int64_t block = last ? q0 / s.taps() : next / s.taps();
        x_ahead.aim(grid_of(s, 0), block, block + 1, last ? d + kDepthAtOnce : d,
                    (least(next, q1) - q) * calls);
      }
      float* c = dw + (o0 * cut.rows + q) * kBlock * kBlock;
      if (is_unseen(s, tap)) {
        for (int64_t o = o0; d == 0 && o < o1; ++o) {
          __builtin_memset(c + (o - o0) * c_step, 0, kBlock * kBlock * sizeof(float));
        }
        continue;
      }
      const Grid g = grid_of(s, tap);
      const T* block = x + s.x.block_offset(q / s.taps());
      const Lane* a = in_place(s, g, s.x, block, d, d + n, rows);
      if (!a) pack<C>(s, g, s.x, block, d, d + n, rows, kBlock);
      if (!a) a = rows;
      for (int64_t o = 0; o < o1 - o0; o += kPanelBlocks) {
        const MultiplyRows<C> run = kTable[least(o1 - o0 - o, kPanelBlocks) - 1];
        for (int64_t r = 0; r < kBlock; r += kRows) {
          x_ahead.fetch();
          dy_ahead.fetch();
          run(a + r, b + o * b_step, b_step, n, c + o * c_step + r * kBlock, c_step, d > 0);
        }
      }
    }
  }
}

template <class C, class T>
void run(const ConvWeightShape& s, const void* dy, const void* x, float* dw, void* workspace) {
  const Cut cut(s, s.workers);
  parallel_for(0, s.workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      auto* lanes = static_cast<typename C::Lane*>(workspace) + w * kLanesPerWorker;
      for (int64_t t = w; t < cut.tasks(); t += s.workers) {
        multiply_group<C>(s, cut, t, static_cast<const T*>(dy), static_cast<const T*>(x), dw,
                          lanes);
      }
    }
  });
}

int64_t workspace(const ConvWeightShape& s) { return s.workers * kLanesPerWorker * 4; }

}  // namespace

ConvWeightKernels conv_weight_f32() { return {workspace, run<Singles, float>}; }
#if defined(__AVX512BF16__)
ConvWeightKernels conv_weight_bf16() { return {workspace, run<Pairs, BFloat16>, true}; }
#else
ConvWeightKernels conv_weight_bf16() { return {workspace, run<Singles, BFloat16>}; }
#endif

}  // namespace rutile::kernels::RUTILE_ISA
