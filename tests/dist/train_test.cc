// SPDX-License-Identifier: Apache-2.0
// Data parallelism: several processes with parts of a batch give the parameters of one process with
// the whole batch.
#include <gtest/gtest.h>

#include <cmath>

#include "rutile/dist/group.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/norm_layers.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"
#include "rutile/tests/dist/ranks.h"

namespace rutile {
namespace {

using test::require;
using test::run_ranks;

constexpr int kSteps = 5;
constexpr int64_t kBatch = 24;  // of all ranks

Tensor inputs(int step, DType t) {
  std::vector<double> v;
  for (int64_t i = 0; i < kBatch * 10; ++i) v.push_back(std::sin(0.37 * i + step));
  return ops::cast(Tensor::from<double>(std::span<const double>(v), {kBatch, 10}), t);
}
Tensor labels(int step) {
  std::vector<int64_t> v;
  for (int64_t i = 0; i < kBatch; ++i) v.push_back((3 * i + step) % 4);
  return Tensor::from<int64_t>(std::span<const int64_t>(v), {kBatch});
}

struct Setting {
  nn::Mode mode = nn::Mode::kGraph;
  bool adam = false;
  int64_t accumulate = 1;
  double clip_norm = 0;
  dist::ReducerOptions reducer = {};
};

// All parameters after some steps on part `rank` of `ranks`.
std::vector<double> train(const Setting& s, int rank, int ranks) {
  set_seed(7);
  auto net =
      nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 10, .hidden = 16, .classes = 4});
  if (rank > 0) {  // all begin as rank 0
    for (const nn::ParameterPtr& p : net->parameters()) {
      p->set_value(Tensor::zeros(p->meta().shape, p->meta().dtype));
    }
  }
  std::shared_ptr<nn::optim::Optimizer> optimizer;
  if (s.adam) {
    optimizer =
        std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{.lr = 1e-2});
  } else {
    optimizer = std::make_shared<nn::optim::Momentum>(net->parameters(),
                                                      nn::optim::MomentumOptions{.lr = 0.1});
  }
  nn::StepOptions o{.mode = s.mode, .clip_norm = s.clip_norm, .accumulate = s.accumulate};
  if (ranks > 1) o.data_parallel = s.reducer;
  nn::TrainStep step(net, nn::CrossEntropyLoss(), optimizer, o);
  const int64_t part = kBatch / ranks / s.accumulate;
  for (int k = 0; k < kSteps; ++k) {
    for (int64_t a = 0; a < s.accumulate; ++a) {
      const int64_t first = (a * ranks + rank) * part;
      step(ops::slice_axis(inputs(k, DType::kF32), 0, first, first + part),
           ops::slice_axis(labels(k), 0, first, first + part));
    }
  }
  std::vector<double> all;
  for (const nn::ParameterPtr& p : net->parameters()) {
    const std::vector<double> v = ops::cast(p->value(), DType::kF64).to_vector<double>();
    all.insert(all.end(), v.begin(), v.end());
  }
  return all;
}

void expect_same_training(const Setting& s, int ranks, double tolerance = 1e-6) {
  const auto outcomes = run_ranks(ranks, [&](int rank) {
    const std::vector<double> whole = train(s, 0, 1);
    dist::init();
    const std::vector<double> got = train(s, rank, ranks);
    require(got.size() == whole.size() && got.size() > 500, "parameters");
    test::require_equal(got, whole, "parameters", tolerance);
    dist::finalize();
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
}

TEST(DataParallel, EagerGivesTheParametersOfOneProcess) {
  for (const int ranks : {2, 4}) expect_same_training({.mode = nn::Mode::kEager}, ranks);
}
TEST(DataParallel, CompiledGivesTheParametersOfOneProcess) {
  for (const int ranks : {2, 4}) expect_same_training({.mode = nn::Mode::kGraph}, ranks);
}
TEST(DataParallel, WithAdamAndClipping) {
  for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
    expect_same_training({.mode = mode, .adam = true, .clip_norm = 0.5}, 2, 5e-6);
  }
}
TEST(DataParallel, SmallBucketsAndFixedOnes) {
  for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
    expect_same_training(
        {.mode = mode, .reducer = {.bucket_mb = 5e-4, .first_bucket_mb = 1e-4, .check_every = 2}},
        2);
    expect_same_training({.mode = mode, .reducer = {.split = {2, 4}}}, 2);
  }
}
TEST(DataParallel, AccumulatedBatchesAreSentOnce) {
  for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
    expect_same_training({.mode = mode, .accumulate = 3}, 2);
  }
  const auto outcomes = run_ranks(2, [](int rank) {
    dist::init();
    const int64_t before = dist::collective_stats().calls;
    train({.mode = nn::Mode::kEager, .accumulate = 3}, rank, 2);
    // One bucket a step, and the States of the beginning by dtype: f32, f64 and i64.
    const int64_t calls = dist::collective_stats().calls - before;
    require(calls >= kSteps && calls <= kSteps + 8, cat(calls, " collectives"));
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
}
TEST(DataParallel, HalfTheBytes) {
  for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
    expect_same_training({.mode = mode, .reducer = {.wire = DType::kBF16}}, 2, 5e-3);
  }
}

