// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/tile_plan.h"

#include <algorithm>

#include "rutile/kernels/cpu/tile_program.h"
#include "rutile/kernels/elementwise_params.h"
#include "rutile/kernels/functors.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"

namespace rutile::kernels {
namespace {

constexpr int64_t kScratchBytes = 40 << 10;  // stays in the first-level cache beside the streams
constexpr int64_t kMaxTile = 1024, kMinTile = 64;
constexpr int64_t kLongRow = 512;

Status unsupported(std::string text) { return Status(ErrorCode::kUnsupported, std::move(text)); }

DType tile_dtype(DType t) { return is_low_precision(t) ? DType::kF32 : t; }

bool tiles_know(DType t) { return tile_type(t) != TileType::kNone || t == DType::kU8; }

// Turns a program into a plan, slot by slot.
class Builder {
 public:
  Builder(const TileProgram& program, std::span<const TensorMeta* const> in,
          std::span<const TensorMeta> out)
      : program_(program), in_(in), out_(out), table_(*tile_table()), plan_(new TilePlan) {}

  Status build(std::unique_ptr<Plan>* plan) {
    Reason reason;
    if (!tile_geometry(in_, out_[0], &g_, &reason)) return unsupported(reason.text);
    if (!fits(program_, num_in(), &reason)) return unsupported(reason.text);
    split_rows();
    for (int i = 0; i < num_in(); ++i) add_source(i);
    for (size_t k = 0; k < program_.steps.size(); ++k)
      RUTILE_RETURN_IF_ERROR(add_step(static_cast<int>(k)));
    add_outputs();
    assign_buffers();
    finish();
    *plan = std::move(plan_);
    return Status();
  }

 private:
  int num_in() const { return static_cast<int>(in_.size()); }
  int step_slot(int k) const { return num_in() + k; }

  // A row is the fewest inner dimensions that give a decent length.
  void split_rows() {
    TilePlan& p = *plan_;
    int inner = 1;
    int64_t length = g_.dims[g_.rank - 1];
    while (inner < g_.rank && length < kLongRow) length *= g_.dims[g_.rank - ++inner];
    p.inner_rank = inner;
    p.outer_rank = g_.rank - inner;
    p.row = length;
    p.rows = 1;
    for (int d = 0; d < p.outer_rank; ++d) p.rows *= p.outer_dims[d] = g_.dims[d];
    for (int d = 0; d < inner; ++d) p.inner_dims[d] = g_.dims[p.outer_rank + d];
    p.total = g_.total;
  }

  bool used_by_functor(int slot) const {
    for (const TileStep& s : program_.steps) {
      for (int j = 0; s.fn != Fn::kCount && j < s.num_in; ++j) {
        if (s.in[j] == slot) return true;
      }
    }
    return false;
  }

  Feed feed_of(int i) const {
    const TilePlan& p = *plan_;
    const int64_t* step = g_.stride[i] + p.outer_rank;
    bool single = true, direct = true;
    int64_t expected = 1;
    for (int d = p.inner_rank - 1; d >= 0; --d) {
      single = single && (step[d] == 0 || p.inner_dims[d] == 1);
      direct = direct && (step[d] == expected || p.inner_dims[d] == 1);
      expected *= p.inner_dims[d];
    }
    if (direct) return Feed::kDirect;
    if (single) return Feed::kSingle;
    const bool repeats = p.inner_rank == 2 && step[0] == 0 && step[1] == 1;
    return repeats && p.inner_dims[1] <= kMinTile ? Feed::kRepeat : Feed::kGather;
  }

  void add_source(int i) {
    TilePlan& p = *plan_;
    TileSource& s = p.sources.emplace_back();
    s.dtype = in_[i]->dtype;
    s.size = static_cast<int64_t>(dtype_size(s.dtype));
    s.feed = feed_of(i);
    for (int d = 0; d < p.outer_rank; ++d) {
      s.outer_step[d] = g_.stride[i][d] * s.size;
      s.moves = s.moves || (s.outer_step[d] != 0 && p.outer_dims[d] != 1);
    }
    for (int d = 0; d < p.inner_rank; ++d) s.inner_step[d] = g_.stride[i][p.outer_rank + d];
    if (s.feed == Feed::kRepeat) p.period = p.inner_dims[1];
    dtype_[i] = used_by_functor(i) ? tile_dtype(s.dtype) : s.dtype;
    if (dtype_[i] != s.dtype) s.load = convert(s.dtype, dtype_[i]);
    single_[i] = s.feed == Feed::kSingle;
    real_[i] = i;
  }

