// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

namespace rutile::io {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;
constexpr char kMetadataKey[] = "__metadata__";

struct TypeRow {
  const char* name;
  int bits;
  std::optional<DType> dtype;
};
constexpr TypeRow kTypes[] = {
    {"BOOL", 8, DType::kBool},        {"U8", 8, DType::kU8},
    {"U16", 16, DType::kU16},         {"U32", 32, DType::kU32},
    {"U64", 64, DType::kU64},         {"I8", 8, DType::kI8},
    {"I16", 16, DType::kI16},         {"I32", 32, DType::kI32},
    {"I64", 64, DType::kI64},         {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},       {"F32", 32, DType::kF32},
    {"F64", 64, DType::kF64},         {"C64", 64, DType::kC64},
    {"F8_E4M3", 8, std::nullopt},     {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},     {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt}, {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},     {"F4", 4, std::nullopt},
};

const TypeRow* find_type(std::string_view name) {
  for (const TypeRow& row : kTypes) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const TypeRow* find_type(DType dtype) {
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) return &row;
  }
  return nullptr;
}

// Receives the JSON events and accepts nothing but the format's three levels, so that depth and
// memory are bounded by the grammar and not by the file.
class HeaderReader {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  std::vector<SafetensorsEntry> entries;
  std::map<std::string, size_t, std::less<>> by_name;
  std::map<std::string, std::string> metadata;
  std::string problem;
  uint64_t problem_at = 0;  // within the header

  bool start_object(size_t) {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kTopValue:
        return start_entry();
      default:
        return fail("an object where none belongs");
    }
  }
  bool end_object() {
    switch (state_) {
      case State::kEntry:
        return end_entry();
      case State::kMetadata:
        state_ = State::kTop;
        return true;
      default:
        state_ = State::kDone;
        return true;
    }
  }
  bool key(string_t& k) {
    key_ = std::move(k);
    switch (state_) {
      case State::kTop:
        state_ = State::kTopValue;
        return true;
      case State::kMetadata:
        return metadata.contains(key_) ? fail(cat("metadata key '", key_, "' stands twice")) : true;
      default:
        return entry_key();
    }
  }
  bool string(string_t& s) {
    if (state_ == State::kMetadata) {
      metadata.emplace(std::move(key_), std::move(s));
      return true;
    }
    if (state_ == State::kEntry && key_ == "dtype") {
      const TypeRow* row = find_type(s);
      if (row == nullptr)
        return fail(cat("tensor '", entry_.name, "' has unknown dtype '", s, "'"));
      entry_.type = row->name;
      entry_.dtype = row->dtype;
      return true;
    }
    return misplaced("a string");
  }
  bool start_array(size_t) {
    if (state_ != State::kEntry || key_ == "dtype") return misplaced("an array");
    state_ = key_ == "shape" ? State::kShape : State::kOffsets;
    return true;
  }
  bool end_array() {
    if (state_ == State::kOffsets && offsets_ != 2) {
      return fail(cat("data_offsets of tensor '", entry_.name, "' are not two numbers"));
    }
    state_ = State::kEntry;
    return true;
  }
  bool number_unsigned(number_unsigned_t n) {
    if (state_ == State::kShape) {
      if (entry_.shape.rank() == kMaxRank) {
        return fail(cat("tensor '", entry_.name, "' has more than ", kMaxRank, " dimensions"));
      }
      if (n > uint64_t{1} << 62) return fail(cat("tensor '", entry_.name, "' has a size of ", n));
      entry_.shape.push_back(static_cast<int64_t>(n));
      return true;
    }
    if (state_ == State::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? entry_.begin : entry_.end) = n;
      return true;
    }
    return misplaced("a number");
  }
  bool number_integer(number_integer_t) { return misplaced("a negative number"); }
  bool number_float(number_float_t, const string_t&) { return misplaced("a fraction"); }
  bool null() { return misplaced("null"); }
  bool boolean(bool) { return misplaced("a truth value"); }
  bool binary(binary_t&) { return misplaced("binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& e) {
    problem_at = position;
    return fail(cat("the header is not valid JSON (", e.what(), ")"));
  }

 private:
  enum class State { kStart, kTop, kTopValue, kMetadata, kEntry, kShape, kOffsets, kDone };

  bool fail(std::string why) {
    problem = std::move(why);
    return false;
  }
  bool misplaced(const char* what) {
    return fail(entry_.name.empty() ? cat("the header has ", what, " where none belongs")
                                    : cat("the header of tensor '", entry_.name, "' has ", what,
                                          " where none belongs"));
  }
  bool start_entry() {
    if (key_ == kMetadataKey) {
      if (seen_metadata_) return fail("__metadata__ stands twice");
      seen_metadata_ = true;
      state_ = State::kMetadata;
      return true;
    }
    if (!by_name.emplace(key_, entries.size()).second) {
      return fail(cat("tensor '", key_, "' stands twice"));
    }
    entry_ = SafetensorsEntry();
    entry_.name = std::move(key_);
    seen_fields_ = offsets_ = 0;
    state_ = State::kEntry;
    return true;
  }
  bool entry_key() {
    const int bit = key_ == "dtype" ? 1 : key_ == "shape" ? 2 : key_ == "data_offsets" ? 4 : 0;
    if (bit == 0) return fail(cat("tensor '", entry_.name, "' has unknown field '", key_, "'"));
    if ((seen_fields_ & bit) != 0) {
      return fail(cat("tensor '", entry_.name, "' has field '", key_, "' twice"));
    }
    seen_fields_ |= bit;
    return true;
  }
  bool end_entry() {
    if (seen_fields_ != 7) {
      return fail(cat("tensor '", entry_.name, "' has not all of dtype, shape and data_offsets"));
    }
    entries.push_back(std::move(entry_));
    entry_ = SafetensorsEntry();
    state_ = State::kTop;
    return true;
  }

  State state_ = State::kStart;
  std::string key_;
  SafetensorsEntry entry_;
  int seen_fields_ = 0, offsets_ = 0;
  bool seen_metadata_ = false;
};

