// SPDX-License-Identifier: Apache-2.0
// Training steps captured as one graph of the device: how many kernels they have and how many
// launches a step takes, when the graph is made again, and why there is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rutile/nn/losses.h"
#include "rutile/nn/models/gpt.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/random.h"
#include "rutile/ops/record.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/device/fake.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile {
namespace {

using fake::kFake;
using fake::queued;
using testing::HasSubstr;

struct Network {
  const char* name;
  std::function<nn::CellPtr()> net;
  TensorMeta x, y;
  int64_t classes;
  int kernels;  // of a step, at most
};

std::vector<Network> networks() {
  using namespace nn::models;
  return {
      {"MLP", [] { return nn::CellPtr(nn::make<Mlp>()); }, TensorMeta({8, 784}, DType::kF32),
       TensorMeta({8}, DType::kI64), 10, 24},
      {"LeNet", [] { return nn::CellPtr(nn::make<LeNet>()); },
       TensorMeta({4, 1, 32, 32}, DType::kF32), TensorMeta({4}, DType::kI64), 10, 48},
      {"ResNet",
       [] {
         return nn::CellPtr(nn::make<ResNet>(
             ResNetOptions{.blocks = {1, 1, 1, 1}, .bottleneck = false, .classes = 5}));
       },
       TensorMeta({2, 3, 32, 32}, DType::kF32), TensorMeta({2}, DType::kI64), 5, 130},
      {"GPT",
       [] {
         return nn::CellPtr(nn::make<Gpt>(
             GptOptions{.vocab = 20, .positions = 16, .layers = 2, .width = 32, .heads = 2}));
       },
       TensorMeta({2, 16}, DType::kI64), TensorMeta({2, 16}, DType::kI64), 20, 100},
  };
}

Tensor batch(const TensorMeta& m, int64_t classes, uint64_t seed) {
  const Tensor key = Tensor::from<uint64_t>({seed}, {1});
  if (is_floating(m.dtype)) return ops::random_normal(key, {.shape = m.shape});
  return ops::random_randint(key, {.shape = m.shape, .low = 0, .high = classes});
}

TEST(Capture, AStepIsOneLaunch) {
  for (const Network& n : networks()) {
    SCOPED_TRACE(n.name);
    set_seed(2);
    const nn::CellPtr net = n.net();
    net->to(kFake);
    auto opt = std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{});
    nn::TrainStep step(net, nn::CrossEntropyLoss(), opt, {.mode = nn::Mode::kGraph});
    std::vector<Tensor> losses;  // kept: every step has memory of its own for them
    int64_t kernels = 0;
    for (uint64_t i = 0; i < 5; ++i) {
      const Tensor x = batch(n.x, n.classes, i), y = batch(n.y, n.classes, i + 9);
      synchronize(kFake);
      (void)queued();
      losses.push_back(step(x, y).loss);
      synchronize(kFake);
      const fake::Queued q = queued();
      kernels = step.report()->kernels;
      // The first step compiles and warms up.
      if (i == 0) {
        EXPECT_GE(q.kernels, kernels);
        continue;
      }
      EXPECT_EQ(q.graphs, 1) << "step " << i;
      EXPECT_EQ(q.kernels, 0) << "step " << i;
      // Of the batch: from the host, and to where the graph reads it; learning rate; the loss.
      EXPECT_LE(q.copies, 7) << "step " << i;
    }
    EXPECT_LE(kernels, n.kernels);
    const graph::Session::Capture c = step.compiled()->session().capture();
    EXPECT_EQ(c.refused, "");
    EXPECT_EQ(c.graphs, 1);
    EXPECT_EQ(c.replays, 4);
    for (size_t i = 1; i < losses.size(); ++i) {
      EXPECT_NE(losses[i].item(), losses[i - 1].item()) << "the step trains";
    }
  }
}

std::vector<Tensor> twice(const std::vector<Tensor>& in) { return {in[0] * 2.0 + 1.0}; }

TEST(Capture, OutputsAreTheCallers) {
  graph::Compiled f = graph::compile(twice);
  std::vector<Tensor> all;
  for (int i = 0; i < 6; ++i) all.push_back(f({Tensor::full({4}, i).to(kFake)})[0]);
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ(all[static_cast<size_t>(i)].to_vector<float>()[3], 2 * i + 1);
  EXPECT_EQ(f.session().capture().graphs, 1);
  EXPECT_EQ(f.session().capture().replays, 5);
}

