// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/tile_plan.h"

#include <algorithm>

#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/tile_program.h"
#include "rutile/kernels/elementwise_params.h"
#include "rutile/kernels/functors.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"

namespace rutile::kernels {
namespace {

constexpr int64_t kCacheBytes = 40 << 10;  // stays in the first-level cache beside the streams
constexpr int64_t kMaxTile = 1024, kMinTile = 64;
constexpr int64_t kLongRow = 256;         // worth a call of its own
constexpr int64_t kMaxResults = 1 << 16;  // gathered over tiles
constexpr int64_t kMaxRows = 128;
constexpr double kOwnCache = 1 << 20;     // bytes that a core has for itself
// Bytes of all operands beyond which readers find no result in a cache.
constexpr int64_t kPastCaches = 20 << 20;

Status unsupported(std::string text) { return Status(ErrorCode::kUnsupported, std::move(text)); }

DType tile_dtype(DType t) { return is_low_precision(t) ? DType::kF32 : t; }

bool tiles_know(DType t) { return tile_type(t) != TileType::kNone || t == DType::kU8; }

// What the program runs over: the placement of an output that is not reduced, else that of an input
// of the full shape, else row-major.
TensorMeta domain_of(const TileProgram& program, std::span<const TensorMeta* const> in,
                     std::span<const TensorMeta> out) {
  if (!program.reduces()) return out[0];
  Shape shape = program.shapes[0];
  for (const Shape& s : program.shapes) {
    if (s.numel() > shape.numel() || (s.numel() == shape.numel() && s.rank() > shape.rank()))
      shape = s;
  }
  for (const TensorMeta& m : out) {
    if (m.shape == shape) return m;
  }
  for (const TensorMeta* m : in) {
    if (m->shape == shape && (m->layout != kStrided || m->is_dense())) return *m;
  }
  return TensorMeta(shape, DType::kF32);
}

// How a program and its operands lie: first the inputs, then the result of each reduction.
struct Placed {
  TensorMeta domain;
  std::vector<TensorMeta> results;
  std::vector<int> reduce_step;  // by result
  TileGeometry g;
};

bool place_operands(const TileProgram& program, std::span<const TensorMeta* const> in,
                    std::span<const TensorMeta> out, Placed* p, Reason* reason) {
  p->domain = domain_of(program, in, out);
  for (size_t k = 0; k < program.steps.size(); ++k) {
    if (!program.steps[k].reduces) continue;
    if (!(program.shapes[static_cast<size_t>(program.steps[k].in[0])] == p->domain.shape)) {
      reason->text = "a reduction takes less than all elements";
      return false;
    }
    p->results.emplace_back(program.shapes[in.size() + k], DType::kF32);
    p->reduce_step.push_back(static_cast<int>(k));
  }
  std::vector<const TensorMeta*> operands(in.begin(), in.end());
  for (const TensorMeta& m : p->results) operands.push_back(&m);
  for (const TensorMeta* m : operands) {
    Shape all;
    if (!broadcast_shapes(m->shape, p->domain.shape, &all).ok() || !(all == p->domain.shape)) {
      reason->text = "an input is larger than the rest";
      return false;
    }
  }
  if (!tile_geometry(operands, p->domain, &p->g, reason, in.size())) return false;
  if (p->g.total == p->domain.numel()) return true;
  // What the padding of channels comes to lies behind the results where those are one per channel.
  for (const TensorMeta& m : p->results) {
    if (p->domain.rank() != 4 || m.shape[1] == 1 || m.numel() != m.shape[1]) {
      reason->text = "reduces padding with the rest";
      return false;
    }
  }
  return true;
}

// Turns a program into a plan, slot by slot.
class Builder {
 public:
  Builder(const TileProgram& program, std::span<const TensorMeta* const> in,
          std::span<const TensorMeta> out)
      : program_(program), in_(in), out_(out), table_(*tile_table()), plan_(new TilePlan) {}

  Status build(std::unique_ptr<Plan>* plan) {
    Reason reason;
    if (!fits(program_, num_in(), &reason)) return unsupported(reason.text);
    if (!place_operands(program_, in_, out_, &placed_, &reason)) return unsupported(reason.text);
    RUTILE_RETURN_IF_ERROR(split_rows());
    for (int i = 0; i < num_in(); ++i) add_source(i);
    for (size_t k = 0; k < program_.steps.size(); ++k)
      RUTILE_RETURN_IF_ERROR(add_step(static_cast<int>(k)));
    RUTILE_RETURN_IF_ERROR(add_outputs());
    merge_pairs();
    assign_buffers();
    RUTILE_RETURN_IF_ERROR(finish());
    *plan = std::move(plan_);
    return Status();
  }

