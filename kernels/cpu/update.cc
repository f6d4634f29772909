// SPDX-License-Identifier: Apache-2.0
// Rows of optimizer updates, of one parameter and of many: one pass over parameter, slots and
// gradient, two where a rule needs norms.
#include <cmath>

#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/chunks.h"
#include "rutile/kernels/cpu/copy.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/optim.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/update_rules.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

// With the padding of a blocked layout.
int64_t stored_elements(const TensorMeta& m) {
  return m.nbytes() / static_cast<int64_t>(dtype_size(m.dtype));
}

using Roles = ops::UpdateOperands;

// A 0-d operand; `otherwise` if it is absent.
struct Number {
  DType dtype = DType::kF32;
  int at = 0;
  double otherwise = 0;
  double read(const KernelArgs& args) const {
    if (at < 0) return otherwise;
    return dispatch_real(dtype, [&](auto id) {
      return convert<double>(*static_cast<const typename decltype(id)::type*>(args.in[at]));
    });
  }
};
Number number_at(const CallMeta& c, int i, double otherwise) {
  if (!c.has(i)) return {DType::kF32, -1, otherwise};
  return {c.in(i).dtype, i, otherwise};
}

struct UpdatePlan : Plan {
  Roles roles;
  std::vector<Chunk> chunks;
  std::vector<int> first_chunk;  // by parameter, and the end
  struct Parameter {
    UpdateKernel kernel;
    int grad_size = 4;     // bytes of an element
    int64_t grad_at = -1;  // in the workspace: a gradient placed differently is copied there
    CopyPlan copy;
    void (*round)(const float*, void*, int64_t) = nullptr;  // into its copy, if it has one
    int copy_size = 0;
  };
  std::vector<Parameter> parameters;
  Number lr, step, grad_scale;
  bool has_skip = false;
  int64_t sums_at = 0;  // in the workspace, of a rule with norms: two a chunk, then a factor a
                        // parameter
  AnyAttrs attrs;

  UpdateRun run_of(const KernelArgs& args, const Chunk& c) const {
    const Parameter& q = parameters[static_cast<size_t>(c.tensor)];
    auto at = [&](int k) {
      return static_cast<float*>(args.in[roles.tensor(k, c.tensor)]) + c.begin;
    };
    UpdateRun u{at(0), {}, nullptr, c.count};
    for (int k = 0; k < roles.slots; ++k) u.slots[k] = at(k + 1);
    const char* grad = q.grad_at >= 0 ? static_cast<const char*>(args.workspace) + q.grad_at
                                      : static_cast<const char*>(args.in[roles.grad(c.tensor)]);
    u.grad = grad + c.begin * q.grad_size;
    return u;
  }
};

template <class T>
void round_to(const float* from, void* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) static_cast<T*>(to)[i] = convert<T>(from[i]);
}

UpdateNumbers as_floats(const rules::Numbers& n) {
  UpdateNumbers f;
  f.scale = static_cast<float>(n.scale);
  f.decay = static_cast<float>(n.decay);
  f.shrink = static_cast<float>(n.shrink);
  for (int i = 0; i < rules::kNumbers; ++i) f.k[i] = static_cast<float>(n.k[i]);
  return f;
}

// The factors of all parameters from their norms, summed chunk by chunk in their order.
float* measure(const UpdatePlan& p, const KernelArgs& args, const rules::Numbers& numbers,
               const UpdateNumbers& floats) {
  double* sums = reinterpret_cast<double*>(static_cast<char*>(args.workspace) + p.sums_at);
  for_chunks(p.chunks, [&](int64_t n, const Chunk& c) {
    const UpdatePlan::Parameter& q = p.parameters[static_cast<size_t>(c.tensor)];
    q.kernel.measure(p.run_of(args, c), floats, sums + 2 * n);
  });
  float* trust = reinterpret_cast<float*>(sums + 2 * p.chunks.size());
  const rules::RuleInfo& rule = rules::rule_info(p.roles.family);
  for (int i = 0; i < p.roles.count; ++i) {
    double a = 0, b = 0;
    for (int n = p.first_chunk[static_cast<size_t>(i)];
         n < p.first_chunk[static_cast<size_t>(i) + 1]; ++n) {
      a += sums[2 * n];
      b += sums[2 * n + 1];
    }
    trust[i] = static_cast<float>(rule.trust(std::sqrt(a), std::sqrt(b), numbers.k));
  }
  return trust;
}

Status run_update(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const UpdatePlan&>(plan);
  const Roles& r = p.roles;
  if (p.has_skip && *static_cast<const bool*>(args.in[r.skip()])) return Status();
  const rules::RuleInfo& rule = rules::rule_info(r.family);
  const rules::Numbers numbers =
      rule.numbers(p.attrs.get(), p.lr.read(args), p.step.read(args), p.grad_scale.read(args));
  const UpdateNumbers floats = as_floats(numbers);
  for (int i = 0; i < r.count; ++i) {
    const UpdatePlan::Parameter& q = p.parameters[static_cast<size_t>(i)];
    if (q.grad_at < 0) continue;
    q.copy.run(args.in[r.grad(i)], static_cast<char*>(args.workspace) + q.grad_at);
  }
  const float* trust = rule.trust ? measure(p, args, numbers, floats) : nullptr;
  for_chunks(p.chunks, [&](int64_t, const Chunk& c) {
    const UpdatePlan::Parameter& q = p.parameters[static_cast<size_t>(c.tensor)];
    UpdateNumbers own = floats;
    if (trust) own.k[rules::kTrust] = trust[c.tensor];
    const UpdateRun u = p.run_of(args, c);
    q.kernel.apply(u, own);
    if (!q.round) return;
    char* copy = static_cast<char*>(args.in[r.copy(c.tensor)]) + c.begin * q.copy_size;
    q.round(u.param, copy, c.count);
  });
  return Status();
}