// What is not dense is read where it lies: other memory is another graph.
TEST(Capture, StridedInputs) {
  graph::Compiled f = graph::compile(twice);
  const Tensor all = Tensor::from<float>({0, 1, 2, 3, 4, 5, 6, 7}, {4, 2}).to(kFake);
  for (int i = 0; i < 4; ++i) {
    const Tensor column = ops::select(all, 1, i % 2);
    EXPECT_EQ(f({column})[0].to_vector<float>()[1], 2 * (2 + i % 2) + 1);
  }
}

using Tensors = std::vector<Tensor>;

// `f` on the device, several times on equal and other data: one graph, and what the cpu gives.
void expect_one_graph(const graph::Function& f, const std::vector<Tensors>& runs) {
  graph::Compiled there = graph::compile(f), here = graph::compile(f);
  for (size_t r = 0; r < runs.size(); ++r) {
    SCOPED_TRACE(cat("run ", r));
    Tensors moved;
    for (const Tensor& t : runs[r]) moved.push_back(t.to(kFake));
    synchronize(kFake);
    (void)queued();
    const Tensors got = there(moved), wanted = here(runs[r]);
    synchronize(kFake);
    const fake::Queued q = queued();
    if (r > 0) {
      EXPECT_EQ(q.graphs, 1);
      EXPECT_EQ(q.kernels, 0);
    }
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].to(kCpu).repr(), wanted[i].repr()) << "result " << i;
    }
  }
  EXPECT_EQ(there.session().capture().refused, "");
  EXPECT_EQ(there.session().capture().graphs, 1);
}

Tensor of(std::vector<float> v) {
  const auto n = static_cast<int64_t>(v.size());
  return Tensor::from<float>(v, {n});
}

// The device takes the branch that the data of the run asks for.
TEST(Capture, Branches) {
  const auto f = [](const Tensors& in) {
    const Tensors y = ops::cond(
        ops::greater(ops::sum(in[0]), 0.0),
        [&](auto&) {
          const Tensor twice = ops::cond(
              ops::greater(ops::sum(in[0]), 10.0), [&](auto&) { return Tensors{in[0] * 3.0}; },
              [&](auto&) { return Tensors{in[0] * 2.0}; })[0];
          return Tensors{twice, in[1]};
        },
        [&](auto&) {
          return Tensors{in[0] - in[1], in[1] + 1.0};
        });
    return Tensors{y[0] + 1.0, y[1]};
  };
  const Tensor b = of({1, 2});
  expect_one_graph(
      f, {{of({1, 2}), b}, {of({1, 2}), b}, {of({-1, -2}), b}, {of({7, 8}), b}, {of({-3, 0}), b}});
}

TEST(Capture, LoopsWhileAConditionHolds) {
  const auto f = [](const Tensors& in) {
    return ops::while_loop([](auto& c) { return ops::less(ops::sum(c[0]), 20.0); },
                           [&](auto& c) {
                             return Tensors{c[1] + in[1], c[0]};
                           },
                           {in[0], in[1]});
  };
  const Tensor step = of({1, 2});
  expect_one_graph(
      f, {{of({0, 0}), step}, {of({1, 0}), step}, {of({90, 0}), step}, {of({-9, 3}), step}});
}

// Few iterations are copies of the body, many a loop of the device; both ways round.
TEST(Capture, LoopsOverSlices) {
  for (const int64_t length : {5, 5000}) {
    for (const bool reverse : {false, true}) {
      SCOPED_TRACE(cat(length, reverse ? " back" : ""));
      const auto f = [&](const Tensors& in) {
        const ops::ScanStep r = ops::scan(
            [&](auto& c, auto& x) -> ops::ScanStep {
              const Tensor sum = c[0] * 0.5 + x[0];
              return {{sum, c[1] + 1.0}, {sum + in[1], c[0]}};
            },
            {in[1], ops::zeros_like(in[1])}, {in[0]}, {.reverse = reverse});
        return Tensors{r.carry[0], r.carry[1], r.ys[0], r.ys[1]};
      };
      const auto data = [&](uint64_t seed) {
        const Tensor key = Tensor::from<uint64_t>({seed}, {1});
        return Tensors{ops::random_normal(key, {.shape = {length, 2}}), of({1, 2})};
      };
      expect_one_graph(f, {data(1), data(2), data(3)});
    }
  }
}

