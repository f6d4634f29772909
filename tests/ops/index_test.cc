// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/index.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "rutile/autograd/tape.h"
#include "rutile/core/thread.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::ops {
namespace {

using testing::ElementsAre;

TEST(Creation, ArangeAndFull) {
  EXPECT_EQ(arange(0, 5).dtype(), DType::kI64);
  EXPECT_EQ(arange(0, 1, 0.25).dtype(), DType::kF32);
  EXPECT_THAT(arange(0, 1, 0.25).to_vector<float>(), ElementsAre(0, 0.25, 0.5, 0.75));
  EXPECT_THAT(arange(5, 0, -2).to_vector<int64_t>(), ElementsAre(5, 3, 1));
  EXPECT_THAT(full({2}, 300, DType::kF16).to_vector<Half>()[1], Half(300.0f));
  EXPECT_EQ(zeros_like(full({2, 3}, 1, DType::kI16)).dtype(), DType::kI16);
  EXPECT_THAT(ones({2}).to_vector<float>(), ElementsAre(1, 1));
}

TEST(Creation, ArangeOfIntegersKnowsNoRounding) {
  constexpr int64_t kBig = int64_t{1} << 60, kMax = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(arange(kBig, kBig + 3).to_vector<int64_t>(), ElementsAre(kBig, kBig + 1, kBig + 2));
  EXPECT_THAT(arange(kBig + 5, kBig, int64_t{-2}).to_vector<int64_t>(),
              ElementsAre(kBig + 5, kBig + 3, kBig + 1));
  EXPECT_THAT(arange(-kMax, kMax, kMax).to_vector<int64_t>(), ElementsAre(-kMax, 0));
  EXPECT_EQ(arange(5, 0).numel(), 0);
  EXPECT_EQ(arange(0, 0).numel(), 0);
  EXPECT_RUTILE_ERROR(arange(-kMax, kMax), kValue, "more than 2^48 elements");
}

TEST(Creation, ValuesMustFitTheType) {
  EXPECT_THAT(arange(0, 128, 64, DType::kI8).to_vector<int8_t>(), ElementsAre(0, 64));
  EXPECT_RUTILE_ERROR(arange(0, 129, 64, DType::kI8), kValue, "128");
  EXPECT_RUTILE_ERROR(arange(-1, 2, 1, DType::kU8), kValue, "-1");
  EXPECT_RUTILE_ERROR(arange(0.0, 4e9, 1e9, DType::kI32), kValue, "[arange]");
  EXPECT_RUTILE_ERROR(full({2}, 300, DType::kI8), kValue, "300");
  EXPECT_RUTILE_ERROR(full({2}, -1, DType::kU64), kValue, "-1");
  EXPECT_RUTILE_ERROR(full({2}, std::nan(""), DType::kI32), kValue, "[full]");
  EXPECT_RUTILE_ERROR(full({2}, HUGE_VAL, DType::kI64), kValue, "[full]");
  EXPECT_THAT(full({1}, HUGE_VAL).to_vector<float>(), ElementsAre(HUGE_VALF));
  EXPECT_THAT(full({1}, 2.9, DType::kI32).to_vector<int32_t>(), ElementsAre(2));
  const Tensor bytes = zeros({1}, DType::kU8);
  EXPECT_RUTILE_ERROR(pad(bytes, {1}, {0}, PadMode::kConstant, 256), kValue, "256");
}

TEST(Embedding, PaddingRowGetsNoGradient) {
  const Tensor table = full({4, 2}, 1.0), ids = Tensor::from<int64_t>({1, 2, 1}, {3});
  GradScope scope;
  scope.watch(table);
  const Tensor y = sum(embedding(ids, table, {.padding_idx = 2}));
  EXPECT_THAT(scope.gradient(y, {table})[0].to_vector<float>(),
              ElementsAre(0, 0, 2, 2, 0, 0, 0, 0));
}

TEST(Embedding, GradientHasTheSameBitsWithAnyNumberOfThreads) {
  const Tensor g = sin(cast(arange(0, 500 * 96), DType::kF32));
  const Tensor ids = remainder(mul(arange(0, 500), 7919), 37);
  const EmbeddingGradAttrs a{37, -1, {}};
  const auto run = [&](int threads) {
    ThreadCountScope scope(threads);
    return call1(kEmbeddingGrad, &a, {reshape(g, {500, 96}), ids}).to_vector<float>();
  };
  EXPECT_EQ(run(1), run(3));
  EXPECT_EQ(run(1), run(8));
}

TEST(Gather, CountsFromTheEnd) {
  const Tensor x = reshape(arange(0, 6), {3, 2});
  EXPECT_THAT(gather(x, Tensor::from<int64_t>({-1, 0}, {2})).to_vector<int64_t>(),
              ElementsAre(4, 5, 0, 1));
  EXPECT_EQ(take(x, Tensor::scalar(int64_t{1}, DType::kI64), 1).shape(), (Shape{3}));
  EXPECT_RUTILE_ERROR(gather(x, Tensor::from<int64_t>({0, 3, -4}, {3})), kIndex,
                      "[gather] index 3 at [1] is out of range: expects -3 to 2");
}

TEST(Gather, NamesTheFirstBadIndexWithAnyNumberOfThreads) {
  Tensor ids = Tensor::empty({60000}, DType::kI64);
  int64_t* p = ids.mutable_data_as<int64_t>();
  for (int64_t i = 0; i < 60000; ++i) p[i] = i % 5;
  p[20001] = 7;
  p[59000] = 9;
  const Tensor table = zeros({5, 4});
  for (const int threads : {1, 4}) {
    ThreadCountScope scope(threads);
    EXPECT_RUTILE_ERROR(embedding(ids, table), kIndex, "index 7 at [20001]");
  }
}

TEST(MaskedFill, KeepsTheType) {
  const Tensor x = cast(arange(0, 4), DType::kBF16);
  const Tensor y = masked_fill(x, greater(x, 1), -1.5);
  EXPECT_EQ(y.dtype(), DType::kBF16);
  EXPECT_THAT(cast(y, DType::kF32).to_vector<float>(), ElementsAre(0, 1, -1.5, -1.5));
}

TEST(Sort, IsStableAndPutsNaNLast) {
  const float nan = NAN;
  const Tensor x = Tensor::from<float>({1, nan, -0.0f, 0, -INFINITY, 1}, {6});
  EXPECT_THAT(sort(x).indices.to_vector<int64_t>(), ElementsAre(4, 2, 3, 0, 5, 1));
  EXPECT_THAT(sort(x, 0, true).indices.to_vector<int64_t>(), ElementsAre(1, 0, 5, 2, 3, 4));
  EXPECT_TRUE(std::signbit(sort(x).values.to_vector<float>()[1]));
  EXPECT_THAT(argsort(Tensor::from<uint8_t>({3, 255, 0}, {3})).to_vector<int64_t>(),
              ElementsAre(2, 0, 1));
}

TEST(Topk, ValuesAndPositions) {
  const Tensor x = Tensor::from<int32_t>({5, 1, 5, 7, 1, 0}, {2, 3});
  const ValuesIndices top = topk(x, 2);
  EXPECT_THAT(top.values.to_vector<int32_t>(), ElementsAre(5, 5, 7, 1));
  EXPECT_THAT(top.indices.to_vector<int64_t>(), ElementsAre(0, 2, 0, 1));
  EXPECT_THAT(topk(x, 1, 0, false).values.to_vector<int32_t>(), ElementsAre(5, 1, 0));
}

TEST(Nonzero, GivesPositions) {
  const Tensor x = Tensor::from<float>({0, 2, -0.0f, NAN}, {2, 2});
  const Tensor at = nonzero(x);
  EXPECT_EQ(at.shape(), (Shape{2, 2}));
  EXPECT_THAT(at.to_vector<int64_t>(), ElementsAre(0, 1, 1, 1));
  EXPECT_EQ(nonzero(zeros({3})).shape(), (Shape{0, 1}));
}

}  // namespace
}  // namespace rutile::ops
