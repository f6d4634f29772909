// SPDX-License-Identifier: Apache-2.0
// vmap: gradients through it and inside it, random numbers, States, nesting, what runs slice by
// slice. That each op gives what its slices give is tests/ops/batching_checks.cc.
#include "rutile/graph/trace/vmap.h"

#include <gtest/gtest.h>

#include "rutile/autograd/checker.h"
#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/control.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/distributions.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

using Tensors = std::vector<Tensor>;

Tensor ramp(const Shape& shape, double from = -0.9, double to = 1.1) {
  const double n = static_cast<double>(shape.numel());
  return ops::reshape(
      ops::arange(0.0, n, 1.0, DType::kF64) * ((to - from) / std::max(n, 1.0)) + from, shape);
}

double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  return ops::max(ops::abs(a - b)).item<double>();
}

Tensor by_slices(const Function& fn, const Tensors& xs) {
  Tensors parts;
  for (int64_t i = 0; i < xs[0].dim(0); ++i) {
    Tensors slices;
    for (const Tensor& x : xs) slices.push_back(ops::select(x, 0, i));
    parts.push_back(fn(slices)[0]);
  }
  return ops::stack(parts);
}

// The gradient of the loss of one sample by the weights of a small convolutional network.
Tensors sample_gradients(const Tensors& given, const Tensor& kernel, const Tensor& weight) {
  GradScope scope;
  const Tensor k = ops::reshape(kernel, kernel.shape()), w = ops::reshape(weight, weight.shape());
  scope.watch(k);
  scope.watch(w);
  const Tensor x = ops::expand_dims(given[0], 0);
  const Tensor h = ops::relu(ops::conv2d(x, k, {}, {.pad = 1}));
  const Tensor logits = ops::linear(ops::reshape(h, {1, -1}), w);
  const Tensor loss = ops::cross_entropy(logits, ops::reshape(given[1], {1}));
  return scope.gradient(loss, {k, w});
}

TEST(Vmap, GradientsOfEachSampleNeedNoLoop) {
  const Tensor x = ramp({5, 2, 4, 4}), labels = ops::cast(ops::arange(0, 5), DType::kI64);
  const Tensor kernel = ramp({3, 2, 3, 3}), weight = ramp({5, 48});
  for (const size_t which : {0, 1}) {
    const Function fn = [&](const Tensors& s) {
      return Tensors{sample_gradients(s, kernel, weight)[which]};
    };
    vmap_counts() = {};
    const Tensor got = vmap(fn, {x, labels})[0];
    EXPECT_EQ(vmap_counts().loops, 0);
    EXPECT_EQ(vmap_counts().slices, 0);
    EXPECT_GT(vmap_counts().rules, 5);
    EXPECT_LT(largest_difference(got, by_slices(fn, {x, labels})), 1e-12);
    const Function all = [&](const Tensors& in) { return vmap(fn, in); };
    EXPECT_LT(largest_difference(compile(all, {})({x, labels})[0], got), 1e-12);
  }
}

TEST(Vmap, GradientsFlowThroughIt) {
  const Tensor w = ramp({3, 4}, -1, 2);
  const auto fn = [&](const Tensors& in) {
    // in[1] is read from outside by each slice.
    return vmap([&](const Tensors& s) { return Tensors{ops::tanh(ops::matmul(in[1], s[0]))}; },
                {in[0]});
  };
  const Status s = check_gradients(fn, {ramp({2, 4}), w});
  EXPECT_TRUE(s.ok()) << s.message();
}

TEST(Vmap, Nests) {
  const Tensor a = ramp({3, 4}), b = ramp({2, 4}, 0, 1);
  const Tensor got = vmap(
      [&](const Tensors& x) {
        return vmap([&](const Tensors& y) { return Tensors{ops::sum(x[0] * y[0])}; }, {b});
      },
      {a})[0];
  EXPECT_LT(largest_difference(got, ops::matmul(a, b, {.transpose_b = true})), 1e-14);
}