  ConvertFn convert(DType from, DType to) const {
    return table_.convert[static_cast<int>(from)][static_cast<int>(to)];
  }

  Status add_step(int k) {
    const TileStep& from = program_.steps[k];
    TilePlan& p = *plan_;
    const int slot = step_slot(k);
    if (from.fn == Fn::kCount) return add_conversion(k);
    RunStep& s = p.steps.emplace_back();
    s.slot = slot;
    s.num_in = from.num_in;
    s.params[0] = from.params[0];
    s.params[1] = from.params[1];
    real_[slot] = slot;
    single_[slot] = true;
    uint32_t mask = 0;
    for (int j = 0; j < s.num_in; ++j) {
      s.in[j] = real_[from.in[j]];
      if (single_[s.in[j]]) mask |= 1u << j;
      single_[slot] = single_[slot] && single_[s.in[j]];
    }
    const DType t = dtype_[s.in[s.num_in - 1]];
    const TileFn* variants = table_.fn[static_cast<int>(from.fn)][static_cast<int>(tile_type(t))];
    if (single_[slot]) mask = 0;  // one element each
    s.single = single_[slot];
    if (!variants[mask]) {  // no such variant: singles become tiles
      for (int j = 0; j < s.num_in; ++j) spread_[s.in[j]] = spread_[s.in[j]] || (mask >> j & 1u);
      mask = 0;
    }
    s.fn = variants[mask];
    if (!s.fn) return unsupported("has a step that tiles do not know");
    for (int j = 0; j < s.num_in; ++j) s.from_tile[j] = !s.single && !(mask >> j & 1u);
    dtype_[slot] = result_dtype(from.fn, t);
    if (!s.single) cost_ += from.cost * (t == DType::kF64 && from.cost > 0.1 ? 20 : 1);
    return Status();
  }

  static DType result_dtype(Fn fn, DType t) {
    switch (fn) {
      case Fn::kEqual:
      case Fn::kNotEqual:
      case Fn::kLess:
      case Fn::kLessEqual:
      case Fn::kGreater:
      case Fn::kGreaterEqual:
      case Fn::kIsNan:
      case Fn::kIsInf:
      case Fn::kIsFinite:
        return DType::kBool;
      default:
        return t;
    }
  }

  bool only_output_as(int slot, DType t) const {
    for (const TileStep& s : program_.steps) {
      for (int j = 0; j < s.num_in; ++j) {
        if (s.in[j] == slot) return false;
      }
    }
    for (size_t o = 0; o < program_.outputs.size(); ++o) {
      if (program_.outputs[o] == slot && out_[o].dtype != t) return false;
    }
    return true;
  }

  // Rounding to 16 bits stays an f32 tile; where the next thing is a store, that rounds.
  Status add_conversion(int k) {
    const TileStep& from = program_.steps[k];
    const int slot = step_slot(k), in = real_[from.in[0]];
    const DType to = from.convert_to;
    const bool rounds = is_low_precision(to) && dtype_[in] != to;
    if (dtype_[in] == tile_dtype(to) && (!rounds || only_output_as(slot, to))) {
      alias(slot, in);
      return Status();
    }
    if (rounds && only_output_as(slot, to) && convert(dtype_[in], to)) {
      alias(slot, in);  // the store converts
      return Status();
    }
    int at = in;
    if (dtype_[in] != tile_dtype(to)) {
      at = conversion_step(slot, at, tile_dtype(to));
      if (at < 0) return unsupported(cat("cannot convert ", dtype_[in], " to ", to));
    }
    if (rounds) {
      RunStep& s = plan_->steps.emplace_back();
      s.slot = slot;
      s.num_in = 1;
      s.in[0] = at;
      s.fn = to == DType::kBF16 ? table_.round_bf16 : table_.round_f16;
      s.single = single_[at];
      s.from_tile[0] = !s.single;
      set(slot, DType::kF32, single_[at]);
    }
    return Status();
  }
  void alias(int slot, int to) {
    real_[slot] = to;
    dtype_[slot] = dtype_[to];
    single_[slot] = single_[to];
  }
  void set(int slot, DType t, bool single) {
    real_[slot] = slot;
    dtype_[slot] = t;
    single_[slot] = single;
  }
  int conversion_step(int slot, int in, DType to) {
    const ConvertFn f = convert(dtype_[in], to);
    if (!f) return -1;
    RunStep& s = plan_->steps.emplace_back();
    s.slot = slot;
    s.num_in = 1;
    s.in[0] = in;
    s.convert = f;
    s.single = single_[in];
    s.from_tile[0] = !s.single;
    cost_ += 0.1;
    set(slot, to, single_[in]);
    return slot;
  }

