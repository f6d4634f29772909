// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/ckpt.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "rutile/io/protobuf.h"

namespace rutile::io {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are little-endian");

constexpr std::string_view kCrcMark = "crc_num";
constexpr size_t kCrcDigits = 10, kCrcBytes = 17;
constexpr char kText[] = "str";

struct TypeRow {
  const char* name;
  DType dtype;
};
constexpr TypeRow kTypes[] = {
    {"Bool", DType::kBool},   {"UInt8", DType::kU8},      {"UInt16", DType::kU16},
    {"UInt32", DType::kU32},  {"UInt64", DType::kU64},    {"Int8", DType::kI8},
    {"Int16", DType::kI16},   {"Int32", DType::kI32},     {"Int64", DType::kI64},
    {"Float16", DType::kF16}, {"BFloat16", DType::kBF16}, {"Float32", DType::kF32},
    {"Float64", DType::kF64}, {"Complex64", DType::kC64}, {"Complex128", DType::kC128},
};

uint32_t crc_of(uint32_t crc, const void* data, size_t bytes) {
  return static_cast<uint32_t>(crc32_z(crc, static_cast<const Bytef*>(data), bytes));
}

// --- Text

void append_utf32(std::string* out, char32_t c) {
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(c >> shift));
}

// False where the text is not UTF-8; `out` may be null.
bool to_utf32(std::string_view utf8, std::string* out) {
  for (size_t i = 0; i < utf8.size();) {
    const auto byte = [&](size_t k) { return static_cast<uint8_t>(utf8[k]); };
    const uint8_t lead = byte(i);
    const int more = lead < 0x80   ? 0
                     : lead < 0xC2 ? -1
                     : lead < 0xE0 ? 1
                     : lead < 0xF0 ? 2
                     : lead < 0xF5 ? 3
                                   : -1;
    char32_t c = more <= 0 ? lead : lead & (0x3F >> more);
    bool good = more >= 0 && i + static_cast<size_t>(more) < utf8.size();
    for (int k = 1; good && k <= more; ++k) {
      good = (byte(i + static_cast<size_t>(k)) & 0xC0) == 0x80;
      if (good) c = c << 6 | (byte(i + static_cast<size_t>(k)) & 0x3F);
    }
    constexpr char32_t kLowest[] = {0, 0x80, 0x800, 0x10000};
    if (!good || c < kLowest[more] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return false;
    if (out) append_utf32(out, c);
    i += static_cast<size_t>(more) + 1;
  }
  return true;
}

std::string utf32_of(std::string_view utf8, const std::string& name) {
  std::string out;
  if (!to_utf32(utf8, &out)) {
    throw_error(ErrorCode::kValue, cat("the text of '", name, "' is not valid UTF-8"));
  }
  return out;
}

void append_utf8(std::string* out, char32_t c) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  constexpr uint8_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out->push_back(static_cast<char>(kLead[more] | c >> (6 * more)));
  for (int k = more - 1; k >= 0; --k) {
    out->push_back(static_cast<char>(0x80 | (c >> (6 * k) & 0x3F)));
  }
}

// --- Writing

class CkptWriter {
 public:
  CkptWriter(FileWriter* out, const CkptOptions& options) : out_(out), options_(options) {}

  void value(const std::string& name, const Shape& dims, std::string_view type, const void* data,
             size_t bytes) {
    std::string tensor;
    ProtoWriter t(&tensor);
    // The messages are proto2: one field per number.
    for (const int64_t d : dims) t.varint(1, static_cast<uint64_t>(d));
    t.bytes(2, type);
    t.bytes_head(3, bytes);
    std::string head;
    ProtoWriter v(&head);
    v.bytes(1, name);
    v.bytes_head(2, tensor.size() + bytes);
    std::string start;
    ProtoWriter(&start).bytes_head(1, head.size() + tensor.size() + bytes);
    put((start + head + tensor).data(), start.size() + head.size() + tensor.size());
    put(data, bytes);
  }

