// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "rutile/core/interrupt.h"
#include "rutile/core/thread.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::dataset {
namespace {

using std::chrono::milliseconds;

SourcePtr numbers(int64_t n) {
  Tensor x = Tensor::empty({n, 2}, DType::kF32), y = Tensor::empty({n}, DType::kI32);
  for (int64_t i = 0; i < n; ++i) {
    x.mutable_data_as<float>()[2 * i] = static_cast<float>(i);
    x.mutable_data_as<float>()[2 * i + 1] = static_cast<float>(-i);
    y.mutable_data_as<int32_t>()[i] = static_cast<int32_t>(i);
  }
  return from_tensors({x, y}, 0, "numbers");
}

// Everything that a pipeline gives until its next end, in bytes.
std::vector<std::vector<uint8_t>> drain(Pipeline* p) {
  std::vector<std::vector<uint8_t>> out;
  Batch batch;
  while (p->next(&batch)) {
    std::vector<uint8_t> bytes;
    for (const Tensor& t : batch.fields) {
      const size_t at = bytes.size(), n = static_cast<size_t>(t.meta().nbytes());
      bytes.resize(at + n);
      t.copy_out(bytes.data() + at, n);
    }
    bytes.push_back(static_cast<uint8_t>(batch.epoch));
    bytes.push_back(static_cast<uint8_t>(batch.index));
    out.push_back(std::move(bytes));
  }
  return out;
}

std::vector<int32_t> labels(Pipeline* p) {
  std::vector<int32_t> out;
  for (const Batch& b : *p) {
    const auto v = b.labels().to_vector<int32_t>();
    out.insert(out.end(), v.begin(), v.end());
  }
  return out;
}

std::vector<int32_t> iota(int n) {
  std::vector<int32_t> v(n);
  std::iota(v.begin(), v.end(), 0);
  return v;
}

PipelineOptions augmented(int workers) {
  return {.batch_size = 16,
          .shuffle = true,
          .seed = 11,
          .workers = workers,
          .prefetch = 3,
          .transforms = {random_crop(12, 12, 2), random_flip(), resize(9, 10),
                         normalize({0.4f, 0.5f, 0.6f}, {0.2f, 0.3f, 0.4f})}};
}

SourcePtr pictures() { return synthetic_images({.samples = 150, .shape = {3, 12, 13}}); }

TEST(Pipeline, InOrderWithAndWithoutTheLastBatch) {
  for (const int workers : {0, 1, 3}) {
    Pipeline keep(numbers(10), {.batch_size = 4, .workers = workers});
    EXPECT_EQ(keep.batches_per_epoch(), 3);
    Batch b;
    ASSERT_TRUE(keep.next(&b));
    EXPECT_EQ(b.x().shape(), (Shape{4, 2}));
    EXPECT_EQ(b.x().to_vector<float>(), (std::vector<float>{0, 0, 1, -1, 2, -2, 3, -3}));
    EXPECT_EQ(b.labels().to_vector<int32_t>(), iota(4));
    ASSERT_TRUE(keep.next(&b));
    ASSERT_TRUE(keep.next(&b));
    EXPECT_EQ(b.size(), 2);
    EXPECT_EQ(b.index, 2);
    EXPECT_FALSE(keep.next(&b));
    ASSERT_TRUE(keep.next(&b));
    EXPECT_EQ(b.epoch, 1);
    EXPECT_EQ(b.index, 0);
    Pipeline drop(numbers(10), {.batch_size = 4, .drop_last = true, .workers = workers});
    EXPECT_EQ(labels(&drop), iota(8));
  }
}

TEST(Pipeline, RepeatCountsEpochs) {
  Pipeline twice(numbers(5), {.batch_size = 5, .repeat = 2});
  EXPECT_EQ(labels(&twice).size(), 10u);
  EXPECT_EQ(labels(&twice).size(), 10u);
  Pipeline endless(numbers(5), {.batch_size = 5, .repeat = 0});
  Batch b;
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(endless.next(&b));
  EXPECT_EQ(b.epoch, 49);
}

TEST(Pipeline, ShufflesEachEpochAnew) {
  Pipeline p(numbers(100), {.batch_size = 7, .shuffle = true, .seed = 3});
  auto first = labels(&p), second = labels(&p);
  EXPECT_NE(first, second);
  EXPECT_NE(first, iota(100));
  Pipeline same(numbers(100), {.batch_size = 50, .shuffle = true, .seed = 3});
  EXPECT_EQ(labels(&same), first) << "the batch size does not change the order";
  Pipeline other(numbers(100), {.batch_size = 7, .shuffle = true, .seed = 4});
  EXPECT_NE(labels(&other), first);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, iota(100));
  EXPECT_EQ(second, iota(100));
}

