// SPDX-License-Identifier: Apache-2.0
// Makes one batch: what a worker does, and what next() does itself without workers.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "rutile/dataset/permutation.h"
#include "rutile/dataset/pipeline.h"

namespace rutile::dataset {

// What a thread is doing, readable by others.
struct Activity {
  std::atomic<const char*> operation{"starting"};
  std::atomic<int64_t> sample{-1};
  std::atomic<int64_t> ticket{-1};  // number of the batch since the first one of epoch 0
};

class Batcher {
 public:
  Batcher(SourcePtr source, const PipelineOptions& options);

  const Source& source() const { return *source_; }
  const PipelineOptions& options() const { return options_; }
  int64_t batches_per_epoch() const { return batches_; }
  int64_t rows() const { return rows_; }

  // Memory that one thread reuses.
  struct Scratch {
    Sample sample;
    std::vector<ImageMeta> metas;
    std::vector<unsigned char> buffers[2];
  };
  // Asks `stop` before each sample and returns an incomplete batch if it says so. Throws Error.
  Batch make(int64_t ticket, Scratch* scratch, Activity* activity,
             const std::function<bool()>& stop) const;

 private:
  void read(int64_t index, Scratch* scratch, Activity* activity) const;
  void infer(Scratch* scratch, Activity* activity) const;
  void allocate(int64_t n, const Scratch& scratch, Batch* batch) const;
  void check_like(const Batch& batch, const Scratch& scratch) const;
  void transform(PhiloxKey key, Scratch* scratch, Activity* activity, void* out) const;
  View first_field(const Scratch& scratch) const;

  SourcePtr source_;
  PipelineOptions options_;
  int64_t rows_ = 0;  // of this shard
  int64_t batches_ = 0;
  PhiloxKey order_key_, random_key_;
};

}  // namespace rutile::dataset
