// SPDX-License-Identifier: Apache-2.0
// Rows of optimizer updates, of one parameter and of many.
#include "rutile/kernels/cuda/update.h"

#include <vector>

#include "rutile/kernels/cuda/copy.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/update.h"

namespace rutile::cuda {
namespace {

using Roles = ops::UpdateOperands;

struct UpdatePlan : Plan {
  Roles roles;
  UpdateKernel kernel;
  AnyAttrs attrs;
  UpdateScalars scalars;
  bool has[4] = {};  // lr, step, skip, gradient scale
  struct Parameter {
    int64_t n = 0;
    bool wide = false;
    DType grad_type = DType::kF32, copy_type = DType::kBF16;
    int64_t grad_at = -1;  // in the workspace: a gradient that lies differently is copied there
    CopyArgs copy;
  };
  std::vector<Parameter> parameters;
  int64_t sums_at = 0, trust_at = 0;  // in the workspace, of a rule with norms
};

char* at(void* base, int64_t offset) { return static_cast<char*>(base) + offset; }

UpdateTensors::Entry& add(const UpdatePlan& p, const KernelArgs& k, int i, UpdateTensors* t) {
  const UpdatePlan::Parameter& q = p.parameters[static_cast<size_t>(i)];
  UpdateTensors::Entry& e = t->add(q.n);
  for (int j = 0; j <= p.roles.slots; ++j) e.p[j] = k.in[p.roles.tensor(j, i)];
  e.p[4] = q.grad_at >= 0 ? at(k.workspace, q.grad_at) : k.in[p.roles.grad(i)];
  if (i < p.roles.copies) e.p[5] = k.in[p.roles.copy(i)];
  e.type = q.grad_type;
  e.number = i;
  return e;
}

// One pass over all parameters of one type, as many launches as they need.
Status run_pass(const UpdatePlan& p, const KernelArgs& k, bool wide,
                int (*launch)(const UpdateArgs&, bool, Stream), int* block_base) {
  UpdateArgs a;
  a.numbers = static_cast<const StepNumbers*>(k.workspace);
  a.sums = reinterpret_cast<double*>(at(k.workspace, p.sums_at));
  a.trust = reinterpret_cast<double*>(at(k.workspace, p.trust_at));
  a.tensors.block_base = *block_base;
  const auto flush = [&]() -> Status {
    if (a.tensors.count > 0) {
      RUTILE_RETURN_IF_ERROR(launch_status(launch(a, wide, k.stream)));
    }
    a.tensors.next_launch();
    return Status();
  };
  for (int i = 0; i < p.roles.count; ++i) {
    const UpdatePlan::Parameter& q = p.parameters[static_cast<size_t>(i)];
    if (q.wide != wide) continue;
    a.copy_type[a.tensors.count] = q.copy_type;
    add(p, k, i, &a.tensors);
    if (a.tensors.full()) RUTILE_RETURN_IF_ERROR(flush());
  }
  RUTILE_RETURN_IF_ERROR(flush());
  *block_base = a.tensors.block_base;
  return Status();
}

Status run_update(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const UpdatePlan&>(plan);
  const int lr = p.roles.lr();
  UpdateScalars s = p.scalars;
  if (p.has[0]) s.lr = k.in[lr];
  if (p.has[1]) s.step = k.in[lr + 1];
  if (p.has[2]) s.skip = k.in[lr + 2];
  if (p.has[3]) s.grad_scale = k.in[lr + 3];
  s.numbers = static_cast<StepNumbers*>(k.workspace);
  RUTILE_RETURN_IF_ERROR(launch_status(p.kernel.numbers(s, p.attrs.get(), k.stream)));
  for (int i = 0; i < p.roles.count; ++i) {
    const UpdatePlan::Parameter& q = p.parameters[static_cast<size_t>(i)];
    if (q.grad_at < 0) continue;
    CopyArgs c = q.copy;
    c.in = k.in[p.roles.grad(i)];
    c.out = at(k.workspace, q.grad_at);
    RUTILE_RETURN_IF_ERROR(launch_status(launch_copy(c, k.stream)));
  }
  int base = 0;
  for (const bool wide : {false, true}) {
    if (p.kernel.measure) {
      RUTILE_RETURN_IF_ERROR(run_pass(p, k, wide, p.kernel.measure, &base));
    }
    int unused = 0;
    RUTILE_RETURN_IF_ERROR(run_pass(p, k, wide, p.kernel.apply, &unused));
  }
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  const Roles r = ops::update_operands(c);
  for (int i = 0; i < r.count; ++i) {
    const TensorMeta& p = c.in(r.tensor(0, i));
    if (!p.is_dense()) {
      reason->text = cat("takes parameters without gaps, not ", p);
      return false;
    }
    for (int k = 1; k <= r.slots; ++k) {
      const TensorMeta& t = c.in(r.tensor(k, i));
      if (same_placement(t, p) && t.dtype == p.dtype) continue;
      reason->text = cat("parameter ", p, " comes with a slot ", t, ", placed differently");
      return false;
    }
    if (i < r.copies && !same_placement(c.in(r.copy(i)), p)) {
      reason->text = cat("parameter ", p, " comes with a copy placed differently");
      return false;
    }
  }
  return true;
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<UpdatePlan>();
  const Roles r = p->roles = ops::update_operands(c);
  p->run = run_update;
  p->kernel = update_kernel(r.family);
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  DType* types[4] = {&p->scalars.lr_type, &p->scalars.step_type, &p->scalars.skip_type,
                     &p->scalars.scale_type};
  for (int i = 0; i < 4; ++i) {
    p->has[i] = c.has(r.lr() + i);
    if (p->has[i]) *types[i] = c.in(r.lr() + i).dtype;
  }
  auto reserve = [&](size_t bytes) {
    const auto offset = static_cast<int64_t>(p->workspace_bytes);
    p->workspace_bytes += (bytes + 255) / 256 * 256;
    return offset;
  };
  reserve(sizeof(StepNumbers));
  size_t blocks = 0;
  for (int i = 0; i < r.count; ++i) {
    const TensorMeta &param = c.in(r.tensor(0, i)), &grad = c.in(r.grad(i));
    UpdatePlan::Parameter q;
    q.n = param.numel();
    q.wide = param.dtype == DType::kF64;
    q.grad_type = grad.dtype;
    if (i < r.copies) q.copy_type = c.in(r.copy(i)).dtype;
    if (!same_placement(param, grad)) {
      const size_t size = dtype_size(grad.dtype);
      q.copy = make_copy(grad.shape, param.strides, grad.strides, static_cast<int>(size));
      q.grad_at = reserve(size * static_cast<size_t>(q.n));
    }
    blocks += static_cast<size_t>((q.n + kChunk - 1) / kChunk);
    p->parameters.push_back(q);
  }
  if (p->kernel.measure) {
    p->sums_at = reserve(2 * sizeof(double) * blocks);
    p->trust_at = reserve(sizeof(double) * static_cast<size_t>(r.count));
  }
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_update() {
  for (const ops::UpdateFamily& f : ops::update_families()) {
    add_row(*f.single, "multi_tensor", prepare, supports);
    add_row(*f.multi, "multi_tensor", prepare, supports);
  }
}

}  // namespace rutile::cuda
