// SPDX-License-Identifier: Apache-2.0
// Norms as formulas, joined by what stands around them: the same numbers in fewer kernels. On the
// cpu, whose fused kernel takes them as well; the pass itself is for GPUs.
#include <gtest/gtest.h>

#include <map>

#include "rutile/graph/exec/session.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/tests/graph/trace_gradients.h"

namespace rutile::graph {
namespace {

struct Result {
  Inputs outputs;
  std::map<std::string, int> ops;  // of the graph that runs
  int kernels = 0;
};

Result run(const Fn& loss, const Inputs& in, bool formulas) {
  const auto g = trace_gradients(loss, in);
  for (Status (*pass)(Graph&) : {dce, canonicalize, cse}) throw_if_error(pass(*g));
  if (formulas) throw_if_error(norm_formulas_on(*g, DeviceType::kCpu));
  throw_if_error(verify(*g));
  throw_if_error(run_pipeline(*g, "", nullptr));
  Result r;
  for (const NodeId id : g->order) {
    const Node& n = g->nodes[static_cast<size_t>(id)];
    ++r.ops[n.op->name];
    r.kernels += n.op->view_offset == nullptr;
  }
  auto program = std::make_shared<Program>();
  throw_if_error(lower(g, program.get()));
  r.outputs = Session(program).run(in);
  return r;
}

void expect_near(const Result& a, const Result& b, double tolerance) {
  ASSERT_EQ(a.outputs.size(), b.outputs.size());
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    ASSERT_EQ(a.outputs[i].meta(), b.outputs[i].meta());
    const Tensor x = ops::cast(a.outputs[i], DType::kF64), y = ops::cast(b.outputs[i], DType::kF64);
    EXPECT_LE(ops::max(ops::abs(x - y)).item(), tolerance * (ops::max(ops::abs(x)).item() + 1e-3))
        << i;
  }
}

// As a block of GPT in bf16 has it: the residual added, normalised, cast for the product.
template <class Norm>
Fn block(Norm norm) {
  return [norm](const Inputs& in) {
    const Tensor low = ops::cast(in[1], DType::kBF16);
    const Tensor x =
        in[0] + ops::cast(ops::matmul(ops::cast(in[0], DType::kBF16), low), DType::kF32);
    const Tensor y = ops::matmul(ops::cast(norm(x, in), DType::kBF16), low);
    return ops::mean(ops::square(x + ops::cast(y, DType::kF32)));
  };
}
Inputs block_inputs() {
  return {normal(1, {3, 8, 32}), normal(2, {32, 32}) * 0.2, normal(3, {32}) * 0.2 + 1.0,
          normal(4, {32}) * 0.2};
}

TEST(NormFormulas, BlocksKeepTheirNumbers) {
  const Inputs in = block_inputs();
  const struct {
    const char *name, *forward, *backward;
    Fn fn;
  } kinds[] = {
      {"layer", "layer_norm", "layer_norm_grad",
       block([](const Tensor& x, const Inputs& w) { return ops::layer_norm(x, w[2], w[3]); })},
      {"layer without weight", "layer_norm", "layer_norm_grad",
       block([](const Tensor& x, const Inputs&) { return ops::layer_norm(x); })},
      {"rms", "rms_norm", "rms_norm_grad",
       block([](const Tensor& x, const Inputs& w) { return ops::rms_norm(x, w[2]); })}};
  for (const auto& k : kinds) {
    SCOPED_TRACE(k.name);
    Result plain = run(k.fn, in, false), joined = run(k.fn, in, true);
    EXPECT_EQ(plain.ops[k.forward], 1);
    EXPECT_EQ(plain.ops[k.backward], 1);
    EXPECT_EQ(joined.ops[k.forward] + joined.ops[k.backward], 0);
    for (const char* alone : {"mean", "rsqrt", "sub", "square", "sum"}) {
      EXPECT_EQ(joined.ops[alone], plain.ops[alone]) << alone << " is left over";
    }
    EXPECT_LT(joined.kernels, plain.kernels);
    expect_near(plain, joined, 0.02);  // one rounding of bf16 moves
  }
}

// Alone, over several dimensions, with rows that are too long or in f64 a norm stays what it is.
TEST(NormFormulas, OthersStayKernels) {
  const auto alone = [](const Inputs& in) {
    return ops::mean(ops::matmul(ops::layer_norm(in[0]), in[1]));
  };
  Result r = run(alone, {normal(1, {4, 16}), normal(2, {16, 8})}, true);
  EXPECT_EQ(r.ops["layer_norm"], 1);
  const auto wide = [](const Inputs& in) {
    return ops::mean(ops::tanh(ops::layer_norm(in[0], {}, {}, {.axes = 2}) * 2.0));
  };
  r = run(wide, {normal(1, {4, 4, 16})}, true);
  EXPECT_EQ(r.ops["layer_norm"], 1);
  const auto beside = [](const Inputs& in) {
    return ops::mean(ops::tanh(ops::layer_norm(in[0]) * 2.0));
  };
  r = run(beside, {normal(1, {2, 8200})}, true);
  EXPECT_EQ(r.ops["layer_norm"], 1);
  r = run(beside, {ops::cast(normal(1, {4, 16}), DType::kF64)}, true);
  EXPECT_EQ(r.ops["layer_norm"], 1);
  r = run(beside, {normal(1, {4, 16})}, true);
  EXPECT_EQ(r.ops["layer_norm"], 0);
}

}  // namespace
}  // namespace rutile::graph
