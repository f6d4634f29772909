// SPDX-License-Identifier: Apache-2.0
// The wire format of protobuf messages (protobuf.dev/programming-guides/encoding), read in place
// and written field by field: what weight files need, which are too large to hold as message
// objects.
//
//   io::ProtoReader in(blob->data(), blob->size(), blob->name());
//   while (in.next()) {
//     if (in.field() == 1) names.push_back(std::string(in.text()));   // other fields are skipped
//   }
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rutile/core/api.h"

namespace rutile::io {

// A message in memory that outlives the reader. Anything malformed throws Error{kValue} with `name`
// and the offset in the file; no length in the message makes it read or allocate beyond its end.
class RUTILE_API ProtoReader {
 public:
  enum class Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  // `offset` is where the message begins in the file.
  ProtoReader(const uint8_t* data, size_t size, std::string name, uint64_t offset = 0)
      : begin_(data), at_(data), end_(data + size), name_(std::move(name)), offset_(offset) {}

  // Goes to the next field and reads its value; false at the end.
  bool next();
  uint32_t field() const { return field_; }
  Wire wire() const { return wire_; }
  // The value of the field; an error where the wire type is another one.
  uint64_t varint() const;
  std::string_view text() const;
  // A nested message.
  ProtoReader message() const;
  // Offset in the file of the field's value.
  uint64_t offset() const;
  [[noreturn]] void fail(std::string_view why) const;

  // Reads the next varint of a packed list; false at the end.
  bool next_packed(uint64_t* out);

 private:
  uint64_t read_varint();
  void expect(Wire wire) const;

  const uint8_t* begin_;
  const uint8_t* at_;
  const uint8_t* end_;
  std::string name_;
  uint64_t offset_ = 0;
  uint32_t field_ = 0;
  Wire wire_ = Wire::kVarint;
  uint64_t number_ = 0;
  const uint8_t* value_ = nullptr;
};

// Appends fields to `out`.
class RUTILE_API ProtoWriter {
 public:
  explicit ProtoWriter(std::string* out) : out_(out) {}
  void varint(uint32_t field, uint64_t value);
  void bytes(uint32_t field, std::string_view value);
  void number(uint32_t field, double value);       // 64 bits
  void small_number(uint32_t field, float value);  // 32 bits
  // Packed.
  void numbers(uint32_t field, const std::vector<double>& values);
  // The head of a field of `size` bytes that the caller writes himself.
  void bytes_head(uint32_t field, uint64_t size);

 private:
  void raw_varint(uint64_t value);
  void raw_fixed(uint64_t bits, int bytes);
  std::string* out_;
};

}  // namespace rutile::io
