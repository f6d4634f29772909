// SPDX-License-Identifier: Apache-2.0
// Rows of softmax, cross entropy, layer_norm and rms_norm for f32 and bf16.
#include "rutile/kernels/cpu/rows.h"
#include "rutile/kernels/cpu/fast_types.h"
#include "rutile/kernels/cpu/planning.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/softmax.h"

namespace rutile::kernels {
namespace {

// Nanoseconds per element.
constexpr double kSoftmaxNs = 0.2, kEntropyNs = 0.2, kNormNs = 0.13;

// Plan::may_overwrite for inputs [0, n): those placed exactly as output 0.
uint32_t like_output(const CallMeta& c, int n) {
  uint32_t mask = 0;
  for (int i = 0; i < n; ++i) {
    const TensorMeta &x = c.in(i), &y = c.out();
    if (x.shape == y.shape && x.strides == y.strides && x.dtype == y.dtype) mask |= 1u << i;
  }
  return mask;
}

void add_row(const OpDef& op, bool (*supports)(const CallMeta&, Reason*),
             Status (*prepare)(const CallMeta&, std::unique_ptr<Plan>*)) {
  register_kernel({.op = &op, .name = "simd", .supports = supports, .prepare = prepare});
}

// ---- softmax ------------------------------------------------------------------------------------

struct SoftmaxPlan : Plan {
  SoftmaxKernels kernels;
  int64_t outer = 0, n = 0, inner = 1;
  int size = 4;
};

// Calls f(offset, columns begin, end) of pieces of the [outer, n, inner] block.
template <class F>
void for_columns(const SoftmaxPlan& p, F&& f) {
  constexpr int64_t kColumns = 64;
  const int64_t pieces = (p.inner + kColumns - 1) / kColumns;
  parallel_for(0, p.outer * pieces, grain_for(kSoftmaxNs * static_cast<double>(p.n * kColumns)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t c = i % pieces * kColumns;
                   f(i / pieces * p.n * p.inner * p.size, c, std::min(c + kColumns, p.inner));
                 }
               });
}

template <bool kBackward>
Status run_softmax(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const SoftmaxPlan&>(plan);
  const char* a = static_cast<const char*>(args.in[0]);
  const char* b = kBackward ? static_cast<const char*>(args.in[1]) : nullptr;
  char* y = static_cast<char*>(args.out[0]);
  if (p.inner > 1) {
    for_columns(p, [&](int64_t at, int64_t begin, int64_t end) {
      if (kBackward) {
        p.kernels.backward_columns(a + at, b + at, y + at, p.n, p.inner, begin, end);
      } else {
        p.kernels.forward_columns(a + at, y + at, p.n, p.inner, begin, end);
      }
    });
    return Status();
  }
  parallel_for(0, p.outer, grain_for(kSoftmaxNs * static_cast<double>(p.n)),
               [&](int64_t begin, int64_t end) {
                 const int64_t at = begin * p.n * p.size;
                 if (kBackward) {
                   p.kernels.backward(a + at, b + at, y + at, end - begin, p.n);
                 } else {
                   p.kernels.forward(a + at, y + at, end - begin, p.n);
                 }
               });
  return Status();
}

int axis_of(const CallMeta& c) {
  const int64_t axis = c.as<ops::SoftmaxAttrs>().axis;
  return static_cast<int>(axis < 0 ? axis + c.in(0).rank() : axis);
}

bool supports_softmax(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(0);
  if (!is_fast_type(x.dtype, reason)) return false;
  if (x.numel() == 0) return refuse(reason, "is empty");
  const bool rows = x.layout == kStrided && x.is_dense() && x.strides[axis_of(c)] == 1;
  if (!rows && !x.is_contiguous()) return refuse(reason, "takes row-major tensors");
  for (const TensorMeta* m : c.inputs) {
    if (!same_placement(*m, c.out())) return refuse(reason, "operands are placed differently");
  }
  return true;
}

template <bool kLog, bool kBackward>
Status prepare_softmax(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<SoftmaxPlan>();
  const TensorMeta& x = c.in(0);
  const int axis = axis_of(c);
  const bool bf16 = x.dtype == DType::kBF16;
  p->kernels = RUTILE_CHOOSE_ISA(softmax_kernels, kLog, bf16);
  p->n = x.dim(axis);
  p->size = static_cast<int>(dtype_size(x.dtype));
  if (x.strides[axis] != 1) {
    for (int i = axis + 1; i < x.rank(); ++i) p->inner *= x.dim(i);
  }
  p->outer = x.numel() / (p->n * p->inner);
  p->may_overwrite = like_output(c, kBackward ? 2 : 1);
  p->run = run_softmax<kBackward>;
  *plan = std::move(p);
  return Status();
}

// ---- cross_entropy ------------------------------------------------------------------------------

struct CrossEntropyPlan : Plan {
  CrossEntropyKernels kernels;
  CrossEntropyArgs args;  // what does not depend on the run
  Shape label_shape;
  Reduction reduction = Reduction::kMean;
  bool weighted = false, columns = false;
  int64_t outer = 0, inner = 0;  // columns: labels are outer x inner
  int size = 4;
  int64_t rows() const { return label_shape.numel(); }
};

// Fills in weights, and the sum of the weights of all labels; kIndex for one that is no class.
Status check_labels(const CrossEntropyPlan& p, CrossEntropyArgs* a, double* norm) {
  *norm = 0;
  double total = 0;
  for (int64_t k = 0; k < a->classes; ++k) total += a->weight ? a->weight[k] : 1.0;
  a->total_weight = static_cast<float>(total);
  const int64_t n = p.rows();
  for (int64_t r = 0; r < n; ++r) {
    const int64_t y = a->labels64 ? static_cast<const int64_t*>(a->labels)[r]
                                  : static_cast<const int32_t*>(a->labels)[r];
    if (y == a->ignore) continue;
    if (resolve_index(y, a->classes, false) < 0) {
      return index_out_of_range("label", y, position_of(r, p.label_shape), a->classes, false);
    }
    *norm += a->weight ? a->weight[y] : 1.0;
  }
  return Status();
}

template <bool kBackward>
void run_rows(const CrossEntropyPlan& p, const CrossEntropyArgs& args) {
  const int64_t grain = grain_for(kEntropyNs * static_cast<double>(args.classes));
  if (!p.columns) {
    parallel_for(0, p.rows(), grain, [&](int64_t begin, int64_t end) {
      (kBackward ? p.kernels.backward : p.kernels.forward)(args, begin, end);
    });
    return;
  }
  constexpr int64_t kColumns = 64;
  const int64_t pieces = (p.inner + kColumns - 1) / kColumns;
  parallel_for(
      0, p.outer * pieces, std::max<int64_t>(1, grain / kColumns), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t o = i / pieces, c = i % pieces * kColumns;
          const int64_t at = o * p.inner * args.classes * p.size;
          CrossEntropyArgs a = args;
          a.logits = static_cast<const char*>(args.logits) + at;
          a.labels = static_cast<const char*>(args.labels) + o * p.inner * (args.labels64 ? 8 : 4);
          a.lse += o * p.inner;
          if (kBackward) {
            a.dlogits = static_cast<char*>(args.dlogits) + at;
            if (a.grad_each) a.grad += o * p.inner;
          } else {
            a.loss += o * p.inner;
          }
          const int64_t e = std::min(c + kColumns, p.inner);
          (kBackward ? p.kernels.backward_columns : p.kernels.forward_columns)(a, c, e);
        }
      });
}

