// SPDX-License-Identifier: Apache-2.0
// Mistakes that users make in C++, and what they read: what is wrong, where, shapes, what helps.
#include <gmock/gmock.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "rutile/autograd/tape.h"
#include "rutile/core/error_topics.h"
#include "rutile/dataset/pipeline.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/conv_layers.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/losses.h"
#include "rutile/nn/optim/gradients.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/arrange.h"
#include "rutile/ops/custom.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/train/checkpoint.h"

namespace rutile::train {
namespace {

using Options = nn::optim::SGDOptions;

Tensor ones(const Shape& shape, DType t = DType::kF32) { return Tensor::full(shape, 1, t); }

class Net final : public nn::Cell {
 public:
  nn::Ptr<nn::Conv2d> conv = add<nn::Conv2d>("conv", 3, 4, Int2{3, 3});
  nn::Ptr<nn::Linear> fc = add<nn::Linear>("fc", 144, 10);
  bool flatten = true;
  std::string type_name() const override { return "Net"; }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = ops::relu(conv(x));
    return fc(flatten ? ops::reshape(y, {y.dim(0), -1}) : y);
  }
};

std::shared_ptr<nn::optim::SGD> sgd(nn::Cell& net, double lr = 0.1) {
  return std::make_shared<nn::optim::SGD>(net.parameters(), Options{.lr = lr});
}

Tensor classify(int64_t label, DType t = DType::kI64, const Shape& shape = {2}) {
  const auto net = nn::make<Net>();
  nn::TrainStep step(net, nn::CrossEntropyLoss(), sgd(*net));
  return step(ones({2, 3, 8, 8}), Tensor::full(shape, static_cast<double>(label), t)).loss;
}

Tensor forward(const Shape& x, bool flatten = true) {
  const auto net = nn::make<Net>();
  net->flatten = flatten;
  return net(ones(x));
}

Tensor branch_on_a_value(const Tensor& x) { return ops::sum(x).item() > 0 ? x : ops::neg(x); }

void replace_a_parameter() {
  const auto net = nn::make<nn::Linear>(4, 2);
  nn::TrainStep step(net, nn::MSELoss(), sgd(*net));
  net->replace_parameter("weight", std::make_shared<nn::Parameter>("weight", ones({2, 4})));
  step(ones({3, 4}), ones({3, 2}));
}

// A step of a network with `how` changed, in both modes alike.
void train(const std::function<void(nn::Cell&, nn::StepOptions&, nn::LossFn&)>& how,
           nn::Mode mode) {
  const auto net = nn::make<nn::Linear>(4, 2);
  nn::LossFn loss = nn::MSELoss();
  nn::StepOptions options{.mode = mode};
  how(*net, options, loss);
  nn::TrainStep step(net, loss, sgd(*net), options);
  step(ones({3, 4}), ones({3, 2}));
}

OpDef const& scaled_op(const char* name, GradResult (*grad)(GradCtx&)) {
  CustomOp op;
  op.name = name;
  op.inputs = {"x"};
  op.compose = [](const CustomAttrs&, std::span<const Tensor> in) {
    return TensorList{in[0] * 2.0};
  };
  op.grad = grad;
  return register_op(op);
}
void differentiate(const OpDef& op) {
  value_and_grad([&](const std::vector<Tensor>& in) { return ops::sum(call_op(op, {in[0]})[0]); },
                 {ones({3})});
}

struct Mistake {
  const char* name;
  std::function<void()> make;
  ErrorCode code;
  std::vector<std::string> parts;
};

const std::vector<Mistake>& mistakes() {
  constexpr ErrorCode kValue = ErrorCode::kValue, kType = ErrorCode::kType,
                      kIndex = ErrorCode::kIndex, kRuntime = ErrorCode::kRuntime;
  static const std::vector<Mistake> list{
      {"matmul",
       [] {
         ops::matmul(ones({4, 8}), ones({4, 8}));
       },
       kValue,
       {"[matmul] inner sizes differ: 8 and 4", "mistakes_test.cc:"}},
      {"broadcast",
       [] {
         ops::add(ones({4, 8}), ones({4, 7}));
       },
       kValue,
       {"[add] shapes [4,8] and [4,7] do not broadcast", "mistakes_test.cc:"}},
      {"channels",
       [] {
         forward({2, 8, 8, 3});
       },
       kValue,
       {"[conv2d] weight expects 3 input channels, got 8", "in Cell Net.conv"}},
      {"one image",
       [] {
         forward({3, 8, 8});
       },
       kValue,
       {"one image needs a first dimension of 1", "in Cell Net.conv"}},
      {"no flatten",
       [] {
         forward({2, 3, 8, 8}, false);
       },
       kValue,
       {"[linear] weight expects 144 input features", "in Cell Net.fc"}},
      {"reshape",
       [] {
         ops::reshape(ones({4, 8}), {5, 5});
       },
       kValue,
       {"[4,8] (32 elements) to [5,5] (25 elements)"}},
      {"concat",
       [] {
         ops::concat({{ones({4, 8}), ones({2, 3})}}, 1);
       },
       kValue,
       {"xs[1] of shape [2,3] does not join [4,8]"}},
      {"axis",
       [] {
         ops::sum(ones({4, 8}), {.axes = {2}});
       },
       kIndex,
       {"axis 2 is out of range for rank 2"}},
      {"negative power",
       [] { ops::pow(ones({2}, DType::kI32), -1); },
       kValue,
       {"integers have no negative powers"}},
      {"ids",
       [] {
         ops::gather(ones({4, 8}), Tensor::scalar(7, DType::kI64));
       },
       kIndex,
       {"index 7", "expects -4 to 3"}},
      {"float ids",
       [] {
         ops::gather(ones({4, 8}), ones({2}));
       },
       kType,
       {"expects indices of i32 or i64, got f32"}},
      {"item",
       [] {
         ones({4, 8}).item();
       },
       kValue,
       {"exactly one element, got shape [4,8]"}},
      {"type of elements", [] { ones({2}).data_as<int32_t>(); }, kType, {"f32", "i32"}},
      {"number of elements",
       [] {
         Tensor::from<float>({1, 2, 3}, {2, 2});
       },
       kValue,
       {"3", "[2,2]"}},
      {"label range",
       [] { classify(10); },
       kIndex,
       {"label 10 at [0] is out of range: expects 0 to 9"}},
      {"label dtype", [] { classify(1, DType::kBool); }, kType, {"labels"}},
      {"label shape",
       [] {
         classify(1, DType::kI64, {2, 1});
       },
       kValue,
       {"labels expects shape [2], got [2,1]"}},
      {"groups",
       [] {
         nn::make<nn::Conv2d>(3, 4, Int2{3, 3}, nn::Conv2dOptions{.groups = 2});
       },
       kValue,
       {"groups"}},
      {"dropout", [] { nn::make<nn::Dropout>(1.5); }, kValue, {"1.5"}},
      {"no parameters",
       [] { nn::optim::SGD(std::vector<nn::ParameterPtr>(), Options{}); },
       kValue,
       {"parameters"}},
      {"learning rate", [] { sgd(*nn::make<Net>(), -0.1); }, kValue, {"-0.1"}},
      {"replaced parameter", replace_a_parameter, kValue, {"replaced"}},
      {"gradient of a vector",
       [] {
         const Tensor x = ones({3});
         GradScope scope;
         scope.watch(x);
         scope.gradient(ops::mul(x, 2.0), {x});
       },
       kValue,
       {"sum, mean", "dy"}},
      {"not watched",
       [] {
         const Tensor x = ones({3});
         GradScope scope;
         scope.gradient(ops::sum(x), {x});
       },
       kValue,
       {"watch"}},
      {"value in a trace",
       [] {
         graph::compile([](const std::vector<Tensor>& x) {
           return std::vector<Tensor>{branch_on_a_value(x[0])};
         })({ones({3})});
       },
       kRuntime,
       {"needs the value of a tensor", "It comes from sum", "RUTILE-E0101"}},
      {"missing weights",
       [] {
         nn::make<nn::Linear>(4, 2)->load_state_dict({{"weigth", ones({2, 4})}});
       },
       kValue,
       {"weight", "weigth"}},
      {"shape of weights",
       [] {
         nn::make<nn::Linear>(4, 2)->load_state_dict(
             {{"weight", ones({4, 2})}, {"bias", ones({2})}});
       },
       kValue,
       {"weight", "[2,4]", "[4,2]"}},
      {"no file",
       [] { load_weights("/nonexistent/net.ckpt"); },
       ErrorCode::kNotFound,
       {"/nonexistent/net.ckpt"}},
      {"kind of file",
       [] { save_weights("net.pt", {}); },
       kValue,
       {"net.pt", ".ckpt", ".safetensors"}},
      {"no data",
       [] { dataset::mnist(dataset::Split::kTrain, "/nonexistent"); },
       ErrorCode::kNotFound,
       {"/nonexistent"}},
      {"beta",
       [] { nn::optim::Adam(nn::make<Net>()->parameters(), nn::optim::AdamOptions{.beta1 = 1.5}); },
       kValue,
       {"Adam: beta1 expects 0 <= beta1 < 1, got 1.5"}},
      {"weight decay",
       [] { nn::optim::SGD(nn::make<Net>()->parameters(), Options{.weight_decay = -1}); },
       kValue,
       {"SGD: weight_decay expects 0 or more, got -1"}},
      {"a Cell in itself",
       [] {
         const auto outer = nn::make<nn::Sequential>(), inner = nn::make<nn::Sequential>();
         outer->append(inner);
         inner->append(outer);
       },
       kValue,
       {"Cell \"0\" cannot be a child of Sequential, which stands inside it as 0"}},
      {"gradient of an own op reads too much",
       [] {
         differentiate(scaled_op("mistakes_unsaved",
                                 [](GradCtx& c) { return GradResult{c.grad() * c.in(0)}; }));
       },
       kValue,
       {"[mistakes_unsaved] its gradient reads input x, which is not in .saves"}},
      {"gradient of an own op in another shape",
       [] {
         differentiate(scaled_op("mistakes_shape",
                                 [](GradCtx& c) { return GradResult{ops::sum(c.grad())}; }));
       },
       kValue,
       {"[mistakes_shape] its gradient of input x is f32[]@cpu, expected f32[3]@cpu"}},
      {"folder for checkpoints",
       [] { CheckpointFolder({.path = "/proc/nowhere"}).save(1, {}); },
       ErrorCode::kIo,
       {"checkpoint folder '/proc/nowhere'"}},
      {"batch size",
       [] { dataset::Pipeline(dataset::synthetic_images({}), {.batch_size = 0}); },
       kValue,
       {"batch_size", "0"}},
  };
  return list;
}

TEST(Mistakes, AreNamedWithPlaceAndCure) {
  for (const Mistake& m : mistakes()) {
    SCOPED_TRACE(m.name);
    try {
      m.make();
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_STREQ(error_code_name(e.code()), error_code_name(m.code)) << e.message();
      for (const std::string& part : m.parts) {
        EXPECT_THAT(e.message(), ::testing::HasSubstr(part));
      }
      EXPECT_LT(e.message().size(), 900u);
      EXPECT_FALSE(explain_error(topic_of(e).code).empty());
    }
  }
}

TEST(Mistakes, OfTrainingStepsAreNamedInBothModes) {
  using How = std::function<void(nn::Cell&, nn::StepOptions&, nn::LossFn&)>;
  const auto loss_of = [](const nn::LossFn& fn) {
    return How([fn](nn::Cell&, nn::StepOptions&, nn::LossFn& loss) { loss = fn; });
  };
  const std::vector<std::pair<How, const char*>> list{
      {loss_of([](const Tensor&, const Tensor&) { return Tensor(); }),
       "what the loss function returned is an empty Tensor"},
      {loss_of([](const Tensor&, const Tensor& y) { return ops::mean(y); }),
       "the loss depends on no parameter that is trained"},
      {loss_of([](const Tensor& x, const Tensor&) {
         return ops::cast(ops::sum(ops::argmax(x)), DType::kF32);
       }),
       "the loss depends on no parameter that is trained"},
      {[](nn::Cell& net, nn::StepOptions&, nn::LossFn&) { net.freeze(); },
       "all parameters of the SGD are frozen"},
      {[](nn::Cell&, nn::StepOptions& o, nn::LossFn&) { o.clip_norm = -1; },
       "clip_norm expects a positive norm, or 0 for no clipping, got -1"},
      {[](nn::Cell&, nn::StepOptions& o, nn::LossFn&) {
         o.ema = std::make_shared<nn::optim::EMA>(nn::make<nn::Linear>(4, 2)->parameters());
       },
       "the averages are of a parameter weight that is none of this network's"},
      {[](nn::Cell& net, nn::StepOptions&, nn::LossFn&) {
         net.add_backward_hook([](nn::Cell&, int, const Tensor& g) { return ops::sum(g); });
       },
       "a backward hook returned f32[]@cpu for the gradient f32[3,2]@cpu of output 0 | in Cell "
       "Linear"},
  };
  for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
    for (const auto& [how, message] : list) {
      try {
        train(how, mode);
        ADD_FAILURE() << "no error: " << message;
      } catch (const Error& e) {
        EXPECT_STREQ(error_code_name(e.code()), "value error") << e.message();
        EXPECT_THAT(e.message(), ::testing::HasSubstr(message));
      }
    }
    const auto net = nn::make<nn::Linear>(4, 2);
    nn::TrainStep step(net, nn::MSELoss(), sgd(*net), {.mode = mode});
    for (const bool first : {true, false}) {
      try {
        step(first ? Tensor() : ones({3, 4}), Tensor());
        ADD_FAILURE() << "no error";
      } catch (const Error& e) {
        EXPECT_EQ(e.message(), cat("the ", first ? "first" : "second",
                                   " input of a TrainStep is an empty Tensor"));
      }
    }
  }
}

}  // namespace
}  // namespace rutile::train
