// SPDX-License-Identifier: Apache-2.0
// Attributes of an op: a plain struct whose fields are listed once by RUTILE_REFLECT. Equality,
// hash, text, serialised form and Python keywords (with their defaults) all come from that list.
//
//   struct SoftmaxAttrs {
//     int64_t axis = -1;
//     RUTILE_REFLECT(axis)
//   };
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "rutile/core/dtype.h"
#include "rutile/core/placement.h"
#include "rutile/core/shape.h"
#include "rutile/core/tensor.h"
#include "rutile/ops/region.h"

#define RUTILE_REFLECT(...)                                \
  static constexpr const char* kFieldNames = #__VA_ARGS__; \
  template <class F>                                       \
  constexpr void visit_fields_impl(F& f) {                 \
    f(__VA_ARGS__);                                        \
  }                                                        \
  template <class F>                                       \
  constexpr void visit_fields_impl(F& f) const {           \
    f(__VA_ARGS__);                                        \
  }

namespace rutile {

// A pair of integers for the spatial dimensions (height, width).
struct Int2 {
  int64_t h = 0, w = 0;
  constexpr Int2() = default;
  constexpr Int2(int64_t both) : h(both), w(both) {}
  constexpr Int2(int64_t height, int64_t width) : h(height), w(width) {}
  constexpr bool operator==(const Int2&) const = default;
};
// "3" or "(3, 5)"
inline std::string to_string(const Int2& v) {
  return v.h == v.w ? cat(v.h) : cat("(", v.h, ", ", v.w, ")");
}

// Three of them (depth, height, width).
struct Int3 {
  int64_t d = 0, h = 0, w = 0;
  constexpr Int3() = default;
  constexpr Int3(int64_t all) : d(all), h(all), w(all) {}
  constexpr Int3(int64_t depth, int64_t height, int64_t width) : d(depth), h(height), w(width) {}
  constexpr bool operator==(const Int3&) const = default;
};
// "3" or "(3, 5, 5)"
inline std::string to_string(const Int3& v) {
  return v.d == v.h && v.h == v.w ? cat(v.d) : cat("(", v.d, ", ", v.h, ", ", v.w, ")");
}

// A DType that may be left open.
struct OptionalDType {
  bool set = false;
  DType value = DType::kF32;
  constexpr OptionalDType() = default;
  constexpr OptionalDType(DType t) : set(true), value(t) {}
  constexpr bool operator==(const OptionalDType& o) const {
    return set == o.set && (!set || value == o.value);
  }
};

// Enumerations used as attributes specialise this with the names of their values 0, 1, ..., as
// Reduction does below.
template <class E>
struct EnumNames;

enum class Reduction : uint8_t { kNone, kMean, kSum };
template <>
struct EnumNames<Reduction> {
  static constexpr const char* value[] = {"none", "mean", "sum"};
};

// A field as a dynamic value, for Python, text and files. monostate: an unset OptionalDType.
// Int2 and Int3 show as Dims, enums and Placement as their name.
using AttrValue = std::variant<std::monostate, bool, int64_t, double, Scalar, Dims, DType,
                               std::string, Ref<Region>>;

// What the rest of the system knows of an attribute struct.
struct AttrsInfo {
  size_t size = 0, align = 1;
  const char* field_names = "";  // "stride, pad, groups"
  int num_fields = 0;
  void (*construct)(void*) = nullptr;  // defaults
  void (*copy)(void* to, const void* from) = nullptr;
  void (*destroy)(void*) = nullptr;
  bool (*equal)(const void*, const void*) = nullptr;
  uint64_t (*hash)(const void*) = nullptr;
  AttrValue (*get)(const void*, int field) = nullptr;
  Status (*set)(void*, int field, const AttrValue&) = nullptr;  // checks the type
};

// Name of field `i` of "a, b, c".
RUTILE_API std::string_view field_name(const AttrsInfo& info, int i);
// Index of a field, -1 if there is none.
RUTILE_API int field_index(const AttrsInfo& info, std::string_view name);
// "stride=[2,2], pad=[1,1]", only fields that differ from the default unless `all`.
RUTILE_API std::string attrs_to_string(const AttrsInfo& info, const void* attrs, bool all = false);
RUTILE_API std::string to_string(const AttrValue& v);
// Reads back what to_string(AttrValue) writes (regions excepted).
RUTILE_API Status parse_attr_value(std::string_view text, AttrValue* v);

namespace detail {
RUTILE_API uint64_t mix_hash(uint64_t a, uint64_t b);
RUTILE_API Status attr_type_error(const char* expected, const AttrValue& got);
RUTILE_API Status set_bool(bool* field, const AttrValue& v);
RUTILE_API Status set_int(int64_t* field, const AttrValue& v);
RUTILE_API Status set_double(double* field, const AttrValue& v);
RUTILE_API Status set_string(std::string* field, const AttrValue& v);
RUTILE_API Status set_dims(Dims* field, const AttrValue& v);
RUTILE_API Status set_int2(Int2* field, const AttrValue& v);
RUTILE_API Status set_int3(Int3* field, const AttrValue& v);
RUTILE_API Status set_dtype(DType* field, const AttrValue& v);
RUTILE_API Status set_placement(Placement* field, const AttrValue& v);
RUTILE_API Status set_scalar(Scalar* field, const AttrValue& v);
RUTILE_API Status set_enum(int* value, const char* const* names, int count, const AttrValue& v);
RUTILE_API uint64_t hash_value(const AttrValue& v);

template <class T>
AttrValue get_field(const T& f) {
  if constexpr (std::is_same_v<T, OptionalDType>) {
    return f.set ? AttrValue(f.value) : AttrValue();
  } else if constexpr (std::is_same_v<T, Int2>) {
    return Dims{f.h, f.w};
  } else if constexpr (std::is_same_v<T, Int3>) {
    return Dims{f.d, f.h, f.w};
  } else if constexpr (std::is_same_v<T, DType>) {
    return f;
  } else if constexpr (std::is_same_v<T, Placement>) {
    return to_string(f);
  } else if constexpr (std::is_enum_v<T>) {
    return std::string(EnumNames<T>::value[static_cast<int>(f)]);
  } else {
    return f;
  }
}

template <class T>
Status set_field(T* f, const AttrValue& v) {
  if constexpr (std::is_same_v<T, bool>) {
    return set_bool(f, v);
  } else if constexpr (std::is_same_v<T, int64_t>) {
    return set_int(f, v);
  } else if constexpr (std::is_same_v<T, double>) {
    return set_double(f, v);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return set_string(f, v);
  } else if constexpr (std::is_same_v<T, Dims>) {
    return set_dims(f, v);
  } else if constexpr (std::is_same_v<T, Int2>) {
    return set_int2(f, v);
  } else if constexpr (std::is_same_v<T, Int3>) {
    return set_int3(f, v);
  } else if constexpr (std::is_same_v<T, Placement>) {
    return set_placement(f, v);
  } else if constexpr (std::is_same_v<T, Scalar>) {
    return set_scalar(f, v);
  } else if constexpr (std::is_same_v<T, DType>) {
    return set_dtype(f, v);
  } else if constexpr (std::is_same_v<T, OptionalDType>) {
    if (std::holds_alternative<std::monostate>(v)) {
      *f = OptionalDType();
      return Status();
    }
    RUTILE_RETURN_IF_ERROR(set_dtype(&f->value, v));
    f->set = true;
    return Status();
  } else if constexpr (std::is_enum_v<T>) {
    int value = 0;
    RUTILE_RETURN_IF_ERROR(
        set_enum(&value, EnumNames<T>::value, std::size(EnumNames<T>::value), v));
    *f = static_cast<T>(value);
    return Status();
  } else {
    static_assert(std::is_same_v<T, Ref<Region>>, "a field type that attributes do not know");
    if (!std::holds_alternative<Ref<Region>>(v)) return attr_type_error("a region", v);
    *f = std::get<Ref<Region>>(v);
    return Status();
  }
}

template <class T>
constexpr int count_fields() {
  int n = 0;
  T t{};
  auto count = [&n](auto&... fields) { n = sizeof...(fields); };
  t.visit_fields_impl(count);
  return n;
}

template <class T>
AttrValue get_nth(const void* p, int field) {
  AttrValue out;
  auto pick = [&](const auto&... fields) {
    int i = 0;
    ((i++ == field ? void(out = get_field(fields)) : void()), ...);
  };
  static_cast<const T*>(p)->visit_fields_impl(pick);
  return out;
}

template <class T>
Status set_nth(void* p, int field, const AttrValue& v) {
  Status status;
  auto pick = [&](auto&... fields) {
    int i = 0;
    ((i++ == field ? void(status = set_field(&fields, v)) : void()), ...);
  };
  static_cast<T*>(p)->visit_fields_impl(pick);
  return status;
}

// Doubles by bits: 0 and -0 are two values, NaN is equal to itself.
template <class T>
bool same_field(const T& a, const T& b) {
  if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
  } else {
    return a == b;
  }
}

template <class T>
bool equal_attrs(const void* a, const void* b) {
  bool same = true;
  auto outer = [&](const auto&... fa) {
    auto inner = [&](const auto&... fb) { same = (... && same_field(fa, fb)); };
    static_cast<const T*>(b)->visit_fields_impl(inner);
  };
  static_cast<const T*>(a)->visit_fields_impl(outer);
  return same;
}

template <class T>
uint64_t hash_attrs(const void* p) {
  uint64_t h = 0;
  for (int i = 0; i < count_fields<T>(); ++i) h = mix_hash(h, hash_value(get_nth<T>(p, i)));
  return h;
}
}  // namespace detail

