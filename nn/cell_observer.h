// SPDX-License-Identifier: Apache-2.0
// Sees the calls of Cells on a thread, nested as they are (nn/summary).
#pragma once

#include <vector>

#include "rutile/core/tensor.h"

namespace rutile::nn {

class Cell;

class CellObserver {
 public:
  virtual ~CellObserver() = default;
  virtual void enter(Cell& cell) = 0;
  virtual void leave(Cell& cell, const std::vector<Tensor>& outputs) = 0;  // not if it throws
};
CellObserver*& cell_observer();

}  // namespace rutile::nn