 private:
  int num_in() const { return static_cast<int>(in_.size()); }
  int step_slot(int k) const { return num_in() + k; }
  int outer_rank() const { return g_.rank - 1; }

  bool read_by_a_step(int slot) const {
    for (const TileStep& s : program_.steps) {
      for (int j = 0; j < s.num_in; ++j) {
        if (s.in[j] == slot) return true;
      }
    }
    return false;
  }
  // The operand steps along no dimension around the row.
  bool still(int operand) const {
    for (int d = 0; d < outer_rank(); ++d) {
      if (g_.stride[operand][d] != 0 && g_.dims[d] != 1) return false;
    }
    return true;
  }

  // A row is the innermost dimension that all operands step through alike.
  Status split_rows() {
    TilePlan& p = *plan_;
    p.outer_rank = outer_rank();
    p.row = g_.dims[g_.rank - 1];
    for (int d = 0; d < p.outer_rank; ++d) p.rows *= p.outer_dims[d] = g_.dims[d];
    p.total = g_.total;
    bool row_values = false, whole = false;
    for (int i = 0; i < num_in(); ++i) {
      row_values = row_values || (g_.stride[i][g_.rank - 1] == 0 && p.row > 1 && !still(i));
    }
    for (size_t r = 0; r < placed_.results.size(); ++r) {
      const int64_t* step = g_.stride[num_in() + static_cast<int>(r)];
      const bool inside = step[g_.rank - 1] == 0 || p.row == 1;
      bool each = inside;  // every row has a result of its own
      for (int d = 0; d < p.outer_rank; ++d) each = each && (step[d] != 0 || p.outer_dims[d] == 1);
      const bool read = read_by_a_step(step_slot(placed_.reduce_step[r]));
      if (read && !each) return unsupported("reads a reduction over more than a row");
      RunReduce& run = p.reduces.emplace_back();
      run.inside = inside;
      run.whole = each && (read || p.row <= kMaxTile);
      run.one = still(num_in() + static_cast<int>(r));
      run.results = run.slots = placed_.results[r].numel();
      if (p.total != placed_.domain.numel()) {
        run.slots = p.total / (placed_.domain.numel() / run.results);
      }
      for (int d = 0; d < p.outer_rank; ++d) run.outer_step[d] = step[d];
      if (!inside && step[g_.rank - 1] != 1) return unsupported("reduces to scattered results");
      whole = whole || run.whole;
      row_values = row_values || run.whole;
    }
    if (p.row <= kMaxTile || whole) {
      p.tile = p.row;
      p.tile_rows = row_values && p.row >= kLongRow ? 1 : kMaxTile / std::max<int64_t>(p.row, 1);
      p.tile_rows =
          std::clamp<int64_t>(p.tile_rows, 1, std::min(kMaxRows, std::max<int64_t>(p.rows, 1)));
      whole_rows_ = whole;
    }
    one_row_ = p.tile != p.row || p.tile_rows == 1;
    return Status();
  }

  bool used_by_functor(int slot) const {
    for (const TileStep& s : program_.steps) {
      for (int j = 0; s.fn != Fn::kCount && j < s.num_in; ++j) {
        if (s.in[j] == slot) return true;
      }
      if (s.reduces && s.in[0] == slot) return true;
    }
    return false;
  }

  Feed feed_of(int i) const {
    const int64_t inner = g_.stride[i][g_.rank - 1];
    const bool repeats = inner == 0 || plan_->row == 1;
    if (repeats && still(i)) return Feed::kSingle;
    if (g_.flat(i)) return Feed::kFlat;
    if (repeats) return Feed::kRowValue;
    if (inner != 1) return Feed::kGather;
    const bool once = still(i) && plan_->tile == plan_->row;
    const bool copies = !one_row_ || (used_by_functor(i) && is_low_precision(in_[i]->dtype));
    return once && copies ? Feed::kRepeat : Feed::kLine;
  }

  void add_source(int i) {
    TilePlan& p = *plan_;
    TileSource& s = p.sources.emplace_back();
    s.dtype = in_[i]->dtype;
    s.size = static_cast<int64_t>(dtype_size(s.dtype));
    s.feed = feed_of(i);
    for (int d = 0; d < p.outer_rank; ++d) s.outer_step[d] = g_.stride[i][d] * s.size;
    s.inner_step = g_.stride[i][g_.rank - 1];
    dtype_[i] = used_by_functor(i) ? tile_dtype(s.dtype) : s.dtype;
    if (dtype_[i] != s.dtype) s.load = convert(s.dtype, dtype_[i]);
    extent_[i] = s.feed == Feed::kSingle     ? Extent::kSingle
                 : s.feed == Feed::kRowValue ? Extent::kRow
                                             : Extent::kTile;
    real_[i] = i;
  }

