// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/cell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Pair final : public Cell {
 public:
  std::string type_name() const override { return "Pair"; }
  Ptr<Linear> a = add<Linear>("a", 3, 4);
  Ptr<Sequential> tail = add<Sequential>("tail");
  Pair() {
    tail->append(make<ReLU>());
    tail->append(make<Linear>(4, 2));
  }

 protected:
  Tensor construct(const Tensor& x) override { return tail(a(x)); }
};

std::vector<std::string> names(const std::vector<NamedState>& states) {
  std::vector<std::string> out;
  for (const auto& [name, state] : states) out.push_back(name);
  return out;
}

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

TEST(Cell, NamesArePathsInOrder) {
  auto net = make<Pair>();
  EXPECT_THAT(names(net->named_states()),
              ElementsAre("a.weight", "a.bias", "tail.1.weight", "tail.1.bias"));
  EXPECT_EQ(net->num_elements(), 3 * 4 + 4 + 4 * 2 + 2);
  // The States carry the same names, for graphs and optimizers.
  for (const auto& [name, state] : net->named_states()) EXPECT_EQ(state->name(), name);
  EXPECT_EQ(net->find("tail.1"), &(*net->tail)[1]);
  EXPECT_EQ(net->find("tail.2"), nullptr);
  EXPECT_EQ(net->find("tai"), nullptr);
}

TEST(Cell, NamesDoNotDependOnTheOrderOfBuilding) {
  auto outer = make<Sequential>();
  auto inner = make<Sequential>();
  outer->append(inner);
  inner->append(make<Linear>(1, 1));  // after its parent was placed
  for (const auto& [name, state] : outer->named_states()) EXPECT_EQ(state->name(), name);
  EXPECT_EQ(outer->parameters()[0]->name(), "0.0.weight");
}

TEST(Cell, ErrorsNameTheCell) {
  auto net = make<Pair>();
  const Tensor wrong = Tensor::zeros({5, 7});
  const std::string text = error_of([&] { net(wrong); });
  EXPECT_THAT(text, HasSubstr("[linear]"));
  EXPECT_THAT(text, HasSubstr("in Cell Pair.a"));
  auto outer = make<Sequential>();
  outer->append(net);
  EXPECT_THAT(error_of([&] { outer(wrong); }), HasSubstr("in Cell Sequential.0.a"));
  EXPECT_EQ(call_modes().cell, nullptr);
}

TEST(Cell, RefusesBadNamesAndCalls) {
  struct Bad final : Cell {
    using Cell::register_cell;
  } bad;
  bad.register_cell("x", make<ReLU>());
  EXPECT_THAT(error_of([&] { bad.register_cell("x", make<ReLU>()); }), HasSubstr("already"));
  EXPECT_THROW(bad.register_cell("a.b", make<ReLU>()), Error);
  EXPECT_THROW(bad.register_cell("", make<ReLU>()), Error);
  EXPECT_THROW(bad.register_cell("y", nullptr), Error);
  EXPECT_THAT(error_of([&] { bad(Tensor::zeros({1})); }), HasSubstr("1 input"));
  EXPECT_THAT(error_of([&] { bad(Tensor::zeros({1}), Tensor::zeros({1})); }),
              HasSubstr("2 inputs"));
}

TEST(Cell, StateDictRoundTrip) {
  auto a = make<Pair>(), b = make<Pair>();
  EXPECT_TRUE(b->load_state_dict(a->state_dict()).ok());
  const Tensor x = Tensor::full({2, 3}, 0.5);
  EXPECT_EQ(a(x).to_vector<float>(), b(x).to_vector<float>());
}

TEST(Cell, LoadsMindSporesNames) {
  auto net = make<BatchNorm2d>(2);
  const auto v = [](float x) { return Tensor::full({2}, x); };
  const StateDict values = {
      {"gamma", v(1.5f)}, {"beta", v(2)}, {"moving_mean", v(3)}, {"moving_variance", v(4)}};
  EXPECT_TRUE(net->load_state_dict(values).ok());
  const StateDict got = net->state_dict();
  EXPECT_EQ(got.at("weight").to_vector<float>()[0], 1.5f);
  EXPECT_EQ(got.at("running_var").to_vector<float>()[1], 4);
  EXPECT_THROW(net->load_state_dict({{"gamma", v(1)}, {"weight", v(1)}}), Error);
}

