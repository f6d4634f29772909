// SPDX-License-Identifier: Apache-2.0
// From a run-time DType to a C++ type, for kernels:
//
//   plan->run = dispatch_float(dtype, [](auto t) -> RunFn {
//     return run<typename decltype(t)::type>;
//   });
#pragma once

#include <complex>
#include <cstdint>
#include <type_traits>

#include "rutile/core/dtype.h"
#include "rutile/core/error.h"

namespace rutile::kernels {

#define RUTILE_CASE(D, T) \
  case DType::D:          \
    return f(std::type_identity<T>{});
#define RUTILE_FLOAT_CASES     \
  RUTILE_CASE(kF16, Half)      \
  RUTILE_CASE(kBF16, BFloat16) \
  RUTILE_CASE(kF32, float)     \
  RUTILE_CASE(kF64, double)
#define RUTILE_INT_CASES      \
  RUTILE_CASE(kU8, uint8_t)   \
  RUTILE_CASE(kU16, uint16_t) \
  RUTILE_CASE(kU32, uint32_t) \
  RUTILE_CASE(kU64, uint64_t) \
  RUTILE_CASE(kI8, int8_t)    \
  RUTILE_CASE(kI16, int16_t)  \
  RUTILE_CASE(kI32, int32_t)  \
  RUTILE_CASE(kI64, int64_t)

// Calls f(std::type_identity<T>{}) with the C++ type of `t`; infer has admitted only such types.
template <class F>
auto dispatch_float(DType t, F&& f) {
  switch (t) {
    RUTILE_FLOAT_CASES
    default:
      throw_error(ErrorCode::kInternal, cat("a kernel for floating types got ", dtype_name(t)));
  }
}

template <class F>
auto dispatch_int(DType t, F&& f) {
  switch (t) {
    RUTILE_INT_CASES
    default:
      throw_error(ErrorCode::kInternal, cat("a kernel for integers got ", dtype_name(t)));
  }
}

// Integers and floating types.
template <class F>
auto dispatch_number(DType t, F&& f) {
  switch (t) {
    RUTILE_INT_CASES
    RUTILE_FLOAT_CASES
    default:
      throw_error(ErrorCode::kInternal, cat("a kernel for numbers got ", dtype_name(t)));
  }
}

// bool, integers and floating types.
template <class F>
auto dispatch_real(DType t, F&& f) {
  switch (t) {
    RUTILE_CASE(kBool, bool)
    RUTILE_INT_CASES
    RUTILE_FLOAT_CASES
    default:
      throw_error(ErrorCode::kInternal, cat("a kernel for real types got ", dtype_name(t)));
  }
}

template <class F>
auto dispatch_all(DType t, F&& f) {
  switch (t) {
    RUTILE_CASE(kBool, bool)
    RUTILE_INT_CASES
    RUTILE_FLOAT_CASES
    RUTILE_CASE(kC64, std::complex<float>)
    RUTILE_CASE(kC128, std::complex<double>)
  }
  throw_error(ErrorCode::kInternal, "unknown dtype");
}

// For kernels that only move elements: an unsigned type of the same size.
struct Bytes16 {
  uint64_t v[2];
};
template <class F>
auto dispatch_size(DType t, F&& f) {
  switch (dtype_size(t)) {
    case 1:
      return f(std::type_identity<uint8_t>{});
    case 2:
      return f(std::type_identity<uint16_t>{});
    case 4:
      return f(std::type_identity<uint32_t>{});
    case 8:
      return f(std::type_identity<uint64_t>{});
    default:
      return f(std::type_identity<Bytes16>{});
  }
}
#undef RUTILE_FLOAT_CASES
#undef RUTILE_INT_CASES
#undef RUTILE_CASE

// The type to accumulate in: float for the small floating types, 64 bits for integers.
template <class T>
struct AccumulateIn {
  using type = std::conditional_t<std::is_unsigned_v<T>, uint64_t, int64_t>;
};
template <>
struct AccumulateIn<Half> {
  using type = float;
};
template <>
struct AccumulateIn<BFloat16> {
  using type = float;
};
template <>
struct AccumulateIn<float> {
  using type = float;
};
template <>
struct AccumulateIn<double> {
  using type = double;
};
template <class T>
using Acc = typename AccumulateIn<T>::type;

}  // namespace rutile::kernels
