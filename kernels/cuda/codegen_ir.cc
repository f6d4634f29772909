// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/codegen_ir.h"

#include <algorithm>

#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/reduce.h"

namespace rutile::cuda {
namespace {

constexpr int64_t kMostInRow = 8192;  // elements that a block keeps in registers

Status refuse(std::string why) { return Status(ErrorCode::kUnsupported, std::move(why)); }

bool known(DType t) {
  return t == DType::kBool || t == DType::kI32 || t == DType::kI64 || is_floating(t);
}

bool reduces(const ops::FusedProgram::Step& s) { return !s.op->elementwise && s.op != &ops::kCast; }

Axes merged(const Axes& from) {
  Axes to;
  for (const Axis& a : from) {
    if (a.size == 1) continue;
    if (!to.empty() && to.back().stride == a.stride * a.size) {
      to.back().size *= a.size;
      to.back().stride = a.stride;
    } else {
      to.push_back(a);
    }
  }
  return to;
}

}  // namespace

bool FusedIr::reads_reductions() const {
  return std::any_of(reductions.begin(), reductions.end(),
                     [](const Reduction& r) { return r.read; });
}
bool FusedIr::has(Ending e) const {
  return std::any_of(reductions.begin(), reductions.end(),
                     [e](const Reduction& r) { return r.ending == e; });
}

Status FusedIr::infer_values(const CallMeta& call) {
  const auto& attrs = call.as<ops::FusedElementwiseAttrs>();
  if (attrs.exact) return refuse("rounds after every op");
  RUTILE_RETURN_IF_ERROR(ops::FusedProgram::parse(attrs.program, &program));
  if (program.inputs != call.num_inputs()) return refuse("has other inputs than its program");
  std::vector<TensorMeta> metas;
  for (int i = 0; i < program.inputs; ++i) metas.push_back(call.in(i));
  for (size_t k = 0; k < program.steps.size(); ++k) {
    const ops::FusedProgram::Step& s = program.steps[k];
    std::vector<const TensorMeta*> in;
    for (const int v : s.in) in.push_back(&metas[static_cast<size_t>(v)]);
    const CallMeta step{s.op, s.attrs.get(), in, {}};
    SmallVector<TensorMeta, 1> out;
    RUTILE_RETURN_IF_ERROR(infer_call(step, &out));
    metas.push_back(out[0]);
  }
  for (size_t v = 0; v < metas.size(); ++v) {
    if (!known(metas[v].dtype)) return refuse(cat("does not compute in ", metas[v].dtype));
    Value x;
    x.dtype = metas[v].dtype;
    x.shape = metas[v].shape;
    x.step = static_cast<int>(v) - program.inputs;
    if (x.step < 0) x.step = -1;
    values.push_back(x);
  }
  return Status();
}

// The largest shape among the values, walked through in the order of an operand that has it.
Status FusedIr::find_domain(const CallMeta& call) {
  for (const Value& v : values) {
    if (v.shape.numel() > shape.numel() ||
        (v.shape.numel() == shape.numel() && v.shape.rank() > shape.rank())) {
      shape = v.shape;
    }
  }
  for (const Value& v : values) {
    Shape both;
    // The result of a reduction may have lost its dimensions.
    if (v.step >= 0 && reduces(step_of(v))) continue;
    if (v.shape.numel() == 0 && shape.numel() != 0) return refuse("has values without elements");
    if (!broadcast_shapes(v.shape, shape, &both).ok() || !(both == shape)) {
      return refuse("has values that do not broadcast to the largest");
    }
  }
  Strides strides = contiguous_strides(shape);
  const TensorMeta* model = nullptr;
  for (const TensorMeta& m : call.outputs) {
    if (!model && m.shape == shape) model = &m;
  }
  for (const TensorMeta* m : call.inputs) {
    if (!model && m->shape == shape && m->is_dense()) model = m;
  }
  if (model) strides = model->strides;
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] != 1) order_.push_back(d);
  }
  std::stable_sort(order_.begin(), order_.end(),
                   [&](int a, int b) { return strides[a] > strides[b]; });
  for (const int d : order_) all_ |= 1u << d;
  return Status();
}

