// SPDX-License-Identifier: Apache-2.0
// Rows of the reductions. x's dimensions, in the order of memory, come down to four loops: outer
// kept, outer reduced, and the two that one vector loop takes (rows or columns, see reduce.h). How
// a reduction is divided depends on the shape only, so results do not depend on threads.
#include "rutile/kernels/cpu/reduce.h"
#include "rutile/kernels/complex_pairs.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "rutile/core/thread.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/cpu/reduce_plan.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/statistics.h"

namespace rutile::kernels {
namespace {

// Slots of one piece of work.
constexpr int64_t kMostSlots = 512;
struct alignas(64) SlotBuffer {
  char bytes[kMostSlots * kLargestSlot];
};

int64_t offset_of(const ReduceGeometry::Outer& dims, int64_t index,
                  int64_t ReduceGeometry::Dim::*step) {
  int64_t offset = 0;
  for (int i = dims.size() - 1; i >= 0; --i) {
    const ReduceGeometry::Dim& d = dims[i];
    offset += index % d.size * (d.*step);
    index /= d.size;
  }
  return offset;
}

// Adds to the slots of results [g0, g1) of outer result `kept` what part `part` of the parts gives.
void gather(const ReducePlan& p, const ReduceKernels& k, const void* x, int64_t kept, int64_t g0,
            int64_t g1, int64_t part, const float* shift, void* slots) {
  const ReduceGeometry& g = p.geometry;
  int64_t outer = 0, outer_end = g.reduced_count, line = 0, line_end = g.line;
  const auto divide = [&](int64_t n, int64_t* begin, int64_t* end) {
    *begin = n * part / p.parts;
    *end = n * (part + 1) / p.parts;
  };
  if (p.parts > 1 && p.divides_outer) {
    divide(g.reduced_count, &outer, &outer_end);
  } else if (p.parts > 1) {
    divide(g.line, &line, &line_end);
  }
  const int64_t start =
      offset_of(g.kept, kept, &ReduceGeometry::Dim::in) + g0 * g.group_step + line * g.line_step;
  for (; outer < outer_end; ++outer) {
    const int64_t at = start + offset_of(g.reduced, outer, &ReduceGeometry::Dim::in);
    const char* from = static_cast<const char*>(x) + at * p.in_size;
    if (g.rows) {
      k.rows(from, g.group_step, g1 - g0, line_end - line, line, shift, slots);
    } else {
      k.columns(from, g.line_step, line_end - line, g1 - g0, line, shift, slots);
    }
  }
}

// Results [g0, g1) of outer result `kept`, all parts.
void whole(const ReducePlan& p, const KernelArgs& args, int64_t kept, int64_t g0, int64_t g1) {
  const int64_t n = g1 - g0;
  SlotBuffer slots;
  float shift[kMostSlots];
  const auto run = [&](const ReduceKernels& k) {
    k.init(slots.bytes, n);
    if (p.count > 0) gather(p, k, args.in[0], kept, g0, g1, 0, shift, slots.bytes);
  };
  if (p.shift.rows) {
    run(p.shift);
    const auto* top = reinterpret_cast<const float*>(slots.bytes);
    for (int64_t i = 0; i < n; ++i) shift[i] = std::isfinite(top[i]) ? top[i] : 0.0f;
  }
  run(p.kernels);
  p.finish(p, slots.bytes, shift, n, p.result_at(args, kept, g0), p.geometry.group_out);
}

Status run_whole(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ReducePlan&>(plan);
  parallel_for(0, p.geometry.kept_count * p.blocks, p.grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t g0 = t % p.blocks * p.block;
      whole(p, args, t / p.blocks, g0, std::min(g0 + p.block, p.geometry.group));
    }
  });
  return Status();
}

