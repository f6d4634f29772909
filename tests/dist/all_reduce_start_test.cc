// SPDX-License-Identifier: Apache-2.0
// kAllReduceStart and kAllReduceWait in compiled functions of several ranks, where the result lies
// in the memory that was started: reductions, dtypes on the wire, parts.
#include <gtest/gtest.h>

#include "rutile/dist/group.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"
#include "rutile/tests/dist/ranks.h"

namespace rutile {
namespace {

using ops::AllReduceManyAttrs;
using test::require;
using test::require_equal;

constexpr int kRanks = 3;

void expect_all_well(const std::function<void(int)>& fn) {
  for (const test::Outcome& o : test::run_ranks(kRanks, fn)) {
    EXPECT_EQ(o.error, "");
    EXPECT_EQ(o.status, 0);
  }
}

std::vector<double> values(const Tensor& t) {
  return ops::cast(t, DType::kF64).to_vector<double>();
}

Tensor start(const std::vector<Tensor>& xs, const AllReduceManyAttrs& a) {
  return call_n(ops::kAllReduceStart, &a, xs)[0];
}
Tensor wait(const Tensor& flat, const AllReduceManyAttrs& a) {
  return call1(ops::kAllReduceWait, &a, {flat});
}

Tensor reduced(const std::vector<Tensor>& xs, const AllReduceManyAttrs& a) {
  graph::Compiled f(
      [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{wait(start(in, a), a)}; },
      {});
  return f(xs)[0];
}

// Of rank r: [[1, 2, 3], [4, 5, 6]] * (r + 1), handed over by its transpose, and 7 * (r + 1).
std::vector<Tensor> tensors(int rank, DType t) {
  std::vector<double> v{1, 4, 2, 5, 3, 6}, last{7};
  for (double& e : v) e *= rank + 1;
  last[0] *= rank + 1;
  return {ops::cast(ops::transpose(Tensor::from<double>(std::span<const double>(v), {3, 2})), t),
          ops::cast(Tensor::from<double>(std::span<const double>(last), Shape{}), t)};
}

std::vector<double> times(std::vector<double> v, double by) {
  for (double& e : v) e *= by;
  return v;
}

TEST(AllReduceStart, GivesEachReductionInEachDtype) {
  expect_all_well([](int rank) {
    dist::init();
    const std::vector<double> ones{1, 2, 3, 4, 5, 6, 7};
    for (const DType t : {DType::kI32, DType::kF16, DType::kBF16, DType::kF32, DType::kF64}) {
      for (const auto& [how, factor] : {std::pair{Reduce::kSum, 6.0},
                                        {Reduce::kMean, 2.0},
                                        {Reduce::kMax, 3.0},
                                        {Reduce::kMin, 1.0}}) {
        if (how == Reduce::kMean && !is_floating(t)) continue;
        const AllReduceManyAttrs a{.reduce = how};
        require_equal(values(reduced(tensors(rank, t), a)), times(ones, factor),
                      cat(t, " ", EnumNames<Reduce>::value[int(how)]));
      }
    }
    const AllReduceManyAttrs product{.reduce = Reduce::kProd};
    std::vector<double> want;
    for (const double v : ones) want.push_back(6 * v * v * v);
    require_equal(values(reduced(tensors(rank, DType::kF64), product)), want, "prod");
  });
}

TEST(AllReduceStart, SendsFloatsInAnotherDtype) {
  expect_all_well([](int rank) {
    dist::init();
    // 1 + 2^-10 is 1 in bf16.
    const Tensor x = Tensor::from<float>({1.0009765625f, 3}, {2});
    const AllReduceManyAttrs a{.wire = DType::kBF16};
    const Tensor sum = reduced({x}, a);
    require(sum.dtype() == DType::kBF16, "dtype");
    require_equal(values(sum), {3, 9}, cat("of rank ", rank));
  });
}

TEST(AllReduceStart, GivesEachRankItsLine) {
  expect_all_well([](int rank) {
    dist::init();
    // Parts of two and of one element; the second tensor's are zeros but for the first rank's.
    const AllReduceManyAttrs a{.scatter = kRanks};
    const Tensor flat = reduced(tensors(rank, DType::kF32), a);
    require(flat.numel() == 9, "size");
    const std::vector<double> all = values(flat);
    const std::vector<double> want[] = {{6, 12, 42}, {18, 24, 0}, {30, 36, 0}};
    require_equal({all.begin() + rank * 3, all.begin() + rank * 3 + 3}, want[rank],
                  cat("line ", rank));
  });
}

TEST(AllReduceStart, SeveralAreOnTheirWayAtOnce) {
  expect_all_well([](int rank) {
    dist::init();
    const AllReduceManyAttrs sum{}, high{.reduce = Reduce::kMax};
    graph::Compiled f(
        [&](const std::vector<Tensor>& in) {
          const Tensor& x = in[0];
          const Tensor a = start({x}, sum), b = start({x, x}, high), c = start({x, x, x}, sum);
          const Tensor last = wait(c, sum), between = ops::all_reduce(x), first = wait(a, sum);
          return std::vector<Tensor>{last, between, first, wait(b, high)};
        },
        {});
    const std::vector<Tensor> got = f({Tensor::from<float>({1.0f + rank}, {1})});
    require_equal(values(got[0]), {6, 6, 6}, "the last one");
    require_equal(values(got[1]), {6}, "another collective in between");
    require_equal(values(got[2]), {6}, "the first one");
    require_equal(values(got[3]), {3, 3}, "the second one");
  });
}

}  // namespace
}  // namespace rutile
