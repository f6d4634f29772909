// SPDX-License-Identifier: Apache-2.0
// Where a Trainer's batches come from, without end.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "rutile/dataset/pipeline.h"

namespace rutile::train {

class RUTILE_API Feed {
 public:
  virtual ~Feed() = default;
  // The next batch; after an epoch the next one begins. Throws what the source throws.
  virtual dataset::Batch next() = 0;
  // 0: there are no epochs.
  virtual int64_t batches_per_epoch() const = 0;
  // Seconds that next() has waited so far.
  virtual double wait_seconds() const = 0;
  // Which batch comes next, to go on from there in another process.
  virtual std::map<std::string, int64_t> state_dict() const = 0;
  virtual void load_state_dict(const std::map<std::string, int64_t>& state) = 0;
};

// The batches of a Pipeline, which must outlive it.
class RUTILE_API PipelineFeed final : public Feed {
 public:
  explicit PipelineFeed(dataset::Pipeline& pipeline) : pipeline_(pipeline) {}
  dataset::Batch next() override;
  int64_t batches_per_epoch() const override { return pipeline_.batches_per_epoch(); }
  double wait_seconds() const override { return pipeline_.wait_seconds(); }
  std::map<std::string, int64_t> state_dict() const override { return pipeline_.state_dict(); }
  void load_state_dict(const std::map<std::string, int64_t>& state) override {
    pipeline_.load_state_dict(state);
  }

 private:
  dataset::Pipeline& pipeline_;
};

// The same batch again and again, for measuring: no time goes into loading.
class RUTILE_API FixedFeed final : public Feed {
 public:
  FixedFeed(Tensor x, Tensor y);
  dataset::Batch next() override { return batch_; }
  int64_t batches_per_epoch() const override { return 0; }
  double wait_seconds() const override { return 0; }
  std::map<std::string, int64_t> state_dict() const override { return {}; }
  void load_state_dict(const std::map<std::string, int64_t>&) override {}

 private:
  dataset::Batch batch_;
};

}  // namespace rutile::train