TEST(Pipeline, SameBytesAtAnyNumberOfWorkers) {
  Pipeline alone(pictures(), augmented(0));
  const auto first = drain(&alone), second = drain(&alone);
  EXPECT_NE(first, second);
  for (const int workers : {1, 2, 4, 7}) {
    Pipeline p(pictures(), augmented(workers));
    EXPECT_EQ(drain(&p), first) << workers;
    EXPECT_EQ(drain(&p), second) << workers;
  }
}

TEST(Pipeline, ResumesInsideAnEpoch) {
  for (const int workers : {0, 4}) {
    Pipeline whole(pictures(), augmented(workers));
    drain(&whole);
    auto rest = drain(&whole);
    const auto third = drain(&whole);

    Pipeline broken(pictures(), augmented(workers));
    drain(&broken);
    Batch b;
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(broken.next(&b));
    const auto state = broken.state_dict();
    EXPECT_EQ(state.at("epoch"), 1);
    EXPECT_EQ(state.at("batch"), 4);

    rest.erase(rest.begin(), rest.begin() + 4);
    Pipeline resumed(pictures(), augmented(workers == 0 ? 2 : 0));
    resumed.load_state_dict(state);
    EXPECT_EQ(drain(&resumed), rest);
    EXPECT_EQ(drain(&resumed), third);
    broken.load_state_dict(state);  // back to where it was, with batches in flight
    EXPECT_EQ(drain(&broken), rest);
  }
}

TEST(Pipeline, ResumesAtTheEndOfAnEpoch) {
  for (const int64_t repeat : {1, 2, 0}) {
    const PipelineOptions options{.batch_size = 4, .shuffle = true, .repeat = repeat};
    Pipeline whole(numbers(12), options);
    Batch b, c;
    for (int step = 0; step < 20; ++step) {
      Pipeline resumed(numbers(12), options);
      resumed.load_state_dict(whole.state_dict());
      EXPECT_EQ(resumed.state_dict(), whole.state_dict());
      const bool more = whole.next(&b);
      ASSERT_EQ(resumed.next(&c), more) << "repeat " << repeat << " step " << step;
      if (!more) continue;
      EXPECT_EQ(b.epoch, c.epoch);
      EXPECT_EQ(b.labels().to_vector<int32_t>(), c.labels().to_vector<int32_t>());
    }
  }
}

