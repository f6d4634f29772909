// SPDX-License-Identifier: Apache-2.0
// What the kernels' headers use of the standard library, for NVRTC, which has none: it stands in
// for <bit>, <cmath>, <cstdint>, <limits> and <type_traits> there.
#pragma once

using int8_t = signed char;
using int16_t = short;
using int32_t = int;
using int64_t = long long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;

#define __builtin_inf() __longlong_as_double(0x7ff0000000000000ll)
#define __builtin_nan(text) __longlong_as_double(0x7ff8000000000000ll)
#define __builtin_signbit(x) ::rutile_rtc::sign_bit(x)
#define __builtin_copysign ::copysign
#define __builtin_erf ::erf
#define __builtin_erfc ::erfc
#define __builtin_exp ::exp
#define __builtin_expm1 ::expm1
#define __builtin_fabs ::fabs
#define __builtin_floor ::floor
#define __builtin_fmod ::fmod
#define __builtin_frexp ::frexp
#define __builtin_j0 ::j0
#define __builtin_j1 ::j1
#define __builtin_log ::log
#define __builtin_log1p ::log1p
#define __builtin_pow ::pow
#define __builtin_sqrt ::sqrt
#define __builtin_tan ::tan
#define __builtin_trunc ::trunc
#define __builtin_y0 ::y0
#define __builtin_y1 ::y1

namespace rutile_rtc {
__device__ inline bool sign_bit(float x) { return __float_as_int(x) < 0; }
__device__ inline bool sign_bit(double x) { return __double_as_longlong(x) < 0; }
}  // namespace rutile_rtc

namespace std {

template <class T, class U>
inline constexpr bool is_same_v = false;
template <class T>
inline constexpr bool is_same_v<T, T> = true;
template <class T>
inline constexpr bool is_floating_point_v = is_same_v<T, float> || is_same_v<T, double>;
template <class T>
inline constexpr bool is_integral_v =
    is_same_v<T, bool> || is_same_v<T, char> || is_same_v<T, signed char> ||
    is_same_v<T, unsigned char> || is_same_v<T, short> || is_same_v<T, unsigned short> ||
    is_same_v<T, int> || is_same_v<T, unsigned> || is_same_v<T, long> ||
    is_same_v<T, unsigned long> || is_same_v<T, long long> || is_same_v<T, unsigned long long>;
template <class T>
inline constexpr bool is_signed_v = is_floating_point_v<T> || (is_integral_v<T> && T(-1) < T(0));
template <class T>
inline constexpr bool is_unsigned_v = is_integral_v<T> && !is_signed_v<T>;

template <bool kFirst, class T, class U>
struct conditional {
  using type = T;
};
template <class T, class U>
struct conditional<false, T, U> {
  using type = U;
};
template <bool kFirst, class T, class U>
using conditional_t = typename conditional<kFirst, T, U>::type;
template <class T>
using make_unsigned_t =
    conditional_t<sizeof(T) == 1, unsigned char,
                  conditional_t<sizeof(T) == 2, unsigned short,
                                conditional_t<sizeof(T) == 4, unsigned, unsigned long long>>>;

template <class T>
struct numeric_limits {
  static constexpr bool is_signed = is_signed_v<T>;
  static constexpr T min() {
    return is_signed ? T(make_unsigned_t<T>(1) << (sizeof(T) * 8 - 1)) : T(0);
  }
  static constexpr T max() { return T(~min()); }
};
template <>
struct numeric_limits<bool> {
  static constexpr bool min() { return false; }
  static constexpr bool max() { return true; }
};

template <class To, class From>
__device__ inline To bit_cast(const From& from) {
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

#define RUTILE_RTC_1(name)                                       \
  __device__ inline float name(float x) { return ::name##f(x); } \
  __device__ inline double name(double x) { return ::name(x); }
#define RUTILE_RTC_2(name)                                                   \
  __device__ inline float name(float x, float y) { return ::name##f(x, y); } \
  __device__ inline double name(double x, double y) { return ::name(x, y); }
RUTILE_RTC_1(exp)
RUTILE_RTC_1(exp2)
RUTILE_RTC_1(expm1)
RUTILE_RTC_1(log)
RUTILE_RTC_1(log2)
RUTILE_RTC_1(log10)
RUTILE_RTC_1(log1p)
RUTILE_RTC_1(sqrt)
RUTILE_RTC_1(cbrt)
RUTILE_RTC_1(sin)
RUTILE_RTC_1(cos)
RUTILE_RTC_1(tan)
RUTILE_RTC_1(asin)
RUTILE_RTC_1(acos)
RUTILE_RTC_1(atan)
RUTILE_RTC_1(sinh)
RUTILE_RTC_1(cosh)
RUTILE_RTC_1(tanh)
RUTILE_RTC_1(asinh)
RUTILE_RTC_1(acosh)
RUTILE_RTC_1(atanh)
RUTILE_RTC_1(erf)
RUTILE_RTC_1(erfc)
RUTILE_RTC_1(floor)
RUTILE_RTC_1(ceil)
RUTILE_RTC_1(trunc)
RUTILE_RTC_1(nearbyint)
RUTILE_RTC_1(fabs)
RUTILE_RTC_2(pow)
RUTILE_RTC_2(fmod)
RUTILE_RTC_2(atan2)
RUTILE_RTC_2(hypot)
RUTILE_RTC_2(nextafter)
RUTILE_RTC_2(copysign)
#undef RUTILE_RTC_1
#undef RUTILE_RTC_2

}  // namespace std
