// SPDX-License-Identifier: Apache-2.0
// The programs' data: what --dataset names, as a feed for training and a pipeline for testing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rutile/apps/support/options.h"
#include "rutile/dataset/pipeline.h"
#include "rutile/train/feed.h"

namespace rutile::apps {

struct Data {
  std::unique_ptr<dataset::Pipeline> train, test;  // null for synthetic data
  std::unique_ptr<train::Feed> feed;
  int64_t classes = 0;
  std::string description;  // "60,000 training and 10,000 test images"
  // Steps of the whole training.
  int64_t total_steps(const Options& options) const;
};

// What becomes of the images.
struct ImageLayout {
  int64_t channels = 3;
  bool channels_last = false;  // in eager mode: the faster order for convolutions
  bool augment = false;        // random crop and flip
};
// Images [n, channels, size, size] and labels i32 [n]; synthetic: one batch of noise.
Data load_images(const Options& options, const ImageLayout& layout);

// One batch of noise: N(0, 1) values of a shape, and labels below `classes`.
Tensor noise(const Shape& shape, uint64_t seed);
Tensor random_labels(const Shape& shape, int64_t classes, uint64_t seed);

// Pipelines over two sources, the training one shuffled and without a last batch of fewer samples.
void set_sources(const Options& options, dataset::SourcePtr train, dataset::SourcePtr test,
                 const dataset::PipelineOptions& common,
                 std::vector<dataset::TransformPtr> train_transforms,
                 std::vector<dataset::TransformPtr> test_transforms, Data* data);

}  // namespace rutile::apps