template <class T>
inline constexpr AttrsInfo kAttrsInfo{
    .size = sizeof(T),
    .align = alignof(T),
    .field_names = T::kFieldNames,
    .num_fields = detail::count_fields<T>(),
    .construct = [](void* p) { ::new (p) T(); },
    .copy = [](void* to, const void* from) { ::new (to) T(*static_cast<const T*>(from)); },
    .destroy = [](void* p) { static_cast<T*>(p)->~T(); },
    .equal = detail::equal_attrs<T>,
    .hash = detail::hash_attrs<T>,
    .get = detail::get_nth<T>,
    .set = detail::set_nth<T>,
};

template <class T>
constexpr const AttrsInfo* attrs_of() {
  return &kAttrsInfo<T>;
}

// An owned copy of some op's attributes (empty for an op without).
class RUTILE_API AnyAttrs {
 public:
  AnyAttrs() = default;
  AnyAttrs(const AttrsInfo* info, const void* from);  // from == null: defaults
  AnyAttrs(const AnyAttrs& o) : AnyAttrs(o.info_, o.get()) {}
  AnyAttrs(AnyAttrs&& o) noexcept;
  AnyAttrs& operator=(AnyAttrs o) noexcept;
  ~AnyAttrs();
  const void* get() const { return info_ ? ptr() : nullptr; }
  void* get_mutable() { return info_ ? const_cast<void*>(ptr()) : nullptr; }
  const AttrsInfo* info() const { return info_; }

 private:
  static constexpr size_t kInline = 48;
  const void* ptr() const { return heap_ ? heap_ : inline_; }
  const AttrsInfo* info_ = nullptr;
  void* heap_ = nullptr;
  alignas(16) unsigned char inline_[kInline];
};

}  // namespace rutile
