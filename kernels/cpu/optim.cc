// SPDX-License-Identifier: Apache-2.0
// Rows of optimizer updates, loss scaling and global norms. The elements of all tensors of a call
// are cut into chunks that do not depend on the number of threads; a chunk is the unit of work.
#include "rutile/kernels/cpu/optim.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/copy.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/optim.h"

namespace rutile::kernels {
namespace {

constexpr int64_t kChunk = 1 << 14;  // elements
constexpr double kElementNs = 0.15;

struct Chunk {
  int tensor = 0;
  int64_t begin = 0, count = 0;
};

void add_chunks(std::vector<Chunk>& chunks, int tensor, int64_t n) {
  for (int64_t b = 0; b < n; b += kChunk) chunks.push_back({tensor, b, std::min(kChunk, n - b)});
}

// With the padding of a blocked layout.
int64_t stored_elements(const TensorMeta& m) {
  return m.nbytes() / static_cast<int64_t>(dtype_size(m.dtype));
}

template <class F>
void for_chunks(const std::vector<Chunk>& chunks, F&& f) {
  parallel_for(0, static_cast<int64_t>(chunks.size()), grain_for(kElementNs * kChunk),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) f(i, chunks[static_cast<size_t>(i)]);
               });
}

// ---- Updates
// --------------------------------------------------------------------------------------

// Where an update op keeps its inputs. For a multi op tensor k of parameter i is input
// first + k * count + i, otherwise `slots` and `grad` say where it is.
struct Roles {
  int lr, step, skip;  // -1: the op has none
  int slots;           // slot tensors per parameter
  bool multi;
  int first, grad;
};

template <class A>
constexpr bool kIsMulti = requires(const A& a) {
  a.count;
};

enum class Kind : uint8_t { kSgd, kMomentum, kAdam, kAdamW };

constexpr Roles roles_of(Kind kind, bool multi) {
  switch (kind) {
    case Kind::kSgd:
      return multi ? Roles{0, -1, 1, 0, true, 2, -1} : Roles{2, -1, 3, 0, false, 0, 1};
    case Kind::kMomentum:
      return multi ? Roles{0, 1, 2, 1, true, 3, -1} : Roles{3, 4, 5, 1, false, 0, 2};
    default:
      return multi ? Roles{0, 1, 2, 2, true, 3, -1} : Roles{5, 3, 6, 2, false, 0, 4};
  }
}

int tensor_at(const Roles& r, int count, int k, int i) {
  if (!r.multi) return k <= r.slots ? k : r.grad;
  return r.first + k * count + i;
}

struct UpdatePlan : Plan {
  std::vector<Chunk> chunks;
  struct Parameter {
    UpdateFn update = nullptr;
    int grad_size = 4;     // bytes of an element
    int64_t grad_at = -1;  // in the workspace: a gradient placed differently is copied there
    CopyPlan copy;
  };
  std::vector<Parameter> parameters;
  int count = 0;
  DType lr = DType::kF32, step = DType::kF32;
  bool has_step = false, has_skip = false;
  AnyAttrs attrs;
};

double read_number(DType t, const void* p) {
  return dispatch_real(t, [&](auto id) {
    return convert<double>(*static_cast<const typename decltype(id)::type*>(p));
  });
}

template <Kind kKind, class A>
UpdateNumbers numbers_of(const A& a, double lr, double step) {
  UpdateNumbers k;
  lr *= a.lr_scale;
  k.decay = static_cast<float>(kKind == Kind::kAdamW ? 0 : a.weight_decay);
  k.lr = static_cast<float>(lr);
  if constexpr (kKind == Kind::kMomentum) {
    const bool first = step == 1;
    k.beta1 = first && a.dampening != 0 ? 0 : static_cast<float>(a.momentum);
    k.take1 = first ? 1 : static_cast<float>(1 - a.dampening);
    k.nesterov = a.nesterov;
  }
  if constexpr (kKind == Kind::kAdam || kKind == Kind::kAdamW) {
    k.lr = static_cast<float>(lr / (1 - std::pow(a.beta1, step)));
    k.root = static_cast<float>(1 / std::sqrt(1 - std::pow(a.beta2, step)));
    k.shrink = static_cast<float>(kKind == Kind::kAdamW ? 1 - lr * a.weight_decay : 1);
    k.beta1 = static_cast<float>(a.beta1);
    k.beta2 = static_cast<float>(a.beta2);
    k.take1 = static_cast<float>(1 - a.beta1);
    k.take2 = static_cast<float>(1 - a.beta2);
    k.eps = static_cast<float>(a.eps);
  }
  return k;
}

