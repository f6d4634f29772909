// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/view.h"

#include <gmock/gmock.h>

#include "rutile/core/thread.h"
#include "rutile/ops/index.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::ops {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

Tensor counting(const Shape& s) { return reshape(arange(0, s.numel()), s); }

bool same_memory(const Tensor& a, const Tensor& b) { return a.data() == b.data(); }

// Python's x[start:end:step].
std::vector<int64_t> python_slice(int64_t n, int64_t start, int64_t end, int64_t step) {
  const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
  auto clamp = [&](int64_t i) {
    if (i < 0) i += n;
    return i < low ? low : i > high ? high : i;
  };
  std::vector<int64_t> out;
  const int64_t e = clamp(end);
  for (int64_t i = clamp(start); step > 0 ? i < e : i > e; i += step) out.push_back(i);
  return out;
}

TEST(Slice, AgreesWithPythonForAllSmallRanges) {
  for (int64_t n = 0; n <= 5; ++n) {
    const Tensor x = arange(0, n);
    for (int64_t start = -7; start <= 7; ++start) {
      for (int64_t end = -7; end <= 7; ++end) {
        for (const int64_t step : {1, 2, 3, 7, -1, -2, -3, -7}) {
          EXPECT_THAT(slice(x, {start}, {end}, {step}).to_vector<int64_t>(),
                      ElementsAreArray(python_slice(n, start, end, step)))
              << n << ": " << start << " " << end << " " << step;
        }
      }
    }
  }
}