Status run_cross_entropy(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const CrossEntropyPlan&>(plan);
  CrossEntropyArgs a = p.args;
  a.logits = args.in[0];
  a.labels = args.in[1];
  if (p.weighted) a.weight = static_cast<const float*>(args.in[2]);
  double norm = 0;
  RUTILE_RETURN_IF_ERROR(check_labels(p, &a, &norm));
  const bool each = p.reduction == Reduction::kNone;
  float* result = static_cast<float*>(args.out[0]);
  a.loss = each ? result : static_cast<float*>(args.workspace);
  a.lse = static_cast<float*>(args.out[1]);
  run_rows<false>(p, a);
  if (each) return Status();
  double sum = 0;
  for (int64_t r = 0; r < p.rows(); ++r) sum += a.loss[r];
  *result = static_cast<float>(p.reduction == Reduction::kMean ? sum / norm : sum);
  return Status();
}

Status run_cross_entropy_grad(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const CrossEntropyPlan&>(plan);
  CrossEntropyArgs a = p.args;
  a.grad = static_cast<const float*>(args.in[0]);
  a.logits = args.in[1];
  a.labels = args.in[2];
  a.lse = static_cast<float*>(args.in[3]);
  if (p.weighted) a.weight = static_cast<const float*>(args.in[4]);
  a.dlogits = args.out[0];
  double norm = 0;
  RUTILE_RETURN_IF_ERROR(check_labels(p, &a, &norm));
  a.grad_each = p.reduction == Reduction::kNone;
  a.scale = p.reduction == Reduction::kMean ? static_cast<float>(1 / norm) : 1.0f;
  run_rows<true>(p, a);
  return Status();
}

