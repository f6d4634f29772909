// SPDX-License-Identifier: Apache-2.0
// What calls of compiled functions promise: recompilation when a State changed, inlining into a
// trace or a gradient scope, States untouched by a step that fails, symbolic tensors that leaked.
#include <gtest/gtest.h>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

using Tensors = std::vector<Tensor>;

Tensor ramp(int64_t rows, int64_t columns) {
  const double n = static_cast<double>(rows * columns);
  return ops::reshape(ops::arange(1.0, 1.0 + n, 1.0), {rows, columns});
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

TEST(Session, AStateOfAnotherTypeOrShapeIsCompiledAnew) {
  const auto w = make_ref<State>("w", ramp(2, 3));
  Compiled f = compile([w](const Tensors& x) { return Tensors{ops::matmul(x[0], w->read())}; });
  const Tensor x = ramp(2, 2);
  f({x});
  w->write(ops::transpose(ramp(3, 2)));
  EXPECT_EQ(f({x})[0].to_vector<float>(), ops::matmul(x, w->read()).to_vector<float>());
  EXPECT_EQ(f.compilations(), 1);
  w->set_concrete(ramp(2, 5));
  EXPECT_EQ(f({x})[0].to_vector<float>(), ops::matmul(x, w->read()).to_vector<float>());
  EXPECT_EQ(f.compilations(), 2);
  w->set_concrete(ramp(2, 3));
  f({x});
  EXPECT_EQ(f.compilations(), 2);  // the first plan fits again
}

TEST(Session, ACompiledFunctionInsideATraceRunsAsWritten) {
  Compiled f = compile([](const Tensors& x) { return Tensors{ops::square(x[0])}; });
  Compiled g = compile([&](const Tensors& x) { return Tensors{f(x)[0] + 1.0}; });
  const Tensor x = ramp(2, 2);
  EXPECT_EQ(g({x})[0].to_vector<float>(), (std::vector<float>{2, 5, 10, 17}));
  f({x});  // also where the inner one has a plan of its own
  Compiled h = compile([&](const Tensors& v) { return Tensors{f(v)[0] + 1.0}; });
  EXPECT_EQ(h({x})[0].to_vector<float>(), (std::vector<float>{2, 5, 10, 17}));
}

TEST(Session, GradientsFlowThroughACompiledFunction) {
  Compiled f = compile([](const Tensors& x) { return Tensors{ops::sum(ops::square(x[0]))}; });
  const Tensor x = ramp(2, 2);
  for (int i = 0; i < 2; ++i) {
    const ValueAndGrad r = value_and_grad([&](const Tensors& v) { return f(v)[0]; }, {x});
    EXPECT_EQ(r.grads[0].to_vector<float>(), (std::vector<float>{2, 4, 6, 8}));
    f({x});
  }
  GradScope scope;
  scope.watch(x);
  const Tensor y = ops::recompute([&](const Tensors& v) { return f(v); }, {x})[0];
  EXPECT_EQ(scope.gradient(y, {x})[0].to_vector<float>(), (std::vector<float>{2, 4, 6, 8}));
}

TEST(Session, AnEndlessRecursionIsAnError) {
  std::unique_ptr<Compiled> f;
  f = std::make_unique<Compiled>([&](const Tensors& x) { return Tensors{(*f)(x)[0] + 1.0}; },
                                 CompileOptions{.passes_off = "", .name = "loop"});
  EXPECT_NE(message_of([&] { (*f)({ramp(1, 1)}); }).find("loop calls itself"), std::string::npos);
  // One that ends is as good as any other.
  Compiled halves = compile([&](const Tensors& x) {
    if (x[0].dim(0) == 1) return Tensors{x[0]};
    const auto parts = ops::split(x[0], 2);
    return Tensors{halves({parts[0]})[0] + halves({parts[1]})[0]};
  });
  EXPECT_EQ(halves({ramp(4, 1)})[0].item(), 10);
}

TEST(Session, ANestedTraceThatFailsLeavesTheOuterOneAsItWas) {
  Compiled f = compile([](const Tensors& x) {
    const Tensor y = ops::exp(x[0]);
    const std::string inner = message_of([&] { trace([](const Tensors& v) { return v; }, {}); });
    EXPECT_NE(inner.find("inside another"), std::string::npos) << inner;
    return Tensors{y * y.item()};
  });
  const std::string text = message_of([&] { f({ramp(1, 1)}); });
  EXPECT_NE(text.find("It comes from exp"), std::string::npos) << text;
}

TEST(Session, SymbolicTensorsThatLeakedAreRefused) {
  Tensor leak;
  Compiled f = compile([&](const Tensors& x) {
    leak = x[0] * 2.0;
    return Tensors{x[0]};
  });
  const Tensor x = ramp(2, 2);
  f({x});
  auto expect = [](const std::string& text) {
    EXPECT_NE(text.find("trace that has ended"), std::string::npos) << text;
  };
  expect(message_of([&] { leak + 1.0; }));
  expect(message_of([&] { ops::transpose(leak); }));
  expect(message_of([&] { f({leak}); }));
  const auto s = make_ref<State>("s", x);
  expect(message_of([&] { s->write(leak); }));
  expect(message_of([&] { s->set_concrete(leak); }));
  expect(message_of([&] { make_ref<State>("t", leak); }));
  EXPECT_EQ(s->read().to_vector<float>(), x.to_vector<float>());
  Compiled g = compile([&](const Tensors& v) { return Tensors{v[0] + leak}; });
  EXPECT_NE(message_of([&] { g({x}); }).find("earlier trace"), std::string::npos);
}

// Everything a step may write before the op that fails: a counter, statistics, a generator, a
// parameter whose new value the failing op reads.
TEST(Session, AStepThatFailsLeavesTheStatesAsTheyWere) {
  for (const char* off : {"all", ""}) {
    const auto counter = make_ref<State>("counter", Tensor::scalar(int64_t{3}, DType::kI64));
    const auto w = make_ref<State>("w", ramp(2, 3)), stored = make_ref<State>("stored", ramp(2, 3));
    Generator generator(5);
    State& key = *generator.state_ref();
    Compiled f = compile(
        [&](const Tensors& x) {
          State* counted[] = {counter.get()};
          const Tensor one = Tensor::scalar(int64_t{1}, DType::kI64);
          State::update(ops::kAssignAdd, nullptr, counted, {&one, 1});
          const Tensor noise = ops::random_uniform(generator.next_key(), {.shape = {2, 3}});
          stored->write(noise);
          const ops::SgdAttrs attrs;
          State* updated[] = {w.get()};
          const Tensor rest[] = {noise, Tensor::scalar(0.5)};
          State::update(ops::kSgd, &attrs, updated, rest);
          return Tensors{ops::gather(w->read(), x[0], 1)};
        },
        {.passes_off = off});
    const std::vector<Ref<State>> states{counter, w, stored, generator.state_ref()};
    f({Tensor::from<int64_t>({2}, {1})});
    EXPECT_EQ(counter->read().item<int64_t>(), 4);
    std::vector<std::vector<uint8_t>> before;
    std::vector<uint64_t> versions;
    for (const Ref<State>& s : states) {
      auto& bytes = before.emplace_back(static_cast<size_t>(s->read().meta().nbytes()));
      s->read().copy_out(bytes.data(), bytes.size());
      versions.push_back(s->version());
    }
    const std::string text = message_of([&] { f({Tensor::from<int64_t>({7}, {1})}); });
    EXPECT_NE(text.find("[gather]"), std::string::npos) << text;
    EXPECT_EQ(text.find("partly"), std::string::npos) << text;
    for (size_t i = 0; i < states.size(); ++i) {
      std::vector<uint8_t> bytes(before[i].size());
      states[i]->read().copy_out(bytes.data(), bytes.size());
      EXPECT_EQ(bytes, before[i]) << states[i]->name();
      EXPECT_EQ(states[i]->version(), versions[i]) << states[i]->name();
    }
    f({Tensor::from<int64_t>({0}, {1})});
    EXPECT_EQ(counter->read().item<int64_t>(), 5);
    EXPECT_GT(key.version(), versions[3]);
  }
}

TEST(Session, UpdatesThatNobodyReadsWaitForTheLastCheckWithoutACopy) {
  const auto w = make_ref<State>("w", ramp(8, 8));
  const ops::SgdAttrs attrs;
  Compiled f = compile([&](const Tensors& x) {
    State* updated[] = {w.get()};
    const Tensor rest[] = {x[1], Tensor::scalar(0.5)};
    State::update(ops::kSgd, &attrs, updated, rest);
    return Tensors{ops::gather(x[1], x[0], 1)};
  });
  f({Tensor::from<int64_t>({2}, {1}), ramp(8, 8)});
  EXPECT_EQ(f.report().kernels, 2);  // gather, then the update in place
}

TEST(Session, UnknownPassNamesAreRefused) {
  EXPECT_NE(message_of([] {
              compile([](const Tensors& x) { return x; }, {.passes_off = "cse,nonsense"});
            }).find("nonsense"),
            std::string::npos);
}

// Buffers that live at the same time never overlap, and each says what lies in it.
TEST(Lowering, TellsWhoLiesWhereInTheArena) {
  Compiled f = compile(
      [](const std::vector<Tensor>& x) {
        const Tensor a = ops::matmul(x[0], x[0]), b = ops::relu(a);
        return std::vector<Tensor>{ops::matmul(ops::softmax(a), b)};
      },
      {});
  f.prepare({TensorMeta({32, 32}, DType::kF32)});
  const Program& p = f.session().program();
  ASSERT_EQ(p.arena.size(), p.memory.offsets.size());
  int values = 0;
  for (size_t i = 0; i < p.arena.size(); ++i) {
    const ArenaBuffer& a = p.arena[i];
    EXPECT_LE(a.offset + a.bytes, p.memory.peak);
    EXPECT_NE(a.node, kNone);
    if (a.value != kNone) {
      ++values;
      EXPECT_EQ(a.bytes, p.graph->meta(a.value).nbytes());
    }
    for (size_t j = 0; j < i; ++j) {
      const ArenaBuffer& b = p.arena[j];
      const bool together = a.first <= b.last && b.first <= a.last;
      EXPECT_FALSE(together && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes);
    }
  }
  EXPECT_GE(values, 2);
}

}  // namespace
}  // namespace rutile::graph
