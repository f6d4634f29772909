// SPDX-License-Identifier: Apache-2.0
// Positions that are far away or not numbers, as PyTorch where it has a result.
#include "rutile/ops/grid_sample.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rutile/autograd/tape.h"
#include "rutile/ops/reduce.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile {
namespace {

Tensor image() {
  std::vector<float> v(20);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i + 1);
  return Tensor::from<float>(v, {1, 1, 4, 5});
}
Tensor at(float column, float row) { return Tensor::from<float>({column, row}, {1, 1, 1, 2}); }

TEST(GridSample, FarPositionsReadTheBorderInEveryMode) {
  for (const auto mode :
       {GridSampleMode::kBilinear, GridSampleMode::kNearest, GridSampleMode::kBicubic}) {
    const ops::GridSampleAttrs border{mode, GridPadding::kBorder}, zeros{mode};
    for (const float far : {1e9f, 1e30f, INFINITY}) {
      EXPECT_EQ(ops::grid_sample(image(), at(far, far), border).item(), 20) << far;
      EXPECT_EQ(ops::grid_sample(image(), at(-far, far), border).item(), 16) << far;
      EXPECT_EQ(ops::grid_sample(image(), at(far, far), zeros).item(), 0) << far;
    }
    const double mirrored =
        ops::grid_sample(image(), at(1e9f, 0), {mode, GridPadding::kReflection}).item();
    EXPECT_TRUE(mirrored >= 6 && mirrored <= 15) << mirrored;
  }
}

TEST(GridSample, PositionsWithNaNGiveNaNAndNoGradientToTheImage) {
  for (const auto mode :
       {GridSampleMode::kBilinear, GridSampleMode::kNearest, GridSampleMode::kBicubic}) {
    for (const auto padding :
         {GridPadding::kZeros, GridPadding::kBorder, GridPadding::kReflection}) {
      for (const Tensor& grid : {at(NAN, 0), at(0, NAN), at(NAN, 99)}) {
        const auto f = [&](const std::vector<Tensor>& in) {
          return ops::sum(ops::grid_sample(in[0], in[1], {mode, padding}));
        };
        const auto r = value_and_grad(f, {image(), grid});
        EXPECT_TRUE(std::isnan(r.value.item()));
        EXPECT_EQ(r.grads[0].to_vector<float>(), std::vector<float>(20, 0.0f));
        for (const float g : r.grads[1].to_vector<float>()) EXPECT_TRUE(std::isnan(g));
      }
    }
  }
}

}  // namespace
}  // namespace rutile
