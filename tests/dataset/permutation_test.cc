// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

namespace rutile::dataset {
namespace {

TEST(Permutation, IsABijection) {
  for (const int64_t n : {1, 2, 3, 4, 5, 7, 16, 100, 101, 1000, 9999, 65536, 100'003}) {
    std::vector<bool> seen(n);
    const Permutation p(n, {static_cast<uint64_t>(n)});
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = p(i);
      ASSERT_TRUE(0 <= at && at < n && !seen[at]) << n << " " << i;
      seen[at] = true;
    }
  }
}

TEST(Permutation, HugeSizes) {
  const int64_t n = int64_t{1} << 60;
  const Permutation p(n, {1});
  for (const int64_t i : {int64_t{0}, n / 3, n - 1}) {
    EXPECT_GE(p(i), 0);
    EXPECT_LT(p(i), n);
  }
}

// All orders of four things, about equally often.
TEST(Permutation, AllOrdersOfAFewThings) {
  std::map<std::vector<int64_t>, int> count;
  const int trials = 24'000;
  for (int key = 0; key < trials; ++key) {
    const Permutation p(4, {static_cast<uint64_t>(key)});
    ++count[{p(0), p(1), p(2), p(3)}];
  }
  ASSERT_EQ(count.size(), 24u);
  double chi2 = 0;
  for (const auto& [order, c] : count) chi2 += std::pow(c - 1000.0, 2) / 1000;
  EXPECT_LT(chi2, 60) << "23 degrees of freedom";
}

// Where a thing goes, and where its neighbour goes relative to it, is uniform.
TEST(Permutation, PlacesAndNeighboursAreUniform) {
  const int64_t n = 10'007, bins = 50;
  std::vector<int> place(bins), step(bins);
  for (uint64_t key = 0; key < 50; ++key) {
    const Permutation p(n, {key});
    for (int64_t i = 0; i + 1 < n; i += 5) {
      ++place[p(i) * bins / n];
      ++step[((p(i + 1) - p(i)) % n + n) % n * bins / n];
    }
  }
  const double expected = 50 * 2001.0 / bins;
  double chi2_place = 0, chi2_step = 0;
  for (int b = 0; b < bins; ++b) {
    chi2_place += std::pow(place[b] - expected, 2) / expected;
    chi2_step += std::pow(step[b] - expected, 2) / expected;
  }
  EXPECT_LT(chi2_place, 100) << "49 degrees of freedom";
  EXPECT_LT(chi2_step, 100);
}

}  // namespace
}  // namespace rutile::dataset