  void tensor(const std::string& name, const Tensor& t) {
    const TypeRow* row = std::find_if(std::begin(kTypes), std::end(kTypes),
                                      [&](const TypeRow& r) { return r.dtype == t.dtype(); });
    const size_t bytes = static_cast<size_t>(t.numel()) * dtype_size(t.dtype());
    const TensorMeta& meta = t.meta();
    std::vector<uint8_t> copy;
    const void* data = nullptr;
    if (bytes > 0 && meta.device == kCpu && meta.layout == kStrided && meta.is_contiguous()) {
      data = t.data();
    } else if (bytes > 0) {
      copy.resize(bytes);
      t.copy_out(copy.data(), bytes);
      data = copy.data();
    }
    // Chunks hold whole elements.
    const size_t size = dtype_size(t.dtype());
    const size_t step = std::max<size_t>(options_.chunk_bytes / size, 1) * size;
    size_t at = 0;
    do {
      const size_t n = std::min(step, bytes - at);
      value(name, t.shape(), row->name, static_cast<const uint8_t*>(data) + at, n);
      at += n;
    } while (at < bytes);
  }

  void finish() {
    if (!options_.crc) return;
    out_->write(kCrcMark);
    for (size_t i = kCrcDigits; i-- > 0;) {
      const char byte = i < sizeof(crc_) ? static_cast<char>(crc_ >> (8 * i)) : '\0';
      out_->write(&byte, 1);
    }
  }

 private:
  void put(const void* data, size_t bytes) {
    if (bytes == 0) return;
    if (options_.crc) crc_ = crc_of(crc_, data, bytes);
    out_->write(data, bytes);
  }

  FileWriter* out_;
  const CkptOptions& options_;
  uint32_t crc_ = 0;
};

// --- Reading

struct Value {
  std::string name, type;
  Shape dims;
  bool tensor = false, map = false;
  std::string_view content;
  uint64_t offset = 0;
};

void read_dims(ProtoReader* in, Shape* dims) {
  const auto add = [&](uint64_t d) {
    if (dims->rank() == kMaxRank) in->fail(cat("more than ", kMaxRank, " dimensions"));
    if (d > uint64_t{1} << 62) in->fail(cat("a dimension of ", static_cast<int64_t>(d)));
    dims->push_back(static_cast<int64_t>(d));
  };
  if (in->wire() == ProtoReader::Wire::kVarint) return add(in->varint());
  ProtoReader packed = in->message();
  for (uint64_t d; packed.next_packed(&d);) add(d);
}

Value read_value(ProtoReader in) {
  Value v;
  v.offset = in.offset();
  while (in.next()) {
    if (in.field() == 1) v.name = in.text();
    if (in.field() == 3) v.map = true;
    if (in.field() != 2) continue;
    v.tensor = true;
    ProtoReader t = in.message();
    while (t.next()) {
      if (t.field() == 1) read_dims(&t, &v.dims);
      if (t.field() == 2) v.type = t.text();
      if (t.field() == 3) {
        v.content = t.text();
        v.offset = t.offset();
      }
    }
  }
  return v;
}

std::string text_of(const std::string& utf32, const Value& v, const std::string& file) {
  if (utf32.size() % 4 != 0) {
    format_error(file, v.offset, cat("the text '", v.name, "' is not UTF-32"));
  }
  std::string out;
  for (size_t i = 0; i < utf32.size(); i += 4) {
    uint32_t c;
    std::memcpy(&c, utf32.data() + i, sizeof(c));
    if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) {
      format_error(file, v.offset, cat("the text '", v.name, "' is not UTF-32"));
    }
    append_utf8(&out, c);
  }
  return out;
}

// One tensor or text, from the values that make it up.
CkptEntry join(const std::vector<Value>& parts, const std::string& file) {
  const Value& v = parts.front();
  size_t bytes = 0;
  for (const Value& p : parts) {
    if (p.type != v.type || p.dims != v.dims) {
      format_error(file, p.offset, cat("the parts of '", v.name, "' differ in type or shape"));
    }
    bytes += p.content.size();
  }
  if (v.type == kText) {
    std::string all;
    for (const Value& p : parts) all += p.content;
    return CkptEntry(v.name, text_of(all, v, file));
  }
  const TypeRow* row = std::find_if(std::begin(kTypes), std::end(kTypes),
                                    [&](const TypeRow& r) { return v.type == r.name; });
  if (row == std::end(kTypes)) {
    throw_error(ErrorCode::kUnsupported,
                cat("'", file, "' at offset ", v.offset, ": '", v.name.substr(0, 200),
                    "' has the element type '", v.type.substr(0, 50), "', which is not supported"));
  }
  // Old files give scalars the dimensions [0].
  const bool scalar = v.dims.rank() == 1 && v.dims[0] == 0 && bytes == dtype_size(row->dtype);
  const Shape shape = scalar ? Shape{} : v.dims;
  int64_t numel = 0;
  if (Status s = checked_numel(shape, &numel); !s.ok()) format_error(file, v.offset, s.message());
  if (static_cast<uint64_t>(numel) > bytes ||
      static_cast<uint64_t>(numel) * dtype_size(row->dtype) != bytes) {
    format_error(
        file, v.offset,
        cat("'", v.name, "' is ", v.type, to_string(shape), ", but has ", bytes, " bytes"));
  }
  Tensor t = Tensor::empty(shape, row->dtype);
  uint8_t* to = bytes > 0 ? static_cast<uint8_t*>(t.mutable_data()) : nullptr;
  for (const Value& p : parts) {
    if (p.content.empty()) continue;
    std::memcpy(to, p.content.data(), p.content.size());
    to += p.content.size();
  }
  if (row->dtype == DType::kBool && bytes > 0) {
    const uint8_t* b = to - bytes;
    if (std::any_of(b, b + bytes, [](uint8_t x) { return x > 1; })) {
      format_error(file, v.offset, cat("'", v.name, "' holds truth values other than 0 and 1"));
    }
  }
  return CkptEntry(v.name, std::move(t));
}