// Backward goes on while buckets travel: the first starts before the last gradient is there.
TEST(DataParallel, CompiledStepsStartBucketsEarly) {
  const auto outcomes = run_ranks(2, [](int) {
    dist::init();
    auto net =
        nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 10, .hidden = 16, .classes = 4});
    auto optimizer = std::make_shared<nn::optim::SGD>(net->parameters(), nn::optim::SGDOptions{});
    nn::TrainStep step(net, nn::CrossEntropyLoss(), optimizer,
                       {.data_parallel = dist::ReducerOptions{.bucket_mb = 5e-4}});
    step(inputs(0, DType::kF32), labels(0));
    const graph::Graph& g = *step.compiled()->session().program().graph;
    std::vector<std::string> order;
    for (const graph::NodeId id : g.order) order.emplace_back(g.nodes[id].op->name);
    const auto first = std::find(order.begin(), order.end(), "all_reduce_start");
    const auto last_product = std::find_if(order.rbegin(), order.rend(), [](const std::string& n) {
      return n.find("linear") != n.npos || n.find("matmul") != n.npos;
    });
    require(first < last_product.base(), "the first bucket starts behind backward");
    require(std::count(order.begin(), order.end(), "all_reduce_start") >= 2, "one bucket");
    require(std::count(order.begin(), order.end(), "all_reduce") == 0, "what is left over");
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
}

// From the second step on the order in which rank 0's gradients became ready makes the buckets.
TEST(DataParallel, BucketsFollowTheFirstStep) {
  const auto outcomes = run_ranks(2, [](int rank) {
    dist::init();
    const Tensor w[] = {Tensor::full({3, 3}, 0.5), Tensor::full({3, 3}, 0.25),
                        Tensor::full({3, 3}, -0.5)};
    // The last parameter is used first, so its gradient comes last.
    dist::GradientReducer reducer({w[0].meta(), w[1].meta(), w[2].meta()},
                                  {.bucket_mb = 0, .first_bucket_mb = 0});
    using Order = std::vector<std::vector<size_t>>;
    require(reducer.buckets() == Order{{2}, {1}, {0}}, "the order before");
    for (int k = 0; k < 3; ++k) {
      GradScope scope;
      for (const Tensor& t : w) scope.watch(t);
      const Tensor x = Tensor::full({2, 3}, 1.0 + rank);
      const Tensor y = ops::matmul(ops::matmul(ops::matmul(x, w[2]), w[1]), w[0]);
      const Tensor loss = ops::sum(y);
      reducer.attach(scope, w);
      std::vector<Tensor> grads = scope.gradient(loss, w);
      const bool changed = k == 2;  // clipped, say, before they are reduced
      if (changed) grads[1] = ops::mul(grads[1], Tensor::full({}, 2.0));
      std::vector<Tensor> want;
      for (const Tensor& g : grads) want.push_back(ops::all_reduce(g, {.reduce = Reduce::kMean}));
      const int64_t before = dist::collective_stats().calls;
      reducer.finish(&grads);
      const int64_t calls = dist::collective_stats().calls - before;
      for (size_t i = 0; i < 3; ++i) {
        auto values = [](const Tensor& t) {
          return ops::cast(ops::contiguous(t), DType::kF64).to_vector<double>();
        };
        test::require_equal(values(grads[i]), values(want[i]), cat("gradient ", i), 1e-6);
      }
      // What was started in backward is not started again, unless it was changed.
      require(k != 1 || calls == 0, cat(calls, " collectives behind backward"));
      require(!changed || calls == 3, cat(calls, " collectives of changed gradients"));
      require(reducer.buckets() == Order{{0}, {1}, {2}}, "the order of the first step");
    }
    dist::finalize();
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
}

// Where one rank's gradients overflow no rank makes the step, and all scales go on alike.
TEST(DataParallel, LossScalesAreAgreedUpon) {
  for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
    for (const bool shard : {false, true}) {
      const auto outcomes = run_ranks(2, [&](int rank) {
        dist::init();
        auto net = nn::make<nn::models::Mlp>(
            nn::models::MlpOptions{.inputs = 10, .hidden = 16, .classes = 4});
        auto optimizer =
            std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{});
        auto scaler = std::make_shared<nn::optim::LossScaler>(
            nn::optim::LossScalerOptions{.initial = 1024, .interval = 2});
        nn::TrainStep step(
            net, nn::CrossEntropyLoss(), optimizer,
            {.mode = mode,
             .amp = DType::kF16,
             .loss_scaler = scaler,
             .data_parallel = dist::ReducerOptions{
                 .check_every = 1, .shard_optimizer = shard, .shard_threshold_kb = 0}});
        std::vector<double> scales;
        for (int k = 0; k < 4; ++k) {
          const auto before = net->parameters()[0]->value().to_vector<float>();
          Tensor x = ops::slice_axis(inputs(k, DType::kF32), 0, 12 * rank, 12 * rank + 12);
          const bool bad = k == 1;
          if (bad && rank == 1) x = ops::mul(x, Tensor::full({}, 1e30));
          step(x, ops::slice_axis(labels(k), 0, 12 * rank, 12 * rank + 12));
          const bool moved = net->parameters()[0]->value().to_vector<float>() != before;
          require(moved == !bad, cat("step ", k, moved ? " was made" : " was skipped"));
          scales.push_back(scaler->value());
        }
        test::require_equal(scales, {1024, 512, 512, 1024}, "scales");
        require(optimizer->steps() == 3, cat(optimizer->steps(), " steps"));
        dist::finalize();
      });
      for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
    }
  }
}