template <Kind kKind, class A>
Status run_update(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const UpdatePlan&>(plan);
  constexpr Roles r = roles_of(kKind, kIsMulti<A>);
  if (p.has_skip && *static_cast<const bool*>(args.in[r.skip])) return Status();
  const double step = p.has_step ? read_number(p.step, args.in[r.step]) : 0;
  const UpdateNumbers k = numbers_of<kKind>(*static_cast<const A*>(p.attrs.get()),
                                            read_number(p.lr, args.in[r.lr]), step);
  char* workspace = static_cast<char*>(args.workspace);
  for (int i = 0; i < p.count; ++i) {
    const UpdatePlan::Parameter& q = p.parameters[static_cast<size_t>(i)];
    if (q.grad_at < 0) continue;
    q.copy.run(args.in[tensor_at(r, p.count, r.slots + 1, i)], workspace + q.grad_at);
  }
  for_chunks(p.chunks, [&](int64_t, const Chunk& c) {
    auto at = [&](int part) {
      return static_cast<float*>(args.in[tensor_at(r, p.count, part, c.tensor)]) + c.begin;
    };
    const UpdatePlan::Parameter& q = p.parameters[static_cast<size_t>(c.tensor)];
    const char* grad =
        q.grad_at >= 0
            ? workspace + q.grad_at
            : static_cast<const char*>(args.in[tensor_at(r, p.count, r.slots + 1, c.tensor)]);
    q.update({at(0), r.slots > 0 ? at(1) : nullptr, r.slots > 1 ? at(2) : nullptr,
              grad + c.begin * q.grad_size, c.count},
             k);
  });
  return Status();
}

template <class A>
int count_of(const CallMeta& c) {
  if constexpr (kIsMulti<A>) return static_cast<int>(c.as<A>().count);
  (void)c;
  return 1;
}

template <Kind kKind, class A>
bool supports_update(const CallMeta& c, Reason* reason) {
  constexpr Roles r = roles_of(kKind, kIsMulti<A>);
  if (isa() == Isa::kBaseline) {
    reason->text = "needs AVX2";
    return false;
  }
  const int n = count_of<A>(c);
  for (int i = 0; i < n; ++i) {
    const TensorMeta& p = c.in(tensor_at(r, n, 0, i));
    if (p.dtype != DType::kF32 || (p.layout == kStrided && !p.is_dense())) {
      reason->text = cat("takes dense f32 parameters, not ", p);
      return false;
    }
    for (int k = 1; k <= r.slots; ++k) {
      const TensorMeta& t = c.in(tensor_at(r, n, k, i));
      if (!same_placement(t, p)) {
        reason->text = cat("parameter ", p, " comes with a slot ", t, ", placed differently");
        return false;
      }
    }
    const TensorMeta& g = c.in(tensor_at(r, n, r.slots + 1, i));
    const bool blocked = g.layout != kStrided || p.layout != kStrided;
    if ((blocked && !same_placement(g, p)) || (g.dtype != DType::kF32 && g.dtype != DType::kBF16)) {
      reason->text = cat("takes gradients of f32 and bf16, strided or placed as ", p, ", not ", g);
      return false;
    }
  }
  return true;
}

template <Kind kKind, class A>
Status prepare_update(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  constexpr Roles r = roles_of(kKind, kIsMulti<A>);
  auto p = std::make_unique<UpdatePlan>();
  p->count = count_of<A>(c);
  p->lr = c.in(r.lr).dtype;
  if (r.step >= 0 && c.has(r.step)) {
    p->has_step = true;
    p->step = c.in(r.step).dtype;
  }
  p->has_skip = c.has(r.skip);
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  for (int i = 0; i < p->count; ++i) {
    const TensorMeta& param = c.in(tensor_at(r, p->count, 0, i));
    const TensorMeta& grad = c.in(tensor_at(r, p->count, r.slots + 1, i));
    add_chunks(p->chunks, i, stored_elements(param));
    const UpdateKernels k = RUTILE_CHOOSE_ISA(update_kernels, grad.dtype == DType::kBF16);
    UpdatePlan::Parameter q;
    q.update = kKind == Kind::kSgd ? k.sgd : kKind == Kind::kMomentum ? k.momentum : k.adam;
    q.grad_size = static_cast<int>(dtype_size(grad.dtype));
    if (!same_placement(param, grad)) {
      q.grad_at = static_cast<int64_t>(p->workspace_bytes);
      q.copy = CopyPlan(grad.shape, grad.strides, param.strides, q.grad_size);
      p->workspace_bytes += static_cast<size_t>((grad.numel() * q.grad_size + 63) / 64 * 64);
    }
    p->parameters.push_back(q);
  }
  p->run = run_update<kKind, A>;
  *plan = std::move(p);
  return Status();
}

