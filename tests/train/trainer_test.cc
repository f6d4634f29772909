// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/trainer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <csignal>
#include <numeric>

#include "rutile/core/interrupt.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/random.h"
#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"
#include "rutile/train/callbacks.h"
#include "rutile/train/evaluate.h"

namespace rutile::train {
namespace {

using ::testing::ElementsAre;
using testing::TempDir;

constexpr int64_t kSamples = 22, kBatch = 4;  // 5 batches an epoch, or 6 with the last one

dataset::SourcePtr source(int64_t first = 0) {
  return dataset::synthetic_images(
      {.samples = kSamples, .shape = {1, 4, 4}, .classes = 3, .seed = 1, .first = first});
}

// A tiny network with its data, ready to train; the same values each time.
struct Training {
  explicit Training(nn::Mode mode, double lr = 0.05, int64_t classes = 3, double dropout = 0.25,
                    bool drop_last = true)
      : pipeline(source(), {.batch_size = kBatch,
                            .shuffle = true,
                            .seed = 3,
                            .drop_last = drop_last,
                            .repeat = 0,
                            .transforms = {dataset::random_flip(), dataset::to_float()}}),
        feed(pipeline) {
    set_seed(7);
    net = nn::make<nn::Sequential>(std::initializer_list<nn::CellPtr>{
        nn::make<nn::Flatten>(), nn::make<nn::Linear>(16, 8), nn::make<nn::ReLU>(),
        nn::make<nn::Dropout>(dropout), nn::make<nn::Linear>(8, classes)});
    auto adam =
        std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{.lr = lr});
    adam->set_schedule(nn::optim::cosine(lr, 0, 15));
    step = std::make_unique<nn::TrainStep>(net, nn::CrossEntropyLoss(), adam,
                                           nn::StepOptions{.mode = mode});
  }
  std::vector<std::vector<char>> bytes() const {
    std::vector<std::vector<char>> all;
    for (const auto& [name, state] : step->named_states()) {
      const Tensor& t = state->concrete();
      all.emplace_back(static_cast<size_t>(t.numel()) * dtype_size(t.dtype()));
      t.copy_out(all.back().data(), all.back().size());
    }
    return all;
  }

