// SPDX-License-Identifier: Apache-2.0
// What the numbers of random ops are like: distributions, keys, and the same bits everywhere.
#include "rutile/ops/random.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <vector>

#include "rutile/core/thread.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/view.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::ops {
namespace {

constexpr int64_t kMany = 200'000;

Tensor key_of(uint64_t k) { return Tensor::from<uint64_t>({k}, {1}); }

struct Moments {
  double mean = 0, variance = 0;
};
Moments moments(const std::vector<double>& x) {
  Moments m;
  for (const double v : x) m.mean += v;
  m.mean /= static_cast<double>(x.size());
  for (const double v : x) m.variance += (v - m.mean) * (v - m.mean);
  m.variance /= static_cast<double>(x.size());
  return m;
}

// Kolmogorov-Smirnov: sqrt(n) times the largest distance between the cdf and what was drawn. Above
// 1.95 in one of a thousand cases; the numbers are always the same, so the tests are not flaky.
double distance(std::vector<double> x, const std::function<double(double)>& cdf) {
  std::sort(x.begin(), x.end());
  const auto n = static_cast<double>(x.size());
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double p = cdf(x[i]);
    most = std::max({most, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return most * std::sqrt(n);
}
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// Of neighbours, times sqrt(n): normally distributed with deviation 1 if they are independent.
double correlation(const std::vector<double>& x, size_t lag) {
  const Moments m = moments(x);
  double sum = 0;
  for (size_t i = lag; i < x.size(); ++i) sum += (x[i] - m.mean) * (x[i - lag] - m.mean);
  return sum / m.variance / std::sqrt(static_cast<double>(x.size()));
}

using samples::to_doubles;

TEST(RandomNumbers, UniformOnesAreUniform) {
  for (const DType t : {DType::kF32, DType::kF64}) {
    const auto x = to_doubles(random_uniform(key_of(1), {{kMany}, -1, 3, t}));
    const Moments m = moments(x);
    EXPECT_NEAR(m.mean, 1, 0.01) << dtype_name(t);
    EXPECT_NEAR(m.variance, 16.0 / 12, 0.01) << dtype_name(t);
    EXPECT_LT(distance(x, [](double v) { return (v + 1) / 4; }), 1.95) << dtype_name(t);
    for (const size_t lag : {1, 2, 3, 4, 16}) EXPECT_LT(std::abs(correlation(x, lag)), 3.5) << lag;
  }
}

TEST(RandomNumbers, UniformOnesStayBelowTheirEnd) {
  for (const DType t : {DType::kF32, DType::kF16, DType::kBF16}) {
    const auto x = to_doubles(random_uniform(key_of(2), {{kMany}, 0, 1, t}));
    EXPECT_GE(*std::min_element(x.begin(), x.end()), 0) << dtype_name(t);
    EXPECT_LT(*std::max_element(x.begin(), x.end()), 1) << dtype_name(t);
    EXPECT_NEAR(moments(x).mean, 0.5, 0.005) << dtype_name(t);
    // Rounding 1000 + u would give 1001 often.
    const auto far = to_doubles(random_uniform(key_of(2), {{kMany}, 1000, 1001, t}));
    EXPECT_LT(*std::max_element(far.begin(), far.end()), 1001) << dtype_name(t);
  }
}

TEST(RandomNumbers, NormalOnesAreNormal) {
  for (const DType t : {DType::kF32, DType::kF64}) {
    const auto x = to_doubles(random_normal(key_of(3), {{kMany}, 0, 1, t}));
    const Moments m = moments(x);
    EXPECT_NEAR(m.mean, 0, 0.01) << dtype_name(t);
    EXPECT_NEAR(m.variance, 1, 0.015) << dtype_name(t);
    EXPECT_LT(distance(x, normal_cdf), 1.95) << dtype_name(t);
    for (const size_t lag : {1, 2, 3, 4, 16}) EXPECT_LT(std::abs(correlation(x, lag)), 3.5) << lag;
    double third = 0, fourth = 0;
    for (const double v : x) third += v * v * v, fourth += v * v * v * v;
    EXPECT_NEAR(third / kMany, 0, 0.03) << dtype_name(t);
    EXPECT_NEAR(fourth / kMany, 3, 0.1) << dtype_name(t);
    // The tails exist.
    EXPECT_GT(*std::max_element(x.begin(), x.end()), 4) << dtype_name(t);
    EXPECT_LT(*std::min_element(x.begin(), x.end()), -4) << dtype_name(t);
  }
  for (const DType t : {DType::kF16, DType::kBF16}) {
    const Moments m = moments(to_doubles(random_normal(key_of(3), {{kMany}, 2, 3, t})));
    EXPECT_NEAR(m.mean, 2, 0.03) << dtype_name(t);
    EXPECT_NEAR(m.variance, 9, 0.15) << dtype_name(t);
  }
}

TEST(RandomNumbers, TruncatedOnesAreNormalWithinTheirBounds) {
  const double lower = -1, upper = 2.5;
  const double low = normal_cdf(lower), mass = normal_cdf(upper) - low;
  for (const DType t : {DType::kF32, DType::kF64}) {
    const auto x = to_doubles(truncated_normal(key_of(4), {{kMany}, 0, 1, lower, upper, t}));
    EXPECT_GE(*std::min_element(x.begin(), x.end()), lower) << dtype_name(t);
    EXPECT_LE(*std::max_element(x.begin(), x.end()), upper) << dtype_name(t);
    EXPECT_LT(distance(x, [&](double v) { return (normal_cdf(v) - low) / mass; }), 1.95)
        << dtype_name(t);
  }
}

TEST(RandomNumbers, IntegersAreEquallyLikely) {
  std::vector<int64_t> count(7);
  for (const int64_t v : random_randint(key_of(5), {{kMany}, -3, 4}).to_vector<int64_t>()) {
    ASSERT_GE(v, -3);
    ASSERT_LT(v, 4);
    ++count[static_cast<size_t>(v + 3)];
  }
  double chi = 0;  // of 6 degrees of freedom: above 22.5 in one of a thousand cases
  for (const int64_t n : count) {
    const double expected = kMany / 7.0, d = static_cast<double>(n) - expected;
    chi += d * d / expected;
  }
  EXPECT_LT(chi, 22.5);
}

TEST(RandomNumbers, HitsComeWithTheirProbability) {
  for (const double p : {0.01, 0.3, 0.9}) {
    const auto x = to_doubles(random_bernoulli(key_of(6), {{kMany}, p}));
    EXPECT_NEAR(moments(x).mean, p, 4 * std::sqrt(p * (1 - p) / kMany)) << p;
  }
  EXPECT_EQ(moments(to_doubles(random_bernoulli(key_of(6), {{kMany}, 0}))).mean, 0);
  EXPECT_EQ(moments(to_doubles(random_bernoulli(key_of(6), {{kMany}, 1}))).mean, 1);
}

TEST(RandomNumbers, DropoutKeepsTheMean) {
  const Tensor x = random_uniform(key_of(7), {{kMany}, 1, 3});
  const auto y = to_doubles(dropout(key_of(8), x, {0.25}));
  const auto zeros = static_cast<double>(std::count(y.begin(), y.end(), 0.0));
  EXPECT_NEAR(zeros / kMany, 0.25, 0.004);
  EXPECT_NEAR(moments(y).mean, 2, 0.02);
}

TEST(RandomNumbers, DropoutDropsTheSameLogicalElementsInAnyLayout) {
  const Tensor x = random_normal(key_of(9), {{4, 37, 5, 6}});
  const Tensor plain = dropout(key_of(10), x, {0.4});
  const Tensor last = dropout(key_of(10), to_channels_last(x), {0.4});
  EXPECT_TRUE(last.meta().is_channels_last());
  EXPECT_EQ(to_doubles(plain), to_doubles(last));
}

// ---- Keys ---------------------------------------------------------------------------------------

using Draw = std::function<Tensor(const Tensor& key)>;
std::vector<std::pair<const char*, Draw>> draws() {
  const Tensor x = cast(random_uniform(key_of(1), {{2049}, 1, 2}), DType::kF32);
  return {{"uniform", [](const Tensor& k) { return random_uniform(k, {{2049}}); }},
          {"normal", [](const Tensor& k) { return random_normal(k, {{2049}}); }},
          {"truncated", [](const Tensor& k) { return truncated_normal(k, {{2049}}); }},
          {"randint",
           [](const Tensor& k) {
             return random_randint(k, {{2049}, 0, 1 << 20});
           }},
          {"bernoulli", [](const Tensor& k) { return random_bernoulli(k, {{2049}}); }},
          {"dropout", [x](const Tensor& k) { return dropout(k, x); }}};
}

TEST(RandomKeys, TheSameKeyGivesTheSameBitsAndAnotherOneOthers) {
  for (const auto& [name, draw] : draws()) {
    const auto first = to_doubles(draw(key_of(11)));
    EXPECT_EQ(first, to_doubles(draw(key_of(11)))) << name;
    for (const uint64_t other : {uint64_t{12}, uint64_t{11} | uint64_t{1} << 32}) {
      const auto second = to_doubles(draw(key_of(other)));
      int64_t same = 0;
      for (size_t i = 0; i < first.size(); ++i) same += first[i] == second[i];
      EXPECT_LT(same, 1200) << name;  // half of the bits agree
    }
  }
}

TEST(RandomKeys, NumbersDoNotDependOnThreadsOrTheShape) {
  for (const auto& [name, draw] : draws()) {
    const auto run = [&, &make = draw](int threads) {
      ThreadCountScope scope(threads);
      return to_doubles(make(key_of(13)));
    };
    EXPECT_EQ(run(1), run(3)) << name;
  }
  const auto line = to_doubles(random_normal(key_of(13), {{40'000}}));
  EXPECT_EQ(line, to_doubles(random_normal(key_of(13), {{200, 200}})));
  ThreadCountScope scope(4);
  EXPECT_EQ(line, to_doubles(random_normal(key_of(13), {{40'000}})));
}

TEST(RandomKeys, GraphsDrawWhatEagerExecutionDraws) {
  for (const auto& [name, draw] : draws()) {
    auto compiled = graph::compile(
        [&make = draw](const std::vector<Tensor>& in) { return std::vector<Tensor>{make(in[0])}; });
    EXPECT_EQ(to_doubles(compiled({key_of(14)})[0]), to_doubles(draw(key_of(14)))) << name;
    EXPECT_EQ(to_doubles(compiled({key_of(15)})[0]), to_doubles(draw(key_of(15)))) << name;
  }
}

TEST(RandomKeys, AGeneratorGoesOnInsideAGraph) {
  Generator eager(5), inside(5);
  auto step = graph::compile([&](const std::vector<Tensor>&) {
    return std::vector<Tensor>{random_uniform(inside.next_key(), {{3}})};
  });
  std::set<std::vector<double>> seen;
  for (int i = 0; i < 4; ++i) {
    const auto want = to_doubles(random_uniform(eager.next_key(), {{3}}));
    EXPECT_EQ(to_doubles(step({})[0]), want) << i;
    seen.insert(want);
  }
  EXPECT_EQ(seen.size(), 4u);
}

// Every fast kernel up to 32 bits gives the reference kernel's bits.
TEST(RandomKeys, FastKernelsGiveTheReferencesBits) {
  const auto bits_of = [](const OpDef& op, const void* attrs, std::span<const Tensor> in,
                          const KernelRow& row) {
    std::vector<const TensorMeta*> metas;
    std::vector<void*> data;
    for (const Tensor& t : in) {
      metas.push_back(&t.meta());
      data.push_back(const_cast<void*>(t.data()));
    }
    CallMeta call{&op, attrs, metas, {}};
    SmallVector<TensorMeta, 1> outs;
    throw_if_error(infer_call(call, &outs));
    call.outputs = outs;
    Reason reason;
    if (row.supports && !row.supports(call, &reason)) return std::vector<char>();
    std::unique_ptr<Plan> plan;
    throw_if_error(row.prepare(call, &plan));
    std::vector<Tensor> results;
    std::vector<void*> out;
    for (const TensorMeta& m : outs) {
      results.push_back(Tensor::empty(m));
      out.push_back(results.back().mutable_data());
    }
    std::vector<char> workspace(plan->workspace_bytes);
    throw_if_error(plan->run(*plan, {data.data(), out.data(), workspace.data()}));
    const auto* first = static_cast<const char*>(out[0]);
    return std::vector<char>(first, first + outs[0].nbytes());
  };
  int compared = 0;
  const auto check = [&](const OpDef& op, const void* attrs, std::vector<Tensor> in) {
    const auto rows = kernel_rows(op, DeviceType::kCpu);
    if (rows.size() < 2) return;
    const std::vector<char> fast = bits_of(op, attrs, in, rows.front());
    if (fast.empty()) return;  // an older machine
    EXPECT_EQ(fast, bits_of(op, attrs, in, rows.back())) << op.name;
    ++compared;
  };
  for (const DType t : {DType::kF32, DType::kF16, DType::kBF16}) {
    const RandomUniformAttrs uniform{{20'011}, -0.3, 0.9, t};
    const RandomNormalAttrs normal{{20'011}, 0.1, 0.7, t};
    const TruncatedNormalAttrs truncated{{20'011}, 0.1, 0.7, -3, 1.5, t};
    check(kRandomUniform, &uniform, {key_of(16)});
    check(kRandomNormal, &normal, {key_of(16)});
    check(kTruncatedNormal, &truncated, {key_of(16)});
    const DropoutAttrs drop{0.3};
    check(kDropout, &drop, {key_of(16), random_normal(key_of(17), {{20'011}, 0, 1, t})});
  }
  const RandomRandintAttrs integers{{20'011}, INT64_MIN, INT64_MAX};
  check(kRandomRandint, &integers, {key_of(16)});
  EXPECT_TRUE(compared == 13 || compared == 0) << compared;
}

}  // namespace
}  // namespace rutile::ops
