// SPDX-License-Identifier: Apache-2.0
// Groups whose collectives move a device's memory: the plugin for NCCL as it is, over a stand-in
// for NCCL (tests/stubs/nccl) and between pretended devices, in several processes.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <map>
#include <thread>

#include "rutile/core/device_runtime.h"
#include "rutile/dist/group.h"
#include "rutile/nn/losses.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/random.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/dist/ranks.h"
#include "rutile/tests/support/temp_dir.h"
#include "rutile/train/checkpoint.h"

namespace rutile {
namespace {

using test::Outcome;
using test::require;
using test::run_ranks;

constexpr int64_t kBatch = 16;  // of all ranks

std::map<std::string, std::string> variables() {
  return {{"RUTILE_FAKE_DEVICES", "4"}, {"RUTILE_NUM_THREADS", "1"}};
}
void join(const std::string& backend = "nccl_fake") { dist::init({.backend = backend}); }

Tensor numbers(int rank, const Shape& shape, DType t, Device d) {
  std::vector<float> v;
  for (int64_t i = 0; i < shape.numel(); ++i) v.push_back(static_cast<float>(i % 5 + rank + 1));
  return ops::cast(Tensor::from<float>(std::span<const float>(v), shape), t).to(d);
}
std::vector<double> values(const Tensor& t) {
  return ops::cast(t.to(kCpu), DType::kF64).to_vector<double>();
}

// What the device gives is what the host's way gives.
TEST(DeviceGroup, CollectivesGiveWhatTheHostGives) {
  for (const int ranks : {2, 3}) {
    const auto outcomes = run_ranks(
        ranks,
        [&](int rank) {
          join();
          const Device d = dist::device();
          require(d.type == DeviceType::kFake && d.index == rank, "device");
          for (const DType t : {DType::kF32, DType::kBF16, DType::kI32, DType::kF64}) {
            // More than the stand-in moves at once; all_to_all and reduce_scatter divide it.
            for (const int64_t n : {int64_t{0}, int64_t{6}, int64_t{120000}}) {
              const Tensor host = numbers(rank, {n, 2}, t, kCpu), there = host.to(d);
              const auto same = [&](const Tensor& got, const Tensor& want, const char* what) {
                require(got.device() == d && got.shape() == want.shape(), what);
                test::require_equal(values(got), values(want), cat(what, " of ", there.meta()));
              };
              for (const Reduce r : {Reduce::kSum, Reduce::kMax, Reduce::kMin, Reduce::kProd}) {
                same(ops::all_reduce(there, {.reduce = r}), ops::all_reduce(host, {.reduce = r}),
                     "all_reduce");
                same(ops::reduce_scatter(there, {.reduce = r}),
                     ops::reduce_scatter(host, {.reduce = r}), "reduce_scatter");
              }
              same(ops::all_gather(there), ops::all_gather(host), "all_gather");
              same(ops::all_to_all(there), ops::all_to_all(host), "all_to_all");
              same(ops::broadcast(there, {.root = 1}), ops::broadcast(host, {.root = 1}),
                   "broadcast");
              same(ops::all_reduce(ops::transpose(there, {1, 0})),
                   ops::all_reduce(ops::transpose(host, {1, 0})), "of another order");
            }
          }
          dist::barrier();
          if (rank == 0) dist::send(numbers(3, {4}, DType::kF32, d), 1);
          if (rank == 1) {
            test::require_equal(values(dist::receive({4}, DType::kF32, 0)), {4, 5, 6, 7},
                                "message");
          }
          dist::create_group("pair", {1, 0});
          if (rank < 2) {
            const Tensor x = numbers(rank, {3}, DType::kF32, d);
            test::require_equal(values(ops::all_gather(x, {.group = "pair"})), {2, 3, 4, 1, 2, 3},
                                "pair");
            dist::destroy_group("pair");
          }
          dist::finalize();
        },
        {.variables = variables()});
    for (const Outcome& o : outcomes) EXPECT_EQ(o.error, "") << ranks;
  }
}

struct Setting {
  nn::Mode mode = nn::Mode::kGraph;
  bool shard = false;
  OptionalDType wire = {};
};

std::pair<Tensor, Tensor> batch(int k, int64_t first, int64_t n, Device d) {
  std::vector<float> x;
  std::vector<int64_t> y;
  for (int64_t i = first; i < first + n; ++i) {
    for (int64_t j = 0; j < 11; ++j) {
      x.push_back(static_cast<float>(std::sin(0.37 * static_cast<double>(i * 11 + j) + k)));
    }
    y.push_back((3 * i + k) % 5);
  }
  return {Tensor::from<float>(std::span<const float>(x), {n, 11}).to(d),
          Tensor::from<int64_t>(std::span<const int64_t>(y), {n}).to(d)};
}

// Parameters after some steps.
std::vector<double> train(const Setting& s, int rank, int ranks, Device d) {
  set_seed(3);
  auto net =
      nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 11, .hidden = 23, .classes = 5});
  net->to(d);
  auto optimizer =
      std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{.lr = 1e-2});
  nn::StepOptions o{.mode = s.mode};
  if (ranks > 1) {
    o.data_parallel = dist::ReducerOptions{.bucket_mb = 0.0005,
                                           .wire = s.wire,
                                           .check_every = 2,
                                           .shard_optimizer = s.shard,
                                           .shard_threshold_kb = 0};
  }
  nn::TrainStep step(net, nn::CrossEntropyLoss(), optimizer, o);
  const int64_t part = kBatch / ranks;
  for (int k = 0; k < 8; ++k) {
    const auto [x, y] = batch(k, rank * part, part, d);
    step(x, y);
  }
  if (ranks > 1 && s.mode == nn::Mode::kGraph && dist::device().type == DeviceType::kFake) {
    const graph::Session::Capture c = step.compiled()->session().capture();
    require(c.graphs == 1 && c.replays == 7, cat("captured: ", c.replays, " ", c.refused));
  }
  std::vector<double> all;
  for (const nn::ParameterPtr& p : net->parameters()) {
    const std::vector<double> v = values(p->value());
    all.insert(all.end(), v.begin(), v.end());
  }
  return all;
}

