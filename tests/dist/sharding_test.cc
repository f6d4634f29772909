// SPDX-License-Identifier: Apache-2.0
// Optimizer states in shards: the same training with 1/N of the memory for states on each rank.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "rutile/dist/group.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/optim/loss_scaler.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/random.h"
#include "rutile/ops/view.h"
#include "rutile/tests/dist/ranks.h"

namespace rutile {
namespace {

using test::require;
using test::run_ranks;

constexpr int64_t kBatch = 16;  // of all ranks
constexpr int kSteps = 6;

using MakeOptimizer =
    std::function<std::shared_ptr<nn::optim::Optimizer>(const std::vector<nn::ParameterPtr>&)>;

struct Rule {
  const char* name;
  MakeOptimizer make;
  int slots;  // of a parameter
};

template <class Opt, class Options>
MakeOptimizer maker(Options o) {
  return [o](const std::vector<nn::ParameterPtr>& p) { return std::make_shared<Opt>(p, o); };
}

const Rule kRules[] = {
    {"AdamW", maker<nn::optim::AdamW>(nn::optim::AdamWOptions{.lr = 1e-2}), 2},
    {"Momentum", maker<nn::optim::Momentum>(nn::optim::MomentumOptions{.lr = 0.05}), 1},
    // Their steps have the norms of whole parameters.
    {"LAMB", maker<nn::optim::LAMB>(nn::optim::LAMBOptions{.lr = 1e-2}), 2},
    {"LARS", maker<nn::optim::LARS>(nn::optim::LARSOptions{.lr = 1e-2}), 1},
};

struct Setting {
  nn::Mode mode = nn::Mode::kGraph;
  bool shard = true;
  double threshold_kb = 0;
  double clip_norm = 0;
  int64_t accumulate = 1;
  bool scatter = true;
  bool scaler = false;
};

struct Trained {
  std::vector<double> parameters;
  int64_t state_bytes = 0;  // of the optimizer's slots on this rank
  nn::StateDict states;     // of the slots, whole
};

Tensor batch(int step, int64_t first, int64_t n) {
  std::vector<float> v;
  for (int64_t i = 0; i < n * 11; ++i) {
    v.push_back(static_cast<float>(std::sin(0.37 * static_cast<double>(first * 11 + i) + step)));
  }
  return Tensor::from<float>(std::span<const float>(v), {n, 11});
}
Tensor labels(int step, int64_t first, int64_t n) {
  std::vector<int64_t> v;
  for (int64_t i = first; i < first + n; ++i) v.push_back((3 * i + step) % 5);
  return Tensor::from<int64_t>(std::span<const int64_t>(v), {n});
}

Trained train(const Rule& rule, const Setting& s, int rank, int ranks) {
  set_seed(3);
  // Odd sizes: parts that do not divide, parameters of fewer elements than ranks.
  auto net =
      nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 11, .hidden = 23, .classes = 5});
  auto optimizer = rule.make(net->parameters());
  nn::StepOptions o{.mode = s.mode, .clip_norm = s.clip_norm, .accumulate = s.accumulate};
  if (ranks > 1) {
    o.data_parallel = dist::ReducerOptions{.check_every = 2,
                                           .shard_optimizer = s.shard,
                                           .shard_threshold_kb = s.threshold_kb,
                                           .scatter_gradients = s.scatter};
  }
  if (s.scaler) {
    o.amp = DType::kF16;
    o.loss_scaler = std::make_shared<nn::optim::LossScaler>(
        nn::optim::LossScalerOptions{.initial = 1024, .interval = 2});
  }
  nn::TrainStep step(net, nn::CrossEntropyLoss(), optimizer, o);
  const int64_t part = kBatch / ranks / s.accumulate;
  for (int k = 0; k < kSteps; ++k) {
    for (int64_t a = 0; a < s.accumulate; ++a) {
      const int64_t first = (a * ranks + rank) * part;
      step(batch(k, first, part), labels(k, first, part));
    }
  }
  Trained t;
  for (const nn::ParameterPtr& p : net->parameters()) {
    const std::vector<double> v = ops::cast(p->value(), DType::kF64).to_vector<double>();
    t.parameters.insert(t.parameters.end(), v.begin(), v.end());
  }
  for (const auto& [name, state] : optimizer->named_states()) {
    if (name != "lr" && name != "step") t.state_bytes += state->meta().nbytes();
  }
  for (const nn::optim::ShardedState& st : optimizer->sharded_states()) {
    t.states[st.name] = optimizer->sharding()->whole(st.shard, st.state->concrete());
  }
  return t;
}