std::string problem_with_sizes(const SafetensorsEntry& e, uint64_t expected_begin) {
  int64_t numel = 0;
  if (Status s = checked_numel(e.shape, &numel); !s.ok()) return s.message();
  const uint64_t bits = static_cast<uint64_t>(numel) * find_type(e.type)->bits;
  if (e.end < e.begin || bits % 8 != 0 || e.end - e.begin != bits / 8) {
    return cat(e.type, to_string(e.shape), " needs ", (bits + 7) / 8, " bytes, data_offsets are [",
               e.begin, ",", e.end, "]");
  }
  if (e.begin != expected_begin) {
    return cat("its data begin at ", e.begin, ", ",
               expected_begin < e.begin ? "a hole" : "an overlap",
               " after the tensor before, which ends at ", expected_begin);
  }
  return "";
}

std::string json_string(const std::string& s, const char* what) {
  try {
    return nlohmann::json(s).dump();
  } catch (const nlohmann::json::exception&) {
    throw_error(ErrorCode::kValue, cat(what, " is not valid UTF-8"));
  }
}

std::string make_header(const std::vector<NamedTensor>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string h = "{";
  const auto comma = [&h] {
    if (h.back() != '{') h += ',';
  };
  if (!metadata.empty()) {
    h += cat('"', kMetadataKey, "\":{");
    for (const auto& [key, value] : metadata) {
      comma();
      h += json_string(key, "a metadata key") + ":" + json_string(value, "a metadata value");
    }
    h += '}';
  }
  std::map<std::string_view, bool> names;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    if (name == kMetadataKey || !names.emplace(name, true).second) {
      throw_error(ErrorCode::kValue, cat("tensor name '", name, "' is given twice or reserved"));
    }
    if (!tensor.defined()) throw_error(ErrorCode::kValue, cat("tensor '", name, "' is empty"));
    const TypeRow* row = find_type(tensor.dtype());
    if (row == nullptr) {
      throw_error(ErrorCode::kUnsupported, cat("tensor '", name, "' is ", to_string(tensor.dtype()),
                                               ", which safetensors files cannot hold"));
    }
    const uint64_t end =
        offset + static_cast<uint64_t>(tensor.numel()) * dtype_size(tensor.dtype());
    comma();
    h += cat(json_string(name, "a tensor's name"), ":{\"dtype\":\"", row->name,
             "\",\"shape\":", to_string(tensor.shape()), ",\"data_offsets\":[", offset, ",", end,
             "]}");
    offset = end;
  }
  h += '}';
  h.append((kLengthBytes - h.size() % kLengthBytes) % kLengthBytes, ' ');
  if (h.size() > kMaxHeader) {
    throw_error(ErrorCode::kValue,
                cat("the header has ", h.size(), " bytes, at most ", kMaxHeader, " are allowed"));
  }
  return h;
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::string& path) { return parse(map_file(path)); }