TEST(DeviceGroup, TrainsAsOneProcessOnTheHost) {
  for (const int ranks : {2, 4}) {
    const auto outcomes = run_ranks(
        ranks,
        [&](int rank) {
          const auto want = train({}, 0, 1, kCpu);
          join();
          for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
            for (const bool shard : {false, true}) {
              const auto got = train({.mode = mode, .shard = shard}, rank, ranks, dist::device());
              test::require_equal(got, want, cat("parameters, shards: ", shard), 1e-6);
            }
          }
          const auto low = train({.wire = DType::kBF16}, rank, ranks, dist::device());
          test::require_equal(low, want, "bf16 on the wire", 0.02);
          dist::finalize();
        },
        {.variables = variables()});
    for (const Outcome& o : outcomes) EXPECT_EQ(o.error, "") << ranks;
  }
}

// Without a way between devices the bytes go over the host.
TEST(DeviceGroup, GlooTakesMemoryOfDevicesOverTheHost) {
  const auto outcomes = run_ranks(
      2,
      [&](int rank) {
        const auto want = train({}, 0, 1, kCpu);
        join("gloo");
        const Device d{DeviceType::kFake, 0};
        const Tensor x = numbers(rank, {4, 2}, DType::kF32, d);
        test::require_equal(values(ops::all_reduce(x)), {3, 5, 7, 9, 11, 3, 5, 7}, "all_reduce");
        require(ops::all_gather(x).device() == d, "device");
        for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
          test::require_equal(train({.mode = mode}, rank, 2, d), want, "parameters", 1e-6);
        }
        dist::finalize();
      },
      {.variables = variables()});
  for (const Outcome& o : outcomes) EXPECT_EQ(o.error, "");
}

void expect_text(const Outcome& o, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    EXPECT_NE(o.error.find(part), std::string::npos) << "'" << part << "' is not in: " << o.error;
  }
}

