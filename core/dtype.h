// SPDX-License-Identifier: Apache-2.0
// Element types, their names and sizes, and NumPy-like promotion.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "rutile/core/api.h"
#include "rutile/core/half.h"

namespace rutile {

enum class DType : uint8_t {
  kBool,
  kU8,
  kU16,
  kU32,
  kU64,
  kI8,
  kI16,
  kI32,
  kI64,
  kF16,
  kBF16,
  kF32,
  kF64,
  kC64,
  kC128,
};
inline constexpr int kNumDTypes = 15;

constexpr size_t dtype_size(DType t) {
  constexpr uint8_t kSize[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
  return kSize[static_cast<int>(t)];
}
// Short name as in error texts and the IR: "f32", "bf16", "i64".
RUTILE_API const char* dtype_name(DType t);
// Accepts the short name and the long one ("float32").
RUTILE_API bool parse_dtype(std::string_view name, DType* out);
inline std::string to_string(DType t) { return dtype_name(t); }

constexpr bool is_floating(DType t) { return t >= DType::kF16 && t <= DType::kF64; }
constexpr bool is_complex(DType t) { return t >= DType::kC64; }
constexpr bool is_signed_int(DType t) { return t >= DType::kI8 && t <= DType::kI64; }
constexpr bool is_unsigned_int(DType t) { return t >= DType::kU8 && t <= DType::kU64; }
constexpr bool is_integral(DType t) { return t >= DType::kU8 && t <= DType::kI64; }
constexpr bool is_low_precision(DType t) { return t == DType::kF16 || t == DType::kBF16; }

// The type that holds both (bool < integers < floating < complex; f16 with bf16 gives f32).
RUTILE_API DType promote(DType a, DType b);

template <class T>
struct DTypeOf;
#define RUTILE_DTYPE_OF(T, D)                \
  template <>                                \
  struct DTypeOf<T> {                        \
    static constexpr DType value = DType::D; \
  };
RUTILE_DTYPE_OF(bool, kBool)
RUTILE_DTYPE_OF(uint8_t, kU8)
RUTILE_DTYPE_OF(uint16_t, kU16)
RUTILE_DTYPE_OF(uint32_t, kU32)
RUTILE_DTYPE_OF(uint64_t, kU64)
RUTILE_DTYPE_OF(int8_t, kI8)
RUTILE_DTYPE_OF(int16_t, kI16)
RUTILE_DTYPE_OF(int32_t, kI32)
RUTILE_DTYPE_OF(int64_t, kI64)
RUTILE_DTYPE_OF(Half, kF16)
RUTILE_DTYPE_OF(BFloat16, kBF16)
RUTILE_DTYPE_OF(float, kF32)
RUTILE_DTYPE_OF(double, kF64)
RUTILE_DTYPE_OF(std::complex<float>, kC64)
RUTILE_DTYPE_OF(std::complex<double>, kC128)
#undef RUTILE_DTYPE_OF
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace rutile
