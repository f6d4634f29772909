// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/layers.h"

namespace rutile::nn {

Sequential::Sequential(std::initializer_list<CellPtr> cells) {
  for (const CellPtr& c : cells) append(c);
}

void Sequential::append(CellPtr cell) {
  register_cell(cat(cells_.size()), cell);
  cells_.push_back(std::move(cell));
}

void Sequential::replace(int i, CellPtr cell) {
  if (i < 0 || i >= size()) {
    throw_error(ErrorCode::kIndex, cat("Sequential has ", size(), " Cells, asked for ", i));
  }
  replace_cell(cat(i), cell);
  cells_[static_cast<size_t>(i)] = std::move(cell);
}

Tensor Sequential::construct(const Tensor& x) {
  Tensor y = x;
  for (const CellPtr& c : cells_) y = c(y);
  return y;
}

CellList::CellList(std::initializer_list<CellPtr> cells) {
  for (const CellPtr& c : cells) append(c);
}

void CellList::append(CellPtr cell) {
  register_cell(cat(cells_.size()), cell);
  cells_.push_back(std::move(cell));
}

}  // namespace rutile::nn
