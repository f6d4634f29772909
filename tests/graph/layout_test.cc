// SPDX-License-Identifier: Apache-2.0
// The layout pass and norm fusion on a small residual network: same results, counted reorders.
#include <gtest/gtest.h>

#include <cmath>

#include "rutile/autograd/tape.h"
#include "rutile/core/placement.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

Tensor noise(const Shape& shape, uint64_t seed, DType dtype = DType::kF32) {
  const Tensor key = Tensor::from<uint64_t>({seed}, {1});
  return ops::cast(ops::random_normal(key, {.shape = shape}), dtype);
}

// conv - bn - relu - conv - bn, plus a projected shortcut, relu, mean: gradients of all.
std::vector<Tensor> residual_block(const std::vector<Tensor>& in, const std::vector<Tensor>& w) {
  GradScope scope;
  for (const Tensor& t : w) scope.watch(t);
  auto norm = [](const Tensor& x, const Tensor& gamma, const Tensor& beta) {
    return ops::batch_norm(x, gamma, beta).y;
  };
  ops::Conv2dAttrs pad;
  pad.pad = 1;
  Tensor h = ops::relu(norm(ops::conv2d(in[0], w[0], {}, pad), w[1], w[2]));
  h = norm(ops::conv2d(h, w[3], {}, pad), w[4], w[5]);
  const Tensor shortcut = norm(ops::conv2d(in[0], w[6]), w[7], w[8]);
  const Tensor y = ops::relu(h + shortcut);
  const Tensor loss = ops::sum(ops::square(y)) * 0.01;
  std::vector<Tensor> out = scope.gradient(loss, w);
  out.insert(out.begin(), loss);
  return out;
}

std::vector<Tensor> weights(int64_t in, int64_t mid) {
  std::vector<Tensor> w;
  uint64_t seed = 10;
  auto channel = [&] { w.push_back(noise({mid}, ++seed) * 0.1 + 1.0); };
  w.push_back(noise({mid, in, 3, 3}, ++seed) * 0.1);
  channel();
  channel();
  w.push_back(noise({mid, mid, 3, 3}, ++seed) * 0.1);
  channel();
  channel();
  w.push_back(noise({mid, in, 1, 1}, ++seed) * 0.1);
  channel();
  channel();
  return w;
}

int count_ops(const Graph& g, const char* name) {
  int n = 0;
  for (NodeId id : g.order) n += std::string_view(g.nodes[id].op->name) == name;
  return n;
}

double worst_relative(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto x = a[i].to_vector<float>(), y = b[i].to_vector<float>();
    double d = 0, n = 0;
    for (size_t k = 0; k < x.size(); ++k) {
      d += (x[k] - y[k]) * (x[k] - y[k]);
      n += x[k] * x[k];
    }
    worst = std::max(worst, std::sqrt(d / (n + 1e-30)));
  }
  return worst;
}

class Block : public ::testing::TestWithParam<std::pair<int, int>> {};

TEST_P(Block, SameGradientsInBlockedLayouts) {
  const auto [in, mid] = GetParam();
  const Tensor x = noise({2, in, 9, 7}, 3);
  const std::vector<Tensor> w = weights(in, mid);
  auto fn = [&](const std::vector<Tensor>& t) { return residual_block(t, w); };
  CompileOptions off;
  off.passes_off = "all";
  Compiled plain = compile(fn, off), fused = compile(fn);
  const std::vector<Tensor> expected = fn({x});
  const std::vector<Tensor> exact = plain({x});
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(exact[i].to_vector<float>(), expected[i].to_vector<float>()) << "output " << i;
  }
  // The gradient of a weight before a norm nearly cancels, which lifts its relative error.
  EXPECT_LT(worst_relative(expected, fused({x})), 1e-4);
  const Graph& g = *fused.session().program().graph;
  EXPECT_TRUE(verify(g).ok()) << verify(g).message();
  EXPECT_EQ(count_ops(g, "relu"), 0) << print(g);
  EXPECT_EQ(count_ops(g, "relu_grad"), 0);
  EXPECT_EQ(count_ops(g, "batch_norm_relu"), 1);
  EXPECT_EQ(count_ops(g, "batch_norm_add_relu"), 1);
  EXPECT_EQ(count_ops(g, "batch_norm_add_relu_grad"), 1);
}
INSTANTIATE_TEST_SUITE_P(Channels, Block,
                         ::testing::Values(std::pair{3, 16}, std::pair{16, 32}, std::pair{6, 37},
                                           std::pair{1, 1}));

