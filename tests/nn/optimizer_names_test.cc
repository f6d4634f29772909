// SPDX-License-Identifier: Apache-2.0
// States of optimizers by the names that the Python package (and MindSpore) give them, one to one:
// tests/golden/optimizer_states.json, which tests/python/test_checkpoint.py reads as well.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rutile/nn/layers.h"
#include "rutile/nn/norm_layers.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/ops/elementwise.h"
#include "rutile/tests/support/golden_values.h"

namespace rutile::nn::optim {
namespace {

using Parameters = std::vector<ParameterPtr>;
template <class O, class Options>
std::shared_ptr<Optimizer> made(Parameters p, Options options) {
  options.lr = 0.25;
  return std::make_shared<O>(std::move(p), options);
}

std::shared_ptr<Optimizer> make_optimizer(const std::string& name, Parameters p) {
  if (name == "Momentum") return made<Momentum>(p, MomentumOptions{});
  if (name == "Adam") return made<Adam>(p, AdamOptions{});
  if (name == "AdamAmsgrad") return made<Adam>(p, AdamOptions{.amsgrad = true});
  if (name == "AdamW") return made<AdamW>(p, AdamWOptions{});
  if (name == "Adamax") return made<Adamax>(p, AdamaxOptions{});
  if (name == "Adagrad") return made<Adagrad>(p, AdagradOptions{});
  if (name == "Adadelta") return made<Adadelta>(p, AdadeltaOptions{});
  if (name == "RMSProp") {
    RMSPropOptions o;
    o.momentum = 0.9;
    o.centered = true;
    return made<RMSProp>(p, o);
  }
  if (name == "Rprop") return made<Rprop>(p, RpropOptions{});
  if (name == "ASGD") return made<ASGD>(p, ASGDOptions{});
  if (name == "FTRL") return made<FTRL>(p, FTRLOptions{});
  if (name == "LAMB") return made<LAMB>(p, LAMBOptions{});
  throw_error(ErrorCode::kValue, cat("no optimizer ", name));
}

TEST(OptimizerStates, OfThePythonPackageAreReadByTheirNames) {
  for (const auto& row : golden::read_golden_file("optimizer_states.json")) {
    const std::string kind = row.at("cpp");
    SCOPED_TRACE(cat(kind, " from ", row.at("python").get<std::string>()));
    auto net = make<Sequential>();
    net->append(make<Linear>(3, 2));
    net->append(make<LayerNorm>(2));
    const auto opt = make_optimizer(kind, net->parameters());
    StateDict file{{"global_step", Tensor::from<int32_t>({7}, {1})},
                   {"learning_rate", Tensor::scalar(0.125f)},
                   {"beta1_power", Tensor::scalar(0.5f)},
                   {"stat.0.weight", Tensor::scalar(1.0f)}};
    double number = 0;
    StateDict want;
    for (const auto& [name, state] : opt->named_states()) {
      if (name == "lr" || name == "step") continue;
      const size_t dot = name.find('.');
      std::string theirs =
          row.at("slots").at(name.substr(0, dot)).get<std::string>() + name.substr(dot);
      if (theirs.ends_with(".1.weight")) theirs.replace(theirs.rfind("weight"), 6, "gamma");
      if (theirs.ends_with(".1.bias")) theirs.replace(theirs.rfind("bias"), 4, "beta");
      const Tensor value = Tensor::full(state->meta().shape, number += 0.5, state->meta().dtype);
      file.emplace(theirs, value);
      want.emplace(name, value);
    }
    EXPECT_EQ(file.size(), want.size() + 4);
    const LoadReport report = load_states(opt->named_states(), file);
    EXPECT_TRUE(report.ok()) << report.text();
    for (const auto& [name, state] : opt->named_states()) {
      if (!want.count(name)) continue;
      EXPECT_EQ(state->concrete().to_vector<float>(), want.at(name).to_vector<float>()) << name;
    }
    EXPECT_EQ(opt->steps(), 7);
    EXPECT_EQ(opt->lr(), 0.125);
  }
}

TEST(OptimizerStates, WhatBelongsToNobodyIsStillNamed) {
  auto net = make<Sequential>();
  net->append(make<Linear>(3, 2));
  Momentum opt(net->parameters());
  StateDict file;
  for (const auto& [name, state] : opt.named_states()) file.emplace(name, state->concrete());
  file.emplace("beta1_power", Tensor::scalar(0.5f));
  try {
    load_states(opt.named_states(), file);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("beta1_power"));
  }
}

}  // namespace
}  // namespace rutile::nn::optim