TEST(DataParallel, SyncBatchNormHasTheStatisticsOfAll) {
  const auto outcomes = run_ranks(2, [](int rank) {
    dist::init();
    auto whole = nn::make<nn::BatchNorm2d>(3);
    auto sync = nn::make<nn::SyncBatchNorm>(3);
    auto own = nn::make<nn::BatchNorm2d>(3);
    std::vector<float> v;
    for (int64_t i = 0; i < 4 * 3 * 2 * 2; ++i) v.push_back(static_cast<float>(std::sin(0.9 * i)));
    const Tensor x = Tensor::from<float>(std::span<const float>(v), {4, 3, 2, 2});
    const Tensor part = ops::contiguous(ops::slice_axis(x, 0, 2 * rank, 2 * rank + 2));
    const Tensor want = ops::slice_axis(whole(x), 0, 2 * rank, 2 * rank + 2);
    auto values = [](const Tensor& t) {
      return ops::cast(ops::contiguous(t), DType::kF64).to_vector<double>();
    };
    test::require_equal(values(sync(part)), values(want), "y", 1e-5);
    own(part);
    for (const auto stat : {&nn::BatchNorm2d::running_mean, &nn::BatchNorm2d::running_var}) {
      test::require_equal(values(((*sync).*stat)()->concrete()),
                          values(((*whole).*stat)()->concrete()), "running statistics", 1e-6);
      require(values(((*own).*stat)()->concrete()) != values(((*whole).*stat)()->concrete()),
              "a part has the statistics of the whole");
    }
    sync->train(false);
    whole->train(false);
    test::require_equal(values(sync(part)), values(whole(part)), "in evaluation", 1e-5);
    dist::finalize();
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
}

TEST(DataParallel, RanksOfOtherValuesAreFound) {
  const auto outcomes = run_ranks(2, [](int rank) {
    dist::init();
    auto net =
        nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 10, .hidden = 16, .classes = 4});
    auto optimizer = std::make_shared<nn::optim::SGD>(net->parameters(), nn::optim::SGDOptions{});
    nn::TrainStep step(net, nn::CrossEntropyLoss(), optimizer,
                       {.data_parallel = dist::ReducerOptions{.check_every = 2}});
    for (int k = 0; k < 2; ++k) {
      const nn::ParameterPtr p = net->parameters()[1];
      if (k == 1 && rank == 1) p->set_value(Tensor::zeros(p->meta().shape));
      step(inputs(k, DType::kF32), labels(k));
    }
  });
  for (const auto& o : outcomes) {
    EXPECT_NE(o.error.find("parameters are not the same"), std::string::npos) << o.error;
  }
}

}  // namespace
}  // namespace rutile