// h = relu(bn(conv(h)) + h), block after block: the gradients of h from both ways meet in the
// norm's kernel, but for the first h.
TEST(Layout, GradientsMeetInTheNorm) {
  const Tensor x = noise({2, 37, 6, 5}, 3);
  std::vector<Tensor> w;
  constexpr int kBlocks = 3;
  for (uint64_t i = 0; i < kBlocks; ++i) {
    w.push_back(noise({37, 37, 3, 3}, 20 + i) * 0.1);
    w.push_back(noise({37}, 30 + i) * 0.1 + 1.0);
  }
  auto fn = [&](const std::vector<Tensor>& in) {
    GradScope scope;
    for (const Tensor& t : w) scope.watch(t);
    ops::Conv2dAttrs pad;
    pad.pad = 1;
    Tensor h = ops::relu(in[0]);
    scope.watch(h);
    const Tensor first = h;
    for (int i = 0; i < kBlocks; ++i) {
      h = ops::relu(ops::batch_norm(ops::conv2d(h, w[2 * i], {}, pad), w[2 * i + 1]).y + h);
    }
    std::vector<Tensor> wanted = w;
    wanted.push_back(first);
    return scope.gradient(ops::sum(ops::square(h)) * 0.01, wanted);
  };
  Compiled fused = compile(fn);
  EXPECT_LT(worst_relative(fn({x}), fused({x})), 1e-4);
  const Graph& g = *fused.session().program().graph;
  EXPECT_EQ(count_ops(g, "batch_norm_add_relu_grad"), kBlocks);
  EXPECT_EQ(count_ops(g, "add"), 1) << print(g);
}

TEST(Layout, ActivationsStayBlockedBetweenConvolutions) {
  const Tensor x = noise({2, 16, 8, 8}, 3);
  const std::vector<Tensor> w = weights(16, 32);
  Compiled f = compile([&](const std::vector<Tensor>& t) { return residual_block(t, w); });
  f({x});
  const Graph& g = *f.session().program().graph;
  int left = 0;
  for (NodeId id : g.order) {
    const Node& n = g.nodes[id];
    if (std::string_view(n.op->name) != "reorder") continue;
    const TensorMeta& from = g.meta(n.inputs[0]);
    EXPECT_FALSE(same_placement(from, g.meta(n.outputs[0]))) << to_string(from);
    left += from.rank() == 4 && from.shape[0] == 2 && from.layout != kStrided;
  }
  EXPECT_LE(left, 1);  // the sum at the end reads row-major
}

// Blocked layouts pad 37 channels to 48: without eps the padding's deviation is 0.
TEST(Layout, BatchNormWithoutEpsKeepsThePaddingZero) {
  const Tensor x = noise({4, 16, 12, 12}, 1), first = noise({37, 16, 3, 3}, 2);
  const Tensor second = noise({37, 37, 3, 3}, 3);
  for (const bool with_relu : {false, true}) {
    const Function f = [&](const std::vector<Tensor>& in) {
      const Tensor h = ops::conv2d(in[0], in[1]);
      Tensor y = ops::batch_norm(h, {}, {}, {.eps = 0}).y;
      if (with_relu) y = ops::relu(y);
      return std::vector<Tensor>{ops::conv2d(y, in[2])};
    };
    const std::vector<Tensor> in{x, first, second};
    EXPECT_LT(worst_relative(f(in), compile(f)(in)), 1e-5);
  }
}

}  // namespace
}  // namespace rutile::graph
