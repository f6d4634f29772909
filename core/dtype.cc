// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/dtype.h"

#include <algorithm>

namespace rutile {
namespace {

struct Names {
  const char* brief;
  const char* full;
};
constexpr Names kNames[kNumDTypes] = {
    {"bool", "bool"},   {"u8", "uint8"},      {"u16", "uint16"},      {"u32", "uint32"},
    {"u64", "uint64"},  {"i8", "int8"},       {"i16", "int16"},       {"i32", "int32"},
    {"i64", "int64"},   {"f16", "float16"},   {"bf16", "bfloat16"},   {"f32", "float32"},
    {"f64", "float64"}, {"c64", "complex64"}, {"c128", "complex128"},
};

DType promote_ints(DType a, DType b) {
  if (is_signed_int(a) == is_signed_int(b)) return std::max(a, b);
  const DType u = is_signed_int(a) ? b : a;
  const DType s = is_signed_int(a) ? a : b;
  if (dtype_size(s) > dtype_size(u)) return s;
  switch (u) {  // the next wider signed type
    case DType::kU8:
      return DType::kI16;
    case DType::kU16:
      return DType::kI32;
    case DType::kU32:
      return DType::kI64;
    default:
      return DType::kF64;  // as in NumPy: no integer type holds u64 and i64
  }
}

DType promote_floats(DType a, DType b) {
  if (is_low_precision(a) && is_low_precision(b)) return DType::kF32;  // f16 with bf16
  return std::max(a, b);
}

// A float keeps its width against integers: i64 with f32 is f32, not NumPy's f64, since index
// arithmetic must not turn a network into double.
DType promote_to_complex(DType complex, DType other) {
  if (is_complex(other)) return std::max(complex, other);
  return other == DType::kF64 ? DType::kC128 : complex;
}

}  // namespace

const char* dtype_name(DType t) { return kNames[static_cast<int>(t)].brief; }

bool parse_dtype(std::string_view name, DType* out) {
  for (int i = 0; i < kNumDTypes; ++i) {
    if (name == kNames[i].brief || name == kNames[i].full) {
      *out = static_cast<DType>(i);
      return true;
    }
  }
  return false;
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (a == DType::kBool) return b;
  if (b == DType::kBool) return a;
  if (is_complex(a)) return promote_to_complex(a, b);
  if (is_complex(b)) return promote_to_complex(b, a);
  if (is_floating(a) && is_floating(b)) return promote_floats(a, b);
  if (is_floating(a)) return a;
  if (is_floating(b)) return b;
  return promote_ints(a, b);
}

}  // namespace rutile
