// SPDX-License-Identifier: Apache-2.0
// Batch norm over more than the caches hold, where results are written past them.
#include <gtest/gtest.h>

#include "rutile/autograd/tape.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile {
namespace {

constexpr int64_t kChannels = 32;

class LargeBatchNorm : public testing::TestWithParam<DType> {};

struct Results {
  Tensor y, dx, dresidual;
};

// relu(batch_norm(x) + residual), or without the residual; dy is the gradient of y.
Results run(const Tensor& x, const Tensor& residual, const Tensor& dy) {
  GradScope scope;
  scope.watch(x);
  if (residual.defined()) scope.watch(residual);
  Results r;
  r.y = residual.defined() ? ops::batch_norm_add_relu(x, residual).y : ops::batch_norm_relu(x).y;
  const Tensor loss = ops::sum(ops::cast(r.y * dy, DType::kF32));
  const std::vector<Tensor> grads = scope.gradient(
      loss, residual.defined() ? std::vector<Tensor>{x, residual} : std::vector<Tensor>{x});
  r.dx = grads[0];
  if (residual.defined()) r.dresidual = grads[1];
  return r;
}

// A channel of the large images is what it is alone, in images that stay in the caches.
TEST_P(LargeBatchNorm, AgreesWithItsChannels) {
  const Shape shape{3, kChannels, 224, 208};
  const auto noise = [&](uint64_t seed) {
    return samples::make_tensor(samples::in(shape), GetParam(), PhiloxKey{seed});
  };
  const auto channel = [](const Tensor& t, int64_t c) {
    return ops::contiguous(ops::slice_axis(t, 1, c, c + 1));
  };
  const Tensor x = noise(1), residual = noise(2), dy = noise(3);
  for (const bool add : {false, true}) {
    const Results all = run(x, add ? residual : Tensor(), dy);
    for (int64_t c = 0; c < kChannels; c += 31) {
      const Results one = run(channel(x, c), add ? channel(residual, c) : Tensor(), channel(dy, c));
      EXPECT_EQ(samples::to_doubles(channel(all.y, c)), samples::to_doubles(one.y));
      EXPECT_EQ(samples::to_doubles(channel(all.dx, c)), samples::to_doubles(one.dx));
      if (!add) continue;
      EXPECT_EQ(samples::to_doubles(channel(all.dresidual, c)), samples::to_doubles(one.dresidual));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, LargeBatchNorm, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return cat(info.param); });

}  // namespace
}  // namespace rutile