// Parameters and slots follow their gradient into a blocked layout without padding (an update could
// make the padding other than zero).
template <Kind kKind, class A>
Status prefer_update(const CallMeta& c, LayoutPrefs* prefs) {
  constexpr Roles r = roles_of(kKind, kIsMulti<A>);
  const int n = count_of<A>(c);
  bool any = false;
  for (const TensorMeta* m : c.inputs) prefs->in.push_back(m ? placement_of(*m) : Placement());
  for (const TensorMeta& m : c.outputs) prefs->out.push_back(placement_of(m));
  for (int i = 0; i < n; ++i) {
    const int grad_at = tensor_at(r, n, r.slots + 1, i);
    const TensorMeta& grad = c.in(grad_at);
    Placement p;
    if (grad.layout != kStrided && stored_elements(grad) == grad.numel()) p = placement_of(grad);
    any = any || grad.layout != kStrided;
    if (grad.layout != kStrided) prefs->in[grad_at] = p;
    for (int k = 0; k <= r.slots; ++k) {
      prefs->in[tensor_at(r, n, k, i)] = p;
      prefs->out[k * n + i] = p;
    }
  }
  return any ? Status() : Status(ErrorCode::kUnsupported, "no gradient is blocked");
}

template <Kind kKind, class A>
void add_update(const OpDef& op) {
  KernelRow row;
  row.op = &op;
  row.name = "simd";
  row.supports = supports_update<kKind, A>;
  row.prepare = prepare_update<kKind, A>;
  row.prefer = prefer_update<kKind, A>;
  register_kernel(row);
}

// ---- assign
// ---------------------------------------------------------------------------------------

struct AssignPlan : Plan {
  int64_t count = 0, size = 0;
};

Status run_assign(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const AssignPlan&>(plan);
  parallel_for(0, p.count, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(args.out[0]) + begin * p.size,
                static_cast<const char*>(args.in[1]) + begin * p.size,
                static_cast<size_t>((end - begin) * p.size));
  });
  return Status();
}

template <class T>
Status run_assign_add(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const AssignPlan&>(plan);
  T* s = static_cast<T*>(args.out[0]);
  const T* v = static_cast<const T*>(args.in[1]);
  parallel_for(0, p.count, grain_for(kElementNs), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if constexpr (std::is_integral_v<T>) {
        using U = std::make_unsigned_t<T>;
        s[i] = static_cast<T>(static_cast<U>(static_cast<U>(s[i]) + static_cast<U>(v[i])));
      } else {
        s[i] = T(static_cast<Acc<T>>(s[i]) + static_cast<Acc<T>>(v[i]));
      }
    }
  });
  return Status();
}

bool supports_assign(const CallMeta& c, Reason* reason) {
  const TensorMeta &s = c.in(0), &v = c.in(1);
  if (s.layout == kStrided && s.is_dense() && v.layout == kStrided && s.strides == v.strides) {
    return true;
  }
  if (s.is_contiguous() && v.is_contiguous()) return true;
  reason->text = "state and value are placed differently";
  return false;
}

Status prepare_assign(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<AssignPlan>();
  p->count = c.in(0).numel();
  p->size = static_cast<int64_t>(dtype_size(c.in(0).dtype));
  p->run = run_assign;
  if (c.op == &ops::kAssignAdd) {
    p->run = dispatch_number(c.in(0).dtype, [](auto id) -> RunFn {
      return run_assign_add<typename decltype(id)::type>;
    });
  }
  *plan = std::move(p);
  return Status();
}

// ---- unscale_and_check, global_norm
// ---------------------------------------------------------------

