// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/tile_builder.h"

#include <algorithm>

#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/elementwise_params.h"
#include "rutile/kernels/functors.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"

namespace rutile::kernels {
namespace {

bool tiles_know(DType t) { return t != DType::kU64 && !is_complex(t); }

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

bool place_operands(const TileProgram& program, std::span<const TensorMeta* const> in,
                    std::span<const TensorMeta> out, Placed* p, Reason* reason) {
  p->domain = domain_of(program, in, out);
  for (size_t k = 0; k < program.steps.size(); ++k) {
    if (!program.steps[k].reduces) continue;
    if (!(program.shapes[static_cast<size_t>(program.steps[k].in[0])] == p->domain.shape)) {
      return refuse(reason, "a reduction takes less than all elements");
    }
    p->results.emplace_back(program.shapes[in.size() + k], DType::kF32);
    p->reduce_step.push_back(static_cast<int>(k));
  }
  std::vector<const TensorMeta*> operands(in.begin(), in.end());
  for (const TensorMeta& m : p->results) operands.push_back(&m);
  for (const TensorMeta* m : operands) {
    Shape all;
    if (!broadcast_shapes(m->shape, p->domain.shape, &all).ok() || !(all == p->domain.shape)) {
      return refuse(reason, "an input is larger than the rest");
    }
  }
  if (!tile_geometry(operands, p->domain, &p->g, reason, in.size())) return false;
  if (p->g.total == p->domain.numel()) return true;
  // What the padding of channels comes to lies behind the results where those are one per channel.
  for (const TensorMeta& m : p->results) {
    if (p->domain.rank() != 4 || m.shape[1] == 1 || m.numel() != m.shape[1]) {
      return refuse(reason, "reduces padding with the rest");
    }
  }
  return true;
}

}  // namespace

Status TileBuilder::build(std::unique_ptr<Plan>* plan) {
  Reason reason;
  if (!fits(program_, num_in(), &reason)) return unsupported(reason.text);
  if (!place_operands(program_, in_, out_, &placed_, &reason)) return unsupported(reason.text);
  RUTILE_RETURN_IF_ERROR(split_rows());
  for (int i = 0; i < num_in(); ++i) add_source(i);
  for (size_t k = 0; k < program_.steps.size(); ++k)
    RUTILE_RETURN_IF_ERROR(add_step(static_cast<int>(k)));
  RUTILE_RETURN_IF_ERROR(add_outputs());
  if (!program_.exact) merge_pairs();
  assign_buffers();
  RUTILE_RETURN_IF_ERROR(finish());
  *plan = std::move(plan_);
  return Status();
}

bool TileBuilder::read_by_a_step(int slot) const {
  for (const TileStep& s : program_.steps) {
    for (int j = 0; j < s.num_in; ++j) {
      if (s.in[j] == slot) return true;
    }
  }
  return false;
}

// The operand steps along no dimension around the row.
bool TileBuilder::still(int operand) const {
  for (int d = 0; d < outer_rank(); ++d) {
    if (g_.stride[operand][d] != 0 && g_.dims[d] != 1) return false;
  }
  return true;
}

// A row is the innermost dimension that all operands step through alike.
Status TileBuilder::split_rows() {
  TilePlan& p = *plan_;
  p.outer_rank = outer_rank();
  p.row = g_.dims[g_.rank - 1];
  for (int d = 0; d < p.outer_rank; ++d) p.rows *= p.outer_dims[d] = g_.dims[d];
  p.total = g_.total;
  bool row_values = false, whole = false, lines = false;
  for (int i = 0; i < num_in(); ++i) {
    const int64_t inner = g_.stride[i][g_.rank - 1];
    row_values = row_values || (inner == 0 && p.row > 1 && !still(i));
    lines = lines || (inner == 1 && !still(i) && !g_.flat(i));  // read in place row by row
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
    const bool by_row = (row_values || lines) && p.row >= kLongRow;
    p.tile_rows = by_row ? 1 : kMaxTile / std::max<int64_t>(p.row, 1);
    p.tile_rows =
        std::clamp<int64_t>(p.tile_rows, 1, std::min(kMaxRows, std::max<int64_t>(p.rows, 1)));
    whole_rows_ = whole;
  }
  one_row_ = p.tile != p.row || p.tile_rows == 1;
  return Status();
}

bool TileBuilder::used_by_functor(int slot) const {
  for (const TileStep& s : program_.steps) {
    for (int j = 0; s.fn != Fn::kCount && j < s.num_in; ++j) {
      if (s.in[j] == slot) return true;
    }
    if (s.reduces && s.in[0] == slot) return true;
  }
  return false;
}

Feed TileBuilder::feed_of(int i) const {
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

void TileBuilder::add_source(int i) {
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

ConvertFn TileBuilder::convert(DType from, DType to) const {
  return table_.convert[static_cast<int>(from)][static_cast<int>(to)];
}

Status TileBuilder::add_step(int k) {
  const TileStep& from = program_.steps[k];
  TilePlan& p = *plan_;
  const int slot = step_slot(k);
  if (from.reduces) return add_reduction(k);
  if (from.fn == Fn::kCount) return add_conversion(k);
  RunStep& s = p.steps.emplace_back();
  s.slot = slot;
  s.num_in = from.num_in;
  std::copy(std::begin(from.params), std::end(from.params), s.params);
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
  if (extent == Extent::kTile) cost_ += from.cost * (t == DType::kF64 && from.cost > 0.1 ? 20 : 1);
  return Status();
}

// A step of this extent may take the slot as one element for all.
bool TileBuilder::one_element(int slot, Extent extent) const {
  if (extent_[slot] == Extent::kSingle) return extent != Extent::kSingle;
  return extent_[slot] == Extent::kRow && extent == Extent::kTile && one_row_;
}

// Notes how the step reads its operand j; what is less than it needs is spread.
void TileBuilder::read(RunStep* s, int j, Extent extent, bool as_one) {
  const int slot = s->in[j];
  s->from[j] = extent_[slot];
  if (as_one || extent_[slot] == extent) return;
  spread_[slot] = spread_[slot] || extent == Extent::kTile;
  spread_row_[slot] = spread_row_[slot] || extent == Extent::kRow;
  s->from[j] = extent;
}

Status TileBuilder::add_reduction(int k) {
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

DType TileBuilder::result_dtype(Fn fn, DType t) {
  switch (fn) {
    case Fn::kEqual:
    case Fn::kNotEqual:
    case Fn::kLess:
    case Fn::kLessEqual:
    case Fn::kGreater:
    case Fn::kGreaterEqual:
    case Fn::kIsNan:
    case Fn::kSignBit:
    case Fn::kIsPosInf:
    case Fn::kIsNegInf:
    case Fn::kIsInf:
    case Fn::kIsFinite:
      return DType::kBool;
    default:
      return t;
  }
}

bool TileBuilder::only_output_as(int slot, DType t) const {
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
Status TileBuilder::add_conversion(int k) {
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

void TileBuilder::alias(int slot, int to) {
  real_[slot] = to;
  dtype_[slot] = dtype_[to];
  extent_[slot] = extent_[to];
}

void TileBuilder::set(int slot, DType t, Extent extent) {
  real_[slot] = slot;
  dtype_[slot] = t;
  extent_[slot] = extent;
}

int TileBuilder::conversion_step(int slot, int in, DType to) {
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

bool can_tile(const TileProgram& program, std::span<const TensorMeta* const> inputs,
              std::span<const TensorMeta> outputs, Reason* reason) {
  if (!tile_table()) return refuse(reason, "needs AVX2");
  for (const TensorMeta* m : inputs) {
    if (!tiles_know(m->dtype)) return refuse(reason, cat("does not take ", m->dtype));
  }
  Placed placed;
  if (!fits(program, static_cast<int>(inputs.size()), reason)) return false;
  const TensorMeta domain = domain_of(program, inputs, outputs);
  for (const TensorMeta& m : outputs) {
    if (!tiles_know(m.dtype)) return refuse(reason, cat("does not give ", m.dtype));
    if (program.reduces() && !(m.shape == domain.shape)) continue;
    if (!(m.shape == domain.shape) || m.layout != domain.layout ||
        (m.layout == kStrided && !same_placement(m, domain))) {
      return refuse(reason, "the outputs lie differently");
    }
  }
  if (!place_operands(program, inputs, outputs, &placed, reason)) return false;
  if (!program.reduces()) return true;
  std::unique_ptr<Plan> plan;
  const Status s = TileBuilder(program, inputs, outputs).build(&plan);
  reason->text = s.message();
  return s.ok();
}

Status make_tile_plan(const TileProgram& program, std::span<const TensorMeta* const> inputs,
                      std::span<const TensorMeta> outputs, std::unique_ptr<Plan>* plan) {
  return TileBuilder(program, inputs, outputs).build(plan);
}

}  // namespace rutile::kernels
