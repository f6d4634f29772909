// SPDX-License-Identifier: Apache-2.0
// Running sums, products and extremes, and products of all others. Columns of neighbours go side by
// side; a line of neighbours goes alone.
#include <algorithm>
#include <cmath>
#include <limits>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/product_rows.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/scan.h"
#include "rutile/ops/statistics.h"

namespace rutile::kernels {
namespace {

struct ScanPlan : Plan {
  int64_t outer = 1, n = 0, inner = 1;
  bool exclusive = false, reverse = false;
  bool places = false;  // the second output
};

constexpr int64_t kColumns = 64;

// Integers add modulo 2^64.
template <class Out>
using SumOf = std::conditional_t<std::is_floating_point_v<Acc<Out>>, Acc<Out>, uint64_t>;

// The result's type, as infer has it.
template <class In>
using ResultOf = std::conditional_t<!std::is_integral_v<In>, In,
                                    std::conditional_t<std::is_same_v<In, uint64_t>, In, int64_t>>;

// What the lines do with `width` neighbouring columns of n elements, `inner` apart.
// A running sum or product. Lines that lie by themselves go four at a time: each waits for its own
// last addition only.
template <class Fold>
struct Running {
  static constexpr double kNs = 0.8;  // per element
  static constexpr int64_t kLines = 4;
  template <class In>
  using Out = ResultOf<In>;
  template <class In>
  static void run(const ScanPlan& p, const In* x, Out<In>* y, int64_t*, int64_t width) {
    using Sum = SumOf<Out<In>>;
    Sum sum[kColumns];
    std::fill_n(sum, kColumns, Fold::template first<Sum>());
    for (int64_t k = 0; k < p.n; ++k) {
      const int64_t at = (p.reverse ? p.n - 1 - k : k) * p.inner;
      for (int64_t j = 0; j < width; ++j) {
        const Sum next = Fold::add(sum[j], static_cast<Sum>(convert<Acc<Out<In>>>(x[at + j])));
        y[at + j] = convert<Out<In>>(p.exclusive ? sum[j] : next);
        sum[j] = next;
      }
    }
  }
  template <class In>
  static void run_lines(const ScanPlan& p, const In* x, Out<In>* y, int64_t lines) {
    for (; lines >= kLines; lines -= kLines, x += kLines * p.n, y += kLines * p.n) {
      some_lines<In, kLines>(p, x, y);
    }
    for (; lines > 0; --lines, x += p.n, y += p.n) some_lines<In, 1>(p, x, y);
  }
  template <class In, int kCount>
  static void some_lines(const ScanPlan& p, const In* x, Out<In>* y) {
    using Sum = SumOf<Out<In>>;
    Sum sum[kCount];
    std::fill_n(sum, kCount, Fold::template first<Sum>());
    for (int64_t k = 0; k < p.n; ++k) {
      const int64_t at = p.reverse ? p.n - 1 - k : k;
#pragma GCC unroll 4
      for (int j = 0; j < kCount; ++j) {
        const int64_t i = j * p.n + at;
        const Sum next = Fold::add(sum[j], static_cast<Sum>(convert<Acc<Out<In>>>(x[i])));
        y[i] = convert<Out<In>>(p.exclusive ? sum[j] : next);
        sum[j] = next;
      }
    }
  }
};

struct Plus {
  template <class T>
  static constexpr T first() {
    return T();
  }
  template <class T>
  static T add(T a, T b) {
    return a + b;
  }
};
struct Times {
  template <class T>
  static constexpr T first() {
    return T(1);
  }
  template <class T>
  static T add(T a, T b) {
    return a * b;
  }
};
using RunningSum = Running<Plus>;
using RunningProduct = Running<Times>;

// 16-bit floats compare as f32.
template <class T>
using Compared =
    std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>, float, T>;

template <bool kMax>
struct RunningExtreme {
  static constexpr double kNs = 2.7;  // per element
  template <class In>
  using Out = In;
  // One line alone: what is best so far stays in a register.
  template <class In>
  static void run_line(const ScanPlan& p, const In* x, In* y, int64_t* places);
  template <class In>
  static void run(const ScanPlan& p, const In* x, In* y, int64_t* places, int64_t width) {
    if (width == 1) return run_line(p, x, y, places);
    using C = Compared<In>;
    C best[kColumns];
    int64_t place[kColumns] = {};
    for (int64_t j = 0; j < width; ++j) best[j] = static_cast<C>(x[j]);
    for (int64_t k = 0; k < p.n; ++k) {
      const int64_t at = k * p.inner;
      for (int64_t j = 0; j < width; ++j) {
        const C v = static_cast<C>(x[at + j]);
        const bool newer = kMax ? v >= best[j] : v <= best[j];
        if (newer || v != v) {  // nothing but NaN replaces NaN
          best[j] = v;
          place[j] = k;
        }
        y[at + j] = static_cast<In>(best[j]);
        places[at + j] = place[j];
      }
    }
  }
};

template <bool kMax>
template <class In>
void RunningExtreme<kMax>::run_line(const ScanPlan& p, const In* x, In* y, int64_t* places) {
  using C = Compared<In>;
  In best = x[0];
  int64_t place = 0;
  for (int64_t k = 0, at = 0; k < p.n; ++k, at += p.inner) {
    const C v = static_cast<C>(x[at]), b = static_cast<C>(best);
    const bool newer = (kMax ? v >= b : v <= b) | (v != v);
    best = newer ? x[at] : best;
    place = newer ? k : place;
    y[at] = best;
    places[at] = place;
  }
}

struct RunningLogSumExp {
  static constexpr double kNs = 30;  // per element
  template <class In>
  using Out = In;
  template <class In>
  static void run(const ScanPlan& p, const In* x, In* y, int64_t*, int64_t width) {
    double sum[kColumns];
    std::fill_n(sum, kColumns, -std::numeric_limits<double>::infinity());
    for (int64_t k = 0; k < p.n; ++k) {
      const int64_t at = (p.reverse ? p.n - 1 - k : k) * p.inner;
      for (int64_t j = 0; j < width; ++j) {
        const double v = convert<double>(x[at + j]), top = std::max(sum[j], v);
        if (std::isnan(v) || std::isnan(sum[j])) {
          sum[j] += v;
        } else {
          sum[j] = std::isinf(top) ? top : top + std::log1p(std::exp(-std::abs(sum[j] - v)));
        }
        y[at + j] = convert<In>(sum[j]);
      }
    }
  }
};

template <class Scan, class In>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ScanPlan&>(plan);
  if (p.n == 0) return Status();
  if constexpr (requires { Scan::kLines; }) {
    if (p.inner == 1) {
      parallel_for(0, p.outer, grain_for(Scan::kNs * static_cast<double>(p.n)),
                   [&](int64_t begin, int64_t end) {
                     using Out = typename Scan::template Out<In>;
                     Scan::run_lines(p, static_cast<const In*>(args.in[0]) + begin * p.n,
                                     static_cast<Out*>(args.out[0]) + begin * p.n, end - begin);
                   });
      return Status();
    }
  }
  const int64_t pieces = (p.inner + kColumns - 1) / kColumns;
  const int64_t each = std::max<int64_t>(1, p.n * std::min(p.inner, kColumns));
  parallel_for(0, p.outer * pieces, grain_for(Scan::kNs * static_cast<double>(each)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t t = begin; t < end; ++t) {
                   const int64_t column = t % pieces * kColumns;
                   const int64_t at = t / pieces * p.n * p.inner + column;
                   int64_t* places = p.places ? static_cast<int64_t*>(args.out[1]) + at : nullptr;
                   using Out = typename Scan::template Out<In>;
                   Scan::run(p, static_cast<const In*>(args.in[0]) + at,
                             static_cast<Out*>(args.out[0]) + at, places,
                             std::min(kColumns, p.inner - column));
                 }
               });
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  const bool plain = c.in(0).layout == kStrided && c.in(0).is_contiguous();
  if (!plain) reason->text = "takes row-major tensors";
  return plain;
}

