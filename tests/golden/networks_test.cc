// SPDX-License-Identifier: Apache-2.0
// The networks of nn/models against PyTorch, and compiled against eager. README.md describes the
// files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <map>
#include <memory>

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

// Losses and gradients by batch, plain initialisation; no step is taken.
class Steps {
 public:
  Steps(const std::string& network, int64_t size, DType dtype, Mode mode)
      : network_(network), size_(size), dtype_(dtype) {
    net_ = build(network, dtype, /*zero_init_residual=*/false);
    run_ = [net = net_](const std::vector<Tensor>& in) {
      GradScope scope;
      std::vector<Tensor> watched;
      for (const nn::ParameterPtr& p : net->parameters()) {
        watched.push_back(p->read());
        scope.watch(watched.back());
      }
      const Tensor loss = nn::CrossEntropyLoss{}((*net)(in[0]), in[1]);
      std::vector<Tensor> out = scope.gradient(loss, watched);
      out.push_back(loss);
      return out;
    };
    if (mode == Mode::kGraph) {
      auto compiled = std::make_shared<graph::Compiled>(graph::compile(run_));
      run_ = [compiled](const std::vector<Tensor>& in) { return (*compiled)(in); };
    }
  }

  Step operator()(int batch) {
    const Batch b = make_batch(network_, size_, batch, dtype_);
    std::vector<Tensor> out = run_({b.x, b.y});
    Step step;
    step.loss = out.back().item();
    const auto named = net_->named_parameters();
    for (size_t i = 0; i < named.size(); ++i) {
      step.gradients[named[i].first] = doubles(out[i]);
      out[i] = Tensor();
    }
    return step;
  }

 private:
  std::string network_;
  int64_t size_;
  DType dtype_;
  nn::CellPtr net_;
  std::function<std::vector<Tensor>(const std::vector<Tensor>&)> run_;
};

class Networks : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Networks, testing::Values("mlp", "lenet", "gpt", "resnet50"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Networks, OneStepInF64) {
  const std::string network = GetParam();
  const nlohmann::json golden = read_golden(network + "_f64_step");
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    const char* how = mode == Mode::kEager ? "eager" : "graph";
    const Step step = Steps(network, golden["batch"], DType::kF64, mode)(0);
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

// Each gradient's error against f64, relative, by norm; the mean over the batches.
TEST_P(Networks, ErrorInF32) {
  const std::string network = GetParam();
  const nlohmann::json golden = read_golden(network + "_f32_error");
  const int batches = golden["batches"];
  Steps exact(network, golden["batch"], DType::kF64, Mode::kEager);
  Steps eager(network, golden["batch"], DType::kF32, Mode::kEager);
  Steps graph(network, golden["batch"], DType::kF32, Mode::kGraph);
  std::map<std::string, double> errors[2];
  for (int i = 0; i < batches; ++i) {
    const Step want = exact(i), got[2] = {eager(i), graph(i)};
    for (int mode = 0; mode < 2; ++mode) {
      for (const auto& [name, g] : want.gradients) {
        std::vector<double> difference = got[mode].gradients.at(name);
        for (size_t k = 0; k < g.size(); ++k) difference[k] -= g[k];
        errors[mode][name] += norm(difference) / norm(g) / batches;
      }
    }
  }
  for (int mode = 0; mode < 2; ++mode) {
    ASSERT_EQ(errors[mode].size(), golden["errors"].size());
    double worst = 0;
    for (const auto& [name, error] : errors[mode]) {
      const double theirs = golden["errors"][name];
      EXPECT_LE(error, 2 * theirs) << name << (mode == 0 ? " eager" : " graph");
      worst = std::max(worst, error / theirs);
    }
    std::cout << network << (mode == 0 ? " eager" : " graph") << ": at most " << worst
              << " times PyTorch's error\n";
  }
}

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
  const nn::StepOptions plain{.mode = Mode::kGraph, .passes_off = "all"};
  EXPECT_EQ(losses(network, golden, plain, want.size()), eager);
}

}  // namespace
}  // namespace rutile::golden
