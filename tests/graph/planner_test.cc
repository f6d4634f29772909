// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/plan/planner.h"

#include <gtest/gtest.h>

#include "rutile/core/rng.h"

namespace rutile::graph {
namespace {

void expect_valid(const std::vector<Interval>& in, const MemoryPlan& plan) {
  ASSERT_EQ(plan.offsets.size(), in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(plan.offsets[i] % 64, 0);
    EXPECT_LE(plan.offsets[i] + in[i].bytes, plan.peak);
    for (size_t j = 0; j < i; ++j) {
      const bool together = in[i].first <= in[j].last && in[j].first <= in[i].last;
      const bool overlap = plan.offsets[i] < plan.offsets[j] + in[j].bytes &&
                           plan.offsets[j] < plan.offsets[i] + in[i].bytes;
      EXPECT_FALSE(together && overlap) << i << " and " << j;
    }
  }
  EXPECT_GE(plan.peak, plan.lower_bound);
}

TEST(Planner, EmptyPlan) {
  const MemoryPlan p = plan_memory({});
  EXPECT_EQ(p.peak, 0);
  EXPECT_EQ(p.ratio(), 1.0);
}

TEST(Planner, ChainReusesTwoBuffers) {
  std::vector<Interval> chain;
  for (int i = 0; i < 100; ++i) chain.push_back({1024, i, i + 1});
  const MemoryPlan p = plan_memory(chain);
  expect_valid(chain, p);
  EXPECT_EQ(p.peak, 2048);
  EXPECT_EQ(p.lower_bound, 2048);
}

TEST(Planner, ForwardBackwardReachesTheLowerBound) {
  // Activations of a 20-layer network, kept until their backward step, and gradients in between.
  std::vector<Interval> in;
  for (int i = 0; i < 20; ++i) {
    in.push_back({(20 - i) * 4096, i, 39 - i});
    in.push_back({(20 - i) * 4096, 39 - i, 40 - i});
  }
  const MemoryPlan p = plan_memory(in);
  expect_valid(in, p);
  EXPECT_LE(p.ratio(), 1.05) << p.order;
}

TEST(Planner, RandomIntervalsNeverOverlap) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<Interval> in;
    for (uint64_t i = 0; i < 60; ++i) {
      const auto w = philox(PhiloxKey{seed}, i);
      const int first = static_cast<int>(w[0] % 50);
      in.push_back({w[1] % 5000 + 1, first, first + static_cast<int>(w[2] % 20)});
    }
    const MemoryPlan p = plan_memory(in);
    expect_valid(in, p);
    EXPECT_LE(p.ratio(), 1.5) << seed;
  }
}

}  // namespace
}  // namespace rutile::graph