void work(int steps, int64_t n = 1000) {
  const Tensor x = numbers(0, {n}, DType::kF32, dist::device());
  for (int k = 0; k < steps; ++k) {
    ops::all_reduce(x).to(kCpu);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

TEST(DeviceGroup, AKilledRankEndsTheOthers) {
  for (int round = 0; round < 4; ++round) {
    const auto outcomes = run_ranks(
        3, [](int) { join(), work(4000); },
        {.seconds = 40, .variables = variables(), .meanwhile = [&](std::vector<int> pids) {
           std::this_thread::sleep_for(std::chrono::milliseconds(300 + 157 * round));
           kill(pids[static_cast<size_t>(round) % 3], SIGKILL);
         }});
    for (int r = 0; r < 3; ++r) {
      const Outcome& o = outcomes[static_cast<size_t>(r)];
      EXPECT_LT(o.seconds, 30);
      if (r == round % 3) continue;
      EXPECT_EQ(o.status, 1);
      expect_text(o, {cat("rank ", round % 3).c_str()});
    }
  }
}

TEST(DeviceGroup, DisagreementAndLateRanksAreTold) {
  auto outcomes = run_ranks(2,
                            [](int rank) {
                              join();
                              work(2);
                              work(100, rank == 1 ? 700 : 500);
                            },
                            {.variables = variables()});
  for (const Outcome& o : outcomes) {
    expect_text(o, {"the ranks disagree about collective 3 of group 'world'",
                    "all_reduce (sum) of f32[500]", "all_reduce (sum) of f32[700]"});
    EXPECT_LT(o.seconds, 30);
  }
  auto late = variables();
  late["RUTILE_TIMEOUT"] = "2";
  outcomes = run_ranks(2,
                       [](int rank) {
                         join();
                         work(2);
                         if (rank == 1) test::wait_for_end_of({0});
                         work(50);
                       },
                       {.variables = late});
  expect_text(outcomes[0], {"rank 1 (", "collective 3 of group 'world'", "all_reduce"});
  EXPECT_LT(outcomes[0].seconds, 30);
  // Nobody compares: who looks after the device tells.
  late["RUTILE_COLLECTIVE_CHECK"] = "0";
  outcomes = run_ranks(2,
                       [](int rank) {
                         join();
                         work(2);
                         if (rank == 1) test::wait_for_end_of({0});
                         work(50);
                       },
                       {.variables = late});
  expect_text(outcomes[0], {"collective 3 of group 'world'", "all_reduce", "not done within 2 s"});
  EXPECT_LT(outcomes[0].seconds, 30);
}

// A collective that fails leaves anything in its memory, and what runs behind it computes with
// that. Without a launch, a collective or a time-out in between, only who asks NCCL hears of it.
void save_behind_a_failure(const std::string& path, nn::Mode mode, int rank) {
  join();
  const Device d = dist::device();
  set_seed(3);
  auto net =
      nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 11, .hidden = 23, .classes = 5});
  net->to(d);
  auto optimizer = std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{});
  nn::TrainStep step(net, nn::CrossEntropyLoss(), optimizer,
                     {.mode = mode, .data_parallel = dist::ReducerOptions{}});
  const train::CheckpointFolder folder({path});
  const auto go = [&](int k) {
    const auto [x, y] = batch(k, rank * 8, 8, d);
    step(x, y);
  };
  for (int k = 1; k <= 4; ++k) go(k);
  if (mode == nn::Mode::kGraph) {
    require(step.compiled()->session().capture().replays == 3, "steps are captured");
  }
  if (rank == 0) folder.save(4, step.named_states());
  dist::barrier();
  if (rank == 1) {
    void* const stub = dlopen("librutile_nccl_fake.so", RTLD_NOW | RTLD_NOLOAD);
    require(stub != nullptr, "the stand-in");
    reinterpret_cast<void (*)()>(dlsym(stub, "rutile_nccl_break_next"))();
  }
  std::string told, read;
  try {
    go(5);
    if (rank == 0) folder.save(5, step.named_states());
    if (rank == 1) train::save_weights(path + "/rank1.safetensors", step.named_states());
  } catch (const Error& e) {
    told = e.message();
  }
  require(told.find("group 'world', all_reduce") != std::string::npos, cat("saved: ", told));
  try {
    net->parameters()[0]->value().to(kCpu);
  } catch (const Error& e) {
    read = e.message();
  }
  require(read.find("group 'world', all_reduce") != std::string::npos, cat("read: ", read));
}

TEST(DeviceGroup, WhatAFailedCollectiveLeftIsNotSaved) {
  for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
    const testing::TempDir dir;
    const auto outcomes =
        run_ranks(2, [&](int rank) { save_behind_a_failure(dir.path(), mode, rank); },
                  {.variables = variables()});
    for (const Outcome& o : outcomes) {
      EXPECT_EQ(o.error, "");
      EXPECT_LT(o.seconds, 30);
    }
    EXPECT_EQ(dir.list(), std::vector<std::string>{"step-00000004.safetensors"});
    EXPECT_EQ(train::CheckpointFolder({dir.path()}).latest()->step, 4);
  }
}

TEST(DeviceGroup, MoreRanksThanDevicesAreRefused) {
  const auto outcomes =
      run_ranks(3, [](int) { join(); }, {.variables = {{"RUTILE_FAKE_DEVICES", "2"}}});
  expect_text(outcomes[2], {"needs one for each rank", "which has 2 devices"});
  for (const Outcome& o : outcomes) EXPECT_EQ(o.status, 1);
}

}  // namespace
}  // namespace rutile
