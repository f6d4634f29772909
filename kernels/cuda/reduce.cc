// SPDX-License-Identifier: Apache-2.0
// Rows of reductions.
#include "rutile/kernels/cuda/reduce.h"

#include <algorithm>

#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/reduce.h"

namespace rutile::cuda {

void divide_reduction(ReduceArgs* a, int multiprocessors) {
  constexpr int64_t kLeast = 1024, kLeastRows = 64, kMost = 512;
  a->parts = 1;
  a->part = std::max<int64_t>(a->count, 1);
  const ReduceShape s = reduce_shape(*a);
  const int64_t blocks = (a->results + s.results - 1) / s.results;
  const int64_t wanted = 4 * static_cast<int64_t>(multiprocessors);
  if (blocks == 0 || blocks * 2 > wanted) return;
  const int64_t least = a->columns ? kLeastRows : kLeast;
  const int64_t parts = std::min({wanted / blocks, a->count / least, kMost});
  if (parts < 2) return;
  a->part = (a->count + parts - 1) / parts;
  a->parts = (a->count + a->part - 1) / a->part;
}

namespace {

constexpr int kMultiprocessors = 132;  // parts follow the shape alone, whatever the device has

uint32_t mask_of(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  uint32_t mask = 0;
  if (c.op == &ops::kSumToShape) {
    const int lead = x.rank() - c.out().rank();
    for (int i = 0; i < x.rank(); ++i) {
      if (i < lead || c.out().shape[i - lead] != x.shape[i]) mask |= 1u << i;
    }
    return mask;
  }
  const AttrValue axes = c.op->attrs->get(c.attrs, field_index(*c.op->attrs, "axes"));
  const Dims& named = std::get<Dims>(axes);
  for (const int64_t axis : named) mask |= 1u << (axis < 0 ? axis + x.rank() : axis);
  return named.empty() ? (1u << x.rank()) - 1 : mask;
}

ReduceIn computes_in(DType t) {
  if (t == DType::kF64) return ReduceIn::kDouble;
  if (is_complex(t)) return t == DType::kC64 ? ReduceIn::kComplex : ReduceIn::kComplexDouble;
  if (is_floating(t)) return ReduceIn::kFloat;
  return t == DType::kU64 ? ReduceIn::kUnsigned : ReduceIn::kInt;
}

// The innermost dimension of memory that has more than one element is kept.
bool walks_columns(const TensorMeta& x, uint32_t mask) {
  int best = -1;
  for (int d = 0; d < x.rank(); ++d) {
    if (x.shape[d] == 1 || x.strides[d] == 0) continue;
    if (best < 0 || x.strides[d] < x.strides[best]) best = d;
  }
  return best >= 0 && !(mask >> best & 1u);
}

void bind(ReduceArgs* a, const KernelArgs& k) {
  a->in = k.in[0];
  a->out = k.out[0];
  a->partial = k.workspace;
}

Status prepare(const CallMeta& c, Reducer r, bool by_output, std::unique_ptr<Plan>* plan) {
  const TensorMeta &x = c.in(0), &y = c.out();
  const ReduceIn in = computes_in(by_output ? y.dtype : x.dtype);
  auto p = kernel_plan<ReduceArgs>(reduce_kernel(r, in), bind);
  ReduceArgs& a = p->args;
  const uint32_t mask = mask_of(c);
  Shape kept, reduced;
  Strides kept_strides[1], reduced_strides[1];
  for (int i = 0; i < x.rank(); ++i) {
    const bool gone = mask >> i & 1u;
    (gone ? reduced : kept).push_back(x.shape[i]);
    (gone ? reduced_strides : kept_strides)[0].push_back(x.strides[i]);
  }
  a.in_type = x.dtype;
  a.out_type = y.dtype;
  a.results = kept.numel();
  a.count = reduced.numel();
  a.kept = make_indexer<1>(kept, kept_strides);
  a.reduced = make_indexer<1>(reduced, reduced_strides);
  a.columns = walks_columns(x, mask);
  divide_reduction(&a, kMultiprocessors);
  if (c.op == &ops::kMean) a.scale = 1.0 / static_cast<double>(a.count);
  a.largest = c.op == &ops::kMax || c.op == &ops::kArgmax;
  a.index = c.op == &ops::kArgmax || c.op == &ops::kArgmin;
  a.all = c.op == &ops::kAll;
  if (a.parts > 1) {
    p->workspace_bytes =
        static_cast<size_t>(a.parts * a.results) * static_cast<size_t>(accumulator_bytes(r, in));
  }
  *plan = std::move(p);
  return Status();
}

template <Reducer kReducer, bool kByOutput>
Status prepare_as(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return prepare(c, kReducer, kByOutput, plan);
}

bool supports_any(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  if (c.out().is_contiguous()) return true;
  reason->text = "writes row-major results only";
  return false;
}
bool supports(const CallMeta& c, Reason* reason) {
  return only_real(c, reason) && supports_any(c, reason);
}

}  // namespace

void register_reduce() {
  for (const OpDef* op : {&ops::kSum, &ops::kMean, &ops::kSumToShape}) {
    add_row(*op, "reduce", prepare_as<Reducer::kSum, true>, supports);
  }
  add_row(ops::kProd, "reduce", prepare_as<Reducer::kProduct, true>, supports_any);
  for (const OpDef* op : {&ops::kMax, &ops::kMin, &ops::kArgmax, &ops::kArgmin}) {
    add_row(*op, "reduce", prepare_as<Reducer::kExtremum, false>, supports);
  }
  add_row(ops::kAny, "reduce", prepare_as<Reducer::kLogic, false>, supports);
  add_row(ops::kAll, "reduce", prepare_as<Reducer::kLogic, false>, supports);
  add_row(ops::kNorm, "reduce", prepare_as<Reducer::kSquares, false>, supports);
  add_row(ops::kLogSumExp, "reduce", prepare_as<Reducer::kLogSumExp, false>, supports);
}

}  // namespace rutile::cuda
