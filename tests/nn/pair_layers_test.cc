// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/pair_layers.h"

#include <gtest/gtest.h>

#include "rutile/ops/einsum.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::nn {
namespace {

TEST(Bilinear, IsAFormOfBothInputs) {
  const auto cell = make<Bilinear>(3, 4, 2);
  const Tensor a = Tensor::from<float>({1, 0, -1, 2, 1, 0.5f}, {2, 3});
  const Tensor b = Tensor::from<float>({1, 2, 0, -1, 0.5f, 1, 1, 1}, {2, 4});
  const Tensor want =
      ops::einsum("bi,kij,bj->bk", {{a, cell->weight->value(), b}}) + cell->bias->value();
  const Tensor error = ops::max(ops::abs((*cell)(a, b) - want));
  EXPECT_LT(error.item(), 1e-5);
  EXPECT_THROW(make<Bilinear>(0, 4, 2), Error);
}

TEST(EmbeddingBag, TakesRowsOrOffsets) {
  const auto cell = make<EmbeddingBag>(5, 3, EmbeddingBagOptions{.mode = BagMode::kSum});
  const Tensor rows = Tensor::from<int64_t>({0, 4, 2, 2}, {2, 2});
  const Tensor flat = Tensor::from<int64_t>({0, 4, 2, 2}, {4});
  const Tensor offsets = Tensor::from<int64_t>({0, 2}, {2});
  const Tensor want = ops::sum(ops::embedding(rows, cell->weight->value()), {.axes = {1}});
  EXPECT_LT(ops::max(ops::abs((*cell)(rows)-want)).item(), 1e-6);
  EXPECT_LT(ops::max(ops::abs((*cell)(flat, offsets) - want)).item(), 1e-6);
  EXPECT_EQ(cell->extra_repr(), "5, 3, mode=sum");
}

}  // namespace
}  // namespace rutile::nn
