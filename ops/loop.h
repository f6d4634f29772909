// SPDX-License-Identifier: Apache-2.0
// What the files of scan and while_loop share. Private to ops/.
#pragma once

#include <vector>

#include "rutile/ops/control.h"

namespace rutile::ops {

// A loop that runs as it is written.
struct EagerLoop {
  const char* name;
  Condition condition;  // of a while_loop
  ScanBody body;
  int64_t length = -1;
  bool reverse = false;
  std::vector<TensorMeta> ys;  // of what an iteration stacks; needed where none may run

  // The ys are stacked to `stacked` entries, zeros where no iteration gave one.
  ScanStep run(std::vector<Tensor> carry, const std::vector<Tensor>& xs, int64_t stacked,
               int64_t* iterations) const;
  std::vector<TensorMeta> metas_of_ys(const std::vector<Tensor>& carry,
                                      const std::vector<Tensor>& xs) const;
};

// scan over the first `count` slices, one i64; all where it is undefined. The ys of the others are
// zeros.
ScanStep counted_scan(const ScanBody& body, const std::vector<Tensor>& init,
                      const std::vector<Tensor>& xs, const Tensor& count, ScanOptions o,
                      std::source_location where);

}  // namespace rutile::ops
