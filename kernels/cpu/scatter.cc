// SPDX-License-Identifier: Apache-2.0
// Reading and writing at coordinates of row-major tensors. Threads divide the columns of what is
// written, so that every place sees its updates in the order of the index.
#include "rutile/ops/scatter.h"

#include <algorithm>
#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/index_plan.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr double kElementNs = 1;

struct ScatterPlan : Plan {
  ScatterReduce reduce = ScatterReduce::kNone;
  bool index64 = true;
  Shape index_shape;
  int64_t numel = 0;                      // of the result
  int64_t rows = 0, size = 0, bytes = 0;  // coordinates, elements and bytes of a slice
  Shape dims;                             // that coordinates name
  Strides strides;                        // of them, in slices

  int64_t value(const void* p, int64_t i) const {
    return index64 ? static_cast<const int64_t*>(p)[i] : static_cast<const int32_t*>(p)[i];
  }
};

struct LineScatterPlan : IndexPlan {
  int64_t numel = 0;  // of the result
};

// Slice numbers that the rows of coordinates name, into `places`.
Status resolve_rows(const ScatterPlan& p, const void* index, int64_t* places) {
  const int k = p.dims.rank();
  FirstBad bad;
  parallel_for(0, p.rows, grain_for(kElementNs * (k + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      places[r] = 0;
      for (int d = 0; d < k; ++d) {
        const int64_t at = resolve_index(p.value(index, r * k + d), p.dims[d], true);
        if (at < 0) return bad.report(r * k + d);
        places[r] += at * p.strides[d];
      }
    }
  });
  if (!bad.any()) return Status();
  const int64_t at = bad.at();
  return index_out_of_range("index", p.value(index, at), position_of(at, p.index_shape),
                            p.dims[static_cast<int>(at % k)], true);
}

Status run_gather_nd(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ScatterPlan&>(plan);
  auto* places = static_cast<int64_t*>(args.workspace);
  RUTILE_RETURN_IF_ERROR(resolve_rows(p, args.in[1], places));
  const char* x = static_cast<const char*>(args.in[0]);
  char* y = static_cast<char*>(args.out[0]);
  const double ns = 3 + 0.1 * static_cast<double>(p.bytes);
  parallel_for(0, p.rows, grain_for(ns), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      std::memcpy(y + r * p.bytes, x + places[r] * p.bytes, static_cast<size_t>(p.bytes));
    }
  });
  return Status();
}

template <ScatterReduce kReduce, class S>
S combined(S old, S next) {
  if constexpr (kReduce == ScatterReduce::kAdd) return fn::add(old, next);
  if constexpr (kReduce == ScatterReduce::kMul) return fn::mul(old, next);
  if constexpr (kReduce == ScatterReduce::kMax) return fn::max(old, next);
  if constexpr (kReduce == ScatterReduce::kMin) return fn::min(old, next);
  return next;
}

// Calls write(sums) between filling `sums` with x and storing them: in the result itself, or in f32
// for 16-bit floats that are combined.
template <class T, class S, class F>
void with_sums(int64_t numel, const KernelArgs& args, void* workspace, F&& write) {
  const T* x = static_cast<const T*>(args.in[0]);
  T* y = static_cast<T*>(args.out[0]);
  constexpr bool kApart = !std::is_same_v<T, S>;
  S* sums = kApart ? static_cast<S*>(workspace) : reinterpret_cast<S*>(y);
  parallel_for(0, numel, grain_for(0.3), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sums[i] = static_cast<S>(x[i]);
  });
  write(sums);
  if constexpr (kApart) {
    parallel_for(0, numel, grain_for(0.5), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = convert<T>(sums[i]);
    });
  }
}

template <class T, class S, ScatterReduce kReduce>
Status run_tensor_scatter(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ScatterPlan&>(plan);
  auto* places = static_cast<int64_t*>(args.workspace);
  RUTILE_RETURN_IF_ERROR(resolve_rows(p, args.in[1], places));
  const T* src = static_cast<const T*>(args.in[2]);
  with_sums<T, S>(p.numel, args, places + p.rows, [&](S* sums) {
    const double column_ns = kElementNs * static_cast<double>(p.rows);
    parallel_for(0, p.size, std::max<int64_t>(16, grain_for(column_ns)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t r = 0; r < p.rows; ++r) {
                     S* to = sums + places[r] * p.size;
                     const T* from = src + r * p.size;
                     for (int64_t i = begin; i < end; ++i) {
                       to[i] = combined<kReduce>(to[i], static_cast<S>(from[i]));
                     }
                   }
                 });
  });
  return Status();
}

template <class T, class S, ScatterReduce kReduce>
Status run_scatter(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const LineScatterPlan&>(plan);
  const T* src = static_cast<const T*>(args.in[2]);
  const int64_t inner = p.inner;
  FirstBad bad;
  with_sums<T, S>(p.numel, args, args.workspace, [&](S* sums) {
    in_columns(p, args.in[1], 2 * kElementNs, &bad,
               [&](int64_t first, int64_t line, int64_t column, const int64_t* rows, int64_t n) {
                 S* to = sums + (inner == 1 ? line : line / p.m) * p.n * inner;
                 const T* from = src + first;
                 for (int64_t i = 0; i < n; ++i) {
                   S& place = to[inner == 1 ? rows[i] : rows[i] * inner + column + i];
                   place = combined<kReduce>(place, static_cast<S>(from[i]));
                 }
               });
  });
  return bad.any() ? p.error(args.in[1], bad.at()) : Status();
}

