// SPDX-License-Identifier: Apache-2.0
// Indexing on row-major tensors seen as [outer, axis, inner]. Sums are made by one thread in the
// order of the index, whatever the number of threads.
#include "rutile/kernels/cpu/index.h"
#include "rutile/kernels/complex_pairs.h"

#include <algorithm>
#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr double kByteNs = 0.015, kElementNs = 0.15;

bool row_major(const CallMeta& c, Reason* reason) {
  for (const TensorMeta* m : c.inputs) {
    if (m->is_contiguous()) continue;
    reason->text = "takes row-major tensors";
    return false;
  }
  return true;
}

struct IndexPlan : Plan {
  int64_t outer = 0, inner = 0;
  int64_t n = 0;  // size of the indexed axis
  int64_t m = 0;  // index elements per outer
  int64_t size = 4;
  bool index64 = true, wrap = true;
  int x = 0, index = 1;  // inputs
  Shape index_shape;
  int64_t skip_row = -1;  // padding_idx
  DType from = DType::kF32, to = DType::kF32;
  AddKernels add;

  int64_t value(const void* p, int64_t i) const {
    return index64 ? static_cast<const int64_t*>(p)[i] : static_cast<const int32_t*>(p)[i];
  }
  Status error(const void* p, int64_t at) const {
    return index_out_of_range("index", value(p, at), position_of(at, index_shape), n, wrap);
  }
  // Positions of index elements [0, count) into `rows`.
  Status resolve(const void* p, int64_t count, int64_t* rows) const {
    FirstBad bad;
    parallel_for(0, count, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        rows[i] = resolve_index(value(p, i), n, wrap);
        if (rows[i] < 0) return bad.report(i);
      }
    });
    return bad.any() ? error(p, bad.at()) : Status();
  }
};
const IndexPlan& index_plan(const Plan& p) { return static_cast<const IndexPlan&>(p); }

std::unique_ptr<IndexPlan> make_plan(const TensorMeta& index) {
  auto p = std::make_unique<IndexPlan>();
  p->index64 = index.dtype == DType::kI64;
  p->index_shape = index.shape;
  return p;
}

// ---- embedding, gather
// ----------------------------------------------------------------------------

// Slices of one element.
void gather_elements(const IndexPlan& p, const void* px, const int64_t* rows, void* py) {
  const auto with = [&](auto sample) {
    using T = decltype(sample);
    const T* x = static_cast<const T*>(px);
    T* y = static_cast<T*>(py);
    parallel_for(0, p.outer * p.m, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t o = begin / p.m, first = begin % p.m;
        const int64_t count = std::min(end - begin, p.m - first);
        const T* line = x + o * p.n;
        for (int64_t j = 0; j < count; ++j) y[begin + j] = line[rows[first + j]];
        begin += count;
      }
    });
  };
  struct Wide {
    uint64_t half[2];
  };
  if (p.size == 1) return with(uint8_t());
  if (p.size == 2) return with(uint16_t());
  if (p.size == 4) return with(uint32_t());
  if (p.size == 8) return with(uint64_t());
  with(Wide());
}

Status run_gather(const Plan& plan, const KernelArgs& args) {
  const IndexPlan& p = index_plan(plan);
  auto* rows = static_cast<int64_t*>(args.workspace);
  RUTILE_RETURN_IF_ERROR(p.resolve(args.in[p.index], p.m, rows));
  const int64_t row = p.inner * p.size;
  const char* x = static_cast<const char*>(args.in[p.x]);
  char* y = static_cast<char*>(args.out[0]);
  if (p.inner == 1) {
    gather_elements(p, x, rows, y);
    return Status();
  }
  const int64_t grain = grain_for(kByteNs * static_cast<double>(std::max<int64_t>(row, 16)));
  parallel_for(0, p.outer * p.m, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(y + i * row, x + (i / p.m * p.n + rows[i % p.m]) * row, static_cast<size_t>(row));
    }
  });
  return Status();
}

Status finish_gather(std::unique_ptr<IndexPlan> p, const TensorMeta& x, int axis,
                     std::unique_ptr<Plan>* plan) {
  p->outer = product(x.shape, 0, axis);
  p->n = x.dim(axis);
  p->inner = product(x.shape, axis + 1, x.rank());
  p->m = p->index_shape.numel();
  if (x.numel() == 0) p->outer = 0;  // there may be many slices of nothing
  p->size = static_cast<int64_t>(dtype_size(x.dtype));
  p->workspace_bytes = static_cast<size_t>(p->m) * sizeof(int64_t);
  p->run = run_gather;
  *plan = std::move(p);
  return Status();
}

