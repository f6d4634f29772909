// SPDX-License-Identifier: Apache-2.0
// Values that share memory: operands that are views of one another, States written with views of
// themselves, old values read after an update. Every case runs eagerly and compiled, with all
// passes and with none.
#include <gtest/gtest.h>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/optim.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

using Tensors = std::vector<Tensor>;

Tensor ramp(const Shape& shape, double step = 1e-3) {
  const Tensor flat = ops::arange(1.0, 1.0 + static_cast<double>(shape.numel()), 1.0);
  return ops::reshape(ops::mul(flat, step), shape);
}

double distance(const Tensor& a, const Tensor& b) {
  const Tensor d =
      ops::max(ops::abs(ops::sub(ops::cast(a, DType::kF64), ops::cast(b, DType::kF64))));
  const Tensor n = ops::max(ops::abs(ops::cast(a, DType::kF64)));
  return d.item() / (1e-30 + n.item());
}

// Two calls each: the second finds the arena full of the first one's values.
void expect_as_eager(const char* what, const Function& fn, const Tensors& in) {
  const Tensors want = fn(in);
  for (const char* off : {"all", "", "fuse_elementwise"}) {
    Compiled f = compile(fn, {.passes_off = off});
    for (int call = 0; call < 2; ++call) {
      const Tensors got = f(in);
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_LT(distance(want[i], got[i]), 1e-6)
            << what << ", output " << i << ", passes off: '" << off << "', call " << call;
      }
    }
    for (const PassReport& r : f.report().passes) EXPECT_EQ(r.dropped, "") << r.name;
  }
}

// cumsum: computed in the graph, and not an op that fusion would swallow.
Tensor computed(const Tensor& x) { return ops::cumsum(x, {}); }

TEST(Alias, OperandsThatAreViewsOfOneAnother) {
  const Tensor square = ramp({64, 64}), wide = ramp({16, 4096}, 1e-5);
  expect_as_eager("a + a.T",
                  [](const Tensors& x) {
                    const Tensor a = computed(x[0]);
                    return Tensors{computed(a + ops::transpose(a))};
                  },
                  {square});
  expect_as_eager("a - a[0:1]",
                  [](const Tensors& x) {
                    const Tensor a = computed(x[0]);
                    return Tensors{computed(a - ops::slice(a, {0}, {1}))};
                  },
                  {wide});
  expect_as_eager("a / a[:, 0:1]",
                  [](const Tensors& x) {
                    const Tensor a = computed(x[0]);
                    return Tensors{computed(a / ops::slice(a, {0, 0}, {64, 1}))};
                  },
                  {square});
  expect_as_eager(
      "maximum(a, reversed rows of it)",
      [](const Tensors& x) {
        const Tensor a = computed(x[0]), r = ops::reshape(a, {32, 128});
        return Tensors{computed(ops::reshape(r, {64, 64}) - ops::transpose(a)), computed(r)};
      },
      {square});
}

TEST(Alias, SeveralResultsOfAFusedNode) {
  for (const int64_t n : {1, 8, 1000, 100000}) {
    const Tensor x = ramp({n}, 1.0 / static_cast<double>(n));
    expect_as_eager("relu of a reshape, and the value itself",
                    [n](const Tensors& in) {
                      const Tensor t = computed(in[0]), m = ops::relu(ops::reshape(t, {1, n}));
                      return Tensors{computed(m), computed(m + t)};
                    },
                    {x});
    expect_as_eager("a product, and its product with the value",
                    [n](const Tensors& in) {
                      const Tensor t = computed(in[0]), m = ops::reshape(t, {1, n}) * in[0];
                      return Tensors{computed(m), computed(m * t)};
                    },
                    {x});
    expect_as_eager("the same value under another name",
                    [](const Tensors& in) {
                      const Tensor t = computed(in[0]), m = ops::tanh(ops::reshape(t, t.shape()));
                      return Tensors{computed(m), computed(m * t)};
                    },
                    {x});
  }
}

TEST(Alias, RowKernelsWhoseGradientIsAViewOfTheInput) {
  const Tensor x = ramp({48, 48}, 1e-3);
  expect_as_eager("softmax gradient",
                  [](const Tensors& in) {
                    const Tensor a = computed(in[0]);
                    const Tensor y = ops::softmax(a);
                    const ops::SoftmaxAttrs attrs;
                    return Tensors{call1(ops::kSoftmaxGrad, &attrs, {ops::transpose(y), y})};
                  },
                  {x});
  expect_as_eager("gradient of sum((a + a.T)^2)",
                  [](const Tensors& in) {
                    GradScope scope;
                    scope.watch(in[0]);
                    const Tensor a = computed(in[0]), s = a + ops::transpose(a);
                    return scope.gradient(ops::sum(s * s), {in[0]});
                  },
                  {x});
}

