// SPDX-License-Identifier: Apache-2.0
// Every optional pass of both pipelines switched off alone, on several networks: the same losses,
// outputs and States as with all of them. A pass must also change the graph of the network that
// kShownBy names for it, so that a pass without a case of its own fails here.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>

#include "rutile/kernels/cpu/isa.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/models/gpt.h"
#include "rutile/nn/optim/optimizer.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

Tensor normal(const Shape& shape, uint64_t seed) {
  return ops::random_normal(Tensor::from<uint64_t>({seed}, {1}), {.shape = shape});
}

// Written with less care than it could be: equal ops, dead ones, casts to the same type, constants.
class Careless final : public nn::Cell {
 public:
  nn::Ptr<nn::Linear> a = add<nn::Linear>("a", 12, 24), b = add<nn::Linear>("b", 24, 5);
  std::string type_name() const override { return "Careless"; }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor two = Tensor::full({}, 1.5) + Tensor::full({}, 0.5);
    const Tensor h = ops::cast(a(x), x.dtype());
    ops::exp(h);
    const Tensor gate = ops::sigmoid(h * two) + ops::sigmoid(h * two) * 1.0;
    return b(ops::tanh(h) * gate - ops::square(h) * 0.1);
  }
};

// A loop with shared weights.
class Loop final : public nn::Cell {
 public:
  nn::Ptr<nn::Linear> in = add<nn::Linear>("in", 12, 16), step = add<nn::Linear>("step", 16, 16),
                      out = add<nn::Linear>("out", 16, 5);
  std::string type_name() const override { return "Loop"; }

 protected:
  Tensor construct(const Tensor& x) override {
    Tensor h = in(x);
    for (int i = 0; i < 4; ++i) h = ops::tanh(step(h) + h);
    return out(h);
  }
};

// Convolutions with norms and a residual, well-conditioned: statistics over 512 numbers.
class Convolutions final : public nn::Cell {
 public:
  nn::Ptr<nn::Conv2d> stem = add<nn::Conv2d>("stem", 3, 16, 3, nn::Conv2dOptions{.pad = 1});
  nn::Ptr<nn::BatchNorm2d> norm1 = add<nn::BatchNorm2d>("norm1", 16);
  nn::Ptr<nn::Conv2d> conv = add<nn::Conv2d>("conv", 16, 16, 3, nn::Conv2dOptions{.pad = 1});
  nn::Ptr<nn::BatchNorm2d> norm2 = add<nn::BatchNorm2d>("norm2", 16);
  nn::Ptr<nn::Linear> fc = add<nn::Linear>("fc", 16, 5);
  std::string type_name() const override { return "Convolutions"; }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor h = ops::relu(norm1(stem(x)));
    const Tensor y = ops::relu(norm2(conv(h)) + h);
    return fc(ops::mean(y, {.axes = {2, 3}}));
  }
};

// Layers that wait for nothing but their activation: the second one is not trained.
class Activated final : public nn::Cell {
 public:
  nn::Ptr<nn::Linear> a = add<nn::Linear>("a", 12, 64), b = add<nn::Linear>("b", 64, 64),
                      c = add<nn::Linear>("c", 64, 5);
  std::string type_name() const override { return "Activated"; }

 protected:
  Tensor construct(const Tensor& x) override { return c(ops::tanh(b(ops::tanh(a(x))))); }
};

struct Network {
  std::function<nn::CellPtr()> make;
  Tensor x, y;
  bool low = false;
};