TEST(Pipeline, StateOfAnotherPipelineIsRefused) {
  Pipeline p(numbers(12), {.batch_size = 4, .seed = 1});
  const auto state = p.state_dict();
  const auto load = [&](int64_t n, PipelineOptions o) {
    Pipeline(numbers(n), o).load_state_dict(state);
  };
  load(12, {.batch_size = 4, .seed = 1, .workers = 3});
  EXPECT_RUTILE_ERROR(load(11, {.batch_size = 4, .seed = 1}), kValue,
                      "samples = 12, here it is 11");
  EXPECT_RUTILE_ERROR(load(12, {.batch_size = 3, .seed = 1}), kValue, "batch_size = 4");
  EXPECT_RUTILE_ERROR(load(12, {.batch_size = 4, .seed = 2}), kValue, "seed = 1");
  EXPECT_RUTILE_ERROR(load(12, {.batch_size = 4, .shuffle = true, .seed = 1}), kValue, "shuffle");
  auto broken = state;
  broken.erase("epoch");
  EXPECT_RUTILE_ERROR(p.load_state_dict(broken), kValue, "has no 'epoch'");
  broken["epoch"] = -1;
  EXPECT_RUTILE_ERROR(p.load_state_dict(broken), kValue, "no batch 0 in epoch -1");
  EXPECT_RUTILE_ERROR(p.seek(0, 4), kValue, "an epoch has 3 batches");
  EXPECT_RUTILE_ERROR(p.seek(int64_t{1} << 62), kValue, "no batch 0 in epoch");
}

TEST(Pipeline, SeekingFarReadsNothingOnTheWay) {
  class Counting final : public Source {
   public:
    int64_t size() const override { return int64_t{1} << 40; }
    void read(int64_t index, Sample* out) const override {
      ++reads;
      out->add_scalar(index);
      out->add_scalar(int32_t{0});
    }
    mutable std::atomic<int> reads{0};
  };
  const auto source = std::make_shared<Counting>();
  Pipeline p(source, {.batch_size = 2, .shuffle = true, .workers = 0});
  p.seek(1000, int64_t{1} << 38);
  Batch b;
  ASSERT_TRUE(p.next(&b));
  EXPECT_EQ(b.epoch, 1000);
  EXPECT_EQ(source->reads, 2);
}