struct ScanPlan : Plan {
  std::vector<Chunk> chunks;
  std::vector<NormScan> scan;  // by tensor
  std::vector<int> size;       // of an element
};

bool supports_scan(const CallMeta& c, Reason* reason) {
  if (isa() == Isa::kBaseline) {
    reason->text = "needs AVX2";
    return false;
  }
  for (int i = c.op == &ops::kUnscaleAndCheck ? 1 : 0; i < c.num_inputs(); ++i) {
    const TensorMeta& x = c.in(i);
    if ((x.dtype != DType::kF32 && x.dtype != DType::kBF16) || x.layout != kStrided ||
        !x.is_dense()) {
      reason->text = cat("takes dense f32 and bf16 tensors, not ", x);
      return false;
    }
  }
  return true;
}

Status run_unscale(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ScanPlan&>(plan);
  const float factor = 1.0f / *static_cast<const float*>(args.in[0]);
  std::atomic<bool> overflow{false};
  for_chunks(p.chunks, [&](int64_t, const Chunk& c) {
    const auto i = static_cast<size_t>(c.tensor);
    const char* x = static_cast<const char*>(args.in[i]) + c.begin * p.size[i];
    if (p.scan[i].unscale(x, factor, static_cast<float*>(args.out[i]) + c.begin, c.count)) {
      overflow.store(true, std::memory_order_relaxed);
    }
  });
  *static_cast<bool*>(args.out[0]) = overflow.load();
  return Status();
}

Status run_global_norm(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const ScanPlan&>(plan);
  double* sums = static_cast<double*>(args.workspace);
  for_chunks(p.chunks, [&](int64_t n, const Chunk& c) {
    const auto i = static_cast<size_t>(c.tensor);
    const char* x = static_cast<const char*>(args.in[i]) + c.begin * p.size[i];
    sums[n] = p.scan[i].squares(x, c.count);
  });
  double total = 0;
  for (size_t n = 0; n < p.chunks.size(); ++n) total += sums[n];
  *static_cast<float*>(args.out[0]) = static_cast<float>(std::sqrt(total));
  return Status();
}

Status prepare_scan(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<ScanPlan>();
  const bool unscale = c.op == &ops::kUnscaleAndCheck;
  for (int i = 0; i < c.num_inputs(); ++i) {
    const TensorMeta& x = c.in(i);
    p->scan.push_back(RUTILE_CHOOSE_ISA(norm_scan, x.dtype == DType::kBF16));
    p->size.push_back(static_cast<int>(dtype_size(x.dtype)));
    if (i > 0 || !unscale) add_chunks(p->chunks, i, x.numel());
  }
  if (!unscale) p->workspace_bytes = p->chunks.size() * sizeof(double);
  p->run = unscale ? run_unscale : run_global_norm;
  *plan = std::move(p);
  return Status();
}

void add_row(const OpDef& op, const char* name, bool (*supports)(const CallMeta&, Reason*),
             Status (*prepare)(const CallMeta&, std::unique_ptr<Plan>*)) {
  register_kernel({.op = &op, .name = name, .supports = supports, .prepare = prepare});
}

}  // namespace

void register_optim_cpu() {
  add_update<Kind::kSgd, ops::SgdAttrs>(ops::kSgd);
  add_update<Kind::kSgd, ops::SgdMultiAttrs>(ops::kSgdMulti);
  add_update<Kind::kMomentum, ops::MomentumAttrs>(ops::kMomentum);
  add_update<Kind::kMomentum, ops::MomentumMultiAttrs>(ops::kMomentumMulti);
  add_update<Kind::kAdam, ops::AdamAttrs>(ops::kAdam);
  add_update<Kind::kAdam, ops::AdamMultiAttrs>(ops::kAdamMulti);
  add_update<Kind::kAdamW, ops::AdamAttrs>(ops::kAdamW);
  add_update<Kind::kAdamW, ops::AdamMultiAttrs>(ops::kAdamWMulti);
  add_row(ops::kAssign, "copy", supports_assign, prepare_assign);
  add_row(ops::kAssignAdd, "dense", supports_assign, prepare_assign);
  add_row(ops::kUnscaleAndCheck, "simd", supports_scan, prepare_scan);
  add_row(ops::kGlobalNorm, "simd", supports_scan, prepare_scan);
}

}  // namespace rutile::kernels