  dataset::Pipeline pipeline;
  PipelineFeed feed;
  nn::CellPtr net;
  std::unique_ptr<nn::TrainStep> step;
};

class Log final : public Callback {
 public:
  void on_train_begin(Trainer&) override { text += "begin "; }
  void on_step_end(Trainer&, const StepInfo& i) override {
    text += cat(i.step, ":", i.epoch, ".", i.epoch_step, " ");
  }
  void on_epoch_end(Trainer&, const StepInfo& i, double mean) override {
    text += cat("epoch", i.epoch, " ");
    EXPECT_TRUE(std::isfinite(mean));
  }
  void on_train_end(Trainer&) override { text += "end"; }
  std::string on_interrupt(Trainer&) override {
    text += "interrupt";
    return "; noted";
  }
  std::string text;
};

class TrainerModes : public ::testing::TestWithParam<nn::Mode> {};
INSTANTIATE_TEST_SUITE_P(Trainer, TrainerModes,
                         ::testing::Values(nn::Mode::kEager, nn::Mode::kGraph), [](const auto& p) {
                           return p.param == nn::Mode::kEager ? "Eager" : "Graph";
                         });

TEST_P(TrainerModes, LearnsAndTellsItsCallbacks) {
  Training s(GetParam());
  Trainer trainer(*s.step, s.feed, {.epochs = 3, .items_per_sample = 2});
  auto log = std::make_shared<Log>();
  trainer.add(log);
  const History h = trainer.run();
  EXPECT_EQ(log->text,
            "begin 1:0.1 2:0.2 3:0.3 4:0.4 5:0.5 epoch0 6:1.1 7:1.2 8:1.3 9:1.4 10:1.5 epoch1 "
            "11:2.1 12:2.2 13:2.3 14:2.4 15:2.5 epoch2 end");
  ASSERT_EQ(h.losses.size(), 15u);
  EXPECT_LT(std::accumulate(h.losses.begin() + 10, h.losses.end(), 0.0),
            std::accumulate(h.losses.begin(), h.losses.begin() + 5, 0.0));
  EXPECT_DOUBLE_EQ(h.lrs.front(), 0.05);
  EXPECT_LT(h.lrs.back(), 0.005);
  EXPECT_EQ(h.step_items.front(), kBatch * 2);
  EXPECT_GT(h.median_items_per_second(1), 0);
  EXPECT_GE(h.best_items_per_second(1), h.median_items_per_second(1));
  EXPECT_TRUE(std::isnan(h.median_seconds(15)));
  EXPECT_GE(h.seconds, h.wait_seconds);
}

TEST_P(TrainerModes, SameSeedSameBits) {
  std::vector<double> losses;
  std::vector<std::vector<char>> bytes;
  for (int i = 0; i < 2; ++i) {
    Training t(GetParam());
    const History h = Trainer(*t.step, t.feed).run();
    EXPECT_TRUE(i == 0 || h.losses == losses);
    EXPECT_TRUE(i == 0 || t.bytes() == bytes);
    losses = h.losses;
    bytes = t.bytes();
  }
}

// Stops after every number of steps, loads the checkpoint in a fresh set-up, goes on.
TEST_P(TrainerModes, ResumeIsBitExact) {
  std::vector<double> losses;
  std::vector<std::vector<char>> want;
  {
    Training s(GetParam());
    losses = Trainer(*s.step, s.feed, {.epochs = 3}).run().losses;
    want = s.bytes();
  }
  for (const int64_t stop : {1, 5, 8, 14}) {
    TempDir dir;
    const CheckpointFolder folder({dir.path()});
    {
      Training s(GetParam());
      Trainer t(*s.step, s.feed, {.epochs = 3});
      t.add(std::make_shared<CheckpointCallback>(folder));
      t.add(std::make_shared<StopAfterSteps>(stop));
      t.run();
    }
    Training s(GetParam());
    Trainer t(*s.step, s.feed, {.epochs = 3});
    const auto c = folder.latest();
    ASSERT_TRUE(c);
    EXPECT_EQ(c->metadata.at("epoch"), cat(stop / 5));
    resume(t, *c);
    EXPECT_EQ(t.steps_done(), stop);
    const History h = t.run();
    EXPECT_EQ(h.losses, std::vector<double>(losses.begin() + stop, losses.end())) << stop;
    EXPECT_EQ(s.bytes(), want) << stop;
  }
}

TEST_P(TrainerModes, EvaluatesEverySample) {
  Training s(GetParam());
  dataset::Pipeline test(source(100), {.batch_size = kBatch, .transforms = {dataset::to_float()}});
  EXPECT_EQ(test.batches_per_epoch(), 6);
  nn::EvalStep eval(s.net, {.mode = GetParam()});
  Accuracy top3(3);
  Evaluation e = evaluate(eval, test, {.loss = nn::CrossEntropyLoss(), .metrics = {&top3}});
  EXPECT_EQ(e.samples, kSamples);
  EXPECT_EQ(top3.samples(), kSamples);
  EXPECT_DOUBLE_EQ(top3.value(), 1);
  // As one batch.
  dataset::Pipeline whole(source(100),
                          {.batch_size = kSamples, .transforms = {dataset::to_float()}});
  const Evaluation once = evaluate(eval, whole, {.loss = nn::CrossEntropyLoss()});
  EXPECT_DOUBLE_EQ(once.accuracy, e.accuracy);
  EXPECT_NEAR(once.loss, e.loss, 1e-6);
  // Neither training mode nor the generator is touched.
  EXPECT_TRUE(s.net->training());
  e = evaluate(eval, test);
  EXPECT_TRUE(std::isnan(e.loss));
}

TEST_P(TrainerModes, BadLossStops) {
  Training s(GetParam(), 1e30);
  Trainer t(*s.step, s.feed, {.epochs = 3});
  EXPECT_RUTILE_ERROR(t.run(), kValue, "in step ");
  Training ignored(GetParam(), 1e30);
  EXPECT_EQ(Trainer(*ignored.step, ignored.feed, {.epochs = 3, .stop_on_bad_loss = false})
                .run()
                .losses.size(),
            15u);
}

// Raises a signal within step 3.
class SignalInStep final : public Callback {
 public:
  void on_step_end(Trainer&, const StepInfo& i) override {
    if (i.step == 2) std::raise(SIGINT);
  }
};

TEST_P(TrainerModes, InterruptSavesAndThrows) {
  TempDir dir;
  const CheckpointFolder folder({dir.path()});
  install_interrupt_handler();
  Training s(GetParam());
  Trainer t(*s.step, s.feed, {.epochs = 3});
  auto log = std::make_shared<Log>();
  t.add(log);
  t.add(std::make_shared<SignalInStep>());
  t.add(std::make_shared<CheckpointCallback>(folder));
  EXPECT_RUTILE_ERROR(t.run(), kInterrupted, "by Ctrl-C after step 2; noted; saved as '");
  clear_interrupt();
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  EXPECT_EQ(log->text, "begin 1:0.1 2:0.2 interrupt");
  EXPECT_THAT(folder.steps(), ElementsAre(2));
}

// The last batch of an epoch has 2 samples, the others 4: two plans, however many epochs.
TEST(Trainer, ASmallerLastBatchCompilesTwoPlans) {
  Training t(nn::Mode::kGraph, 0.05, 3, 0.25, /*drop_last=*/false);
  Trainer trainer(*t.step, t.feed, {.epochs = 4});
  nn::EvalStep eval(t.net);
  dataset::Pipeline test(source(), {.batch_size = kBatch, .transforms = {dataset::to_float()}});
  EXPECT_EQ(trainer.run().losses.size(), 4u * 6u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(evaluate(eval, test).samples, kSamples);
  }
  EXPECT_EQ(t.step->compiled()->compilations(), 2);
  EXPECT_EQ(eval.compiled()->compilations(), 2);
}

TEST(Trainer, StepsAndOptions) {
  Training s(nn::Mode::kEager);
  EXPECT_EQ(Trainer(*s.step, s.feed).total_steps(), 5);
  EXPECT_EQ(Trainer(*s.step, s.feed, {.epochs = 2, .steps = 7}).total_steps(), 7);
  EXPECT_EQ(Trainer(*s.step, s.feed, {.epochs = 1, .steps = 7}).total_steps(), 5);
  EXPECT_TRUE(Trainer(*s.step, s.feed, {.epochs = 0}).run().losses.empty());
  EXPECT_RUTILE_ERROR(Trainer(*s.step, s.feed, {.epochs = -1}), kValue, "from 0");
  EXPECT_RUTILE_ERROR(Trainer(*s.step, s.feed, {.epochs = int64_t{1} << 62}), kValue, "too many");
  Trainer t(*s.step, s.feed);
  EXPECT_RUTILE_ERROR(t.add(nullptr), kValue, "callback is null");
  FixedFeed fixed(Tensor::zeros({2, 1, 4, 4}), Tensor::zeros({2}, DType::kI32));
  EXPECT_RUTILE_ERROR(Trainer(*s.step, fixed), kValue, "number of steps");
  EXPECT_EQ(Trainer(*s.step, fixed, {.steps = 3}).run().losses.size(), 3u);
}

TEST(Checkpoints, EveryFewSteps) {
  TempDir dir;
  const CheckpointFolder folder({dir.path(), 10});
  Training s(nn::Mode::kEager);
  Trainer t(*s.step, s.feed, {.epochs = 2});
  t.add(std::make_shared<CheckpointCallback>(
      folder, CheckpointCallbackOptions{.every_steps = 2, .metadata = {{"note", "x"}}}));
  t.run();
  EXPECT_THAT(folder.steps(), ElementsAre(2, 4, 5, 6, 8, 10));
  const auto c = folder.latest();
  EXPECT_EQ(c->metadata.at("note"), "x");
  EXPECT_EQ(c->metadata.at("data.seed"), "3");
  EXPECT_EQ(c->metadata.at("epoch"), "2");
}

TEST(Checkpoints, StrictLoadNamesWhatDiffers) {
  TempDir dir;
  const CheckpointFolder folder({dir.path()});
  Training s(nn::Mode::kEager);
  Trainer t(*s.step, s.feed);
  t.add(std::make_shared<CheckpointCallback>(folder));
  t.run();
  Checkpoint c = *folder.latest();

  Training other(nn::Mode::kEager, 0.05, 4);
  Trainer u(*other.step, other.feed);
  EXPECT_RUTILE_ERROR(resume(u, c), kValue, "4.weight");
  Checkpoint bad = c;
  bad.values.erase("1.bias");
  bad.values["extra"] = Tensor::zeros({1});
  EXPECT_RUTILE_ERROR(resume(t, bad), kValue, "1.bias");
  EXPECT_RUTILE_ERROR(resume(t, bad), kValue, "extra");
  bad = c;
  bad.metadata["data.seed"] = "4";
  EXPECT_RUTILE_ERROR(resume(t, bad), kValue, "saved with seed = 4");
  bad.metadata["data.seed"] = "four";
  EXPECT_RUTILE_ERROR(resume(t, bad), kValue, "no number");
  bad.metadata.erase("data.seed");
  EXPECT_RUTILE_ERROR(resume(t, bad), kValue, "has no 'seed'");
  resume(t, c);
}

}  // namespace
}  // namespace rutile::train