TEST(Cell, LoadReportsWhatDoesNotFit) {
  auto net = make<Pair>();
  StateDict values = net->state_dict();
  values["a.wieght"] = values["a.weight"];
  values.erase("a.weight");
  values["tail.1.bias"] = Tensor::zeros({9});
  const Tensor before = net->a->bias->value();
  values["a.bias"] = Tensor::full({4}, 7.0);
  const std::string text = error_of([&] { net->load_state_dict(values); });
  EXPECT_THAT(text, HasSubstr("1 missing:\n  a.weight"));
  EXPECT_THAT(text, HasSubstr("a.wieght (did you mean a.weight?)"));
  EXPECT_THAT(text, HasSubstr("tail.1.bias: expected f32[2]"));
  EXPECT_EQ(net->a->bias->value().to_vector<float>(), before.to_vector<float>());

  const LoadReport report = net->load_state_dict(values, /*strict=*/false);
  EXPECT_THAT(report.missing, ElementsAre("a.weight"));
  EXPECT_THAT(report.unexpected, ElementsAre("a.wieght"));
  EXPECT_EQ(report.mismatched.size(), 1u);
  EXPECT_EQ(net->a->bias->value().to_vector<float>()[0], 7);
}

TEST(Cell, LoadReportShowsTwenty) {
  auto net = make<Linear>(1, 1);
  StateDict values = net->state_dict();
  for (int i = 0; i < 30; ++i) values[cat("extra", i)] = Tensor::zeros({1});
  const std::string text = error_of([&] { net->load_state_dict(values); });
  EXPECT_THAT(text, HasSubstr("30 unexpected"));
  EXPECT_THAT(text, HasSubstr("... 10 more"));
}

TEST(Cell, VersionFollowsWhatATraceReads) {
  auto net = make<Pair>();
  const uint64_t start = net->version();
  EXPECT_EQ(net->version(), start);
  net->eval();
  const uint64_t eval = net->version();
  EXPECT_NE(eval, start);
  net->train();
  EXPECT_EQ(net->version(), start);  // so that alternating modes compiles each once
  net->a->freeze();
  EXPECT_NE(net->version(), start);
  net->freeze(false);
  EXPECT_EQ(net->version(), start);
  const int hook = net->tail->add_pre_hook(
      [](Cell&, const std::vector<Tensor>&) { return std::vector<Tensor>(); });
  const uint64_t hooked = net->version();
  EXPECT_NE(hooked, start);
  net->tail->remove_hook(hook);
  EXPECT_NE(net->version(), hooked);
  const uint64_t before = net->version();
  net->tail->append(make<ReLU>());
  EXPECT_NE(net->version(), before);
}

TEST(Cell, EvalModeScopeRestoresEachMode) {
  auto net = make<Pair>();
  net->a->eval();
  const uint64_t version = net->version();
  {
    EvalModeScope eval(*net);
    EXPECT_FALSE(net->training());
    EXPECT_FALSE(net->tail->training());
  }
  EXPECT_TRUE(net->training());
  EXPECT_FALSE(net->a->training());
  EXPECT_EQ(net->version(), version);
}

TEST(Cell, HooksSeeAndReplace) {
  auto relu = make<ReLU>();
  std::vector<std::string> order;
  relu->add_pre_hook([&](Cell&, const std::vector<Tensor>& in) {
    order.push_back("pre");
    return std::vector<Tensor>{in[0] + 1};
  });
  const int post = relu->add_post_hook(
      [&](Cell&, const std::vector<Tensor>& in, const std::vector<Tensor>& out) {
        order.push_back("post");
        EXPECT_EQ(in[0].item(), 3);
        return std::vector<Tensor>{out[0] * 10};
      });
  EXPECT_EQ(relu(Tensor::scalar(2.0)).item(), 30);
  EXPECT_THAT(order, ElementsAre("pre", "post"));
  relu->remove_hook(post);
  EXPECT_EQ(relu(Tensor::scalar(2.0)).item(), 3);
}