  void add_outputs() {
    TilePlan& p = *plan_;
    for (size_t o = 0; o < program_.outputs.size(); ++o) {
      const int slot = real_[program_.outputs[o]];
      TileOut out;
      out.slot = slot;
      out.size = static_cast<int64_t>(dtype_size(out_[o].dtype));
      out.store = convert(dtype_[slot], out_[o].dtype);
      out.from_tile = true;
      if (single_[slot]) spread_[slot] = true;
      // The step that makes it writes into the output itself, unless some step reads it with
      // another output's memory in between or it has to be converted.
      const bool made_here = slot >= num_in() && !single_[slot] && dtype_[slot] == out_[o].dtype;
      if (made_here && p.direct_out[slot] < 0) {
        p.direct_out[slot] = static_cast<int8_t>(o);
        out.store = nullptr;
      }
      p.outs.push_back(out);
    }
  }

  // Memory for sources that are not read in place and for results that are not written in place.
  void assign_buffers() {
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
    for (int i = 0; i < num_in(); ++i) {
      TileSource& s = p.sources[i];
      const bool kept = s.feed == Feed::kRepeat || spread_[i];
      gathers = gathers || (s.feed == Feed::kGather && s.load);
      if (kept) {
        p.buffer[i] = static_cast<int8_t>(take(-1, kAlways));
      } else if (s.feed == Feed::kGather || (s.feed == Feed::kDirect && s.load)) {
        p.buffer[i] = static_cast<int8_t>(take(-1, last_use[i]));
      }
      s.spread = spread_[i];
    }
    for (int k = 0; k < steps; ++k) {
      RunStep& s = p.steps[k];
      s.spread = spread_[s.slot];
      if (s.single && !s.spread) continue;
      if (!s.single && p.direct_out[s.slot] >= 0) continue;
      const int until = s.spread ? kAlways : std::max(last_use[s.slot], k);
      if (p.buffer[s.slot] < 0)
        p.buffer[s.slot] = static_cast<int8_t>(take(s.spread ? -1 : k, until));
    }
    if (gathers) p.raw_buffer = take(-1, kAlways);
    p.buffers = count;
  }

  void finish() {
    TilePlan& p = *plan_;
    int64_t widest = 4;
    double bytes = 0;
    for (int i = 0; i < num_in(); ++i) {
      widest = std::max<int64_t>(widest, static_cast<int64_t>(dtype_size(dtype_[i])));
      widest = std::max(widest, p.sources[i].size);
      bytes += static_cast<double>(single_[i] ? 0 : p.sources[i].size);
    }
    for (const RunStep& s : p.steps)
      widest = std::max<int64_t>(widest, static_cast<int64_t>(dtype_size(dtype_[s.slot])));
    for (const TileOut& o : p.outs) bytes += static_cast<double>(o.size);
    int64_t tile = kMaxTile;
    while (tile > kMinTile && tile * widest * p.buffers > kScratchBytes) tile /= 2;
    p.buffer_bytes = tile * widest;
    if (p.period > 1) tile = tile / p.period * p.period;
    p.tile = tile;
    for (int s = 0; s < kMaxTileSlots; ++s)
      p.slot_size[s] = static_cast<int8_t>(dtype_size(dtype_[s]));
    p.tiles_per_row = (p.row + tile - 1) / tile;
    const double ns = cost_ + 0.05 * bytes;
    p.grain = std::max<int64_t>(static_cast<int64_t>(20000 / ns), 1);
    choose_run();
    overwritable();
  }