void expect_same(const Rule& rule, const Setting& s, int ranks) {
  const auto outcomes = run_ranks(ranks, [&](int rank) {
    dist::init();
    Setting plain = s;
    plain.shard = false;
    const Trained want = train(rule, plain, rank, ranks), got = train(rule, s, rank, ranks);
    require(got.parameters.size() > 900, "parameters");
    test::require_equal(got.parameters, want.parameters, rule.name, 1e-6);
    require(!got.states.empty(), "nothing is sharded");
    dist::finalize();
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "") << rule.name;
}

TEST(ShardedOptimizer, TrainsAsTheWholeOne) {
  for (const Rule& rule : kRules) {
    for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
      expect_same(rule, {.mode = mode}, 2);
    }
    expect_same(rule, {.mode = nn::Mode::kGraph}, 4);
  }
  expect_same(kRules[0], {.mode = nn::Mode::kEager}, 4);
}

TEST(ShardedOptimizer, GivesTheParametersOfOneProcess) {
  for (const int ranks : {2, 4}) {
    const auto outcomes = run_ranks(ranks, [&](int rank) {
      const Trained want = train(kRules[1], {}, 0, 1);
      dist::init();
      for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
        const Trained got = train(kRules[1], {.mode = mode}, rank, ranks);
        test::require_equal(got.parameters, want.parameters, "parameters", 1e-6);
      }
      dist::finalize();
    });
    for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
  }
}

TEST(ShardedOptimizer, WithClippingAccumulationAndSmallParametersWhole) {
  expect_same(kRules[0], {.mode = nn::Mode::kEager, .clip_norm = 0.3, .accumulate = 2}, 2);
  expect_same(kRules[0], {.mode = nn::Mode::kGraph, .clip_norm = 0.3, .accumulate = 2}, 2);
  expect_same(kRules[0], {.threshold_kb = 0.5}, 2);
  expect_same(kRules[0], {.mode = nn::Mode::kGraph, .clip_norm = 0.3, .scaler = true}, 2);
  expect_same(kRules[0], {.mode = nn::Mode::kEager, .clip_norm = 0.3, .scaler = true}, 3);
}

// Each rank gets its part of the mean gradients and nothing else of them, which is as many bytes on
// the wire as training without shards: half an all-reduce, and the updated parameters.
TEST(ShardedOptimizer, GradientsAreReducedToTheirOwners) {
  for (const int ranks : {2, 3}) {
    const auto outcomes = run_ranks(ranks, [&](int rank) {
      dist::init();
      for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
        std::vector<double> results[2];
        int64_t bytes[2][8] = {};
        for (const bool scatter : {false, true}) {
          const dist::CollectiveStats before = dist::collective_stats();
          results[scatter] =
              train(kRules[0], {.mode = mode, .scatter = scatter}, rank, ranks).parameters;
          const dist::CollectiveStats after = dist::collective_stats();
          for (int k = 0; k < 8; ++k) bytes[scatter][k] = after.bytes_of[k] - before.bytes_of[k];
        }
        test::require_equal(results[1], results[0], "parameters", 1e-6);
        int64_t all = 0, parts = 0, tensors = 0;
        for (const int64_t n : {int64_t{11 * 23}, int64_t{23}, int64_t{23 * 23}, int64_t{23},
                                int64_t{23 * 5}, int64_t{5}}) {
          all += n;
          parts += ops::part_of(n, ranks);
          ++tensors;
        }
        require(all == static_cast<int64_t>(results[0].size()),
                cat("parameters: ", results[0].size()));
        const auto of = [&](bool scatter, CollectiveKind k) {
          return bytes[scatter][static_cast<int>(k)];
        };
        // In eager steps a number for each parameter and one more ride along.
        const int64_t riders = mode == nn::Mode::kEager ? 4 * (tensors + 1) * kSteps : 0;
        const auto want = [&](bool scatter, CollectiveKind k, int64_t n) {
          require(of(scatter, k) == n, cat(collective_name(k), scatter ? " to parts: " : ": ",
                                           of(scatter, k), " bytes, not ", n));
        };
        want(false, CollectiveKind::kAllReduce, 4 * all * kSteps + riders);
        want(false, CollectiveKind::kReduceScatter, 0);
        want(true, CollectiveKind::kAllReduce, riders);
        want(true, CollectiveKind::kReduceScatter, 4 * ranks * parts * kSteps);
        // The parameters, and what is compared.
        require(of(true, CollectiveKind::kAllGather) == of(false, CollectiveKind::kAllGather) &&
                    of(true, CollectiveKind::kAllGather) >= 4 * parts * kSteps,
                "all_gather");
      }
      dist::finalize();
    });
    for (const auto& o : outcomes) EXPECT_EQ(o.error, "") << ranks;
  }
}