// Gradients of loops: as many iterations back as there were, the kept carries of the others zero.
TEST(Capture, LoopsAndTheirGradients) {
  const auto f = [](const Tensors& in) {
    GradScope scope;
    const Tensor x = in[0] + 0.0;
    scope.watch(x);
    const Tensors y = ops::while_loop([](auto& c) { return ops::less(ops::sum(c[0]), 50.0); },
                                      [&](auto& c) {
                                        return ops::cond(
                                            ops::greater(ops::sum(c[0]), 8.0),
                                            [&](auto&) { return Tensors{c[0] * x + 1.0}; },
                                            [&](auto&) { return Tensors{c[0] * 2.0 + 1.0}; });
                                      },
                                      {x}, {.max_iterations = 12});
    const Tensor loss = ops::sum(y[0] * y[0]);
    return Tensors{y[0], scope.gradient(loss, {x})[0]};
  };
  expect_one_graph(f, {{of({1, 2})}, {of({1, 2})}, {of({3, 1})}, {of({90, 1})}, {of({0, 1})}});
}

// A training step whose loss has both; the weights are those of the same steps on the host.
TEST(Capture, TrainsThroughControlFlow) {
  const auto losses = [](Device device) {
    set_seed(4);
    const nn::CellPtr net =
        nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 6, .hidden = 5, .classes = 3});
    net->to(device);
    auto opt = std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{});
    const nn::LossFn loss = [](const Tensor& y, const Tensor& labels) {
      const Tensor plain = ops::mean(y * y);
      const Tensors out = ops::cond(
          ops::greater(plain, 0.05), [&](auto&) { return Tensors{plain * 2.0}; },
          [&](auto&) { return Tensors{plain + ops::sum(ops::cast(labels, DType::kF32)) * 0.0}; });
      return ops::fori_loop(
          0, 3, [](auto&, auto& c) { return Tensors{c[0] * 1.5}; }, out)[0];
    };
    nn::TrainStep step(net, loss, opt, {.mode = nn::Mode::kGraph});
    std::vector<double> all;
    for (uint64_t i = 0; i < 6; ++i) {
      const Tensor x = batch(TensorMeta({4, 6}, DType::kF32), 3, i);
      const Tensor y = batch(TensorMeta({4}, DType::kI64), 3, i);
      all.push_back(step(x.to(device), y.to(device)).loss.item());
    }
    if (!(device == kCpu)) {
      EXPECT_EQ(step.compiled()->session().capture().graphs, 1);
    }
    return all;
  };
  const std::vector<double> here = losses(kCpu), there = losses(kFake);
  for (size_t i = 0; i < here.size(); ++i) EXPECT_NEAR(there[i], here[i], 1e-5) << i;
}

TEST(Capture, SaysWhyNot) {
  graph::Compiled f = graph::compile([](const Tensors& in) {
    return ops::cond(
        ops::greater(ops::sum(in[0]), 0.0),
        [&](auto&) {
          (void)ops::record({"scalar", "seen"}, in[0]);
          return Tensors{in[0] * 2.0};
        },
        [&](auto&) { return Tensors{in[0]}; });
  });
  for (int i = 0; i < 3; ++i) (void)f({Tensor::full({4}, 1).to(kFake)});
  const graph::Session::Capture c = f.session().capture();
  EXPECT_THAT(c.refused, HasSubstr("cond: record cannot be part of a branch or loop"));
  EXPECT_THAT(c.refused, HasSubstr("capture_test.cc:"));
  EXPECT_EQ(c.graphs, 0);
  graph::Compiled host = graph::compile(twice);
  (void)host({Tensor::full({4}, 1)});
  EXPECT_EQ(host.session().capture().refused, "the cpu captures nothing");
}

// Errors in data come as they do without capture, and the next run is a good one.
TEST(Capture, ErrorsInData) {
  graph::Compiled f = graph::compile([](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{ops::gather(in[0], in[1], 0) + 1.0};
  });
  const Tensor x = Tensor::from<float>({1, 2, 3}, {3}).to(kFake);
  const auto run = [&](int64_t at) {
    const Tensor y = f({x, Tensor::from<int64_t>({at}, {1}).to(kFake)})[0];
    synchronize(kFake);
    return y.to_vector<float>()[0];
  };
  EXPECT_EQ(run(0), 2);
  EXPECT_EQ(run(1), 3);
  EXPECT_RUTILE_ERROR((void)run(7), kIndex, "queued by gather in gather (capture_test.cc:");
  EXPECT_EQ(run(2), 4);
}

TEST(Capture, ExplainCountsLaunches) {
  graph::Compiled f = graph::compile(twice);
  const graph::Explanation e = graph::explain(f, {Tensor::full({4}, 1).to(kFake)}, {.runs = 1});
  EXPECT_EQ(e.launches, cat("1: a graph of ", e.kernels.size(), " kernels"));
  EXPECT_THAT(e.text(), HasSubstr("launches  1: a graph of"));
  EXPECT_THAT(e.to_json(), HasSubstr("\"launches\""));
}

}  // namespace
}  // namespace rutile
