// SPDX-License-Identifier: Apache-2.0
// fuse_elementwise: what becomes one kernel, what does not, and that it computes the same.
#include <gtest/gtest.h>

#include <cmath>

#include "rutile/autograd/tape.h"
#include "rutile/core/thread.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/control.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::graph {
namespace {

using Tensors = std::vector<Tensor>;

void expect_fused(const std::string& before, const std::string& after) {
  Graph g;
  Status s = parse(before, &g);
  ASSERT_TRUE(s.ok()) << s.message();
  s = fuse_elementwise(g);
  ASSERT_TRUE(s.ok()) << s.message();
  s = dce(g);
  ASSERT_TRUE(s.ok()) << s.message();
  EXPECT_EQ(print(g), after);
  s = verify(g);
  EXPECT_TRUE(s.ok()) << s.message();
}

TEST(Fusion, ARowThatReadsItsOwnMeanIsOneKernel) {
  expect_fused(R"(graph {
  %0 = input "x" f32[8,64]
  %1 : f32[8,1] = mean(%0) {axes=[-1], keepdims=true} #forward
  %2 : f32[8,64] = sub(%0, %1) #forward
  %3 : f32[8,64] = relu(%2) #forward
  return %3
}
)",
               R"(graph {
  %0 = input "x" f32[8,64]
  %1 : f32[8,64] = fused_elementwise(%0) {program="1: mean %0 axes=[-1] keepdims=true; sub %0 %1; relu %2 -> %3"} #forward
  return %1
}
)");
}

TEST(Fusion, AColumnThatReadsItsOwnSumWaitsForIt) {
  expect_fused(R"(graph {
  %0 = input "x" f32[8,64]
  %1 : f32[8,64] = relu(%0) #forward
  %2 : f32[1,64] = sum(%1) {axes=[0], keepdims=true} #forward
  %3 : f32[8,64] = sub(%1, %2) #forward
  %4 : f32[8,64] = exp(%3) #forward
  return %4
}
)",
               R"(graph {
  %0 = input "x" f32[8,64]
  %1 : f32[8,64], %2 : f32[1,64] = fused_elementwise(%0) {program="1: relu %0; sum %1 axes=[0] keepdims=true -> %1 %2"} #forward
  %3 : f32[8,64] = fused_elementwise(%1, %2) {program="2: sub %0 %1; exp %2 -> %3"} #forward
  return %3
}
)");
}

TEST(Fusion, GradientAndItsSumOverRowsAreOneKernel) {
  expect_fused(R"(graph {
  %0 = input "dy" f32[8,64]
  %1 = input "y" f32[8,64]
  %2 : f32[8,64] = relu_grad(%0, %1) #backward
  %3 : f32[64] = sum_to_shape(%2) {shape=[64]} #backward
  return %2, %3
}
)",
               R"(graph {
  %0 = input "dy" f32[8,64]
  %1 = input "y" f32[8,64]
  %2 : f32[8,64], %3 : f32[64] = fused_elementwise(%0, %1) {program="2: relu_grad %0 %1; sum_to_shape %2 shape=[64] -> %2 %3"} #backward
  return %2, %3
}
)");
}

TEST(Fusion, OpsThatReadTheSameAreOneKernel) {
  expect_fused(R"(graph {
  %0 = input "x" f32[8,64]
  %1 : f32[8,64] = exp(%0) #forward
  %2 : f32[8,64] = tanh(%0) #forward
  return %1, %2
}
)",
               R"(graph {
  %0 = input "x" f32[8,64]
  %1 : f32[8,64], %2 : f32[8,64] = fused_elementwise(%0) {program="1: exp %0; tanh %0 -> %1 %2"} #forward
  return %1, %2
}
)");
}

TEST(Fusion, NothingOutsideStandsBetweenTwoMembers) {
  const std::string text = R"(graph {
  %0 = input "x" f32[8,8]
  %1 : f32[8,8] = exp(%0) #forward
  %2 : f32[8,8] = matmul(%1, %1) #forward
  %3 : f32[8,8] = add(%1, %2) #forward
  return %3
}
)";
  expect_fused(text, text);
}

TEST(Fusion, PhasesStayApart) {
  const std::string text = R"(graph {
  %0 = input "x" f32[8,8]
  %1 : f32[8,8] = exp(%0) #forward
  %2 : f32[8,8] = mul(%1, %1) #backward
  return %2
}
)";
  expect_fused(text, text);
}

