// SPDX-License-Identifier: Apache-2.0
// cond, while_loop, scan and fori_loop: eager, traced and compiled alike, with gradients of first
// and second order, States that bodies write, nesting and errors.
#include "rutile/ops/control.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rutile/autograd/checker.h"
#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/graph/exec/control_plan.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/unique.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/heap.h"

namespace rutile::graph {
namespace {

using ops::ScanStep;
using Tensors = std::vector<Tensor>;
using Fn = std::function<Tensors(const Tensors&)>;

Tensor ramp(const Shape& shape, double from = -0.9, double to = 1.1) {
  const double n = static_cast<double>(shape.numel());
  return ops::reshape(
      ops::arange(0.0, n, 1.0, DType::kF64) * ((to - from) / std::max(n, 1.0)) + from, shape);
}

// fn's results, the gradients of a function of them, and second derivatives.
Fn with_gradients(const Fn& fn) {
  return [fn](const Tensors& inputs) {
    GradScope outer;
    Tensors x;
    for (const Tensor& t : inputs) x.push_back(ops::reshape(t, t.shape()));
    for (const Tensor& t : x) outer.watch(t);
    Tensors all, first;
    {
      GradScope inner;
      for (const Tensor& t : x) inner.watch(t);
      all = fn(x);
      Tensor total = ops::full({}, 0.0, DType::kF64);
      for (const Tensor& y : all) {
        if (is_floating(y.dtype())) total = total + ops::sum(ops::sin(y));
      }
      first = inner.gradient(total, x);
    }
    Tensor total = ops::full({}, 0.0, DType::kF64);
    for (const Tensor& g : first) total = total + ops::sum(ops::square(g));
    const Tensors second = outer.gradient(total, x);
    all.insert(all.end(), first.begin(), first.end());
    all.insert(all.end(), second.begin(), second.end());
    return all;
  };
}

void expect_near(const Tensors& a, const Tensors& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(to_string(a[i].meta()), to_string(b[i].meta())) << what << " " << i;
    const auto x = ops::cast(a[i], DType::kF64).to_vector<double>();
    const auto y = ops::cast(b[i], DType::kF64).to_vector<double>();
    for (size_t k = 0; k < x.size(); ++k) {
      EXPECT_NEAR(x[k], y[k], 1e-10 * (1 + std::abs(y[k]))) << what << " " << i << " [" << k << "]";
    }
  }
}

// Compiled with all passes and with none as eagerly, with first and second derivatives, and those
// as differences say.
void check(const Fn& fn, const Tensors& inputs) {
  const Status s = check_gradients(fn, inputs, {.second_order = true});
  EXPECT_TRUE(s.ok()) << s.message();
  const Fn both = with_gradients(fn);
  for (const char* off : {"", "all", "prune_bodies"}) {
    Compiled plain = compile(fn, {.passes_off = off}), derived = compile(both, {.passes_off = off});
    for (int run = 0; run < 2; ++run) {
      expect_near(plain(inputs), fn(inputs), cat("value, off: ", off));
      expect_near(derived(inputs), both(inputs), cat("gradients, off: ", off));
    }
  }
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

int count_ops(const Graph& g, std::string_view name) {
  return static_cast<int>(std::count_if(g.order.begin(), g.order.end(),
                                        [&](NodeId id) { return g.nodes[id].op->name == name; }));
}

TEST(Control, CondRunsOneBodyAndDifferentiatesIt) {
  for (const double shift : {-10.0, 10.0}) {
    check(
        [shift](const Tensors& x) {
          const Tensor w = ops::exp(x[1]);  // from outside
          return ops::cond(
              ops::greater(ops::sum(x[0]) + shift, 0.0),
              [&](const Tensors& v) {
                return Tensors{v[0] * w, ops::sum(v[0])};
              },
              [&](const Tensors& v) {
                return Tensors{ops::sin(v[0]) - w, ops::sum(w * w)};
              },
              {x[0]});
        },
        {ramp({2, 3}), ramp({3})});
  }
}

TEST(Control, ScanKeepsACarryAndStacksItsOutputs) {
  for (const bool reverse : {false, true}) {
    check(
        [reverse](const Tensors& x) {
          const Tensor w = ops::tanh(x[2]);
          ScanStep r = ops::scan(
              [&](const Tensors& c, const Tensors& v) -> ScanStep {
                const Tensor h = ops::tanh(ops::matmul(c[0], w) + v[0]);
                return {{h, c[1] + 1}, {h * v[1], ops::sum(h)}};
              },
              {x[0], ops::full({}, Scalar(int64_t{0}), DType::kI64)}, {x[1], x[3]},
              {.reverse = reverse});
          return Tensors{r.carry[0], r.carry[1], r.ys[0], r.ys[1]};
        },
        {ramp({2, 3}), ramp({4, 2, 3}), ramp({3, 3}, -0.4, 0.5), ramp({4, 3})});
  }
}

TEST(Control, ScanOfNothing) {
  for (const int64_t length : {0, 1}) {
    const Fn fn = [](const Tensors& x) {
      ScanStep r = ops::scan(
          [](const Tensors& c, const Tensors& v) -> ScanStep {
            return {{c[0] + v[0]}, {c[0] * v[0]}};
          },
          {x[0]}, {x[1]});
      return Tensors{r.carry[0], r.ys[0]};
    };
    check(fn, {ramp({3}), ramp({length, 3})});
  }
}

TEST(Control, WhileLoopWithALimitHasGradients) {
  check(
      [](const Tensors& x) {
        return ops::while_loop(
            [](const Tensors& c) { return ops::less(ops::sum(ops::square(c[0])), 40.0); },
            [&](const Tensors& c) {
              return Tensors{c[0] * 1.5 + x[1] * 0.1, c[1] + c[0]};
            },
            {x[0], x[1]}, {.max_iterations = 20});
      },
      {ramp({3}), ramp({3}, 0.2, 0.9)});
}

TEST(Control, WhileLoopWithoutALimitRunsAndSaysWhatItsGradientNeeds) {
  const Fn fn = [](const Tensors& x) {
    return ops::while_loop([](const Tensors& c) { return ops::less(ops::sum(c[0]), 100.0); },
                           [](const Tensors& c) { return Tensors{c[0] * 2.0}; }, {x[0]});
  };
  const Tensor x = ramp({3}, 0.5, 1.5);
  expect_near(compile(fn)({x}), fn({x}), "value");
  EXPECT_TRUE(check_gradients(fn, {x}).ok());  // eagerly it needs nothing
  const std::string text = message_of([&] { compile(with_gradients(fn))({x}); });
  EXPECT_NE(text.find("needs max_iterations"), std::string::npos) << text;
}

TEST(Control, ALimitThatIsOnlyAFuseNeedsNoMemory) {
  const Fn fn = [](const Tensors& x) {
    return ops::while_loop([](const Tensors& c) { return ops::less(ops::sum(c[0]), 100.0); },
                           [](const Tensors& c) { return Tensors{c[0] * 2.0}; }, {x[0]},
                           {.max_iterations = int64_t{1} << 62});
  };
  const Tensor x = ramp({3}, 0.5, 1.5);
  expect_near(compile(fn)({x}), fn({x}), "value");
  const std::string text = message_of([&] { compile(with_gradients(fn))({x}); });
  EXPECT_NE(text.find("max_iterations"), std::string::npos) << text;
}

TEST(Control, ForiLoopCounts) {
  check(
      [](const Tensors& x) {
        return ops::fori_loop(2, 5,
                              [&](const Tensor& i, const Tensors& c) {
                                return Tensors{c[0] * x[1] + ops::cast(i, DType::kF64)};
                              },
                              {x[0]});
      },
      {ramp({3}), ramp({3})});
}

TEST(Control, BodiesNest) {
  check(
      [](const Tensors& x) {
        ScanStep r = ops::scan(
            [&](const Tensors& c, const Tensors& v) -> ScanStep {
              const Tensor y = ops::cond(
                  ops::greater(ops::sum(v[0]), 0.0),
                  [&](const Tensors&) {
                    return ops::fori_loop(0, 3,
                                          [&](const Tensor&, const Tensors& d) {
                                            return Tensors{ops::sin(d[0] + x[2]) + v[0]};
                                          },
                                          {c[0]});
                  },
                  [&](const Tensors&) {
                    return ops::while_loop(
                        [](const Tensors& d) { return ops::less(ops::sum(d[0]), 5.0); },
                        [&](const Tensors& d) { return Tensors{d[0] + ops::exp(x[2])}; }, {c[0]},
                        {.max_iterations = 4});
                  })[0];
              return {{y}, {y * x[2]}};
            },
            {x[0]}, {x[1]});
        return Tensors{r.carry[0], r.ys[0]};
      },
      {ramp({3}), ramp({4, 3}), ramp({3})});
}

// States are carried along: the same values and the same versions after the step.
TEST(Control, BodiesReadAndWriteStates) {
  const auto run = [](bool compiled) {
    const auto sum = make_ref<State>("sum", ramp({3})), scale = make_ref<State>("scale", ramp({3}));
    const auto seen = make_ref<State>("seen", Tensor::scalar(int64_t{0}, DType::kI64));
    const Fn fn = [&](const Tensors& x) {
      ScanStep r = ops::scan(
          [&](const Tensors& c, const Tensors& v) -> ScanStep {
            sum->write(sum->read() + v[0] * scale->read());
            ops::cond(
                ops::greater(ops::sum(v[0]), 0.0),
                [&](const Tensors&) {
                  seen->write(seen->read() + 1);
                  return Tensors{};
                },
                [](const Tensors&) { return Tensors{}; });
            return {{c[0] + sum->read()}, {sum->read()}};
          },
          {x[0]}, {x[1]});
      return Tensors{r.carry[0], r.ys[0], sum->read()};
    };
    const Fn both = with_gradients(fn);
    Compiled f = compile(both);
    Tensors all;
    for (int i = 0; i < 3; ++i) {
      const Tensors inputs{ramp({3}), ramp({4, 3})};
      for (const Tensor& t : compiled ? f(inputs) : both(inputs)) all.push_back(t);
    }
    for (const auto& s : {sum, scale, seen}) all.push_back(s->read());
    return all;
  };
  expect_near(run(true), run(false), "States");
}

TEST(Control, DropoutInALoopDrawsTheSameMasksInBackward) {
  const auto run = [](bool compiled) {
    Generator generator(7);
    const Fn fn = [&](const Tensors& x) {
      ScanStep r = ops::scan(
          [&](const Tensors& c, const Tensors& v) -> ScanStep {
            const Tensor d = ops::dropout(generator.next_key(), c[0], {.p = 0.4});
            return {{ops::tanh(d * x[2]) + v[0]}, {d}};
          },
          {x[0]}, {x[1]});
      return Tensors{r.carry[0], r.ys[0]};
    };
    const Fn both = with_gradients(fn);
    Compiled f = compile(both);
    Tensors all;
    for (int i = 0; i < 2; ++i) {
      const Tensors inputs{ramp({20}), ramp({5, 20}), ramp({20})};
      for (const Tensor& t : compiled ? f(inputs) : both(inputs)) all.push_back(t);
    }
    return all;
  };
  expect_near(run(true), run(false), "dropout");
}

TEST(Control, ALongLoopIsOneStep) {
  const Fn fn = [](const Tensors& x) {
    return ops::fori_loop(
        0, 1000, [&](const Tensor&, const Tensors& c) { return Tensors{ops::sin(c[0]) + x[1]}; },
        {x[0]});
  };
  Compiled f = compile(fn);
  const Tensors x{ramp({5}), ramp({5})};
  expect_near(f(x), fn(x), "value");
  const Program& p = f.session().program();
  ASSERT_EQ(p.steps.size(), 1u);
  EXPECT_STREQ(p.steps[0].plan->kernel, "loop of 1 kernel");  // the counter is not needed
  EXPECT_EQ(body_steps(*p.steps[0].plan), 1);
}

// Each iteration would cost at least one: the counts of 10 and of 1,000 are equal.
TEST(Control, ALongLoopTakesNothingFromTheHeap) {
  int64_t counts[2] = {};
  const int64_t lengths[2] = {10, 1000};
  for (int k = 0; k < 2; ++k) {
    Compiled f = compile([n = lengths[k]](const Tensors& x) {
      ScanStep r = ops::scan(
          [&](const Tensors& c, const Tensors& v) -> ScanStep {
            const Tensor h = ops::tanh(ops::matmul(c[0], x[2]) + v[0]);
            const Tensor d = ops::cond(
                ops::greater(ops::sum(h), 0.0),
                [](const Tensors& y) { return Tensors{ops::exp(y[0])}; },
                [](const Tensors& y) { return Tensors{ops::cumsum(y[0])}; }, {h})[0];
            return {{h}, {d}};
          },
          {x[0]}, {x[1]}, {.length = n});
      return r.ys;
    });
    const Tensors x{ramp({2, 3}), ramp({lengths[k], 2, 3}), ramp({3, 3})};
    f(x);
    f(x);
    const int64_t before = heap_requests();
    f(x);
    counts[k] = heap_requests() - before;
  }
  EXPECT_EQ(counts[0], counts[1]);
}

TEST(Control, WhatNobodyReadsIsNotKept) {
  const Fn fn = [](const Tensors& x) {
    return Tensors{ops::scan(
                       [](const Tensors& c, const Tensors& v) -> ScanStep {
                         return {{c[0] + v[0], c[1] * 2.0}, {c[0], ops::exp(c[1])}};
                       },
                       {x[0], x[0]}, {x[1]})
                       .carry[0]};
  };
  Compiled f = compile(fn);
  const Tensors x{ramp({64}), ramp({100, 64})};
  expect_near(f(x), fn(x), "value");
  const Graph& g = *f.session().program().graph;
  ASSERT_EQ(g.order.size(), 1u);
  EXPECT_EQ(g.nodes[g.order[0]].outputs.size(), 1u);
  EXPECT_EQ(g.nodes[g.order[0]].inputs.size(), 2u);
  EXPECT_LT(f.session().program().memory.peak, 4096);
}

TEST(Control, TheTextFormReadsBack) {
  const auto g = trace(
      [](const Tensors& x) {
        return ops::while_loop([](const Tensors& c) { return ops::less(ops::sum(c[0]), 9.0); },
                               [&](const Tensors& c) {
                                 return ops::cond(
                                     ops::less(ops::sum(c[0]), ops::sum(x[1])),
                                     [](const Tensors& v) { return Tensors{v[0] * 2.0}; },
                                     [](const Tensors& v) { return Tensors{v[0] + 1.0}; }, c);
                               },
                               {x[0]}, {.max_iterations = 5});
      },
      {TensorMeta({3}, DType::kF64), TensorMeta({3}, DType::kF64)});
  EXPECT_EQ(count_ops(*g, "while_loop"), 1);
  const std::string text = print(*g);
  Graph again;
  const Status s = parse(text, &again);
  ASSERT_TRUE(s.ok()) << s.message() << "\n" << text;
  EXPECT_EQ(print(again), text);
  EXPECT_TRUE(verify(again).ok()) << verify(again).message();
  EXPECT_FALSE(parse(text.substr(0, text.size() / 2), &again).ok());
}

TEST(Control, Errors) {
  const auto expect = [](const std::function<void()>& f, const char* words) {
    const std::string text = message_of(f);
    EXPECT_NE(text.find(words), std::string::npos) << text;
  };
  const Fn same = [](const Tensors& v) { return v; };
  for (const bool traced : {false, true}) {
    const auto run = [traced](const Fn& fn) {
      if (traced) {
        compile(fn)({ramp({3})});
      } else {
        fn({ramp({3})});
      }
    };
    expect([&] { run([&](const Tensors& x) { return ops::cond(x[0], same, same, x); }); },
           "[cond] the predicate is one bool, got f64[3]");
    expect(
        [&] {
          run([&](const Tensors& x) {
            return ops::while_loop([](const Tensors& c) { return ops::sum(c[0]); }, same, x);
          });
        },
        "[while_loop] the predicate is one bool, got f64[]");
    expect(
        [&] {
          run([&](const Tensors& x) {
            return ops::fori_loop(
                0, 2, [](const Tensor&, const Tensors& c) { return Tensors{ops::sum(c[0])}; }, x);
          });
        },
        "[fori_loop] carry 0 enters the body as f64[3]@cpu and leaves it as f64[]@cpu");
    expect(
        [&] {
          run([&](const Tensors& x) {
            return ops::scan(
                       [](const Tensors& c, const Tensors&) -> ScanStep {
                         return {{c[0], c[0]}, {}};
                       },
                       x, {}, {.length = 2})
                .carry;
          });
        },
        "[scan] the body gets 1 carries and returns 2");
    expect(
        [&] {
          run([&](const Tensors& x) {
            return ops::scan(
                       [](const Tensors& c, const Tensors&) -> ScanStep {
                         return {c, {}};
                       },
                       x, {x[0], ramp({2})})
                .carry;
          });
        },
        "[scan] runs 3 iterations, but xs[1] is f64[2]");
  }
  expect(
      [&] {
        compile([&](const Tensors& x) {
          return ops::cond(
              ops::less(ops::sum(x[0]), 0.0), same,
              [](const Tensors& v) { return Tensors{ops::sum(v[0])}; }, x);
        })({ramp({3})});
      },
      "[cond] result 0 is f64[3]@cpu where the predicate holds, f64[]@cpu where it does not");
  // A value that is wrong when it runs.
  Compiled f = compile([](const Tensors& x) {
    return ops::scan(
               [&](const Tensors& c, const Tensors& v) -> ScanStep {
                 return {{c[0] + ops::sum(ops::take(x[0], v[0]))}, {}};
               },
               {ops::sum(x[0])}, {x[1]})
        .carry;
  });
  expect([&] { f({ramp({3}), Tensor::from<int64_t>({0, 1, 7, 2}, {4, 1})}); }, "in iteration 2");
}

TEST(Control, ErrorsOfCompiledPartsNameWhatWasCalled) {
  const Tensor labels = Tensor::from<int64_t>({0, 1, 7}, {3}), n = Tensor::full({}, 0.0);
  const auto text_of = [](const std::function<void()>& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.message();
    }
    return "";
  };
  const ops::BincountAttrs attrs{.length = 4};
  const auto call = [&](const Tensor& x) { return call1(ops::kBincount, &attrs, {x, Tensor()}); };
  Compiled plain = compile([&](const Tensors& x) { return Tensors{call(x[0])}; });
  EXPECT_NE(text_of([&] { plain({labels}); }).find("| in bincount"), std::string::npos)
      << text_of([&] { plain({labels}); });
  Compiled inside = compile([&](const Tensors& x) {
    return ops::cond(
        ops::less(ops::sum(x[1]), 1.0), [&](const Tensors& v) { return Tensors{call(v[0])}; },
        [&](const Tensors& v) { return Tensors{call(v[0]) + 1}; }, x);
  });
  const std::string text = text_of([&] { inside({labels, n}); });
  EXPECT_NE(text.find("| in bincount"), std::string::npos) << text;
  EXPECT_NE(text.find("| in cond"), std::string::npos) << text;
}

}  // namespace
}  // namespace rutile::graph
