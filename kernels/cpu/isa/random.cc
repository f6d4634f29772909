// SPDX-License-Identifier: Apache-2.0
// Philox on a vector of counters. The four words of a counter come out in four vectors; counters
// are dealt to lanes so that two unpackings put elements in their order.
#include "rutile/kernels/cpu/random.h"

#include "rutile/kernels/cpu/isa/vec_math.h"
#include "rutile/kernels/random_math.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
using Words = __m512i;
RUTILE_INLINE Words all(uint32_t v) { return _mm512_set1_epi32(static_cast<int32_t>(v)); }
RUTILE_INLINE Words plus(Words a, Words b) { return _mm512_add_epi32(a, b); }
RUTILE_INLINE Words differ(Words a, Words b, Words c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}
RUTILE_INLINE void multiply(Words a, Words m, Words* high, Words* low) {
  const Words even = _mm512_mul_epu32(a, m);
  const Words odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), m);
  *low = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
  *high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
}
RUTILE_INLINE Words first_counters() {
  return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}
RUTILE_INLINE void put(uint32_t* p, Words v) { _mm512_storeu_si512(p, v); }
RUTILE_INLINE Words take(const uint32_t* p) { return _mm512_loadu_si512(p); }
#define RUTILE_UNPACK(half, width, a, b) _mm512_unpack##half##_epi##width(a, b)
#else
constexpr int kLanes = 8;
using Words = __m256i;
RUTILE_INLINE Words all(uint32_t v) { return _mm256_set1_epi32(static_cast<int32_t>(v)); }
RUTILE_INLINE Words plus(Words a, Words b) { return _mm256_add_epi32(a, b); }
RUTILE_INLINE Words differ(Words a, Words b, Words c) {
  return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}
RUTILE_INLINE void multiply(Words a, Words m, Words* high, Words* low) {
  const Words even = _mm256_mul_epu32(a, m);
  const Words odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), m);
  *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}