TEST(Fusion, RowsTooLongForTheCacheAreReducedAlone) {
  const std::string text = R"(graph {
  %0 = input "x" f32[2,100000]
  %1 : f32[2,1] = max(%0) {axes=[1], keepdims=true} #forward
  %2 : f32[2,100000] = sub(%0, %1) #forward
  return %2
}
)";
  expect_fused(text, text);
}

TEST(Fusion, AReductionThatOnlyComesBackWithItsDimensionsKeepsThem) {
  Graph g;
  ASSERT_TRUE(parse(R"(graph {
  %0 = input "x" f32[8,64]
  %1 : f32[8] = mean(%0) {axes=[1]} #forward
  %2 : f32[8,64]<strides=[1,0]> = broadcast_to(%1) {shape=[8,64], axes=[1]} #forward
  %3 : f32[8,64] = sub(%0, %2) #forward
  return %3
}
)",
                    &g)
                  .ok());
  const Status s = canonicalize(g);
  ASSERT_TRUE(s.ok()) << s.message();
  EXPECT_EQ(print(g), R"(graph {
  %0 = input "x" f32[8,64]
  %1 : f32[8,1] = mean(%0) {axes=[1], keepdims=true} #forward
  %2 : f32[8,64] = sub(%0, %1) #forward
  return %2
}
)");
}

// ---- The same numbers with and without --------------------------------------------------------

struct Formula {
  const char* name;
  Tensor (*run)(const Tensors&);
  int kernels;  // forward
};
const ops::SumAttrs kRows{.axes = {-1}, .keepdims = true};
const Formula kFormulas[] = {
    {"layer norm",
     [](const Tensors& t) {
       const Tensor d = t[0] - ops::mean(t[0], kRows);
       return d * ops::rsqrt(ops::mean(d * d, kRows) + 1e-5) * t[1] + t[2];
     },
     1},
    {"layer norm without keepdims",
     [](const Tensors& t) {
       const Tensor m = ops::broadcast_to(ops::mean(t[0], {.axes = {1}}), t[0].shape(), {1});
       return (t[0] - m) * t[1] + t[2];
     },
     1},
    {"RMS norm",
     [](const Tensors& t) {
       return t[0] * ops::rsqrt(ops::mean(ops::square(t[0]), kRows) + 1e-6) * t[1];
     },
     1},
    {"softmax",
     [](const Tensors& t) {
       const Tensor top = ops::stop_gradient(ops::max(t[0], {.axes = {-1}, .keepdims = true}));
       const Tensor e = ops::exp(t[0] - top);
       return e / ops::sum(e, kRows);
     },
     1},
    {"log-softmax and loss",
     [](const Tensors& t) {
       const Tensor d = t[0] - ops::max(t[0], {.axes = {-1}, .keepdims = true});
       const Tensor logs = d - ops::log(ops::sum(ops::exp(d), kRows));
       return ops::neg(ops::mean(logs * ops::sigmoid(t[0] + t[2])));
     },
     2},
    {"GELU by tanh",
     [](const Tensors& t) {
       const Tensor& x = t[0];
       return x * 0.5 * (ops::tanh((x + x * x * x * 0.044715) * 0.7978845608) + 1.0);
     },
     1},
    {"batch norm",
     [](const Tensors& t) {
       const ops::SumAttrs columns{.axes = {0}, .keepdims = true};
       const Tensor d = t[0] - ops::mean(t[0], columns);
       return ops::relu(d * ops::rsqrt(ops::mean(d * d, columns) + 1e-5) * t[1] + t[2]);
     },
     4},
    {"clipped, masked and cast",
     [](const Tensors& t) {
       const Tensor low = ops::cast(ops::cast(t[0], DType::kBF16), t[0].dtype());
       const Tensor kept = ops::where(ops::greater(t[0], 0.3), low * 1.5, t[2]);
       return ops::maximum(kept, t[1]) * ops::clip(t[0], {.min = -1, .max = 1});
     },
     1},
};

Tensors inputs_of(int64_t rows, int64_t columns, DType t) {
  Tensors in;
  for (const Shape& s : {Shape{rows, columns}, Shape{columns}, Shape{columns}}) {
    in.push_back(ops::cast(ops::random_normal({.shape = s}), t));
  }
  return in;
}

