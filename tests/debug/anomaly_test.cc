// SPDX-License-Identifier: Apache-2.0
#include "rutile/debug/anomaly.h"

#include <gmock/gmock.h>

#include <cmath>
#include <memory>
#include <thread>

#include "rutile/autograd/tape.h"
#include "rutile/debug/special_numbers.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/control.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::debug {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
constexpr float kInf = std::numeric_limits<float>::infinity();

// The text of the error that f throws; empty without one.
std::string error_of(const std::function<void()>& f) {
  try {
    f();
    return "";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kValue) << e.message();
    return e.message();
  }
}

class Bad : public nn::Cell {
 public:
  std::string type_name() const override { return "Bad"; }

 protected:
  Tensor construct(const Tensor& x) override { return ops::log(x - 2.0); }
};
class Net : public nn::Cell {
 public:
  std::string type_name() const override { return "Net"; }

 protected:
  Tensor construct(const Tensor& x) override { return bad_(fc_(x)); }

 private:
  nn::Ptr<nn::Linear> fc_ = add<nn::Linear>("fc", 3, 4);
  nn::Ptr<Bad> bad_ = add<Bad>("bad");
};

TEST(Anomaly, NamesOpElementCellAndLine) {
  const Tensor x = Tensor::from<float>({1, -1, 0}, {3});
  EXPECT_EQ(error_of([&] { ops::log(x); }), "") << "nothing without a scope";
  DetectAnomaly scope;
  const int line = __LINE__ + 1;
  const std::string text = error_of([&] { ops::log(x); });
  EXPECT_THAT(text,
              AllOf(HasSubstr("[log] gives 1 nan and 1 inf among 3 elements, the first at [1]"),
                    HasSubstr("its inputs are finite"), HasSubstr("x f32[3]@cpu"),
                    HasSubstr(cat("anomaly_test.cc:", line))));
  const Tensor nan = Tensor::from<float>({1, std::nanf(""), 0}, {3});
  EXPECT_THAT(error_of([&] { ops::exp(nan); }), HasSubstr("input x has 1 nan among 3 elements"));
  EXPECT_EQ(error_of([&] { ops::exp(x); }), "");
  EXPECT_EQ(error_of([&] { ops::relu(ops::slice(nan, {0}, {1})); }), "") << "a view looks away";
}

TEST(Anomaly, OptionsAndNesting) {
  const Tensor x = Tensor::from<float>({0}, {1});
  {
    DetectAnomaly nan_only({.inf = false});
    EXPECT_EQ(error_of([&] { ops::log(x); }), "");
  }
  EXPECT_EQ(error_of([&] { ops::log(x); }), "") << "it ended with its scope";
  DetectAnomaly again;
  EXPECT_THAT(error_of([&] { ops::log(x); }), HasSubstr("1 inf"));
  EXPECT_THROW(ops::matmul(x, Tensor::full({3}, 1.0)),
               Error);  // a failed call leaves nothing behind
  EXPECT_THAT(error_of([&] { ops::log(x); }), HasSubstr("1 inf"));
}

TEST(Anomaly, BackwardNamesTheForwardCall) {
  DetectAnomaly scope;
  const Tensor x = Tensor::from<float>({4, 0}, {2});
  GradScope grad;
  grad.watch(x);
  const int line = __LINE__ + 1;
  const Tensor y = ops::sum(ops::sqrt(x));
  const std::string text = error_of([&] { grad.gradient(y, {x}); });
  EXPECT_THAT(text, HasSubstr(cat("in the gradient of sqrt, called at tests/debug/anomaly_test.cc:",
                                  line)));
}

TEST(Anomaly, CompiledFunctionsNameTheirParts) {
  graph::Compiled f = graph::compile([](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{ops::sum(ops::log(in[0] + 1.0) * 2.0)};
  });
  const Tensor fine = Tensor::from<float>({1, 2}, {2}), bad = Tensor::from<float>({1, -3}, {2});
  f({bad});
  DetectAnomaly scope;
  EXPECT_EQ(error_of([&] { f({fine}); }), "");
  EXPECT_THAT(error_of([&] { f({bad}); }),
              AllOf(HasSubstr("nan"), HasSubstr("log at tests/debug/anomaly_test.cc")));
  EXPECT_EQ(error_of([&] { f({fine}); }), "") << "the session is as good as before";
}

