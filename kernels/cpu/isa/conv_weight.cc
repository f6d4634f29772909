// SPDX-License-Identifier: Apache-2.0
// dw as a product over all pixels at once: rows are the weights of a block of input channels and a
// tap, columns output channels, so that results go straight to their place in blocked memory.
#include "rutile/kernels/cpu/conv_weight.h"

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/isa/tile_gemm.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

constexpr int64_t kBlock = 16;
constexpr int64_t kColumns = 64;  // output channels of a panel
constexpr int64_t kRows = 4;      // rows at a time
constexpr int64_t kDepthAtOnce = 128;
constexpr int kVectorsPerBlock = kBlock / kWidth;

// A block of channels of two pixels as lanes; null: zeros.
RUTILE_INLINE void put_block(const float* first, const float*, float* to) {
  store(to, first ? load(first) : V16{});
}
#if defined(__AVX512BF16__)
RUTILE_INLINE __m512i block_of(const BFloat16* p) {
  return p ? _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))
           : _mm512_setzero_si512();
}
RUTILE_INLINE void put_block(const BFloat16* first, const BFloat16* second, uint32_t* to) {
  _mm512_storeu_si512(to,
                      _mm512_or_si512(block_of(first), _mm512_slli_epi32(block_of(second), 16)));
}
#endif
RUTILE_INLINE void put_block(const BFloat16* first, const BFloat16*, float* to) {
  store(to, first ? load(first) : V16{});
}

RUTILE_INLINE int64_t block_offset(const BlockedImages& m, int64_t block) {
  const int64_t channel = block * kBlock;
  return channel / m.run * m.run_step + channel % m.run;
}

template <class C>
struct Parts {
  using Lane = typename C::Lane;
  int64_t depth, chunks, panels;
  Lane *rows, *columns;  // [chunk][depth][kBlock], [panel][depth][kColumns]
  Parts(const ConvWeightShape& s, void* workspace)
      : depth(lanes_of<C>(s.pixels())),
        chunks(s.in_blocks * s.taps()),
        panels((s.out_blocks * kBlock + kColumns - 1) / kColumns),
        rows(static_cast<Lane*>(workspace)),
        columns(rows ? rows + chunks * depth * kBlock : nullptr) {}
  int64_t bytes() const {
    return (chunks * kBlock + panels * kColumns) * depth * static_cast<int64_t>(sizeof(Lane));
  }
};

// The element of x behind one tap of pixel `k` of dy, null outside.
template <class T>
const T* tap_of(const ConvWeightShape& s, const T* x, int64_t k, int64_t tap) {
  if (k >= s.pixels()) return nullptr;
  const int64_t image = s.oh * s.ow, oi = k % image / s.ow, oj = k % s.ow;
  const int64_t i = oi * s.stride_h - s.pad_h + tap / s.kw * s.dil_h;
  const int64_t j = oj * s.stride_w - s.pad_w + tap % s.kw * s.dil_w;
  if (i < 0 || i >= s.h || j < 0 || j >= s.w) return nullptr;
  return x + k / image * s.x.batch + i * s.x.row + j * s.x.column;
}

template <class C, class T>
void pack(const ConvWeightShape& s, const T* dy, const T* x, const Parts<C>& p) {
  constexpr int64_t kPerLane = C::kDepth;
  parallel_for(0, p.depth, 8, [&](int64_t begin, int64_t end) {
    for (int64_t d = begin; d < end; ++d) {
      const int64_t k = d * kPerLane;
      const auto pixel = [&](int64_t at) -> const T* {
        if (at >= s.pixels()) return nullptr;
        const int64_t image = s.oh * s.ow;
        return dy + at / image * s.dy.batch + at % image / s.ow * s.dy.row +
               at % s.ow * s.dy.column;
      };
      const T *first = pixel(k), *second = kPerLane == 2 ? pixel(k + 1) : nullptr;
      for (int64_t b = 0; b < s.out_blocks; ++b) {
        const int64_t from = block_offset(s.dy, b), panel = b * kBlock / kColumns;
        put_block(first + from, second ? second + from : nullptr,
                  p.columns + (panel * p.depth + d) * kColumns + b * kBlock % kColumns);
      }
      for (int64_t t = 0; t < s.taps(); ++t) {
        first = tap_of(s, x, k, t);
        second = kPerLane == 2 ? tap_of(s, x, k + 1, t) : nullptr;
        for (int64_t b = 0; b < s.in_blocks; ++b) {
          const int64_t from = block_offset(s.x, b);
          put_block(first ? first + from : nullptr, second ? second + from : nullptr,
                    p.rows + ((b * s.taps() + t) * p.depth + d) * kBlock);
        }
      }
    }
  });
}

