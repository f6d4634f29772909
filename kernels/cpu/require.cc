// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/require.h"

#include <algorithm>
#include <atomic>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/range_error.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

struct RequirePlan : Plan {
  ops::RequireRangeAttrs attrs;
  int64_t lines = 0, n = 0, size = 4;
  bool (*copy)(const void* x, void* y, int64_t n, RangeCheck range, int64_t* positive) = nullptr;
};

// What is wrong with the first line that has something wrong.
template <class T>
Status first_error(const RequirePlan& p, const T* x) {
  for (int64_t line = 0; line < p.lines; ++line) {
    int64_t positive = 0;
    for (int64_t i = 0; i < p.n; ++i, ++x) {
      if (!(*x >= p.attrs.min && *x <= p.attrs.max)) return out_of_range(p.attrs, *x);
      positive += *x > T(0);
    }
    if (positive < p.attrs.positive) return too_few_positive(p.attrs, positive);
  }
  return Status();
}

Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const RequirePlan&>(plan);
  constexpr double kElementNs = 0.1;
  const RangeCheck range{p.attrs.min, p.attrs.max};
  // Where nothing is counted, pieces of any length are lines.
  const bool counts = p.attrs.positive > 0;
  const int64_t piece = counts ? p.n : 4096, total = p.lines * p.n;
  std::atomic<bool> ok{true};
  parallel_for(0, (total + piece - 1) / piece, grain_for(kElementNs * static_cast<double>(piece)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t k = begin; k < end; ++k) {
                   const int64_t at = k * piece * p.size;
                   int64_t positive = 0;
                   const bool fits = p.copy(static_cast<const char*>(args.in[0]) + at,
                                            static_cast<char*>(args.out[0]) + at,
                                            std::min(piece, total - k * piece), range, &positive);
                   if (!fits || (counts && positive < p.attrs.positive)) ok = false;
                 }
               });
  if (ok) return Status();
  if (p.size == 8) return first_error(p, static_cast<const double*>(args.in[0]));
  return first_error(p, static_cast<const float*>(args.in[0]));
}

bool supports(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(0);
  const bool fits = isa() != Isa::kBaseline && x.is_contiguous() && x.numel() > 0 &&
                    (x.dtype == DType::kF32 || x.dtype == DType::kF64);
  if (!fits) reason->text = "takes row-major f32 and f64, with AVX2";
  return fits;
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const TensorMeta& x = c.in(0);
  auto p = std::make_unique<RequirePlan>();
  p->attrs = c.as<ops::RequireRangeAttrs>();
  p->n = x.rank() > 0 ? x.shape.back() : 1;
  p->lines = x.numel() / p->n;
  p->size = static_cast<int64_t>(dtype_size(x.dtype));
  const RequireKernels kernels = RUTILE_CHOOSE_ISA(require_kernels);
  p->copy = x.dtype == DType::kF64 ? kernels.f64 : kernels.f32;
  p->run = run;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_require_cpu() {
  register_kernel(
      {.op = &ops::kRequireRange, .name = "simd", .supports = supports, .prepare = prepare});
}

}  // namespace rutile::kernels
