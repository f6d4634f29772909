// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/tile_builder.h"

namespace rutile::kernels {

int64_t TileBuilder::operand_bytes() const {
  int64_t bytes = 0;
  for (const TensorMeta* m : in_) bytes += m->nbytes();
  for (const TensorMeta& m : out_) bytes += m.nbytes();
  return bytes;
}

// One element per row, in the order of the rows.
bool TileBuilder::lies_as_rows(const TensorMeta& m) const {
  const TensorMeta* operand = &m;
  TileGeometry g;
  Reason reason;
  TensorMeta kept = m;
  for (size_t r = 0; r < placed_.results.size(); ++r) {
    if (!plan_->reduces[r].whole) continue;
    if (m.numel() == placed_.results[r].numel() && m.is_contiguous()) kept = placed_.results[r];
  }
  operand = &kept;
  Shape all;
  if (m.numel() != plan_->rows || !broadcast_shapes(kept.shape, placed_.domain.shape, &all).ok() ||
      !(all == placed_.domain.shape) || !tile_geometry({&operand, 1}, placed_.domain, &g, &reason))
    return false;
  if (g.rank == 1) return g.stride[0][0] == 0 || plan_->row == 1;
  return g.rank == 2 && g.dims[1] == plan_->row && g.stride[0][1] == 0 && g.stride[0][0] == 1;
}

Status TileBuilder::add_outputs() {
  TilePlan& p = *plan_;
  for (size_t o = 0; o < program_.outputs.size(); ++o) {
    const int slot = real_[program_.outputs[o]];
    TileOut out;
    out.slot = slot;
    out.size = static_cast<int64_t>(dtype_size(out_[o].dtype));
    out.store = convert(dtype_[slot], out_[o].dtype);
    if (!out.store) return unsupported(cat("cannot store ", out_[o].dtype));
    RunReduce* gathered = nullptr;
    for (const RunStep& s : p.steps) {
      if (s.slot == slot && s.reduce >= 0 && !p.reduces[static_cast<size_t>(s.reduce)].whole)
        gathered = &p.reduces[static_cast<size_t>(s.reduce)];
    }
    if (gathered) {
      if (gathered->output >= 0 || !out_[o].is_contiguous())
        return unsupported("gives a reduction twice");
      gathered->output = static_cast<int>(o);
      out.finish = out.store;
      out.store = nullptr;
      out.extent = Extent::kRow;
      p.outs.push_back(out);
      continue;
    }
    out.extent = extent_[slot];
    if (is_full(out_[o]) && extent_[slot] != Extent::kTile) {
      spread_[slot] = true;
      out.extent = Extent::kTile;
    } else if (!is_full(out_[o]) && (extent_[slot] != Extent::kRow || !lies_as_rows(out_[o]))) {
      return unsupported("gives something between all elements and one per row");
    }
    // The step that makes it writes into the output itself, unless it has to be converted.
    const bool made_here =
        slot >= num_in() && extent_[slot] == Extent::kTile && dtype_[slot] == out_[o].dtype;
    if (made_here && operand_bytes() > kPastCaches && (p.rows == 1 || p.row * out.size % 64 == 0)) {
      out.stream = true;
      p.stream = table_.stream;
    } else if (made_here && p.direct_out[slot] < 0) {
      p.direct_out[slot] = static_cast<int16_t>(o);
      out.store = nullptr;
    }
    p.outs.push_back(out);
  }
  for (const RunReduce& r : p.reduces) {
    if (!r.whole && r.output < 0) return unsupported("a reduction is not used");
    if (!r.whole && r.results > kMaxResults) return unsupported("reduces to too many results");
  }
  return Status();
}

// A sum or product that one other step reads becomes part of it.
void TileBuilder::merge_pairs() {
  TilePlan& p = *plan_;
  std::vector<int> uses(kMaxTileSlots, 0), maker(kMaxTileSlots, -1);
  for (size_t k = 0; k < p.steps.size(); ++k) {
    const RunStep& s = p.steps[k];
    for (int j = 0; j < s.num_in; ++j) ++uses[static_cast<size_t>(s.in[j])];
    maker[static_cast<size_t>(s.slot)] = static_cast<int>(k);
  }
  for (const TileOut& o : p.outs) uses[static_cast<size_t>(o.slot)] += 2;
  std::vector<char> gone(p.steps.size(), 0);
  for (RunStep& s : p.steps) {
    for (int j = 0; j < s.num_in; ++j) {
      const int k = maker[static_cast<size_t>(s.in[j])];
      if (k < 0 || gone[static_cast<size_t>(k)] || uses[static_cast<size_t>(s.in[j])] != 1)
        continue;
      if (!merge_pair(p.steps[static_cast<size_t>(k)], j, &s)) continue;
      gone[static_cast<size_t>(k)] = 1;
      break;
    }
  }
  size_t kept = 0;
  for (size_t k = 0; k < p.steps.size(); ++k) {
    if (!gone[k]) p.steps[kept++] = p.steps[k];
  }
  p.steps.resize(kept);
}

int TileBuilder::first_of_pair(Fn op) {
  return op == Fn::kAdd ? 0 : op == Fn::kSub ? 1 : op == Fn::kMul ? 2 : -1;
}

int TileBuilder::second_of_pair(Fn op, int operand) {
  switch (op) {
    case Fn::kAdd:
      return 0;
    case Fn::kSub:
      return operand == 0 ? 1 : 2;
    case Fn::kMul:
      return 3;
    case Fn::kRelu:
      return 4;
    default:
      return -1;
  }
}

bool TileBuilder::merge_pair(const RunStep& first, int operand, RunStep* s) const {
  const int a = first_of_pair(first.op), b = second_of_pair(s->op, operand);
  if (a < 0 || b < 0 || first.extent != Extent::kTile || s->extent != Extent::kTile) return false;
  RunStep both = *s;
  both.op = Fn::kCount;
  both.num_in = 3;
  uint32_t mask = 0;
  for (int j = 0; j < 3; ++j) {
    const bool own = j < 2 || s->num_in == 1;
    const RunStep& from = own ? first : *s;
    const int k = j < 2 ? j : own ? 0 : 1 - operand;
    both.in[j] = from.in[k];
    both.from[j] = from.from[k];
    if (both.from[j] != Extent::kTile) mask |= 1u << j;
  }
  both.fn = table_.pair[a][b][mask];
  if (!both.fn) return false;
  *s = both;
  return true;
}

// Memory for sources that are not read in place and for results that are not written in place.
void TileBuilder::assign_buffers() {
  TilePlan& p = *plan_;
  int last_use[kMaxTileSlots];
  std::fill(last_use, last_use + kMaxTileSlots, -1);
  const int steps = static_cast<int>(p.steps.size());
  for (int k = 0; k < steps; ++k) {
    for (int j = 0; j < p.steps[k].num_in; ++j) last_use[p.steps[k].in[j]] = k;
  }
  for (const TileOut& o : p.outs) last_use[o.slot] = steps;
  int users[kMaxTileSlots] = {};  // by buffer: the step until which it is taken
  int count = 0;
  auto take = [&](int from, int until) {
    for (int b = 0; b < count; ++b) {
      if (users[b] < from) {
        users[b] = until;
        return b;
      }
    }
    users[count] = until;
    return count++;
  };
  constexpr int kAlways = 1 << 20;
  bool gathers = false;
  auto row_buffer = [&](int slot) {
    if (p.row_buffer[slot] < 0) p.row_buffer[slot] = static_cast<int16_t>(p.row_buffers++);
  };
  for (int i = 0; i < num_in(); ++i) {
    TileSource& s = p.sources[i];
    const bool in_parts = s.feed == Feed::kGather || s.feed == Feed::kRowValue;
    gathers = gathers || (in_parts && s.load);
    if (s.feed == Feed::kRepeat || (s.feed == Feed::kSingle && spread_[i])) {
      p.buffer[i] = static_cast<int16_t>(take(-1, kAlways));
    } else if (s.feed == Feed::kGather || spread_[i] || (s.feed == Feed::kFlat && s.load) ||
               (s.feed == Feed::kLine && (s.load || !one_row_))) {
      p.buffer[i] = static_cast<int16_t>(take(-1, last_use[i]));
    }
    if (extent_[i] == Extent::kRow || spread_row_[i]) row_buffer(i);
    s.spread = spread_[i];
  }
  for (int k = 0; k < steps; ++k) {
    RunStep& s = p.steps[k];
    s.spread = spread_[s.slot];
    if (s.extent == Extent::kRow || spread_row_[s.slot]) row_buffer(s.slot);
    if (s.extent != Extent::kTile && !s.spread) continue;
    if (s.extent == Extent::kTile && p.direct_out[s.slot] >= 0) continue;
    const bool stays = s.extent == Extent::kSingle;
    const int until = stays ? kAlways : std::max(last_use[s.slot], k);
    if (p.buffer[s.slot] < 0) p.buffer[s.slot] = static_cast<int16_t>(take(stays ? -1 : k, until));
  }
  if (gathers) p.raw_buffer = take(-1, kAlways);
  p.buffers = count;
}

Status TileBuilder::finish() {
  TilePlan& p = *plan_;
  int64_t widest = 4;
  double bytes = 0;
  for (int i = 0; i < num_in(); ++i) {
    widest = std::max<int64_t>(widest, static_cast<int64_t>(dtype_size(dtype_[i])));
    widest = std::max(widest, p.sources[i].size);
    bytes += static_cast<double>(extent_[i] == Extent::kTile ? p.sources[i].size : 0);
  }
  for (const RunStep& s : p.steps)
    widest = std::max<int64_t>(widest, static_cast<int64_t>(dtype_size(dtype_[s.slot])));
  for (const TileOut& o : p.outs)
    bytes += static_cast<double>(o.extent == Extent::kTile ? o.size : 0);
  choose_tile(widest);
  p.buffer_bytes = (p.tile_rows * p.tile * widest + 63) / 64 * 64;
  p.row_buffer_bytes = p.tile_rows * 8;
  const int64_t scratch = p.buffers * p.buffer_bytes + p.row_buffers * p.row_buffer_bytes +
                          (p.reduces.empty() ? 0 : p.tile_rows * kLargestSlot);
  if (scratch > kTileScratch) return unsupported("the rows are too long");
  for (int s = 0; s < kMaxTileSlots; ++s)
    p.slot_size[s] = static_cast<int8_t>(dtype_size(dtype_[s]));
  p.tiles_per_row = p.tile > 0 ? (p.row + p.tile - 1) / p.tile : 1;
  p.tiles = p.tile == p.row ? (p.rows + p.tile_rows - 1) / p.tile_rows : p.rows * p.tiles_per_row;
  p.ahead = static_cast<double>(p.total) * bytes > kOwnCache;
  const double ns = cost_ + 0.005 * bytes;  // small work lies in the caches
  p.grain = grain_for(ns);
  divide_results();
  choose_run();
  overwritable();
  return Status();
}

void TileBuilder::choose_tile(int64_t widest) {
  TilePlan& p = *plan_;
  const auto fits_cache = [&](int64_t elements) {
    return elements * widest * p.buffers <= kCacheBytes;
  };
  if (p.tile == p.row && p.row > 0) {
    while (p.tile_rows > 1 && !fits_cache(p.tile_rows * p.tile))
      p.tile_rows = (p.tile_rows + 1) / 2;
    if (whole_rows_ || fits_cache(p.tile)) return;
  }
  int64_t tile = kMaxTile;
  while (tile > kMinTile && !fits_cache(tile)) tile /= 2;
  if (tile >= p.row) {
    p.tile = p.row;
    return;
  }
  // Pieces of one size, whole vectors.
  const int64_t pieces = (p.row + tile - 1) / tile;
  p.tile = ((p.row + pieces - 1) / pieces + 15) / 16 * 16;
  p.tile_rows = 1;
  for (TileSource& s : p.sources) {
    if (s.feed == Feed::kRepeat) s.feed = Feed::kLine;
  }
}

// How many parts gather results for themselves: as many for every number of threads, so that sums
// do not depend on it.
void TileBuilder::divide_results() {
  TilePlan& p = *plan_;
  int64_t results = 0;
  for (RunReduce& r : p.reduces) {
    if (r.whole) continue;
    r.at = p.part_bytes;
    p.part_bytes += (r.slots * r.kernels.slot_bytes + 63) / 64 * 64;
    results += r.results;
  }
  if (results == 0) return;
  constexpr int64_t kPart = 1 << 14;  // elements
  const int64_t most = results <= 4096 ? 64 : 16;
  p.parts = std::clamp<int64_t>(p.total / std::max(kPart, 4 * results), 1, most);
  p.parts = std::min(p.parts, std::max<int64_t>(p.tiles, 1));
  p.workspace_bytes = static_cast<size_t>(p.parts * p.part_bytes);
  p.part_grain = std::max<int64_t>(1, p.grain * p.parts / std::max<int64_t>(p.total, 1));
}

// One function over plain memory needs no tiles.
void TileBuilder::choose_run() {
  TilePlan& p = *plan_;
  p.run = run_tiles;
  if (p.total == 0 && p.parts == 0) p.run = [](const Plan&, const KernelArgs&) { return Status(); };
  if (p.total == 0 || p.outs.size() != 1 || p.steps.size() > 1 || !p.reduces.empty()) return;
  for (const TileSource& s : p.sources) {
    if (s.load || s.spread || (s.feed != Feed::kFlat && s.feed != Feed::kSingle)) return;
  }
  const TileOut& o = p.outs[0];
  if (p.steps.empty()) {
    if (p.sources.size() != 1 || p.sources[0].feed != Feed::kFlat) return;
    p.convert = o.store;
    p.run = run_convert;
    return;
  }
  const RunStep& s = p.steps[0];
  if (o.store || o.stream || s.extent != Extent::kTile || !s.fn || s.num_in != num_in()) return;
  for (int j = 0; j < s.num_in; ++j) {
    if (s.in[j] != j) return;
    p.step_bytes[j] = p.sources[j].feed == Feed::kFlat ? p.sources[j].size : 0;
  }
  p.fn = s.fn;
  p.step_bytes[3] = o.size;
  p.run = run_direct;
}

// Input i may give its memory to output 0 if each of its tiles is read before that tile is
// written.
void TileBuilder::overwritable() {
  TilePlan& p = *plan_;
  const int slot = real_[program_.outputs[0]];
  if (p.outs[0].extent != Extent::kTile) return;
  int written = static_cast<int>(p.steps.size());  // stored after all steps
  if (p.direct_out[slot] == 0) {
    for (size_t k = 0; k < p.steps.size(); ++k) {
      if (p.steps[k].slot == slot) written = static_cast<int>(k);
    }
  }
  for (int i = 0; i < num_in(); ++i) {
    if (p.sources[i].feed != Feed::kFlat || p.sources[i].size != p.outs[0].size) continue;
    bool safe = true;
    for (size_t k = static_cast<size_t>(written) + 1; k < p.steps.size() && !p.sources[i].load;
         ++k) {
      for (int j = 0; j < p.steps[k].num_in; ++j) safe = safe && p.steps[k].in[j] != i;
    }
    for (size_t o = 1; o < p.outs.size(); ++o) safe = safe && p.outs[o].slot != i;
    if (safe) p.may_overwrite |= 1u << i;
  }
}

}  // namespace rutile::kernels
