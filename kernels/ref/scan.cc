// SPDX-License-Identifier: Apache-2.0
// Running products, extremes and logarithms of sums, line by line.
#include "rutile/ops/scan.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>

#include "rutile/kernels/index_range.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

// Calls f(index of a line's first element) for every line along the axis.
template <class F>
void for_lines(const TensorMeta& x, int axis, F&& f) {
  Shape outer = x.shape;
  outer[axis] = std::min<int64_t>(outer[axis], 1);
  for (Walk w(outer, x.strides); !w.done(); w.next()) f(w.index());
}

Status run_cumprod(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const int axis = axis_of(p.as<ops::ScanAttrs>().axis, p.in[0].rank());
  if (is_complex(p.in[0].dtype)) {
    const auto lines = [&]<class T>(const T* from, T* to) {
      for_lines(p.in[0], axis, [&](Dims at) {
        std::complex<double> product = 1;
        for (int64_t i = 0; i < p.in[0].dim(axis); ++i) {
          at[axis] = i;
          product *= std::complex<double>(from[offset_at(p.in[0].strides, at)]);
          to[offset_at(p.out[0].strides, at)] = static_cast<T>(product);
        }
      });
    };
    if (p.in[0].dtype == DType::kC64) {
      lines(static_cast<const std::complex<float>*>(args.in[0]),
            static_cast<std::complex<float>*>(args.out[0]));
    } else {
      lines(static_cast<const std::complex<double>*>(args.in[0]),
            static_cast<std::complex<double>*>(args.out[0]));
    }
    return Status();
  }
  const Elements x = input(p, args, 0), y = output(p, args);
  const bool floats = is_floating(p.out[0].dtype);
  for_lines(p.in[0], axis, [&](Dims at) {
    double real = 1;
    uint64_t whole = 1;  // unsigned: wraps
    for (int64_t i = 0; i < p.in[0].dim(axis); ++i) {
      at[axis] = i;
      if (floats) {
        real *= x.at(at);
        y.set(at, real);
      } else {
        whole *= static_cast<uint64_t>(x.int_at(at));
        y.set_int(at, static_cast<int64_t>(whole));
      }
    }
  });
  return Status();
}

template <class T>
bool is_nan(T v) {
  if constexpr (std::is_integral_v<T>) {
    return false;
  } else {
    return std::isnan(static_cast<double>(convert<double>(v)));
  }
}
// The newer of two equal ones wins, NaN wins over all.
template <bool kMax, class T>
bool replaces(T next, T best) {
  if (is_nan(next)) return true;
  if (is_nan(best)) return false;
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    const float a = static_cast<float>(next), b = static_cast<float>(best);
    return kMax ? a >= b : a <= b;
  } else {
    return kMax ? next >= best : next <= best;
  }
}

template <bool kMax>
Status run_extremes(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const int axis = axis_of(p.as<ops::ScanAttrs>().axis, p.in[0].rank());
  const Elements indices = output(p, args, 1);
  dispatch_real(p.in[0].dtype, [&](auto id) {
    using T = typename decltype(id)::type;
    const T* x = static_cast<const T*>(args.in[0]);
    T* y = static_cast<T*>(args.out[0]);
    for_lines(p.in[0], axis, [&](Dims at) {
      T best{};
      int64_t place = 0;
      for (int64_t i = 0; i < p.in[0].dim(axis); ++i) {
        at[axis] = i;
        const T next = x[offset_at(p.in[0].strides, at)];
        if (i == 0 || replaces<kMax>(next, best)) {
          best = next;
          place = i;
        }
        y[offset_at(p.out[0].strides, at)] = best;
        indices.set_int(at, place);
      }
    });
  });
  return Status();
}

Status run_logcumsumexp(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::LogcumsumexpAttrs>();
  const int axis = axis_of(a.axis, p.in[0].rank());
  const Elements x = input(p, args, 0), y = output(p, args);
  const int64_t n = p.in[0].dim(axis);
  for_lines(p.in[0], axis, [&](Dims at) {
    double sum = -std::numeric_limits<double>::infinity();
    for (int64_t i = 0; i < n; ++i) {
      at[axis] = a.reverse ? n - 1 - i : i;
      const double v = x.at(at), top = std::max(sum, v);
      sum = std::isnan(v) || std::isnan(sum) ? sum + v
            : std::isinf(top)                ? top
                                             : top + std::log1p(std::exp(-std::abs(sum - v)));
      y.set(at, sum);
    }
  });
  return Status();
}

}  // namespace

void register_scan_ref() {
  register_kernel(ref_row<run_cumprod>(ops::kCumprod));
  register_kernel(ref_row<run_extremes<true>>(ops::kCummax));
  register_kernel(ref_row<run_extremes<false>>(ops::kCummin));
  register_kernel(ref_row<run_logcumsumexp>(ops::kLogcumsumexp));
}

}  // namespace rutile::kernels