RUTILE_INLINE Words first_counters() { return _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7); }
RUTILE_INLINE void put(uint32_t* p, Words v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}
RUTILE_INLINE Words take(const uint32_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
#define RUTILE_UNPACK(half, width, a, b) _mm256_unpack##half##_epi##width(a, b)
#endif

constexpr int64_t kGroup = 4 * kLanes;  // elements of a vector of counters

// Word k of each lane's counter; 32-bit results of the same size take their places.
union Group {
  alignas(64) uint32_t word[4][kLanes];
  float f[4][kLanes];
};

// The counters from `counter` on, a multiple of kLanes.
RUTILE_INLINE void draw(uint64_t key, uint64_t counter, Group* g) {
  Words c0 = plus(all(static_cast<uint32_t>(counter)), first_counters());
  Words c1 = all(static_cast<uint32_t>(counter >> 32)), c2 = all(0), c3 = all(0);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    Words high0, low0, high1, low1;
    multiply(c0, all(0xD2511F53u), &high0, &low0);
    multiply(c2, all(0xCD9E8D57u), &high1, &low1);
    c0 = differ(high1, c1, all(k0));
    c2 = differ(high0, c3, all(k1));
    c1 = low1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  put(g->word[0], c0);
  put(g->word[1], c1);
  put(g->word[2], c2);
  put(g->word[3], c3);
}

// Elements in order.
RUTILE_INLINE void interleave(const Group& g, void* out) {
  uint32_t* y = static_cast<uint32_t*>(out);
  const Words a = take(g.word[0]), b = take(g.word[1]), c = take(g.word[2]), d = take(g.word[3]);
  const Words ab0 = RUTILE_UNPACK(lo, 32, a, b), ab1 = RUTILE_UNPACK(hi, 32, a, b);
  const Words cd0 = RUTILE_UNPACK(lo, 32, c, d), cd1 = RUTILE_UNPACK(hi, 32, c, d);
  put(y, RUTILE_UNPACK(lo, 64, ab0, cd0));
  put(y + kLanes, RUTILE_UNPACK(hi, 64, ab0, cd0));
  put(y + 2 * kLanes, RUTILE_UNPACK(lo, 64, ab1, cd1));
  put(y + 3 * kLanes, RUTILE_UNPACK(hi, 64, ab1, cd1));
}

// Calls f(i, group) for the groups of a tile of n elements from i on.
template <class F>
RUTILE_INLINE void for_groups(uint64_t key, int64_t tile, int64_t n, F&& f) {
  const auto first = static_cast<uint64_t>(tile * (kRandomTile / 4));
  for (int64_t i = 0; i < n; i += kGroup) {
    Group g;
    draw(key, first + static_cast<uint64_t>(i / 4), &g);
    f(i, g);
  }
}

RUTILE_INLINE void store_as(float* y, const float* x, int64_t n) {
  __builtin_memcpy(y, x, static_cast<size_t>(n) * sizeof(float));
}
RUTILE_INLINE void store_as(BFloat16* y, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(y + i, load(x + i));
  for (; i < n; ++i) y[i] = BFloat16(x[i]);
}
RUTILE_INLINE void store_as(Half* y, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
  }
  for (; i < n; ++i) y[i].bits = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

struct Uniform {
  static RUTILE_INLINE void run(const RandomArgs& a, Group* g) {
    for (int k = 0; k < 4; ++k) {
#pragma GCC ivdep
      for (int l = 0; l < kLanes; ++l) {
        const float v = fused(word_to_unit(g->word[k][l], a.bits), a.scale, a.offset);
        g->f[k][l] = a.top < v ? a.top : v;
      }
    }
  }
};
struct Normal {
  static RUTILE_INLINE void run(const RandomArgs& a, Group* g) {
    for (int k = 0; k < 4; k += 2) {
#pragma GCC ivdep
      for (int l = 0; l < kLanes; ++l) {
        float n0, n1;
        box_muller(g->word[k][l], g->word[k + 1][l], &n0, &n1);
        g->f[k][l] = fused(n0, a.scale, a.offset);
        g->f[k + 1][l] = fused(n1, a.scale, a.offset);
      }
    }
  }
};
struct Truncated {
  static RUTILE_INLINE void run(const RandomArgs& args, Group* g) {
    const RandomArgs a = args;  // known not to change
    for (int k = 0; k < 4; ++k) {
#pragma GCC ivdep
      for (int l = 0; l < kLanes; ++l) {
        const float u = word_to_unit(g->word[k][l], 24);
        const float z = 1.41421356237309504880f * erfinv(fused(u, a.range, a.lo));
        const float above = z < a.from ? a.from : z;
        g->f[k][l] = fused(a.to < above ? a.to : above, a.scale, a.offset);
      }
    }
  }
};

template <class D, class T>
void floats(const RandomArgs& a, int64_t tile, int64_t n, void* out) {
  T* y = static_cast<T*>(out);
  for_groups(a.key, tile, n, [&](int64_t i, Group& g) {
    D::run(a, &g);
    float f[kGroup];
    interleave(g, f);
    const int64_t left = n - i;
    if (left >= kGroup) {
      store_as(y + i, f, kGroup);
    } else {
      store_as(y + i, f, left);
    }
  });
}

// The words of a tile in order.
RUTILE_INLINE void words(const RandomArgs& a, int64_t tile, int64_t n, uint32_t* w) {
  for_groups(a.key, tile, n, [&](int64_t i, Group& g) { interleave(g, w + i); });
}

template <class T>
RUTILE_INLINE T one() {
  if constexpr (__is_same(T, BFloat16) || __is_same(T, Half)) {
    T v;
    v.bits = __is_same(T, Half) ? 0x3c00 : 0x3f80;
    return v;
  } else {
    return T(1);
  }
}

template <class T>
void bernoulli(const RandomArgs& a, int64_t tile, int64_t n, void* out) {
  uint32_t w[kRandomTile];
  words(a, tile, n, w);
  T* y = static_cast<T*>(out);
  const bool never = a.threshold == 0;
  const auto last = static_cast<uint32_t>(a.threshold - 1);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = (w[i] <= last) & !never ? one<T>() : T{};
}

template <class T>
void integers(const RandomArgs& a, int64_t tile, int64_t n, void* out) {
  // Two elements a counter: a tile takes the words of two.
  uint32_t w[kRandomTile];
  T* y = static_cast<T*>(out);
  for (int64_t begin = 0; begin < n; begin += kRandomTile / 2) {
    const int64_t m = n - begin < kRandomTile / 2 ? n - begin : kRandomTile / 2;
    words(a, 2 * tile + (begin != 0), 2 * m, w);
    for (int64_t i = 0; i < m; ++i) {
      const uint64_t v = static_cast<uint64_t>(w[2 * i]) << 32 | w[2 * i + 1];
      const auto up = static_cast<uint64_t>((static_cast<unsigned __int128>(v) * a.span) >> 64);
      y[begin + i] = static_cast<T>(static_cast<uint64_t>(a.low) + up);
    }
  }
}

RUTILE_INLINE V16 load16(const float* p) { return load(p); }
RUTILE_INLINE V16 load16(const BFloat16* p) { return load(p); }
RUTILE_INLINE V16 load16(const Half* p) {
  float f[16];
  for (int i = 0; i < 16; i += 8) {
    _mm256_storeu_ps(f + i,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i))));
  }
  return load(f);
}
RUTILE_INLINE void store16(float* p, V16 v) { store(p, v); }
RUTILE_INLINE void store16(BFloat16* p, V16 v) { store(p, v); }
RUTILE_INLINE void store16(Half* p, V16 v) {
  float f[16];
  store(f, v);
  store_as(p, f, 16);
}