template <class Scan>
Status make(const CallMeta& c, int64_t wanted, std::unique_ptr<ScanPlan> p,
            std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(wanted, x.rank(), &axis));
  for (int i = 0; i < x.rank(); ++i) (i < axis ? p->outer : p->inner) *= i == axis ? 1 : x.shape[i];
  p->n = x.shape[axis];
  if (x.numel() == 0) p->n = 0;
  p->places = c.outputs.size() > 1;
  p->run = dispatch_real(x.dtype,
                         [](auto in) -> RunFn { return run<Scan, typename decltype(in)::type>; });
  *plan = std::move(p);
  return Status();
}

Status prepare_cumsum(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::CumsumAttrs>();
  auto p = std::make_unique<ScanPlan>();
  p->exclusive = a.exclusive;
  p->reverse = a.reverse;
  return make<RunningSum>(c, a.axis, std::move(p), plan);
}
Status prepare_logcumsumexp(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::LogcumsumexpAttrs>();
  auto p = std::make_unique<ScanPlan>();
  p->reverse = a.reverse;
  return make<RunningLogSumExp>(c, a.axis, std::move(p), plan);
}
template <class Scan>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  return make<Scan>(c, c.as<ops::ScanAttrs>().axis, std::make_unique<ScanPlan>(), plan);
}

