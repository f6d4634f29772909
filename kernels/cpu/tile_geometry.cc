// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/tile_geometry.h"
#include "rutile/kernels/cpu/planning.h"

#include <algorithm>

namespace rutile::kernels {
namespace {

// A dimension of the output's memory: all of logical dimension `dim`, its blocks, or the inside of
// one.
struct Physical {
  int dim;
  int64_t size;
  int64_t step;  // logical elements of `dim` per step
};

int dense_dims(const TensorMeta& out, Physical* p) {
  int n = 0;
  for (int d = 0; d < out.rank(); ++d) {
    if (out.shape[d] != 1) p[n++] = {d, out.shape[d], 1};
  }
  std::sort(p, p + n, [&](const Physical& a, const Physical& b) {
    return out.strides[a.dim] > out.strides[b.dim];
  });
  return n;
}

int blocked_dims(const TensorMeta& out, Physical* p) {
  const LayoutInfo& l = layout_info(out.layout);
  int n = 0;
  for (const int64_t d : l.order) {
    int64_t block = 1;
    for (int b = 0; b < l.block_dims.rank(); ++b) {
      if (l.block_dims[b] == d) block *= l.block_sizes[b];
    }
    const int dim = static_cast<int>(d);
    p[n++] = {dim, (out.shape[dim] + block - 1) / block, block};
  }
  for (int b = 0; b < l.block_dims.rank(); ++b) {
    int64_t inside = 1;
    for (int k = b + 1; k < l.block_dims.rank(); ++k) {
      if (l.block_dims[k] == l.block_dims[b]) inside *= l.block_sizes[k];
    }
    p[n++] = {static_cast<int>(l.block_dims[b]), l.block_sizes[b], inside};
  }
  return n;
}

// Steps of an input in the output's memory order; false if it has none.
bool input_steps(const TensorMeta& m, const TensorMeta& out, const Physical* p, int n, bool padded,
                 int64_t* step) {
  if (m.layout != kStrided) {
    if (m.layout != out.layout || !(m.shape == out.shape)) return false;
    for (int64_t size = 1, i = n - 1; i >= 0; size *= p[i--].size) step[i] = size;
    return true;
  }
  if (padded && m.numel() != 1) return false;
  const int lead = out.rank() - m.rank();
  for (int i = 0; i < n; ++i) {
    const int d = p[i].dim - lead;
    step[i] = d < 0 || m.shape[d] == 1 ? 0 : m.strides[d] * p[i].step;
  }
  return true;
}

}  // namespace

bool TileGeometry::flat(int input) const {
  int64_t step = 1;
  for (int d = rank - 1; d >= 0; --d) {
    if (dims[d] != 1 && stride[input][d] != step) return false;
    step *= dims[d];
  }
  return true;
}

bool tile_geometry(std::span<const TensorMeta* const> inputs, const TensorMeta& out,
                   TileGeometry* g, Reason* reason, size_t results) {
  if (inputs.size() > kMaxTileInputs) {
    return refuse(reason, cat("has more than ", kMaxTileInputs, " inputs"));
  }
  const bool blocked = out.layout != kStrided;
  if (!blocked && !out.is_dense()) return refuse(reason, "the output has gaps");
  Physical p[kMaxTileRank];
  const int n = blocked ? blocked_dims(out, p) : dense_dims(out, p);
  g->total = blocked ? layout_elements(out.layout, out.shape) : out.numel();
  const bool padded = blocked && g->total != out.numel();
  int64_t step[kMaxTileInputs][kMaxTileRank] = {};
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!input_steps(*inputs[i], out, p, n, padded && i < results, step[i])) {
      return refuse(reason, cat("input ", i, " lies otherwise than the output"));
    }
  }
  // Merge from the inside out.
  int64_t dims[kMaxTileRank];
  int from[kMaxTileRank];  // the physical dimension that gives the merged one's stride
  int r = 0;
  for (int d = n - 1; d >= 0; --d) {
    if (p[d].size == 1) continue;
    bool merge = r > 0;
    for (size_t i = 0; i < inputs.size() && merge; ++i) {
      merge = step[i][d] == step[i][from[r - 1]] * dims[r - 1];
    }
    if (merge) {
      dims[r - 1] *= p[d].size;
    } else {
      dims[r] = p[d].size;
      from[r++] = d;
    }
  }
  g->rank = std::max(r, 1);
  g->dims[0] = 1;
  for (int k = 0; k < r; ++k) {
    g->dims[r - 1 - k] = dims[k];
    for (size_t i = 0; i < inputs.size(); ++i) g->stride[i][r - 1 - k] = step[i][from[k]];
  }
  return true;
}

}  // namespace rutile::kernels