// The States' values after `calls` runs of fn, eagerly and compiled.
void expect_states_as_eager(const char* what, const std::vector<Tensor>& initial,
                            const std::function<Tensors(const std::vector<Ref<State>>&)>& fn) {
  auto make = [&] {
    std::vector<Ref<State>> states;
    for (const Tensor& t : initial) states.push_back(make_ref<State>("s", t));
    return states;
  };
  const std::vector<Ref<State>> eager = make();
  Tensors want;
  for (int i = 0; i < 3; ++i) want = fn(eager);
  for (const char* off : {"all", ""}) {
    const std::vector<Ref<State>> states = make();
    Compiled f = compile([&](const Tensors&) { return fn(states); }, {.passes_off = off});
    Tensors got;
    for (int i = 0; i < 3; ++i) got = f({});
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(got[i].to_vector<float>(), want[i].to_vector<float>())
          << what << ", output " << i << ", passes off: '" << off << "'";
    }
    for (size_t i = 0; i < eager.size(); ++i) {
      EXPECT_EQ(states[i]->read().to_vector<float>(), eager[i]->read().to_vector<float>())
          << what << ", state " << i << ", passes off: '" << off << "'";
    }
    EXPECT_EQ(f.compilations(), 1);
    for (const PassReport& r : f.report().passes) EXPECT_EQ(r.dropped, "") << what << r.name;
  }
}

void sgd(State& s, const Tensor& grad) {
  const ops::SgdAttrs attrs;
  State* states[] = {&s};
  const Tensor rest[] = {grad, Tensor::scalar(0.25)};
  State::update(ops::kSgd, &attrs, states, rest);
}

using States = std::vector<Ref<State>>;

TEST(Alias, StatesWrittenWithViewsOfThemselves) {
  const Tensor w = ramp({3, 3}, 1);
  expect_states_as_eager("transpose", {w}, [](const States& s) {
    s[0]->write(ops::transpose(s[0]->read()));
    return Tensors{};
  });
  expect_states_as_eager("a row repeated", {w}, [](const States& s) {
    s[0]->write(ops::broadcast_to(ops::slice(s[0]->read(), {1}, {2}), {3, 3}) * 1.0);
    s[0]->write(ops::broadcast_to(ops::slice(s[0]->read(), {0}, {1}), {3, 3}));
    return Tensors{};
  });
  expect_states_as_eager("crosswise", {w, ramp({3, 3}, 2)}, [](const States& s) {
    const Tensor a = s[0]->read();
    s[0]->write(ops::transpose(s[1]->read()));
    s[1]->write(ops::transpose(a));
    return Tensors{s[0]->read(), a};
  });
  expect_states_as_eager("update by a view of itself", {w}, [](const States& s) {
    sgd(*s[0], ops::transpose(s[0]->read()));
    return Tensors{};
  });
}

TEST(Alias, OldValuesReadAfterTheUpdate) {
  const Tensor w = ramp({4}, 1);
  expect_states_as_eager("write", {w}, [](const States& s) {
    const Tensor old = s[0]->read();
    s[0]->write(old * 0.5);
    return Tensors{s[0]->read() - old, old};
  });
  expect_states_as_eager("one update", {w}, [](const States& s) {
    const Tensor old = s[0]->read();
    sgd(*s[0], old * 2.0);
    return Tensors{s[0]->read() - old, old};
  });
  expect_states_as_eager("two states", {w, w * 3.0}, [](const States& s) {
    const Tensor old = s[0]->read(), view = ops::slice(old, {1}, {3});
    for (const Ref<State>& p : s) sgd(*p, old);
    return Tensors{s[0]->read() - old, ops::slice(s[1]->read(), {1}, {3}) - view};
  });
}

TEST(Alias, UpdatesThatDependOnOneAnother) {
  const Tensor w = ramp({4}, 0.25);
  expect_states_as_eager("two steps", {w}, [](const States& s) {
    for (int i = 0; i < 2; ++i) sgd(*s[0], s[0]->read() * 2.0);
    return Tensors{s[0]->read() * 1.0};
  });
  expect_states_as_eager("in turn", {w, w * 2.0, w * 3.0}, [](const States& s) {
    for (int i = 0; i < 6; ++i) sgd(*s[i % 3], s[(i + 1) % 3]->read() * s[(i + 2) % 3]->read());
    return Tensors{};
  });
}

TEST(Alias, StridedValuesBecomeRowMajorStates) {
  const Tensor big = ramp({4, 2}, 1);
  expect_states_as_eager("given as transpose", {ops::transpose(big)}, [](const States& s) {
    s[0]->write(s[0]->read() * 2.0);
    return Tensors{s[0]->read() + 1.0};
  });
  expect_states_as_eager(
      "columns", {ops::select(big, 1, 0), ops::select(big, 1, 1)}, [](const States& s) {
        ops::batch_norm_update_stats(*s[0], *s[1], Tensor::full({4}, 1.0), Tensor::full({4}, 1.0),
                                     {.momentum = 0.5, .eps = 0, .count = 10});
        return Tensors{};
      });
  const auto s = make_ref<State>("s", ops::transpose(big));
  EXPECT_TRUE(s->read().meta().is_contiguous());
  s->write(ops::transpose(ramp({4, 2}, 3)));
  EXPECT_TRUE(s->concrete().meta().is_contiguous());
}

}  // namespace
}  // namespace rutile::graph
