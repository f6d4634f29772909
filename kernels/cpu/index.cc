// SPDX-License-Identifier: Apache-2.0
// Indexing on row-major tensors seen as [outer, axis, inner]. Sums are made by one thread in the
// order of the index, whatever the number of threads.
#include "rutile/kernels/complex_pairs.h"

#include <algorithm>
#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/index_plan.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr double kByteNs = 0.015;

// ---- embedding, gather --------------------------------------------------------------------------

// Slices of one element.
void gather_elements(const IndexPlan& p, const void* px, const int64_t* rows, void* py) {
  const auto with = [&](auto sample) {
    using T = decltype(sample);
    const T* x = static_cast<const T*>(px);
    T* y = static_cast<T*>(py);
    parallel_for(0, p.outer * p.m, grain_for(kIndexNs), [&](int64_t begin, int64_t end) {
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
  auto p = make_index_plan(c.in(0));
  p->x = 1;
  p->index = 0;
  p->wrap = false;
  return finish_gather(std::move(p), c.in(1), 0, plan);
}

Status prepare_gather(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const int axis = axis_of(c.as<ops::GatherAttrs>().axis, c.in(0).rank());
  return finish_gather(make_index_plan(c.in(1)), c.in(0), axis, plan);
}

// ---- embedding_grad, index_add ------------------------------------------------------------------

// sum[i] += x[i] for types without a vector loop.
template <class S, class T>
void add_plain(S* sum, const void* px, int64_t n) {
  const T* x = static_cast<const T*>(px);
  for (int64_t i = 0; i < n; ++i) add_to(sum[i], x[i]);
}
// Slices of one element.
template <class S, class T>
void add_elements(const IndexPlan& p, S* sums, const T* x, const int64_t* rows) {
  for (int64_t i = 0; i < p.m; ++i) {
    if (rows[i] != p.skip_row) add_to(sums[rows[i]], x[i]);
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
  parallel_for(0, total, grain_for(kIndexNs), [&](int64_t begin, int64_t end) {
    std::memset(static_cast<void*>(sums + begin), 0, static_cast<size_t>(end - begin) * sizeof(S));
  });
  const T* x = static_cast<const T*>(args.in[0]);
  // Threads divide the columns, each keeps the order of the index.
  const int64_t columns = p.outer * p.inner;
  parallel_for(0, columns, std::max<int64_t>(16, grain_for(kIndexNs * static_cast<double>(p.m))),
               [&](int64_t begin, int64_t end) {
                 for (int64_t o = begin / p.inner; o * p.inner < end; ++o) {
                   const int64_t c0 = std::max<int64_t>(begin - o * p.inner, 0);
                   const int64_t c1 = std::min(end - o * p.inner, p.inner);
                   if (p.inner == 1) {
                     add_elements(p, sums + o * p.n, x + o * p.m, rows);
                     continue;
                   }
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
    parallel_for(0, total, grain_for(kIndexNs), [&](int64_t begin, int64_t end) {
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
  auto p = make_index_plan(c.in(1));
  p->wrap = false;
  p->skip_row = c.as<ops::EmbeddingGradAttrs>().padding_idx;
  return finish_index_add(std::move(p), c, 0, plan);
}

Status prepare_index_add(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return finish_index_add(make_index_plan(c.in(1)), c,
                          static_cast<int>(c.as<ops::IndexAddAttrs>().axis), plan);
}

bool supports_index_add(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (c.out().numel() > 0) return row_major(c, reason);
  return refuse(reason, "is empty");
}

// ---- one_hot ------------------------------------------------------------------------------------

template <class T>
Status run_one_hot(const Plan& plan, const KernelArgs& args) {
  const IndexPlan& p = index_plan(plan);
  T* y = static_cast<T*>(args.out[0]);
  FirstBad bad;
  parallel_for(0, p.m, grain_for(kIndexNs * static_cast<double>(p.n)),
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
  auto p = make_index_plan(c.in(0));
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
void register_index_elements_cpu();

void register_index_cpu() {
  add_row(ops::kEmbedding, row_major, prepare_embedding);
  add_row(ops::kGather, row_major, prepare_gather);
  add_row(ops::kEmbeddingGrad, supports_index_add, prepare_embedding_grad);
  add_row(ops::kIndexAdd, supports_index_add, prepare_index_add);
  add_row(ops::kOneHot, row_major, prepare_one_hot);
  register_index_elements_cpu();
  register_sort_cpu();
}

}  // namespace rutile::kernels
