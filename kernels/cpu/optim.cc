// SPDX-License-Identifier: Apache-2.0
// Rows of assignments, loss scaling and global norms.
#include "rutile/kernels/cpu/optim.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "rutile/kernels/cpu/chunks.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/optim.h"

namespace rutile::kernels {
namespace {

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
  if (c.op == &ops::kAssignAdd && is_complex(s.dtype)) return refuse(reason, "adds real numbers");
  if (s.layout == kStrided && s.is_dense() && v.layout == kStrided && s.strides == v.strides) {
    return true;
  }
  if (s.is_contiguous() && v.is_contiguous()) return true;
  return refuse(reason, "state and value are placed differently");
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
  if (isa() == Isa::kBaseline) return refuse(reason, "needs AVX2");
  for (int i = c.op == &ops::kUnscaleAndCheck ? 1 : 0; i < c.num_inputs(); ++i) {
    const TensorMeta& x = c.in(i);
    if ((x.dtype != DType::kF32 && x.dtype != DType::kBF16) || x.layout != kStrided ||
        !x.is_dense()) {
      return refuse(reason, cat("takes dense f32 and bf16 tensors, not ", x));
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
  add_row(ops::kAssign, "copy", supports_assign, prepare_assign);
  add_row(ops::kAssignAdd, "dense", supports_assign, prepare_assign);
  add_row(ops::kUnscaleAndCheck, "simd", supports_scan, prepare_scan);
  add_row(ops::kGlobalNorm, "simd", supports_scan, prepare_scan);
}

}  // namespace rutile::kernels
