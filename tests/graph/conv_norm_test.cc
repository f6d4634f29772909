// SPDX-License-Identifier: Apache-2.0
// Batch norms within the convolutions on both sides, by the compositions of the ops: the same
// numbers, and the decisions of the pass.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "rutile/graph/exec/session.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv_norm.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/reduce.h"
#include "rutile/tests/graph/trace_gradients.h"

namespace rutile::graph {
namespace {

struct Result {
  Inputs outputs;
  std::map<std::string, int> ops;  // behind the pass
};

Result run(const Fn& loss, const Inputs& in, AcceptsFn accepts) {
  const auto g = trace_gradients(loss, in);
  for (Status (*pass)(Graph&) : {dce, canonicalize, cse, fuse_norm_act}) throw_if_error(pass(*g));
  Result r;
  if (accepts) throw_if_error(fuse_conv_norm_where(*g, accepts));
  throw_if_error(verify(*g));
  for (const NodeId id : g->order) ++r.ops[g->nodes[static_cast<size_t>(id)].op->name];
  throw_if_error(run_pipeline(*g, "", nullptr));
  auto program = std::make_shared<Program>();
  throw_if_error(lower(g, program.get()));
  r.outputs = Session(program).run(in);
  return r;
}

// A bottleneck as ResNet-50 has it, with a projection beside it: x, four weights, and scale and
// shift of each norm.
Tensor bottleneck(const Inputs& in) {
  const auto norm = [&](const Tensor& x, size_t i) {
    return ops::batch_norm(x, in[5 + 2 * i], in[6 + 2 * i]).y;
  };
  Tensor y = ops::relu(norm(ops::conv2d(in[0], in[1]), 0));
  y = ops::relu(norm(ops::conv2d(y, in[2], {}, {.stride = {2, 2}, .pad = {1, 1}}), 1));
  y = norm(ops::conv2d(y, in[3]), 2);
  const Tensor beside = norm(ops::conv2d(in[0], in[4], {}, {.stride = {2, 2}}), 3);
  return ops::mean(ops::square(ops::relu(y + beside)));
}
Inputs bottleneck_inputs(DType t) {
  Inputs in{normal(1, {4, 8, 9, 9}, t), normal(2, {6, 8, 1, 1}, t), normal(3, {6, 6, 3, 3}, t),
            normal(4, {12, 6, 1, 1}, t), normal(5, {12, 8, 1, 1}, t)};
  for (const int64_t c : {6, 6, 12, 12}) {
    in.push_back(normal(6 + static_cast<uint64_t>(in.size()), {c}, t) * 0.2 + 1.0);
    in.push_back(normal(60 + static_cast<uint64_t>(in.size()), {c}, t) * 0.2);
  }
  return in;
}

TEST(ConvNorm, BottleneckKeepsItsNumbers) {
  for (const DType t : {DType::kF64, DType::kF32}) {
    const Inputs in = bottleneck_inputs(t);
    const Result plain = run(bottleneck, in, nullptr);
    Result fused = run(bottleneck, in, [](const CallMeta&) { return true; });
    EXPECT_EQ(fused.ops["conv2d_stats"], 4);
    EXPECT_EQ(fused.ops["conv2d"], 0);
    EXPECT_EQ(fused.ops["batch_norm_relu"], 0);
    EXPECT_EQ(fused.ops["batch_norm_apply"], 2) << "of the sum and of the projection";
    EXPECT_EQ(fused.ops["conv2d_norm_weight_grad"], 2);
    EXPECT_EQ(fused.ops["conv2d_weight_grad"], 2) << "of what x goes into";
    EXPECT_EQ(fused.ops["conv2d_norm_input_grad"], 2);
    EXPECT_EQ(fused.ops["batch_norm_relu_grad"], 0);
    ASSERT_EQ(plain.outputs.size(), fused.outputs.size());
    for (size_t i = 0; i < plain.outputs.size(); ++i) {
      const Tensor a = ops::cast(plain.outputs[i], DType::kF64);
      const Tensor b = ops::cast(fused.outputs[i], DType::kF64);
      const double largest = ops::max(ops::abs(a)).item();
      EXPECT_LE(ops::max(ops::abs(a - b)).item(), (t == DType::kF64 ? 1e-9 : 2e-3) * largest) << i;
    }
  }
}

TEST(ConvNorm, OneKernelThatIsMissingKeepsTheRest) {
  const Inputs in = bottleneck_inputs(DType::kF32);
  // No convolution normalises what it reads: the images are there, the sums are taken.
  Result r = run(bottleneck, in,
                 [](const CallMeta& c) { return c.op != &ops::kConv2dStats || !c.has(2); });
  EXPECT_EQ(r.ops["conv2d_stats"], 4);
  EXPECT_EQ(r.ops["batch_norm_apply"], 4);
  EXPECT_EQ(r.ops["conv2d_norm_weight_grad"], 0);
  // No weight gradient does: backward needs the images.
  r = run(bottleneck, in, [](const CallMeta& c) { return c.op != &ops::kConv2dNormWeightGrad; });
  EXPECT_EQ(r.ops["batch_norm_apply"], 4);
  EXPECT_EQ(r.ops["conv2d_weight_grad"], 4);
  EXPECT_EQ(r.ops["conv2d_norm_input_grad"], 2);
  r = run(bottleneck, in, [](const CallMeta& c) { return c.op != &ops::kConv2dNormInputGrad; });
  EXPECT_EQ(r.ops["batch_norm_relu_grad"], 2);
  EXPECT_EQ(r.ops["batch_norm_apply"], 2);
  r = run(bottleneck, in, [](const CallMeta&) { return false; });
  EXPECT_EQ(r.ops, run(bottleneck, in, nullptr).ops);
}

// Somebody else reads the normalised image: it is written, and read by everybody.
TEST(ConvNorm, ImagesThatOthersReadStay) {
  const Fn loss = [](const Inputs& in) {
    const Tensor z = ops::relu(ops::batch_norm(ops::conv2d(in[0], in[1]), in[5], in[6]).y);
    const Tensor y = ops::batch_norm(ops::conv2d(z, in[2]), in[7], in[8]).y;
    return ops::mean(ops::square(ops::relu(y))) + ops::mean(z);
  };
  Inputs in = bottleneck_inputs(DType::kF32);
  const Result r = run(loss, in, [](const CallMeta&) { return true; });
  EXPECT_EQ(r.ops.at("conv2d_stats"), 2);
  EXPECT_EQ(r.ops.at("batch_norm_apply"), 2);
  EXPECT_EQ(r.ops.count("conv2d_norm_weight_grad"), 0u);
}

}  // namespace
}  // namespace rutile::graph
