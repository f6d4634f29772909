// SPDX-License-Identifier: Apache-2.0
// Metrics: numbers gathered over the batches of an evaluation.
//
//   train::Accuracy top1;
//   for (const auto& batch : test) top1.update(eval(batch.x()), batch.labels());
//   top1.value();   // share of right answers in all samples, however large the batches were
#pragma once

#include <string>

#include "rutile/core/tensor.h"

namespace rutile::train {

class RUTILE_API Metric {
 public:
  virtual ~Metric() = default;
  virtual std::string name() const = 0;
  virtual void reset() = 0;
  // `outputs` floating [..., classes], `labels` i32 or i64 of the leading shape, otherwise
  // Error{kValue} or {kType}.
  virtual void update(const Tensor& outputs, const Tensor& labels) = 0;
  // NaN before the first update.
  virtual double value() const = 0;
};

// Share of samples whose label is among the k largest outputs. Of equal outputs the earlier class
// counts as larger; a sample with a NaN among its outputs is wrong. Labels below 0 (ignored by the
// loss) do not count at all.
class RUTILE_API Accuracy final : public Metric {
 public:
  explicit Accuracy(int64_t k = 1);  // k >= 1, otherwise Error{kValue}
  std::string name() const override;
  void reset() override { right_ = samples_ = 0; }
  void update(const Tensor& outputs, const Tensor& labels) override;
  double value() const override;
  int64_t samples() const { return samples_; }

 private:
  int64_t k_;
  int64_t right_ = 0, samples_ = 0;
};

// Mean of a number over samples: add(mean of a batch, its size).
class RUTILE_API Mean {
 public:
  void add(double mean, int64_t count);
  double value() const;  // NaN without samples
  int64_t count() const { return count_; }

 private:
  double sum_ = 0;
  int64_t count_ = 0;
};

}  // namespace rutile::train
