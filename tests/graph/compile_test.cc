// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/compile.h"

#include <gtest/gtest.h>

#include "rutile/autograd/tape.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

std::vector<Tensor> one(Tensor t) { return {std::move(t)}; }

Tensor ramp(const Shape& shape, double scale = 0.1) {
  Tensor t = Tensor::empty(shape);
  float* p = t.mutable_data_as<float>();
  for (int64_t i = 0; i < t.numel(); ++i) {
    p[i] = static_cast<float>(scale * static_cast<double>((i * 7) % 13 - 6));
  }
  return t;
}

TEST(Compile, AddReluMatchesEager) {
  auto fn = [](const std::vector<Tensor>& x) { return one(ops::relu(x[0] + x[1]) * 2.0); };
  Compiled f = compile(fn);
  const Tensor a = ramp({3, 4}), b = ramp({4});
  EXPECT_EQ(f({a, b})[0].to_vector<float>(), fn({a, b})[0].to_vector<float>());
  EXPECT_EQ(f.compilations(), 1);
}

TEST(Compile, RecompilesForNewShapesOnly) {
  Compiled f = compile([](const std::vector<Tensor>& x) { return one(x[0] + x[0]); });
  f({ramp({2})});
  f({ramp({2}, 0.5)});
  EXPECT_EQ(f.compilations(), 1);
  f({ramp({3})});
  EXPECT_EQ(f.compilations(), 2);
  f({ramp({2})});
  EXPECT_EQ(f.compilations(), 2);
}

TEST(Compile, OutputsOfEarlierCallsSurvive) {
  Compiled f = compile([](const std::vector<Tensor>& x) { return one(x[0] * 2.0); });
  const Tensor y1 = f({Tensor::from<float>({1, 2}, {2})})[0];
  const Tensor y2 = f({Tensor::from<float>({3, 4}, {2})})[0];
  EXPECT_EQ(y1.to_vector<float>(), (std::vector<float>{2, 4}));
  EXPECT_EQ(y2.to_vector<float>(), (std::vector<float>{6, 8}));
}

TEST(Compile, ReturnsInputsViewsAndConstants) {
  const Tensor c = ramp({2});
  Compiled f = compile([&](const std::vector<Tensor>& x) {
    return std::vector<Tensor>{x[0], ops::transpose(x[0]), c, x[0]};
  });
  const Tensor x = ramp({2, 3});
  const std::vector<Tensor> y = f({x});
  EXPECT_EQ(y[0].to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(y[1].to_vector<float>(), ops::transpose(x).to_vector<float>());
  EXPECT_EQ(y[2].to_vector<float>(), c.to_vector<float>());
  EXPECT_EQ(y[3].to_vector<float>(), x.to_vector<float>());
}

// One SGD step of a two-layer network on States, eager or traced.
struct Mlp {
  Ref<State> w1 = make_ref<State>("w1", ramp({5, 8}));
  Ref<State> w2 = make_ref<State>("w2", ramp({3, 5}, 0.2));
  std::vector<Tensor> step(const std::vector<Tensor>& in) {
    GradScope scope;
    const Tensor a = w1->read(), b = w2->read();
    scope.watch(a);
    scope.watch(b);
    const Tensor h = ops::relu(ops::linear(in[0], a));
    const Tensor loss = ops::cross_entropy(ops::linear(h, b), in[1]);
    std::vector<Tensor> g = scope.gradient(loss, {a, b});
    w1->write(a - g[0] * 0.1);
    w2->write(b - g[1] * 0.1);
    return {loss};
  }
};

TEST(Compile, TrainingStepIsBitEqualToEagerWithPassesOff) {
  Mlp eager, compiled;
  CompileOptions off;
  off.passes_off = "all";
  Compiled f = compile([&](const std::vector<Tensor>& x) { return compiled.step(x); }, off);
  const Tensor x = ramp({4, 8}), y = Tensor::from<int32_t>({0, 2, 1, 1}, {4});
  for (int i = 0; i < 5; ++i) {
    const float e = eager.step({x, y})[0].item<float>();
    EXPECT_EQ(f({x, y})[0].item<float>(), e) << "step " << i;
  }
  EXPECT_EQ(compiled.w1->read().to_vector<float>(), eager.w1->read().to_vector<float>());
  EXPECT_EQ(f.compilations(), 1);
}

TEST(Compile, HeldStateValuesKeepTheirElements) {
  auto s = make_ref<State>("s", Tensor::from<float>({1, 2}, {2}));
  Compiled f = compile([&](const std::vector<Tensor>& x) {
    s->write(s->read() + x[0]);
    return one(s->read());
  });
  const Tensor before = s->read();
  const Tensor y = f({Tensor::from<float>({10, 20}, {2})})[0];
  EXPECT_EQ(before.to_vector<float>(), (std::vector<float>{1, 2}));
  EXPECT_EQ(s->read().to_vector<float>(), (std::vector<float>{11, 22}));
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{11, 22}));
}

