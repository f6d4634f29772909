// SPDX-License-Identifier: Apache-2.0
// Rows of softmax and of cross entropy.
#include "rutile/kernels/cuda/softmax.h"

#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/index_range.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/softmax.h"

namespace rutile::cuda {
namespace {

// Rows along the axis lie beside each other.
bool in_columns(const TensorMeta& m, int axis) {
  if (m.shape[axis] <= 1) return false;
  for (int d = 0; d < m.rank(); ++d) {
    if (d != axis && m.shape[d] >= 8 && m.strides[d] == 1) return true;
  }
  return false;
}

template <bool kLog>
Status prepare_softmax(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const bool backward = c.op == &ops::kSoftmaxGrad || c.op == &ops::kLogSoftmaxGrad;
  auto p = kernel_plan<SoftmaxArgs>(backward ? launch_softmax_grad : launch_softmax,
                                    [](SoftmaxArgs* a, const KernelArgs& k) {
                                      a->in[0] = k.in[0];
                                      a->in[1] = k.in[1];
                                      a->out = k.out[0];
                                    });
  if (!backward) {
    p->bind = [](SoftmaxArgs* a, const KernelArgs& k) {
      a->in[0] = k.in[0];
      a->out = k.out[0];
    };
  }
  SoftmaxArgs& a = p->args;
  const TensorMeta &x = c.in(0), &other = backward ? c.in(1) : c.in(0), &y = c.out();
  const int axis = kernels::axis_of(c.as<ops::SoftmaxAttrs>().axis, x.rank());
  const TensorMeta* metas[3] = {&x, &other, &y};
  Strides strides[3];
  for (int i = 0; i < 3; ++i) {
    strides[i] = without(metas[i]->strides, axis);
    a.step[i] = metas[i]->strides[axis];
  }
  a.in_type[0] = x.dtype;
  a.in_type[1] = other.dtype;
  a.out_type = y.dtype;
  a.n = x.shape[axis];
  a.rows = a.n == 0 ? 0 : x.numel() / a.n;
  a.index = make_indexer<3>(without(x.shape, axis), strides);
  a.group = group_shape(a.n, in_columns(x, axis));
  a.log = kLog;
  p->may_overwrite = like_output(c, backward ? 2 : 1);
  *plan = std::move(p);
  return Status();
}

// What both directions share; `at` is the number of the logits.
template <class Bind>
std::unique_ptr<KernelPlan<CrossEntropyArgs>> loss_plan(const CallMeta& c, int at, Bind bind) {
  const auto& attrs = c.as<ops::CrossEntropyAttrs>();
  const bool backward = at == 1;
  auto p = kernel_plan<CrossEntropyArgs>(
      backward ? launch_cross_entropy_grad : launch_cross_entropy, bind);
  CrossEntropyArgs& a = p->args;
  const TensorMeta &x = c.in(at), &labels = c.in(at + 1);
  const int axis = x.rank() == 1 ? 0 : 1;
  const int weight = backward ? 4 : 2;
  a.x_type = x.dtype;
  a.label_type = labels.dtype;
  a.rows = labels.numel();
  a.classes = x.shape[axis];
  a.step = x.strides[axis];
  if (c.has(weight)) {
    a.weight_type = c.in(weight).dtype;
    a.weight_step = c.in(weight).strides[0];
  }
  a.group = group_shape(a.classes, in_columns(x, axis));
  a.smoothing = attrs.label_smoothing;
  a.ignore = attrs.ignore_index;
  a.reduce = attrs.reduction == Reduction::kNone   ? CrossEntropyArgs::kNone
             : attrs.reduction == Reduction::kMean ? CrossEntropyArgs::kMean
                                                   : CrossEntropyArgs::kSum;
  const TensorMeta& lse = backward ? c.in(3) : c.out(1);
  const TensorMeta& loss = backward ? c.in(0) : c.out(0);
  a.lse_type = lse.dtype;
  (backward ? a.grad_type : a.loss_type) = loss.dtype;
  const bool single = a.reduce != CrossEntropyArgs::kNone;
  const Strides strides[4] = {without(x.strides, axis), labels.strides, lse.strides,
                              single ? Strides::filled(labels.rank(), 0) : loss.strides};
  a.index = make_indexer<4>(labels.shape, strides);
  return p;
}

Status prepare_cross_entropy(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = loss_plan(c, 0, [](CrossEntropyArgs* a, const KernelArgs& k) {
    a->x = k.in[0];
    a->labels = k.in[1];
    a->weight = k.in[2];
    a->loss = k.out[0];
    a->lse = k.out[1];
    a->terms = k.workspace;
    a->weights = static_cast<double*>(k.workspace) + a->rows;
    a->fault = fault_slot(k.stream);
  });
  if (p->args.reduce != CrossEntropyArgs::kNone) {
    p->workspace_bytes = 2 * sizeof(double) * static_cast<size_t>(p->args.rows);
  }
  *plan = std::move(p);
  return Status();
}

Status prepare_cross_entropy_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = loss_plan(c, 1, [](CrossEntropyArgs* a, const KernelArgs& k) {
    a->grad = k.in[0];
    a->x = k.in[1];
    a->labels = k.in[2];
    a->lse_in = k.in[3];
    a->weight = k.in[4];
    a->dx = k.out[0];
    a->totals = k.workspace;
    a->fault = fault_slot(k.stream);
  });
  const TensorMeta& dx = c.out();
  const int axis = dx.rank() == 1 ? 0 : 1;
  p->args.dx_type = dx.dtype;
  p->args.dx_step = dx.strides[axis];
  const Strides strides[1] = {without(dx.strides, axis)};
  p->args.dx_index = make_indexer<1>(without(dx.shape, axis), strides);
  p->workspace_bytes = 2 * sizeof(double);
  p->may_overwrite = like_output(c, 2) & 2u;  // the logits
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_softmax() {
  add_row(ops::kSoftmax, "rows", prepare_softmax<false>);
  add_row(ops::kLogSoftmax, "rows", prepare_softmax<true>);
  add_row(ops::kSoftmaxGrad, "rows", prepare_softmax<false>);
  add_row(ops::kLogSoftmaxGrad, "rows", prepare_softmax<true>);
}

void register_loss() {
  add_row(ops::kCrossEntropy, "rows", prepare_cross_entropy);
  add_row(ops::kCrossEntropyGrad, "rows", prepare_cross_entropy_grad);
}

}  // namespace rutile::cuda