void expect_near(const Tensors& got, const Tensors& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const auto a = ops::cast(got[i], DType::kF64).to_vector<double>();
    const auto b = ops::cast(want[i], DType::kF64).to_vector<double>();
    ASSERT_EQ(a.size(), b.size());
    double scale = 1e-3;
    for (const double v : b) scale = std::max(scale, std::abs(v));
    for (size_t k = 0; k < a.size(); ++k) {
      ASSERT_NEAR(a[k], b[k], tolerance * scale) << "result " << i << ", element " << k;
    }
  }
}

TEST(Fusion, FormulasGiveTheSameWithAndWithoutIt) {
  for (const Formula& f : kFormulas) {
    for (const auto& [rows, columns] :
         {std::pair<int64_t, int64_t>{5, 7}, {33, 40}, {70, 300}, {9, 1500}}) {
      for (const DType t : {DType::kF32, DType::kF64}) {
        SCOPED_TRACE(cat(f.name, " ", rows, "x", columns, " ", t));
        const auto both = [&](const Tensors& in) -> Tensors {
          ValueAndGrad r = value_and_grad(
              [&](const Tensors& x) {
                const Tensor y = f.run(x);
                return y.numel() == 1 ? y : ops::sum(y * ops::sin(x[0]));
              },
              in);
          r.grads.push_back(r.value);
          r.grads.push_back(f.run(in));
          return r.grads;
        };
        const Tensors in = inputs_of(rows, columns, t);
        Compiled on = compile(both, {.passes_off = "", .name = "on"});
        Compiled off = compile(both, {.passes_off = "all", .name = "off"});
        expect_near(on(in), off(in), t == DType::kF64 ? 1e-12 : 1e-4);
        EXPECT_LT(on.report().kernels, off.report().kernels);
      }
    }
  }
}

TEST(Fusion, FormulasTakeAsFewKernelsAsTheirReductionsAllow) {
  for (const Formula& f : kFormulas) {
    Compiled g = compile([&](const Tensors& in) -> Tensors { return {f.run(in)}; },
                         {.passes_off = "", .name = f.name});
    g(inputs_of(33, 40, DType::kF32));
    EXPECT_EQ(g.report().kernels, f.kernels) << f.name;
  }
}

// Six channels in blocks of sixteen: sums over the others stay in the blocked layout.
TEST(Fusion, BiasGradientsOfPaddedChannels) {
  for (const int64_t channels : {1, 6, 16, 37}) {
    const auto fn = [&](const Tensors& in) -> Tensors {
      return value_and_grad(
                 [](const Tensors& x) {
                   const Tensor y = ops::relu(ops::conv2d(x[0], x[1], x[2], {.pad = 1}));
                   const Tensor z = ops::conv2d(y, x[3], {}, {.pad = 1});
                   return ops::sum(z * z);
                 },
                 in)
          .grads;
    };
    Tensors in;
    for (const Shape& s :
         {Shape{3, 5, 9, 8}, Shape{channels, 5, 3, 3}, Shape{channels}, Shape{4, channels, 3, 3}}) {
      in.push_back(ops::random_normal({.shape = s}));
    }
    Compiled on = compile(fn, {.passes_off = "", .name = "on"});
    Compiled off = compile(fn, {.passes_off = "all", .name = "off"});
    SCOPED_TRACE(channels);
    expect_near(on(in), off(in), 1e-4);
  }
}

TEST(Fusion, TheSameBitsForAnyNumberOfThreads) {
  const Tensors in = inputs_of(300, 700, DType::kF32);
  const auto fn = [](const Tensors& t) -> Tensors {
    const Tensor y = ops::exp(t[0] * t[1]);
    return {ops::sum(y), ops::sum(y, {.axes = {0}}), ops::mean(y, {.axes = {1}})};
  };
  Compiled f = compile(fn, {.passes_off = "", .name = "f"});
  const Tensors two = f(in);
  const int threads = num_threads();
  set_num_threads(1);
  const Tensors one = f(in);
  set_num_threads(threads);
  EXPECT_EQ(f.report().kernels, 1);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].to_vector<float>(), two[i].to_vector<float>());
  }
}

}  // namespace
}  // namespace rutile::graph
