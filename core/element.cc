// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/element.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace rutile {
namespace {

using Kind = Element::Kind;

template <class T>
T load(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof(T));
  return v;
}

template <class T>
void store(T v, void* p) {
  std::memcpy(p, &v, sizeof(T));
}

Element make_bool(bool v) { return {.kind = Kind::kBool, .i = v}; }
Element make_signed(int64_t v) { return {.kind = Kind::kSigned, .i = v}; }
Element make_unsigned(uint64_t v) { return {.kind = Kind::kUnsigned, .u = v}; }
Element make_float(double v) { return {.kind = Kind::kFloat, .re = v}; }
template <class T>
Element make_complex(std::complex<T> v) {
  return {.kind = Kind::kComplex, .re = v.real(), .im = v.imag()};
}

std::string text_of(const Element& e) {
  switch (e.kind) {
    case Kind::kBool:
      return e.i ? "true" : "false";
    case Kind::kSigned:
      return std::to_string(e.i);
    case Kind::kUnsigned:
      return std::to_string(e.u);
    case Kind::kFloat:
      return cat(e.re);
    case Kind::kComplex:
      return cat(e.re, e.im < 0 ? "" : "+", e.im, "j");
  }
  return "?";
}

Status does_not_fit(const Element& e, DType t) {
  return value_error(cat("the value ", text_of(e), " does not fit ", dtype_name(t)));
}

template <class T>
Status store_integer(const Element& e, void* p) {
  bool fits = false;
  T v = 0;
  if (e.kind == Kind::kFloat || e.kind == Kind::kComplex) {
    const double whole = std::trunc(e.re);
    const double end = std::ldexp(1.0, std::numeric_limits<T>::digits);
    fits = whole < end && whole >= (std::is_signed_v<T> ? -end : 0.0);
    if (fits) v = static_cast<T>(whole);
  } else if (e.kind == Kind::kUnsigned) {
    fits = std::in_range<T>(e.u);
    v = static_cast<T>(e.u);
  } else {
    fits = std::in_range<T>(e.i);
    v = static_cast<T>(e.i);
  }
  if (!fits) return does_not_fit(e, dtype_of<T>);
  store(v, p);
  return Status();
}

// Integers go to T in one rounding.
template <class T>
T real_part(const Element& e) {
  switch (e.kind) {
    case Kind::kBool:
    case Kind::kSigned:
      return static_cast<T>(e.i);
    case Kind::kUnsigned:
      return static_cast<T>(e.u);
    default:
      return static_cast<T>(e.re);
  }
}

template <class T>
std::complex<T> complex_of(const Element& e) {
  return {real_part<T>(e), e.kind == Kind::kComplex ? static_cast<T>(e.im) : T{0}};
}

bool is_true(const Element& e) { return e.i != 0 || e.u != 0 || e.re != 0 || e.im != 0; }

}  // namespace

Element load_element(DType t, const void* p) {
  switch (t) {
    case DType::kBool:
      return make_bool(load<uint8_t>(p) != 0);
    case DType::kU8:
      return make_unsigned(load<uint8_t>(p));
    case DType::kU16:
      return make_unsigned(load<uint16_t>(p));
    case DType::kU32:
      return make_unsigned(load<uint32_t>(p));
    case DType::kU64:
      return make_unsigned(load<uint64_t>(p));
    case DType::kI8:
      return make_signed(load<int8_t>(p));
    case DType::kI16:
      return make_signed(load<int16_t>(p));
    case DType::kI32:
      return make_signed(load<int32_t>(p));
    case DType::kI64:
      return make_signed(load<int64_t>(p));
    case DType::kF16:
      return make_float(static_cast<float>(load<Half>(p)));
    case DType::kBF16:
      return make_float(static_cast<float>(load<BFloat16>(p)));
    case DType::kF32:
      return make_float(load<float>(p));
    case DType::kF64:
      return make_float(load<double>(p));
    case DType::kC64:
      return make_complex(load<std::complex<float>>(p));
    case DType::kC128:
      return make_complex(load<std::complex<double>>(p));
  }
  throw_error(ErrorCode::kInternal, "load_element: unknown dtype");
}

Status store_element(const Element& e, DType t, void* p) {
  if (e.kind == Kind::kComplex && !is_complex(t) && t != DType::kBool && e.im != 0) {
    return type_error(
        cat("the complex value ", text_of(e), " does not convert to ", dtype_name(t)));
  }
  switch (t) {
    case DType::kBool:
      store(static_cast<uint8_t>(is_true(e)), p);
      break;
    case DType::kU8:
      return store_integer<uint8_t>(e, p);
    case DType::kU16:
      return store_integer<uint16_t>(e, p);
    case DType::kU32:
      return store_integer<uint32_t>(e, p);
    case DType::kU64:
      return store_integer<uint64_t>(e, p);
    case DType::kI8:
      return store_integer<int8_t>(e, p);
    case DType::kI16:
      return store_integer<int16_t>(e, p);
    case DType::kI32:
      return store_integer<int32_t>(e, p);
    case DType::kI64:
      return store_integer<int64_t>(e, p);
    case DType::kF16:
      store(Half(real_part<float>(e)), p);
      break;
    case DType::kBF16:
      store(BFloat16(real_part<float>(e)), p);
      break;
    case DType::kF32:
      store(real_part<float>(e), p);
      break;
    case DType::kF64:
      store(real_part<double>(e), p);
      break;
    case DType::kC64:
      store(complex_of<float>(e), p);
      break;
    case DType::kC128:
      store(complex_of<double>(e), p);
      break;
  }
  return Status();
}

}  // namespace rutile
