// SPDX-License-Identifier: Apache-2.0
// Classifiers cut into pieces of rows: the same results within rounding, with less memory, and
// left alone where that would not be so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "rutile/graph/exec/session.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"
#include "rutile/tests/graph/trace_gradients.h"

namespace rutile::graph {
namespace {

constexpr int64_t kRows = 700, kWidth = 24, kClasses = 96;

// x, weight, bias, class weights.
Inputs inputs(const Shape& x, DType t) {
  return {normal(1, x, t), normal(2, {kClasses, kWidth}, t), normal(3, {kClasses}, t),
          ops::abs(normal(4, {kClasses}, t == DType::kF64 ? t : DType::kF32))};
}

Tensor labels(const Shape& shape) {
  return ops::random_randint(Tensor::from<uint64_t>({5}, {1}),
                             {.shape = shape, .low = 0, .high = kClasses});
}

struct Result {
  std::vector<Tensor> outputs;
  std::map<std::string, int> ops;
  int64_t peak = 0;
  std::vector<Remark> remarks;
};

// Loss and gradients, the classifier cut from so many bytes on; -1: nowhere.
Result run(const Fn& loss, const Inputs& in, int64_t bytes) {
  const auto cut = trace_gradients(loss, in);
  throw_if_error(dce(*cut));
  Result r;
  if (bytes >= 0) {
    RemarkScope remarks(&r.remarks);
    throw_if_error(split_classifier_above(*cut, bytes));
  }
  throw_if_error(verify(*cut));
  throw_if_error(run_pipeline(*cut, "", nullptr));
  for (const NodeId id : cut->order) ++r.ops[cut->nodes[static_cast<size_t>(id)].op->name];
  auto program = std::make_shared<Program>();
  throw_if_error(lower(cut, program.get()));
  r.peak = program->memory.peak;
  r.outputs = Session(program).run(in);
  return r;
}

void expect_close(const Result& a, const Result& b, double tolerance) {
  ASSERT_EQ(a.outputs.size(), b.outputs.size());
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    const Tensor x = ops::cast(a.outputs[i], DType::kF64), y = ops::cast(b.outputs[i], DType::kF64);
    const double largest = ops::max(ops::abs(x)).item() + 1e-12;
    EXPECT_LE(ops::max(ops::abs(x - y)).item(), tolerance * largest) << "output " << i;
  }
}

struct Case {
  const char* name;
  Shape x;
  ops::CrossEntropyAttrs attrs;
  bool bias = false, weighted = false;
};

TEST(Classifier, InPiecesGivesTheSame) {
  const Case cases[] = {
      {"mean", {kRows, kWidth}, {}},
      {"sum, bias", {kRows, kWidth}, {.reduction = Reduction::kSum}, true},
      {"sequences, ignored labels, smoothing", {7, 100, kWidth}, {0.1, 3}, true},
      {"weights of classes", {kRows, kWidth}, {0, 5}, false, true},
  };
  for (const Case& c : cases) {
    for (const DType t : {DType::kF64, DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(cat(c.name, " ", dtype_name(t)));
      const Tensor y = labels({kRows});
      const Fn loss = [&](const Inputs& in) {
        const Tensor logits = ops::linear(in[0], in[1], c.bias ? in[2] : Tensor());
        return ops::cross_entropy(ops::reshape(logits, {kRows, kClasses}), y, c.attrs,
                                  c.weighted ? in[3] : Tensor()) *
               0.5;
      };
      const Inputs in = inputs(c.x, t);
      const Result whole = run(loss, in, -1), cut = run(loss, in, 0);
      EXPECT_EQ(whole.ops.at("cross_entropy"), 1);
      EXPECT_EQ(cut.ops.at("cross_entropy"), 3);
      EXPECT_EQ(cut.ops.at("cross_entropy_grad"), 3);
      EXPECT_EQ(cut.remarks.size(), 1u);
      expect_close(whole, cut, t == DType::kF64 ? 1e-12 : t == DType::kF32 ? 1e-5 : 2e-2);
      EXPECT_LT(cut.peak, whole.peak);
    }
  }
}

// One piece of 256 of the 1,536 rows is there at a time, written over by its gradient.
TEST(Classifier, LogitsAreThereAPieceAtATime) {
  constexpr int64_t kMany = 6 * 256;
  const Tensor y = labels({kMany});
  const Fn loss = [&](const Inputs& in) {
    return ops::cross_entropy(ops::linear(in[0], in[1]), y);
  };
  Inputs in = inputs({kMany, kWidth}, DType::kF32);
  in.resize(2);
  const Result whole = run(loss, in, -1), cut = run(loss, in, 0);
  const int64_t logits = kMany * kClasses * 4;
  EXPECT_GE(whole.peak, logits);
  EXPECT_LE(whole.peak, logits + logits / 2) << "the gradient lies where the logits did";
  EXPECT_LE(cut.peak, logits - logits / 4) << "a sixth of them, and the input's gradient twice";
  expect_close(whole, cut, 1e-5);
}

TEST(Classifier, IsLeftAloneWhereOthersReadIt) {
  const Tensor y = labels({kRows});
  const Inputs in = inputs({kRows, kWidth}, DType::kF32);
  const auto logits = [](const Inputs& xs) { return ops::linear(xs[0], xs[1]); };
  const std::pair<const char*, Fn> cases[] = {
      {"reads the logits",
       [&](const Inputs& xs) {
         const Tensor z = logits(xs);
         return ops::cross_entropy(z, y) + ops::mean(z);
       }},
      {"depends on the loss",
       [&](const Inputs& xs) {
         const Tensor l = ops::cross_entropy(logits(xs), y);
         return l * l;
       }},
      {"not reduced",
       [&](const Inputs& xs) {
         return ops::mean(ops::cross_entropy(logits(xs), y, {.reduction = Reduction::kNone}));
       }},
      {"no linear layer gives them",
       [&](const Inputs& xs) { return ops::cross_entropy(ops::relu(logits(xs)), y); }},
  };
  for (const auto& [why, loss] : cases) {
    const Result whole = run(loss, in, -1), cut = run(loss, in, 0);
    EXPECT_EQ(cut.ops, whole.ops) << why;
    ASSERT_EQ(cut.remarks.size(), 1u) << why;
    EXPECT_FALSE(cut.remarks[0].done);
    EXPECT_THAT(cut.remarks[0].reason, testing::HasSubstr(why));
  }
  // Too small to care.
  const Fn small = [&](const Inputs& xs) { return ops::cross_entropy(logits(xs), y); };
  EXPECT_EQ(run(small, in, 1 << 20).ops, run(small, in, -1).ops);
}

}  // namespace
}  // namespace rutile::graph
