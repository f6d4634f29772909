// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/transform.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "rutile/tests/support/expect_error.h"

namespace rutile::dataset {
namespace {

template <class To, class From>
std::vector<To> apply(const TransformPtr& t, const ImageMeta& meta, const std::vector<From>& in,
                      uint64_t key = 0) {
  const ImageMeta out_meta = t->infer(meta);
  EXPECT_EQ(out_meta.dtype, dtype_of<To>);
  EXPECT_EQ(meta.bytes(), in.size() * sizeof(From));
  std::vector<To> out(out_meta.bytes() / sizeof(To));
  Random random({key});
  t->run(meta, in.data(), out.data(), random);
  return out;
}

std::vector<uint8_t> counting(int n) {
  std::vector<uint8_t> v(n);
  for (int i = 0; i < n; ++i) v[i] = static_cast<uint8_t>(i + 1);
  return v;
}

constexpr DType kU8 = DType::kU8, kF32 = DType::kF32;

TEST(Random, IsUniform) {
  Random random({7});
  int count[10] = {};
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    ++count[random.below(10)];
    sum += random.uniform();
  }
  for (const int c : count) EXPECT_NEAR(c, 1000, 150);
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
}

TEST(Normalize, ScalesBytesLikeFloats) {
  EXPECT_EQ((apply<float>(to_float(), {kU8, 1, 1, 3}, std::vector<uint8_t>{0, 51, 255})),
            (std::vector<float>{0, 0.2f, 1}));
  const auto n = normalize({0.5f, 0.25f}, {0.5f, 2});
  const std::vector<float> expected = {-1, 1, (0.2f - 0.25f) / 2, (1.0f - 0.25f) / 2};
  EXPECT_EQ((apply<float>(n, {kU8, 2, 1, 2}, std::vector<uint8_t>{0, 255, 51, 255})), expected);
  EXPECT_EQ((apply<float>(n, {kF32, 2, 1, 2}, std::vector<float>{0, 1, 0.2f, 1})), expected);
  EXPECT_EQ((apply<float>(normalize({1}, {2}), {kF32, 2, 1, 1}, std::vector<float>{3, 5})),
            (std::vector<float>{1, 2}));
}

TEST(Normalize, Errors) {
  EXPECT_RUTILE_ERROR(normalize({}, {}), kValue, "got 0 and 0");
  EXPECT_RUTILE_ERROR(normalize({1, 2}, {1}), kValue, "got 2 and 1");
  EXPECT_RUTILE_ERROR(normalize({0}, {0}), kValue, "other than 0");
  EXPECT_RUTILE_ERROR(normalize({NAN}, {1}), kValue, "finite");
  EXPECT_RUTILE_ERROR(normalize({1, 2}, {1, 1})->infer({kU8, 3, 4, 4}), kValue,
                      "values for 2 channels, the image is u8[3,4,4]");
  EXPECT_RUTILE_ERROR(to_float()->infer({kF32, 1, 2, 2}), kValue, "takes a u8 image, got f32");
}

TEST(RepeatChannels, RepeatsGrey) {
  EXPECT_EQ((apply<uint8_t>(repeat_channels(3), {kU8, 1, 1, 2}, std::vector<uint8_t>{4, 5})),
            (std::vector<uint8_t>{4, 5, 4, 5, 4, 5}));
  EXPECT_EQ((apply<float>(repeat_channels(2), {kF32, 2, 1, 1}, std::vector<float>{4, 5})),
            (std::vector<float>{4, 5}));
  EXPECT_RUTILE_ERROR(repeat_channels(3)->infer({kU8, 2, 1, 1}), kValue, "1 or 3 channels");
  EXPECT_RUTILE_ERROR(repeat_channels(0), kValue, "got 0");
}

// The values of PyTorch 2: F.interpolate(x, size=(4, 4), mode="bilinear").
TEST(Resize, AgreesWithPyTorch) {
  EXPECT_EQ((apply<float>(resize(4, 4), {kF32, 1, 2, 2}, std::vector<float>{1, 2, 3, 4})),
            (std::vector<float>{1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3,
                                3.25, 3.75, 4}));
  EXPECT_EQ((apply<float>(resize(1, 2), {kF32, 1, 1, 4}, std::vector<float>{1, 2, 3, 5})),
            (std::vector<float>{1.5, 4}));
}

TEST(Resize, AgreesWithTheFormula) {
  for (const auto& [h, w, oh, ow] : std::vector<std::array<int64_t, 4>>{
           {5, 7, 5, 7}, {5, 7, 11, 3}, {1, 1, 4, 2}, {28, 28, 32, 32}, {9, 2, 1, 1}}) {
    std::vector<float> in(2 * h * w);
    for (size_t i = 0; i < in.size(); ++i) in[i] = std::sin(static_cast<float>(i) * 1.7f) * 100;
    const auto out = apply<float>(resize(oh, ow), {kF32, 2, h, w}, in);
    const auto at = [&](int64_t c, int64_t y, int64_t x) {
      y = std::clamp<int64_t>(y, 0, h - 1);
      x = std::clamp<int64_t>(x, 0, w - 1);
      return static_cast<double>(in[(c * h + y) * w + x]);
    };
    for (int64_t i = 0; i < 2 * oh * ow; ++i) {
      const int64_t c = i / (oh * ow), y = i / ow % oh, x = i % ow;
      const double sy = std::max(0.0, (y + 0.5) * h / oh - 0.5);
      const double sx = std::max(0.0, (x + 0.5) * w / ow - 0.5);
      const auto y0 = static_cast<int64_t>(sy), x0 = static_cast<int64_t>(sx);
      const double fy = sy - y0, fx = sx - x0;
      const double expected = (1 - fy) * ((1 - fx) * at(c, y0, x0) + fx * at(c, y0, x0 + 1)) +
                              fy * ((1 - fx) * at(c, y0 + 1, x0) + fx * at(c, y0 + 1, x0 + 1));
      ASSERT_NEAR(out[i], expected, 1e-3) << h << "x" << w << " to " << oh << "x" << ow;
    }
  }
}

TEST(Resize, RoundsBytes) {
  EXPECT_EQ((apply<uint8_t>(resize(1, 4), {kU8, 1, 1, 2}, std::vector<uint8_t>{0, 255})),
            (std::vector<uint8_t>{0, 64, 191, 255}));
  EXPECT_RUTILE_ERROR(resize(0, 4), kValue, "resize takes sizes from 1 to 32768, got 0");
  EXPECT_RUTILE_ERROR(resize(4, 1 << 20), kValue, "got 1048576");
  EXPECT_RUTILE_ERROR(resize(4, 4)->infer({kU8, 1, 0, 4}), kValue, "with pixels");
}

TEST(RandomCrop, CutsWindowsOfThePaddedImage) {
  const int64_t h = 3, w = 4, pad = 2;
  const auto in = counting(2 * h * w);
  std::set<std::pair<int64_t, int64_t>> places;
  for (uint64_t key = 0; key < 400; ++key) {
    const auto out = apply<uint8_t>(random_crop(4, 3, pad), {kU8, 2, h, w}, in, key);
    const auto value = [&](int64_t c, int64_t y, int64_t x) -> int {
      return y < 0 || y >= h || x < 0 || x >= w ? 0 : in[(c * h + y) * w + x];
    };
    int matches = 0;
    for (int64_t top = -pad; top <= h + pad - 4; ++top) {
      for (int64_t left = -pad; left <= w + pad - 3; ++left) {
        bool same = true;
        for (int64_t i = 0; i < 24; ++i) {
          same &= out[i] == value(i / 12, top + i / 3 % 4, left + i % 3);
        }
        if (same) places.emplace(top, left);
        matches += same;
      }
    }
    ASSERT_GE(matches, 1) << key;
  }
  EXPECT_EQ(places.size(), 4u * 6u) << "each place comes up";
}

TEST(RandomCrop, FloatsAndErrors) {
  EXPECT_EQ((apply<float>(random_crop(2, 2), {kF32, 1, 2, 2}, std::vector<float>{1, 2, 3, 4})),
            (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(apply<uint8_t>(random_crop(1, 1, 5), {kU8, 1, 0, 0}, std::vector<uint8_t>{}),
            std::vector<uint8_t>{0});
  EXPECT_RUTILE_ERROR(random_crop(5, 4, 1)->infer({kU8, 1, 2, 9}), kValue,
                      "random_crop(5, 4) with padding 1 takes larger images than u8[1,2,9]");
  EXPECT_RUTILE_ERROR(random_crop(5, 4, -1), kValue, "got -1");
  EXPECT_RUTILE_ERROR(random_crop(0, 4), kValue, "got 0");
}

TEST(RandomFlip, MirrorsHalfOfThem) {
  const std::vector<uint8_t> in = {1, 2, 3, 4, 5, 6}, mirrored = {3, 2, 1, 6, 5, 4};
  int flips = 0;
  for (uint64_t key = 0; key < 1000; ++key) {
    const auto out = apply<uint8_t>(random_flip(), {kU8, 1, 2, 3}, in, key);
    ASSERT_TRUE(out == in || out == mirrored);
    flips += out == mirrored;
  }
  EXPECT_NEAR(flips, 500, 60);
  EXPECT_EQ((apply<float>(random_flip(1), {kF32, 2, 1, 2}, std::vector<float>{1, 2, 3, 4})),
            (std::vector<float>{2, 1, 4, 3}));
  EXPECT_EQ(apply<uint8_t>(random_flip(0), {kU8, 1, 2, 3}, in), in);
  EXPECT_RUTILE_ERROR(random_flip(1.5f), kValue, "got 1.5");
  EXPECT_RUTILE_ERROR(random_flip(NAN), kValue, "a probability in [0, 1]");
}

}  // namespace
}  // namespace rutile::dataset
