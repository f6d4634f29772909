// SPDX-License-Identifier: Apache-2.0
// The row of fused_elementwise that compiles a kernel for the call.
#include <mutex>

#include "rutile/core/log.h"
#include "rutile/kernels/cuda/codegen.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/jit.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/source_plan.h"

namespace rutile::cuda {
namespace {

constexpr int kMostArgs = 96;

struct GeneratedPlan final : SourcePlan {
  Generated generated;
  std::shared_ptr<const JitModule> module;
  // For operands that lie anywhere; made when the first such call comes.
  struct Anywhere {
    std::once_flag once;
    Generated generated;
    std::shared_ptr<const JitModule> module;
    Status status;
  };
  mutable Anywhere anywhere;
  std::string program;
  std::vector<TensorMeta> in, out;

  std::string name() const override { return generated.name; }
  std::string source() const override { return generated.source; }
  std::string resources() const override { return module ? module->resources() : ""; }
  Status make_anywhere() const;
};

Status GeneratedPlan::make_anywhere() const {
  std::call_once(anywhere.once, [this] {
    const ops::FusedElementwiseAttrs attrs{program};
    std::vector<const TensorMeta*> inputs;
    for (const TensorMeta& m : in) inputs.push_back(&m);
    const CallMeta call{&ops::kFusedElementwise, &attrs, inputs, out};
    Status& s = anywhere.status;
    try {
      s = generate_fused(call, {.vectors = false}, &anywhere.generated);
      if (s.ok()) s = jit_load(anywhere.generated, out.front().device, &anywhere.module);
    } catch (const std::exception& e) {
      s = Status(ErrorCode::kInternal, e.what());
    }
  });
  const Status& s = anywhere.status;
  return s.ok() ? Status() : Status(s.code(), s.message());
}

Status launch(const Generated& g, const JitModule& module, const KernelArgs& k) {
  using Kind = GeneratedArg::Kind;
  void* pointers[kMostArgs];
  void* args[kMostArgs];
  for (size_t i = 0; i < g.args.size(); ++i) {
    const GeneratedArg& a = g.args[i];
    pointers[i] = a.kind == Kind::kInput    ? k.in[a.index]
                  : a.kind == Kind::kOutput ? k.out[a.index]
                                            : static_cast<char*>(k.workspace) + a.offset;
    args[i] = &pointers[i];
  }
  for (size_t n = 0; n < g.launches.size(); ++n) {
    RUTILE_RETURN_IF_ERROR(module.launch(n, args, k.stream));
  }
  return Status();
}

bool all_aligned(const Generated& g, const KernelArgs& k) {
  for (const GeneratedArg& a : g.args) {
    if (a.kind == GeneratedArg::Kind::kWorkspace) continue;
    const void* p = a.kind == GeneratedArg::Kind::kInput ? k.in[a.index] : k.out[a.index];
    if (!aligned(p, g.alignment)) return false;
  }
  return true;
}

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const GeneratedPlan&>(plan);
  if (p.generated.launches.empty()) return Status();
  if (all_aligned(p.generated, k)) return launch(p.generated, *p.module, k);
  RUTILE_RETURN_IF_ERROR(p.make_anywhere());
  return launch(p.anywhere.generated, *p.anywhere.module, k);
}

Device device_of_call(const CallMeta& c) { return c.outputs.front().device; }

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (const Status s = jit_ready(device_of_call(c)); !s.ok()) {
    static std::once_flag once;
    std::call_once(once, [&s] {
      log_warning(
          cat("no kernels are generated, ops run one by one or by an interpreter: ", s.message()));
    });
    reason->text = s.message();
    return false;
  }
  Generated g;
  const Status s = generate_fused(c, {}, &g);
  reason->text = s.message();
  return s.ok();
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<GeneratedPlan>();
  p->run = run;
  RUTILE_RETURN_IF_ERROR(generate_fused(c, {}, &p->generated));
  // Room for the other form too.
  Generated other;
  RUTILE_RETURN_IF_ERROR(generate_fused(c, {.vectors = false}, &other));
  if (std::max(p->generated.args.size(), other.args.size()) > kMostArgs) {
    return Status(ErrorCode::kUnsupported, "has too many operands");
  }
  p->workspace_bytes = std::max(p->generated.workspace_bytes, other.workspace_bytes);
  p->may_overwrite = p->generated.may_overwrite & other.may_overwrite;
  p->program = c.as<ops::FusedElementwiseAttrs>().program;
  for (const TensorMeta* m : c.inputs) p->in.push_back(*m);
  p->out.assign(c.outputs.begin(), c.outputs.end());
  if (!p->generated.launches.empty()) {
    const Status s = jit_load(p->generated, device_of_call(c), &p->module);
    if (!s.ok()) {
      log_warning(cat(p->generated.name, ": ", s.message()));
      return Status(ErrorCode::kUnsupported, s.message());
    }
  }
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_generated() { add_row(ops::kFusedElementwise, "generated", prepare, supports); }

}  // namespace rutile::cuda
