// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace rutile {
namespace {

using Words = std::array<uint32_t, 4>;

// The known answers that come with Random123 (kat_vectors, "philox4x32 10").
TEST(Philox, PublishedVectors) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32_10({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, KeyAndIndexFillBothHalves) {
  const uint64_t key = 0x299f31d0a4093822, index = 0x85a308d3243f6a88;
  EXPECT_EQ(philox({key}, index),
            philox4x32_10({0x243f6a88, 0x85a308d3, 0, 0}, {0xa4093822, 0x299f31d0}));
  static_assert(philox({0}, 0)[0] == 0x6627e8d5, "usable at compile time");
}

TEST(Philox, ChildrenDiffer) {
  std::set<uint64_t> keys;
  for (uint64_t parent = 0; parent < 32; ++parent) {
    for (uint64_t n = 0; n < 32; ++n) keys.insert(fold_in({parent}, n).value);
  }
  EXPECT_EQ(keys.size(), 32u * 32u);
  EXPECT_EQ(fold_in({7}, 3), fold_in({7}, 3));
}

TEST(Philox, UniformStaysBelowOne) {
  EXPECT_EQ(uniform_f32(0), 0.0f);
  EXPECT_EQ(uniform_f32(0xffffffff), 1.0f - 0x1p-24f);
  EXPECT_EQ(uniform_f64(0xffffffff, 0xffffffff), 1.0 - 0x1p-53);
  EXPECT_EQ(uniform_f64(0x80000000, 0), 0.5);
}

TEST(Philox, UniformHasTheRightMoments) {
  double sum = 0, squares = 0;
  constexpr int kDraws = 1 << 18;
  for (int i = 0; i < kDraws / 4; ++i) {
    for (const uint32_t w : philox({42}, static_cast<uint64_t>(i))) {
      const double u = uniform_f32(w);
      sum += u;
      squares += u * u;
    }
  }
  // Five standard errors.
  EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kDraws));
}

}  // namespace
}  // namespace rutile
