// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/summary.h"

#include <gmock/gmock.h>

#include "rutile/nn/layers.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/ops/index.h"

namespace rutile::nn {
namespace {

using testing::HasSubstr;

const SummaryRow& row(const Summary& s, const std::string& path) {
  for (const SummaryRow& r : s.rows) {
    if (r.path == path) return r;
  }
  throw_error(ErrorCode::kNotFound, cat("no row ", path, " in\n", s.text()));
}

TEST(Summary, CountsParametersShapesAndCosts) {
  auto net = make<models::LeNet>();
  const uint64_t version = net->version();
  const Summary s = summary(*net, {TensorMeta({2, 1, 32, 32}, DType::kF32)});
  EXPECT_EQ(net->version(), version);
  EXPECT_TRUE(net->training());
  const SummaryRow& all = s.rows[0];
  EXPECT_EQ(all.type, "LeNet");
  EXPECT_EQ(all.parameters, net->num_elements());
  EXPECT_EQ(all.outputs[0].shape, (Shape{2, 10}));
  const SummaryRow& conv = row(s, "conv1");
  EXPECT_EQ(conv.type, "Conv2d");
  EXPECT_EQ(conv.depth, 1);
  EXPECT_EQ(conv.parameters, 6 * 25 + 6);
  EXPECT_EQ(conv.outputs[0].shape, (Shape{2, 6, 28, 28}));
  EXPECT_GE(conv.flops, 2.0 * 2 * 6 * 28 * 28 * 25);
  EXPECT_LE(conv.flops, 2.1 * 2 * 6 * 28 * 28 * 25);
  EXPECT_GE(conv.bytes, 2.0 * 6 * 28 * 28 * 4);
  double below = 0;
  for (const SummaryRow& r : s.rows) below += r.depth == 1 ? r.flops : 0;
  EXPECT_LE(below, all.flops);
  EXPECT_GT(below, 0.9 * all.flops);
  const std::string text = s.text();
  EXPECT_THAT(text, HasSubstr("conv1: Conv2d"));
  EXPECT_THAT(text, HasSubstr("f32[2,6,28,28]"));
  EXPECT_THAT(text, HasSubstr("Parameters: 61,706, 61,706 of them trained"));
}

TEST(Summary, SharedCellsCountOnceAndFrozenParametersAreNotTrained) {
  auto net = make<Sequential>();
  net->append(make<Linear>(4, 4));
  net->append(make<Linear>(4, 4));
  net->children()[0].second->freeze();
  const Summary s = summary(*net, {ops::full({3, 4}, 1.0)});
  ASSERT_EQ(s.rows.size(), 3u);
  EXPECT_EQ(s.rows[0].parameters, 40);
  EXPECT_EQ(s.rows[0].trainable, 20);
  EXPECT_EQ(s.rows[1].calls, 1);
  EXPECT_EQ(s.rows[1].path, "0");
}

TEST(Summary, AnErrorLeavesNothingBehind) {
  auto net = make<Linear>(4, 4);
  EXPECT_THROW(summary(*net, {ops::full({3, 5}, 1.0)}), Error);
  EXPECT_EQ(summary(*net, {ops::full({3, 4}, 1.0)}).rows.size(), 1u);
}

}  // namespace
}  // namespace rutile::nn