TEST(Slice, TakesExtremeNumbers) {
  const Tensor x = arange(0, 4);
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  EXPECT_THAT(slice(x, {kMin}, {kEnd}).to_vector<int64_t>(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(slice(x, {kEnd}, {kMin}, {-1}).to_vector<int64_t>(), ElementsAre(3, 2, 1, 0));
  EXPECT_THAT(slice(x, {kEnd}, {-kEnd}, {kMin}).to_vector<int64_t>(), ElementsAre(3));
  EXPECT_THAT(slice(x, {1}, {kEnd}, {kEnd}).to_vector<int64_t>(), ElementsAre(1));
}

TEST(Slice, IsAViewUnlessReversed) {
  const Tensor x = counting({4, 5});
  const Tensor y = slice(x, {1, 2}, {3, kEnd});
  EXPECT_EQ(static_cast<const int64_t*>(y.data()), x.data_as<int64_t>() + 7);
  EXPECT_THAT(y.to_vector<int64_t>(), ElementsAre(7, 8, 9, 12, 13, 14));
  EXPECT_THAT(slice(x, {-1, 4}, {-3, -kEnd}, {-1, -3}).to_vector<int64_t>(),
              ElementsAre(19, 16, 14, 11));
}

TEST(Select, DropsTheAxis) {
  const Tensor x = counting({2, 3, 4});
  EXPECT_EQ(select(x, 1, -1).shape(), (Shape{2, 4}));
  EXPECT_THAT(select(select(x, 0, 1), 1, 2).to_vector<int64_t>(), ElementsAre(14, 18, 22));
  EXPECT_RUTILE_ERROR(select(x, 1, 3), kIndex, "[select] index 3 is out of range for axis 1");
  EXPECT_RUTILE_ERROR(select(x, 3, 0), kIndex, "axis 3");
}

TEST(Reshape, SharesMemoryWhereStridesAllow) {
  const Tensor x = counting({2, 3, 4});
  EXPECT_TRUE(same_memory(reshape(x, {4, 6}), x));
  const Tensor t = transpose(x, {1, 0, 2});
  EXPECT_TRUE(same_memory(t, x));
  EXPECT_TRUE(same_memory(reshape(t, {3, 2, 2, 2}), x));
  const Tensor copied = reshape(t, {6, 4});
  EXPECT_FALSE(same_memory(copied, x));
  EXPECT_THAT(select(copied, 0, 1).to_vector<int64_t>(), ElementsAre(12, 13, 14, 15));
}

TEST(Reshape, OfATransposedTensorNeedsNoCopyAgain) {
  const Tensor x = transpose(counting({8, 8}));
  const int64_t before = call_stats().calls;
  reshape(x, {64});
  EXPECT_EQ(call_stats().calls - before, 2);  // contiguous, reshape
}

TEST(Shapes, SqueezeExpandFlatten) {
  const Tensor x = counting({2, 1, 3, 1});
  EXPECT_EQ(squeeze(x).shape(), (Shape{2, 3}));
  EXPECT_EQ(squeeze(x, {-1}).shape(), (Shape{2, 1, 3}));
  EXPECT_EQ(expand_dims(x, -1).shape(), (Shape{2, 1, 3, 1, 1}));
  EXPECT_EQ(expand_dims(x, 0).shape(), (Shape{1, 2, 1, 3, 1}));
  EXPECT_EQ(flatten(x, 1).shape(), (Shape{2, 3}));
  EXPECT_EQ(flatten(full({}, 1)).shape(), (Shape{1}));
  EXPECT_EQ(swapaxes(x, 0, -2).shape(), (Shape{3, 1, 2, 1}));
  EXPECT_RUTILE_ERROR(squeeze(x, {0}), kValue, "has size 2, expects 1");
  EXPECT_RUTILE_ERROR(flatten(x, 2, 1), kValue, "lies behind");
  EXPECT_RUTILE_ERROR(expand_dims(x, 5), kIndex, "out of range");
}

TEST(Split, PartsAreViews) {
  const Tensor x = counting({2, 6});
  const std::vector<Tensor> parts = split(x, 3, 1);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[2].data_as<int64_t>(), x.data_as<int64_t>() + 4);
  EXPECT_THAT(parts[1].to_vector<int64_t>(), ElementsAre(2, 3, 8, 9));
  const std::vector<int64_t> many(10, 1);
  const std::vector<Tensor> tenths = split_sizes(arange(0, 10), many);  // more than a Dims holds
  ASSERT_EQ(tenths.size(), 10u);
  EXPECT_EQ(tenths[7].item<int64_t>(), 7);
  const std::vector<int64_t> wrong(11, 1);
  EXPECT_RUTILE_ERROR(split_sizes(arange(0, 10), wrong), kValue, "do not sum to 10");
}

TEST(Concat, JoinsAndStacks) {
  const Tensor a = counting({2, 2}), b = a;
  EXPECT_THAT(concat({{a, b}}, 1).to_vector<int64_t>(), ElementsAre(0, 1, 0, 1, 2, 3, 2, 3));
  EXPECT_EQ(stack({{a, b}}, -1).shape(), (Shape{2, 2, 2}));
  EXPECT_THAT(stack({{a, b}}, -1).to_vector<int64_t>(), ElementsAre(0, 0, 1, 1, 2, 2, 3, 3));
  EXPECT_RUTILE_ERROR(concat({}), kValue, "at least one tensor");
  EXPECT_RUTILE_ERROR(stack({{a, counting({2})}}), kValue, "expects one shape");
}

TEST(Concat, StaysChannelsLast) {
  const Tensor x = to_channels_last(counting({2, 3, 4, 4}));
  EXPECT_TRUE(concat({{x, x}}, 1).meta().is_channels_last());
  EXPECT_TRUE(pad(x, {0, 0, 1, 1}, {0, 0, 1, 1}).meta().is_channels_last());
}

TEST(Repeat, TileRollAndInterleave) {
  const Tensor x = counting({2, 2});
  EXPECT_THAT(tile(x, {1, 2}).to_vector<int64_t>(), ElementsAre(0, 1, 0, 1, 2, 3, 2, 3));
  EXPECT_THAT(tile(arange(0, 2), {2, 2}).to_vector<int64_t>(), ElementsAre(0, 1, 0, 1, 0, 1, 0, 1));
  EXPECT_EQ(tile(arange(0, 2), {2, 2}).shape(), (Shape{2, 4}));
  EXPECT_EQ(tile(x, {0, 3}).shape(), (Shape{0, 6}));
  EXPECT_EQ(tile(x, {3}).shape(), (Shape{2, 6}));
  EXPECT_RUTILE_ERROR(tile(x, {-1}), kValue, "must not be negative");
  EXPECT_THAT(roll(arange(0, 5), 2, 0).to_vector<int64_t>(), ElementsAre(3, 4, 0, 1, 2));
  EXPECT_THAT(roll(arange(0, 5), -6, 0).to_vector<int64_t>(), ElementsAre(1, 2, 3, 4, 0));
  EXPECT_THAT(repeat_interleave(x, 2, 0).to_vector<int64_t>(), ElementsAre(0, 1, 0, 1, 2, 3, 2, 3));
}

TEST(Pad, BordersOfARow) {
  const Tensor x = arange(0, 4);
  const auto row = [&](PadMode mode) { return pad(x, {2}, {3}, mode, 9).to_vector<int64_t>(); };
  EXPECT_THAT(row(PadMode::kConstant), ElementsAre(9, 9, 0, 1, 2, 3, 9, 9, 9));
  EXPECT_THAT(row(PadMode::kReflect), ElementsAre(2, 1, 0, 1, 2, 3, 2, 1, 0));
  EXPECT_THAT(row(PadMode::kReplicate), ElementsAre(0, 0, 0, 1, 2, 3, 3, 3, 3));
  EXPECT_THAT(row(PadMode::kCircular), ElementsAre(2, 3, 0, 1, 2, 3, 0, 1, 2));
}

TEST(Copies, AreTheSameWithAnyNumberOfThreads) {
  for (const Shape& s : {Shape{3, 65, 130}, Shape{1, 200, 300}, Shape{40, 8, 9}}) {
    const Tensor x = counting(s);
    const Tensor t = transpose(x, {2, 0, 1});
    std::vector<int64_t> want;
    for (int64_t i = 0; i < s[2]; ++i) {
      for (int64_t k = 0; k < s[0] * s[1]; ++k) want.push_back(k * s[2] + i);
    }
    for (const int threads : {1, 2, 3, 7}) {
      ThreadCountScope scope(threads);
      EXPECT_EQ(contiguous(t).to_vector<int64_t>(), want);
    }
  }
}

TEST(Reorder, NamesOfPlacements) {
  Placement p;
  EXPECT_TRUE(parse_placement("channels_last", &p));
  EXPECT_EQ(to_string(p), "channels_last");
  EXPECT_TRUE(parse_placement("aBcd16b", &p));
  EXPECT_EQ(to_string(p), "aBcd16b");
  EXPECT_TRUE(parse_placement("row_major", &p));
  EXPECT_EQ(p, Placement());
  EXPECT_FALSE(parse_placement("nonsense", &p));
  const ReorderAttrs a{{intern_layout("aBcd16b"), false}};
  EXPECT_EQ(attrs_to_string(*attrs_of<ReorderAttrs>(), &a), "to=\"aBcd16b\"");
}

}  // namespace
}  // namespace rutile::ops