template <class T>
void apply(float scale, int64_t n, const void* px, const bool* mask, void* py) {
  typedef int8_t B16 __attribute__((vector_size(16)));
  const T* x = static_cast<const T*>(px);
  T* y = static_cast<T*>(py);
  const auto vector = [&](const T* from, const bool* m, T* to) {
    B16 bytes;
    __builtin_memcpy(&bytes, m, 16);
    const I16 keep = __builtin_convertvector(bytes, I16);
    store16(to, keep != 0 ? load16(from) * scale : V16{});
  };
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) vector(x + i, mask + i, y + i);
  if (i == n) return;
  T last[16] = {};
  bool m[16] = {};
  for (int64_t k = i; k < n; ++k) last[k - i] = x[k], m[k - i] = mask[k];
  vector(last, m, last);
  for (int64_t k = i; k < n; ++k) y[k] = last[k - i];
}

template <class T>
void dropout(const RandomArgs& a, int64_t tile, int64_t n, const void* x, void* y, bool* mask) {
  uint32_t w[kRandomTile];
  words(a, tile, n, w);
  const bool never = a.threshold == 0;
  const auto last = static_cast<uint32_t>(a.threshold - 1);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) mask[i] = (w[i] > last) | never;
  apply<T>(a.scale, n, x, mask, y);
}

}  // namespace

RandomKernels random_kernels(DType out) {
  switch (out) {
#define RUTILE_CASE(D, T) \
  case DType::D:          \
    return {floats<Uniform, T>, floats<Normal, T>, floats<Truncated, T>, bernoulli<T>, nullptr};
    RUTILE_CASE(kF32, float)
    RUTILE_CASE(kBF16, BFloat16)
    RUTILE_CASE(kF16, Half)
#undef RUTILE_CASE
#define RUTILE_CASE(D, T) \
  case DType::D:          \
    return {nullptr, nullptr, nullptr, bernoulli<T>, integers<T>};
    RUTILE_CASE(kU8, uint8_t)
    RUTILE_CASE(kU16, uint16_t)
    RUTILE_CASE(kU32, uint32_t)
    RUTILE_CASE(kU64, uint64_t)
    RUTILE_CASE(kI8, int8_t)
    RUTILE_CASE(kI16, int16_t)
    RUTILE_CASE(kI32, int32_t)
    RUTILE_CASE(kI64, int64_t)
#undef RUTILE_CASE
    case DType::kBool:
      return {nullptr, nullptr, nullptr, bernoulli<bool>, nullptr};
    case DType::kF64:
      return {nullptr, nullptr, nullptr, bernoulli<double>, nullptr};
    default:
      return {};
  }
}

DropoutKernels dropout_kernels(DType t) {
  switch (t) {
    case DType::kF32:
      return {dropout<float>, apply<float>};
    case DType::kBF16:
      return {dropout<BFloat16>, apply<BFloat16>};
    case DType::kF16:
      return {dropout<Half>, apply<Half>};
    default:
      return {};
  }
}

}  // namespace rutile::kernels::RUTILE_ISA
