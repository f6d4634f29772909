// SPDX-License-Identifier: Apache-2.0
// The memory of compiled steps: plans close to their lower bound, results over operands that nobody
// reads any more, one arena for all plans of a step.
#include <gtest/gtest.h>

#include "rutile/nn/losses.h"
#include "rutile/nn/models/gpt.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/index.h"
#include "rutile/ops/random.h"

namespace rutile::nn {
namespace {

struct Network {
  const char* name;
  CellPtr (*make)();
  TensorMeta x, y;
};

const Network kNetworks[] = {
    {"resnet50", [] { return CellPtr(models::resnet50({.classes = 10})); },
     TensorMeta({16, 3, 64, 64}, DType::kF32), TensorMeta({16}, DType::kI64)},
    {"lenet", [] { return CellPtr(make<models::LeNet>()); },
     TensorMeta({32, 1, 32, 32}, DType::kF32), TensorMeta({32}, DType::kI64)},
    {"mlp", [] { return CellPtr(make<models::Mlp>()); }, TensorMeta({64, 784}, DType::kF32),
     TensorMeta({64}, DType::kI64)},
    {"gpt", [] { return CellPtr(make<models::Gpt>()); }, TensorMeta({2, 256}, DType::kI64),
     TensorMeta({2, 256}, DType::kI64)},
};

TrainStep train_step(const CellPtr& net, StepOptions options = {}) {
  return {net, CrossEntropyLoss{}, std::make_shared<optim::Momentum>(net->parameters()),
          std::move(options)};
}

TEST(Arena, PlansAreCloseToTheLowerBound) {
  for (const Network& n : kNetworks) {
    for (const bool low : {false, true}) {
      StepOptions options;
      if (low) options.amp = DType::kBF16;
      const CellPtr net = n.make();
      for (const char* remat : {"off", "cheap"}) {
        options.remat = remat;
        TrainStep step = train_step(net, options);
        step.prepare(n.x, n.y);
        EXPECT_LE(step.report()->memory.ratio(), 1.05) << n.name << (low ? " bf16" : " fp32");
      }
      EvalStep eval(net, options);
      EvalModeScope scope(*net);
      eval.compiled()->prepare({n.x});
      EXPECT_LE(eval.report()->memory.ratio(), 1.05) << n.name << " inference";
    }
  }
}

// Kernels of the op whose first result lies where an operand was.
int in_place(const graph::Program& p, const std::string& op) {
  int count = 0;
  for (const graph::Step& s : p.steps) {
    if (s.node == graph::kNone || p.graph->nodes[s.node].op->name != op) continue;
    const graph::Pointer& out = p.slots[s.first_out];
    for (int i = s.first_in; i < s.first_out; ++i) {
      const graph::Pointer& in = p.slots[i];
      const bool same = in.kind == out.kind && in.index == out.index && in.offset == out.offset;
      if (same && out.kind == graph::BufferKind::kArena) {
        ++count;
        break;
      }
    }
  }
  return count;
}

TEST(Arena, GradientsOfNormsLieOverTheirOperands) {
  TrainStep step = train_step(kNetworks[0].make());
  step.prepare(kNetworks[0].x, kNetworks[0].y);
  const graph::Program& p = step.compiled()->session().program();
  EXPECT_EQ(in_place(p, "batch_norm_relu_grad"), 33);
  EXPECT_EQ(in_place(p, "batch_norm_add_relu_grad"), 16);
  EXPECT_EQ(in_place(p, "batch_norm_grad"), 4);
}

TEST(Arena, GradientsDoNotWaitForEachOther) {
  const TensorMeta x({4, 3, 64, 64}, DType::kF32), y({4}, DType::kI64);
  TrainStep step = train_step(kNetworks[0].make());
  step.prepare(x, y);
  TrainStep late = train_step(kNetworks[0].make(), {.passes_off = "schedule"});
  late.prepare(x, y);
  EXPECT_LT(step.report()->memory.peak, late.report()->memory.peak - (40 << 20));
  int updates = 0;
  const graph::Graph& g = *step.compiled()->session().program().graph;
  for (const graph::NodeId id : g.order) {
    updates += g.nodes[id].op->name == std::string("momentum_multi");
  }
  EXPECT_EQ(updates, 10);
}

Tensor images(int64_t n) {
  ops::RandomNormalAttrs a;
  a.shape = {n, 1, 32, 32};
  return ops::random_normal(a);
}
Tensor labels(int64_t n) {
  ops::RandomRandintAttrs a;
  a.shape = {n};
  a.high = 10;
  return ops::random_randint(a);
}

TEST(Arena, TheLastBatchNeedsNoMemoryOfItsOwn) {
  set_seed(2);
  TrainStep step = train_step(make<models::LeNet>());
  step(images(16), labels(16));
  const int64_t small = step.compiled()->arena_bytes();
  EXPECT_EQ(small, step.report()->memory.peak);
  step(images(32), labels(32));  // the larger one takes its place
  const int64_t large = step.compiled()->arena_bytes();
  EXPECT_EQ(large, step.report()->memory.peak);
  EXPECT_GT(large, small);
  for (const int64_t n : {20, 32, 16, 7}) step(images(n), labels(n));
  EXPECT_EQ(step.compiled()->compilations(), 4);
  EXPECT_EQ(step.compiled()->arena_bytes(), large);
}

// Plans that lie in the same memory by turns compute what each alone does.
TEST(Arena, SharedMemoryChangesNoResult) {
  std::vector<double> together, alone;
  for (const bool share : {true, false}) {
    set_seed(2);
    TrainStep step = train_step(make<models::LeNet>());
    for (int i = 0; i < 6; ++i) {
      const int64_t n = i % 2 ? 5 : 12;
      const Tensor x = images(n), y = labels(n);
      if (share) {
        together.push_back(step(x, y).loss.item());
        continue;
      }
      std::unique_ptr<graph::Session> session = std::make_unique<graph::Session>([&] {
        step.prepare(x.meta(), y.meta());
        return std::make_shared<const graph::Program>(step.compiled()->session().program());
      }());
      alone.push_back(session->run({x, y})[0].item());
    }
  }
  EXPECT_EQ(together, alone);
}

TEST(Arena, CompilingTakesNoMemory) {
  TrainStep step = train_step(make<models::LeNet>());
  step.prepare(TensorMeta({16, 1, 32, 32}, DType::kF32), TensorMeta({16}, DType::kI64));
  EXPECT_EQ(step.compiled()->arena_bytes(), 0);
}

}  // namespace
}  // namespace rutile::nn