Status prepare_embedding(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_plan(c.in(0));
  p->x = 1;
  p->index = 0;
  p->wrap = false;
  return finish_gather(std::move(p), c.in(1), 0, plan);
}

Status prepare_gather(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const int axis = axis_of(c.as<ops::GatherAttrs>().axis, c.in(0).rank());
  return finish_gather(make_plan(c.in(1)), c.in(0), axis, plan);
}

// ---- embedding_grad, index_add
// --------------------------------------------------------------------

// sum[i] += x[i] for types without a vector loop.
template <class S, class T>
void add_plain(S* sum, const void* px, int64_t n) {
  const T* x = static_cast<const T*>(px);
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_integral_v<S>) {
      using U = std::make_unsigned_t<S>;
      sum[i] = static_cast<S>(static_cast<U>(static_cast<U>(sum[i]) + static_cast<U>(x[i])));
    } else {
      sum[i] += static_cast<S>(x[i]);
    }
  }
}

// Sums are made in S: that of the result where it is wide enough, else f32 in the workspace.
template <class S, class T>
Status run_index_add(const Plan& plan, const KernelArgs& args) {
  const IndexPlan& p = index_plan(plan);
  auto* rows = static_cast<int64_t*>(args.workspace);
  RUTILE_RETURN_IF_ERROR(p.resolve(args.in[1], p.m, rows));
  const int64_t total = p.outer * p.n * p.inner;
  const bool apart = dtype_of<S> != p.to;
  S* sums = apart ? reinterpret_cast<S*>(rows + p.m) : static_cast<S*>(args.out[0]);
  void (*add)(S*, const void*, int64_t) = add_plain<S, T>;
  if constexpr (std::is_same_v<S, float> && std::is_same_v<T, float>) {
    if (p.add.f32) add = p.add.f32;
  }
  if constexpr (std::is_same_v<S, float> && std::is_same_v<T, BFloat16>) {
    if (p.add.bf16) add = p.add.bf16;
  }
  parallel_for(0, total, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    std::memset(static_cast<void*>(sums + begin), 0, static_cast<size_t>(end - begin) * sizeof(S));
  });
  const T* x = static_cast<const T*>(args.in[0]);
  // Threads divide the columns, each keeps the order of the index.
  const int64_t columns = p.outer * p.inner;
  parallel_for(0, columns, std::max<int64_t>(16, grain_for(kElementNs * static_cast<double>(p.m))),
               [&](int64_t begin, int64_t end) {
                 for (int64_t o = begin / p.inner; o * p.inner < end; ++o) {
                   const int64_t c0 = std::max<int64_t>(begin - o * p.inner, 0);
                   const int64_t c1 = std::min(end - o * p.inner, p.inner);
                   for (int64_t i = 0; i < p.m; ++i) {
                     if (rows[i] == p.skip_row) continue;
                     add(sums + (o * p.n + rows[i]) * p.inner + c0,
                         x + (o * p.m + i) * p.inner + c0, c1 - c0);
                   }
                 }
               });
  if (!apart) return Status();
  dispatch_real(p.to, [&](auto id) {
    using To = typename decltype(id)::type;
    To* y = static_cast<To*>(args.out[0]);
    parallel_for(0, total, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = convert<To>(sums[i]);
    });
  });
  return Status();
}

Status finish_index_add(std::unique_ptr<IndexPlan> p, const CallMeta& c, int axis,
                        std::unique_ptr<Plan>* plan) {
  const TensorMeta &x = c.in(0), &y = c.out();
  p->outer = product(y.shape, 0, axis);
  p->n = y.dim(axis);
  p->inner = product(y.shape, axis + 1, y.rank());
  p->m = p->index_shape.numel();
  p->from = x.dtype;
  p->to = y.dtype;
  if (isa() != Isa::kBaseline) p->add = RUTILE_CHOOSE_ISA(add_kernels);
  p->workspace_bytes = static_cast<size_t>(p->m) * sizeof(int64_t);
  const bool wide = x.dtype == DType::kF64 || y.dtype == DType::kF64;
  const DType sums = wide ? DType::kF64 : is_floating(y.dtype) ? DType::kF32 : y.dtype;
  if (sums != y.dtype) p->workspace_bytes += static_cast<size_t>(y.numel()) * dtype_size(sums);
  p->run = dispatch_number(x.dtype, [&](auto id) -> RunFn {
    using T = typename decltype(id)::type;
    if constexpr (std::is_same_v<T, double>) {
      return run_index_add<double, double>;
    } else if constexpr (std::is_integral_v<T>) {
      return run_index_add<T, T>;
    } else {
      return wide ? run_index_add<double, T> : run_index_add<float, T>;
    }
  });
  *plan = std::move(p);
  return Status();
}

