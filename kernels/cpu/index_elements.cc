// SPDX-License-Identifier: Apache-2.0
// take_along_axis and scatter_add: an index element for every element. Sums are made by one thread
// in the order of the index, whatever the number of threads.
#include <cstring>

#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/index_plan.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/index.h"

namespace rutile::kernels {
namespace {

template <class I>
bool resolve_plain(const I* index, int64_t n, int64_t size, bool wrap, int64_t* rows) {
  return resolve_all(index, n, size, wrap, rows);
}

}  // namespace

std::unique_ptr<IndexPlan> make_index_plan(const TensorMeta& index) {
  auto p = std::make_unique<IndexPlan>();
  p->index64 = index.dtype == DType::kI64;
  p->index_shape = index.shape;
  p->resolvers = {resolve_plain<int32_t>, resolve_plain<int64_t>};
  if (isa() != Isa::kBaseline) p->resolvers = RUTILE_CHOOSE_ISA(resolve_kernels);
  return p;
}

namespace {

// A number that was broadcast.
bool is_one_element(const TensorMeta& m) {
  if (m.layout != kStrided) return false;
  for (int i = 0; i < m.rank(); ++i) {
    if (m.shape[i] != 1 && m.strides[i] != 0) return false;
  }
  return true;
}

bool supports_elements(const CallMeta& c, Reason* reason) {
  const bool adds = c.op == &ops::kScatterAdd;
  if (adds && !only_real(c, reason)) return false;
  const TensorMeta &x = c.in(0), &index = c.in(1);
  const int axis = axis_of(c.as<ops::TakeAlongAttrs>().axis, x.rank());
  for (int i = 0; i < x.rank(); ++i) {
    if (i == axis || x.shape[i] == index.shape[i]) continue;
    return refuse(reason, "the index is smaller than x");
  }
  if (x.numel() == 0) return refuse(reason, "is empty");
  const auto fits = [&](int i) {
    return c.in(i).is_contiguous() || (adds && i != 1 && is_one_element(c.in(i)));
  };
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (fits(i)) continue;
    return refuse(reason, "takes row-major tensors");
  }
  return true;
}

std::unique_ptr<IndexPlan> plan_elements(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<ops::TakeAlongAttrs>();
  const int axis = axis_of(a.axis, x.rank());
  auto p = make_index_plan(c.in(1));
  p->wrap = a.wrap;
  p->outer = product(x.shape, 0, axis);
  p->n = x.dim(axis);
  p->m = c.in(1).dim(axis);
  p->inner = product(x.shape, axis + 1, x.rank());
  return p;
}

template <class T>
Status run_take_along_axis(const Plan& plan, const KernelArgs& args) {
  const IndexPlan& p = index_plan(plan);
  const T* x = static_cast<const T*>(args.in[0]);
  T* y = static_cast<T*>(args.out[0]);
  FirstBad bad;
  const int64_t inner = p.inner, total = p.outer * p.m * inner;
  parallel_for(0, total, grain_for(kIndexNs), [&](int64_t begin, int64_t end) {
    for_resolved(p, args.in[1], begin, end, &bad,
                 [&](int64_t first, int64_t line, int64_t column, const int64_t* rows, int64_t n) {
                   const int64_t o = inner == 1 ? line : line / p.m;
                   const T* from = x + o * p.n * inner;
                   T* to = y + first;
                   if (inner == 1) {
                     for (int64_t i = 0; i < n; ++i) to[i] = from[rows[i]];
                   } else {
                     for (int64_t i = 0; i < n; ++i) to[i] = from[rows[i] * inner + column + i];
                   }
                 });
  });
  return bad.any() ? p.error(args.in[1], bad.at()) : Status();
}

Status prepare_take_along_axis(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_elements(c);
  p->run = dispatch_size(c.in(0).dtype, [&](auto id) -> RunFn {
    return run_take_along_axis<typename decltype(id)::type>;
  });
  *plan = std::move(p);
  return Status();
}

// What is written first: x, whose elements may be one for all.
template <class S, class T>
void start_sums(const IndexPlan& p, const T* x, S* sums) {
  parallel_for(0, p.outer * p.n * p.inner, grain_for(kIndexNs), [&](int64_t begin, int64_t end) {
    if (p.one_x) {
      std::fill(sums + begin, sums + end, static_cast<S>(x[0]));
    } else if constexpr (std::is_same_v<S, T>) {
      std::memcpy(sums + begin, x + begin, static_cast<size_t>(end - begin) * sizeof(T));
    } else {
      for (int64_t i = begin; i < end; ++i) sums[i] = static_cast<S>(x[i]);
    }
  });
}

// S as in run_index_add.
template <class S, class T>
Status run_scatter_add(const Plan& plan, const KernelArgs& args) {
  const IndexPlan& p = index_plan(plan);
  const T* src = static_cast<const T*>(args.in[2]);
  T* y = static_cast<T*>(args.out[0]);
  constexpr bool kApart = !std::is_same_v<S, T>;
  S* sums = kApart ? static_cast<S*>(args.workspace) : reinterpret_cast<S*>(y);
  start_sums(p, static_cast<const T*>(args.in[0]), sums);
  FirstBad bad;
  const int64_t inner = p.inner;
  in_columns(p, args.in[1], kIndexNs, &bad,
             [&](int64_t first, int64_t line, int64_t column, const int64_t* rows, int64_t n) {
               const int64_t o = inner == 1 ? line : line / p.m;
               S* to = sums + o * p.n * inner;
               const T* from = src + (p.one_src ? 0 : first);
               if (inner == 1 && p.one_src) {
                 for (int64_t i = 0; i < n; ++i) add_to(to[rows[i]], *from);
               } else if (p.one_src) {
                 for (int64_t i = 0; i < n; ++i) add_to(to[rows[i] * inner + column + i], *from);
               } else if (inner == 1) {
                 for (int64_t i = 0; i < n; ++i) add_to(to[rows[i]], from[i]);
               } else {
                 for (int64_t i = 0; i < n; ++i) add_to(to[rows[i] * inner + column + i], from[i]);
               }
             });
  if (bad.any()) return p.error(args.in[1], bad.at());
  if constexpr (kApart) {
    parallel_for(0, p.outer * p.n * inner, grain_for(kIndexNs), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = convert<T>(sums[i]);
    });
  }
  return Status();
}

Status prepare_scatter_add(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = plan_elements(c);
  p->one_x = is_one_element(c.in(0));
  p->one_src = is_one_element(c.in(2));
  if (is_low_precision(c.out().dtype)) {
    p->workspace_bytes = static_cast<size_t>(c.out().numel()) * sizeof(float);
  }
  p->run = dispatch_number(c.out().dtype, [&](auto id) -> RunFn {
    using T = typename decltype(id)::type;
    constexpr bool kNarrow = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
    using S = std::conditional_t<kNarrow, float, T>;
    return run_scatter_add<S, T>;
  });
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_index_elements_cpu() {
  const auto add = [](const OpDef& op, auto prepare) {
    register_kernel({.op = &op, .name = "rows", .supports = supports_elements, .prepare = prepare});
  };
  add(ops::kTakeAlongAxis, prepare_take_along_axis);
  add(ops::kScatterAdd, prepare_scatter_add);
}

}  // namespace rutile::kernels