SafetensorsFile SafetensorsFile::parse(Ref<Blob> blob) {
  const std::string& name = blob->name();
  uint64_t length = 0;
  if (blob->size() < kLengthBytes) {
    format_error(name, blob->size(), "the file ends inside the length of the header");
  }
  std::memcpy(&length, blob->data(), kLengthBytes);
  if (length > kMaxHeader) {
    format_error(name, 0,
                 cat("not a safetensors file: it gives its header ", length, " bytes, at most ",
                     kMaxHeader, " are allowed"));
  }
  if (length > blob->size() - kLengthBytes) {
    format_error(name, blob->size(), cat("the file ends inside its header of ", length, " bytes"));
  }
  const char* text = reinterpret_cast<const char*>(blob->data()) + kLengthBytes;
  if (length == 0 || *text != '{') {
    format_error(name, kLengthBytes, "not a safetensors file: the header does not start with '{'");
  }
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(text, text + length, &reader)) {
    format_error(name, kLengthBytes + reader.problem_at, reader.problem);
  }

  SafetensorsFile file;
  file.data_begin_ = kLengthBytes + length;
  file.entries_ = std::move(reader.entries);
  file.metadata_ = std::move(reader.metadata);
  file.by_name_ = std::move(reader.by_name);
  std::stable_sort(file.entries_.begin(), file.entries_.end(), [](const auto& a, const auto& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t end = 0;
  for (size_t i = 0; i < file.entries_.size(); ++i) {
    const SafetensorsEntry& e = file.entries_[i];
    if (std::string why = problem_with_sizes(e, end); !why.empty()) {
      format_error(name, kLengthBytes, cat("tensor '", e.name, "': ", why));
    }
    end = e.end;
    file.by_name_.find(e.name)->second = i;
  }
  const uint64_t data_bytes = blob->size() - file.data_begin_;
  if (end != data_bytes) {
    format_error(name, file.data_begin_ + std::min(end, data_bytes),
                 cat("the tensors need ", end, " bytes, the file has ", data_bytes));
  }
  file.blob_ = std::move(blob);
  return file;
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &entries_[it->second];
}

Tensor SafetensorsFile::tensor(std::string_view name) const {
  if (const SafetensorsEntry* e = find(name)) return tensor(*e);
  const SafetensorsEntry* close = nullptr;
  size_t best = std::max<size_t>(3, name.size() / 3);
  for (const SafetensorsEntry& e : entries_) {
    if (e.name.size() > name.size() + best || name.size() > e.name.size() + best) continue;
    const size_t d = edit_distance(name, e.name);
    if (d < best) {
      best = d;
      close = &e;
    }
  }
  throw_error(ErrorCode::kNotFound,
              cat("'", path(), "' has no tensor '", name, "' among its ", entries_.size(),
                  close != nullptr ? cat("; did you mean '", close->name, "'?") : ""));
}

Tensor SafetensorsFile::tensor(const SafetensorsEntry& e) const {
  if (!e.dtype) {
    throw_error(ErrorCode::kUnsupported, cat("'", path(), "': tensor '", e.name, "' has dtype ",
                                             e.type, ", which is not supported"));
  }
  const TensorMeta meta(e.shape, *e.dtype);
  uint8_t* data = blob_->data() + data_begin_ + e.begin;
  const size_t bytes = e.end - e.begin;
  if (e.dtype == DType::kBool) {
    const uint8_t* bad = std::find_if(data, data + bytes, [](uint8_t b) { return b > 1; });
    if (bad != data + bytes) {
      format_error(path(), static_cast<uint64_t>(bad - blob_->data()),
                   cat("tensor '", e.name, "' holds the byte ", *bad, " as a truth value"));
    }
  }
  const size_t align = is_complex(*e.dtype) ? dtype_size(*e.dtype) / 2 : dtype_size(*e.dtype);
  if (reinterpret_cast<uintptr_t>(data) % align == 0) return Tensor::view_of(blob_, data, meta);
  return Tensor::from_bytes(data, bytes, e.shape, *e.dtype);
}

void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  atomic_write(path, [&](FileWriter& out) {
    const std::string header = make_header(tensors, metadata);
    const uint64_t length = header.size();
    out.write(&length, sizeof(length));
    out.write(header);
    std::vector<uint8_t> copy;
    for (const auto& [name, tensor] : tensors) {
      const size_t bytes = static_cast<size_t>(tensor.numel()) * dtype_size(tensor.dtype());
      const TensorMeta& meta = tensor.meta();
      if (bytes == 0) continue;
      if (meta.device == kCpu && meta.layout == kStrided && meta.is_contiguous()) {
        out.write(tensor.data(), bytes);
      } else {
        copy.resize(bytes);
        tensor.copy_out(copy.data(), bytes);
        out.write(copy.data(), bytes);
      }
    }
  });
}

}  // namespace rutile::io