template <bool kBackward>
bool supports_cross_entropy(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(kBackward ? 1 : 0);
  if (!is_fast_type(x.dtype, reason)) return false;
  if (x.numel() == 0) return refuse(reason, "is empty");
  const int axis = x.rank() == 1 ? 0 : 1;
  if (x.dim(axis) > std::numeric_limits<int32_t>::max()) return refuse(reason, "too many classes");
  const bool rows = x.is_channels_last() || x.is_contiguous();
  if (!rows) return refuse(reason, "takes row-major and channels-last logits");
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (i != (kBackward ? 1 : 0) && c.has(i) && !c.in(i).is_contiguous()) {
      return refuse(reason, cat(c.op->input_name(i), " is not row-major"));
    }
  }
  if (kBackward && !same_placement(x, c.out())) return refuse(reason, "placed differently");
  return true;
}

template <bool kBackward>
Status prepare_cross_entropy(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<CrossEntropyPlan>();
  const auto& attrs = c.as<ops::CrossEntropyAttrs>();
  const TensorMeta &x = c.in(kBackward ? 1 : 0), &labels = c.in(kBackward ? 2 : 1);
  const bool bf16 = x.dtype == DType::kBF16;
  p->kernels = RUTILE_CHOOSE_ISA(cross_entropy_kernels, bf16);
  p->label_shape = labels.shape;
  p->reduction = attrs.reduction;
  p->size = static_cast<int>(dtype_size(x.dtype));
  CrossEntropyArgs& a = p->args;
  a.labels64 = labels.dtype == DType::kI64;
  p->weighted = c.has(kBackward ? 4 : 2);
  a.classes = x.dim(x.rank() == 1 ? 0 : 1);
  a.ignore = attrs.ignore_index;
  a.smoothing = static_cast<float>(attrs.label_smoothing);
  // Row-major logits of images: the classes of a pixel lie apart.
  const int64_t pixels = x.numel() / (a.classes * (x.rank() == 1 ? 1 : x.dim(0)));
  if (pixels > 1 && !x.is_channels_last()) {
    p->columns = true;
    p->outer = x.dim(0);
    p->inner = a.stride = pixels;
  }
  if (!kBackward && p->reduction != Reduction::kNone) {
    p->workspace_bytes = static_cast<size_t>(p->rows()) * sizeof(float);
  }
  if (kBackward) p->may_overwrite = like_output(c, 2) & 2u;  // the logits
  p->run = kBackward ? run_cross_entropy_grad : run_cross_entropy;
  *plan = std::move(p);
  return Status();
}

// ---- layer_norm, rms_norm -----------------------------------------------------------------------

struct NormPlan : Plan {
  NormKernels kernels;
  int64_t rows = 0, width = 0;
  double eps = 0;
  int weight = -1, bias = -1;  // inputs, -1 if absent
  bool weight_bf16 = false, bias_bf16 = false;
  int threads = 1;
};

// A scale in f32, widened into the workspace if it is bf16.
const float* scale_of(const KernelArgs& args, int i, bool bf16, int64_t n, float** workspace) {
  if (i < 0) return nullptr;
  if (!bf16) return static_cast<const float*>(args.in[i]);
  const auto* h = static_cast<const BFloat16*>(args.in[i]);
  float* w = *workspace;
  *workspace += n;
  for (int64_t k = 0; k < n; ++k) w[k] = h[k];
  return w;
}

template <bool kRms>
Status run_norm(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const NormPlan&>(plan);
  float* workspace = static_cast<float*>(args.workspace);
  NormArgs a;
  a.x = args.in[0];
  a.weight = scale_of(args, p.weight, p.weight_bf16, p.width, &workspace);
  a.bias = scale_of(args, p.bias, p.bias_bf16, p.width, &workspace);
  a.width = p.width;
  a.eps = p.eps;
  a.y = args.out[0];
  if (!kRms) a.mean = static_cast<float*>(args.out[1]);
  a.rstd = static_cast<float*>(args.out[kRms ? 1 : 2]);
  parallel_for(0, p.rows, grain_for(kNormNs * static_cast<double>(p.width)),
               [&](int64_t begin, int64_t end) { p.kernels.forward(a, begin, end); });
  return Status();
}

