// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/attrs.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <functional>
#include <limits>

namespace rutile {

namespace {

// Reads an integer out of any alternative that holds one exactly.
bool as_int(const AttrValue& v, int64_t* out) {
  if (const auto* i = std::get_if<int64_t>(&v)) return *out = *i, true;
  if (const auto* b = std::get_if<bool>(&v)) return *out = *b, true;
  if (const auto* s = std::get_if<Scalar>(&v); s && s->kind != Scalar::Kind::kFloat) {
    return *out = s->i, true;
  }
  return false;
}

bool as_double(const AttrValue& v, double* out) {
  if (const auto* d = std::get_if<double>(&v)) return *out = *d, true;
  if (const auto* s = std::get_if<Scalar>(&v)) return *out = s->f, true;
  int64_t i = 0;
  if (!as_int(v, &i)) return false;
  *out = static_cast<double>(i);
  return true;
}

}  // namespace

std::string_view field_name(const AttrsInfo& info, int i) {
  std::string_view s = info.field_names;
  for (; i > 0; --i) s.remove_prefix(s.find(',') + 1);
  s = s.substr(0, s.find(','));
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

int field_index(const AttrsInfo& info, std::string_view name) {
  for (int i = 0; i < info.num_fields; ++i) {
    if (field_name(info, i) == name) return i;
  }
  return -1;
}

std::string to_string(const AttrValue& v) {
  struct Visitor {
    std::string operator()(std::monostate) const { return "none"; }
    std::string operator()(bool b) const { return b ? "true" : "false"; }
    std::string operator()(int64_t i) const { return std::to_string(i); }
    std::string operator()(double d) const {
      std::string s = cat(d);
      // A float must read back as one.
      if (s.find_first_of(".einf") == std::string::npos) s += ".0";
      return s;
    }
    std::string operator()(const Scalar& s) const {
      if (s.kind == Scalar::Kind::kFloat) return (*this)(s.f);
      return s.kind == Scalar::Kind::kBool ? (*this)(s.i != 0) : (*this)(s.i);
    }
    std::string operator()(const Dims& d) const { return rutile::to_string(d); }
    std::string operator()(DType t) const { return dtype_name(t); }
    std::string operator()(const std::string& s) const { return cat('"', s, '"'); }
    std::string operator()(const Ref<Region>& r) const { return r ? "{region}" : "none"; }
  };
  return std::visit(Visitor{}, v);
}

Status parse_attr_value(std::string_view text, AttrValue* v) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  const char* end = text.data() + text.size();
  DType dtype{};
  int64_t i = 0;
  double d = 0;
  if (text == "none") {
    *v = std::monostate();
  } else if (text == "true" || text == "false") {
    *v = text == "true";
  } else if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    *v = std::string(text.substr(1, text.size() - 2));
  } else if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    Dims dims;
    text = text.substr(1, text.size() - 2);
    while (!text.empty()) {
      const auto [p, ec] = std::from_chars(text.data(), text.data() + text.size(), i);
      if (ec != std::errc() || dims.rank() == kMaxRank) {
        return value_error(cat("not a list of integers: ", text));
      }
      dims.push_back(i);
      text.remove_prefix(static_cast<size_t>(p - text.data()));
      while (!text.empty() && (text.front() == ',' || text.front() == ' ')) text.remove_prefix(1);
    }
    *v = dims;
  } else if (auto [p, ec] = std::from_chars(text.data(), end, i); ec == std::errc() && p == end) {
    *v = i;
  } else if (auto [p, ec] = std::from_chars(text.data(), end, d); ec == std::errc() && p == end) {
    *v = d;
  } else if (parse_dtype(text, &dtype)) {
    *v = dtype;
  } else {
    return value_error(cat("not an attribute value: ", text));
  }
  return Status();
}

std::string attrs_to_string(const AttrsInfo& info, const void* attrs, bool all) {
  const AnyAttrs defaults(&info, nullptr);
  std::string out;
  for (int i = 0; i < info.num_fields; ++i) {
    const AttrValue v = info.get(attrs, i);
    const std::string text = to_string(v);
    if (!all && text == to_string(info.get(defaults.get(), i))) continue;
    if (!out.empty()) out += ", ";
    out += cat(field_name(info, i), "=", text);
  }
  return out;
}

AnyAttrs::AnyAttrs(const AttrsInfo* info, const void* from) : info_(info) {
  if (!info_) return;
  if (info_->size > kInline || info_->align > 16) {
    heap_ = ::operator new(info_->size, std::align_val_t(info_->align));
  }
  if (from) {
    info_->copy(get_mutable(), from);
  } else {
    info_->construct(get_mutable());
  }
}

AnyAttrs::AnyAttrs(AnyAttrs&& o) noexcept : info_(o.info_), heap_(o.heap_) {
  if (info_ && !heap_) {
    info_->copy(inline_, o.inline_);
    info_->destroy(o.inline_);
  }
  o.info_ = nullptr;
  o.heap_ = nullptr;
}

AnyAttrs& AnyAttrs::operator=(AnyAttrs o) noexcept {
  this->~AnyAttrs();
  ::new (this) AnyAttrs(std::move(o));
  return *this;
}

AnyAttrs::~AnyAttrs() {
  if (!info_) return;
  info_->destroy(get_mutable());
  if (heap_) ::operator delete(heap_, std::align_val_t(info_->align));
}

