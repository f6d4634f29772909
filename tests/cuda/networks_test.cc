// SPDX-License-Identifier: Apache-2.0
// Every op that a training step of the benchmark networks traces has a CUDA row that takes it as it
// stands there, is a view, or is made of such ops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "rutile/graph/compile.h"
#include "rutile/graph/ir/graph.h"
#include "rutile/nn/models/gpt.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/tests/cuda/emulated.h"

namespace rutile {
namespace {

struct Case {
  const char* name;
  nn::CellPtr (*make)();
  TensorMeta x, y;
};

std::vector<Case> cases() {
  using namespace nn::models;
  return {
      {"mlp", [] { return nn::CellPtr(nn::make<Mlp>()); }, TensorMeta({64, 784}, DType::kF32),
       TensorMeta({64}, DType::kI64)},
      {"lenet", [] { return nn::CellPtr(nn::make<LeNet>()); },
       TensorMeta({8, 1, 32, 32}, DType::kF32), TensorMeta({8}, DType::kI64)},
      {"resnet",
       [] {
         return nn::CellPtr(nn::make<ResNet>(ResNetOptions{.blocks = {1, 1, 1, 1}, .classes = 10}));
       },
       TensorMeta({2, 3, 64, 64}, DType::kF32), TensorMeta({2}, DType::kI64)},
      {"gpt",
       [] {
         return nn::CellPtr(nn::make<Gpt>(
             GptOptions{.positions = 64, .layers = 1, .width = 64, .heads = 2, .dropout = 0.1}));
       },
       TensorMeta({2, 64}, DType::kI64), TensorMeta({2, 64}, DType::kI64)},
  };
}

// Why the plugin cannot run the node; empty: it can.
std::string missing(const graph::Graph& g, const graph::Node& n) {
  if (n.op->view_offset) return "";
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> out;
  const CallMeta call = g.call_meta(n, &in, &out);
  std::string why;
  for (const KernelRow& row : kernel_rows(*n.op, DeviceType::kCuda)) {
    Reason reason;
    if (!row.supports || row.supports(call, &reason)) return "";
    why += cat(" ", row.name, ": ", reason.text);
  }
  if (n.op->compose) return "";
  return cat(n.op->name, why.empty() ? ": no row" : why);
}

TEST(Networks, EveryOpHasARow) {
  cuda::register_emulated_rows();
  for (const OptionalDType amp : {OptionalDType(), OptionalDType(DType::kBF16)}) {
    for (const Case& c : cases()) {
      const nn::CellPtr net = c.make();
      nn::TrainStep step(net, nn::CrossEntropyLoss{},
                         std::make_shared<nn::optim::AdamW>(net->parameters()),
                         {.mode = nn::Mode::kGraph, .amp = amp, .clip_norm = 1});
      const auto g = step.compiled()->traced({c.x, c.y});
      std::set<std::string> lacking;
      for (const graph::NodeId id : g->order) {
        const std::string why = missing(*g, g->nodes[static_cast<size_t>(id)]);
        if (!why.empty()) lacking.insert(why);
      }
      EXPECT_THAT(lacking, testing::IsEmpty()) << c.name;
    }
  }
}

}  // namespace
}  // namespace rutile
