// SPDX-License-Identifier: Apache-2.0
// Values that a program computes from States and constants alone: folded, cast and packed weights.
// All sessions of the program share them. They are computed again when one of those States has a
// new version, whoever wrote it: training, a loaded checkpoint, set_value.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "rutile/graph/exec/program.h"

namespace rutile::graph {

class RUTILE_API Frozen {
 public:
  struct Values {
    uint64_t generation = 0;  // no two have the same
    std::vector<Tensor> tensors;
  };

  // `program` takes no inputs; its outputs are the values.
  explicit Frozen(std::shared_ptr<const Program> program);

  // Up to date with all writes that were finished before the call. While no State at all was
  // written this takes some nanoseconds, and while none of its own was, one look at each.
  std::shared_ptr<const Values> get();
  // How often the values were computed.
  int computations() const;
  int64_t nbytes() const;
  const Program& program() const { return *program_; }

 private:
  bool up_to_date() const;
  std::shared_ptr<const Program> program_;
  std::vector<size_t> slots_;  // of the States it reads
  mutable std::mutex mutex_;   // of what follows
  std::shared_ptr<const Values> values_;
  std::vector<uint64_t> versions_;  // by slots_
  uint64_t writes_ = 0;             // State::writes() when the versions were compared
  int computations_ = 0;
};

}  // namespace rutile::graph
