// SPDX-License-Identifier: Apache-2.0
// nll_loss of row-major log-probabilities: one read by label.
#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/loss.h"

namespace rutile::kernels {
namespace {

constexpr int64_t kPiece = 4096;  // labels that are summed together, whatever the threads

struct NllPlan : Plan {
  int64_t labels = 0, classes = 0, inner = 1;
  int64_t ignored = 0;
  Reduction reduction = Reduction::kMean;
  bool label64 = true;
  Shape shape;  // of the labels

  int64_t label(const void* p, int64_t i) const {
    return label64 ? static_cast<const int64_t*>(p)[i] : static_cast<const int32_t*>(p)[i];
  }
};

struct Sums {
  double loss = 0, weight = 0;
};

template <class T>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const NllPlan&>(plan);
  const T* x = static_cast<const T*>(args.in[0]);
  const T* weights = static_cast<const T*>(args.in[2]);
  T* y = static_cast<T*>(args.out[0]);
  auto* sums = static_cast<Sums*>(args.workspace);
  const int64_t pieces = (p.labels + kPiece - 1) / kPiece;
  constexpr double kLabelNs = 4;  // it lies far from the last one
  FirstBad bad;
  parallel_for(0, pieces, grain_for(kLabelNs * kPiece), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      Sums sum;
      for (int64_t i = k * kPiece; i < std::min(p.labels, (k + 1) * kPiece); ++i) {
        const int64_t label = p.label(args.in[1], i);
        const bool counts = label != p.ignored;
        if (counts && (label < 0 || label >= p.classes)) {
          bad.report(i);
          break;
        }
        T loss = 0, weight = 0;
        if (counts) {
          weight = weights ? weights[label] : T(1);
          loss = -x[(i / p.inner * p.classes + label) * p.inner + i % p.inner] * weight;
        }
        if (p.reduction == Reduction::kNone) y[i] = loss;
        sum.loss += static_cast<double>(loss);
        sum.weight += static_cast<double>(weight);
      }
      if (p.reduction != Reduction::kNone) sums[k] = sum;
    }
  });
  if (bad.any()) {
    return index_out_of_range("index", p.label(args.in[1], bad.at()),
                              position_of(bad.at(), p.shape), p.classes, false);
  }
  if (p.reduction == Reduction::kNone) return Status();
  Sums all;
  for (int64_t k = 0; k < pieces; ++k) {
    all.loss += sums[k].loss;
    all.weight += sums[k].weight;
  }
  *y = static_cast<T>(p.reduction == Reduction::kMean ? all.loss / all.weight : all.loss);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  const DType t = c.in(0).dtype;
  bool fits = (t == DType::kF32 || t == DType::kF64) && (!c.has(2) || c.in(2).dtype == t);
  for (const TensorMeta* m : c.inputs) fits = fits && (!m || m->is_contiguous());
  if (!fits) reason->text = "takes row-major tensors, f32 or f64";
  return fits;
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& a = c.as<ops::NllLossAttrs>();
  const TensorMeta &x = c.in(0), &labels = c.in(1);
  auto p = std::make_unique<NllPlan>();
  const int axis = x.rank() == 1 ? 0 : 1;
  p->labels = labels.numel();
  p->shape = labels.shape;
  p->classes = x.dim(axis);
  p->inner = std::max<int64_t>(product(x.shape, axis + 1, x.rank()), 1);
  p->ignored = a.ignore_index;
  p->reduction = a.reduction;
  p->label64 = labels.dtype == DType::kI64;
  p->workspace_bytes = static_cast<size_t>(p->labels / kPiece + 1) * sizeof(Sums);
  p->run = x.dtype == DType::kF64 ? run<double> : run<float>;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_nll_loss_cpu() {
  register_kernel(
      {.op = &ops::kNllLoss, .name = "labels", .supports = supports, .prepare = prepare});
}

}  // namespace rutile::kernels
