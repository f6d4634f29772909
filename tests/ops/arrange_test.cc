// SPDX-License-Identifier: Apache-2.0
// The functions that are no ops of their own: arranging, choosing by value, products of given
// ranks.
#include "rutile/ops/arrange.h"

#include <gmock/gmock.h>

#include <cmath>

#include "rutile/ops/einsum.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/order.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/scatter.h"
#include "rutile/ops/special.h"
#include "rutile/ops/statistics.h"
#include "rutile/ops/unique.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::ops {
namespace {

using testing::ElementsAre;

std::vector<int64_t> ints(const Tensor& t) { return cast(t, DType::kI64).to_vector<int64_t>(); }
Tensor vec(std::vector<float> v) {
  return Tensor::from<float>(v, {static_cast<int64_t>(v.size())});
}
Tensor counted(const Shape& shape) { return reshape(arange(0, shape.numel()), shape); }
Tensor indices(std::vector<int64_t> v) {
  return Tensor::from<int64_t>(v, {static_cast<int64_t>(v.size())});
}

TEST(Arrange, MovesDimensions) {
  const Tensor x = counted({2, 3, 4});
  EXPECT_EQ(movedim(x, {0}, {2}).shape(), (Shape{3, 4, 2}));
  EXPECT_EQ(movedim(x, {-1, 0}, {0, 1}).shape(), (Shape{4, 2, 3}));
  EXPECT_EQ(ints(movedim(x, {0}, {2})), ints(permute(x, {1, 2, 0})));
  EXPECT_RUTILE_ERROR(movedim(x, {0, 0}, {1, 2}), kValue, "twice");
  EXPECT_RUTILE_ERROR(movedim(x, {0}, {3}), kIndex, "axis 3");
  EXPECT_EQ(unflatten(x, 2, {2, -1}).shape(), (Shape{2, 3, 2, 2}));
  EXPECT_RUTILE_ERROR(unflatten(x, 1, {2, -1}), kValue, "do not make 3");
  EXPECT_RUTILE_ERROR(unflatten(x, 1, {0, -1}), kValue, "do not make 3");
  const std::vector<Tensor> parts = unbind(x, 1);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_THAT(ints(parts[1]), ElementsAre(4, 5, 6, 7, 16, 17, 18, 19));
}

TEST(Arrange, GridsAndTuples) {
  const std::vector<Tensor> xs{indices({1, 2}), indices({3, 4, 5})};
  const std::vector<Tensor> ij = meshgrid(xs), xy = meshgrid(xs, true);
  EXPECT_EQ(ij[0].shape(), (Shape{2, 3}));
  EXPECT_EQ(xy[0].shape(), (Shape{3, 2}));
  EXPECT_THAT(ints(ij[1]), ElementsAre(3, 4, 5, 3, 4, 5));
  EXPECT_THAT(ints(xy[1]), ElementsAre(3, 3, 4, 4, 5, 5));
  EXPECT_THAT(ints(cartesian_prod(xs)), ElementsAre(1, 3, 1, 4, 1, 5, 2, 3, 2, 4, 2, 5));
  EXPECT_RUTILE_ERROR(cartesian_prod({}), kValue, "at least one");
  EXPECT_THAT(ints(tril_indices(2, 3, 1)), ElementsAre(0, 0, 1, 1, 1, 0, 1, 0, 1, 2));
  EXPECT_THAT(ints(triu_indices(2, 3)), ElementsAre(0, 0, 0, 1, 1, 0, 1, 2, 1, 2));
}

TEST(Arrange, DiagonalIsAView) {
  const Tensor x = counted({3, 4});
  const Tensor d = diagonal(x, {1});
  EXPECT_THAT(ints(d), ElementsAre(1, 6, 11));
  EXPECT_EQ(d.data(), x.data_as<int64_t>() + 1);
}

TEST(Products, OfGivenRanks) {
  const Tensor m = cast(counted({2, 3}), DType::kF32), v = vec({1, 2, 3});
  EXPECT_EQ(dot(v, v).item(), 14);
  EXPECT_THAT(ints(mv(m, v)), ElementsAre(8, 26));
  EXPECT_THAT(ints(outer(vec({1, 2}), v)), ElementsAre(1, 2, 3, 2, 4, 6));
  EXPECT_EQ(bmm(ones({2, 3, 4}), ones({2, 4, 5})).shape(), (Shape{2, 3, 5}));
  EXPECT_RUTILE_ERROR(bmm(ones({1, 3, 4}), ones({2, 4, 5})), kValue, "as many matrices");
  EXPECT_RUTILE_ERROR(dot(m, v), kValue, "ranks 1 and 1");
  EXPECT_EQ(tensordot(ones({2, 3, 4}), ones({3, 4, 5}), 2).shape(), (Shape{2, 5}));
  EXPECT_RUTILE_ERROR(tensordot(v, v, 2), kValue, "cannot sum over 2");
}

TEST(Choosing, ByValue) {
  const Unique u = unique(indices({3, 1, 3, 2, 1, 3}));
  EXPECT_THAT(ints(u.values), ElementsAre(1, 2, 3));
  EXPECT_THAT(ints(u.inverse), ElementsAre(2, 0, 2, 1, 0, 2));
  EXPECT_THAT(ints(u.counts), ElementsAre(2, 1, 3));
  EXPECT_THAT(ints(unique_consecutive(indices({1, 1, 2, 1})).values), ElementsAre(1, 2, 1));
  const Tensor x = vec({1, -2, 3});
  EXPECT_THAT(ints(masked_select(x, greater(x, 0))), ElementsAre(1, 3));
  EXPECT_EQ(masked_select(x, greater(x, 9)).numel(), 0);
  EXPECT_THAT(ints(bincount(indices({0, 2, 2}))), ElementsAre(1, 0, 2));
  EXPECT_THAT(ints(bincount(indices({0, 2, 2}), vec({1, 2, 4}), 4)), ElementsAre(1, 0, 6, 0));
  EXPECT_EQ(bincount(Tensor::empty({0}, DType::kI64)).numel(), 0);
}

TEST(Choosing, LargestWithItsPlace) {
  const Tensor x = Tensor::from<float>({1, 5, 5, 7, 2, 0}, {2, 3});
  const ValuesIndices top = max_with_index(x, 1), low = min_with_index(x, -1, true);
  EXPECT_THAT(ints(top.values), ElementsAre(5, 7));
  EXPECT_THAT(ints(top.indices), ElementsAre(1, 0));
  EXPECT_EQ(low.values.shape(), (Shape{2, 1}));
  EXPECT_THAT(ints(low.indices), ElementsAre(0, 2));
  EXPECT_THAT(ints(index_select(x, indices({2, 0}), 1)), ElementsAre(5, 1, 0, 7));
  EXPECT_RUTILE_ERROR(index_select(x, counted({1, 1}), 1), kValue, "index expects");
}

TEST(Statistics, PairsAndComparison) {
  const Tensor x = vec({1, 2, 3, 6});
  const auto [spread, centre] = var_mean(x, {.correction = 0});
  EXPECT_FLOAT_EQ(spread.item<float>(), 3.5f);
  EXPECT_FLOAT_EQ(centre.item<float>(), 3.0f);
  EXPECT_FLOAT_EQ(std_mean(x, {.correction = 0}).spread.item<float>(), std::sqrt(3.5f));
  EXPECT_EQ(aminmax(x).max.item(), 6);
  EXPECT_TRUE(allclose(x, add(x, 1e-6)).item<bool>());
  EXPECT_FALSE(allclose(x, add(x, 1)).item<bool>());
}

TEST(Scatter, ANumberForAllPlaces) {
  EXPECT_THAT(ints(scatter(vec({1, 2, 3}), indices({2, 0}), 9, 0)), ElementsAre(9, 2, 9));
}

}  // namespace
}  // namespace rutile::ops
