// SPDX-License-Identifier: Apache-2.0
// Costs against numbers worked out by hand.
#include "rutile/ops/cost.h"

#include <gtest/gtest.h>

#include <vector>

#include "rutile/ops/attention.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile {
namespace {

Cost cost(const OpDef& op, const void* attrs, const std::vector<TensorMeta>& inputs) {
  const AnyAttrs defaults(op.attrs, attrs);
  std::vector<const TensorMeta*> in;
  for (const TensorMeta& m : inputs) in.push_back(&m);
  SmallVector<TensorMeta, 1> out;
  throw_if_error(infer_call(CallMeta{&op, defaults.get(), in, {}}, &out));
  return cost_of(CallMeta{&op, defaults.get(), in, out});
}
TensorMeta f32(const Shape& shape) { return {shape, DType::kF32}; }

TEST(Cost, OfProducts) {
  const Cost c = cost(ops::kMatmul, nullptr, {f32({10, 30}), f32({30, 20})});
  EXPECT_EQ(c.flops, 2.0 * 10 * 20 * 30);
  EXPECT_EQ(c.bytes, 4.0 * (10 * 30 + 30 * 20 + 10 * 20));
  const ops::MatmulAttrs turned{.transpose_a = true};
  EXPECT_EQ(cost(ops::kMatmul, &turned, {f32({5, 30, 10}), f32({30, 20})}).flops,
            2.0 * 5 * 10 * 20 * 30);
  EXPECT_EQ(cost(ops::kMatmul, nullptr, {f32({30}), f32({30})}).flops, 60);
  EXPECT_EQ(cost(ops::kMatmul, nullptr, {f32({4, 0}), f32({0, 6})}).flops, 0);
  EXPECT_EQ(cost(ops::kLinear, nullptr, {f32({8, 30}), f32({20, 30}), f32({20})}).flops,
            8.0 * 20 * (2 * 30 + 1));
}

TEST(Cost, OfConvolutions) {
  const ops::Conv2dAttrs a{.stride = 2, .pad = 3};
  const std::vector<TensorMeta> in = {f32({2, 3, 224, 224}), f32({64, 3, 7, 7})};
  const double macs = 2.0 * 64 * 112 * 112 * 3 * 7 * 7;
  EXPECT_EQ(cost(ops::kConv2d, &a, in).flops, 2 * macs);
  const ops::Conv2dInputGradAttrs dx{.stride = 2, .pad = 3, .input_shape = {2, 3, 224, 224}};
  EXPECT_EQ(cost(ops::kConv2dInputGrad, &dx, {f32({2, 64, 112, 112}), in[1]}).flops, 2 * macs);
  const ops::Conv2dWeightGradAttrs dw{.stride = 2, .pad = 3, .weight_shape = {64, 3, 7, 7}};
  EXPECT_EQ(cost(ops::kConv2dWeightGrad, &dw, {f32({2, 64, 112, 112}), in[0]}).flops, 2 * macs);
  const ops::Conv2dAttrs depthwise{.pad = 1, .groups = 32};
  EXPECT_EQ(
      cost(ops::kConv2d, &depthwise, {f32({1, 32, 10, 10}), f32({32, 1, 3, 3}), f32({32})}).flops,
      32.0 * 10 * 10 * (2 * 9 + 1));
}

TEST(Cost, OfAttention) {
  const std::vector<TensorMeta> in = {f32({2, 4, 16, 8}), f32({2, 4, 16, 8}), f32({2, 4, 16, 8})};
  EXPECT_EQ(cost(ops::kAttention, nullptr, in).flops, 2.0 * 4 * 16 * 16 * (2 * 8 + 2 * 8 + 5));
  const ops::AttentionAttrs causal{.causal = true};
  EXPECT_EQ(cost(ops::kAttention, &causal, in).flops, 2.0 * 4 * (16 * 17 / 2) * (4 * 8 + 5));
  // More rows than keys: the last rows see all of them.
  EXPECT_EQ(cost(ops::kAttention, &causal, {f32({1, 6, 8}), f32({1, 4, 8}), f32({1, 4, 8})}).flops,
            (2 * 4 + 4 * 5 / 2) * (4 * 8 + 5.0));
}

TEST(Cost, OfElementsAndSums) {
  const Cost add = cost(ops::kAdd, nullptr, {f32({8, 10}), f32({10})});
  EXPECT_EQ(add.flops, 80);
  EXPECT_EQ(add.bytes, 4.0 * (80 + 10 + 80));
  EXPECT_EQ(cost(ops::kSum, nullptr, {f32({8, 10})}).flops, 80);
  EXPECT_EQ(cost(ops::kBatchNorm, nullptr, {f32({2, 4, 5, 5})}).flops, 5.0 * 2 * 4 * 5 * 5);
  const ops::FusedElementwiseAttrs two{"2: add %0 %1; relu %2 -> %3"};
  const Cost fused = cost(ops::kFusedElementwise, &two, {f32({8, 10}), f32({8, 10})});
  EXPECT_EQ(fused.flops, 2 * 80);
  EXPECT_EQ(fused.bytes, 4.0 * 3 * 80);
}

TEST(Cost, OfUpdates) {
  const TensorMeta p = f32({100}), one = f32({});
  const Cost sgd = cost(ops::kSgd, nullptr, {p, p, one});
  EXPECT_EQ(sgd.flops, 200);
  EXPECT_EQ(sgd.bytes, 4.0 * (3 * 100 + 1));
  EXPECT_EQ(cost(ops::kAssign, nullptr, {p, p}).bytes, 800);  // the old value is not read
}

TEST(Cost, OfMoves) {
  const ops::TransposeAttrs swap{{1, 0}};
  const Cost view = cost(ops::kTranspose, &swap, {f32({8, 10})});
  EXPECT_EQ(view.flops, 0);
  EXPECT_EQ(view.bytes, 0);
  const Cost copy = cost(ops::kContiguous, nullptr, {f32({8, 10})});
  EXPECT_EQ(copy.flops, 0);
  EXPECT_EQ(copy.bytes, 640);
  // A lookup reads the rows it gives, not the table.
  const Cost rows =
      cost(ops::kEmbedding, nullptr, {TensorMeta({6}, DType::kI64), f32({50000, 10})});
  EXPECT_EQ(rows.bytes, 6 * 8 + 2 * 4 * 60.0);
}

TEST(Cost, CountsMemoryAsItLies) {
  TensorMeta wide = f32({8, 10});
  EXPECT_EQ(touched_bytes(wide), 320);
  wide.strides = {0, 1};  // one row, seen eight times
  EXPECT_EQ(touched_bytes(wide), 40);
  wide.strides = {100, 1};  // rows of a wider matrix
  EXPECT_EQ(touched_bytes(wide), 320);
  EXPECT_EQ(touched_bytes(TensorMeta({8, 0}, DType::kF32)), 0);
  EXPECT_EQ(touched_bytes(TensorMeta({3}, DType::kBF16)), 6);
}

}  // namespace
}  // namespace rutile