// A chain whose middle Cell's gradient is doubled, and what reaches the input.
double gradient_through(const Ptr<Sequential>& net, bool compile) {
  auto run = [&](const std::vector<Tensor>& in) {
    GradScope scope;
    scope.watch(in[0]);
    const Tensor y = ops::sum(net(in[0]));
    return std::vector<Tensor>{scope.gradient(y, {in[0]})[0]};
  };
  const Tensor x = ops::full({3}, 2.0);
  if (!compile) return run({x})[0].to_vector<float>()[1];
  graph::Compiled compiled(run, {});
  compiled({x});
  return compiled({x})[0].to_vector<float>()[1];
}

TEST(Cell, BackwardHooksSeeAndReplaceGradients) {
  for (const bool recompute : {false, true}) {
    auto net = make<Sequential>();
    for (int i = 0; i < 3; ++i) net->append(make<ReLU>());
    net->recompute(recompute);
    int calls = 0;
    Cell& middle = *(*net).children()[1].second;
    const uint64_t version = net->version();
    const int hook = middle.add_backward_hook([&](Cell& c, int output, const Tensor& grad) {
      ++calls;
      EXPECT_EQ(&c, &middle);
      EXPECT_EQ(output, 0);
      return grad * 2.0;
    });
    EXPECT_NE(net->version(), version);
    EXPECT_EQ(gradient_through(net, false), 2);
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(gradient_through(net, true), 2);
    EXPECT_EQ(calls, 2);  // while it was traced
    net(ops::full({3}, 1.0));
    EXPECT_EQ(calls, 2);
    middle.remove_hook(hook);
    EXPECT_EQ(gradient_through(net, false), 1);
  }
}

TEST(Cell, TiedParametersCountOnce) {
  auto net = make<Sequential>();
  net->append(make<Linear>(3, 3, LinearOptions{.bias = false}));
  net->append(make<Linear>(3, 3, LinearOptions{.bias = false}));
  auto& first = static_cast<Linear&>((*net)[0]);
  const uint64_t version = net->version();
  net->replace_parameter("1.weight", first.weight);
  EXPECT_NE(net->version(), version);
  EXPECT_EQ(net->parameters().size(), 1u);
  EXPECT_EQ(static_cast<Linear&>((*net)[1]).weight, first.weight);
  EXPECT_THROW(net->replace_parameter("2.weight", first.weight), Error);
  EXPECT_THROW(
      net->replace_parameter("0.weight", std::make_shared<Parameter>("w", Tensor::zeros({2}))),
      Error);
}

TEST(Cell, CastsToF64AndBack) {
  auto net = make<Pair>();
  net->to(DType::kF64);
  for (const auto& [name, state] : net->named_states()) {
    EXPECT_EQ(state->concrete().dtype(), DType::kF64) << name;
  }
  EXPECT_EQ(net(Tensor::zeros({1, 3}, DType::kF64)).dtype(), DType::kF64);
  EXPECT_THROW(net->to(DType::kBF16), Error);
}

TEST(Cell, FullPrecisionInsideMixedPrecision) {
  auto net = make<Pair>();
  const Tensor x = Tensor::zeros({1, 3});
  AmpScope amp(DType::kBF16);
  EXPECT_EQ(net(x).dtype(), DType::kBF16);
  const uint64_t version = net->version();
  net->tail->set_full_precision(true);
  EXPECT_NE(net->version(), version);
  net->a->set_full_precision(true);
  EXPECT_EQ(net(x).dtype(), DType::kF32);
}

TEST(Cell, Repr) {
  EXPECT_EQ(make<Pair>()->repr(),
            "Pair(\n"
            "  (a): Linear(3, 4)\n"
            "  (tail): Sequential(\n"
            "    (0): ReLU()\n"
            "    (1): Linear(4, 2)\n"
            "  )\n"
            ")");
}

TEST(Parameter, HoldsNumbers) {
  Parameter low("p", Tensor::zeros({1}, DType::kBF16));
  EXPECT_TRUE(low.requires_grad());
  EXPECT_THROW(Parameter("p", Tensor()), Error);
  Parameter whole("p", Tensor::zeros({1}, DType::kI64));  // held, not trained
  EXPECT_FALSE(whole.requires_grad());
  EXPECT_THROW(whole.set_requires_grad(true), Error);
  Parameter p("p", Tensor::zeros({2}));
  EXPECT_THROW(p.set_value(Tensor::zeros({3})), Error);
}

}  // namespace
}  // namespace rutile::nn
