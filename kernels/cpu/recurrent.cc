// SPDX-License-Identifier: Apache-2.0
// Rows of recurrent layers: f32. Every other dtype runs as the definition.
#include "rutile/kernels/cpu/recurrent.h"

#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

using ops::kRecurrent;
using ops::kRecurrentGrad;

constexpr double kProductNs = 0.02, kGateNs = 0.5;

struct RecurrentPlan : Plan {
  RecurrentShape shape;
  RecurrentKernels kernels;
};

bool supports(const CallMeta& c, Reason* reason) {
  if (isa() == Isa::kBaseline) return refuse(reason, "needs AVX2");
  constexpr int kProjection = 6;
  if (c.op == &kRecurrent && c.has(kProjection)) return refuse(reason, "takes no projection");
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (!c.has(i)) continue;
    const TensorMeta& m = c.in(i);
    if (m.dtype != DType::kF32 && m.dtype != DType::kI64) {
      return refuse(reason, cat("takes f32, not ", m.dtype));
    }
    if (!m.is_contiguous()) return refuse(reason, cat(c.op->input_name(i), " is not row-major"));
  }
  return true;
}

template <class T>
T* at(void* const* pointers, int i) {
  return static_cast<T*>(pointers[i]);
}

Status run_forward(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const RecurrentPlan&>(plan);
  RecurrentArgs a{};
  a.gx = at<float>(args.in, 0);
  a.h0 = at<float>(args.in, 1);
  a.weight = at<float>(args.in, 2);
  a.c0 = at<float>(args.in, 3);
  a.bias = at<float>(args.in, 4);
  a.lengths = at<int64_t>(args.in, 5);
  a.y = at<float>(args.out, 0);
  a.h = at<float>(args.out, 1);
  a.c = at<float>(args.out, 2);
  a.gates = at<float>(args.out, 3);
  a.cells = at<float>(args.out, 4);
  a.workspace = static_cast<float*>(args.workspace);
  p.kernels.forward(p.shape, a);
  return Status();
}

Status run_backward(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const RecurrentPlan&>(plan);
  RecurrentArgs a{};
  a.y = at<float>(args.in, 0);
  a.gates = at<float>(args.in, 1);
  a.cells = at<float>(args.in, 2);
  a.h0 = at<float>(args.in, 3);
  a.weight = at<float>(args.in, 4);
  a.c0 = at<float>(args.in, 5);
  a.lengths = at<int64_t>(args.in, 6);
  a.dy = at<float>(args.in, 7);
  a.dh = at<float>(args.in, 8);
  a.dc = at<float>(args.in, 9);
  a.dgx = at<float>(args.out, 0);
  a.dgh = at<float>(args.out, 1);
  a.dh0 = at<float>(args.out, 2);
  a.dc0 = at<float>(args.out, 3);
  a.workspace = static_cast<float*>(args.workspace);
  p.kernels.backward(p.shape, a);
  return Status();
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<RecurrentPlan>();
  const bool forward = c.op == &kRecurrent;
  const TensorMeta& y = forward ? c.out(0) : c.in(0);
  const auto& attrs = c.as<ops::RecurrentAttrs>();
  RecurrentShape& s = p->shape;
  s.kind = attrs.kind;
  s.reverse = attrs.reverse;
  s.steps = y.dim(0);
  s.rows = y.dim(1);
  s.width = y.dim(2);
  p->kernels = RUTILE_CHOOSE_ISA(recurrent_kernels);
  // Threads meet after every step.
  const double gates = static_cast<double>(ops::gates_of(s.kind) * s.width * s.rows);
  const double ns = gates * (kProductNs * static_cast<double>(s.width) + kGateNs);
  const int64_t parts = forward ? p->kernels.forward_parts(s) : p->kernels.backward_parts(s);
  s.threads = static_cast<int>(std::min<int64_t>(threads_for(ns), std::max<int64_t>(parts, 1)));
  const int64_t floats =
      forward ? p->kernels.forward_workspace(s) : p->kernels.backward_workspace(s);
  p->workspace_bytes = static_cast<size_t>(floats) * sizeof(float);
  p->run = forward ? run_forward : run_backward;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_recurrent_cpu() {
  for (const OpDef* op : {&kRecurrent, &kRecurrentGrad}) {
    KernelRow row;
    row.op = op;
    row.name = "recurrent";
    row.supports = supports;
    row.prepare = prepare;
    register_kernel(row);
  }
}

}  // namespace rutile::kernels