bool supports_update(const CallMeta& c, Reason* reason) {
  const Roles r = ops::update_operands(c);
  if (isa() == Isa::kBaseline) return refuse(reason, "needs AVX2");
  for (int i = 0; i < r.count; ++i) {
    const TensorMeta& p = c.in(r.tensor(0, i));
    // Not all rules leave the padding of a blocked layout at zero.
    if (p.dtype != DType::kF32 || (p.layout == kStrided && !p.is_dense()) ||
        stored_elements(p) != p.numel()) {
      return refuse(reason, cat("takes dense f32 parameters without padding, not ", p));
    }
    for (int k = 1; k <= r.slots; ++k) {
      const TensorMeta& t = c.in(r.tensor(k, i));
      if (!same_placement(t, p)) {
        return refuse(reason,
                      cat("parameter ", p, " comes with a slot ", t, ", placed differently"));
      }
    }
    if (i < r.copies && !same_placement(c.in(r.copy(i)), p)) {
      return refuse(reason, cat("parameter ", p, " comes with a copy placed differently"));
    }
    const TensorMeta& g = c.in(r.grad(i));
    const bool blocked = g.layout != kStrided || p.layout != kStrided;
    if ((blocked && !same_placement(g, p)) || (g.dtype != DType::kF32 && g.dtype != DType::kBF16)) {
      return refuse(reason,
                    cat("takes gradients of f32 and bf16, strided or placed as ", p, ", not ", g));
    }
  }
  return true;
}

Status prepare_update(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<UpdatePlan>();
  const Roles r = p->roles = ops::update_operands(c);
  p->lr = number_at(c, r.lr(), 0);
  p->step = number_at(c, r.step(), 0);
  p->grad_scale = number_at(c, r.grad_scale(), 1);
  p->has_skip = c.has(r.skip());
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  for (int i = 0; i < r.count; ++i) {
    const TensorMeta &param = c.in(r.tensor(0, i)), &grad = c.in(r.grad(i));
    p->first_chunk.push_back(static_cast<int>(p->chunks.size()));
    add_chunks(p->chunks, i, stored_elements(param));
    UpdatePlan::Parameter q;
    q.kernel = RUTILE_CHOOSE_ISA(update_kernel, r.family, grad.dtype == DType::kBF16);
    q.grad_size = static_cast<int>(dtype_size(grad.dtype));
    if (!same_placement(param, grad)) {
      q.grad_at = static_cast<int64_t>(p->workspace_bytes);
      q.copy = CopyPlan(grad.shape, grad.strides, param.strides, q.grad_size);
      p->workspace_bytes += static_cast<size_t>((grad.numel() * q.grad_size + 63) / 64 * 64);
    }
    if (i < r.copies) {
      const DType low = c.in(r.copy(i)).dtype;
      q.round = low == DType::kBF16 ? round_to<BFloat16> : round_to<Half>;
      q.copy_size = static_cast<int>(dtype_size(low));
    }
    p->parameters.push_back(q);
  }
  p->first_chunk.push_back(static_cast<int>(p->chunks.size()));
  if (rules::rule_info(r.family).trust) {
    p->sums_at = static_cast<int64_t>(p->workspace_bytes);
    p->workspace_bytes +=
        2 * sizeof(double) * p->chunks.size() + sizeof(float) * static_cast<size_t>(r.count);
  }
  p->run = run_update;
  *plan = std::move(p);
  return Status();
}

// Parameters and slots follow their gradient into a blocked layout without padding.
Status prefer_update(const CallMeta& c, LayoutPrefs* prefs) {
  const Roles r = ops::update_operands(c);
  bool any = false;
  for (const TensorMeta* m : c.inputs) prefs->in.push_back(m ? placement_of(*m) : Placement());
  for (const TensorMeta& m : c.outputs) prefs->out.push_back(placement_of(m));
  for (int i = 0; i < r.count; ++i) {
    const TensorMeta& grad = c.in(r.grad(i));
    Placement p;
    if (grad.layout != kStrided && stored_elements(grad) == grad.numel()) {
      p = placement_of(grad);
    }
    any = any || grad.layout != kStrided;
    if (grad.layout != kStrided) prefs->in[r.grad(i)] = p;
    if (i < r.copies) prefs->in[r.copy(i)] = prefs->out[r.output(r.copy(i))] = p;
    for (int k = 0; k <= r.slots; ++k) {
      prefs->in[r.tensor(k, i)] = p;
      prefs->out[r.output(r.tensor(k, i))] = p;
    }
  }
  return any ? Status() : Status(ErrorCode::kUnsupported, "no gradient is blocked");
}

}  // namespace

void register_update_cpu() {
  for (const ops::UpdateFamily& f : ops::update_families()) {
    for (const OpDef* op : {f.single, f.multi}) {
      KernelRow row;
      row.op = op;
      row.name = "simd";
      row.supports = supports_update;
      row.prepare = prepare_update;
      row.prefer = prefer_update;
      register_kernel(row);
    }
  }
}

}  // namespace rutile::kernels
