// SPDX-License-Identifier: Apache-2.0
// Whatever a compiled step depends on may change: the next call sees it. Each change is compared
// with the same network run eagerly.
#include <gtest/gtest.h>

#include <functional>

#include "rutile/core/thread.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/optim/optimizer.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::nn {
namespace {

using Tensors = std::vector<Tensor>;

Tensor normal(const Shape& shape, uint64_t seed) {
  return ops::random_normal(Tensor::from<uint64_t>({seed}, {1}), {.shape = shape});
}

double distance(const Tensor& a, const Tensor& b) {
  return ops::max(ops::abs(ops::cast(a, DType::kF64) - ops::cast(b, DType::kF64))).item();
}

class Net final : public Cell {
 public:
  Ptr<Linear> a = add<Linear>("a", 6, 8);
  Ptr<BatchNorm2d> norm = add<BatchNorm2d>("norm", 8);
  Ptr<Linear> b = add<Linear>("b", 8, 3);
  double gain = 1;
  std::string type_name() const override { return "Net"; }
  void set_gain(double g) {
    gain = g;
    changed();
  }
  void replace_tail(CellPtr cell) {
    replace_cell("b", cell);
    b = Ptr<Linear>(std::static_pointer_cast<Linear>(cell));
  }

 protected:
  Tensor construct(const Tensor& x) override { return b(ops::relu(norm(a(x)))) * gain; }
};

// The changes, each on a network that both steps share.
const std::pair<const char*, std::function<void(Net&)>> kChanges[] = {
    {"attribute", [](Net& n) { n.set_gain(3); }},
    {"pre-hook",
     [](Net& n) {
       n.b->add_pre_hook([](Cell&, const Tensors& in) { return Tensors{in[0] * 2.0}; });
     }},
    {"post-hook",
     [](Net& n) {
       n.add_post_hook(
           [](Cell&, const Tensors&, const Tensors& out) { return Tensors{out[0] + 1.0}; });
     }},
    {"hook removed",
     [](Net& n) {
       const int id = n.add_post_hook(
           [](Cell&, const Tensors&, const Tensors& out) { return Tensors{out[0] + 1.0}; });
       n.remove_hook(id);
       n.set_gain(2);
     }},
    {"replaced parameter",
     [](Net& n) {
       n.replace_parameter("a.weight", std::make_shared<Parameter>("w", normal({8, 6}, 9)));
     }},
    {"parameter assigned to the layer",
     [](Net& n) {
       n.a->weight = std::make_shared<Parameter>("w", normal({8, 6}, 9));
     }},
    {"replaced Cell", [](Net& n) { n.replace_tail(make<Linear>(8, 3)); }},
    {"written parameter",
     [](Net& n) {
       n.b->weight->set_value(normal({3, 8}, 10));
     }},
    {"loaded values",
     [](Net& n) {
       StateDict values = n.state_dict();
       values["a.bias"] = normal({8}, 11);
       values["norm.running_mean"] = normal({8}, 12);
       n.load_state_dict(values);
     }},
    {"type", [](Net& n) { n.to(DType::kF64); }},
};

TEST(Stale, EvaluationSeesEveryChange) {
  for (const auto& [what, change] : kChanges) {
    const auto net = make<Net>();
    net->eval();
    EvalStep compiled(net), eager(net, {.mode = Mode::kEager});
    Tensor x = normal({5, 6}, 1);
    const Tensor before = compiled(x);
    EXPECT_LT(distance(before, eager(x)), 1e-5) << what;
    change(*net);
    if (net->a->weight->meta().dtype == DType::kF64) x = ops::cast(x, DType::kF64);
    for (int i = 0; i < 2; ++i) EXPECT_LT(distance(compiled(x), eager(x)), 1e-5) << what;
    if (std::string(what) != "type") {
      EXPECT_GT(distance(before, compiled(x)), 1e-3) << what;
    }
  }
}

TEST(Stale, TrainingAndEvaluationModesSwitch) {
  const auto net = make<Net>();
  graph::Compiled f = graph::compile([&](const Tensors& x) { return Tensors{net(x[0])}; });
  f.set_version([&] { return net->version(); });
  const Tensor x = normal({5, 6}, 1);
  for (int i = 0; i < 2; ++i) {
    for (const bool training : {true, false}) {
      net->train(training);
      const StateDict states = net->state_dict();
      const Tensor got = f({x})[0];
      net->load_state_dict(states);  // the statistics before the call
      EXPECT_LT(distance(got, net(x)), 1e-5) << training;
    }
  }
  EXPECT_EQ(f.compilations(), 2);
}

TEST(Stale, FrozenParametersAreLeftAlone) {
  const auto net = make<Net>();
  auto opt = std::make_shared<optim::SGD>(net->parameters(), optim::SGDOptions{.lr = 0.1});
  TrainStep step(net, CrossEntropyLoss(), opt);
  const Tensor x = normal({5, 6}, 1), y = Tensor::from<int32_t>({0, 1, 2, 0, 1}, {5});
  const auto moved = [&](const ParameterPtr& p) {
    const Tensor before = p->value();
    step(x, y);
    return distance(before, p->value()) > 0;
  };
  EXPECT_TRUE(moved(net->a->weight));
  net->a->freeze();
  EXPECT_FALSE(moved(net->a->weight));
  EXPECT_TRUE(moved(net->b->weight));
  net->a->freeze(false);
  EXPECT_TRUE(moved(net->a->weight));
  EXPECT_EQ(step.compiled()->compilations(), 2);
}

TEST(Stale, MixedPrecisionAndThreadsArePartOfTheKey) {
  const Tensor w = normal({64, 64}, 2), x = normal({8, 64}, 1);
  graph::Compiled f =
      graph::compile([&](const Tensors& v) { return Tensors{ops::matmul(v[0], w)}; });
  EXPECT_EQ(f({x})[0].dtype(), DType::kF32);
  {
    AmpScope amp(DType::kBF16);
    EXPECT_EQ(f({x})[0].dtype(), DType::kBF16);
  }
  {
    AmpScope amp(DType::kF16);
    EXPECT_EQ(f({x})[0].dtype(), DType::kF16);
  }
  EXPECT_EQ(f.compilations(), 3);
  {
    ThreadCountScope more(num_threads() + 1);
    f({x});
    EXPECT_EQ(f.session().program().threads, num_threads());
  }
  EXPECT_EQ(f.compilations(), 4);
  f({x});
  EXPECT_EQ(f.compilations(), 4);
}

// The plan used longest ago goes first, and is compiled again when it is asked for.
TEST(Stale, PlansAreBounded) {
  graph::Compiled f =
      graph::compile([](const Tensors& v) { return Tensors{v[0] * 2.0}; }, {.max_plans = 2});
  for (const int64_t n : {1, 2, 1, 3, 1}) f({Tensor::full({n}, 1.0)});
  EXPECT_EQ(f.compilations(), 3);
  f({Tensor::full({2}, 1.0)});  // went when 3 came
  EXPECT_EQ(f.compilations(), 4);
  f({Tensor::full({1}, 1.0)});
  EXPECT_EQ(f.compilations(), 4);
}

}  // namespace
}  // namespace rutile::nn