Status prepare_embedding_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_plan(c.in(1));
  p->wrap = false;
  p->skip_row = c.as<ops::EmbeddingGradAttrs>().padding_idx;
  return finish_index_add(std::move(p), c, 0, plan);
}

Status prepare_index_add(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return finish_index_add(make_plan(c.in(1)), c, static_cast<int>(c.as<ops::IndexAddAttrs>().axis),
                          plan);
}

bool supports_index_add(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (c.out().numel() > 0) return row_major(c, reason);
  reason->text = "is empty";
  return false;
}

// ---- take_along_axis, scatter_add
// -----------------------------------------------------------------

bool supports_elements(const CallMeta& c, Reason* reason) {
  if (c.op == &ops::kScatterAdd && !only_real(c, reason)) return false;
  const TensorMeta &x = c.in(0), &index = c.in(1);
  const int axis = axis_of(c.as<ops::TakeAlongAttrs>().axis, x.rank());
  for (int i = 0; i < x.rank(); ++i) {
    if (i == axis || x.shape[i] == index.shape[i]) continue;
    reason->text = "the index is smaller than x";
    return false;
  }
  if (x.numel() == 0) {
    reason->text = "is empty";
    return false;
  }
  return row_major(c, reason);
}

std::unique_ptr<IndexPlan> plan_elements(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<ops::TakeAlongAttrs>();
  const int axis = axis_of(a.axis, x.rank());
  auto p = make_plan(c.in(1));
  p->wrap = a.wrap;
  p->outer = product(x.shape, 0, axis);
  p->n = x.dim(axis);
  p->m = c.in(1).dim(axis);
  p->inner = product(x.shape, axis + 1, x.rank());
  return p;
}

// Along lines of the index: those of the indexed axis where it is the last one, else those behind
// it. `I` is the index's type.
template <class T, class I>
Status run_take_along_axis(const Plan& plan, const KernelArgs& args) {
  const IndexPlan& p = index_plan(plan);
  const T* x = static_cast<const T*>(args.in[0]);
  const I* index = static_cast<const I*>(args.in[1]);
  T* y = static_cast<T*>(args.out[0]);
  FirstBad bad;
  const int64_t width = p.inner == 1 ? p.m : p.inner;
  parallel_for(0, p.outer * p.m * p.inner, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t line = begin / width, first = begin % width;
      const int64_t stop = begin + std::min(end - begin, width - first);
      const int64_t o = p.inner == 1 ? line : line / p.m;
      const T* from = x + o * p.n * p.inner + (p.inner == 1 ? 0 : first - begin);
      for (int64_t i = begin; i < stop; ++i) {
        const int64_t at = resolve_index(index[i], p.n, p.wrap);
        if (at < 0) return bad.report(i);
        y[i] = p.inner == 1 ? from[at] : from[at * p.inner + i];
      }
      begin = stop;
    }
  });
  return bad.any() ? p.error(args.in[1], bad.at()) : Status();
}

Status prepare_take_along_axis(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_elements(c);
  p->run = dispatch_size(c.in(0).dtype, [&](auto id) -> RunFn {
    using T = typename decltype(id)::type;
    return p->index64 ? run_take_along_axis<T, int64_t> : run_take_along_axis<T, int32_t>;
  });
  *plan = std::move(p);
  return Status();
}

