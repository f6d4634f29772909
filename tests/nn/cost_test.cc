// SPDX-License-Identifier: Apache-2.0
// The cost of a whole training step against a count by hand.
#include <gtest/gtest.h>

#include <map>

#include "rutile/nn/models/resnet.h"
#include "rutile/nn/train_step.h"

namespace rutile::nn {
namespace {

// Multiplications with an addition of ResNet-50's convolutions and its last layer, for one image of
// 224 x 224: 4.1 billion.
double resnet50_products() {
  double macs = 112.0 * 112 * 64 * 3 * 49;
  double in = 64, pixels = 56 * 56;
  for (int stage = 0; stage < 4; ++stage) {
    const int blocks[] = {3, 4, 6, 3};
    const double planes = 64 << stage;
    for (int b = 0; b < blocks[stage]; ++b) {
      const bool strided = b == 0 && stage > 0;
      const double out = strided ? pixels / 4 : pixels;  // the stride stands in the 3x3
      macs += pixels * in * planes + out * planes * planes * 9 + out * planes * planes * 4;
      if (b == 0) macs += out * in * planes * 4;
      in = planes * 4;
      pixels = out;
    }
  }
  return macs + 2048.0 * 1000;
}

TEST(StepCost, OfResNet50IsThreeTimesItsProducts) {
  const double macs = resnet50_products();
  EXPECT_NEAR(macs, 4.09e9, 0.01e9);
  auto net = models::resnet50();
  TrainStep step(net, CrossEntropyLoss(), std::make_shared<optim::Momentum>(net->parameters()));
  step.prepare(TensorMeta({1, 3, 224, 224}, DType::kF32), TensorMeta({1}, DType::kI64));
  const graph::Graph& g = *step.compiled()->session().program().graph;
  std::map<graph::Phase, double> flops;
  double bytes = 0;
  for (const graph::NodeId id : g.order) {
    const Cost c = graph::cost_of(g, g.nodes[id]);
    flops[g.nodes[id].phase] += c.flops;
    bytes += c.bytes;
  }
  // Norms, activations and sums add few per cent; the image needs no gradient.
  const double image_gradient = 112.0 * 112 * 64 * 3 * 49;
  EXPECT_NEAR(flops[graph::Phase::kForward] / (2 * macs), 1.0, 0.03);
  EXPECT_GE(flops[graph::Phase::kForward], 2 * macs);
  EXPECT_NEAR(flops[graph::Phase::kBackward] / (4 * macs - 2 * image_gradient), 1.0, 0.03);
  EXPECT_GE(flops[graph::Phase::kBackward], 4 * macs - 2 * image_gradient);
  EXPECT_NEAR(flops[graph::Phase::kOptimizer] / (4 * 25'557'032.0), 1.0, 0.01);
  // Each activation is written and read several times, the parameters as often.
  EXPECT_GT(bytes, 0.5e9);
  EXPECT_LT(bytes, 2e9);
}

}  // namespace
}  // namespace rutile::nn
