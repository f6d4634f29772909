// SPDX-License-Identifier: Apache-2.0
// Numbers in equal steps.
#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/arrange.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr double kElementNs = 0.4;

struct StepsPlan : Plan {
  int64_t n = 0;
  bool whole = false;  // computed in integers
  int64_t first = 0, step = 0;
  double from = 0, by = 0;
  double to = 0;  // of linspace, whose second half is counted from there
  int64_t half = 0;
};

template <class T>
Status run_arange(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const StepsPlan&>(plan);
  T* y = static_cast<T*>(args.out[0]);
  parallel_for(0, p.n, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    if (p.whole) {
      for (int64_t i = begin; i < end; ++i) y[i] = convert<T>(p.first + i * p.step);
    } else {
      for (int64_t i = begin; i < end; ++i) {
        y[i] = convert<T>(p.from + static_cast<double>(i) * p.by);
      }
    }
  });
  return Status();
}

Status prepare_arange(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::ArangeAttrs>();
  auto p = std::make_unique<StepsPlan>();
  p->n = c.out().numel();
  p->whole = a.start.kind != Scalar::Kind::kFloat && a.step.kind != Scalar::Kind::kFloat;
  p->first = a.start.i;
  p->step = a.step.i;
  p->from = a.start.f;
  p->by = a.step.f;
  p->run = dispatch_real(c.out().dtype,
                         [](auto id) -> RunFn { return run_arange<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

template <class T>
Status run_linspace(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const StepsPlan&>(plan);
  T* y = static_cast<T*>(args.out[0]);
  parallel_for(0, p.n, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    const int64_t half = std::clamp(p.half, begin, end);
    for (int64_t i = begin; i < half; ++i) {
      y[i] = convert<T>(static_cast<double>(i) * p.by + p.from);
    }
    for (int64_t i = half; i < end; ++i) {
      y[i] = convert<T>(p.to - static_cast<double>(p.n - 1 - i) * p.by);
    }
  });
  return Status();
}

Status prepare_linspace(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::LinspaceAttrs>();
  auto p = std::make_unique<StepsPlan>();
  p->n = c.out().numel();
  p->from = a.start;
  p->to = a.end;
  p->half = p->n == 1 ? 1 : p->n / 2;
  p->by = (a.end - a.start) / static_cast<double>(std::max<int64_t>(p->n - 1, 1));
  p->run = dispatch_real(
      c.out().dtype, [](auto id) -> RunFn { return run_linspace<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!is_complex(c.out().dtype)) return true;
  return refuse(reason, "gives real numbers");
}

}  // namespace

void register_creation_cpu() {
  register_kernel(
      {.op = &ops::kArange, .name = "steps", .supports = supports, .prepare = prepare_arange});
  register_kernel(
      {.op = &ops::kLinspace, .name = "steps", .supports = supports, .prepare = prepare_linspace});
}

}  // namespace rutile::kernels
