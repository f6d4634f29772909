// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/summary.h"

#include <gmock/gmock.h>

#include <map>

#include "rutile/io/records.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/losses.h"
#include "rutile/nn/optim/optimizer.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/temp_dir.h"
#include "rutile/train/graph_def.h"

namespace rutile::train {
namespace {

using testing::TempDir;

class Recorder final : public nn::Cell {
 public:
  std::string type_name() const override { return "Recorder"; }

 protected:
  Tensor construct(const Tensor& x) override {
    const Tensor y = fc_(ops::flatten(x, 1));
    ops::record({"scalar", "mean"}, ops::mean(y));
    ops::record({"histogram", "out"}, y);
    ops::record({"image", "in"}, x);
    return y;
  }

 private:
  nn::Ptr<nn::Linear> fc_ = add<nn::Linear>("fc", 4, 2);
};

class Summary : public ::testing::TestWithParam<nn::Mode> {};

TEST_P(Summary, ShowsATraining) {
  TempDir dir;
  set_seed(1);
  dataset::Pipeline pipeline(
      dataset::synthetic_images({.samples = 24, .shape = {1, 2, 2}, .classes = 2, .seed = 1}),
      {.batch_size = 4, .repeat = 0, .transforms = {dataset::to_float()}});
  PipelineFeed feed(pipeline);
  auto net = nn::make<Recorder>();
  auto sgd = std::make_shared<nn::optim::SGD>(net->parameters(), nn::optim::SGDOptions{.lr = 0.1});
  nn::TrainStep step(net, nn::CrossEntropyLoss(), sgd, {.mode = GetParam()});
  Trainer trainer(step, feed, {.epochs = 2});
  auto summary = std::make_shared<SummaryCallback>(dir / "run", SummaryOptions{.every_steps = 4});
  trainer.add(summary);
  trainer.run();
  const Ref<io::Blob> blob = io::read_file(summary->file().path());
  std::map<std::string, int> seen;
  for (const std::string_view r : io::parse_records(*blob)) {
    for (const char* tag :
         {"\x0a\x04loss", "learning_rate", "epoch_loss", "\x0a\x04mean", "\x0a\x03out",
          "\x0a\x02in", "fc.weight\x2a", "fc.bias\x2a", "fc/linear"}) {
      if (r.find(tag) != std::string_view::npos) ++seen[tag];
    }
  }
  const bool graph = GetParam() == nn::Mode::kGraph;
  // Steps 1, 4, 8 and 12.
  EXPECT_EQ(seen["\x0a\x04loss"], 4);
  EXPECT_EQ(seen["learning_rate"], 4);
  EXPECT_EQ(seen["epoch_loss"], 2);
  for (const char* tag :
       {"\x0a\x04mean", "\x0a\x03out", "\x0a\x02in", "fc.weight\x2a", "fc.bias\x2a"}) {
    EXPECT_EQ(seen[tag], 4) << tag;
  }
  EXPECT_EQ(seen["fc/linear"], graph ? 1 : 0);
}

INSTANTIATE_TEST_SUITE_P(Modes, Summary, ::testing::Values(nn::Mode::kEager, nn::Mode::kGraph),
                         [](const auto& i) {
                           return i.param == nn::Mode::kGraph ? "graph" : "eager";
                         });

TEST(Recording, KeepsTheLatestOfATagWhereAnybodyRecords) {
  const auto one = Tensor::scalar(1.0f), two = Tensor::scalar(2.0f);
  EXPECT_EQ(ops::record({"scalar", "a"}, one).item(), 0);
  ops::start_recording();
  ops::record({"scalar", "b"}, one);
  ops::record({"scalar", "a"}, one);
  EXPECT_EQ(ops::record({"scalar", "b"}, two).item(), 1);
  const auto values = ops::take_recorded();
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(values[0].tag, "b");
  EXPECT_EQ(values[0].value.item(), 2);
  EXPECT_TRUE(ops::take_recorded().empty());
  ops::stop_recording();
  EXPECT_EQ(ops::record({"scalar", "a"}, one).item(), 0);
}

}  // namespace
}  // namespace rutile::train