// Parts into the workspace, then the parts of each result in their order.
Status run_parts(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ReducePlan&>(plan);
  const ReduceGeometry& g = p.geometry;
  const int64_t bytes = p.kernels.slot_bytes, results = g.kept_count * g.group;
  const auto place = [&](int64_t part, int64_t kept, int64_t g0) {
    return static_cast<char*>(args.workspace) + (part * results + kept * g.group + g0) * bytes;
  };
  const int64_t pieces = g.kept_count * p.blocks;
  parallel_for(0, pieces * p.parts, p.grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t part = t / pieces, piece = t % pieces;
      const int64_t kept = piece / p.blocks, g0 = piece % p.blocks * p.block;
      const int64_t g1 = std::min(g0 + p.block, g.group);
      void* slots = place(part, kept, g0);
      p.kernels.init(slots, g1 - g0);
      gather(p, p.kernels, args.in[0], kept, g0, g1, part, nullptr, slots);
    }
  });
  for (int64_t part = 1; part < p.parts; ++part) {
    p.kernels.merge(place(0, 0, 0), place(part, 0, 0), results);
  }
  for (int64_t kept = 0; kept < g.kept_count; ++kept) {
    p.finish(p, place(0, kept, 0), nullptr, g.group, p.result_at(args, kept, 0), g.group_out);
  }
  return Status();
}

// ---- From slots to results ----------------------------------------------------------------------

template <class Out, class F>
void put_each(int64_t n, void* out, int64_t step, F&& f) {
  auto* y = static_cast<Out*>(out);
  for (int64_t i = 0; i < n; ++i) y[i * step] = convert<Out>(f(i));
}

template <class Slot, class Out>
void finish_value(const ReducePlan& p, const void* slots, const float*, int64_t n, void* out,
                  int64_t step) {
  const auto* s = static_cast<const Slot*>(slots);
  put_each<Out>(n, out, step, [&](int64_t i) {
    if constexpr (std::is_floating_point_v<Slot>) {
      return s[i] * static_cast<Slot>(p.scale);
    } else {
      return s[i];
    }
  });
}
template <class Out>
void finish_norm(const ReducePlan&, const void* slots, const float*, int64_t n, void* out,
                 int64_t step) {
  const auto* s = static_cast<const double*>(slots);
  put_each<Out>(n, out, step, [&](int64_t i) { return std::sqrt(s[i]); });
}
template <class Out>
void finish_logsumexp(const ReducePlan&, const void* slots, const float* shift, int64_t n,
                      void* out, int64_t step) {
  const auto* s = static_cast<const double*>(slots);
  put_each<Out>(n, out, step, [&](int64_t i) { return std::log(s[i]) + shift[i]; });
}
template <bool kAll>
void finish_found(const ReducePlan&, const void* slots, const float*, int64_t n, void* out,
                  int64_t step) {
  const auto* s = static_cast<const int64_t*>(slots);
  put_each<bool>(n, out, step, [&](int64_t i) { return (s[i] != 0) != kAll; });
}
void finish_arg(const ReducePlan&, const void* slots, const float*, int64_t n, void* out,
                int64_t step) {
  const auto* s = static_cast<const ArgSlot*>(slots);
  put_each<int64_t>(n, out, step, [&](int64_t i) { return s[i].at; });
}

// ---- Plans --------------------------------------------------------------------------------------

using Finish = decltype(ReducePlan::finish);

