// SPDX-License-Identifier: Apache-2.0
// Images per second of the input pipeline, by source and number of workers.
#include "rutile/dataset/pipeline.h"

#include <benchmark/benchmark.h>

#include <filesystem>

namespace rutile::dataset {
namespace {

void run(benchmark::State& state, const SourcePtr& source, PipelineOptions options) {
  options.repeat = 0;
  options.workers = static_cast<int>(state.range(0));
  Pipeline p(source, options);
  Batch batch;
  int64_t images = 0;
  for (auto _ : state) {
    p.next(&batch);
    benchmark::DoNotOptimize(batch.x().data());
    images += batch.size();
  }
  state.SetItemsProcessed(images);
}

void fashion_mnist_normalize(benchmark::State& state) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    state.SkipWithError("the package dataset-fashion-mnist is not installed");
    return;
  }
  run(state, fashion_mnist(Split::kTrain),
      {.batch_size = 64, .shuffle = true, .transforms = {normalize({0.286f}, {0.353f})}});
}

void fashion_mnist_augmented(benchmark::State& state) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    state.SkipWithError("the package dataset-fashion-mnist is not installed");
    return;
  }
  run(state, fashion_mnist(Split::kTrain),
      {.batch_size = 64,
       .shuffle = true,
       .transforms = {random_crop(28, 28, 2), random_flip(), resize(32, 32),
                      normalize({0.286f}, {0.353f}), repeat_channels(3)}});
}

void memory_224(benchmark::State& state) {
  const Tensor x = Tensor::zeros({64, 3, 256, 256}, DType::kU8);
  run(state, from_tensors({x, Tensor::zeros({64}, DType::kI32)}),
      {.batch_size = 16,
       .shuffle = true,
       .channels_last = true,
       .transforms = {random_crop(224, 224), random_flip(),
                      normalize({0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f})}});
}

void synthetic_224(benchmark::State& state) {
  run(state, synthetic_images({.samples = 1024, .shape = {3, 224, 224}, .classes = 1000}),
      {.batch_size = 16, .transforms = {to_float()}});
}

BENCHMARK(fashion_mnist_normalize)->Arg(0)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(fashion_mnist_augmented)->Arg(0)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(memory_224)->Arg(0)->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(synthetic_224)->Arg(0)->Arg(1)->Arg(2)->UseRealTime();

}  // namespace
}  // namespace rutile::dataset
