// SPDX-License-Identifier: Apache-2.0
// Reference kernels of optimizer updates, in double.
#include "rutile/ops/optim.h"

#include <cmath>

#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/update_rules.h"

namespace rutile::kernels {
namespace {

// Calls f(index) for each element of `m`.
template <class F>
void for_each(const TensorMeta& m, F&& f) {
  for (Walk w(m); !w.done(); w.next()) f(w.index());
}

template <class R>
struct RefUpdate {
  Elements param, slots[3], grad;
  rules::Numbers n;

  // Calls f(p, slots, g) with the numbers the rule takes and keeps what it leaves there.
  template <class F>
  void run(F&& f) const {
    for_each(param.meta(), [&](const Dims& at) {
      double s[3] = {};
      for (int j = 0; j < R::kSlots; ++j) s[j] = slots[j].at(at);
      double p = param.at(at);
      const double g = grad.at(at) * n.scale + p * n.decay;
      p *= n.shrink;
      if (f(p, s, g)) param.set(at, p);
      for (int j = 0; j < R::kSlots; ++j) slots[j].set(at, s[j]);
    });
  }

  void measure() {
    if constexpr (rules::kHasNorms<R>) {
      double a2 = 0, b2 = 0;
      run([&](double p, double* s, double g) {
        double a, b;
        R::template measure<StdMath>(p, s, g, n.k, &a, &b);
        a2 += a * a;
        b2 += b * b;
        return false;
      });
      n.k[rules::kTrust] = R::trust(std::sqrt(a2), std::sqrt(b2), n.k);
    }
  }
};

template <class R, const OpDef* kOp>
Status run_update(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  SmallVector<const TensorMeta*, 6> metas;
  for (const TensorMeta& m : p.in) metas.push_back(&m);
  const ops::UpdateOperands o = ops::update_operands(CallMeta{kOp, p.attrs.get(), metas, {}});
  const Elements step = input(p, args, o.step()), skip = input(p, args, o.skip()),
                 scale = input(p, args, o.grad_scale());
  if (skip && skip.get(0) != 0) return Status();
  const rules::Numbers n = rules::numbers_of<R>(p.attrs.get(), input(p, args, o.lr()).get(0),
                                                step ? step.get(0) : 0, scale ? scale.get(0) : 1);
  for (int i = 0; i < o.count; ++i) {
    RefUpdate<R> u{input(p, args, o.tensor(0, i)), {}, input(p, args, o.grad(i)), n};
    for (int j = 0; j < R::kSlots; ++j) u.slots[j] = input(p, args, o.tensor(j + 1, i));
    u.measure();
    u.run([&](double& q, double* s, double g) {
      R::template apply<StdMath>(q, s, g, u.n.k);
      return true;
    });
    if (i >= o.copies) continue;
    const Elements copy = input(p, args, o.copy(i));
    for_each(u.param.meta(), [&](const Dims& at) { copy.set(at, u.param.at(at)); });
  }
  return Status();
}

Status run_assign(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  for (Walk w(p.in[1]); !w.done(); w.next()) {
    move_element(p.in[0].dtype, args.out[0], offset_at(p.in[0].strides, w.index()), args.in[1],
                 w.offset());
  }
  return Status();
}

Status run_assign_add(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const Elements s = output(p, args), v = input(p, args, 1);
  for (Walk w(p.in[1]); !w.done(); w.next()) {
    if (is_floating(p.in[0].dtype)) {
      s.set(w.index(), s.at(w.index()) + v.get(w.offset()));
    } else {
      s.set_int(w.index(), static_cast<int64_t>(static_cast<uint64_t>(s.int_at(w.index())) +
                                                static_cast<uint64_t>(v.get_int(w.offset()))));
    }
  }
  return Status();
}

Status run_unscale(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const double inverse = 1 / input(p, args, 0).get(0);
  bool overflow = false;
  for (int i = 1; i < p.in.size(); ++i) {
    const Elements g = input(p, args, i), y = output(p, args, i);
    for (Walk w(p.in[i]); !w.done(); w.next()) {
      const double v = g.get(w.offset());
      overflow = overflow || !std::isfinite(v);
      y.set(w.index(), v * inverse);
    }
  }
  output(p, args).put(0, overflow);
  return Status();
}

Status run_update_loss_scale(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::LossScaleAttrs>();
  float& scale = *static_cast<float*>(args.out[0]);
  int64_t& good = *static_cast<int64_t*>(args.out[1]);
  if (*static_cast<const bool*>(args.in[2])) {
    scale *= static_cast<float>(a.backoff);
    good = 0;
  } else if (++good >= a.interval) {
    const float grown = scale * static_cast<float>(a.growth);
    if (std::isfinite(grown)) scale = grown;
    good = 0;
  }
  return Status();
}

Status run_global_norm(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  double sum = 0;
  for (int i = 0; i < p.in.size(); ++i) {
    const Elements x = input(p, args, i);
    for (Walk w(p.in[i]); !w.done(); w.next()) sum += x.get(w.offset()) * x.get(w.offset());
  }
  output(p, args).put(0, std::sqrt(sum));
  return Status();
}

}  // namespace

void register_optim_ref() {
#define RUTILE_UPDATE(constant, rule)                                                \
  register_kernel(real_row<run_update<rules::rule, &ops::constant>>(ops::constant)); \
  register_kernel(real_row<run_update<rules::rule, &ops::constant##Multi>>(ops::constant##Multi));
#include "rutile/ops/update_list.inc"
#undef RUTILE_UPDATE
  register_kernel(ref_row<run_assign>(ops::kAssign));
  register_kernel(real_row<run_assign_add>(ops::kAssignAdd));
  register_kernel(real_row<run_unscale>(ops::kUnscaleAndCheck));
  register_kernel(ref_row<run_update_loss_scale>(ops::kUpdateLossScale));
  register_kernel(real_row<run_global_norm>(ops::kGlobalNorm));
}

}  // namespace rutile::kernels
