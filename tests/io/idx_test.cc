// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/idx.h"

#include <gtest/gtest.h>

#include "rutile/tests/io/inputs.h"
#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::io {
namespace {

using ::rutile::testing::gzip_bytes;
using ::rutile::testing::idx_bytes;
using ::rutile::testing::TempDir;
using ::rutile::testing::write_text;
using namespace std::string_literals;

Tensor parse(const std::string& bytes) {
  return parse_idx(copy_bytes(bytes.data(), bytes.size(), "train.idx"));
}

TEST(Idx, ReadsBytesPlainAndGzipped) {
  TempDir dir;
  const std::string file = idx_bytes(0x08, {2, 3}, "abcdef");
  write_text(dir / "plain", file);
  write_text(dir / "packed.gz", gzip_bytes(file));
  for (const char* name : {"plain", "packed.gz"}) {
    const Tensor t = read_idx(dir / name);
    EXPECT_EQ(t.shape(), (Shape{2, 3}));
    EXPECT_EQ(t.to_vector<uint8_t>(), (std::vector<uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'}));
  }
}

TEST(Idx, ReadsEveryType) {
  EXPECT_EQ(parse(idx_bytes(0x09, {2}, "\xff\x01"s)).to_vector<int8_t>(),
            (std::vector<int8_t>{-1, 1}));
  EXPECT_EQ(parse(idx_bytes(0x0B, {2}, "\xff\xfe\x01\x00"s)).to_vector<int16_t>(),
            (std::vector<int16_t>{-2, 256}));
  EXPECT_EQ(parse(idx_bytes(0x0C, {1}, "\x00\x01\x00\x02"s)).to_vector<int32_t>(),
            (std::vector<int32_t>{65538}));
  EXPECT_EQ(parse(idx_bytes(0x0D, {1}, "\x3f\xc0\x00\x00"s)).to_vector<float>(),
            (std::vector<float>{1.5f}));
  EXPECT_EQ(parse(idx_bytes(0x0E, {1}, "\xc0\x00\x00\x00\x00\x00\x00\x00"s)).to_vector<double>(),
            (std::vector<double>{-2}));
}

TEST(Idx, EmptyAndScalarArrays) {
  EXPECT_EQ(parse(idx_bytes(0x08, {0, 28, 28}, "")).shape(), (Shape{0, 28, 28}));
  EXPECT_EQ(parse(idx_bytes(0x0D, {3, 0}, "")).numel(), 0);
  EXPECT_EQ(parse(idx_bytes(0x08, {}, "x")).shape(), Shape{});
}

TEST(Idx, Errors) {
  const std::string good = idx_bytes(0x08, {2, 3}, "abcdef");
  EXPECT_RUTILE_ERROR(parse(""), kValue, "'train.idx' at offset 0: the file ends inside");
  EXPECT_RUTILE_ERROR(parse("\x89PNG...."), kValue, "not an IDX file: it starts with 137 80");
  EXPECT_RUTILE_ERROR(parse("\0\0\x07\x01"s), kValue, "not an IDX file");
  EXPECT_RUTILE_ERROR(parse("\0\0\x08\x09"s), kValue, "9 dimensions, at most 8");
  EXPECT_RUTILE_ERROR(parse(good.substr(0, 9)), kValue, "offset 9: the file ends inside the sizes");
  EXPECT_RUTILE_ERROR(parse(good.substr(0, good.size() - 1)), kValue,
                      "offset 17: the header promises u8[2,3], 18 bytes in all, but there are 17");
  EXPECT_RUTILE_ERROR(parse(good + "x"), kValue, "but there are 19");
  EXPECT_RUTILE_ERROR(parse(idx_bytes(0x0E, {~0u, ~0u, ~0u}, "")), kValue, "at offset 4");
  EXPECT_RUTILE_ERROR(parse(idx_bytes(0x0E, {1u << 24, 1u << 24}, "")), kValue, "promises");
  EXPECT_RUTILE_ERROR(read_idx("/nowhere/train.idx"), kNotFound, "'/nowhere/train.idx'");
}

TEST(Idx, GzipErrors) {
  const std::string packed = gzip_bytes(idx_bytes(0x08, {2, 300}, std::string(600, 'q')));
  EXPECT_RUTILE_ERROR(parse(packed.substr(0, 11)), kValue, "end too early");
  EXPECT_RUTILE_ERROR(parse(packed.substr(0, packed.size() - 4)), kValue, "end too early");
  std::string corrupt = packed;
  corrupt[packed.size() - 6] ^= 0x40;
  EXPECT_RUTILE_ERROR(parse(corrupt), kValue, "incorrect data check");
  EXPECT_RUTILE_ERROR(parse(gzip_bytes(idx_bytes(0x08, {2, 3}, std::string(7, 'q')))), kValue,
                      "decompresses to more than 18 bytes");
  EXPECT_RUTILE_ERROR(parse(gzip_bytes(idx_bytes(0x08, {2, 3}, "q"))), kValue, "but there are 13");
  EXPECT_RUTILE_ERROR(parse(gzip_bytes("hello")), kValue, "not an IDX file");
  EXPECT_RUTILE_ERROR(parse(gzip_bytes("")), kValue, "ends inside the IDX magic number");
}

}  // namespace
}  // namespace rutile::io