std::map<std::string, Network> networks() {
  const Tensor labels = Tensor::from<int64_t>({0, 1, 2, 3}, {4});
  std::map<std::string, Network> all;
  const auto convolutions = [] { return nn::CellPtr(nn::make<Convolutions>()); };
  all["convolutions"] = {convolutions, normal({4, 3, 12, 11}, 1), labels};
  all["convolutions, bf16"] = {convolutions, normal({4, 3, 12, 11}, 1), labels, true};
  const auto activated = [] { return nn::CellPtr(nn::make<Activated>()); };
  const Tensor many = Tensor::full({64}, int64_t{2}, DType::kI64);
  all["activated"] = {activated, normal({64, 12}, 5), many};
  const auto gpt = [] {
    return nn::CellPtr(nn::make<nn::models::Gpt>(nn::models::GptOptions{
        .vocab = 11, .positions = 8, .layers = 2, .width = 32, .heads = 2, .dropout = 0.2}));
  };
  const Tensor ids =
      Tensor::from<int64_t>({1, 5, 2, 9, 0, 3, 7, 10, 4, 4, 1, 6, 2, 8, 8, 0}, {2, 8});
  all["gpt"] = {gpt, ids, ids};
  all["gpt, bf16"] = {gpt, ids, ids, true};
  all["careless"] = {[] { return nn::CellPtr(nn::make<Careless>()); }, normal({4, 12}, 2), labels};
  all["loop"] = {[] { return nn::CellPtr(nn::make<Loop>()); }, normal({4, 12}, 3), labels};
  return all;
}

struct Result {
  std::vector<std::vector<double>> values;
  std::string graph;
};

void add(Result* r, const Tensor& t) {
  r->values.push_back(ops::cast(t, DType::kF64).to_vector<double>());
}

Result train(const Network& n, const std::string& off) {
  set_seed(3);
  const nn::CellPtr net = n.make();
  auto opt = std::make_shared<nn::optim::Momentum>(net->parameters(),
                                                   nn::optim::MomentumOptions{.lr = 0.01});
  nn::StepOptions options{.outputs = true, .passes_off = off};
  if (n.low) options.amp = DType::kBF16;
  nn::TrainStep step(net, nn::CrossEntropyLoss(), opt, options);
  Result r;
  for (int i = 0; i < 2; ++i) {
    const nn::StepResult s = step(n.x, n.y);
    add(&r, s.loss);
    add(&r, s.outputs);
  }
  for (const auto& [name, state] : step.named_states()) add(&r, state->concrete());
  r.graph = print(*step.compiled()->session().program().graph);
  for (const PassReport& p : step.report()->passes) EXPECT_EQ(p.dropped, "") << p.name;
  return r;
}

Result infer(const Network& n, const std::string& off) {
  set_seed(3);
  const nn::CellPtr net = n.make();
  nn::StepOptions options{.passes_off = off};
  if (n.low) options.amp = DType::kBF16;
  nn::EvalStep step(net, options);
  Result r;
  for (int i = 0; i < 2; ++i) add(&r, step(n.x));
  r.graph = print(*step.compiled()->session().program().graph);
  for (const PassReport& p : step.report()->passes) EXPECT_EQ(p.dropped, "") << p.name;
  return r;
}

// The largest distance of two tensors, as a part of the first one's norm.
double distance(const Result& a, const Result& b) {
  double worst = a.values.size() == b.values.size() ? 0 : HUGE_VAL;
  for (size_t i = 0; i < a.values.size() && i < b.values.size(); ++i) {
    double scale = 0, d = 0;
    for (size_t k = 0; k < a.values[i].size(); ++k) {
      scale += a.values[i][k] * a.values[i][k];
      d += (a.values[i][k] - b.values[i][k]) * (a.values[i][k] - b.values[i][k]);
    }
    d = std::isfinite(d) ? std::sqrt(d) : HUGE_VAL;
    // What is zero but for rounding, as the gradient of a bias before a norm, weighs little.
    worst = std::max(worst, d / (std::sqrt(scale) + 0.05));
  }
  return worst;
}