Status FusedIr::find_reductions() {
  std::vector<char> read(values.size());
  for (const ops::FusedProgram::Step& s : program.steps) {
    for (const int v : s.in) read[static_cast<size_t>(v)] = 1;
  }
  for (size_t v = static_cast<size_t>(program.inputs); v < values.size(); ++v) {
    const ops::FusedProgram::Step& s = step_of(values[v]);
    if (!reduces(s)) continue;
    const Value& x = values[static_cast<size_t>(s.in[0])];
    if (!(x.shape == shape)) return refuse("reduces less than all elements");
    const TensorMeta in(x.shape, x.dtype), out(values[v].shape, values[v].dtype);
    const TensorMeta* ins[] = {&in};
    Reduction r;
    r.step = values[v].step;
    r.value = static_cast<int>(v);
    r.read = read[v] != 0;
    if (!ops::fusible_reduction({s.op, s.attrs.get(), ins, {&out, 1}}, &r.axes)) {
      return refuse("reduces single elements");
    }
    r.mask = r.axes & all_;
    const Shape kept = ops::kept_shape(shape, r.mask);
    r.count = shape.numel() / kept.numel();
    if (r.read && !(out.shape == kept) && out.shape.numel() != 1) {
      return refuse("reads a reduction that lost its dimensions");
    }
    values[v].reduction = static_cast<int>(reductions.size());
    reductions.push_back(r);
  }
  return Status();
}

// Whether every reduction can be done with these dimensions as rows.
bool FusedIr::classify(uint32_t row_mask) {
  for (Reduction& r : reductions) {
    if (r.read) {
      if (r.mask != row_mask) return false;
      r.ending = Ending::kRow;
    } else if (r.mask == all_) {
      r.ending = Ending::kAll;
    } else if (r.mask == row_mask) {
      r.ending = Ending::kRow;
    } else if (row_mask != 0 && (r.mask & row_mask) == row_mask) {
      r.ending = Ending::kRows;
    } else if (r.mask == (all_ & ~row_mask)) {
      r.ending = Ending::kColumns;
    } else {
      return false;
    }
  }
  return true;
}

Status FusedIr::choose_rows() {
  // The whole, then ever fewer of the inner dimensions.
  bool found = false;
  for (size_t outer = 0; outer <= order_.size() && !found; ++outer) {
    row_mask_ = 0;
    for (size_t k = outer; k < order_.size(); ++k) row_mask_ |= 1u << order_[k];
    found = classify(row_mask_);
  }
  if (!found) return refuse("reduces dimensions that are no rows and no columns of memory");
  for (const int d : order_) (row_mask_ >> d & 1u ? length : rows) *= shape[d];
  if (reads_reductions() && length > kMostInRow) {
    return refuse(cat("reads what rows of more than ", kMostInRow, " elements come to"));
  }
  return Status();
}

