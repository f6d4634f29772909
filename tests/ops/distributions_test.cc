// SPDX-License-Identifier: Apache-2.0
// Moments of the distributions, and what draws and permutations may contain.
#include "rutile/ops/distributions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::ops {
namespace {

constexpr int64_t kMany = 200000;

Tensor key(uint64_t v) { return Tensor::from<uint64_t>({v}, {1}); }
double mean_of(const Tensor& x) { return mean(cast(x, DType::kF64)).item(); }
double var_of(const Tensor& x) { return var(cast(x, DType::kF64)).item(); }

// Five standard errors around the mean; the variance within ten percent.
void expect_moments(const Tensor& x, double mean, double variance, const char* what) {
  EXPECT_NEAR(mean_of(x), mean, 5 * std::sqrt(variance / static_cast<double>(x.numel()))) << what;
  EXPECT_NEAR(var_of(x), variance, 0.1 * variance) << what;
}

TEST(Distributions, HaveTheirMeanAndVariance) {
  const Dims n{kMany};
  expect_moments(random_exponential(key(1), {n, 2}), 2, 4, "exponential");
  expect_moments(random_laplace(key(2), {n, 1, 2}), 1, 8, "laplace");
  expect_moments(random_gumbel(key(3), {n, 0, 1}), 0.57721566, M_PI * M_PI / 6, "gumbel");
  expect_moments(random_geometric(key(4), {n, 0.25}), 4, 12, "geometric");
  const double e = std::exp(0.25);
  expect_moments(random_log_normal(key(5), {n, 0, 0.5}), std::exp(0.125), (e - 1) * e, "log");
  expect_moments(bernoulli(key(10), full(n, 0.3)), 0.3, 0.21, "bernoulli");
  for (const double a : {0.3, 1.0, 2.5, 40.0}) {
    expect_moments(random_gamma(key(6), full(n, a)), a, a, "gamma");
  }
  for (const double rate : {0.2, 5.0, 11.0, 300.0}) {
    expect_moments(random_poisson(key(7), full(n, rate)), rate, rate, "poisson");
  }
  expect_moments(random_beta(key(8), full(n, 2), full(n, 3)), 0.4, 0.04, "beta");
}

TEST(Distributions, CauchyHasItsQuartiles) {
  const Tensor x = random_cauchy(key(9), {{kMany}, 1, 2});
  EXPECT_NEAR(mean_of(less(x, 1.0)), 0.5, 0.01);
  EXPECT_NEAR(mean_of(less(x, 3.0)), 0.75, 0.01);
}

TEST(Distributions, MultinomialFollowsTheWeights) {
  const Tensor w = Tensor::from<float>({1, 0, 2, 5}, {4});
  const Tensor drawn = multinomial(key(1), w, {.num_samples = kMany});
  const double share[] = {0.125, 0, 0.25, 0.625};
  for (int64_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(mean_of(equal(drawn, Scalar(k))), share[k], 0.01) << k;
  }
  const Tensor each = multinomial(key(2), w, {.num_samples = 3, .replacement = false});
  std::vector<int64_t> v = each.to_vector<int64_t>();
  std::sort(v.begin(), v.end());
  EXPECT_EQ(v, (std::vector<int64_t>{0, 2, 3}));
}

TEST(Distributions, PermutationsHaveAllNumbersAndShuffleKeepsRows) {
  std::vector<int64_t> v = randperm(key(3), 1000).to_vector<int64_t>(), sorted = v;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  EXPECT_NE(v, all);
  set_seed(7);
  EXPECT_EQ(sum(shuffle(arange(0, 100))).item<int64_t>(), 4950);
}

TEST(Distributions, DropoutOfChannelsDropsThemWhole) {
  const Tensor y = feature_dropout(key(4), ones({50, 40, 3}), {0.25});
  const Tensor per_channel = sum(y, {.axes = {2}});
  EXPECT_NEAR(mean_of(equal(per_channel, 0)), 0.25, 0.05);
  EXPECT_TRUE(all(logical_or(equal(per_channel, 0), greater(per_channel, 3.99))).item<bool>());
  EXPECT_RUTILE_ERROR(dropout2d(ones({2, 3, 4})), kValue, "expects rank 4");
}

TEST(Distributions, AlphaDropoutKeepsMeanAndVariance) {
  const Tensor x = random_normal(key(5), {.shape = {kMany}});
  expect_moments(alpha_dropout(key(6), x, {0.3}), 0, 1, "alpha dropout");
}

}  // namespace
}  // namespace rutile::ops
