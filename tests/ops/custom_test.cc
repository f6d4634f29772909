// SPDX-License-Identifier: Apache-2.0
// Ops registered at run time, and the errors of definitions that do not fit together. Libraries in
// C: tests/install/test_op_library.py.
#include "rutile/ops/custom.h"

#include <gmock/gmock.h>

#include <cmath>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/index.h"
#include "rutile/ops/linalg.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile {
namespace {

using ::testing::HasSubstr;

void expect_error(ErrorCode code, const std::string& part, const std::function<void()>& f) {
  try {
    f();
    ADD_FAILURE() << "no error with " << part;
  } catch (const Error& e) {
    EXPECT_STREQ(error_code_name(e.code()), error_code_name(code)) << e.message();
    EXPECT_THAT(e.message(), HasSubstr(part));
  }
}

CustomOp swish(const std::string& name) {
  CustomOp op;
  op.name = name;
  op.inputs = {"x"};
  op.attrs = {{"beta", 1.0},
              {"times", int64_t{1}},
              {"label", std::string("a")},
              {"negate", false},
              {"sizes", Dims{1, 2}}};
  op.elementwise = true;
  op.compose = [](const CustomAttrs& a, std::span<const Tensor> in) {
    Tensor y = in[0] * ops::sigmoid(in[0] * a.number("beta"));
    for (int64_t i = 1; i < a.integer("times"); ++i) y += in[0];
    return TensorList{a.flag("negate") ? -y : y};
  };
  return op;
}

// (x . w) along the last dimension, with a kernel of its own for f64.
CustomOp row_dot(const std::string& name) {
  CustomOp op;
  op.name = name;
  op.inputs = {"x", "w", "bias?"};
  op.infer = [](const CustomCall& c) {
    const TensorMeta &x = c.in(0), &w = c.in(1);
    if (x.rank() != 2 || w.rank() != 1 || x.dim(1) != w.dim(0)) {
      throw Error(ErrorCode::kValue,
                  cat("expects [n, k] and [k], got ", x.shape, " and ", w.shape));
    }
    if (x.dtype != DType::kF64) throw Error(ErrorCode::kType, "takes f64");
    return std::vector<TensorMeta>{TensorMeta({x.dim(0)}, x.dtype)};
  };
  op.kernel = [](const CustomCall& c, const KernelArgs& args) {
    const auto *x = static_cast<const double*>(args.in[0]),
               *w = static_cast<const double*>(args.in[1]);
    const auto* bias = static_cast<const double*>(args.in[2]);
    auto* y = static_cast<double*>(args.out[0]);
    const int64_t n = c.in(0).dim(0), k = c.in(0).dim(1);
    for (int64_t i = 0; i < n; ++i) {
      y[i] = bias ? bias[0] : 0;
      for (int64_t j = 0; j < k; ++j) y[i] += x[i * k + j] * w[j];
      if (std::isnan(y[i])) throw Error(ErrorCode::kValue, "met a NaN");
    }
  };
  op.grad = [](GradCtx& ctx) {
    GradResult g;
    g.resize(ctx.num_inputs());
    const Tensor dy = ops::expand_dims(ctx.grad(), 1);
    if (ctx.needs(0)) g[0] = dy * ctx.in(1);
    if (ctx.needs(1)) g[1] = ops::sum(dy * ctx.in(0), {.axes = {0}});
    if (ctx.num_inputs() > 2 && ctx.needs(2)) g[2] = ops::sum(ctx.grad());
    return g;
  };
  op.saves = {"x", "w"};
  return op;
}

TEST(Custom, CompositionRunsDifferentiatesAndFuses) {
  const OpDef& op = register_op(swish("custom_swish"));
  EXPECT_EQ(find_op("custom_swish"), &op);
  const Tensor x = Tensor::from<float>({-1, 0, 2}, {3});
  const auto eager = [&](const std::vector<Tensor>& in) {
    const Tensor y = call_op(op, {in[0] * 2.0}, {{"beta", 0.5}, {"times", int64_t{2}}})[0];
    return std::vector<Tensor>{ops::relu(y + 1.0)};
  };
  const std::vector<float> want = eager({x})[0].to_vector<float>();
  EXPECT_NEAR(want[2], 4 / (1 + std::exp(-2.0)) + 4 + 1, 1e-5);
  graph::Compiled f = graph::compile(eager);
  EXPECT_EQ(f({x})[0].to_vector<float>(), want);
  EXPECT_EQ(f.report().kernels, 1) << "the composition fuses with its neighbours";
  const auto r = value_and_grad(
      [&](const std::vector<Tensor>& in) { return ops::sum(call_op(op, in)[0]); }, {x});
  const double s = 1 / (1 + std::exp(-2.0));
  EXPECT_NEAR(r.grads[0].to_vector<float>()[2], s + 2 * s * (1 - s), 1e-5);
}

TEST(Custom, AttributesAreCheckedComparedAndPrinted) {
  const OpDef& op = register_op(swish("custom_attrs"));
  AnyAttrs a(op.attrs, nullptr), b(op.attrs, nullptr);
  EXPECT_TRUE(op.attrs->equal(a.get(), b.get()));
  EXPECT_EQ(op.attrs->hash(a.get()), op.attrs->hash(b.get()));
  EXPECT_TRUE(op.attrs->set(b.get_mutable(), 0, int64_t{3}).ok()) << "an integer for a number";
  EXPECT_FALSE(op.attrs->equal(a.get(), b.get()));
  EXPECT_EQ(attrs_to_string(*op.attrs, b.get()), "beta=3.0");
  EXPECT_FALSE(op.attrs->set(b.get_mutable(), 1, 0.5).ok());
  const Tensor x = Tensor::full({2}, 1.0);
  expect_error(ErrorCode::kType, "label", [&] { call_op(op, {x}, {{"label", int64_t{1}}}); });
  expect_error(ErrorCode::kValue, "no attribute gamma", [&] {
    call_op(op, {x}, {{"gamma", 1.0}});
  });
  const CustomAttrs read(op, b.get());
  EXPECT_EQ(read.number("beta"), 3);
  EXPECT_EQ(read.text("label"), "a");
  EXPECT_EQ(read.dims("sizes"), (Dims{1, 2}));
  expect_error(ErrorCode::kType, "no bool", [&] { read.flag("beta"); });
}

TEST(Custom, KernelRunsEagerlyAndCompiledWithGradient) {
  const OpDef& op = register_op(row_dot("custom_row_dot"));
  const Tensor x = Tensor::from<double>({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor w = Tensor::from<double>({1, -1, 2}, {3}), bias = Tensor::scalar(0.5, DType::kF64);
  EXPECT_EQ(call_op(op, {x, w})[0].to_vector<double>(), (std::vector<double>{5, 11}));
  // A transposed view is copied first.
  const Tensor turned = ops::transpose(Tensor::from<double>({1, 4, 2, 5, 3, 6}, {3, 2}));
  EXPECT_EQ(call_op(op, {turned, w, bias})[0].to_vector<double>(),
            (std::vector<double>{5.5, 11.5}));
  graph::Compiled f = graph::compile([&](const std::vector<Tensor>& in) {
    const auto g = value_and_grad(
        [&](const std::vector<Tensor>& v) {
          return ops::sum(ops::square(call_op(op, {v[0], v[1], v[2]})[0]));
        },
        in);
    return std::vector<Tensor>{g.value, g.grads[0], g.grads[1], g.grads[2]};
  });
  const std::vector<Tensor> got = f({x, w, bias});
  EXPECT_EQ(got[0].item(), 5.5 * 5.5 + 11.5 * 11.5);
  EXPECT_EQ(got[3].item(), 2 * (5.5 + 11.5));
  EXPECT_EQ(got[1].to_vector<double>()[0], 2 * 5.5);
  expect_error(ErrorCode::kValue, "[custom_row_dot] expects [n, k] and [k]", [&] {
    call_op(op, {x, bias});
  });
  expect_error(ErrorCode::kType, "takes f64", [&] {
    call_op(op, {ops::cast(x, DType::kF32), ops::cast(w, DType::kF32)});
  });
  const Tensor nan = Tensor::full({2, 3}, std::nan(""), DType::kF64);
  expect_error(ErrorCode::kValue, "met a NaN", [&] { call_op(op, {nan, w}); });
  expect_error(ErrorCode::kValue, "met a NaN", [&] { f({nan, w, bias}); });
}

TEST(Custom, StandsBetweenConvolutionsInBlockedLayouts) {
  CustomOp twice;
  twice.name = "custom_twice";
  twice.inputs = {"x"};
  twice.elementwise = true;
  twice.kernel = [](const CustomCall& c, const KernelArgs& args) {
    for (int64_t i = 0; i < c.in(0).numel(); ++i) {
      static_cast<float*>(args.out[0])[i] = 2 * static_cast<const float*>(args.in[0])[i] + 1;
    }
  };
  const OpDef& op = register_op(std::move(twice));
  auto first = nn::make<nn::Conv2d>(3, 37, Int2(3)), second = nn::make<nn::Conv2d>(37, 6, Int2(3));
  const auto eager = [&](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{second(call_op(op, {ops::relu(first(in[0]))})[0])};
  };
  const Tensor x =
      ops::cos(ops::reshape(ops::arange(0, 2 * 3 * 8 * 8, 1, DType::kF32), {2, 3, 8, 8}));
  const std::vector<float> want = eager({x})[0].to_vector<float>();
  graph::Compiled f = graph::compile(eager);
  const std::vector<float> got = f({x})[0].to_vector<float>();
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-4);
}

TEST(Custom, WrongDefinitionsAreRefused) {
  const auto refused = [](const std::string& part, const std::function<void(CustomOp&)>& spoil) {
    CustomOp op = swish("custom_refused");
    spoil(op);
    expect_error(ErrorCode::kValue, part, [&] { register_op(op); });
    EXPECT_EQ(find_op("custom_refused"), nullptr);
  };
  refused("no name for an op", [](CustomOp& op) { op.name = "two words"; });
  refused("no name for an op", [](CustomOp& op) { op.name = ""; });
  refused("registered already", [](CustomOp& op) { op.name = "add"; });
  refused("at least one input", [](CustomOp& op) { op.inputs.clear(); });
  refused("at least one output", [](CustomOp& op) { op.outputs.clear(); });
  refused("13 inputs", [](CustomOp& op) { op.inputs.assign(13, "x"); });
  refused("are named x", [](CustomOp& op) { op.inputs = {"x", "x"}; });
  refused("are named beta", [](CustomOp& op) { op.outputs = {"beta"}; });
  refused("only the last", [](CustomOp& op) { op.inputs = {"xs*", "y"}; });
  refused("optional", [](CustomOp& op) { op.inputs = {"x?", "y"}; });
  refused("neither a kernel", [](CustomOp& op) { op.compose = nullptr; });
  refused("saves z", [](CustomOp& op) { op.saves = {"z"}; });
  refused("has no default", [](CustomOp& op) { op.attrs.push_back({"none", {}}); });
  refused("needs infer", [](CustomOp& op) {
    op.compose = nullptr;
    op.elementwise = false;
    op.kernel = [](const CustomCall&, const KernelArgs&) {};
  });
}

TEST(Custom, FunctionsThatBreakTheirWordAreErrors) {
  CustomOp op = swish("custom_two_outputs");
  op.outputs = {"y", "z"};
  const OpDef& two = register_op(op);
  const Tensor x = Tensor::full({2}, 1.0);
  expect_error(ErrorCode::kInternal, "compose gives every output", [&] { call_op(two, {x}); });
  op.name = "custom_infer_count";
  op.infer = [](const CustomCall& c) { return std::vector<TensorMeta>{c.in(0)}; };
  const OpDef& one = register_op(op);
  expect_error(ErrorCode::kValue, "infer gives 1 outputs, 2 are defined",
               [&] { call_op(one, {x}); });
  op.name = "custom_infer_throws";
  op.infer = [](const CustomCall&) -> std::vector<TensorMeta> { throw std::runtime_error("boom"); };
  const OpDef& throws = register_op(op);
  expect_error(ErrorCode::kRuntime, "its infer failed: boom", [&] { call_op(throws, {x}); });
  op.name = "custom_infer_huge";
  op.infer = [](const CustomCall&) {
    return std::vector<TensorMeta>(2, TensorMeta({int64_t{1} << 40, 1 << 20}, DType::kF32));
  };
  const OpDef& huge = register_op(op);
  EXPECT_THROW(call_op(huge, {x}), Error);
}

TEST(CustomOp, CompositionsTellTheirMetasWithoutRunning) {
  CustomOp op;
  op.name = "test_inverse_noise";
  op.inputs = {"x"};
  op.compose = [](const CustomAttrs&, std::span<const Tensor> in) {
    return TensorList{ops::inverse(in[0]) + ops::random_uniform({.shape = in[0].shape()})};
  };
  const OpDef& noise = register_op(std::move(op));
  const Tensor x = Tensor::from<float>({2, 0, 0, 2}, {2, 2});
  const auto drawn = [&] {
    set_seed(3);
    call_op(noise, {x});
    return ops::random_uniform({.shape = {1}}).item<float>();
  };
  const float first = drawn();
  EXPECT_EQ(drawn(), first) << "the first call draws as often as the others";

  CustomOp reads;
  reads.name = "test_reads_values";
  reads.inputs = {"x"};
  reads.compose = [](const CustomAttrs&, std::span<const Tensor> in) {
    return TensorList{in[0] * ops::sum(in[0]).item<float>()};
  };
  const OpDef& reader = register_op(std::move(reads));
  expect_error(ErrorCode::kRuntime, "give the op an infer", [&] { call_op(reader, {x}); });
}

}  // namespace
}  // namespace rutile