// What a rank keeps: one N-th, and what fills up the last parts.
TEST(ShardedOptimizer, StatesTakeOneNthOfTheMemory) {
  for (const int ranks : {2, 4}) {
    const auto outcomes = run_ranks(ranks, [&](int rank) {
      dist::init();
      for (const Rule& rule : kRules) {
        const Trained whole = train(rule, {.shard = false}, rank, ranks);
        const Trained own = train(rule, {}, rank, ranks);
        const int64_t elements = static_cast<int64_t>(whole.parameters.size());
        require(whole.state_bytes == 4 * elements * rule.slots, "bytes of the whole");
        // The parts of kPart are rounded up: at most one element of each of the 6 parameters and
        // slots. Whole parameters go to owners, as evenly as their sizes allow.
        const bool owned = std::string(rule.name)[0] == 'L';
        const int64_t most =
            owned ? whole.state_bytes * 8 / 10 : whole.state_bytes / ranks + 4 * 6 * rule.slots;
        require(own.state_bytes <= most, cat(rule.name, ": ", own.state_bytes, " bytes of ",
                                             whole.state_bytes, " on one of ", ranks, " ranks"));
      }
      dist::finalize();
    });
    for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
  }
}

// The shards together are the states of the optimizer that is not sharded.
TEST(ShardedOptimizer, ShardsJoinToTheWhole) {
  const auto outcomes = run_ranks(3, [&](int rank) {
    dist::init();
    for (const Rule& rule : kRules) {
      set_seed(3);
      auto net = nn::make<nn::models::Mlp>(
          nn::models::MlpOptions{.inputs = 11, .hidden = 23, .classes = 5});
      auto optimizer = rule.make(net->parameters());
      std::vector<std::vector<float>> before;
      for (const auto& [name, state] : optimizer->named_states()) {
        if (name == "lr" || name == "step") continue;
        state->set_concrete(ops::random_normal(Tensor::from<uint64_t>({before.size()}, {1}),
                                               {.shape = state->meta().shape}));
        before.push_back(state->concrete().to_vector<float>());
      }
      optimizer->shard({.threshold_kb = 0});
      size_t i = 0;
      for (const nn::optim::ShardedState& s : optimizer->sharded_states()) {
        const Tensor whole = optimizer->sharding()->whole(s.shard, s.state->concrete());
        require(whole.shape() == s.shard.shape, cat("shape of ", s.name));
        require(whole.to_vector<float>() == before[i++], cat("elements of ", s.name));
        // Cut again, it is the same shard.
        const Tensor own = optimizer->sharding()->own(s.shard, whole);
        require(own.to_vector<float>() == s.state->concrete().to_vector<float>(), "own");
      }
      require(i == before.size(), "all states are sharded");
      try {
        optimizer->shard();
        require(false, "sharded twice");
      } catch (const Error& e) {
        require(e.message().find("is sharded already") != std::string::npos, e.message());
      }
    }
    (void)rank;
    dist::finalize();
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
}

TEST(ShardedOptimizer, AloneItIsAsItWas) {
  auto net =
      nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 11, .hidden = 23, .classes = 5});
  nn::optim::AdamW optimizer(net->parameters(), {});
  optimizer.shard({.threshold_kb = 0});
  EXPECT_EQ(optimizer.sharding(), nullptr);
  EXPECT_TRUE(optimizer.sharded_states().empty());
  EXPECT_THROW(optimizer.shard({.group = "nobody"}), Error);
}

}  // namespace
}  // namespace rutile
