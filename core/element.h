// SPDX-License-Identifier: Apache-2.0
// One element of any type, without loss: for scalars, printing and reference code, not for loops.
#pragma once

#include <cstdint>
#include <string>

#include "rutile/core/dtype.h"
#include "rutile/core/error.h"

namespace rutile {

struct Element {
  enum class Kind : uint8_t { kBool, kSigned, kUnsigned, kFloat, kComplex } kind = Kind::kFloat;
  int64_t i = 0;   // kBool, kSigned
  uint64_t u = 0;  // kUnsigned
  double re = 0;   // kFloat, kComplex
  double im = 0;   // kComplex
};

RUTILE_API Element load_element(DType t, const void* p);
// Converts: fractions are cut off for integers; a value that the type cannot hold is kValue, a
// complex one for a real type kType.
RUTILE_API Status store_element(const Element& e, DType t, void* p);

struct Scalar;
// The same for a scalar argument.
RUTILE_API Status store_scalar(const Scalar& s, DType t, void* p);

}  // namespace rutile