// kRows weights by kCount blocks of output channels, the blocks `block_step` apart in dw.
template <class C, int kCount>
void multiply_rows(const typename C::Lane* a, const typename C::Lane* b, int64_t depth, float* c,
                   int64_t block_step, bool add) {
  constexpr int kVectorsHere = kCount * kVectorsPerBlock;
  VF sum[kRows][kVectorsHere] = {};
  for (int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int j = 0; j < kVectorsHere; ++j) {
        sum[r][j] = C::multiply_add(a[r], b + j * kWidth, sum[r][j]);
      }
    }
    a += kBlock;
    b += kColumns;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectorsHere; ++j) {
      float* to =
          c + j / kVectorsPerBlock * block_step + r * kBlock + j % kVectorsPerBlock * kWidth;
      store_v(to, add ? load_v(to) + sum[r][j] : sum[r][j]);
    }
  }
}

template <class C>
using MultiplyRows = void (*)(const typename C::Lane*, const typename C::Lane*, int64_t, float*,
                              int64_t, bool);

// A tap that no pixel of dy sees, by its row and column.
bool is_unseen(const ConvWeightShape& s, int64_t tap) {
  const auto seen = [](int64_t out, int64_t stride, int64_t shift, int64_t in) {
    for (int64_t o = 0; o < out; ++o) {
      const int64_t i = o * stride + shift;
      if (i >= 0 && i < in) return true;
    }
    return false;
  };
  return !seen(s.oh, s.stride_h, tap / s.kw * s.dil_h - s.pad_h, s.h) ||
         !seen(s.ow, s.stride_w, tap % s.kw * s.dil_w - s.pad_w, s.w);
}

template <class C>
void multiply(const ConvWeightShape& s, const Parts<C>& p, int64_t panel, int64_t begin,
              int64_t end, float* dw) {
  static constexpr MultiplyRows<C> kTable[] = {multiply_rows<C, 1>, multiply_rows<C, 2>,
                                               multiply_rows<C, 3>, multiply_rows<C, 4>};
  const int64_t first = panel * (kColumns / kBlock), left = s.out_blocks - first;
  const int64_t blocks = left < kColumns / kBlock ? left : kColumns / kBlock;
  const MultiplyRows<C> run = kTable[blocks - 1];
  const int64_t block_step = p.chunks * kBlock * kBlock;
  for (int64_t d = 0; d < p.depth; d += kDepthAtOnce) {
    const int64_t depth = p.depth - d < kDepthAtOnce ? p.depth - d : kDepthAtOnce;
    const auto* b = p.columns + (panel * p.depth + d) * kColumns;
    for (int64_t q = begin; q < end; ++q) {
      float* c = dw + (first * p.chunks + q) * kBlock * kBlock;
      if (is_unseen(s, q % s.taps())) {
        for (int64_t o = 0; o < blocks; ++o) {
          __builtin_memset(c + o * block_step, 0, kBlock * kBlock * sizeof(float));
        }
        continue;
      }
      const auto* a = p.rows + (q * p.depth + d) * kBlock;
      for (int64_t r = 0; r < kBlock; r += kRows) {
        run(a + r, b, depth, c + r * kBlock, block_step, d > 0);
      }
    }
  }
}

template <class C, class T>
void run(const ConvWeightShape& s, const void* dy, const void* x, float* dw, void* workspace) {
  const Parts<C> p(s, workspace);
  pack<C>(s, static_cast<const T*>(dy), static_cast<const T*>(x), p);
  constexpr int64_t kShares = 4;  // of a panel's work
  parallel_for(0, p.panels * kShares, 1, [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      const int64_t share = u % kShares;
      multiply<C>(s, p, u / kShares, p.chunks * share / kShares, p.chunks * (share + 1) / kShares,
                  dw);
    }
  });
}

template <class C>
int64_t workspace(const ConvWeightShape& s) {
  return Parts<C>(s, nullptr).bytes();
}

}  // namespace

ConvWeightKernels conv_weight_f32() { return {workspace<Singles>, run<Singles, float>}; }
#if defined(__AVX512BF16__)
ConvWeightKernels conv_weight_bf16() { return {workspace<Pairs>, run<Pairs, BFloat16>}; }
#else
ConvWeightKernels conv_weight_bf16() { return {workspace<Singles>, run<Singles, BFloat16>}; }
#endif

}  // namespace rutile::kernels::RUTILE_ISA
