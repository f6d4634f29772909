// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rutile/autograd/checker.h"
#include "rutile/autograd/tape.h"
#include "rutile/core/thread.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::ops {
namespace {

Tensor f64(std::initializer_list<double> v, const Shape& s) { return Tensor::from<double>(v, s); }
Tensor labels(std::initializer_list<int64_t> v) {
  return Tensor::from<int64_t>(v, {static_cast<int64_t>(v.size())});
}

// log(softmax) of one row.
std::vector<double> log_probabilities(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += std::exp(v);
  std::vector<double> y;
  for (const double v : x) y.push_back(v - std::log(sum));
  return y;
}

const Tensor& logits() {
  static const Tensor x = f64({0.5, -1, 2, 1, 0, -0.5, 3, 1, 1}, {3, 3});
  return x;
}

TEST(CrossEntropy, MeanDividesByTheWeightsOfTheLabels) {
  const Tensor weight = f64({1, 2, 0.5}, {3});
  const auto a = log_probabilities({0.5, -1, 2}), c = log_probabilities({3, 1, 1});
  const double want = (-0.5 * a[2] - 2 * c[1]) / 2.5;
  const Tensor y = labels({2, -100, 1});
  EXPECT_NEAR(cross_entropy(logits(), y, {}, weight).item(), want, 1e-14);
  EXPECT_NEAR(cross_entropy(logits(), y, {.reduction = Reduction::kSum}, weight).item(), want * 2.5,
              1e-14);
  const auto each =
      cross_entropy(logits(), y, {.reduction = Reduction::kNone}, weight).to_vector<double>();
  EXPECT_NEAR(each[0], -0.5 * a[2], 1e-14);
  EXPECT_EQ(each[1], 0);
}

TEST(CrossEntropy, SmoothingSpreadsOverAllClassesWithTheirWeights) {
  const Tensor weight = f64({1, 2, 0.5}, {3});
  const auto p = log_probabilities({0.5, -1, 2});
  const double want = (-0.9 * 2 * p[1] - 0.1 / 3 * (p[0] + 2 * p[1] + 0.5 * p[2])) / 2;
  const Tensor x = slice(logits(), {0}, {1});
  EXPECT_NEAR(cross_entropy(x, labels({1}), {.label_smoothing = 0.1}, weight).item(), want, 1e-14);
}

TEST(CrossEntropy, MeanOfNothingIsNaN) {
  EXPECT_TRUE(std::isnan(cross_entropy(logits(), labels({-100, -100, -100})).item()));
  EXPECT_TRUE(std::isnan(cross_entropy(zeros({0, 3}), zeros({0}, DType::kI64)).item()));
  EXPECT_EQ(
      cross_entropy(logits(), labels({-100, -100, -100}), {.reduction = Reduction::kSum}).item(),
      0);
}

TEST(CrossEntropy, ProbabilitiesAsTargets) {
  const Tensor t = one_hot(labels({2, 0, 1}), 3, DType::kF64);
  for (const double e : {0.0, 0.3}) {
    EXPECT_NEAR(cross_entropy(logits(), t, {.label_smoothing = e}).item(),
                cross_entropy(logits(), labels({2, 0, 1}), {.label_smoothing = e}).item(), 1e-14);
  }
  EXPECT_RUTILE_ERROR(cross_entropy(logits(), slice(t, {0}, {2})), kValue, "probabilities");
}

TEST(CrossEntropy, NamesTheLabelThatIsNoClass) {
  EXPECT_RUTILE_ERROR(cross_entropy(logits(), labels({0, 3, 0})), kIndex,
                      "[cross_entropy] label 3 at [1] is out of range: expects 0 to 2");
  EXPECT_RUTILE_ERROR(nll_loss(logits(), labels({0, -1, 0})), kIndex, "index -1 at [1]");
}

TEST(CrossEntropy, SecondOutputHasAGradientToo) {
  CrossEntropyAttrs a;
  const auto f = [&](const std::vector<Tensor>& in) {
    const Tensor args[] = {in[0], labels({2, -100, 1})};
    const TensorList out = call_n(kCrossEntropy, &a, args);
    return std::vector<Tensor>{out[0], out[1]};
  };
  const Status s = check_gradients(f, {logits()}, {.second_order = true});
  EXPECT_TRUE(s.ok()) << s.message();
}

TEST(CrossEntropy, LowPrecisionGivesALossInF32AndAGradientInItsOwnType) {
  const Tensor x = cast(logits(), DType::kBF16);
  GradScope scope;
  scope.watch(x);
  const Tensor loss = cross_entropy(x, labels({2, 0, 1}));
  EXPECT_EQ(loss.dtype(), DType::kF32);
  EXPECT_EQ(scope.gradient(loss, {x})[0].dtype(), DType::kBF16);
}

TEST(CrossEntropy, SameBitsWithAnyNumberOfThreads) {
  const Tensor x = reshape(cast(remainder(arange(0, 300 * 257), 17), DType::kF32), {300, 257});
  const Tensor y = remainder(arange(0, 300), 257);
  const double one = [&] {
    ThreadCountScope scope(1);
    return cross_entropy(x, y).item();
  }();
  ThreadCountScope scope(3);
  EXPECT_EQ(cross_entropy(x, y).item(), one);
}

TEST(NllLoss, IsCrossEntropyOfLogSoftmax) {
  const Tensor y = labels({2, -100, 1}), weight = f64({1, 2, 0.5}, {3});
  for (const Reduction r : {Reduction::kNone, Reduction::kMean, Reduction::kSum}) {
    const auto want = cross_entropy(logits(), y, {.reduction = r}, weight).to_vector<double>();
    const auto got =
        nll_loss(log_softmax(logits(), 1), y, {.reduction = r}, weight).to_vector<double>();
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-14);
  }
}

