// SPDX-License-Identifier: Apache-2.0
// Complex numbers: elementwise ops as strided loops, linear reductions as those of real pairs.
#include <algorithm>
#include <tuple>
#include <utility>

#include "rutile/core/complex.h"
#include "rutile/core/thread_cost.h"
#include "rutile/kernels/complex_math.h"
#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/copy.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/walk.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/special.h"

namespace rutile::kernels {
namespace {

constexpr int kMaxOperands = 4;  // the result first

// Loops over the result in the order of its memory: rows, and the elements of one.
struct LoopPlan : Plan {
  Shape rows;
  Strides row[kMaxOperands];
  int64_t n = 1, step[kMaxOperands] = {};
  bool dense = true;  // every step is 1
  double ns = 1;
};

// Merges dimensions that lie behind each other in every operand.
void make_loops(const CallMeta& c, LoopPlan* p) {
  const TensorMeta& out = c.out();
  const int operands = 1 + c.num_inputs(), rank = out.rank();
  int order[kMaxRank] = {};
  for (int d = 0; d < rank; ++d) order[d] = d;
  std::stable_sort(order, order + rank,
                   [&](int a, int b) { return out.strides[a] > out.strides[b]; });
  const auto stride = [&](int k, int d) -> int64_t {
    const TensorMeta& m = k == 0 ? out : c.in(k - 1);
    const int at = d - (rank - m.rank());
    return at < 0 || m.shape[at] == 1 ? 0 : m.strides[at];
  };
  for (int i = 0; i < rank; ++i) {
    const int d = order[i];
    if (out.shape[d] == 1) continue;
    bool joins = p->rows.rank() > 0;
    for (int k = 0; joins && k < operands; ++k) {
      joins = p->row[k].back() == stride(k, d) * out.shape[d];
    }
    if (!joins) p->rows.push_back(1);
    const int last = p->rows.rank() - 1;
    p->rows[last] *= out.shape[d];
    for (int k = 0; k < operands; ++k) {
      if (!joins) p->row[k].push_back(0);
      p->row[k][last] = stride(k, d);
    }
  }
  if (p->rows.rank() > 0) {
    p->n = p->rows.back();
    p->rows.pop_back();
    for (int k = 0; k < operands; ++k) {
      p->step[k] = p->row[k].back();
      p->row[k].pop_back();
      p->dense = p->dense && p->step[k] == 1;
    }
  }
  for (int i = 0; i < c.num_inputs(); ++i) {
    const TensorMeta& m = c.in(i);
    const bool alike = m.shape == out.shape && m.strides == out.strides && m.is_dense();
    if (alike && dtype_size(m.dtype) == dtype_size(out.dtype)) p->may_overwrite |= 1u << i;
  }
}

template <auto F>
struct Loop;
template <class Out, class... In, Out (*F)(In...)>
struct Loop<F> {
  template <size_t... K>
  static void rows(const LoopPlan& p, const KernelArgs& args, int64_t begin, int64_t end,
                   std::index_sequence<K...>) {
    Walk out(p.rows, p.row[0], begin / p.n);
    Walk in[] = {Walk(p.rows, p.row[K + 1], begin / p.n)...};
    for (int64_t at = begin % p.n; begin < end; at = 0) {
      const int64_t n = std::min(p.n - at, end - begin);
      Out* y = static_cast<Out*>(args.out[0]) + out.offset() + at * p.step[0];
      const std::tuple<const In*...> x(static_cast<const In*>(args.in[K]) + in[K].offset() +
                                       at * p.step[K + 1]...);
      if (p.dense) {
        for (int64_t i = 0; i < n; ++i) y[i] = F(std::get<K>(x)[i]...);
      } else {
        for (int64_t i = 0; i < n; ++i) y[i * p.step[0]] = F(std::get<K>(x)[i * p.step[K + 1]]...);
      }
      begin += n;
      out.next();
      (in[K].next(), ...);
    }
  }
  static Status run(const Plan& plan, const KernelArgs& args) {
    const auto& p = static_cast<const LoopPlan&>(plan);
    parallel_for(0, p.rows.numel() * p.n, grain_for(p.ns), [&](int64_t begin, int64_t end) {
      rows(p, args, begin, end, std::index_sequence_for<In...>{});
    });
    return Status();
  }
};

bool in_double(const CallMeta& c) {
  const DType last = c.in(c.num_inputs() - 1).dtype;
  return real_dtype(last) == DType::kF64;
}

bool supports(const CallMeta& c, Reason* reason) {
  bool strided = c.out().layout == kStrided;
  for (const TensorMeta* m : c.inputs) strided = strided && m->layout == kStrided;
  if (any_complex(c) && strided) return true;
  return refuse(reason, "takes strided complex numbers");
}

template <auto F32, auto F64>
Status prepare(const CallMeta& c, double ns, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<LoopPlan>();
  make_loops(c, p.get());
  p->ns = ns;
  p->run = in_double(c) ? Loop<F64>::run : Loop<F32>::run;
  *plan = std::move(p);
  return Status();
}

template <class From, class To>
To cast_value(From x) {
  return cast_complex<To>(x);
}

Status prepare_cast(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<LoopPlan>();
  make_loops(c, p.get());
  const auto pick = [&](DType other, auto with) {
    return dispatch_all(other, [&](auto id) { return with(id); });
  };
  const DType from = c.in(0).dtype, to = c.out().dtype;
  using F = std::complex<float>;
  using D = std::complex<double>;
  if (is_complex(from)) {
    p->run = pick(to, [&](auto id) -> RunFn {
      using T = typename decltype(id)::type;
      return from == DType::kC64 ? Loop<cast_value<F, T>>::run : Loop<cast_value<D, T>>::run;
    });
  } else {
    p->run = pick(from, [&](auto id) -> RunFn {
      using T = typename decltype(id)::type;
      return to == DType::kC64 ? Loop<cast_value<T, F>>::run : Loop<cast_value<T, D>>::run;
    });
  }
  *plan = std::move(p);
  return Status();
}

// Between a complex tensor and a real one with a last dimension of 2: the same memory, as it lies.
struct PairCopy : Plan {
  CopyPlan copy;
};
Status run_copy(const Plan& plan, const KernelArgs& args) {
  static_cast<const PairCopy&>(plan).copy.run(args.in[0], args.out[0]);
  return Status();
}
Status prepare_copy(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<PairCopy>();
  const bool to_real = is_complex(c.in(0).dtype);
  const TensorMeta& pairs = to_real ? c.out() : c.in(0);
  Strides z = (to_real ? c.in(0) : c.out()).strides;
  for (int i = 0; i < z.rank(); ++i) z[i] *= 2;
  z.push_back(1);
  const int size = static_cast<int>(dtype_size(pairs.dtype));
  p->copy = CopyPlan(pairs.shape, to_real ? z : pairs.strides, to_real ? pairs.strides : z, size);
  p->run = run_copy;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_complex_cpu() {
#define RUTILE_COMPLEX(constant, function, ns)                                                \
  register_kernel(                                                                            \
      {.op = &ops::constant,                                                                  \
       .name = "complex",                                                                     \
       .supports = supports,                                                                  \
       .prepare = [](const CallMeta& c, std::unique_ptr<Plan>* plan) {                        \
         return prepare<complex_math::function<float>, complex_math::function<double>>(c, ns, \
                                                                                       plan); \
       }});
#include "rutile/kernels/complex_list.inc"
#undef RUTILE_COMPLEX
  register_kernel(
      {.op = &ops::kCast, .name = "complex", .supports = supports, .prepare = prepare_cast});
  for (const OpDef* op : {&ops::kViewAsReal, &ops::kViewAsComplex}) {
    register_kernel({.op = op, .name = "copy", .supports = supports, .prepare = prepare_copy});
  }
  register_complex_pairs(false);
  register_complex_conv(false);
}

}  // namespace rutile::kernels