TEST(Vmap, RandomNumbersDifferFromSliceToSlice) {
  const Function fn = [](const Tensors& x) {
    const Dims many{64};
    const DType t = DType::kF64;
    Tensors y{ops::dropout(x[0], {.p = 0.5}),
              ops::random_normal({.shape = many, .dtype = t}),
              ops::random_normal({.shape = many, .dtype = t}) + x[0],
              ops::random_uniform({.shape = many, .dtype = t}),
              ops::truncated_normal({.shape = many, .dtype = t}),
              ops::random_randint({.shape = many, .low = 0, .high = 9}),
              ops::random_bernoulli({.shape = many}),
              ops::random_gamma(x[0] * 3.0),
              ops::random_poisson(x[0] * 3.0),
              ops::random_exponential({.shape = many, .dtype = t})};
    for (Tensor& v : y) v = ops::cast(v, t);
    return y;
  };
  const Tensor x = ops::ones({2, 64}, DType::kF64);
  set_seed(7);
  vmap_counts() = {};
  const Tensors first = vmap(fn, {x});
  EXPECT_EQ(vmap_counts().slices + vmap_counts().loops, 0);
  for (const Tensor& y : first) {
    ASSERT_EQ(y.shape(), (Shape{2, 64}));
    EXPECT_GT(largest_difference(ops::select(y, 0, 0), ops::select(y, 0, 1)), 0.5);
  }
  const Tensors next = vmap(fn, {x});  // the generator went on
  EXPECT_GT(largest_difference(first[1], next[1]), 0.5);
  set_seed(7);
  const Tensors compiled = compile([&](const Tensors& in) { return vmap(fn, in); }, {})({x});
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(largest_difference(compiled[i], first[i]), 0) << i;
  }
}

TEST(Vmap, KeysFromOutsideDrawTheSame) {
  const Tensor key = Tensor::from<uint64_t>({3}, {1});
  const Tensor y = vmap(
      [&](const Tensors& x) {
        return Tensors{ops::random_normal(key, {.shape = {8}, .dtype = DType::kF64}) * x[0]};
      },
      {ops::ones({2}, DType::kF64)})[0];
  EXPECT_EQ(largest_difference(ops::select(y, 0, 0), ops::select(y, 0, 1)), 0);
}

TEST(Vmap, StatesThatAreWrittenSeeEachSlice) {
  auto count = make_ref<State>("count", ops::zeros({}, DType::kF64));
  const Function fn = [&](const Tensors& x) {
    count->write(count->read() + x[0]);
    return Tensors{count->read() * 1.0};
  };
  vmap_counts() = {};
  const Tensor y = vmap(fn, {ramp({3}, 1, 4)})[0];
  EXPECT_EQ(vmap_counts().slices, 1);
  EXPECT_EQ(count->read().item<double>(), 6);
  EXPECT_EQ(largest_difference(y, Tensor::from<double>({1, 3, 6}, {3})), 0);
}

TEST(Vmap, BranchesOnValuesRunSliceBySlice) {
  const Function fn = [](const Tensors& x) {
    return Tensors{ops::sum(x[0]).item<double>() > 0 ? x[0] : -x[0]};
  };
  const Tensor y = vmap(fn, {Tensor::from<double>({1, 2, -3, -4}, {2, 2})})[0];
  EXPECT_EQ(largest_difference(y, Tensor::from<double>({1, 2, 3, 4}, {2, 2})), 0);
}

