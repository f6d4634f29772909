// SPDX-License-Identifier: Apache-2.0
// Concatenations whose parts are written where they belong: no kernel of their own, the same bits.
#include <gtest/gtest.h>

#include <map>

#include "rutile/graph/exec/session.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/plan/joins.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"
#include "rutile/tests/graph/trace_gradients.h"

namespace rutile::graph {
namespace {

struct Result {
  Inputs outputs;
  int joined = 0;                  // concatenations without a kernel
  std::map<std::string, int> ops;  // steps by op
};

Result run(std::shared_ptr<Graph> g, const Inputs& in, const char* off = "") {
  std::vector<PassReport> reports;
  throw_if_error(run_pipeline(*g, off, &reports));
  for (const PassReport& r : reports) EXPECT_EQ(r.dropped, "") << r.name;
  Result r;
  r.joined = static_cast<int>(joined_nodes(*g).size());
  auto program = std::make_shared<Program>();
  throw_if_error(lower(g, program.get()));
  for (const Step& s : program->steps) {
    ++r.ops[s.node == kNone ? "output" : g->nodes[static_cast<size_t>(s.node)].op->name];
  }
  Session session(program);
  r.outputs = session.run(in);
  const Inputs again = session.run(in);  // nothing of the first run may be missing or in the way
  for (size_t i = 0; i < again.size(); ++i) {
    EXPECT_TRUE(ops::all(ops::equal(again[i], r.outputs[i])).item() != 0) << i;
  }
  return r;
}

Result run_fn(const std::function<Inputs(const Inputs&)>& fn, const Inputs& in) {
  std::vector<TensorMeta> metas;
  for (const Tensor& t : in) metas.push_back(t.meta());
  return run(std::make_shared<Graph>(*trace(fn, metas)), in);
}

void expect_same(const Inputs& a, const Inputs& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].meta(), b[i].meta());
    EXPECT_TRUE(ops::all(ops::equal(a[i], b[i])).item() != 0) << i;
  }
}

// As a block of GPT has it: one projection gives queries, keys and values.
Fn attention(int64_t heads, DType t) {
  return [=](const Inputs& in) {
    const Tensor qkv = ops::cast(ops::linear(in[0], in[1], in[2]), t);
    const int64_t n = qkv.dim(0), rows = qkv.dim(1), width = qkv.dim(2) / 3;
    std::vector<Tensor> parts = ops::split(qkv, 3, 2);
    for (Tensor& p : parts) {
      p = ops::permute(ops::reshape(p, {n, rows, heads, width / heads}), {0, 2, 1, 3});
    }
    const Tensor y =
        ops::scaled_dot_product_attention(parts[0], parts[1], parts[2], {.causal = true});
    return ops::mean(ops::square(ops::cast(y, DType::kF32)));
  };
}
Inputs attention_inputs(int64_t n, int64_t rows, int64_t width) {
  return {normal(1, {n, rows, width}), normal(2, {3 * width, width}) * 0.3, normal(3, {3 * width})};
}

TEST(Joins, AttentionsGradientsLieInOneTensor) {
  for (const auto& [n, rows, width, heads] :
       {std::tuple<int64_t, int64_t, int64_t, int64_t>{2, 5, 32, 2},
        {1, 7, 48, 3},
        {3, 1, 16, 1}}) {
    SCOPED_TRACE(cat(n, " ", rows, " ", width));
    const Inputs in = attention_inputs(n, rows, width);
    const auto g = trace_gradients(attention(heads, DType::kF32), in);
    const Result plain = run(std::make_shared<Graph>(*g), in, "join_slices");
    const Result joined = run(std::make_shared<Graph>(*g), in);
    EXPECT_EQ(plain.ops.at("scaled_dot_product_attention_grad"), 1);
    EXPECT_EQ(joined.joined, 1);
    EXPECT_EQ(joined.ops.count("concat"), 0u);
    EXPECT_EQ(plain.ops.count("concat"), 1u);
    expect_same(plain.outputs, joined.outputs);
  }
}

// 10 numbers of f32 are 40 bytes: the second part would begin where vectors do not.
TEST(Joins, PartsBeginAligned) {
  const Inputs in = attention_inputs(2, 4, 10);
  const Result r = run(trace_gradients(attention(1, DType::kF32), in), in);
  EXPECT_EQ(r.joined, 0);
  EXPECT_EQ(r.ops.at("concat"), 1);
}

