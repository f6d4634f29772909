// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/ctc.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rutile/autograd/tape.h"
#include "rutile/core/thread.h"
#include "rutile/nn/losses.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::ops {
namespace {

Tensor numbers(const std::vector<int64_t>& v) {
  return Tensor::from<int64_t>(v, {static_cast<int64_t>(v.size())});
}
Tensor drawn(const Shape& shape, DType t, uint64_t key) {
  return samples::make_tensor(samples::in(shape), t, {key});
}

// The sum over all sequences of classes that give the target.
double by_hand(const std::vector<double>& p, int64_t steps, int64_t classes,
               const std::vector<int64_t>& target) {
  double total = 0;
  std::vector<int64_t> path(static_cast<size_t>(steps), 0);
  for (;;) {
    std::vector<int64_t> merged;
    double product = 1;
    for (size_t t = 0; t < path.size(); ++t) {
      product *= p[t * static_cast<size_t>(classes) + static_cast<size_t>(path[t])];
      if (path[t] != 0 && (t == 0 || path[t] != path[t - 1])) merged.push_back(path[t]);
    }
    if (merged == target) total += product;
    size_t i = 0;
    while (i < path.size() && ++path[i] == classes) path[i++] = 0;
    if (i == path.size()) return -std::log(total);
  }
}

TEST(CtcLoss, IsTheSumOverAllAlignments) {
  const Tensor x = softmax(drawn({5, 3}, DType::kF64, 7), -1);
  const std::vector<double> p = x.to_vector<double>();
  for (const std::vector<int64_t>& target :
       {std::vector<int64_t>{}, {1}, {1, 2}, {2, 2}, {1, 1, 2}, {1, 2, 1, 2}}) {
    const auto n = static_cast<int64_t>(target.size());
    const Tensor loss = ctc_loss(log(x), numbers(target), Tensor::scalar(5, DType::kI64),
                                 Tensor::scalar(n, DType::kI64), {.reduction = Reduction::kNone});
    EXPECT_NEAR(loss.item(), by_hand(p, 5, 3, target), 1e-13);
  }
}

TEST(CtcLoss, WhatDoesNotFitIsInfiniteOrNothing) {
  const Tensor x = log_softmax(drawn({3, 2, 4}, DType::kF32, 3), -1);
  const Tensor targets = Tensor::from<int64_t>({1, 1, 2, 3, 0, 0}, {2, 3});
  const Tensor steps = numbers({3, 3}), lengths = numbers({3, 1});
  const auto each = ctc_loss(x, targets, steps, lengths, {.reduction = Reduction::kNone});
  EXPECT_EQ(each.to_vector<float>()[0], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isfinite(each.to_vector<float>()[1]));
  GradScope scope;
  scope.watch(x);
  const Tensor loss = nn::CTCLoss{.zero_infinity = true}(x, targets, steps, lengths);
  const Tensor g = scope.gradient(loss, {x})[0];
  EXPECT_TRUE(std::isfinite(loss.item()));
  for (const float v : g.to_vector<float>()) EXPECT_TRUE(std::isfinite(v));
}

TEST(CtcLoss, ThreadsChangeNothing) {
  const Tensor x = log_softmax(drawn({60, 13, 30}, DType::kF32, 5), -1);
  const Tensor targets = samples::make_tensor(samples::index_in({13, 20}, 1, 30), DType::kI64, {9});
  const Tensor steps = Tensor::full({13}, 60, DType::kI64);
  const Tensor lengths = Tensor::full({13}, 20, DType::kI64);
  auto run = [&](int threads) {
    ThreadCountScope count(threads);
    GradScope scope;
    scope.watch(x);
    return scope.gradient(ctc_loss(x, targets, steps, lengths), {x})[0].to_vector<float>();
  };
  EXPECT_EQ(run(1), run(3));
}

}  // namespace
}  // namespace rutile::ops
