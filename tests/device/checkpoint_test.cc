// SPDX-License-Identifier: Apache-2.0
// Checkpoints of what a device holds.
#include <gtest/gtest.h>

#include "rutile/nn/losses.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/random.h"
#include "rutile/tests/device/fake.h"
#include "rutile/tests/support/temp_dir.h"
#include "rutile/train/checkpoint.h"

namespace rutile {
namespace {

using fake::kFake;

struct Job {
  std::shared_ptr<nn::models::Mlp> net;
  std::unique_ptr<nn::TrainStep> step;
  Job(nn::Mode mode, Device device, uint64_t seed) {
    set_seed(seed);
    net =
        nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 11, .hidden = 23, .classes = 5});
    net->to(device);
    auto optimizer =
        std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{});
    step = std::make_unique<nn::TrainStep>(net, nn::CrossEntropyLoss(), optimizer,
                                           nn::StepOptions{.mode = mode});
  }
  void train(uint64_t first, uint64_t last) {
    for (uint64_t k = first; k < last; ++k) {
      const Tensor key = Tensor::from<uint64_t>({k}, {1});
      (*step)(ops::random_normal(key, {.shape = {4, 11}}),
              ops::random_randint(key, {.shape = {4}, .low = 0, .high = 5}));
    }
  }
  std::vector<float> values() const {
    std::vector<float> all;
    for (const nn::ParameterPtr& p : net->parameters()) {
      const std::vector<float> v = p->value().to(kCpu).to_vector<float>();
      all.insert(all.end(), v.begin(), v.end());
    }
    return all;
  }
};

TEST(DeviceCheckpoint, GoesOnHereAndOnTheHost) {
  for (const nn::Mode mode : {nn::Mode::kEager, nn::Mode::kGraph}) {
    const testing::TempDir dir;
    const train::CheckpointFolder folder({dir.path()});
    Job first(mode, kFake, 1);
    first.train(0, 3);
    folder.save(3, first.step->named_states());
    train::save_weights(dir / "net.ckpt", first.step->named_states());
    train::save_weights(dir / "net.safetensors", first.step->named_states());
    first.train(3, 6);
    for (const Device device : {kFake, kCpu}) {
      Job again(mode, device, 2);
      again.train(9, 10);
      again.step->load_states(folder.latest()->values);
      again.train(3, 6);
      EXPECT_EQ(again.net->parameters()[0]->value().device(), device);
      EXPECT_EQ(again.values(), first.values());
    }
    for (const char* file : {"net.ckpt", "net.safetensors"}) {
      Job again(mode, kFake, 2);
      again.step->load_states(train::load_weights(dir / file));
      again.train(3, 6);
      EXPECT_EQ(again.values(), first.values()) << file;
    }
  }
}

// An error that no copy to the host has seen, because it belongs to another stream.
TEST(DeviceCheckpoint, ErrorsOfOtherStreamsAreSeenFirst) {
  const testing::TempDir dir;
  Job job(nn::Mode::kEager, kFake, 1);
  job.train(0, 2);
  const train::CheckpointFolder folder({dir.path()});
  folder.save(2, job.step->named_states());
  auto* const enqueue =
      fake::plugin_function<int(void*, int (*)(void*), void*)>("rutile_fake_enqueue");
  const Stream other = device_runtime(kFake).stream(StreamKind::kCommunication);
  const auto fails = [](void*) { return 1; };
  ASSERT_EQ(enqueue(other, fails, nullptr), 0);
  EXPECT_THROW(folder.save(3, job.step->named_states()), Error);
  ASSERT_EQ(enqueue(other, fails, nullptr), 0);
  EXPECT_THROW(train::save_weights(dir / "net.ckpt", job.step->named_states()), Error);
  EXPECT_EQ(folder.steps(), std::vector<int64_t>{2});
  EXPECT_EQ(dir.list().size(), 1u);
  folder.save(3, job.step->named_states());
}

}  // namespace
}  // namespace rutile
