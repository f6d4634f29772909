// SPDX-License-Identifier: Apache-2.0
// Reference kernels of optimizer updates, in double.
#include "rutile/ops/optim.h"

#include <cmath>

#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

// One parameter's tensors, all with their own strides.
struct Group {
  Elements param, slot1, slot2, grad;
};

// Calls f(index, param, grad) for each element.
template <class F>
void for_each(const Group& g, F&& f) {
  for (Walk w(g.param.meta()); !w.done(); w.next()) {
    const Dims& at = w.index();
    f(at, g.param.at(at), g.grad.at(at));
  }
}

bool skipped(const Elements& skip) { return skip && skip.get(0) != 0; }

void sgd(const Group& g, double lr, double decay) {
  for_each(g,
           [&](const Dims& at, double p, double d) { g.param.set(at, p - lr * (d + decay * p)); });
}

template <class A>
void momentum(const Group& g, const A& a, double lr, bool first) {
  for_each(g, [&](const Dims& at, double p, double d) {
    d += a.weight_decay * p;
    const double v = first ? d : a.momentum * g.slot1.at(at) + (1 - a.dampening) * d;
    g.slot1.set(at, v);
    g.param.set(at, p - lr * (a.nesterov ? d + a.momentum * v : v));
  });
}

template <class A>
void adam(const Group& g, const A& a, double lr, double step, bool decoupled) {
  const double c1 = 1 - std::pow(a.beta1, step), c2 = 1 - std::pow(a.beta2, step);
  for_each(g, [&](const Dims& at, double p, double d) {
    if (decoupled) {
      p *= 1 - lr * a.weight_decay;
    } else {
      d += a.weight_decay * p;
    }
    const double m = a.beta1 * g.slot1.at(at) + (1 - a.beta1) * d;
    const double v = a.beta2 * g.slot2.at(at) + (1 - a.beta2) * d * d;
    g.slot1.set(at, m);
    g.slot2.set(at, v);
    g.param.set(at, p - lr * (m / c1) / (std::sqrt(v / c2) + a.eps));
  });
}

Status run_sgd(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::SgdAttrs>();
  if (skipped(input(p, args, 3))) return Status();
  const Group g{input(p, args, 0), {}, {}, input(p, args, 1)};
  sgd(g, input(p, args, 2).get(0) * a.lr_scale, a.weight_decay);
  return Status();
}

Status run_momentum(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::MomentumAttrs>();
  if (skipped(input(p, args, 5))) return Status();
  const Elements step = input(p, args, 4);
  const Group g{input(p, args, 0), input(p, args, 1), {}, input(p, args, 2)};
  momentum(g, a, input(p, args, 3).get(0) * a.lr_scale, step && step.get(0) == 1);
  return Status();
}

template <bool kDecoupled>
Status run_adam(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::AdamAttrs>();
  if (skipped(input(p, args, 6))) return Status();
  const Group g{input(p, args, 0), input(p, args, 1), input(p, args, 2), input(p, args, 4)};
  adam(g, a, input(p, args, 5).get(0) * a.lr_scale, input(p, args, 3).get(0), kDecoupled);
  return Status();
}

// Tensors of parameter i of a multi op.
Group group_at(const RefPlan& p, const KernelArgs& args, int first, int slots, int count, int i) {
  auto part = [&](int k) { return input(p, args, first + k * count + i); };
  return {part(0), slots > 0 ? part(1) : Elements(), slots > 1 ? part(2) : Elements(),
          part(slots + 1)};
}

Status run_sgd_multi(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::SgdMultiAttrs>();
  if (skipped(input(p, args, 1))) return Status();
  const int n = static_cast<int>(a.count);
  for (int i = 0; i < n; ++i) {
    sgd(group_at(p, args, 2, 0, n, i), input(p, args, 0).get(0) * a.lr_scale, a.weight_decay);
  }
  return Status();
}

Status run_momentum_multi(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::MomentumMultiAttrs>();
  if (skipped(input(p, args, 2))) return Status();
  const Elements step = input(p, args, 1);
  const int n = static_cast<int>(a.count);
  for (int i = 0; i < n; ++i) {
    momentum(group_at(p, args, 3, 1, n, i), a, input(p, args, 0).get(0) * a.lr_scale,
             step && step.get(0) == 1);
  }
  return Status();
}

template <bool kDecoupled>
Status run_adam_multi(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::AdamMultiAttrs>();
  if (skipped(input(p, args, 2))) return Status();
  const int n = static_cast<int>(a.count);
  for (int i = 0; i < n; ++i) {
    adam(group_at(p, args, 3, 2, n, i), a, input(p, args, 0).get(0) * a.lr_scale,
         input(p, args, 1).get(0), kDecoupled);
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
  register_kernel(ref_row<run_sgd>(ops::kSgd));
  register_kernel(ref_row<run_momentum>(ops::kMomentum));
  register_kernel(ref_row<run_adam<false>>(ops::kAdam));
  register_kernel(ref_row<run_adam<true>>(ops::kAdamW));
  register_kernel(ref_row<run_sgd_multi>(ops::kSgdMulti));
  register_kernel(ref_row<run_momentum_multi>(ops::kMomentumMulti));
  register_kernel(ref_row<run_adam_multi<false>>(ops::kAdamMulti));
  register_kernel(ref_row<run_adam_multi<true>>(ops::kAdamWMulti));
  register_kernel(ref_row<run_assign>(ops::kAssign));
  register_kernel(ref_row<run_assign_add>(ops::kAssignAdd));
  register_kernel(ref_row<run_unscale>(ops::kUnscaleAndCheck));
  register_kernel(ref_row<run_update_loss_scale>(ops::kUpdateLossScale));
  register_kernel(ref_row<run_global_norm>(ops::kGlobalNorm));
}

}  // namespace rutile::kernels
