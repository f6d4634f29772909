// SPDX-License-Identifier: Apache-2.0
// Errors inside traces: they name the user's line, the Cell and a cure, and leave everything as it
// was: the thread's modes, enclosing scopes, the compiled function.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/optim/optimizer.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Tensors = std::vector<Tensor>;

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

Tensor ones(const Shape& shape) { return Tensor::full(shape, 1.0); }

void expect_clean() {
  const CallModes &now = call_modes(), fresh;
  EXPECT_EQ(now.trace, nullptr);
  EXPECT_EQ(now.tape, nullptr);
  EXPECT_EQ(now.states, nullptr);
  EXPECT_EQ(now.cell, nullptr);
  EXPECT_EQ(now.amp.on, fresh.amp.on);
  EXPECT_EQ(now.clone_group, fresh.clone_group);
  EXPECT_EQ(current_phase(), Phase::kForward);
  EXPECT_EQ((ones({2}) + ones({2})).to_vector<float>(), (std::vector<float>{2, 2}));
}

// A Cell that does what it is told.
class Told final : public nn::Cell {
 public:
  std::function<Tensor(const Tensor&)> body;
  nn::Ptr<nn::Linear> fc = add<nn::Linear>("fc", 3, 3);
  std::string type_name() const override { return "Told"; }

 protected:
  Tensor construct(const Tensor& x) override { return body(fc(x)); }
};

class Net final : public nn::Cell {
 public:
  nn::Ptr<Told> inner = add<Told>("inner");
  std::string type_name() const override { return "Net"; }

 protected:
  Tensor construct(const Tensor& x) override { return inner(x); }
};

TEST(TraceErrors, EveryWayToReadAValueNamesLineCellAndCure) {
  const std::function<Tensor(const Tensor&)> readers[] = {
      [](const Tensor& x) { return ops::sum(x).item() > 0 ? x : ops::neg(x); },
      [](const Tensor& x) { return x * static_cast<double>(x.to_vector<float>()[0]); },
      [](const Tensor& x) { return x.data_as<float>()[0] > 0 ? x : x + 1.0; },
      [](const Tensor& x) { return x * ops::max(x).item(); },
  };
  for (const auto& body : readers) {
    const auto net = nn::make<Net>();
    net->inner->body = body;
    nn::EvalStep step(net);
    const std::string text = error_of([&] { step(ones({2, 3})); });
    EXPECT_THAT(text, AllOf(HasSubstr("needs the value of a tensor"), HasSubstr("trace"),
                            HasSubstr("It comes from"), HasSubstr(".cc:"),
                            HasSubstr("in Cell Net.inner"), HasSubstr("where()")));
    expect_clean();
    // The same compiled function works once the reason is gone.
    net->inner->body = [](const Tensor& x) { return ops::relu(x); };
    EXPECT_EQ(step(ones({2, 3})).shape(), (Shape{2, 3}));
  }
}

TEST(TraceErrors, AnOpThatRefusesNamesLineAndCell) {
  const auto net = nn::make<Net>();
  net->inner->body = [](const Tensor& x) { return ops::matmul(x, ones({5, 2})); };
  nn::EvalStep step(net);
  const std::string text = error_of([&] { step(ones({2, 3})); });
  EXPECT_THAT(text, AllOf(HasSubstr("[matmul]"), HasSubstr("f32[2,3]"), HasSubstr("f32[5,2]"),
                          HasSubstr("in Cell Net.inner"), HasSubstr("trace_error_test.cc:")));
  expect_clean();
}

TEST(TraceErrors, AValueReadInTheOptimizerPartOfAStepIsFoundToo) {
  const auto net = nn::make<Net>();
  net->inner->body = [](const Tensor& x) { return x; };
  auto opt = std::make_shared<nn::optim::SGD>(net->parameters(), nn::optim::SGDOptions{.lr = 0.1});
  bool read = true;
  nn::TrainStep step(
      net,
      [&](const Tensor& out, const Tensor&) {
        const Tensor loss = ops::mean(out);
        return read && loss.item() > 0 ? loss * 2.0 : loss;
      },
      opt);
  const Tensor before = net->inner->fc->weight->value();
  for (int i = 0; i < 2; ++i) {
    const std::string text = error_of([&] { step(ones({2, 3}), ones({2})); });
    EXPECT_THAT(text, AllOf(HasSubstr("It comes from mean"), HasSubstr("trace_error_test.cc:")));
    expect_clean();
    EXPECT_EQ(net->inner->fc->weight->value().to_vector<float>(), before.to_vector<float>());
  }
  read = false;
  step(ones({2, 3}), ones({2}));
  EXPECT_NE(net->inner->fc->weight->value().to_vector<float>(), before.to_vector<float>());
}

// An exception of the user's own, out of every scope that a trace can be in.
TEST(TraceErrors, AnExceptionLeavesLaterCallsWorking) {
  bool fail = true;
  const auto w = make_ref<State>("w", ones({3}));
  const auto boom = [&] {
    if (fail) throw std::runtime_error("mine");
  };
  const std::function<Tensors(const Tensors&)> bodies[] = {
      [&](const Tensors& x) {
        w->write(w->read() * 2.0);
        boom();
        return Tensors{x[0] + w->read()};
      },
      [&](const Tensors& x) {
        AmpScope amp(DType::kBF16);
        const Tensor y = ops::matmul(x[0], x[0]);
        boom();
        return Tensors{y};
      },
      [&](const Tensors& x) {
        GradScope scope;
        scope.watch(x[0]);
        const Tensor y = ops::recompute(
            [&](const Tensors& v) {
              boom();
              return Tensors{ops::exp(v[0])};
            },
            {x[0]})[0];
        return scope.gradient(ops::sum(y), {x[0]});
      },
      [&](const Tensors& x) {
        const auto inner = compile([&](const Tensors& v) {
          boom();
          return Tensors{v[0] * 3.0};
        });
        return const_cast<Compiled&>(inner)({x[0]});
      },
  };
  for (const auto& body : bodies) {
    fail = true;
    Compiled f = compile(body);
    for (int i = 0; i < 2; ++i) {
      EXPECT_THROW(f({ones({3, 3})}), std::runtime_error);
      expect_clean();
      EXPECT_EQ(w->read().to_vector<float>(), (std::vector<float>{1, 1, 1}));
    }
    fail = false;
    EXPECT_EQ(f({ones({3, 3})})[0].shape(), (Shape{3, 3}));
    EXPECT_EQ(f({ones({3, 3})})[0].shape(), (Shape{3, 3}));
    w->write(ones({3}));
  }
}

TEST(TraceErrors, ASymbolThatLeaksOutOfAFailedTraceIsRefused) {
  Tensor leak;
  Compiled f = compile([&](const Tensors& x) {
    leak = x[0] * 2.0;
    throw_error(ErrorCode::kValue, "mine");
    return x;
  });
  error_of([&] { f({ones({2})}); });
  EXPECT_THAT(error_of([&] { leak + 1.0; }), HasSubstr("trace that has ended"));
  EXPECT_THAT(error_of([&] { leak.to_vector<float>(); }), HasSubstr("trace that has ended"));
  expect_clean();
}

}  // namespace
}  // namespace rutile::graph