TEST(Vmap, LoopsAndBranchesInsideWork) {
  const Function fn = [](const Tensors& x) {
    const Tensor sum = ops::scan(
                           [](const Tensors& c, const Tensors& s) {
                             return ops::ScanStep{{c[0] * 0.5 + s[0]}, {}};
                           },
                           {ops::zeros({}, DType::kF64)}, {x[0]})
                           .carry[0];
    return ops::cond(
        ops::greater(sum, 0.5), [&](auto&) { return Tensors{sum * 2.0}; },
        [&](auto&) { return Tensors{sum}; });
  };
  const Tensor x = ramp({4, 3});
  EXPECT_LT(largest_difference(vmap(fn, {x})[0], by_slices(fn, {x})), 1e-14);
  const Tensor compiled = compile([&](const Tensors& in) { return vmap(fn, in); }, {})({x})[0];
  EXPECT_LT(largest_difference(compiled, by_slices(fn, {x})), 1e-14);
}

// Scans, and branches by a predicate of all slices, are one op of all slices, in both directions.
TEST(Vmap, LoopsAndBranchesOfAllSlicesNeedNoLoop) {
  const Tensor weight = ramp({3, 3}), on = Tensor::scalar(true, DType::kBool);
  const auto cell = [&](const Tensor& state, const Tensor& s) {
    return ops::tanh(ops::matmul(state, weight) + s);
  };
  for (const bool reverse : {false, true}) {
    const Function fn = [&](const Tensors& x) {
      const ops::ScanStep done = ops::scan(
          [&](const Tensors& c, const Tensors& s) {
            const Tensor next = cell(c[0], s[0] + s[1]);
            return ops::ScanStep{{next, c[1] + 1.0}, {ops::sum(next) * x[1]}};
          },
          {x[1], ops::zeros({}, DType::kF64)}, {x[0], ramp({5, 3})}, {.reverse = reverse});
      const Tensor y = ops::cond(
          on, [&](auto& v) { return Tensors{v[0] * done.carry[0]}; },
          [&](auto& v) { return Tensors{v[0]}; }, {x[1]})[0];
      return Tensors{ops::concat(
          Tensors{ops::reshape(done.ys[0], {-1}), y, ops::reshape(done.carry[1], {1})}, 0)};
    };
    const Tensors xs{ramp({4, 5, 3}), ramp({4, 3})};
    const Tensor want = by_slices(fn, xs);
    const Function all = [&](const Tensors& in) { return vmap(fn, in); };
    const Function weighed = [&](const Tensors& in) {
      GradScope scope;
      const Tensor x = ops::reshape(in[0], in[0].shape());
      scope.watch(x);
      const Tensor y = vmap(fn, {x, in[1]})[0];
      return scope.gradient(ops::sum(y * y), {x});
    };
    vmap_counts() = {};
    EXPECT_LT(largest_difference(vmap(fn, xs)[0], want), 1e-14);
    EXPECT_EQ(vmap_counts().loops + vmap_counts().slices + vmap_counts().failures, 0);
    EXPECT_LT(largest_difference(compile(all, {})(xs)[0], want), 1e-14);
    GradScope scope;
    const Tensor x = ops::reshape(xs[0], xs[0].shape());
    scope.watch(x);
    const Tensor y = by_slices(fn, {x, xs[1]});
    const Tensor gradient = scope.gradient(ops::sum(y * y), {x})[0];
    EXPECT_LT(largest_difference(weighed(xs)[0], gradient), 1e-13);
    EXPECT_LT(largest_difference(compile(weighed, {})(xs)[0], gradient), 1e-13);
  }
}

TEST(Vmap, SaysWhatIsWrong) {
  const Function same = [](const Tensors& x) { return x; };
  EXPECT_THROW(vmap(same, {ops::ones({}), ops::ones({2})}), Error);
  EXPECT_THROW(vmap(same, {ops::ones({3}), ops::ones({2})}), Error);
  EXPECT_THROW(vmap(same, {ops::ones({0, 2})}), Error);
  try {
    vmap([](const Tensors& x) { return Tensors{ops::gather(x[0], x[1])}; },
         {ramp({2, 3}), Tensor::from<int64_t>({0, 3}, {2})});
    FAIL() << "an index out of range passed";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kIndex);
  }
}

}  // namespace
}  // namespace rutile::graph
