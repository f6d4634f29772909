// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rutile/ops/elementwise.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::train {
namespace {

Tensor labels(std::initializer_list<int32_t> v) {
  return Tensor::from<int32_t>(v, {static_cast<int64_t>(v.size())});
}

TEST(Accuracy, CountsOverBatchesOfAnySize) {
  Accuracy top1, top2(2);
  EXPECT_TRUE(std::isnan(top1.value()));
  const Tensor a = Tensor::from<float>({3, 2, 1, 1, 2, 3, 1, 3, 2}, {3, 3});
  const Tensor b = Tensor::from<float>({5, 4, 3}, {1, 3});
  for (Accuracy* m : {&top1, &top2}) {
    m->update(a, labels({0, 1, 0}));  // right, second, third
    m->update(b, labels({0}));        // right
  }
  EXPECT_DOUBLE_EQ(top1.value(), 0.5);
  EXPECT_DOUBLE_EQ(top2.value(), 0.75);
  EXPECT_EQ(top1.samples(), 4);
  EXPECT_EQ(top2.name(), "top-2 accuracy");
  top1.reset();
  EXPECT_EQ(top1.samples(), 0);
}

TEST(Accuracy, TiesNanIgnoredAndTypes) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Accuracy m;
  m.update(Tensor::from<float>({1, 1, 1, 1}, {2, 2}), labels({0, 1}));  // the earlier class wins
  EXPECT_DOUBLE_EQ(m.value(), 0.5);
  m.reset();
  m.update(Tensor::from<float>({1, nan, nan, 1}, {2, 2}), labels({0, 0}));
  EXPECT_DOUBLE_EQ(m.value(), 0);
  m.reset();
  m.update(Tensor::from<float>({1, 2, 2, 1}, {2, 2}), labels({-100, 0}));
  EXPECT_DOUBLE_EQ(m.value(), 1);
  EXPECT_EQ(m.samples(), 1);
  for (const DType t : {DType::kBF16, DType::kF16, DType::kF64}) {
    m.reset();
    m.update(ops::cast(Tensor::from<float>({1, 2, 2, 1}, {2, 2}), t), labels({1, 1}));
    EXPECT_DOUBLE_EQ(m.value(), 0.5);
  }
  m.reset();  // a text: [n, t, classes]
  m.update(Tensor::from<float>({1, 2, 2, 1}, {1, 2, 2}), Tensor::from<int64_t>({1, 0}, {1, 2}));
  EXPECT_DOUBLE_EQ(m.value(), 1);
}

TEST(Accuracy, WrongInputs) {
  Accuracy m;
  const Tensor x = Tensor::zeros({2, 3});
  EXPECT_RUTILE_ERROR(m.update(x, labels({0})), kValue, "do not fit");
  EXPECT_RUTILE_ERROR(m.update(x, Tensor::zeros({2})), kType, "labels are i32 or i64");
  EXPECT_RUTILE_ERROR(m.update(Tensor::zeros({2, 3}, DType::kI32), labels({0, 1})), kType,
                      "floating-point");
  EXPECT_RUTILE_ERROR(m.update(x, labels({0, 3})), kIndex, "out of range for 3 classes");
  EXPECT_RUTILE_ERROR(m.update(Tensor::zeros({2, 0}), labels({0, 0})), kValue, "do not fit");
  EXPECT_RUTILE_ERROR(m.update(Tensor::zeros({}), Tensor::zeros({}, DType::kI32)), kValue,
                      "do not fit");
  EXPECT_RUTILE_ERROR(Accuracy(0), kValue, "k >= 1");
}

TEST(Mean, WeighsBySize) {
  Mean m;
  EXPECT_TRUE(std::isnan(m.value()));
  m.add(1, 3);
  m.add(5, 1);
  EXPECT_DOUBLE_EQ(m.value(), 2);
}

}  // namespace
}  // namespace rutile::train
