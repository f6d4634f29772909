// SPDX-License-Identifier: Apache-2.0
#include "rutile/autograd/checker.h"

#include <gmock/gmock.h>

#include "rutile/autograd/tape.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"

namespace rutile {
namespace {

using testing::HasSubstr;
using Tensors = std::vector<Tensor>;

Status infer_same(const CallMeta& call, TensorMeta* out) {
  out[0] = TensorMeta(call.in(0).shape, call.in(0).dtype);
  return Status();
}
TensorList compose_square(const void*, std::span<const Tensor> in) {
  return {ops::mul(in[0], in[0])};
}
// 2 x dy is right.
GradResult grad_without_two(GradCtx& ctx) { return {ops::mul(ctx.grad(), ctx.in(0))}; }
// Right in value, but x enters as a constant: the second derivative is lost.
GradResult grad_detached(GradCtx& ctx) {
  const Tensor copy = Tensor::from<double>(ctx.in(0).to_vector<double>(), ctx.in(0).shape());
  return {ops::mul(ctx.grad(), ops::mul(copy, 2.0))};
}
GradResult grad_of_unsaved(GradCtx& ctx) { return {ops::mul(ctx.grad(), ctx.in(0))}; }

constinit const OpDef kWrong = define({.name = "test_square_wrong",
                                       .inputs = {"x"},
                                       .infer = infer_same,
                                       .grad = grad_without_two,
                                       .saves = {"x"},
                                       .compose = compose_square,
                                       .doc = "A square with a wrong gradient."});
constinit const OpDef kDetached = define({.name = "test_square_detached",
                                          .inputs = {"x"},
                                          .infer = infer_same,
                                          .grad = grad_detached,
                                          .saves = {"x"},
                                          .compose = compose_square,
                                          .doc = "A square whose second derivative is lost."});
constinit const OpDef kUnsaved =
    define({.name = "test_square_unsaved",
            .inputs = {"x"},
            .infer = infer_same,
            .grad = grad_of_unsaved,
            .compose = compose_square,
            .doc = "A square whose gradient reads what is not saved."});

class CheckerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const OpDef* op : {&kWrong, &kDetached, &kUnsaved}) register_op(*op);
  }
  static Tensor point(const Shape& shape = {2, 3}) {
    std::vector<double> v(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < v.size(); ++i) v[i] = 0.3 + 0.1 * static_cast<double>(i);
    return Tensor::from<double>(v, shape);
  }
};

std::function<Tensors(const Tensors&)> call_of(const OpDef& op) {
  return [&op](const Tensors& x) { return Tensors{call1(op, nullptr, {x[0]})}; };
}

TEST_F(CheckerTest, AcceptsRightGradients) {
  const auto product = [](const Tensors& x) {
    return Tensors{ops::mul(x[0], x[1]), ops::mul(x[0], ops::mul(x[0], x[0]))};
  };
  const Status s = check_gradients(product, {point(), point({1, 3})}, {.second_order = true});
  EXPECT_TRUE(s.ok()) << s.message();
}

TEST_F(CheckerTest, NamesTheElementOfAWrongGradient) {
  const Status s = check_gradients(call_of(kWrong), {point()});
  EXPECT_EQ(s.code(), ErrorCode::kValue);
  EXPECT_THAT(s.message(), HasSubstr("input 0, element [0,0]"));
}

TEST_F(CheckerTest, FindsAWrongGradientInALargeTensor) {
  const auto one_wrong = [](const Tensors& x) {
    return Tensors{ops::mul(x[0], x[0]), call1(kWrong, nullptr, {x[1]})};
  };
  const Status s = check_gradients(one_wrong, {point({40, 5}), point({40, 5})});
  EXPECT_THAT(s.message(), HasSubstr("input 1"));
}

TEST_F(CheckerTest, RandomDirectionsSeeElementsThatNobodyPicked) {
  const auto fn = [](const Tensors& x) { return Tensors{call1(kWrong, nullptr, {x[0]})}; };
  const Status s = check_gradients(fn, {point({40, 5})}, {.max_elements = 0});
  EXPECT_THAT(s.message(), HasSubstr("random direction"));
}

TEST_F(CheckerTest, SecondOrderFindsALostDependency) {
  EXPECT_TRUE(check_gradients(call_of(kDetached), {point()}).ok());
  const Status s = check_gradients(call_of(kDetached), {point()}, {.second_order = true});
  EXPECT_THAT(s.message(), HasSubstr("gradient of the gradient"));
}

TEST_F(CheckerTest, PassesOnErrorsOfTheFunction) {
  const Status s = check_gradients(call_of(kUnsaved), {point()});
  EXPECT_EQ(s.code(), ErrorCode::kValue);
  EXPECT_THAT(s.message(), HasSubstr("not in .saves"));
}

TEST_F(CheckerTest, RefusesOtherTypes) {
  const Status s = check_gradients(call_of(kWrong), {Tensor::zeros({2})});
  EXPECT_EQ(s.code(), ErrorCode::kType);
  EXPECT_THAT(s.message(), HasSubstr("f32[2]"));
}

TEST_F(CheckerTest, RefusesAFunctionThatChanges) {
  int calls = 0;
  const auto fn = [&](const Tensors& x) { return Tensors{ops::mul(x[0], Scalar(++calls))}; };
  EXPECT_THAT(check_gradients(fn, {point()}).message(), HasSubstr("two calls"));
}

TEST_F(CheckerTest, ChecksEmptyTensors) {
  const Status s = check_gradients(call_of(kDetached), {Tensor::zeros({0, 3}, DType::kF64)});
  EXPECT_TRUE(s.ok()) << s.message();
}

}  // namespace
}  // namespace rutile
