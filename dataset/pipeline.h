// SPDX-License-Identifier: Apache-2.0
// From samples to batches, on worker threads.
//
//   using namespace rutile::dataset;
//   Pipeline train(fashion_mnist(Split::kTrain),
//                  {.batch_size = 64, .shuffle = true, .seed = 1, .drop_last = true, .workers = 2,
//                   .transforms = {random_crop(28, 28, 2), random_flip(),
//                                  normalize({0.286f}, {0.353f}), repeat_channels(3)}});
//   for (int epoch = 0; epoch < 3; ++epoch) {
//     for (const Batch& batch : train) step(batch.x(), batch.labels());
//   }
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/dataset/images.h"
#include "rutile/dataset/source.h"
#include "rutile/dataset/text.h"
#include "rutile/dataset/transform.h"

namespace rutile::dataset {

// Field f of the samples as one tensor [N, ...]; the memory comes from the caching allocator, so a
// dropped batch serves a later one.
struct Batch {
  std::vector<Tensor> fields;
  int64_t epoch = 0;  // which pass over the source, from 0
  int64_t index = 0;  // which batch of it, from 0
  const Tensor& x() const { return fields.at(0); }
  const Tensor& labels() const { return fields.at(1); }
  int64_t size() const { return x().dim(0); }
};

struct PipelineOptions {
  int64_t batch_size = 32;
  bool shuffle = false;        // a new order each epoch, by seed and epoch
  uint64_t seed = 0;           // of the order and of random transforms
  bool drop_last = false;      // leave out a last batch that is not full
  int64_t repeat = 1;          // epochs until next() returns false; 0: it never does
  int workers = 1;             // threads; 0: the caller's thread does the work in next()
  int prefetch = 2;            // batches made ahead, at least one for each worker
  bool channels_last = false;  // x in NHWC order, for images [C,H,W]
  std::vector<TransformPtr> transforms = {};  // of the first field
  // Which part of each epoch this process reads: every shards-th sample of its order. All parts are
  // equally long: with drop_last what is left over is left out, else the first samples come again.
  int64_t shards = 1, shard = 0;
};

// Order, contents and random transforms depend on the source, the seed and the epoch only: any
// number of workers and a resumed run give the same bytes. One thread at a time may use a Pipeline.
class RUTILE_API Pipeline {
 public:
  // Throws Error{kValue} for impossible options. Threads start with the first next().
  Pipeline(SourcePtr source, PipelineOptions options);
  ~Pipeline();  // waits for the samples being read, no longer
  Pipeline(Pipeline&&) noexcept;
  Pipeline& operator=(Pipeline&&) noexcept;

  // The next batch; false after each `repeat` epochs, and the call after that begins the next
  // epoch. An error of a source or a transform comes here, with the operation and the sample, when
  // the batch that it belongs to is due, and again in each call until seek(). After an interrupt
  // (core/interrupt.h) a waiting call throws Error{kInterrupted}. While no batch comes, a warning
  // names the operation and the sample that is worked on, every RUTILE_DATASET_TIMEOUT seconds
  // (30 by default, 0: never).
  bool next(Batch* batch);

  int64_t batches_per_epoch() const;
  int64_t samples() const;  // of this shard
  const Source& source() const;
  const PipelineOptions& options() const;
  // Seconds that next() has waited: what training lost to its input.
  double wait_seconds() const;

  // Goes to a batch of an epoch, without reading what is skipped.
  void seek(int64_t epoch, int64_t batch = 0);
  // Position and what it depends on. Loading it into a pipeline with another number of samples,
  // seed, batch size, order or drop_last is an Error{kValue}.
  std::map<std::string, int64_t> state_dict() const;
  void load_state_dict(const std::map<std::string, int64_t>& state);

  // for (const Batch& b : pipeline): up to the next end, from where the pipeline stands.
  class Iterator {
   public:
    explicit Iterator(Pipeline* p) : pipeline_(p) { ++*this; }
    const Batch& operator*() const { return batch_; }
    const Batch* operator->() const { return &batch_; }
    Iterator& operator++() {
      if (!pipeline_->next(&batch_)) pipeline_ = nullptr;
      return *this;
    }
    bool operator!=(std::nullptr_t) const { return pipeline_ != nullptr; }

   private:
    Pipeline* pipeline_;
    Batch batch_;
  };
  Iterator begin() { return Iterator(this); }
  std::nullptr_t end() { return nullptr; }

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rutile::dataset