// ---- The product of the others ------------------------------------------------------------------

struct OthersPlan : Plan {
  int64_t rows = 0, n = 0, element = 4;  // bytes
  void (*line)(const void* x, void* y, int64_t rows, int64_t n) = nullptr;
};

Status run_others(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const OthersPlan&>(plan);
  constexpr double kElementNs = 0.3;
  const int64_t grain = grain_for(10 + kElementNs * static_cast<double>(p.n));
  const int64_t row = p.n * p.element;
  parallel_for(0, p.rows, grain, [&](int64_t begin, int64_t end) {
    p.line(static_cast<const char*>(args.in[0]) + begin * row,
           static_cast<char*>(args.out[0]) + begin * row, end - begin, p.n);
  });
  return Status();
}

Status prepare_others(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = c.in(0);
  auto p = std::make_unique<OthersPlan>();
  p->n = x.shape.back();
  p->rows = x.numel() / p->n;
  p->element = static_cast<int64_t>(dtype_size(x.dtype));
  const ProductRows kernels = RUTILE_CHOOSE_ISA(product_rows);
  p->line = x.dtype == DType::kF64 ? kernels.f64 : kernels.f32;
  p->run = run_others;
  *plan = std::move(p);
  return Status();
}

bool supports_others(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(0);
  const bool fits = isa() != Isa::kBaseline && x.is_contiguous() && x.numel() > 0 &&
                    (x.dtype == DType::kF32 || x.dtype == DType::kF64);
  if (!fits) reason->text = "takes row-major f32 and f64, with AVX2";
  return fits;
}

}  // namespace

void register_scan_cpu() {
  const auto add = [](const OpDef& op, auto prepare_fn) {
    register_kernel({.op = &op, .name = "lines", .supports = supports, .prepare = prepare_fn});
  };
  add(ops::kCumsum, prepare_cumsum);
  add(ops::kCumprod, prepare<RunningProduct>);
  add(ops::kCummax, prepare<RunningExtreme<true>>);
  add(ops::kCummin, prepare<RunningExtreme<false>>);
  add(ops::kLogcumsumexp, prepare_logcumsumexp);
  register_kernel({.op = &ops::kProductOfOthers,
                   .name = "simd",
                   .supports = supports_others,
                   .prepare = prepare_others});
}

}  // namespace rutile::kernels
