// SPDX-License-Identifier: Apache-2.0
// Rows of CTC.
#include "rutile/kernels/cuda/ctc.h"

#include "rutile/kernels/ctc_shape.h"
#include "rutile/kernels/cuda/host.h"

namespace rutile::cuda {
namespace {

// Operands from input `first` on.
std::unique_ptr<KernelPlan<CtcArgs>> ctc_plan(const CallMeta& c, int first,
                                              void (*bind)(CtcArgs*, const KernelArgs&)) {
  auto p = kernel_plan<CtcArgs>(launch_ctc, bind);
  const kernels::CtcShape s = kernels::ctc_shape(c, first);
  CtcArgs& a = p->args;
  a.backward = first > 0;
  a.padded = s.padded;
  a.n = s.n;
  a.steps = s.steps;
  a.classes = s.classes;
  a.blank = s.blank;
  a.room = s.room;
  a.labels = s.labels;
  a.step_stride = s.step_stride;
  a.n_stride = s.n_stride;
  a.class_stride = s.class_stride;
  a.type = c.in(first).dtype;
  a.target_type = c.in(first + 1).dtype;
  a.input_type = c.in(first + 2).dtype;
  a.length_type = c.in(first + 3).dtype;
  a.twice = c.op == &ops::kCtcNllGradGrad;
  p->workspace_bytes = static_cast<size_t>(a.n * a.rows() * a.places()) * sizeof(double);
  return p;
}

int64_t step_of(const TensorMeta& m) { return m.rank() == 0 ? 0 : m.strides[0]; }

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = ctc_plan(c, 0, [](CtcArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->targets = k.in[1];
    a->inputs = k.in[2];
    a->lengths = k.in[3];
    a->nll = k.out[0];
    a->workspace = static_cast<double*>(k.workspace);
    a->fault = fault_slot(k.stream);
  });
  p->args.nll_type = c.out().dtype;
  p->args.nll_stride = step_of(c.out());
  *plan = std::move(p);
  return Status();
}

// dx, and the inputs dy and nll.
void set_gradient(const CallMeta& c, int dy, int nll, CtcArgs* a) {
  const TensorMeta& dx = c.out();
  a->dx_step = dx.strides[0];
  a->dx_n = dx.rank() == 2 ? 0 : dx.strides[1];
  a->dx_class = dx.strides[dx.rank() - 1];
  a->dy_type = c.in(dy).dtype;
  a->dy_stride = step_of(c.in(dy));
  a->nll_type = c.in(nll).dtype;
  a->nll_stride = step_of(c.in(nll));
}

Status prepare_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = ctc_plan(c, 1, [](CtcArgs* a, const KernelArgs& k) {
    a->dy = k.in[0];
    a->x = k.in[1];
    a->targets = k.in[2];
    a->inputs = k.in[3];
    a->lengths = k.in[4];
    a->nll_in = k.in[5];
    a->dx = k.out[0];
    a->workspace = static_cast<double*>(k.workspace);
    a->fault = fault_slot(k.stream);
  });
  set_gradient(c, 0, 5, &p->args);
  *plan = std::move(p);
  return Status();
}

Status prepare_grad_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = ctc_plan(c, 2, [](CtcArgs* a, const KernelArgs& k) {
    a->u = k.in[0];
    a->dy = k.in[1];
    a->x = k.in[2];
    a->targets = k.in[3];
    a->inputs = k.in[4];
    a->lengths = k.in[5];
    a->nll_in = k.in[6];
    a->dx = k.out[0];
    a->ddy = k.out[1];
    a->workspace = static_cast<double*>(k.workspace);
    a->fault = fault_slot(k.stream);
  });
  CtcArgs& a = p->args;
  set_gradient(c, 1, 6, &a);
  const TensorMeta& u = c.in(0);
  a.u_step = u.strides[0];
  a.u_n = u.rank() == 2 ? 0 : u.strides[1];
  a.u_class = u.strides[u.rank() - 1];
  a.ddy_stride = step_of(c.out(1));
  *plan = std::move(p);
  return Status();
}

// Lengths and targets without gaps.
bool supports(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  const int first = c.op == &ops::kCtcNllGradGrad ? 2 : c.op == &ops::kCtcNllGrad ? 1 : 0;
  for (int i = first + 1; i < first + 4; ++i) {
    if (c.in(i).is_contiguous()) continue;
    reason->text = "takes row-major targets and lengths only";
    return false;
  }
  if (c.out().dtype != c.in(first).dtype && first > 0) {
    reason->text = "writes a gradient of log_probs' type";
    return false;
  }
  if (first == 2 && (c.in(0).dtype != c.in(2).dtype || c.out(1).dtype != c.in(1).dtype)) {
    reason->text = "takes and writes gradients of the types of what they are by";
    return false;
  }
  return true;
}

}  // namespace

void register_ctc() {
  add_row(ops::kCtcNll, "block", prepare, supports);
  add_row(ops::kCtcNllGrad, "block", prepare_grad, supports);
  add_row(ops::kCtcNllGradGrad, "block", prepare_grad_grad, supports);
}

}  // namespace rutile::cuda
