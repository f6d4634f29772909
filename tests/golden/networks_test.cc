// SPDX-License-Identifier: Apache-2.0
// The networks of nn/models against PyTorch, and compiled against eager. README.md describes the
// files.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/train_step.h"
#include "rutile/tests/golden/golden.h"

namespace rutile::golden {
namespace {

using nn::Mode;

struct Step {
  double loss = 0;
  std::map<std::string, std::vector<double>> gradients;
};

// Loss and gradients of the first batch, plain initialisation.
Step first_step(const std::string& network, int64_t size, DType dtype, Mode mode) {
  nn::CellPtr net = build(network, dtype, /*zero_init_residual=*/false);
  const Batch b = make_batch(network, size, 0, dtype);
  const auto run = [&](const std::vector<Tensor>& in) {
    GradScope scope;
    std::vector<Tensor> watched;
    for (const nn::ParameterPtr& p : net->parameters()) {
      watched.push_back(p->read());
      scope.watch(watched.back());
    }
    const Tensor loss = nn::CrossEntropyLoss{}(net(in[0]), in[1]);
    std::vector<Tensor> out = scope.gradient(loss, watched);
    out.push_back(loss);
    return out;
  };
  std::vector<Tensor> out =
      mode == Mode::kGraph ? graph::compile(run)({b.x, b.y}) : run({b.x, b.y});
  Step step;
  step.loss = out.back().item();
  const auto named = net->named_parameters();
  for (size_t i = 0; i < named.size(); ++i) {
    step.gradients[named[i].first] = doubles(out[i]);
    out[i] = Tensor();
  }
  return step;
}

class Networks : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Networks, testing::Values("mlp", "lenet", "gpt", "resnet50"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Networks, OneStepInF64) {
  const std::string network = GetParam();
  const nlohmann::json golden = read_golden(network + "_f64_step");
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    const char* how = mode == Mode::kEager ? "eager" : "graph";
    const Step step = first_step(network, golden["batch"], DType::kF64, mode);
    EXPECT_NEAR(step.loss, golden["loss"].get<double>(), 1e-10) << how;
    ASSERT_EQ(step.gradients.size(), golden["gradients"].size());
    for (const auto& [name, g] : step.gradients) {
      const nlohmann::json& want = golden["gradients"][name];
      const double want_norm = want["norm"];
      EXPECT_NEAR(norm(g), want_norm, 1e-8 * want_norm) << name << " " << how;
      const std::vector<double> sums = sketch(name, g);
      double square = 0;
      for (int k = 0; k < kSketches; ++k) {
        square += std::pow(sums[k] - want["sketch"][k].get<double>(), 2);
      }
      EXPECT_LE(std::sqrt(square / kSketches), 1e-8 * want_norm) << name << " " << how;
    }
  }
}

TEST_P(Networks, ErrorInF32) {
  const std::string network = GetParam();
  const nlohmann::json golden = read_golden(network + "_f32_error");
  const Step exact = first_step(network, golden["batch"], DType::kF64, Mode::kEager);
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    const Step step = first_step(network, golden["batch"], DType::kF32, mode);
    double worst = 0;
    std::string worst_name;
    for (const auto& [name, want] : exact.gradients) {
      std::vector<double> difference = step.gradients.at(name);
      for (size_t i = 0; i < want.size(); ++i) difference[i] -= want[i];
      const double error = norm(difference) / norm(want);
      double theirs = 0;
      for (double e : golden["errors"][name]) theirs = std::max(theirs, e);
      EXPECT_LE(error, 2 * theirs) << name << (mode == Mode::kEager ? " eager" : " graph");
      if (error / theirs > worst) {
        worst = error / theirs;
        worst_name = name;
      }
    }
    RecordProperty(mode == Mode::kEager ? "eager" : "graph", cat(worst_name, " ", worst));
  }
}

constexpr int kPlainSteps = 5;

std::vector<double> losses(const std::string& network, const nlohmann::json& golden,
                           const nn::StepOptions& options, size_t steps) {
  nn::CellPtr net = build(network, DType::kF32, /*zero_init_residual=*/true);
  auto opt = std::make_shared<nn::optim::Momentum>(
      net->parameters(), nn::optim::MomentumOptions{.lr = golden["lr"],
                                                    .momentum = golden["momentum"],
                                                    .weight_decay = golden["weight_decay"]});
  nn::TrainStep step(net, nn::CrossEntropyLoss{}, opt, options);
  std::vector<double> result;
  for (size_t i = 0; i < steps; ++i) {
    const Batch b = make_batch(network, golden["batch"], static_cast<int>(i), DType::kF32);
    result.push_back(step(b.x, b.y).loss.item());
  }
  return result;
}

TEST_P(Networks, TwentyLossesInF32) {
  const std::string network = GetParam();
  const nlohmann::json golden = read_golden(network + "_f32_losses");
  const std::vector<double> want = golden["losses"];
  const std::vector<double> eager = losses(network, golden, {.mode = Mode::kEager}, want.size());
  const std::vector<double> graph = losses(network, golden, {.mode = Mode::kGraph}, want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(eager[i], want[i], 1e-4) << "step " << i;
    EXPECT_NEAR(graph[i], want[i], 1e-4) << "step " << i;
    EXPECT_NEAR(graph[i], eager[i], 1e-4) << "step " << i;
  }
  // Without the optional passes the same calls are made: the same bits.
  const std::vector<double> plain =
      losses(network, golden, {.mode = Mode::kGraph, .passes_off = "all"}, kPlainSteps);
  EXPECT_EQ(plain, std::vector<double>(eager.begin(), eager.begin() + kPlainSteps));
}

}  // namespace
}  // namespace rutile::golden