  ConvertFn convert(DType from, DType to) const {
    return table_.convert[static_cast<int>(from)][static_cast<int>(to)];
  }

  Status add_step(int k) {
    const TileStep& from = program_.steps[k];
    TilePlan& p = *plan_;
    const int slot = step_slot(k);
    if (from.reduces) return add_reduction(k);
    if (from.fn == Fn::kCount) return add_conversion(k);
    RunStep& s = p.steps.emplace_back();
    s.slot = slot;
    s.num_in = from.num_in;
    s.params[0] = from.params[0];
    s.params[1] = from.params[1];
    real_[slot] = slot;
    Extent extent = Extent::kSingle;
    for (int j = 0; j < s.num_in; ++j) {
      s.in[j] = real_[from.in[j]];
      extent = std::max(extent, extent_[s.in[j]]);
    }
    const DType t = dtype_[s.in[s.num_in - 1]];
    const TileFn* variants = table_.fn[static_cast<int>(from.fn)][static_cast<int>(tile_type(t))];
    uint32_t mask = 0;
    for (int j = 0; j < s.num_in; ++j) mask |= one_element(s.in[j], extent) ? 1u << j : 0;
    if (!variants[mask]) mask = 0;
    s.fn = variants[mask];
    if (!s.fn) return unsupported("has a step that tiles do not know");
    for (int j = 0; j < s.num_in; ++j) read(&s, j, extent, mask >> j & 1u);
    s.extent = extent_[slot] = extent;
    if (t == DType::kF32) s.op = from.fn;
    dtype_[slot] = result_dtype(from.fn, t);
    if (extent == Extent::kTile)
      cost_ += from.cost * (t == DType::kF64 && from.cost > 0.1 ? 20 : 1);
    return Status();
  }
  // A step of this extent may take the slot as one element for all.
  bool one_element(int slot, Extent extent) const {
    if (extent_[slot] == Extent::kSingle) return extent != Extent::kSingle;
    return extent_[slot] == Extent::kRow && extent == Extent::kTile && one_row_;
  }
  // Notes how the step reads its operand j; what is less than it needs is spread.
  void read(RunStep* s, int j, Extent extent, bool as_one) {
    const int slot = s->in[j];
    s->from[j] = extent_[slot];
    if (as_one || extent_[slot] == extent) return;
    spread_[slot] = spread_[slot] || extent == Extent::kTile;
    spread_row_[slot] = spread_row_[slot] || extent == Extent::kRow;
    s->from[j] = extent;
  }

  Status add_reduction(int k) {
    const TileStep& from = program_.steps[k];
    TilePlan& p = *plan_;
    const int slot = step_slot(k), in = real_[from.in[0]];
    int r = 0;
    while (placed_.reduce_step[static_cast<size_t>(r)] != k) ++r;
    RunReduce& run = p.reduces[static_cast<size_t>(r)];
    const DType t = dtype_[in];
    const bool extremum = from.kind == ReduceKind::kMax || from.kind == ReduceKind::kMin;
    run.kernels = extremum ? RUTILE_CHOOSE_ISA(extremum_kernels, from.kind, t)
                           : RUTILE_CHOOSE_ISA(sum_kernels, from.kind, t, from.wide);
    if (!run.kernels.rows) return unsupported(cat("has no vector loop that reduces ", t));
    if (extremum) {
      run.slot = is_floating(t) ? t : DType::kI64;
    } else {
      run.slot = is_floating(t) || from.wide ? DType::kF64 : DType::kI64;
    }
    run.value = tile_dtype(from.convert_to);
    if (from.mean) {
      run.scale = static_cast<double>(run.results) / static_cast<double>(placed_.domain.numel());
    }
    RunStep& s = p.steps.emplace_back();
    s.slot = slot;
    s.num_in = 1;
    s.in[0] = in;
    s.reduce = r;
    s.extent = Extent::kRow;
    read(&s, 0, Extent::kTile, false);
    set(slot, run.value, Extent::kRow);
    cost_ += 0.1;
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
      s.extent = s.from[0] = extent_[at];
      set(slot, DType::kF32, extent_[at]);
    }
    return Status();
  }
  void alias(int slot, int to) {
    real_[slot] = to;
    dtype_[slot] = dtype_[to];
    extent_[slot] = extent_[to];
  }
  void set(int slot, DType t, Extent extent) {
    real_[slot] = slot;
    dtype_[slot] = t;
    extent_[slot] = extent;
  }
  int conversion_step(int slot, int in, DType to) {
    const ConvertFn f = convert(dtype_[in], to);
    if (!f) return -1;
    RunStep& s = plan_->steps.emplace_back();
    s.slot = slot;
    s.num_in = 1;
    s.in[0] = in;
    s.convert = f;
    s.extent = s.from[0] = extent_[in];
    cost_ += 0.1;
    set(slot, to, extent_[in]);
    return slot;
  }

