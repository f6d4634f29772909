// SPDX-License-Identifier: Apache-2.0
// Buckets of a traced step whose gradients are reduced and spread over the ranks.
#pragma once

#include <memory>
#include <vector>

#include "rutile/dist/reducer.h"

namespace rutile::dist {

class TracedBuckets {
 public:
  TracedBuckets(const ReducerOptions& options, std::shared_ptr<Communicator> group);
  // A gradient, when it is ready; one that was given before and is not the same any more is sent
  // again. What is full starts here.
  void add(size_t parameter, int64_t segment, const Tensor& grad);
  // Entries of what was added become this rank's parts.
  void finish(std::vector<Tensor>* grads);

 private:
  struct Bucket {
    std::vector<size_t> parameters;
    std::vector<Tensor> grads;
    Tensor flat;  // started
  };
  void start();
  ops::AllReduceManyAttrs attrs(DType dtype) const;
  const ReducerOptions& options_;
  const std::shared_ptr<Communicator> group_;
  std::vector<Bucket> buckets_;  // the last one is being filled
  double room_ = 0;
  int64_t segment_ = -1;
};

}  // namespace rutile::dist