Status FusedIr::find_phases() {
  for (Value& v : values) {
    if (v.reduction >= 0) continue;
    const int lead = shape.rank() - v.shape.rank();
    for (int d = 0; d < v.shape.rank(); ++d) {
      if (v.shape[d] != 1 && (row_mask_ >> (d + lead) & 1u)) v.full = true;
    }
  }
  for (size_t i = 0; i < values.size(); ++i) {
    Value& v = values[i];
    if (v.step < 0) continue;
    for (const int from : step_of(v).in) {
      const Value& x = values[static_cast<size_t>(from)];
      v.phase = std::max(v.phase, x.phase);
      // What differs within a row only in step with others of its columns.
      if (v.reduction < 0 && x.full) v.full = true;
    }
    if (v.reduction >= 0) {
      v.full = false;
      if (!values[static_cast<size_t>(step_of(v).in[0])].full && length > 1) {
        return refuse("reduces what is the same within a row");
      }
      ++v.phase;
    }
    phases = std::max(phases, v.phase + 1);
  }
  for (Value& v : values) {
    if (v.step < 0) continue;
    const int at = v.reduction >= 0 ? v.phase - 1 : v.phase;
    for (const int from : step_of(v).in) {
      Value& x = values[static_cast<size_t>(from)];
      x.last = std::max(x.last, at);
    }
  }
  // Inputs belong to the first phase that reads them.
  std::vector<int> first(values.size(), phases);
  for (const Value& v : values) {
    if (v.step < 0) continue;
    const int at = v.reduction >= 0 ? v.phase - 1 : v.phase;
    for (const int from : step_of(v).in) {
      first[static_cast<size_t>(from)] = std::min(first[static_cast<size_t>(from)], at);
    }
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].step < 0 && first[i] < phases) values[i].phase = first[i];
  }
  return Status();
}

Access FusedIr::access(const Strides& by_dim) const {
  Access a;
  for (const int d : order_) {
    (row_mask_ >> d & 1u ? a.column : a.row).push_back({shape[d], by_dim[d]});
  }
  a.row = merged(a.row);
  a.column = merged(a.column);
  return a;
}

// Strides of a tensor that broadcasts to the domain, along the domain's dimensions.
Strides FusedIr::spread(const TensorMeta& m) const { return broadcast_strides(m, shape); }

Status FusedIr::place_outputs(const CallMeta& call) {
  for (int i = 0; i < program.inputs; ++i) inputs.push_back(access(spread(call.in(i))));
  for (size_t o = 0; o < program.outputs.size(); ++o) {
    Value& v = values[static_cast<size_t>(program.outputs[o])];
    const TensorMeta& m = call.outputs[o];
    v.output = true;
    if (v.reduction < 0) {
      // Elements that are the same for several of the domain are written once per row at most.
      const bool whole = m.shape == shape;
      const bool rows_of = m.shape.numel() == rows && !v.full;
      if (!whole && !rows_of) return refuse("gives a result that is neither whole nor one per row");
      if (whole && !v.full && length > 1) return refuse("gives a result that repeats");
      outputs.push_back(access(spread(m)));
      continue;
    }
    Reduction& r = reductions[static_cast<size_t>(v.reduction)];
    Strides by_dim = Strides::filled(shape.rank(), 0);
    if (m.rank() == shape.rank() || step_of(v).op == &ops::kSumToShape) {
      by_dim = spread(m);
    } else {
      for (int d = 0, at = 0; d < shape.rank(); ++d) {
        if (!(r.axes >> d & 1u)) by_dim[d] = m.strides[at++];
      }
    }
    if (r.output >= 0) return refuse("gives a reduction twice");
    r.output = static_cast<int>(o);
    r.out = access(by_dim);
    for (const int d : order_) {
      if (!((row_mask_ | r.mask) >> d & 1u)) r.result.push_back({shape[d], by_dim[d]});
    }
    outputs.push_back(r.out);
  }
  for (Reduction& r : reductions) {
    int64_t rows_below = 1;
    for (size_t k = order_.size(); k-- > 0;) {
      const int d = order_[k];
      if (row_mask_ >> d & 1u) continue;
      Axes& to = r.mask >> d & 1u ? r.reduced : r.kept;
      to.insert(to.begin(), {shape[d], rows_below});
      rows_below *= shape[d];
    }
  }
  return Status();
}

Status FusedIr::build(const CallMeta& call) {
  RUTILE_RETURN_IF_ERROR(infer_values(call));
  RUTILE_RETURN_IF_ERROR(find_domain(call));
  RUTILE_RETURN_IF_ERROR(find_reductions());
  RUTILE_RETURN_IF_ERROR(choose_rows());
  RUTILE_RETURN_IF_ERROR(find_phases());
  return place_outputs(call);
}

}  // namespace rutile::cuda
