// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/feed.h"

namespace rutile::train {

dataset::Batch PipelineFeed::next() {
  dataset::Batch batch;
  // false only marks the end of an epoch, or of several.
  if (!pipeline_.next(&batch) && !pipeline_.next(&batch)) {
    throw_error(ErrorCode::kValue, "the dataset gives no batch");
  }
  return batch;
}

FixedFeed::FixedFeed(Tensor x, Tensor y) { batch_.fields = {std::move(x), std::move(y)}; }

}  // namespace rutile::train