TEST(ElementLosses, Values) {
  const Tensor x = f64({1, -2, 0.25}, {3}), t = f64({0, 0, 0}, {3});
  EXPECT_NEAR(mse_loss(x, t).item(), (1 + 4 + 0.0625) / 3, 1e-15);
  EXPECT_NEAR(l1_loss(x, t, Reduction::kSum).item(), 3.25, 1e-15);
  const auto s = smooth_l1_loss(x, t, 0.5, Reduction::kNone).to_vector<double>();
  EXPECT_NEAR(s[0], 0.75, 1e-15);
  EXPECT_NEAR(s[2], 0.0625, 1e-15);
  const auto h = huber_loss(x, t, 0.5, Reduction::kNone).to_vector<double>();
  EXPECT_NEAR(h[1], 0.5 * (2 - 0.25), 1e-15);
  EXPECT_NEAR(h[2], 0.03125, 1e-15);
  EXPECT_EQ(smooth_l1_loss(x, t, 0).item(), l1_loss(x, t).item());
  EXPECT_RUTILE_ERROR(mse_loss(x, full({2}, 0)), kValue,
                      "[mse_loss] target expects shape [3], got [2]");
  EXPECT_RUTILE_ERROR(huber_loss(x, t, 0), kValue, "delta expects a positive number");
}

TEST(BceLoss, IsFiniteAtTheBorders) {
  const Tensor p = f64({0, 1, 0, 1, 0.5}, {5}), t = f64({0, 1, 1, 0, 0.5}, {5});
  const auto loss = binary_cross_entropy(p, t, Reduction::kNone).to_vector<double>();
  EXPECT_EQ(loss[0], 0);
  EXPECT_EQ(loss[1], 0);
  EXPECT_EQ(loss[2], 100);
  EXPECT_EQ(loss[3], 100);
  EXPECT_NEAR(loss[4], std::log(2.0), 1e-15);
  GradScope scope;
  scope.watch(p);
  for (const double g : scope.gradient(binary_cross_entropy(p, t), {p})[0].to_vector<double>()) {
    EXPECT_TRUE(std::isfinite(g));
  }
}

TEST(BceWithLogits, GradientIsSigmoidMinusTarget) {
  const Tensor x = f64({0, 0, 40, -40, 800}, {5}), t = f64({0, 1, 1, 1, 0}, {5});
  GradScope scope;
  scope.watch(x);
  const Tensor loss = binary_cross_entropy_with_logits(x, t, Reduction::kSum);
  const auto g = scope.gradient(loss, {x})[0].to_vector<double>();
  EXPECT_NEAR(g[0], 0.5, 1e-15);
  EXPECT_NEAR(g[1], -0.5, 1e-15);
  EXPECT_NEAR(g[2], 0, 1e-15);
  EXPECT_NEAR(g[3], -1, 1e-15);
  EXPECT_NEAR(g[4], 1, 1e-15);
  EXPECT_NEAR(loss.item(), 2 * std::log(2.0) + 40 + 800, 1e-12);
}

TEST(BceWithLogits, AgreesWithBceOfSigmoid) {
  const Tensor x = f64({0.3, -1.5, 2}, {3}), t = f64({0.1, 0.9, 0.5}, {3});
  const Tensor w = f64({1, 2, 3}, {3});
  EXPECT_NEAR(binary_cross_entropy_with_logits(x, t, Reduction::kMean, w).item(),
              binary_cross_entropy(sigmoid(x), t, Reduction::kMean, w).item(), 1e-14);
  const Tensor pos = f64({2}, {1});
  const double s = 1 / (1 + std::exp(-0.3));
  const double want = -(2 * 0.1 * std::log(s) + 0.9 * std::log(1 - s));
  EXPECT_NEAR(binary_cross_entropy_with_logits(slice(x, {0}, {1}), slice(t, {0}, {1}),
                                               Reduction::kMean, {}, pos)
                  .item(),
              want, 1e-14);
}

}  // namespace
}  // namespace rutile::ops