// S as in run_index_add.
template <class S, class T, class I>
Status run_scatter_add(const Plan& plan, const KernelArgs& args) {
  const IndexPlan& p = index_plan(plan);
  const I* index = static_cast<const I*>(args.in[1]);
  const T* x = static_cast<const T*>(args.in[0]);
  const T* src = static_cast<const T*>(args.in[2]);
  T* y = static_cast<T*>(args.out[0]);
  const int64_t total = p.outer * p.n * p.inner;
  constexpr bool kApart = !std::is_same_v<S, T>;
  S* sums = kApart ? static_cast<S*>(args.workspace) : reinterpret_cast<S*>(y);
  parallel_for(0, total, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sums[i] = static_cast<S>(x[i]);
  });
  FirstBad bad;
  const int64_t columns = p.outer * p.inner;
  parallel_for(0, columns, std::max<int64_t>(16, grain_for(kElementNs * static_cast<double>(p.m))),
               [&](int64_t begin, int64_t end) {
                 for (int64_t o = begin / p.inner; o * p.inner < end; ++o) {
                   const int64_t c0 = std::max<int64_t>(begin - o * p.inner, 0);
                   const int64_t c1 = std::min(end - o * p.inner, p.inner);
                   for (int64_t j = 0; p.inner == 1 && j < p.m; ++j) {
                     const int64_t at = resolve_index(index[o * p.m + j], p.n, p.wrap);
                     if (at < 0) {
                       bad.report(o * p.m + j);
                       continue;
                     }
                     add_plain<S, T>(sums + o * p.n + at, src + o * p.m + j, 1);
                   }
                   for (int64_t j = 0; p.inner != 1 && j < p.m; ++j) {
                     for (int64_t c = c0; c < c1; ++c) {
                       const int64_t i = (o * p.m + j) * p.inner + c;
                       const int64_t at = resolve_index(index[i], p.n, p.wrap);
                       if (at < 0) {
                         bad.report(i);
                         continue;
                       }
                       add_plain<S, T>(sums + (o * p.n + at) * p.inner + c, src + i, 1);
                     }
                   }
                 }
               });
  if (bad.any()) return p.error(args.in[1], bad.at());
  if constexpr (kApart) {
    parallel_for(0, total, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = convert<T>(sums[i]);
    });
  }
  return Status();
}

Status prepare_scatter_add(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_elements(c);
  if (is_low_precision(c.out().dtype)) {
    p->workspace_bytes = static_cast<size_t>(c.out().numel()) * sizeof(float);
  }
  p->run = dispatch_number(c.out().dtype, [&](auto id) -> RunFn {
    using T = typename decltype(id)::type;
    constexpr bool kNarrow = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
    using S = std::conditional_t<kNarrow, float, T>;
    return p->index64 ? run_scatter_add<S, T, int64_t> : run_scatter_add<S, T, int32_t>;
  });
  *plan = std::move(p);
  return Status();
}

// ---- one_hot
// --------------------------------------------------------------------------------------

template <class T>
Status run_one_hot(const Plan& plan, const KernelArgs& args) {
  const IndexPlan& p = index_plan(plan);
  T* y = static_cast<T*>(args.out[0]);
  FirstBad bad;
  parallel_for(0, p.m, grain_for(kElementNs * static_cast<double>(p.n)),
               [&](int64_t begin, int64_t end) {
                 std::memset(static_cast<void*>(y + begin * p.n), 0,
                             static_cast<size_t>((end - begin) * p.n) * sizeof(T));
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t at = resolve_index(p.value(args.in[0], i), p.n, false);
                   if (at < 0) return bad.report(i);
                   y[i * p.n + at] = convert<T>(1);
                 }
               });
  return bad.any() ? p.error(args.in[0], bad.at()) : Status();
}

Status prepare_one_hot(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_plan(c.in(0));
  p->wrap = false;
  p->m = p->index_shape.numel();
  p->n = c.as<ops::OneHotAttrs>().depth;
  p->run = dispatch_real(c.out().dtype,
                         [](auto id) -> RunFn { return run_one_hot<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

void add_row(const OpDef& op, bool (*supports)(const CallMeta&, Reason*),
             Status (*prepare)(const CallMeta&, std::unique_ptr<Plan>*)) {
  register_kernel({.op = &op, .name = "rows", .supports = supports, .prepare = prepare});
}

}  // namespace

void register_sort_cpu();

void register_index_cpu() {
  add_row(ops::kEmbedding, row_major, prepare_embedding);
  add_row(ops::kGather, row_major, prepare_gather);
  add_row(ops::kEmbeddingGrad, supports_index_add, prepare_embedding_grad);
  add_row(ops::kIndexAdd, supports_index_add, prepare_index_add);
  add_row(ops::kTakeAlongAxis, supports_elements, prepare_take_along_axis);
  add_row(ops::kScatterAdd, supports_elements, prepare_scatter_add);
  add_row(ops::kOneHot, row_major, prepare_one_hot);
  register_sort_cpu();
}

}  // namespace rutile::kernels