TEST(Compile, StatesMaySwap) {
  auto a = make_ref<State>("a", Tensor::from<float>({1}, {1}));
  auto b = make_ref<State>("b", Tensor::from<float>({2}, {1}));
  Compiled f = compile([&](const std::vector<Tensor>& x) {
    const Tensor old = a->read();
    a->write(b->read());
    b->write(old);
    return one(x[0]);
  });
  f({ramp({1})});
  EXPECT_EQ(a->read().item(), 2);
  EXPECT_EQ(b->read().item(), 1);
}

TEST(Compile, BranchOnAValueNamesTheOpAndTheCure) {
  Compiled f = compile([](const std::vector<Tensor>& x) {
    const Tensor s = ops::sum(x[0]);
    return one(s.item() > 0 ? x[0] : ops::neg(x[0]));
  });
  try {
    f({ramp({2})});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(e.message().find("sum"), std::string::npos) << e.message();
    EXPECT_NE(e.message().find("compile_test.cc"), std::string::npos) << e.message();
    EXPECT_NE(e.message().find("where()"), std::string::npos) << e.message();
  }
  // The failed trace left nothing behind.
  EXPECT_EQ(call_modes().trace, nullptr);
  EXPECT_EQ((ramp({2}) + ramp({2})).dim(0), 2);
}

TEST(Compile, RecomputeKeepsClonesAndGivesTheSameGradient) {
  auto body = [](const std::vector<Tensor>& x) { return one(ops::square(ops::exp(x[0]) * x[0])); };
  auto step = [&](bool again) {
    return [&, again](const std::vector<Tensor>& x) {
      GradScope scope;
      scope.watch(x[0]);
      const Tensor y = ops::sum(again ? ops::recompute(body, {x[0]})[0] : body({x[0]})[0]);
      return scope.gradient(y, {x[0]});
    };
  };
  const Tensor x = ramp({6});
  const auto expected = step(false)({x})[0].to_vector<float>();
  EXPECT_EQ(step(true)({x})[0].to_vector<float>(), expected);
  Compiled plain = compile(step(false)), again = compile(step(true));
  EXPECT_EQ(again({x})[0].to_vector<float>(), plain({x})[0].to_vector<float>());
  EXPECT_GE(again.session().program().graph->order.size(),
            plain.session().program().graph->order.size());
}

TEST(Compile, DropoutDrawsTheSameNumbersInBothModes) {
  auto fn = [](const std::vector<Tensor>& x) { return one(ops::dropout(x[0], {.p = 0.5})); };
  const Tensor x = ramp({100});
  set_seed(7);
  const auto e1 = fn({x})[0].to_vector<float>(), e2 = fn({x})[0].to_vector<float>();
  set_seed(7);
  Compiled f = compile(fn);
  EXPECT_EQ(f({x})[0].to_vector<float>(), e1);
  EXPECT_EQ(f({x})[0].to_vector<float>(), e2);
  EXPECT_NE(e1, e2);
}

TEST(Compile, OutOfRangeIndexAtRunTimeNamesOpAndLine) {
  Compiled f = compile([](const std::vector<Tensor>& x) {
    return one(ops::embedding(x[0], ramp({4, 2})));
  });
  f({Tensor::from<int32_t>({0, 3}, {2})});
  try {
    f({Tensor::from<int32_t>({0, 4}, {2})});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kIndex);
    EXPECT_NE(e.message().find("[embedding]"), std::string::npos) << e.message();
    EXPECT_NE(e.message().find("compile_test.cc"), std::string::npos) << e.message();
  }
}

}  // namespace
}  // namespace rutile::graph