// Parts one behind the other need no pass, whatever kernels give them.
TEST(Joins, RowsOfAnyKernel) {
  const Inputs in{normal(1, {8, 16}), normal(2, {4, 16}), normal(3, {16, 16})};
  const auto fn = [](const Inputs& x) {
    const Tensor a = ops::matmul(x[0], x[2]), b = ops::tanh(x[1]);
    const Tensor both = ops::concat(std::vector<Tensor>{a, b}, 0);
    return Inputs{ops::matmul(both, x[2]), both};
  };
  const Result r = run_fn(fn, in);
  EXPECT_EQ(r.joined, 1);
  EXPECT_EQ(r.ops.count("concat"), 0u);
  const Inputs want = fn(in);
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_LE(ops::max(ops::abs(want[i] - r.outputs[i])).item(), 1e-5);
  }
}

// A part that is written in place later, or read beside the whole, keeps its numbers.
TEST(Joins, PartsMayBeReadAlone) {
  const Inputs in{normal(1, {8, 16}), normal(2, {8, 16})};
  const Result r = run_fn(
      [](const Inputs& x) {
        const Tensor a = ops::tanh(x[0]), b = ops::sigmoid(x[1]);
        const Tensor both = ops::concat(std::vector<Tensor>{a, b}, 0);
        const Tensor c = ops::exp(a);  // may want a's memory
        return Inputs{ops::cumsum(both, {.axis = 0}), ops::cumsum(c, {.axis = 0}),
                      ops::cumsum(ops::square(b), {.axis = 0})};
      },
      in);
  const Tensor a = ops::tanh(in[0]), b = ops::sigmoid(in[1]);
  const Inputs want{ops::cumsum(ops::concat(std::vector<Tensor>{a, b}, 0), {.axis = 0}),
                    ops::cumsum(ops::exp(a), {.axis = 0}),
                    ops::cumsum(ops::square(b), {.axis = 0})};
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_LE(ops::max(ops::abs(want[i] - r.outputs[i])).item(), 1e-5) << i;
  }
}

// Inputs, one part twice, a part that leaves by itself, a part of a larger result: copied.
TEST(Joins, OthersAreCopied) {
  const Inputs in{normal(1, {8, 16}), normal(2, {8, 16})};
  const auto two = [](const Tensor& a, const Tensor& b) {
    return ops::concat(std::vector<Tensor>{a, b}, 0);
  };
  const std::pair<const char*, std::function<Inputs(const Inputs&)>> kinds[] = {
      {"an input",
       [&](const Inputs& x) {
         return Inputs{ops::cumsum(two(x[0], ops::tanh(x[1])), {.axis = 0})};
       }},
      {"twice",
       [&](const Inputs& x) {
         const Tensor t = ops::tanh(x[0]);
         return Inputs{ops::cumsum(two(t, t), {.axis = 0})};
       }},
      {"leaves",
       [&](const Inputs& x) {
         const Tensor t = ops::matmul(x[0], x[1], {.transpose_b = true});
         const Tensor u = ops::matmul(x[1], x[0], {.transpose_b = true});
         return Inputs{t, ops::cumsum(two(t, u), {.axis = 0})};
       }},
      {"a half", [&](const Inputs& x) {
         const Tensor t = ops::matmul(x[0], x[1], {.transpose_b = true});
         const Tensor u = ops::matmul(x[1], x[0], {.transpose_b = true});
         return Inputs{ops::cumsum(two(ops::split(t, 2, 0)[1], u), {.axis = 0}), ops::sum(t)};
       }}};
  for (const auto& [name, fn] : kinds) {
    SCOPED_TRACE(name);
    const Result r = run_fn(fn, in);
    EXPECT_EQ(r.joined, 0);
    const Inputs want = fn(in);
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_LE(ops::max(ops::abs(want[i] - r.outputs[i])).item(), 1e-4) << i;
    }
  }
}

// A whole that is part of another one: one of the two is copied.
TEST(Joins, NestedOnes) {
  const Inputs in{normal(1, {4, 16}), normal(2, {4, 16})};
  const auto fn = [](const Inputs& x) {
    const Tensor inner = ops::concat(std::vector<Tensor>{ops::tanh(x[0]), ops::exp(x[1])}, 0);
    const Tensor outer = ops::concat(std::vector<Tensor>{ops::sigmoid(x[0]), inner}, 0);
    return Inputs{ops::cumsum(outer, {.axis = 0}), ops::cumsum(inner, {.axis = 0})};
  };
  const Result r = run_fn(fn, in);
  EXPECT_EQ(r.joined, 1);
  const Inputs want = fn(in);
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_LE(ops::max(ops::abs(want[i] - r.outputs[i])).item(), 1e-5) << i;
  }
}

}  // namespace
}  // namespace rutile::graph