TEST(Anomaly, LooksIntoCompiledBodies) {
  int line = 0;
  graph::Compiled f = graph::compile([&](const std::vector<Tensor>& in) {
    return ops::scan(
               [&](const std::vector<Tensor>& c, const std::vector<Tensor>& x) -> ops::ScanStep {
                 line = __LINE__ + 1;
                 const Tensor y = ops::log(x[0]);
                 return {{c[0] + ops::relu(y)}, {}};  // which hides a NaN of log
               },
               {in[0]}, {in[1]})
        .carry;
  });
  const Tensor zero = Tensor::full({2}, 0.0);
  const Tensor fine = Tensor::full({4, 2}, 2.0);
  const Tensor bad = Tensor::from<float>({1, 2, 1, 2, 1, -2, 1, 2}, {4, 2});
  f({zero, fine});
  DetectAnomaly scope;
  EXPECT_EQ(error_of([&] { f({zero, fine}); }), "");
  EXPECT_THAT(error_of([&] {
                f({zero, bad});
              }),
              AllOf(HasSubstr("nan"), HasSubstr(cat("log at tests/debug/anomaly_test.cc:", line)),
                    HasSubstr("in iteration 2")));
  EXPECT_EQ(error_of([&] { f({zero, fine}); }), "") << "the session is as good as before";
}

TEST(Anomaly, LooksIntoRecomputedBodies) {
  DetectAnomaly scope;
  const Tensor x = Tensor::from<float>({1, -1}, {2});
  GradScope grad;
  grad.watch(x);
  EXPECT_THAT(error_of([&] {
                ops::recompute(
                    [](const std::vector<Tensor>& in) {
                      return std::vector<Tensor>{ops::relu(ops::log(in[0]))};
                    },
                    {x});
              }),
              HasSubstr("[log] gives 1 nan"));
}

class AnomalyInSteps : public ::testing::TestWithParam<nn::Mode> {};
INSTANTIATE_TEST_SUITE_P(Modes, AnomalyInSteps,
                         ::testing::Values(nn::Mode::kEager, nn::Mode::kGraph), [](const auto& p) {
                           return p.param == nn::Mode::kEager ? "eager" : "graph";
                         });

TEST_P(AnomalyInSteps, NamesTheCellBeforeParametersAreWritten) {
  auto net = nn::make<Net>();
  auto sgd = std::make_shared<nn::optim::SGD>(net->parameters(), nn::optim::SGDOptions{.lr = 1});
  nn::TrainStep step(net, nn::MSELoss(), sgd, {.mode = GetParam()});
  const Tensor x = Tensor::full({2, 3}, 0.01), y = Tensor::full({2, 4}, 1.0);
  const auto weights = [&] { return net->state_dict().begin()->second.to_vector<float>(); };
  const std::vector<float> before = weights();
  {
    DetectAnomaly scope;
    EXPECT_THAT(error_of([&] { step(x, y); }), AllOf(HasSubstr("nan"), HasSubstr("bad"),
                                                     HasSubstr("log"), Not(HasSubstr("backward"))));
  }
  EXPECT_EQ(weights(), before);
  step(x, y);  // without a scope it goes through
  EXPECT_TRUE(std::isnan(weights()[0]));
}

TEST(SpecialNumbers, AllFormatsAndPlacements) {
  for (const DType t : {DType::kF16, DType::kBF16, DType::kF32, DType::kF64}) {
    const Tensor x =
        ops::cast(Tensor::from<float>({0, kInf, -kInf, std::nanf(""), 1e4f, -0.f}, {2, 3}), t);
    const SpecialNumbers s = count_special(x.meta(), x.data(), true, true);
    EXPECT_EQ(s.nan, 1) << dtype_name(t);
    EXPECT_EQ(s.inf, 2);
    EXPECT_EQ(to_string(s, x.meta()), "1 nan and 2 inf among 6 elements, the first at [0,1]");
    EXPECT_EQ(count_special(x.meta(), x.data(), true, false).first, 3);
    const Tensor view = ops::slice(x, {0, 0}, {2, 1});  // strided: 0 and nan
    EXPECT_EQ(count_special(view.meta(), view.data(), true, true).nan, 1);
    EXPECT_EQ(count_special(view.meta(), view.data(), true, true).inf, 0);
  }
  const Tensor i = Tensor::full({3}, -1, DType::kI32);
  EXPECT_EQ(count_special(i.meta(), i.data(), true, true).first, -1);
  const Tensor none = Tensor::empty({0, 3});
  EXPECT_EQ(count_special(none.meta(), nullptr, true, true).first, -1);
}

TEST(Anomaly, ScopesEndInAnyOrderAndThread) {
  const Tensor x = Tensor::from<float>({-1}, {1});
  auto a = std::make_unique<DetectAnomaly>(), b = std::make_unique<DetectAnomaly>();
  a.reset();
  EXPECT_THAT(error_of([&] { ops::log(x); }), HasSubstr("[log] gives 1 nan"));
  b.reset();
  EXPECT_EQ(error_of([&] { ops::log(x); }), "");
  EXPECT_EQ(call_modes().run, nullptr);
  a = std::make_unique<DetectAnomaly>();
  std::thread([&] { a.reset(); }).join();
  EXPECT_EQ(error_of([&] { ops::log(x); }), "") << "ended elsewhere";
  DetectAnomaly again;
  EXPECT_THAT(error_of([&] { ops::log(x); }), HasSubstr("[log] gives 1 nan"));
}

}  // namespace
}  // namespace rutile::debug
