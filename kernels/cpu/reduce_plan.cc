// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/reduce_plan.h"

#include <algorithm>
#include <limits>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/ops/reduce.h"

namespace rutile::kernels {
namespace {

constexpr double kElementNs = 0.04;

struct Loop {
  int64_t size, in, out;
  bool reduced;
};
using Loops = SmallVector<Loop, kMaxRank + 2>;

// One loop per dimension of memory; a blocked dimension gives two. False if several blocks have
// padding.
bool memory_loops(const CallMeta& c, Loops* loops) {
  const TensorMeta& x = c.in(0);
  const uint32_t mask = ops::reduced_mask(c);
  int64_t out_step[kMaxRank] = {};
  int64_t step = 1;
  for (int d = x.rank() - 1; d >= 0; --d) {
    if (mask >> d & 1u) continue;
    out_step[d] = step;
    step *= x.shape[d];
  }
  const auto add = [&](int d, int64_t size, int64_t in, int64_t inside) {
    if (size != 1) loops->push_back({size, in, out_step[d] * inside, (mask >> d & 1u) != 0});
  };
  if (x.layout == kStrided) {
    for (int d = 0; d < x.rank(); ++d) add(d, x.shape[d], x.strides[d], 1);
    return true;
  }
  const int block = x.rank() == 4 ? channel_block(x.layout) : 0;
  if (block == 0 || (x.shape[1] % block != 0 && x.shape[1] > block)) return false;
  const int64_t blocks = (x.shape[1] + block - 1) / block, pixels = x.shape[2] * x.shape[3];
  add(0, x.shape[0], blocks * pixels * block, 1);
  add(1, blocks, pixels * block, block);
  add(2, x.shape[2], x.shape[3] * block, 1);
  add(3, x.shape[3], block, 1);
  // Of a block that is not full, what there is.
  add(1, std::min<int64_t>(block, x.shape[1]), 1, 1);
  return true;
}

// From the largest step to the smallest. What is repeated (step 0) is outermost.
void sort_loops(Loops* loops) {
  std::stable_sort(loops->begin(), loops->end(), [](const Loop& a, const Loop& b) {
    const auto key = [](const Loop& l) {
      return l.in == 0 ? std::numeric_limits<int64_t>::max() : l.in < 0 ? -l.in : l.in;
    };
    return key(a) > key(b);
  });
}

void merge_loops(Loops* loops) {
  Loops merged;
  for (const Loop& l : *loops) {
    if (!merged.empty()) {
      Loop& outer = merged.back();
      if (outer.reduced == l.reduced && outer.in == l.in * l.size && outer.in != 0 &&
          (l.reduced || outer.out == l.out * l.size)) {
        outer = {outer.size * l.size, l.in, l.out, l.reduced};
        continue;
      }
    }
    merged.push_back(l);
  }
  *loops = merged;
}

// Takes out the innermost loop that is reduced, or kept; a loop of one step if there is none.
Loop take(Loops* loops, bool reduced) {
  for (int i = loops->size() - 1; i >= 0; --i) {
    if ((*loops)[i].reduced != reduced) continue;
    const Loop found = (*loops)[i];
    Loops rest;
    for (int j = 0; j < loops->size(); ++j) {
      if (j != i) rest.push_back((*loops)[j]);
    }
    *loops = rest;
    return found;
  }
  return {1, 1, 1, reduced};
}

}  // namespace

bool reduce_geometry(const CallMeta& c, ReduceGeometry* g, Reason* reason) {
  Loops loops;
  if (!memory_loops(c, &loops)) return refuse(reason, "takes no padded layouts");
  sort_loops(&loops);
  merge_loops(&loops);
  const bool dense = loops.empty() || loops.back().in == 1;
  g->rows = dense && !loops.empty() && loops.back().reduced;
  const Loop line = take(&loops, true);
  g->line = line.size;
  g->line_step = line.in;
  // Results whose elements do not lie side by side are columns one wide.
  if (g->rows || (dense && !loops.empty() && loops.back().in == 1)) {
    const Loop group = take(&loops, false);
    g->group = group.size;
    g->group_step = group.in;
    g->group_out = group.out;
  }
  for (const Loop& l : loops) {
    (l.reduced ? g->reduced : g->kept).push_back({l.size, l.in, l.out});
    (l.reduced ? g->reduced_count : g->kept_count) *= l.size;
  }
  return true;
}

void divide_work(ReducePlan* p) {
  constexpr int64_t kPiece = 1 << 15;  // elements that are worth a piece of their own
  constexpr int64_t kPieces = 32, kMostSlots = 512;
  const ReduceGeometry& g = p->geometry;
  const int64_t count = std::max<int64_t>(p->count, 1);
  p->block = std::min(g.group, kMostSlots);
  if (p->block == 0) return;
  if (g.rows) p->block = std::clamp<int64_t>(kPiece / count, 1, p->block);
  // Narrower columns where there are few of them; cache lines stay whole.
  while (!g.rows && p->block > 64 && g.kept_count * ((g.group + p->block - 1) / p->block) < 4 &&
         p->block * count > 4 * kPiece) {
    p->block /= 2;
  }
  p->blocks = (g.group + p->block - 1) / p->block;
  const int64_t pieces = g.kept_count * p->blocks;
  const int64_t total = g.kept_count * g.group * count;
  if (pieces < kPieces && !p->shift.rows && total > 2 * kPiece) {
    p->divides_outer = g.reduced_count >= kPieces;
    const int64_t divisible = p->divides_outer ? g.reduced_count : g.line;
    const int64_t wanted = std::min((kPieces + pieces - 1) / pieces, total / kPiece);
    p->parts = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(divisible, 1));
  }
  if (p->parts > 1) {
    p->workspace_bytes =
        static_cast<size_t>(p->parts * g.kept_count * g.group * p->kernels.slot_bytes);
  }
  p->grain =
      grain_for(kElementNs * static_cast<double>(total) / static_cast<double>(pieces * p->parts));
}

}  // namespace rutile::kernels