namespace detail {

uint64_t mix_hash(uint64_t a, uint64_t b) {
  a ^= b + 0x9E3779B97F4A7C15ull + (a << 6) + (a >> 2);
  a ^= a >> 30;
  a *= 0xBF58476D1CE4E5B9ull;
  return a ^ (a >> 27);
}

Status attr_type_error(const char* expected, const AttrValue& got) {
  return type_error(cat("expects ", expected, ", got ", to_string(got)));
}

Status set_bool(bool* field, const AttrValue& v) {
  int64_t i = 0;
  if (!as_int(v, &i) || (i != 0 && i != 1)) return attr_type_error("true or false", v);
  *field = i != 0;
  return Status();
}

Status set_int(int64_t* field, const AttrValue& v) {
  return as_int(v, field) ? Status() : attr_type_error("an integer", v);
}

Status set_double(double* field, const AttrValue& v) {
  return as_double(v, field) ? Status() : attr_type_error("a number", v);
}

Status set_string(std::string* field, const AttrValue& v) {
  const auto* s = std::get_if<std::string>(&v);
  if (!s) return attr_type_error("a string", v);
  *field = *s;
  return Status();
}

Status set_dims(Dims* field, const AttrValue& v) {
  if (const auto* d = std::get_if<Dims>(&v)) {
    *field = *d;
    return Status();
  }
  int64_t i = 0;
  if (!as_int(v, &i)) return attr_type_error("a list of integers", v);
  *field = Dims{i};
  return Status();
}

Status set_int2(Int2* field, const AttrValue& v) {
  int64_t i = 0;
  if (const auto* d = std::get_if<Dims>(&v); d && (d->rank() == 1 || d->rank() == 2)) {
    *field = Int2((*d)[0], (*d)[d->rank() - 1]);
    return Status();
  }
  if (!as_int(v, &i)) return attr_type_error("an integer or a pair of them", v);
  *field = Int2(i);
  return Status();
}

Status set_int3(Int3* field, const AttrValue& v) {
  int64_t i = 0;
  if (const auto* d = std::get_if<Dims>(&v); d && (d->rank() == 1 || d->rank() == 3)) {
    const int step = d->rank() / 2;
    *field = Int3((*d)[0], (*d)[step], (*d)[2 * step]);
    return Status();
  }
  if (!as_int(v, &i)) return attr_type_error("an integer or three of them", v);
  *field = Int3(i);
  return Status();
}

Status set_dtype(DType* field, const AttrValue& v) {
  if (const auto* t = std::get_if<DType>(&v)) {
    *field = *t;
    return Status();
  }
  const auto* s = std::get_if<std::string>(&v);
  if (s && parse_dtype(*s, field)) return Status();
  return attr_type_error("a dtype", v);
}

Status set_placement(Placement* field, const AttrValue& v) {
  const auto* s = std::get_if<std::string>(&v);
  if (s && parse_placement(*s, field)) return Status();
  return attr_type_error("\"row_major\", \"channels_last\" or a layout tag", v);
}

Status set_scalar(Scalar* field, const AttrValue& v) {
  int64_t i = 0;
  double d = 0;
  if (const auto* s = std::get_if<Scalar>(&v)) {
    *field = *s;
  } else if (const auto* b = std::get_if<bool>(&v)) {
    *field = Scalar(*b);
  } else if (as_int(v, &i)) {
    *field = Scalar(i);
  } else if (as_double(v, &d)) {
    *field = Scalar(d);
  } else {
    return attr_type_error("a number", v);
  }
  return Status();
}

Status set_enum(int* value, const char* const* names, int count, const AttrValue& v) {
  std::string known;
  for (int i = 0; i < count; ++i) {
    if (const auto* s = std::get_if<std::string>(&v); s && *s == names[i]) {
      *value = i;
      return Status();
    }
    known += cat(i ? ", " : "", '"', names[i], '"');
  }
  return value_error(cat("expects one of ", known, ", got ", to_string(v)));
}

uint64_t hash_value(const AttrValue& v) {
  struct Visitor {
    uint64_t operator()(std::monostate) const { return 1; }
    uint64_t operator()(bool b) const { return 2 + b; }
    uint64_t operator()(int64_t i) const { return mix_hash(4, static_cast<uint64_t>(i)); }
    uint64_t operator()(double d) const { return mix_hash(5, std::bit_cast<uint64_t>(d)); }
    uint64_t operator()(const Scalar& s) const {
      return s.kind == Scalar::Kind::kFloat ? (*this)(s.f) : (*this)(s.i);
    }
    uint64_t operator()(const Dims& d) const {
      uint64_t h = static_cast<uint64_t>(d.rank());
      for (int64_t x : d) h = mix_hash(h, static_cast<uint64_t>(x));
      return h;
    }
    uint64_t operator()(DType t) const { return mix_hash(6, static_cast<uint64_t>(t)); }
    uint64_t operator()(const std::string& s) const { return std::hash<std::string>()(s); }
    uint64_t operator()(const Ref<Region>& r) const {
      return mix_hash(7, reinterpret_cast<uint64_t>(r.get()));
    }
  };
  return std::visit(Visitor{}, v);
}

}  // namespace detail
}  // namespace rutile
