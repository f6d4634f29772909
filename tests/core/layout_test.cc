// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/layout.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "rutile/core/meta.h"

namespace rutile {
namespace {

int64_t offset(const char* tag, const Shape& shape, const std::vector<int64_t>& index) {
  return layout_offset(intern_layout(tag), shape, index.data());
}

TEST(Layout, ParsesTags) {
  const LayoutInfo& blocked = layout_info(intern_layout("aBcd16b"));
  EXPECT_EQ(blocked.tag, "aBcd16b");
  EXPECT_EQ(blocked.order, (Dims{0, 1, 2, 3}));
  EXPECT_EQ(blocked.block_dims, (Dims{1}));
  EXPECT_EQ(blocked.block_sizes, (Dims{16}));
  const LayoutInfo& weights = layout_info(intern_layout("ABcd8b16a2b"));
  EXPECT_EQ(weights.block_dims, (Dims{1, 0, 1}));
  EXPECT_EQ(weights.block_sizes, (Dims{8, 16, 2}));
  const LayoutInfo& permuted = layout_info(intern_layout("acdb"));
  EXPECT_EQ(permuted.order, (Dims{0, 2, 3, 1}));
  EXPECT_TRUE(permuted.block_dims.empty());
}

TEST(Layout, EqualTagsShareAnId) {
  const Layout a = intern_layout("aBcd8b");
  EXPECT_NE(a, kStrided);
  EXPECT_EQ(intern_layout(std::string("aBcd8b")), a);
  EXPECT_NE(intern_layout("aBcd16b"), a);
}

TEST(Layout, RefusesMalformedTags) {
  for (const char* tag : {"",
                          "16b",
                          "aab",
                          "acd",
                          "b",
                          "aBcd",
                          "abcd16b",
                          "aBcd16",
                          "aBcd16B",
                          "aBcd16bx",
                          "aBcd016b",
                          "aBcd1b",
                          "aBcd0b",
                          "aBcd16a",
                          "AB16b",
                          "aBcd99999999999999999999b",
                          "abcdefghi",
                          "a cd",
                          "aBcd16b ",
                          "aBcd4096b2b",
                          "A2a2a2a2a2a2a2a2a2a",
                          "strided",
                          "aBcd-2b"}) {
    EXPECT_EQ(intern_layout(tag), kStrided) << tag;
  }
  EXPECT_EQ(intern_layout(std::string(100000, 'a')), kStrided);
}

TEST(Layout, UnknownIdsAreErrors) {
  EXPECT_EQ(layout_info(kStrided).tag, "strided");
  EXPECT_THROW(layout_info(4095), Error);
  EXPECT_THROW(layout_info(65535), Error);
  EXPECT_THROW(layout_elements(intern_layout("aBcd16b"), {1, 2}), Error);
}

TEST(Layout, ElementsIncludePadding) {
  const Layout b16 = intern_layout("aBcd16b");
  EXPECT_EQ(layout_elements(b16, {2, 37, 5, 7}), 2 * 48 * 5 * 7);
  EXPECT_EQ(layout_elements(b16, {2, 32, 5, 7}), 2 * 32 * 5 * 7);
  EXPECT_EQ(layout_elements(b16, {2, 0, 5, 7}), 0);
  EXPECT_EQ(layout_elements(b16, {1, 1, 1, 1}), 16);
  EXPECT_EQ(layout_elements(intern_layout("ABcd8b16a2b"), {17, 3, 3, 3}), 32 * 16 * 9);
  EXPECT_EQ(layout_elements(intern_layout("acdb"), {2, 3, 4, 5}), 120);
  EXPECT_EQ(layout_elements(kStrided, {2, 3}), 6);
  EXPECT_THROW(layout_elements(intern_layout("AB64a64b"), {int64_t{1} << 47, int64_t{1} << 16}),
               Error);
  TensorMeta m({2, 37, 5, 7}, DType::kBF16);
  m.layout = b16;
  EXPECT_EQ(m.nbytes(), 2 * 48 * 5 * 7 * 2);
  EXPECT_FALSE(m.is_contiguous());
}

TEST(Layout, Offsets) {
  const Shape s{2, 37, 5, 7};
  EXPECT_EQ(offset("aBcd16b", s, {0, 0, 0, 0}), 0);
  EXPECT_EQ(offset("aBcd16b", s, {0, 1, 0, 0}), 1);
  EXPECT_EQ(offset("aBcd16b", s, {0, 0, 0, 1}), 16);
  EXPECT_EQ(offset("aBcd16b", s, {0, 16, 0, 0}), 16 * 5 * 7);
  EXPECT_EQ(offset("aBcd16b", s, {1, 36, 4, 6}), 48 * 35 + 2 * 16 * 35 + 34 * 16 + 4);
  EXPECT_EQ(offset("acdb", s, {1, 2, 3, 4}), 37 * 35 + 3 * 7 * 37 + 4 * 37 + 2);
  // Inside an 8b16a2b block: b is split into b / 2 (outermost) and b % 2 (innermost).
  EXPECT_EQ(offset("ABcd8b16a2b", {16, 16, 1, 1}, {0, 1, 0, 0}), 1);
  EXPECT_EQ(offset("ABcd8b16a2b", {16, 16, 1, 1}, {1, 0, 0, 0}), 2);
  EXPECT_EQ(offset("ABcd8b16a2b", {16, 16, 1, 1}, {0, 2, 0, 0}), 32);
  EXPECT_EQ(offset("ABcd16b16a", {32, 32, 1, 1}, {3, 5, 0, 0}), 5 * 16 + 3);
  EXPECT_EQ(offset("ABcd16b16a", {32, 32, 1, 1}, {16, 0, 0, 0}), 2 * 256);
  const int64_t index[] = {1, 2};
  EXPECT_EQ(layout_offset(kStrided, {3, 4}, index), 6);
}

// Every element has its own place, inside the padded memory.
TEST(Layout, OffsetsAreDistinct) {
  const Shape s{5, 19, 3, 2};
  for (const char* tag : {"aBcd16b", "aBcd8b", "ABcd16b16a", "ABcd8b16a2b", "acdb", "Acdb4a",
                          "BAcd4a8b2a", "bcdA16a"}) {
    const Layout layout = intern_layout(tag);
    ASSERT_NE(layout, kStrided) << tag;
    std::set<int64_t> seen;
    int64_t i[4];
    for (i[0] = 0; i[0] < s[0]; ++i[0]) {
      for (i[1] = 0; i[1] < s[1]; ++i[1]) {
        for (i[2] = 0; i[2] < s[2]; ++i[2]) {
          for (i[3] = 0; i[3] < s[3]; ++i[3]) seen.insert(layout_offset(layout, s, i));
        }
      }
    }
    EXPECT_EQ(static_cast<int64_t>(seen.size()), s.numel()) << tag;
    EXPECT_GE(*seen.begin(), 0) << tag;
    EXPECT_LT(*seen.rbegin(), layout_elements(layout, s)) << tag;
  }
}

TEST(Layout, ChannelBlock) {
  EXPECT_EQ(channel_block(intern_layout("aBcd16b")), 16);
  EXPECT_EQ(channel_block(intern_layout("aBcde8b")), 8);
  EXPECT_EQ(channel_block(intern_layout("aB4b")), 4);
  EXPECT_EQ(channel_block(intern_layout("acdb")), 0);
  EXPECT_EQ(channel_block(intern_layout("ABcd16b16a")), 0);
  EXPECT_EQ(channel_block(intern_layout("Abcd16a")), 0);
  EXPECT_EQ(channel_block(intern_layout("cdaB16b")), 0);
  EXPECT_EQ(channel_block(kStrided), 0);
}

TEST(Layout, ThreadsAgree) {
  constexpr int kThreads = 4, kTags = 40;
  std::vector<std::vector<Layout>> ids(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t, &ids] {
      for (int i = 0; i < kTags; ++i) {
        const std::string tag = "aBc" + std::to_string(100 + i) + "b";
        const Layout id = intern_layout(tag);
        if (layout_info(id).tag == tag) ids[static_cast<size_t>(t)].push_back(id);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(ids[0].size(), static_cast<size_t>(kTags));
  for (const auto& other : ids) EXPECT_EQ(other, ids[0]);
  EXPECT_EQ(std::set<Layout>(ids[0].begin(), ids[0].end()).size(), static_cast<size_t>(kTags));
}

}  // namespace
}  // namespace rutile
