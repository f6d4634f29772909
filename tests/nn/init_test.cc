// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/init.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "rutile/nn/layers.h"
#include "rutile/ops/random.h"

namespace rutile::nn::init {
namespace {

struct Moments {
  double mean = 0, deviation = 0, low = 0, high = 0;
};
Moments moments(const Tensor& t) {
  const std::vector<float> v = t.to_vector<float>();
  Moments m{.low = v[0], .high = v[0]};
  for (float x : v) {
    m.mean += x;
    m.low = std::min<double>(m.low, x);
    m.high = std::max<double>(m.high, x);
  }
  m.mean /= static_cast<double>(v.size());
  for (float x : v) m.deviation += (x - m.mean) * (x - m.mean);
  m.deviation = std::sqrt(m.deviation / static_cast<double>(v.size()));
  return m;
}

TEST(Init, Constants) {
  EXPECT_EQ(zeros({2}).to_vector<float>(), (std::vector<float>{0, 0}));
  EXPECT_EQ(ones({2}).to_vector<float>(), (std::vector<float>{1, 1}));
  EXPECT_EQ(constant({1}, 2.5, DType::kF64).to_vector<double>(), (std::vector<double>{2.5}));
}

TEST(Init, Fans) {
  EXPECT_EQ(fan_of({8, 3, 5, 7}, Fan::kIn), 3 * 35);
  EXPECT_EQ(fan_of({8, 3, 5, 7}, Fan::kOut), 8 * 35);
  EXPECT_EQ(fan_of({8, 3}, Fan::kIn), 3);
  EXPECT_THROW(fan_of({8}, Fan::kIn), Error);
}

TEST(Init, Distributions) {
  set_seed(11);
  const Shape shape{64, 100, 3};
  Moments m = moments(uniform(shape, -2, 4));
  EXPECT_NEAR(m.mean, 1, 0.05);
  EXPECT_GE(m.low, -2);
  EXPECT_LE(m.high, 4);
  m = moments(normal(shape, 1, 2));
  EXPECT_NEAR(m.mean, 1, 0.05);
  EXPECT_NEAR(m.deviation, 2, 0.05);
  m = moments(truncated_normal(shape, 0, 1, -1, 2));
  EXPECT_GE(m.low, -1);
  EXPECT_LE(m.high, 2);
  EXPECT_GT(m.high, 1.9);
  const double xavier = std::sqrt(2.0 / (300 + 192));
  m = moments(xavier_normal(shape, 1.5));
  EXPECT_NEAR(m.deviation, 1.5 * xavier, 0.03 * xavier);
  m = moments(xavier_uniform(shape));
  EXPECT_NEAR(m.deviation, xavier, 0.02 * xavier);
  EXPECT_LE(m.high, std::sqrt(3.0) * xavier);
  m = moments(kaiming_normal(shape));
  EXPECT_NEAR(m.deviation, std::sqrt(2.0 / 300), 0.002);
  m = moments(kaiming_normal(shape, {.fan = Fan::kOut}));
  EXPECT_NEAR(m.deviation, std::sqrt(2.0 / 192), 0.002);
  m = moments(kaiming_uniform(shape, {.gain = 1}));
  EXPECT_NEAR(m.deviation, 1 / std::sqrt(300.0), 0.001);
}

// The bounds that PyTorch gives a Linear and a Conv2d: 1 / sqrt(fan_in).
TEST(Init, DefaultsOfLayers) {
  auto linear = make<Linear>(50, 400);
  Moments m = moments(linear->weight->value());
  EXPECT_LE(m.high, 1 / std::sqrt(50.0));
  EXPECT_GT(m.high, 0.98 / std::sqrt(50.0));
  m = moments(linear->bias->value());
  EXPECT_LE(m.high, 1 / std::sqrt(50.0));
  EXPECT_GT(m.high, 0.9 / std::sqrt(50.0));
  auto conv = make<Conv2d>(4, 64, Int2(3, 5), Conv2dOptions{.groups = 2});
  m = moments(conv->weight->value());
  EXPECT_LE(m.high, 1 / std::sqrt(30.0));
  EXPECT_GT(m.high, 0.98 / std::sqrt(30.0));
  EXPECT_NEAR(moments(make<Embedding>(300, 40)->weight->value()).deviation, 1, 0.03);
}

TEST(Init, LayersTakeAnother) {
  const auto ones_of = [](const Shape& s) { return ones(s); };
  auto linear = make<Linear>(2, 1, LinearOptions{.weight_init = ones_of});
  EXPECT_EQ(linear->weight->value().to_vector<float>(), (std::vector<float>{1, 1}));
  auto conv = make<Conv2d>(1, 1, 1, Conv2dOptions{.weight_init = ones_of});
  EXPECT_EQ(conv->weight->value().to_vector<float>(), (std::vector<float>{1}));
  const auto wrong = [](const Shape&) { return ones({5}); };
  EXPECT_THROW(make<Embedding>(2, 2, EmbeddingOptions{.weight_init = wrong}), Error);
}

TEST(Init, SameSeedSameBits) {
  auto draw = [] {
    set_seed(3);
    const Tensor first = normal({5}, 0, 1);
    EXPECT_NE(first.to_vector<float>(), normal({5}, 0, 1).to_vector<float>());
    return first.to_vector<float>();
  };
  EXPECT_EQ(draw(), draw());
}

}  // namespace
}  // namespace rutile::nn::init