// Each thread sums its rows' share of dweight and dbias apart; they are added in order.
template <bool kRms>
Status run_norm_grad(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const NormPlan&>(plan);
  float* workspace = static_cast<float*>(args.workspace);
  NormArgs a;
  a.grad = args.in[0];
  a.x = args.in[1];
  if (!kRms) a.mean = static_cast<float*>(args.in[2]);
  a.rstd = static_cast<float*>(args.in[kRms ? 2 : 3]);
  a.weight = scale_of(args, p.weight, p.weight_bf16, p.width, &workspace);
  a.width = p.width;
  a.dx = args.out[0];
  const int64_t n = p.width, share = (p.rows + p.threads - 1) / p.threads;
  constexpr int kSums = kRms ? 1 : 2;
  parallel_for(0, p.threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* sums = workspace + t * n * kSums;
      std::memset(sums, 0, static_cast<size_t>(n * kSums) * sizeof(float));
      p.kernels.backward(a, std::min(t * share, p.rows), std::min((t + 1) * share, p.rows), sums,
                         kRms ? nullptr : sums + n);
    }
  });
  for (int k = 0; k < kSums; ++k) {
    float* out = static_cast<float*>(args.out[1 + k]);
    for (int64_t i = 0; i < n; ++i) {
      double s = 0;
      for (int t = 0; t < p.threads; ++t) s += workspace[(t * kSums + k) * n + i];
      out[i] = static_cast<float>(s);
    }
  }
  return Status();
}

template <bool kBackward>
bool supports_norm(const CallMeta& c, Reason* reason) {
  const TensorMeta& x = c.in(kBackward ? 1 : 0);
  if (!is_fast_type(x.dtype, reason)) return false;
  if (x.numel() == 0) return refuse(reason, "is empty");
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (!c.has(i)) continue;
    if (!c.in(i).is_contiguous()) return refuse(reason, "takes row-major tensors");
  }
  return true;
}

template <bool kRms, bool kBackward>
Status prepare_norm(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<NormPlan>();
  const TensorMeta& x = c.in(kBackward ? 1 : 0);
  const auto& attrs = c.as<ops::LayerNormAttrs>();
  const bool bf16 = x.dtype == DType::kBF16;
  p->kernels = RUTILE_CHOOSE_ISA(norm_kernels, kRms, bf16);
  p->width = 1;
  for (int i = x.rank() - static_cast<int>(attrs.axes); i < x.rank(); ++i) p->width *= x.dim(i);
  p->rows = x.numel() / p->width;
  p->eps = attrs.eps;
  const int weight = kBackward ? (kRms ? 3 : 4) : 1;
  if (c.has(weight)) p->weight = weight;
  if (!kRms && !kBackward && c.has(2)) p->bias = 2;
  p->weight_bf16 = p->weight >= 0 && c.in(p->weight).dtype == DType::kBF16;
  p->bias_bf16 = p->bias >= 0 && c.in(p->bias).dtype == DType::kBF16;
  int64_t floats = (p->weight_bf16 ? p->width : 0) + (p->bias_bf16 ? p->width : 0);
  if (kBackward) {
    p->threads = threads_for(2 * kNormNs * static_cast<double>(x.numel()));
    floats += p->threads * p->width * (kRms ? 1 : 2);
  }
  p->may_overwrite = like_output(c, kBackward ? 2 : 1);
  p->workspace_bytes = static_cast<size_t>(floats) * sizeof(float);
  p->run = kBackward ? run_norm_grad<kRms> : run_norm<kRms>;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_softmax_cpu() {
  add_row(ops::kSoftmax, supports_softmax, prepare_softmax<false, false>);
  add_row(ops::kLogSoftmax, supports_softmax, prepare_softmax<true, false>);
  add_row(ops::kSoftmaxGrad, supports_softmax, prepare_softmax<false, true>);
  add_row(ops::kLogSoftmaxGrad, supports_softmax, prepare_softmax<true, true>);
}

void register_loss_cpu() {
  add_row(ops::kCrossEntropy, supports_cross_entropy<false>, prepare_cross_entropy<false>);
  add_row(ops::kCrossEntropyGrad, supports_cross_entropy<true>, prepare_cross_entropy<true>);
}

void register_layer_norm_cpu() {
  add_row(ops::kLayerNorm, supports_norm<false>, prepare_norm<false, false>);
  add_row(ops::kLayerNormGrad, supports_norm<true>, prepare_norm<false, true>);
  add_row(ops::kRmsNorm, supports_norm<false>, prepare_norm<true, false>);
  add_row(ops::kRmsNormGrad, supports_norm<true>, prepare_norm<true, true>);
}

}  // namespace rutile::kernels
