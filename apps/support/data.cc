// SPDX-License-Identifier: Apache-2.0
#include "rutile/apps/support/data.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "rutile/core/rng.h"
#include "rutile/dist/group.h"
#include "rutile/ops/view.h"
#include "rutile/train/text.h"

namespace rutile::apps {
namespace {

using dataset::Split;
using dataset::TransformPtr;

enum Stream : uint64_t { kNoise, kLabels };

struct Statistics {
  std::vector<float> mean, deviation;
};

Statistics statistics_of(const Options& o) {
  if (o.dataset == "cifar10") return {{0.4914f, 0.4822f, 0.4465f}, {0.247f, 0.2435f, 0.2616f}};
  return {{0.286f}, {0.353f}};
}

std::vector<TransformPtr> transforms(const Options& o, const ImageLayout& layout, bool training) {
  const bool cifar = o.dataset == "cifar10";
  const int64_t native = cifar ? 32 : 28;
  std::vector<TransformPtr> all;
  if (training && layout.augment) {
    all.push_back(dataset::random_crop(native, native, 4));
    all.push_back(dataset::random_flip());
  }
  if (o.image_size != native) all.push_back(dataset::resize(o.image_size, o.image_size));
  const Statistics s = statistics_of(o);
  all.push_back(dataset::normalize(s.mean, s.deviation));
  if (!cifar && layout.channels > 1) all.push_back(dataset::repeat_channels(layout.channels));
  return all;
}

void synthetic_batch(const Options& o, const ImageLayout& layout, Data* data) {
  data->classes = o.image_size >= 64 ? 1000 : 10;
  Tensor x = noise({o.batch_size, layout.channels, o.image_size, o.image_size}, o.seed);
  if (layout.channels_last && !o.graph()) x = ops::to_channels_last(x);
  data->feed = std::make_unique<train::FixedFeed>(
      std::move(x), random_labels({o.batch_size}, data->classes, o.seed));
  data->description = "one batch of noise";
}

}  // namespace

Tensor noise(const Shape& shape, uint64_t seed) {
  Tensor t = Tensor::empty(shape);
  float* p = t.mutable_data_as<float>();
  const PhiloxKey key = fold_in({seed}, kNoise);
  const int64_t n = t.numel();
  for (int64_t i = 0; i < n; i += 4) {  // Box and Muller, 1958
    const auto w = philox(key, static_cast<uint64_t>(i / 4));
    for (int64_t k = 0; k < 4 && i + k < n; k += 2) {
      const size_t word = static_cast<size_t>(k);
      const float radius = std::sqrt(-2 * std::log(1 - uniform_f32(w[word])));
      const float angle = 2 * std::numbers::pi_v<float> * uniform_f32(w[word + 1]);
      p[i + k] = radius * std::cos(angle);
      if (i + k + 1 < n) p[i + k + 1] = radius * std::sin(angle);
    }
  }
  return t;
}

Tensor random_labels(const Shape& shape, int64_t classes, uint64_t seed) {
  Tensor t = Tensor::empty(shape, DType::kI32);
  int32_t* p = t.mutable_data_as<int32_t>();
  const PhiloxKey key = fold_in({seed}, kLabels);
  for (int64_t i = 0; i < t.numel(); ++i) {
    const uint64_t word = philox(key, static_cast<uint64_t>(i))[0];
    p[i] = static_cast<int32_t>(word * static_cast<uint64_t>(classes) >> 32);
  }
  return t;
}

void set_sources(const Options& o, dataset::SourcePtr train, dataset::SourcePtr test,
                 const dataset::PipelineOptions& common, std::vector<TransformPtr> train_transforms,
                 std::vector<TransformPtr> test_transforms, Data* data) {
  dataset::PipelineOptions options = common;
  options.batch_size = o.batch_size;
  options.seed = o.seed;
  options.workers = o.workers;
  options.prefetch = 2 + o.workers;
  dataset::PipelineOptions test_options = options;
  options.shards = dist::size();
  options.shard = dist::rank();
  options.transforms = std::move(train_transforms);
  options.shuffle = options.drop_last = true;
  options.repeat = 0;
  test_options.transforms = std::move(test_transforms);
  data->train = std::make_unique<dataset::Pipeline>(std::move(train), options);
  data->test = std::make_unique<dataset::Pipeline>(std::move(test), test_options);
  data->feed = std::make_unique<train::PipelineFeed>(*data->train);
}

Data load_images(const Options& o, const ImageLayout& layout) {
  Data data;
  if (o.synthetic()) {
    synthetic_batch(o, layout, &data);
    return data;
  }
  const auto source = [&o](Split split) {
    return o.dataset == "cifar10" ? dataset::cifar10(split, o.data.empty() ? "." : o.data)
                                  : dataset::fashion_mnist(split, o.data);
  };
  const dataset::SourcePtr train = source(Split::kTrain), test = source(Split::kTest);
  data.classes = train->classes();
  data.description = cat(train::grouped(train->size()), " training and ",
                         train::grouped(test->size()), " test images");
  dataset::PipelineOptions common;
  common.channels_last = layout.channels_last && !o.graph();
  set_sources(o, train, test, common, transforms(o, layout, true), transforms(o, layout, false),
              &data);
  return data;
}

int64_t Data::total_steps(const Options& o) const {
  if (!train) return o.warm_up_steps() + o.steps;
  const int64_t all = o.epochs * train->batches_per_epoch();
  return o.steps > 0 ? std::min(o.steps, all) : all;
}

}  // namespace rutile::apps