// The network whose graph shows what the pass does.
const std::map<std::string, std::string> kShownBy[] = {
    {{"dce", "careless"},
     {"prune_bodies", ""},  // needs control flow: Control.WhatNobodyReadsIsNotKept
     {"canonicalize", "careless"},
     {"constant_fold", "careless"},
     {"cse", "careless"},
     {"merge_sums", "loop"},
     {"split_classifier", ""},    // needs large logits: Classifier.InPiecesGivesTheSame
     {"fuse_conv_norm", ""},      // needs cuDNN: ConvNorm.BottleneckKeepsItsNumbers
     {"keep_copies", ""},         // needs a device: Training.UpdatesWriteTheCastWeights
     {"constant_fold_last", ""},  // shown by constant_fold, with which it is off
     {"fuse_norm_act", "convolutions"},
     {"fuse_post_ops", "activated"},
     {"fuse_epilogues", ""},  // needs cuBLASLt: Epilogues.NetworksKeepTheirNumbers
     {"fuse_optimizer", "careless"},
     {"bucket_allreduce", ""},  // needs several ranks: DataParallel.CompiledStepsStartBucketsEarly
     {"schedule", ""},  // needs megabytes of gradients: Arena.GradientsDoNotWaitForEachOther
     {"layout", "convolutions"},
     {"fold_casts", "convolutions, bf16"},
     {"norm_formulas", ""},  // needs a GPU: NormFormulas.BlocksKeepTheirNumbers
     {"fuse_elementwise", "careless"},
     {"join_slices", ""},  // changes no node: Joins.AttentionsGradientsLieInOneTensor
     {"dce_last", ""}},    // what is left over depends on the passes before
    {{"dce", "careless"},
     {"prune_bodies", ""},
     {"canonicalize", "careless"},
     {"constant_fold", "careless"},
     {"cse", "careless"},
     {"constant_fold_last", ""},
     {"fold_norm", "convolutions"},
     {"fuse_norm_act", ""},  // norms in training mode only
     {"fuse_post_ops", "convolutions"},
     {"fuse_epilogues", ""},
     {"layout", "convolutions"},
     {"freeze", "convolutions"},
     {"norm_formulas", ""},
     {"fuse_elementwise", "careless"},
     {"join_slices", ""},
     {"dce_last", "convolutions"}}};

// Passes that find no kernel to work with: oneDNN's, which sanitizers run without, and AVX-512's.
bool lacks_kernels(std::string_view pass) {
  const bool casts = pass == "fold_casts";
#if RUTILE_ONEDNN
  return casts && kernels::isa() != kernels::Isa::kAvx512;
#else
  return casts || pass == "fuse_post_ops" || pass == "layout";
#endif
}

// Each of the two folds what the other would: only without both are constants left.
std::string passes_off_for(std::string_view pass) {
  return pass == "constant_fold" ? "constant_fold,constant_fold_last" : std::string(pass);
}

void check_pipeline(Pipeline which, const std::function<Result(const Network&, std::string)>& run) {
  const auto all = networks();
  const auto& shown_by = kShownBy[static_cast<int>(which)];
  for (const auto& [name, network] : all) {
    const Result want = run(network, "");
    const double tolerance = network.low ? 0.1 : 1e-4;
    EXPECT_LT(distance(want, run(network, "all")), tolerance) << name << " without passes";
    for (const Pass& p : pipeline(which)) {
      if (!p.optional) continue;
      const Result got = run(network, passes_off_for(p.name));
      EXPECT_LT(distance(want, got), tolerance) << name << " without " << p.name;
      const auto it = shown_by.find(p.name);
      if (it == shown_by.end()) {
        ADD_FAILURE() << "the pass " << p.name << " has no network in kShownBy that shows it";
      } else if (it->second == name && !lacks_kernels(p.name)) {
        EXPECT_NE(want.graph, got.graph) << p.name << " does nothing for " << name;
      }
    }
  }
}

TEST(Equivalence, TrainingWithoutEachPass) { check_pipeline(Pipeline::kTraining, train); }
TEST(Equivalence, InferenceWithoutEachPass) { check_pipeline(Pipeline::kInference, infer); }

}  // namespace
}  // namespace rutile::graph
