// SPDX-License-Identifier: Apache-2.0
// How the loops of a reduction lie, and how they are divided into work.
#pragma once

#include "rutile/core/small_vector.h"
#include "rutile/kernels/cpu/reduce.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

// Steps in elements.
struct ReduceGeometry {
  struct Dim {
    int64_t size = 1, in = 0, out = 0;
  };
  using Outer = SmallVector<Dim, kMaxRank + 2>;
  // What a vector loop takes: `group` results of `line` elements each. Rows: the elements of a
  // line are neighbours; otherwise those of a group are (or it has one result).
  bool rows = false;
  int64_t group = 1, group_step = 0, group_out = 1;
  int64_t line = 1, line_step = 1;
  Outer kept, reduced;  // the other loops, slowest first
  int64_t kept_count = 1, reduced_count = 1;
};

// False for tensors whose layout has padding in one of several blocks.
bool reduce_geometry(const CallMeta& c, ReduceGeometry* g, Reason* reason);

struct ReducePlan : Plan {
  ReduceGeometry geometry;
  ReduceKernels kernels;
  ReduceKernels shift;  // what comes first for logsumexp
  void (*finish)(const ReducePlan&, const void* slots, const float* shift, int64_t n, void* out,
                 int64_t step) = nullptr;
  int64_t in_size = 0, out_size = 0;
  int64_t count = 0;  // elements of a result
  double scale = 1;
  // Groups are divided into `blocks` of `block` results, reductions into `parts`.
  int64_t block = 1, blocks = 1, parts = 1;
  bool divides_outer = false;
  int64_t grain = 1;  // pieces worth another thread

  char* result_at(const KernelArgs& args, int64_t kept, int64_t g) const {
    int64_t at = g * geometry.group_out;
    for (int i = geometry.kept.size() - 1; i >= 0; --i) {
      at += kept % geometry.kept[i].size * geometry.kept[i].out;
      kept /= geometry.kept[i].size;
    }
    return static_cast<char*>(args.out[0]) + at * out_size;
  }
};

// Fills in blocks, parts, grain and the workspace; the geometry and the kernels are there.
void divide_work(ReducePlan* p);

}  // namespace rutile::kernels
