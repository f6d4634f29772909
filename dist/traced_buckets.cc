// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/traced_buckets.h"

#include <algorithm>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"

namespace rutile::dist {

TracedBuckets::TracedBuckets(const ReducerOptions& options, std::shared_ptr<Communicator> group)
    : options_(options), group_(std::move(group)) {}

ops::AllReduceManyAttrs TracedBuckets::attrs(DType dtype) const {
  return {.reduce = options_.reduce,
          .group = options_.group,
          .wire = is_floating(dtype) ? options_.wire : OptionalDType(),
          .scatter = group_->size()};
}

void TracedBuckets::start() {
  if (buckets_.empty() || buckets_.back().flat.defined() || buckets_.back().grads.empty()) return;
  Bucket& b = buckets_.back();
  const ops::AllReduceManyAttrs a = attrs(b.grads.front().dtype());
  b.flat = call_n(ops::kAllReduceStart, &a, b.grads)[0];
}

void TracedBuckets::add(size_t parameter, int64_t segment, const Tensor& grad) {
  for (const Bucket& b : buckets_) {
    for (size_t k = 0; k < b.parameters.size(); ++k) {
      if (b.parameters[k] == parameter && b.grads[k].impl() == grad.impl()) return;
    }
  }
  const double mb =
      static_cast<double>(grad.numel()) * static_cast<double>(dtype_size(grad.dtype())) / 1e6;
  const bool first = buckets_.empty();
  const bool full = options_.split.empty() ? mb > room_ : segment != segment_;
  if (first || full || buckets_.back().flat.defined() ||
      buckets_.back().grads.front().dtype() != grad.dtype()) {
    start();
    room_ = first ? std::min(options_.first_bucket_mb, options_.bucket_mb) : options_.bucket_mb;
    segment_ = segment;
    buckets_.emplace_back();
  }
  buckets_.back().parameters.push_back(parameter);
  buckets_.back().grads.push_back(grad);
  room_ -= mb;
}

void TracedBuckets::finish(std::vector<Tensor>* grads) {
  start();
  for (const Bucket& b : buckets_) {
    const DType t = b.grads.front().dtype();
    const ops::AllReduceManyAttrs a = attrs(t);
    Tensor flat = call1(ops::kAllReduceWait, &a, {b.flat});
    const int64_t line = flat.numel() / a.scatter;
    flat = ops::slice_axis(flat, 0, group_->rank() * line, (group_->rank() + 1) * line);
    if (flat.dtype() != t) flat = ops::cast(flat, t);
    int64_t at = 0;
    for (size_t k = 0; k < b.grads.size(); ++k) {
      const int64_t part = ops::part_of(b.grads[k].numel(), a.scatter);
      // The last one that was given counts.
      (*grads)[b.parameters[k]] = ops::slice_axis(flat, 0, at, at + part);
      at += part;
    }
  }
}

}  // namespace rutile::dist