// How the op runs; false if it does not.
bool choose(const CallMeta& c, ReduceKernels* kernels, ReduceKernels* shift, Finish* finish,
            Reason* reason) {
  const DType in = c.in(0).dtype, out = c.out().dtype;
  const auto sums = [&](ReduceKind kind, bool wide = false) {
    *kernels = RUTILE_CHOOSE_ISA(sum_kernels, kind, in, wide);
  };
  const auto extrema = [&](ReduceKind kind) {
    *kernels = RUTILE_CHOOSE_ISA(extremum_kernels, kind, in);
  };
  const auto to_float = [&](auto&& pick) {
    *finish = is_floating(out) ? dispatch_float(out, pick) : nullptr;
  };
  const bool sum = c.op == &ops::kSum || c.op == &ops::kMean || c.op == &ops::kSumToShape;
  const bool numbers = c.op == &ops::kNansum && is_floating(in);
  if (sum || numbers || c.op == &ops::kProd) {
    const bool wide = is_floating(out) && (out == DType::kF64 || !is_floating(in));
    sums(sum ? ReduceKind::kSum : numbers ? ReduceKind::kSumNumbers : ReduceKind::kProd, wide);
    const bool floats = is_floating(in) || wide;
    *finish = dispatch_real(out, [&](auto t) -> Finish {
      using Out = typename decltype(t)::type;
      return floats ? finish_value<double, Out> : finish_value<uint64_t, Out>;
    });
  } else if (c.op == &ops::kMax || c.op == &ops::kMin) {
    extrema(c.op == &ops::kMax ? ReduceKind::kMax : ReduceKind::kMin);
    *finish = dispatch_real(out, [&](auto t) -> Finish {
      using Out = typename decltype(t)::type;
      if (in == DType::kF64) return finish_value<double, Out>;
      return is_floating(in) ? finish_value<float, Out> : finish_value<int64_t, Out>;
    });
  } else if (c.op == &ops::kArgmax || c.op == &ops::kArgmin) {
    extrema(c.op == &ops::kArgmax ? ReduceKind::kArgmax : ReduceKind::kArgmin);
    *finish = finish_arg;
  } else if (c.op == &ops::kAny) {
    extrema(ReduceKind::kAny);
    *finish = finish_found<false>;
  } else if (c.op == &ops::kAll) {
    extrema(ReduceKind::kAll);
    *finish = finish_found<true>;
  } else if (c.op == &ops::kNorm) {
    sums(ReduceKind::kSquares);
    to_float([](auto t) -> Finish { return finish_norm<typename decltype(t)::type>; });
  } else if (c.op == &ops::kLogSumExp) {
    sums(ReduceKind::kSumExp);
    if (kernels->rows) *shift = RUTILE_CHOOSE_ISA(extremum_kernels, ReduceKind::kMax, in);
    to_float([](auto t) -> Finish { return finish_logsumexp<typename decltype(t)::type>; });
  }
  if (kernels->rows && *finish) return true;
  return refuse(reason, cat("has no vector loop for ", in));
}

bool supports(const CallMeta& c, Reason* reason) {
  if (isa() == Isa::kBaseline) return refuse(reason, "needs AVX2");
  if (any_complex(c)) return refuse(reason, "takes real numbers");
  ReduceGeometry g;
  if (!reduce_geometry(c, &g, reason)) return false;
  const bool arg = c.op == &ops::kArgmax || c.op == &ops::kArgmin;
  if (arg && g.reduced_count != 1) {
    return refuse(reason, "numbers elements along one axis of memory");
  }
  ReduceKernels kernels, shift;
  Finish finish = nullptr;
  return choose(c, &kernels, &shift, &finish, reason);
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ReducePlan>();
  Reason reason;
  if (!reduce_geometry(c, &p->geometry, &reason) ||
      !choose(c, &p->kernels, &p->shift, &p->finish, &reason)) {
    return Status(ErrorCode::kUnsupported, reason.text);
  }
  const ReduceGeometry& g = p->geometry;
  p->in_size = static_cast<int64_t>(dtype_size(c.in(0).dtype));
  p->out_size = static_cast<int64_t>(dtype_size(c.out().dtype));
  p->count = g.reduced_count * g.line;
  if (c.op == &ops::kMean) p->scale = 1.0 / static_cast<double>(p->count);
  divide_work(p.get());
  p->run = p->parts > 1 ? run_parts : run_whole;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_reduce_cpu() {
  for (const OpDef* op : {&ops::kSum, &ops::kMean, &ops::kSumToShape, &ops::kProd, &ops::kMax,
                          &ops::kMin, &ops::kArgmax, &ops::kArgmin, &ops::kAny, &ops::kAll,
                          &ops::kNorm, &ops::kLogSumExp, &ops::kNansum}) {
    register_kernel({.op = op, .name = "simd", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
