// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/records.h"

#include <array>
#include <cstring>

#include "rutile/core/error.h"

namespace rutile::io {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // Castagnoli's, reflected
constexpr uint32_t kMask = 0xA282EAD8;
constexpr size_t kHead = 12, kTail = 4;

// table[k][b]: what the byte b does to the CRC, k bytes later.
constexpr auto kTable = [] {
  std::array<std::array<uint32_t, 256>, 8> table{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t c = b;
    for (int i = 0; i < 8; ++i) c = c & 1 ? c >> 1 ^ kPolynomial : c >> 1;
    table[0][b] = c;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t b = 0; b < 256; ++b) {
      const uint32_t c = table[k - 1][b];
      table[k][b] = c >> 8 ^ table[0][c & 255];
    }
  }
  return table;
}();

uint64_t read_little(const uint8_t* p, int bytes) {
  uint64_t v = 0;
  for (int i = 0; i < bytes; ++i) v |= uint64_t{p[i]} << (8 * i);
  return v;
}

void append_little(uint64_t v, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(v >> (8 * i)));
}

}  // namespace

uint32_t crc32c(const void* data, size_t bytes, uint32_t crc) {
  const auto* p = static_cast<const uint8_t*>(data);
  crc = ~crc;
  for (; bytes >= 8; bytes -= 8, p += 8) {
    const uint64_t v = read_little(p, 8) ^ crc;
    uint32_t c = 0;
    for (size_t k = 0; k < 8; ++k) c ^= kTable[7 - k][v >> (8 * k) & 255];
    crc = c;
  }
  for (; bytes > 0; --bytes) crc = crc >> 8 ^ kTable[0][(crc ^ *p++) & 255];
  return ~crc;
}

uint32_t masked_crc32c(const void* data, size_t bytes) {
  const uint32_t crc = crc32c(data, bytes);
  return (crc >> 15 | crc << 17) + kMask;
}

void append_record(std::string_view record, std::string* out) {
  std::string length;
  append_little(record.size(), 8, &length);
  out->append(length);
  append_little(masked_crc32c(length.data(), length.size()), 4, out);
  out->append(record);
  append_little(masked_crc32c(record.data(), record.size()), 4, out);
}

std::vector<std::string_view> parse_records(const Blob& blob, bool whole) {
  std::vector<std::string_view> records;
  const uint8_t* begin = blob.data();
  size_t at = 0;
  while (at < blob.size()) {
    const uint8_t* p = begin + at;
    const size_t left = blob.size() - at;
    if (left < kHead) {
      if (whole) format_error(blob.name(), at, "the head of a record is cut off");
      break;
    }
    if (read_little(p + 8, 4) != masked_crc32c(p, 8)) {
      format_error(blob.name(), at, "the length of a record has a wrong checksum");
    }
    const uint64_t length = read_little(p, 8);
    if (length > left - kHead || left - kHead - length < kTail) {
      if (whole) format_error(blob.name(), at, cat("a record of ", length, " bytes is cut off"));
      break;
    }
    const uint8_t* record = p + kHead;
    if (read_little(record + length, 4) != masked_crc32c(record, length)) {
      format_error(blob.name(), at, "a record has a wrong checksum");
    }
    records.emplace_back(reinterpret_cast<const char*>(record), length);
    at += kHead + length + kTail;
  }
  return records;
}

}  // namespace rutile::io
