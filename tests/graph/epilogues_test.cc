// SPDX-License-Identifier: Apache-2.0
// GELU and sums for biases at the end of products: the same numbers. On the cpu, where the ops are
// their definitions; the pass itself is for devices with a library that has them (tests/cuda).
#include <gtest/gtest.h>

#include <map>

#include "rutile/graph/exec/session.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/epilogues.h"
#include "rutile/ops/matmul.h"
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
  for (Status (*pass)(Graph&) : {dce, canonicalize, cse, merge_sums}) throw_if_error(pass(*g));
  if (accepts) throw_if_error(fuse_epilogues_where(*g, accepts));
  throw_if_error(verify(*g));
  Result r;
  for (const NodeId id : g->order) ++r.ops[g->nodes[static_cast<size_t>(id)].op->name];
  throw_if_error(run_pipeline(*g, "", nullptr));
  auto program = std::make_shared<Program>();
  throw_if_error(lower(g, program.get()));
  r.outputs = Session(program).run(in);
  return r;
}
bool all_of_them(const CallMeta&) { return true; }

void expect_near(const Result& a, const Result& b, double tolerance) {
  ASSERT_EQ(a.outputs.size(), b.outputs.size());
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    ASSERT_EQ(a.outputs[i].meta(), b.outputs[i].meta());
    const Tensor x = ops::cast(a.outputs[i], DType::kF64), y = ops::cast(b.outputs[i], DType::kF64);
    EXPECT_LE(ops::max(ops::abs(x - y)).item(), tolerance * (ops::max(ops::abs(x)).item() + 1e-3))
        << i;
  }
}

// The feed-forward part of a block of GPT; in[0] x, then weight and bias of both layers.
Fn feed_forward(ops::GeluApproximate approximate, DType t) {
  return [=](const Inputs& in) {
    const auto low = [t](const Tensor& x) { return ops::cast(x, t); };
    const Tensor up = ops::linear(low(in[0]), low(in[1]), low(in[2]));
    const Tensor z = ops::gelu(up, {approximate});
    const Tensor down = ops::linear(z, low(in[3]), low(in[4]));
    return ops::mean(ops::square(ops::cast(down, DType::kF32)));
  };
}
Inputs feed_forward_inputs(const Shape& x) {
  const int64_t d = x.back();
  return {normal(1, x), normal(2, {4 * d, d}) * 0.3, normal(3, {4 * d}),
          normal(4, {d, 4 * d}) * 0.2, normal(5, {d})};
}

TEST(Epilogues, NetworksKeepTheirNumbers) {
  for (const Shape& shape : {Shape{6, 8}, Shape{2, 3, 16}}) {
    for (const DType t : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(cat(shape, " ", t));
      const Inputs in = feed_forward_inputs(shape);
      const Fn fn = feed_forward(ops::GeluApproximate::kTanh, t);
      Result plain = run(fn, in, nullptr), fused = run(fn, in, all_of_them);
      EXPECT_EQ(plain.ops["gelu"], 1);
      EXPECT_EQ(plain.ops["gelu_grad"], 1);
      EXPECT_EQ(fused.ops["linear_gelu"], 1);
      EXPECT_EQ(fused.ops["matmul_gelu_grad"], 1);
      EXPECT_EQ(fused.ops["gelu"] + fused.ops["gelu_grad"], 0);
      // The first layer's; what the second is given comes from an elementwise op, which sums it up.
      EXPECT_EQ(fused.ops["matmul_sums"], 1);
      expect_near(plain, fused, t == DType::kF32 ? 1e-5 : 0.03);
    }
  }
}

// GELU by erf is another function than the library's.
TEST(Epilogues, GeluByErfStaysAnOp) {
  const Inputs in = feed_forward_inputs({6, 8});
  const Fn fn = feed_forward(ops::GeluApproximate::kNone, DType::kF32);
  Result fused = run(fn, in, all_of_them);
  EXPECT_EQ(fused.ops["gelu"], 1);
  EXPECT_EQ(fused.ops["gelu_grad"], 1);
  EXPECT_EQ(fused.ops["linear_gelu"] + fused.ops["matmul_gelu_grad"], 0);
}

// With an elementwise op behind it GELU is a generated kernel's.
TEST(Epilogues, GeluWithDropoutBehindItStays) {
  const Inputs in = feed_forward_inputs({6, 8});
  const Fn fn = [](const Inputs& x) {
    const Tensor z = ops::gelu(ops::linear(x[0], x[1], x[2]), {ops::GeluApproximate::kTanh});
    return ops::mean(ops::square(ops::linear(z * 2.0, x[3], x[4])));
  };
  Result fused = run(fn, in, all_of_them);
  EXPECT_EQ(fused.ops["gelu"], 1);
  EXPECT_EQ(fused.ops["linear_gelu"], 0);
}

// Each of the three is taken by itself; what is refused stays as it was.
TEST(Epilogues, WhatNoKernelTakesStays) {
  const Inputs in = feed_forward_inputs({6, 8});
  const Fn fn = feed_forward(ops::GeluApproximate::kTanh, DType::kF32);
  const Result plain = run(fn, in, nullptr);
  const std::pair<const char*, AcceptsFn> kinds[] = {
      {"linear_gelu", [](const CallMeta& c) { return c.op == &ops::kLinearGelu; }},
      {"matmul_gelu_grad", [](const CallMeta& c) { return c.op == &ops::kMatmulGeluGrad; }},
      {"matmul_sums", [](const CallMeta& c) { return c.op == &ops::kMatmulSums; }}};
  for (const auto& [name, accepts] : kinds) {
    Result one = run(fn, in, accepts);
    int made = 0;
    for (const auto& [other, unused] : kinds) made += one.ops[other];
    // Where GELU's gradient is a kernel of its own it sums for the bias.
    EXPECT_EQ(one.ops[name], std::string_view(name) == "matmul_sums" ? 0 : 1) << name;
    EXPECT_EQ(made, one.ops[name]) << name;
    expect_near(plain, one, 1e-5);
  }
}

// What somebody else reads stays there: the product before GELU's gradient.
TEST(Epilogues, ValuesThatOthersReadStay) {
  const Inputs in{normal(1, {6, 8}), normal(2, {16, 8}) * 0.3, normal(3, {8, 16}) * 0.3};
  const auto g = std::make_shared<Graph>(*trace(
      [](const Inputs& x) {
        const Tensor pre = ops::linear(x[0], x[1]);
        const Tensor dz = ops::matmul(x[0], x[2]);
        return Inputs{ops::gelu_grad(dz, pre, {ops::GeluApproximate::kTanh}), ops::exp(dz)};
      },
      {in[0].meta(), in[1].meta(), in[2].meta()}));
  throw_if_error(fuse_epilogues_where(*g, all_of_them));
  throw_if_error(verify(*g));
  for (const NodeId id : g->order) {
    EXPECT_NE(g->nodes[static_cast<size_t>(id)].op, &ops::kMatmulGeluGrad);
  }
}

}  // namespace
}  // namespace rutile::graph
