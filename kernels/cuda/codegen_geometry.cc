// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/codegen_geometry.h"

#include <algorithm>

namespace rutile::cuda {
namespace {

constexpr int64_t kMostBlocks = 0x7fffffff;
constexpr int kManyRegisters = 96;    // that kept values of a row may take
constexpr int kMostInThread = 32;     // elements of a row
constexpr int64_t kManyBlocks = 512;  // that leave a partial result each
constexpr int64_t kManyThreads = 1 << 16;

Status refuse(std::string why) { return Status(ErrorCode::kUnsupported, std::move(why)); }

// 16 bytes of the narrowest operand that differs within a row, as far as rows divide by them.
void choose_each(const FusedIr& ir, const CallMeta& call, bool vectors, Geometry* g) {
  size_t narrowest = 8;
  const auto look = [&](const FusedIr::Value& v, const TensorMeta& m) {
    if (v.full) narrowest = std::min(narrowest, dtype_size(m.dtype));
  };
  for (int i = 0; i < call.num_inputs(); ++i) look(ir.values[static_cast<size_t>(i)], call.in(i));
  for (size_t o = 0; o < call.outputs.size(); ++o) {
    look(ir.values[static_cast<size_t>(ir.program.outputs[o])], call.outputs[o]);
  }
  g->each = vectors ? static_cast<int>(std::clamp<size_t>(16 / narrowest, 1, 8)) : 1;
  if (ir.program.steps.size() > 40) g->each = std::min(g->each, 4);
  while (ir.length % g->each != 0) g->each /= 2;
}

int64_t count_kept(const FusedIr& ir) {
  int64_t n = 0;
  for (const FusedIr::Value& v : ir.values) n += is_kept(v);
  for (const FusedIr::Reduction& r : ir.reductions) n += r.ending == Ending::kColumns;
  return n;
}

// A row stays in the registers of its threads: few lanes, unless there are few rows.
void share_row(const FusedIr& ir, int64_t kept, Geometry* g) {
  const int64_t vectors = ir.length / g->each;
  const int64_t most =
      std::min<int64_t>(kMostInThread, kManyRegisters / std::max<int64_t>(kept, 1));
  g->lanes = 1;
  const auto chunks = [&] { return ceil_div(vectors, g->lanes); };
  while (g->lanes < 1024 && chunks() > 1 &&
         (chunks() * g->each > most || ir.rows * g->lanes < kManyThreads)) {
    g->lanes *= 2;
  }
  g->chunks = static_cast<int>(chunks());
  g->threads = std::max(kGeneratedThreads, g->lanes);
}

// Parts of a row are as good as the whole.
void share_freely(const FusedIr& ir, Geometry* g) {
  const int64_t vectors = ir.length / g->each;
  g->chunks = g->each < 4 && vectors >= 4 * kGeneratedThreads ? 4 : 1;
  g->lanes = static_cast<int>(
      std::min<int64_t>(kGeneratedThreads, power_above(ceil_div(vectors, g->chunks))));
  const int64_t tiles = ceil_div(ir.length, g->tile());
  if (ir.has(Ending::kColumns) || ir.reductions.empty()) {
    g->segments = tiles;
    return;
  }
  g->segments = std::min(tiles, std::max<int64_t>(1, kManyBlocks / ir.rows));
  g->rounds = ceil_div(tiles, g->segments);
  g->segments = ceil_div(tiles, g->rounds);
}

}  // namespace

int64_t power_above(int64_t n) {
  int64_t p = 1;
  while (p < n) p *= 2;
  return p;
}

bool Geometry::vector_fits(const Access& a) const {
  for (const Axis& x : a.row) {
    if (x.stride % each != 0) return false;
  }
  for (size_t i = 0; i < a.column.size(); ++i) {
    const Axis& x = a.column[i];
    const bool last = i + 1 == a.column.size();
    if (last ? x.stride != 1 || x.size % each != 0 : x.stride % each != 0) return false;
  }
  return !a.column.empty();
}

bool Geometry::partial(const FusedIr::Reduction& r) const {
  switch (r.ending) {
    case Ending::kRow:
      return segments > 1;
    case Ending::kRows:
      return true;
    case Ending::kColumns:
      return groups > 1;
    default:
      return blocks() > 1;
  }
}

int64_t Geometry::partials(const FusedIr::Reduction& r, const FusedIr& ir) const {
  switch (r.ending) {
    case Ending::kColumns:
      return groups * ir.length;
    case Ending::kAll:
      return blocks();
    default:
      return ir.rows * segments;
  }
}

Status choose_geometry(const FusedIr& ir, const CallMeta& call, bool vectors, Geometry* g) {
  choose_each(ir, call, vectors, g);
  if (ir.reads_reductions()) {
    const int64_t kept = count_kept(ir);
    share_row(ir, kept, g);
    // What a block of so many threads has for each.
    const int64_t registers = std::min<int64_t>(kManyRegisters, 40960 / g->threads);
    if (std::max<int64_t>(kept, 1) * g->chunks * g->each > registers) {
      return refuse("keeps too many values of a row");
    }
  } else {
    share_freely(ir, g);
  }
  const int64_t steps = ceil_div(ir.rows, g->members());
  g->groups = steps;
  if (ir.has(Ending::kColumns) || ir.has(Ending::kAll)) {
    g->groups = std::min(steps, std::max<int64_t>(1, kManyBlocks / g->segments));
  }
  if (g->blocks() > kMostBlocks) return refuse("takes too many blocks");
  return Status();
}

}  // namespace rutile::cuda
