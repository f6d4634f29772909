// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/cifar.h"

#include <gtest/gtest.h>

#include "rutile/tests/io/inputs.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::io {
namespace {

using ::rutile::testing::cifar_bytes;

Tensor parse(const std::string& bytes) {
  return parse_cifar10(copy_bytes(bytes.data(), bytes.size(), "data_batch_1.bin"));
}

TEST(Cifar10, ReadsRecords) {
  const Tensor t = parse(cifar_bytes({3, 9}));
  EXPECT_EQ(t.shape(), (Shape{2, 3073}));
  const uint8_t* p = t.data_as<uint8_t>();
  EXPECT_EQ(p[0], 3);
  EXPECT_EQ(p[1], 0);
  EXPECT_EQ(p[3073], 9);
  EXPECT_EQ(p[3073 + 1 + 1024], 1);  // first green byte of the second record: (1 + 1024) mod 256
}

TEST(Cifar10, Errors) {
  const std::string good = cifar_bytes({3, 9});
  EXPECT_RUTILE_ERROR(parse(""), kValue, "0 bytes are not a multiple of 3073");
  EXPECT_RUTILE_ERROR(parse(good.substr(0, 4000)), kValue,
                      "'data_batch_1.bin' at offset 3073: not a CIFAR-10 batch: 4000 bytes");
  EXPECT_RUTILE_ERROR(parse(cifar_bytes({3, 10})), kValue,
                      "at offset 3073: record 1 has label 10, labels are 0 to 9");
  EXPECT_RUTILE_ERROR(read_cifar10("/nowhere"), kNotFound, "'/nowhere'");
}

}  // namespace
}  // namespace rutile::io
