// SPDX-License-Identifier: Apache-2.0
// The kernels that steer captured graphs, and those around cuDNN's attention with a mask.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "rutile/core/half.h"
#include "rutile/kernels/cuda/attention_mask.h"
#include "rutile/kernels/cuda/control.h"

namespace rutile::cuda {
namespace {

ConditionalHandle handle_of(unsigned* value) { return reinterpret_cast<uintptr_t>(value); }

TEST(Control, ABranchGoesByItsBool) {
  unsigned value = 7;
  const bool yes = true, no = false;
  ASSERT_EQ(launch_branch(handle_of(&value), &yes, nullptr), 0);
  EXPECT_EQ(value, 1u);
  ASSERT_EQ(launch_branch(handle_of(&value), &no, nullptr), 0);
  EXPECT_EQ(value, 0u);
}

// How often the body of a loop runs.
int iterations(LoopArgs a, int64_t (&counter)[2], int most = 100) {
  unsigned value = 7;
  a.handle = handle_of(&value);
  a.done = counter;
  EXPECT_EQ(launch_loop_start(a, nullptr), 0);
  int n = 0;
  for (; value == 1 && n < most; ++n) EXPECT_EQ(launch_loop_next(a, nullptr), 0);
  EXPECT_EQ(counter[0], n);
  return n;
}

TEST(Control, LoopsCountAndStop) {
  int64_t counter[2] = {5, 5};
  EXPECT_EQ(iterations({.most = 3}, counter), 3);
  EXPECT_EQ(counter[1], 3);
  EXPECT_EQ(iterations({.most = 0}, counter), 0);
  for (const auto& [wanted, done] : std::vector<std::pair<int64_t, int>>{{2, 2}, {9, 4}, {-3, 0}}) {
    EXPECT_EQ(iterations({.most = 4, .wanted = &wanted}, counter), done) << wanted;
    EXPECT_EQ(counter[1], done);
  }
  const bool yes = true, no = false;
  EXPECT_EQ(iterations({.holds = &yes}, counter, 50), 50) << "no limit";
  EXPECT_EQ(iterations({.most = 6, .holds = &yes}, counter), 6);
  EXPECT_EQ(iterations({.holds = &no}, counter), 0);
}

TEST(Control, SlicesOfAnySizeAndAlignment) {
  for (const int64_t bytes : {16, 48, 12, 7, 1, 70000}) {
    for (const int64_t offset : {0, 4, 1}) {
      for (const bool reverse : {false, true}) {
        std::vector<char> all(static_cast<size_t>(3 * bytes + 32)), one(all.size()), before;
        for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i * 7);
        int64_t counter[2] = {1, 3};
        if (reverse) counter[0] = 0;  // the last one
        const int64_t at = reverse ? 2 : 1;
        SliceArgs a{.done = counter, .bytes = bytes, .reverse = reverse, .stores = false};
        a.slices = all.data() + offset;
        a.one = one.data() + offset;
        ASSERT_EQ(launch_slice(a, nullptr), 0);
        for (int64_t i = 0; i < bytes; ++i) {
          ASSERT_EQ(a.one[i], a.slices[at * bytes + i]) << bytes << " " << offset << " " << i;
        }
        for (int64_t i = 0; i < bytes; ++i) a.one[i] = static_cast<char>(~a.one[i]);
        before = all;
        a.stores = true;
        ASSERT_EQ(launch_slice(a, nullptr), 0);
        for (size_t i = 0; i < all.size(); ++i) {
          const int64_t in = static_cast<int64_t>(i) - offset - at * bytes;
          const bool inside = in >= 0 && in < bytes;
          ASSERT_EQ(all[i], inside ? a.one[in] : before[i]) << i;
        }
      }
    }
  }
}

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(AttentionMask, BecomesNumbersToAdd) {
  // Of keys only, for 2 batches and 3 rows of 4 keys.
  const uint8_t keys[] = {1, 0, 1, 1, 0, 0, 0, 0};
  std::vector<float> added(24, 9.f);
  MaskArgs a{.n = 24, .mask = keys, .added = added.data()};
  const Strides strides[1] = {{4, 0, 0, 1}};
  a.mask_at = make_indexer<1>({2, 1, 3, 4}, strides);
  ASSERT_EQ(launch_mask(a, nullptr), 0);
  for (int i = 0; i < 24; ++i) {
    EXPECT_EQ(added[static_cast<size_t>(i)], keys[4 * (i / 12) + i % 4] ? 0.f : kNobody) << i;
  }
  // Of numbers: -inf is a key that takes no part; the least finite number is one that does.
  const float numbers[] = {0.5f, -kInf, -10000.f, -3.4e38f};
  a = {.n = 4, .mask = numbers, .added = added.data(), .mask_type = DType::kF32};
  const Strides dense[1] = {{1}};
  a.mask_at = make_indexer<1>({4}, dense);
  ASSERT_EQ(launch_mask(a, nullptr), 0);
  EXPECT_EQ(added[0], 0.5f);
  EXPECT_EQ(added[1], kNobody);
  EXPECT_EQ(added[2], -10000.f);
  EXPECT_EQ(added[3], kLeast);
  const uint16_t half[] = {0x3c00, 0xfc00, 0xfbff, 0x0000};  // 1, -inf, -65504, 0
  a.mask = half;
  a.mask_type = DType::kF16;
  ASSERT_EQ(launch_mask(a, nullptr), 0);
  EXPECT_EQ(added[0], 1.f);
  EXPECT_EQ(added[1], kNobody);
  EXPECT_EQ(added[2], -65504.f);
}

// What a row of nobody sums up to is told from rows that have keys, however low their numbers.
TEST(AttentionMask, RowsWithoutKeysArePutRight) {
  const float nobody = kNobody + std::log(512.f), low = kLeast + std::log(512.f);
  std::vector<float> lse{1.5f, nobody, low, -20.f}, y(8, 3.f);
  EmptyRowArgs a{.rows = 4, .n = 2, .lse = lse.data(), .y = y.data()};
  const Strides strides[2] = {{1}, {2}};
  a.row = make_indexer<2>({4}, strides);
  ASSERT_EQ(launch_empty_rows(a, nullptr), 0);
  EXPECT_EQ(lse, (std::vector<float>{1.5f, -kInf, low, -20.f}));
  EXPECT_EQ(y, (std::vector<float>{3, 3, 0, 0, 3, 3, 3, 3}));
  // For the gradient, from where they lie with gaps: nothing is left of exp(score - sum).
  const std::vector<float> gaps{1.5f, 0, -kInf, 0, low, 0, -20.f, 0};
  std::vector<float> sums(4);
  RowSumArgs s{.rows = 4, .lse = gaps.data(), .out = sums.data()};
  const Strides apart[1] = {{2}};
  s.row = make_indexer<1>({4}, apart);
  ASSERT_EQ(launch_row_sums(s, nullptr), 0);
  EXPECT_EQ(sums, (std::vector<float>{1.5f, -kNobody, low, -20.f}));
  EXPECT_EQ(std::exp(kNobody + 3.f - sums[1]), 0.f);
  EXPECT_EQ(std::exp(3.f - sums[1]), 0.f);
}

}  // namespace
}  // namespace rutile::cuda
