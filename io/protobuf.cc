// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/protobuf.h"

#include <bit>

#include "rutile/io/file.h"

namespace rutile::io {

void ProtoReader::fail(std::string_view why) const { format_error(name_, offset(), why); }

uint64_t ProtoReader::offset() const {
  return offset_ + static_cast<uint64_t>((value_ != nullptr ? value_ : at_) - begin_);
}

uint64_t ProtoReader::read_varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (at_ == end_) fail("the message ends inside a number");
    const uint8_t byte = *at_++;
    // The tenth byte holds the last bit alone.
    if (shift == 63 && byte > 1) break;
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  fail("a number has more than 64 bits");
}

bool ProtoReader::next() {
  value_ = nullptr;
  if (at_ == end_) return false;
  const uint64_t key = read_varint();
  if (key >> 3 == 0 || key >> 32 != 0) fail("not a protobuf message: there is no such field");
  field_ = static_cast<uint32_t>(key >> 3);
  wire_ = static_cast<Wire>(key & 7);
  const uint8_t* start = at_;
  switch (wire_) {
    case Wire::kVarint:
      number_ = read_varint();
      break;
    case Wire::kFixed64:
      number_ = 8;
      break;
    case Wire::kBytes:
      number_ = read_varint();
      start = at_;
      break;
    case Wire::kFixed32:
      number_ = 4;
      break;
    default:
      fail("not a protobuf message: a field of unknown type");
  }
  if (wire_ != Wire::kVarint) {
    if (number_ > static_cast<uint64_t>(end_ - at_)) {
      fail("a field of " + std::to_string(number_) + " bytes goes beyond the end");
    }
    at_ += number_;
  }
  value_ = start;
  return true;
}

bool ProtoReader::next_packed(uint64_t* out) {
  value_ = nullptr;
  if (at_ == end_) return false;
  *out = read_varint();
  return true;
}

void ProtoReader::expect(Wire wire) const {
  if (wire_ != wire) fail("field " + std::to_string(field_) + " has another type");
}

uint64_t ProtoReader::varint() const {
  expect(Wire::kVarint);
  return number_;
}

std::string_view ProtoReader::text() const {
  expect(Wire::kBytes);
  return {reinterpret_cast<const char*>(value_), static_cast<size_t>(number_)};
}

ProtoReader ProtoReader::message() const {
  expect(Wire::kBytes);
  return ProtoReader(value_, static_cast<size_t>(number_), name_, offset());
}

void ProtoWriter::raw_varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) out_->push_back(static_cast<char>(value | 0x80));
  out_->push_back(static_cast<char>(value));
}

void ProtoWriter::varint(uint32_t field, uint64_t value) {
  raw_varint(uint64_t{field} << 3);
  raw_varint(value);
}

void ProtoWriter::raw_fixed(uint64_t bits, int bytes) {
  for (int i = 0; i < bytes; ++i) out_->push_back(static_cast<char>(bits >> (8 * i)));
}

void ProtoWriter::number(uint32_t field, double value) {
  raw_varint(uint64_t{field} << 3 | 1);
  raw_fixed(std::bit_cast<uint64_t>(value), 8);
}

void ProtoWriter::small_number(uint32_t field, float value) {
  raw_varint(uint64_t{field} << 3 | 5);
  raw_fixed(std::bit_cast<uint32_t>(value), 4);
}

void ProtoWriter::numbers(uint32_t field, const std::vector<double>& values) {
  bytes_head(field, values.size() * sizeof(double));
  for (const double v : values) raw_fixed(std::bit_cast<uint64_t>(v), 8);
}

void ProtoWriter::bytes_head(uint32_t field, uint64_t size) {
  raw_varint(uint64_t{field} << 3 | 2);
  raw_varint(size);
}

void ProtoWriter::bytes(uint32_t field, std::string_view value) {
  bytes_head(field, value.size());
  out_->append(value);
}

}  // namespace rutile::io