// Size of the message without a checksum, which is verified.
size_t message_size(const Blob& blob) {
  const size_t size = blob.size();
  if (size < kCrcBytes ||
      std::memcmp(blob.data() + size - kCrcBytes, kCrcMark.data(), kCrcMark.size()) != 0) {
    return size;
  }
  uint64_t given = 0;
  for (size_t i = size - kCrcDigits; i < size; ++i) {
    if (given >> 56 != 0) format_error(blob.name(), i, "a checksum of more than 64 bits");
    given = given << 8 | blob.data()[i];
  }
  const uint32_t found = crc_of(0, blob.data(), size - kCrcBytes);
  if (found != given) {
    format_error(blob.name(), size - kCrcDigits,
                 cat("the file is damaged: its CRC-32 is ", found, ", not ", given));
  }
  return size - kCrcBytes;
}

}  // namespace

void save_ckpt(const std::string& path, const std::vector<CkptEntry>& entries,
               const CkptOptions& options) {
  if (options.chunk_bytes == 0) throw_error(ErrorCode::kValue, "chunk_bytes must be positive");
  std::set<std::string_view> names;
  for (const CkptEntry& e : entries) {
    if (!names.insert(e.name).second) {
      throw_error(ErrorCode::kValue, cat("the name '", e.name, "' is given twice"));
    }
    utf32_of(e.name, e.name);
    if (!e.is_text && !e.tensor.defined()) {
      throw_error(ErrorCode::kValue, cat("tensor '", e.name, "' is empty"));
    }
  }
  atomic_write(path, [&](FileWriter& out) {
    CkptWriter writer(&out, options);
    for (const CkptEntry& e : entries) {
      if (e.is_text) {
        const std::string text = utf32_of(e.text, e.name);
        writer.value(e.name, Shape{0}, kText, text.data(), text.size());
      } else {
        writer.tensor(e.name, e.tensor);
      }
    }
    writer.finish();
  });
}

std::vector<CkptEntry> parse_ckpt(const Ref<Blob>& blob) {
  std::vector<CkptEntry> entries;
  std::vector<Value> parts;
  std::set<std::string> names;
  const auto flush = [&] {
    if (parts.empty()) return;
    if (!names.insert(parts.front().name).second) {
      format_error(blob->name(), parts.front().offset,
                   cat("'", parts.front().name, "' stands twice"));
    }
    entries.push_back(join(parts, blob->name()));
    parts.clear();
  };
  ProtoReader in(blob->data(), message_size(*blob), blob->name());
  while (in.next()) {
    if (in.field() != 1) continue;
    Value v = read_value(in.message());
    // Names of types stand in errors as those of tensors do.
    if (!to_utf32(v.name, nullptr) || !to_utf32(v.type, nullptr)) {
      in.fail("a name that is not valid UTF-8");
    }
    if (v.map) {
      throw_error(ErrorCode::kUnsupported,
                  cat("'", blob->name(), "': '", v.name.substr(0, 200),
                      "' is a hash map of parameters, which is not supported"));
    }
    if (!v.tensor) in.fail("a value without a tensor");
    if (!parts.empty() && parts.front().name != v.name) flush();
    parts.push_back(std::move(v));
  }
  flush();
  return entries;
}

std::vector<CkptEntry> load_ckpt(const std::string& path) { return parse_ckpt(map_file(path)); }

}  // namespace rutile::io
