// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/tile.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class From, class To>
void convert_loop(const void* from, void* to, int64_t n) {
  const From* x = static_cast<const From*>(from);
  To* y = static_cast<To*>(to);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
}

// The compiler makes no vectors of bools; it does of bytes. Masks from outside may hold any.
template <class To>
void truth_loop(const void* from, void* to, int64_t n) {
  const uint8_t* x = static_cast<const uint8_t*>(from);
  To* y = static_cast<To*>(to);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(static_cast<uint8_t>(x[i] != 0));
}

// The compiler does not find the conversion instructions of f16 by itself.
template <>
void convert_loop<Half, float>(const void* from, void* to, int64_t n) {
  const Half* x = static_cast<const Half*>(from);
  float* y = static_cast<float*>(to);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(y + i,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i))));
  }
  for (; i < n; ++i) y[i] = _cvtsh_ss(x[i].bits);
}
template <>
void convert_loop<float, Half>(const void* from, void* to, int64_t n) {
  const float* x = static_cast<const float*>(from);
  Half* y = static_cast<Half*>(to);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i), h);
  }
  for (; i < n; ++i) y[i].bits = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

// Without a branch, so that it vectorises.
template <>
void convert_loop<float, BFloat16>(const void* from, void* to, int64_t n) {
  const uint32_t* x = static_cast<const uint32_t*>(from);
  uint16_t* y = static_cast<uint16_t*>(to);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t u = x[i];
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const uint32_t quiet = (u >> 16) | 0x40u;
    y[i] = static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
  }
}

#if defined(__AVX512F__)
// Masks as bytes: the compiler goes through vectors of every size in between.
template <>
void convert_loop<float, bool>(const void* from, void* to, int64_t n) {
  const float* x = static_cast<const float*>(from);
  bool* y = static_cast<bool*>(to);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __mmask16 m =
        _mm512_cmp_ps_mask(_mm512_loadu_ps(x + i), _mm512_setzero_ps(), _CMP_NEQ_UQ);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i), _mm_maskz_set1_epi8(m, 1));
  }
  for (; i < n; ++i) y[i] = convert<bool>(x[i]);
}
#endif

template <class T>
void copy_loop(const void* from, void* to, int64_t n) {
  __builtin_memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
}

template <class From, class To>
constexpr ConvertFn pick() {
  if constexpr (__is_same(From, To)) {
    return copy_loop<To>;
  } else if constexpr (__is_same(From, bool)) {
    return truth_loop<To>;
  } else {
    return convert_loop<From, To>;
  }
}

// What is f16 on one side only goes through a block of floats.
template <class Other>
void from_half(const void* from, void* to, int64_t n) {
  float block[256];
  for (int64_t i = 0; i < n; i += 256) {
    const int64_t m = n - i < 256 ? n - i : 256;
    convert_loop<Half, float>(static_cast<const Half*>(from) + i, block, m);
    pick<float, Other>()(block, static_cast<Other*>(to) + i, m);
  }
}
template <class Other>
void to_half(const void* from, void* to, int64_t n) {
  float block[256];
  for (int64_t i = 0; i < n; i += 256) {
    const int64_t m = n - i < 256 ? n - i : 256;
    pick<Other, float>()(static_cast<const Other*>(from) + i, block, m);
    convert_loop<float, Half>(block, static_cast<Half*>(to) + i, m);
  }
}

template <class From>
void fill_row(ConvertFn* row) {
  const auto set = [row](DType t, ConvertFn f) { row[static_cast<int>(t)] = f; };
  set(DType::kBool, pick<From, bool>());
  set(DType::kU8, pick<From, uint8_t>());
  set(DType::kU16, pick<From, uint16_t>());
  set(DType::kU32, pick<From, uint32_t>());
  set(DType::kI8, pick<From, int8_t>());
  set(DType::kI16, pick<From, int16_t>());
  set(DType::kI32, pick<From, int32_t>());
  set(DType::kI64, pick<From, int64_t>());
  set(DType::kBF16, pick<From, BFloat16>());
  set(DType::kF32, pick<From, float>());
  set(DType::kF64, pick<From, double>());
  set(DType::kF16, to_half<From>);
}

template <class Low>
void round_loop(const void* const* in, void* out, int64_t n, const double*) {
  Low block[256];
  for (int64_t i = 0; i < n; i += 256) {
    const int64_t m = n - i < 256 ? n - i : 256;
    convert_loop<float, Low>(static_cast<const float*>(in[0]) + i, block, m);
    convert_loop<Low, float>(block, static_cast<float*>(out) + i, m);
  }
}

void stream_bytes(const void* from, void* to, int64_t bytes) {
  if (bytes == 0) return _mm_sfence();
  const char* x = static_cast<const char*>(from);
  char* y = static_cast<char*>(to);
  int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + 64 <= bytes; i += 64) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(y + i), _mm512_loadu_si512(x + i));
  }
#endif
  for (; i + 32 <= bytes; i += 32) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    _mm256_stream_si256(reinterpret_cast<__m256i*>(y + i), v);
  }
  __builtin_memcpy(y + i, x + i, static_cast<size_t>(bytes - i));
}

}  // namespace

void fill_convert(TileTable* t) {
  t->stream = stream_bytes;
  const auto row = [t](DType d) { return t->convert[static_cast<int>(d)]; };
  fill_row<bool>(row(DType::kBool));
  fill_row<uint8_t>(row(DType::kU8));
  fill_row<uint16_t>(row(DType::kU16));
  fill_row<uint32_t>(row(DType::kU32));
  fill_row<int8_t>(row(DType::kI8));
  fill_row<int16_t>(row(DType::kI16));
  fill_row<int32_t>(row(DType::kI32));
  fill_row<int64_t>(row(DType::kI64));
  fill_row<BFloat16>(row(DType::kBF16));
  fill_row<float>(row(DType::kF32));
  fill_row<double>(row(DType::kF64));
  ConvertFn* half = row(DType::kF16);
  half[static_cast<int>(DType::kBool)] = from_half<bool>;
  half[static_cast<int>(DType::kU8)] = from_half<uint8_t>;
  half[static_cast<int>(DType::kU16)] = from_half<uint16_t>;
  half[static_cast<int>(DType::kU32)] = from_half<uint32_t>;
  half[static_cast<int>(DType::kI8)] = from_half<int8_t>;
  half[static_cast<int>(DType::kI16)] = from_half<int16_t>;
  half[static_cast<int>(DType::kI32)] = from_half<int32_t>;
  half[static_cast<int>(DType::kI64)] = from_half<int64_t>;
  half[static_cast<int>(DType::kBF16)] = from_half<BFloat16>;
  half[static_cast<int>(DType::kF32)] = convert_loop<Half, float>;
  half[static_cast<int>(DType::kF64)] = from_half<double>;
  half[static_cast<int>(DType::kF16)] = copy_loop<Half>;
  row(DType::kF32)[static_cast<int>(DType::kF16)] = convert_loop<float, Half>;
  t->round_f16 = round_loop<Half>;
  t->round_bf16 = round_loop<BFloat16>;
}

}  // namespace rutile::kernels::RUTILE_ISA