// The kernel for a type and a way to combine. Unsigned integers of its size stand for every type
// where nothing is combined.
template <class Make>
RunFn choose(ScatterReduce reduce, DType t, Make make) {
  using R = ScatterReduce;
  if (reduce == R::kNone) {
    return dispatch_size(t, [&](auto id) -> RunFn {
      using T = typename decltype(id)::type;
      if constexpr (std::is_same_v<T, Bytes16>) {
        return nullptr;
      } else {
        return make.template operator()<T, T, R::kNone>();
      }
    });
  }
  return dispatch_number(t, [&](auto id) -> RunFn {
    using T = typename decltype(id)::type;
    constexpr bool kNarrow = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
    using S = std::conditional_t<kNarrow, float, T>;
    if (reduce == R::kAdd) return make.template operator()<T, S, R::kAdd>();
    if (reduce == R::kMul) return make.template operator()<T, S, R::kMul>();
    if (reduce == R::kMax) return make.template operator()<T, S, R::kMax>();
    return make.template operator()<T, S, R::kMin>();
  });
}

size_t sums_bytes(ScatterReduce reduce, const TensorMeta& y) {
  const bool apart = reduce != ScatterReduce::kNone && is_low_precision(y.dtype);
  return apart ? static_cast<size_t>(y.numel()) * sizeof(float) : 0;
}

std::unique_ptr<ScatterPlan> coordinates(const TensorMeta& x, const TensorMeta& index) {
  auto p = std::make_unique<ScatterPlan>();
  p->index64 = index.dtype == DType::kI64;
  p->index_shape = index.shape;
  p->numel = x.numel();
  const int k = static_cast<int>(index.shape.back());
  p->rows = product(index.shape, 0, index.rank() - 1);
  p->size = product(x.shape, k, x.rank());
  p->bytes = p->size * static_cast<int64_t>(dtype_size(x.dtype));
  for (int i = 0; i < k; ++i) {
    p->dims.push_back(x.dim(i));
    p->strides.push_back(product(x.shape, i + 1, k));
  }
  p->workspace_bytes = static_cast<size_t>(p->rows) * sizeof(int64_t);
  return p;
}

Status prepare_gather_nd(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = coordinates(c.in(0), c.in(1));
  p->run = run_gather_nd;
  *plan = std::move(p);
  return Status();
}

Status prepare_tensor_scatter(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = coordinates(c.in(0), c.in(1));
  p->reduce = c.as<ops::TensorScatterAttrs>().reduce;
  p->workspace_bytes += sums_bytes(p->reduce, c.out());
  p->run = choose(p->reduce, c.out().dtype, []<class T, class S, ScatterReduce kReduce>() -> RunFn {
    return run_tensor_scatter<T, S, kReduce>;
  });
  *plan = std::move(p);
  return Status();
}

Status prepare_scatter(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::ScatterAttrs>();
  const TensorMeta &x = c.in(0), &index = c.in(1);
  const int axis = axis_of(a.axis, x.rank());
  auto p = std::make_unique<LineScatterPlan>();
  static_cast<IndexPlan&>(*p) = std::move(*make_index_plan(index));
  p->numel = x.numel();
  p->outer = product(x.shape, 0, axis);
  p->n = x.dim(axis);
  p->m = index.dim(axis);
  p->inner = product(x.shape, axis + 1, x.rank());
  p->workspace_bytes = sums_bytes(a.reduce, c.out());
  p->run = choose(a.reduce, c.out().dtype, []<class T, class S, ScatterReduce kReduce>() -> RunFn {
    return run_scatter<T, S, kReduce>;
  });
  *plan = std::move(p);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  for (const TensorMeta* m : c.inputs) {
    if (m->is_contiguous()) continue;
    return refuse(reason, "takes row-major tensors");
  }
  if (c.in(0).numel() > 0 && !is_complex(c.in(0).dtype)) return true;
  return refuse(reason, "takes real numbers, and some of them");
}
bool supports_scatter(const CallMeta& c, Reason* reason) {
  if (!supports(c, reason)) return false;
  const TensorMeta &x = c.in(0), &index = c.in(1);
  const int axis = axis_of(c.as<ops::ScatterAttrs>().axis, x.rank());
  for (int i = 0; i < x.rank(); ++i) {
    if (i == axis || x.shape[i] == index.shape[i]) continue;
    return refuse(reason, "the index is smaller than x");
  }
  return true;
}

}  // namespace

void register_scatter_cpu() {
  const auto add = [](const OpDef& op, auto supports_fn, auto prepare_fn) {
    register_kernel({.op = &op, .name = "rows", .supports = supports_fn, .prepare = prepare_fn});
  };
  add(ops::kGatherNd, supports, prepare_gather_nd);
  add(ops::kTensorScatter, supports, prepare_tensor_scatter);
  add(ops::kScatter, supports_scatter, prepare_scatter);
}

}  // namespace rutile::kernels
