// SPDX-License-Identifier: Apache-2.0
// Functions of places.h and others that are no ops of their own.
#include "rutile/ops/places.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rutile/ops/activation.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/products_more.h"
#include "rutile/ops/unique.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::ops {
namespace {

using Floats = std::vector<float>;

Tensor counted(const Shape& shape) {
  return reshape(arange(0, shape.numel(), 1, DType::kF32), shape);
}
Floats values_of(const Tensor& t) { return t.to_vector<float>(); }

TEST(Stacks, AreThoseOfNumPy) {
  const Tensor a = counted({2}), b = counted({2}), m = counted({2, 3});
  EXPECT_EQ(values_of(hstack({{a, b}})), (Floats{0, 1, 0, 1}));
  EXPECT_EQ(hstack({{m, m}}).shape(), (Shape{2, 6}));
  EXPECT_EQ(vstack({{a, b}}).shape(), (Shape{2, 2}));
  EXPECT_EQ(dstack({{a, b}}).shape(), (Shape{1, 2, 2}));
  EXPECT_EQ(values_of(column_stack({{a, b}})), (Floats{0, 0, 1, 1}));
  EXPECT_EQ(atleast_1d(counted({})).shape(), Shape{1});
  EXPECT_EQ(atleast_2d(a).shape(), (Shape{1, 2}));
  EXPECT_EQ(atleast_3d(m).shape(), (Shape{2, 3, 1}));
  EXPECT_RUTILE_ERROR(hstack({}), kValue, "at least one");
}

TEST(Splits, LeaveTheLargerPartsInFront) {
  const Tensor x = counted({7, 2});
  const std::vector<Tensor> parts = tensor_split(x, 3);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].shape(), (Shape{3, 2}));
  EXPECT_EQ(parts[2].shape(), (Shape{2, 2}));
  const int64_t ends[] = {2, 1, -1};
  const std::vector<Tensor> at = tensor_split_at(x, ends);
  ASSERT_EQ(at.size(), 4u);
  EXPECT_EQ(at[0].dim(0), 2);
  EXPECT_EQ(at[1].dim(0), 0);
  EXPECT_EQ(at[2].dim(0), 5);
  EXPECT_EQ(at[3].dim(0), 1);
  EXPECT_EQ(hsplit(x, 2)[1].shape(), (Shape{7, 1}));
  EXPECT_EQ(vsplit(x, 7)[6].shape(), (Shape{1, 2}));
  EXPECT_RUTILE_ERROR(vsplit(x, 2), kValue, "equal parts");
  EXPECT_RUTILE_ERROR(dsplit(x, 2), kValue, "rank 3");
}

TEST(Narrow, IsAPartOfAnAxis) {
  const Tensor x = counted({2, 5});
  EXPECT_EQ(values_of(narrow(x, 1, -3, 2)), (Floats{2, 3, 7, 8}));
  EXPECT_RUTILE_ERROR(narrow(x, 1, 3, 3), kIndex, "do not lie");
}

TEST(TakeAlongDim, BroadcastsBesideTheAxis) {
  const Tensor x = counted({2, 3}), i = Tensor::from<int64_t>({2, 0}, {1, 2});
  EXPECT_EQ(values_of(take_along_dim(x, i, 1)), (Floats{2, 0, 5, 3}));
}

TEST(Combinations, KeepTheOrder) {
  const Tensor x = counted({3});
  EXPECT_EQ(values_of(combinations(x)), (Floats{0, 1, 0, 2, 1, 2}));
  EXPECT_EQ(combinations(x, 2, true).shape(), (Shape{6, 2}));
  EXPECT_EQ(combinations(x, 4).shape(), (Shape{0, 4}));
}

TEST(UniqueAlong, TakesWholeSlices) {
  const Tensor x = Tensor::from<float>({3, 1, 3, 1, 2, 1, 0, 5, 0}, {3, 3});
  const Unique columns = unique_along(x, 1);  // columns [3,1,0], [1,2,5], [3,1,0]
  EXPECT_EQ(values_of(columns.values), (Floats{1, 3, 2, 1, 5, 0}));
  EXPECT_EQ(columns.inverse.to_vector<int64_t>(), (std::vector<int64_t>{1, 0, 1}));
  EXPECT_EQ(columns.counts.to_vector<int64_t>(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(unique_along(x, 1, true).values.shape(), (Shape{3, 3}));
}

TEST(Softplus, HasASlope) {
  const Tensor x = Tensor::from<double>({-1, 0.5, 30}, {3});
  const auto y = softplus(x, 2.0).to_vector<double>();
  EXPECT_NEAR(y[0], std::log1p(std::exp(-2.0)) / 2, 1e-14);
  EXPECT_NEAR(y[1], std::log1p(std::exp(1.0)) / 2, 1e-14);
  EXPECT_EQ(y[2], 30);
}

TEST(Dist, IsTheNormOfTheDifference) {
  const Tensor x = counted({2, 2}), y = Tensor::zeros({2, 2});
  EXPECT_NEAR(dist(x, y).item(), std::sqrt(14.0), 1e-6);
  EXPECT_EQ(dist(x, y, 1).item(), 6);
}

}  // namespace
}  // namespace rutile::ops