  int64_t operand_bytes() const {
    int64_t bytes = 0;
    for (const TensorMeta* m : in_) bytes += m->nbytes();
    for (const TensorMeta& m : out_) bytes += m.nbytes();
    return bytes;
  }
  bool is_full(const TensorMeta& m) const { return m.shape == placed_.domain.shape; }
  // One element per row, in the order of the rows.
  bool lies_as_rows(const TensorMeta& m) const {
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
    if (m.numel() != plan_->rows ||
        !broadcast_shapes(kept.shape, placed_.domain.shape, &all).ok() ||
        !(all == placed_.domain.shape) ||
        !tile_geometry({&operand, 1}, placed_.domain, &g, &reason))
      return false;
    if (g.rank == 1) return g.stride[0][0] == 0 || plan_->row == 1;
    return g.rank == 2 && g.dims[1] == plan_->row && g.stride[0][1] == 0 && g.stride[0][0] == 1;
  }

  Status add_outputs() {
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
      if (made_here && operand_bytes() > kPastCaches &&
          (p.rows == 1 || p.row * out.size % 64 == 0)) {
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
  void merge_pairs() {
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
  static int first_of_pair(Fn op) {
    return op == Fn::kAdd ? 0 : op == Fn::kSub ? 1 : op == Fn::kMul ? 2 : -1;
  }
  static int second_of_pair(Fn op, int operand) {
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
  bool merge_pair(const RunStep& first, int operand, RunStep* s) const {
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
      if (p.buffer[s.slot] < 0)
        p.buffer[s.slot] = static_cast<int16_t>(take(stays ? -1 : k, until));
    }
    if (gathers) p.raw_buffer = take(-1, kAlways);
    p.buffers = count;
  }

  Status finish() {
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
    const double ns = cost_ + 0.05 * bytes;
    p.grain = std::max<int64_t>(static_cast<int64_t>(20000 / ns), 1);
    divide_results();
    choose_run();
    overwritable();
    return Status();
  }

  void choose_tile(int64_t widest) {
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
  void divide_results() {
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
  void choose_run() {
    TilePlan& p = *plan_;
    p.run = run_tiles;
    if (p.total == 0 && p.parts == 0)
      p.run = [](const Plan&, const KernelArgs&) { return Status(); };
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
  void overwritable() {
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

  const TileProgram& program_;
  std::span<const TensorMeta* const> in_;
  std::span<const TensorMeta> out_;
  const TileTable& table_;
  std::unique_ptr<TilePlan> plan_;
  Placed placed_;
  const TileGeometry& g_ = placed_.g;
  bool whole_rows_ = false;          // a reduction wants whole rows in a tile
  bool one_row_ = true;              // tiles have one row
  int real_[kMaxTileSlots] = {};     // the slot that holds the value
  DType dtype_[kMaxTileSlots] = {};  // of the slot's tile
  Extent extent_[kMaxTileSlots] = {};
  bool spread_[kMaxTileSlots] = {};      // of fewer elements, but somebody wants a tile
  bool spread_row_[kMaxTileSlots] = {};  // one element, but somebody wants one per row
  double cost_ = 0;
};

}  // namespace

bool can_tile(const TileProgram& program, std::span<const TensorMeta* const> inputs,
              std::span<const TensorMeta> outputs, Reason* reason) {
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
  Placed placed;
  if (!fits(program, static_cast<int>(inputs.size()), reason)) return false;
  const TensorMeta domain = domain_of(program, inputs, outputs);
  for (const TensorMeta& m : outputs) {
    if (!tiles_know(m.dtype)) {
      reason->text = cat("does not give ", m.dtype);
      return false;
    }
    if (program.reduces() && !(m.shape == domain.shape)) continue;
    if (!(m.shape == domain.shape) || m.layout != domain.layout ||
        (m.layout == kStrided && !same_placement(m, domain))) {
      reason->text = "the outputs lie differently";
      return false;
    }
  }
  if (!place_operands(program, inputs, outputs, &placed, reason)) return false;
  if (!program.reduces()) return true;
  std::unique_ptr<Plan> plan;
  const Status s = Builder(program, inputs, outputs).build(&plan);
  reason->text = s.message();
  return s.ok();
}

Status make_tile_plan(const TileProgram& program, std::span<const TensorMeta* const> inputs,
                      std::span<const TensorMeta> outputs, std::unique_ptr<Plan>* plan) {
  return Builder(program, inputs, outputs).build(plan);
}

}  // namespace rutile::kernels