TEST(Pipeline, LayoutsAndDTypes) {
  Pipeline plain(pictures(), {.batch_size = 3});
  Pipeline nhwc(pictures(), {.batch_size = 3, .channels_last = true});
  Pipeline nhwc_float(pictures(),
                      {.batch_size = 3, .channels_last = true, .transforms = {to_float()}});
  Batch a, b, c;
  ASSERT_TRUE(plain.next(&a) && nhwc.next(&b) && nhwc_float.next(&c));
  EXPECT_EQ(a.x().dtype(), DType::kU8);
  EXPECT_TRUE(a.x().meta().is_contiguous());
  EXPECT_TRUE(b.x().meta().is_channels_last());
  EXPECT_EQ(a.x().shape(), (Shape{3, 3, 12, 13}));
  EXPECT_EQ(b.x().shape(), a.x().shape());
  const auto bytes = a.x().to_vector<uint8_t>();
  EXPECT_EQ(b.x().to_vector<uint8_t>(), bytes);
  const auto floats = c.x().to_vector<float>();
  for (size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(floats[i], bytes[i] / 255.0f);
  EXPECT_EQ(a.labels().dtype(), DType::kI32);
  EXPECT_EQ(a.labels().shape(), (Shape{3}));
}

TEST(Pipeline, GreyToThreeChannels) {
  Pipeline p(synthetic_images({.samples = 4, .shape = {1, 5, 5}}),
             {.batch_size = 4, .transforms = {normalize({0.286f}, {0.353f}), repeat_channels(3)}});
  Batch b;
  ASSERT_TRUE(p.next(&b));
  EXPECT_EQ(b.x().shape(), (Shape{4, 3, 5, 5}));
  const float* x = b.x().data_as<float>();
  for (int i = 0; i < 25; ++i) EXPECT_TRUE(x[i] == x[i + 25] && x[i] == x[i + 50]);
}

TEST(Pipeline, TextBatches) {
  const auto text = std::make_shared<TextSource>("abcdefghij", "t", TextOptions{.window = 3});
  Pipeline p(text, {.batch_size = 2});
  Batch b;
  ASSERT_TRUE(p.next(&b));
  EXPECT_EQ(b.x().to_vector<int32_t>(), (std::vector<int32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(b.labels().to_vector<int32_t>(), (std::vector<int32_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(b.labels().shape(), (Shape{2, 3}));
}

TEST(Pipeline, BuffersAreReused) {
  Pipeline p(synthetic_images({.samples = 4096, .shape = {3, 32, 32}, .seed = 1}),
             {.batch_size = 64, .workers = 2, .transforms = {to_float()}});
  Batch b;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(p.next(&b));
  const auto reserved = [] {
    const MemoryStats m = allocator(kCpu).stats();
    return m.live_bytes + m.cached_bytes;
  };
  const int64_t before = reserved();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(p.next(&b));
  EXPECT_LT(reserved() - before, b.x().meta().nbytes());
}

TEST(Pipeline, ImpossibleOptions) {
  EXPECT_RUTILE_ERROR(Pipeline(nullptr, {}), kValue, "needs a source");
  EXPECT_RUTILE_ERROR(Pipeline(numbers(0), {}), kValue, "the source has 0");
  EXPECT_RUTILE_ERROR(Pipeline(numbers(3), {.batch_size = 0}), kValue, "batch_size");
  EXPECT_RUTILE_ERROR(Pipeline(numbers(3), {.repeat = -1}), kValue, "repeat");
  EXPECT_RUTILE_ERROR(Pipeline(numbers(3), {.workers = -1}), kValue, "workers");
  EXPECT_RUTILE_ERROR(Pipeline(numbers(3), {.transforms = {nullptr}}), kValue, "null");
  EXPECT_RUTILE_ERROR(Pipeline(numbers(3), {.batch_size = 4, .drop_last = true}), kValue,
                      "3 samples make no batch of 4");
}

// Reads after `delay`; throws for one index.
class Difficult final : public Source {
 public:
  explicit Difficult(int64_t bad, milliseconds delay = milliseconds(0))
      : bad_(bad), delay_(delay) {}
  int64_t size() const override { return 64; }
  void read(int64_t index, Sample* out) const override {
    if (index >= slow_from) std::this_thread::sleep_for(delay_);
    EXPECT_TRUE(workers_only == false || num_threads() == 1);
    if (index == bad_ && foreign) throw std::runtime_error("bad checksum");
    if (index == bad_) throw_error(ErrorCode::kIo, "bad checksum");
    out->add_owned(DType::kU8, {1, 2, index == odd ? 3 : 2});
    out->add_scalar(static_cast<int32_t>(index));
  }
  std::string describe(int64_t index) const override { return cat("picture ", index, " of 'd'"); }
  bool foreign = false, workers_only = false;
  int64_t odd = -1, slow_from = 0;

 private:
  int64_t bad_;
  milliseconds delay_;
};

TEST(Pipeline, ErrorsComeWithTheBatchThatIsDue) {
  for (const int workers : {0, 1, 4}) {
    const auto source = std::make_shared<Difficult>(21);
    Pipeline p(source, {.batch_size = 4, .workers = workers, .prefetch = 8});
    Batch b;
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(p.next(&b)) << i;
    const char* text = "[dataset] reading of sample 21 (picture 21 of 'd'): bad checksum";
    EXPECT_RUTILE_ERROR(p.next(&b), kIo, text);
    EXPECT_RUTILE_ERROR(p.next(&b), kIo, text);
    EXPECT_EQ(p.state_dict().at("batch"), 5);
    p.seek(0, 6);
    EXPECT_TRUE(p.next(&b));
    source->foreign = true;
    p.seek(0, 5);
    EXPECT_RUTILE_ERROR(p.next(&b), kRuntime, text);
  }
}

TEST(Pipeline, ErrorsOfTransformsNameThem) {
  Batch b;
  Pipeline small(std::make_shared<Difficult>(-1),
                 {.transforms = {random_flip(), random_crop(9, 9)}});
  EXPECT_RUTILE_ERROR(small.next(&b), kValue,
                      "[dataset] random_crop of sample 0 (picture 0 of 'd')");
  const auto odd = std::make_shared<Difficult>(-1);
  odd->odd = 5;
  Pipeline sizes(odd, {.batch_size = 8});
  EXPECT_RUTILE_ERROR(sizes.next(&b), kValue,
                      "sample 5 (picture 5 of 'd'): field 0 is u8[1,2,3], which does not fit into "
                      "u8[8,1,2,2]");
  Pipeline vectors(numbers(3), {.transforms = {to_float()}});
  EXPECT_RUTILE_ERROR(vectors.next(&b), kValue, "the first field is f32[2]");
}

TEST(Pipeline, WorkersComputeWithOneThread) {
  const auto source = std::make_shared<Difficult>(-1);
  source->workers_only = true;
  Pipeline p(source, {.batch_size = 4, .workers = 2});
  EXPECT_EQ(labels(&p), iota(64));
}

TEST(Pipeline, TheDestructorDoesNotWaitForBatches) {
  const auto source = std::make_shared<Difficult>(-1, milliseconds(500));
  source->slow_from = 16;
  std::chrono::steady_clock::time_point start;
  {
    Pipeline p(source, {.batch_size = 16, .workers = 4, .prefetch = 8});
    Batch b;
    ASSERT_TRUE(p.next(&b));
    start = std::chrono::steady_clock::now();  // each worker is busy for 8 s
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(4000));
  Pipeline never_started(numbers(3), {.workers = 4});
  Pipeline moved = std::move(never_started);
  EXPECT_EQ(labels(&moved), iota(3));
}

TEST(Pipeline, AnInterruptEndsTheWait) {
  install_interrupt_handler();
  for (const int workers : {0, 2}) {
    Pipeline p(std::make_shared<Difficult>(-1, milliseconds(200)),
               {.batch_size = 64, .workers = workers});
    std::thread user([] {
      std::this_thread::sleep_for(milliseconds(100));
      raise(SIGINT);
    });
    Batch b;
    const auto start = std::chrono::steady_clock::now();
    EXPECT_RUTILE_ERROR(p.next(&b), kInterrupted, "interrupted");
    EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(5000));
    user.join();
    clear_interrupt();
    EXPECT_EQ(p.state_dict().at("batch"), 0);
  }
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
}

TEST(Pipeline, TheWatchdogNamesOperationAndSample) {
  setenv("RUTILE_DATASET_TIMEOUT", "0.1", 1);
  Pipeline p(std::make_shared<Difficult>(-1, milliseconds(400)), {.batch_size = 1, .workers = 1});
  setenv("RUTILE_DATASET_TIMEOUT", "soon", 1);
  EXPECT_RUTILE_ERROR(Pipeline(numbers(3), {}), kValue, "a number of seconds, got 'soon'");
  unsetenv("RUTILE_DATASET_TIMEOUT");
  ::testing::internal::CaptureStderr();
  Batch b;
  ASSERT_TRUE(p.next(&b));
  EXPECT_THAT(
      ::testing::internal::GetCapturedStderr(),
      ::testing::HasSubstr("batch 0 of epoch 0 has not come for 0 s: worker 0 is at reading "
                           "of sample 0 (picture 0 of 'd')"));
  EXPECT_GT(p.wait_seconds(), 0.3);
}

// The example of the header, shortened.
TEST(Pipeline, Example) {
  Pipeline train(synthetic_images({.samples = 130, .shape = {1, 28, 28}}),
                 {.batch_size = 64,
                  .shuffle = true,
                  .seed = 1,
                  .drop_last = true,
                  .workers = 2,
                  .transforms = {random_crop(28, 28, 2), random_flip(),
                                 normalize({0.286f}, {0.353f}), repeat_channels(3)}});
  int steps = 0;
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (const Batch& batch : train) {
      EXPECT_EQ(batch.x().shape(), (Shape{64, 3, 28, 28}));
      EXPECT_EQ(batch.labels().shape(), (Shape{64}));
      ++steps;
    }
  }
  EXPECT_EQ(steps, 6);
}

}  // namespace
}  // namespace rutile::dataset