  // One function over plain memory needs no tiles.
  void choose_run() {
    TilePlan& p = *plan_;
    p.run = run_tiles;
    if (p.total == 0) p.run = [](const Plan&, const KernelArgs&) { return Status(); };
    if (p.total == 0 || p.rows != 1 || p.outs.size() != 1 || p.steps.size() > 1) return;
    for (const TileSource& s : p.sources) {
      if (s.load || s.spread || (s.feed != Feed::kDirect && s.feed != Feed::kSingle)) return;
    }
    const TileOut& o = p.outs[0];
    if (p.steps.empty()) {
      if (p.sources.size() != 1 || p.sources[0].feed != Feed::kDirect) return;
      p.convert = o.store;
      p.run = run_convert;
      return;
    }
    const RunStep& s = p.steps[0];
    if (o.store || s.single || !s.fn || s.num_in != num_in()) return;
    for (int j = 0; j < s.num_in; ++j) {
      if (s.in[j] != j) return;
      p.step_bytes[j] = p.sources[j].feed == Feed::kDirect ? p.sources[j].size : 0;
    }
    p.fn = s.fn;
    p.step_bytes[3] = o.size;
    p.run = run_direct;
  }

  // Input i may give its memory to output 0 if each of its tiles is read before that tile is
  // written.
  void overwritable() {
    TilePlan& p = *plan_;
    const int slot = real_[program_.outputs[0]];
    int written = static_cast<int>(p.steps.size());  // stored after all steps
    if (p.direct_out[slot] == 0) {
      for (size_t k = 0; k < p.steps.size(); ++k) {
        if (p.steps[k].slot == slot) written = static_cast<int>(k);
      }
    }
    for (int i = 0; i < num_in(); ++i) {
      if (!g_.flat(i) || p.sources[i].feed != Feed::kDirect || p.sources[i].size != p.outs[0].size)
        continue;
      bool safe = true;
      for (size_t k = static_cast<size_t>(written) + 1; k < p.steps.size() && !p.sources[i].load;
           ++k) {
        for (int j = 0; j < p.steps[k].num_in; ++j) safe = safe && p.steps[k].in[j] != i;
      }
      for (size_t o = 1; o < p.outs.size(); ++o) safe = safe && p.outs[o].slot != i;
      if (safe) p.may_overwrite |= 1u << i;
    }
  }

  const TileProgram& program_;
  std::span<const TensorMeta* const> in_;
  std::span<const TensorMeta> out_;
  const TileTable& table_;
  std::unique_ptr<TilePlan> plan_;
  TileGeometry g_;
  int real_[kMaxTileSlots] = {};     // the slot that holds the value
  DType dtype_[kMaxTileSlots] = {};  // of the slot's tile
  bool single_[kMaxTileSlots] = {};  // one value for the whole row
  bool spread_[kMaxTileSlots] = {};  // ... that somebody wants as a tile
  double cost_ = 0;
};

}  // namespace

bool can_tile(std::span<const TensorMeta* const> inputs, std::span<const TensorMeta> outputs,
              Reason* reason) {
  if (!tile_table()) {
    reason->text = "needs AVX2";
    return false;
  }
  for (const TensorMeta* m : inputs) {
    if (!tiles_know(m->dtype)) {
      reason->text = cat("does not take ", m->dtype);
      return false;
    }
  }
  for (const TensorMeta& m : outputs) {
    if (!tiles_know(m.dtype)) {
      reason->text = cat("does not give ", m.dtype);
      return false;
    }
    if (!(m.shape == outputs[0].shape) || m.layout != outputs[0].layout ||
        (m.layout == kStrided && !(m.strides == outputs[0].strides))) {
      reason->text = "the outputs lie differently";
      return false;
    }
  }
  TileGeometry g;
  return tile_geometry(inputs, outputs[0], &g, reason);
}

Status make_tile_plan(const TileProgram& program, std::span<const TensorMeta* const> inputs,
                      std::span<const TensorMeta> outputs, std::unique_ptr<Plan>* plan) {
  return Builder(program, inputs, outputs).build(plan);
}

}  // namespace rutile::kernels
