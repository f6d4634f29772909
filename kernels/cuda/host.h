// SPDX-License-Identifier: Apache-2.0
// What the rows of this plugin share on the host.
#pragma once

#include <memory>
#include <utility>

#include "rutile/kernels/cuda/fault.h"
#include "rutile/kernels/cuda/indexer.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::cuda {

// The error that a kernel found in its data.
Status fault_status(const FaultReport& r);
// A number for what this thread queues (core/running_op.h), by which a report names it.
int32_t fault_source();
// Of a code that a launch gave; 0 is success.
Status launch_status(int code);
inline Status too_many_blocks() {
  return Status(ErrorCode::kUnsupported, "is too large: a kernel has at most 2^31 - 1 blocks");
}

// All tensors strided and real.
bool only_real(const CallMeta& c, Reason* reason);
bool only_strided(const CallMeta& c, Reason* reason);

// Strides of `m` along the dimensions of `shape`, to which it broadcasts.
inline Strides broadcast_strides(const TensorMeta& m, const Shape& shape) {
  Strides s = Strides::filled(shape.rank(), 0);
  for (int d = 0; d < m.rank(); ++d) {
    if (m.shape[d] != 1) s[d + shape.rank() - m.rank()] = m.strides[d];
  }
  return s;
}

// Plan::may_overwrite of a kernel whose threads read inputs [0, n) last where they write output 0:
// those that lie as it does.
inline uint32_t like_output(const CallMeta& c, int n) {
  uint32_t mask = 0;
  for (int i = 0; i < n; ++i) {
    const bool like =
        c.has(i) && c.in(i).dtype == c.out().dtype && same_placement(c.in(i), c.out());
    mask |= like ? 1u << i : 0u;
  }
  return mask;
}

inline int size_of(DType t) { return static_cast<int>(dtype_size(t)); }

// Entries begin to end - 1 of a shape or strides; all but the axis'.
inline Dims part(const Dims& v, int begin, int end) {
  return Dims(std::span<const int64_t>(v.data() + begin, static_cast<size_t>(end - begin)));
}
inline Dims without(const Dims& v, int axis) {
  Dims out;
  for (int d = 0; d < v.rank(); ++d) {
    if (d != axis) out.push_back(v[d]);
  }
  return out;
}

inline bool aligned(const void* p, size_t bytes = 16) {
  return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

// A plan that queues one kernel: `args` as far as the shapes give them, `bind` puts in the pointers
// of a run, `launch` queues.
template <class Args>
struct KernelPlan : Plan {
  Args args;
  int (*launch)(const Args&, Stream) = nullptr;
  void (*bind)(Args*, const KernelArgs&) = nullptr;
};
template <class Args>
Status run_kernel(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const KernelPlan<Args>&>(plan);
  Args args = p.args;
  p.bind(&args, k);
  return launch_status(p.launch(args, k.stream));
}
template <class Args>
std::unique_ptr<KernelPlan<Args>> kernel_plan(int (*launch)(const Args&, Stream),
                                              void (*bind)(Args*, const KernelArgs&)) {
  auto p = std::make_unique<KernelPlan<Args>>();
  p->run = run_kernel<Args>;
  p->launch = launch;
  p->bind = bind;
  return p;
}

using SupportsFn = bool (*)(const CallMeta&, Reason*);
using PrepareFn = Status (*)(const CallMeta&, std::unique_ptr<Plan>*);
using PreferFn = Status (*)(const CallMeta&, LayoutPrefs*);
void add_row(const OpDef& op, const char* name, PrepareFn prepare, SupportsFn supports = only_real,
             PreferFn prefer = nullptr);

// Of convolutions: images and weights in low precision lie channels-last, as tensor cores read
// them; in f32 where TF32 may be used.
Status prefer_channels_last(const CallMeta& c, LayoutPrefs* prefs);

// Of matmul and linear, without a library.
Status prepare_tiles(const CallMeta& c, std::unique_ptr<Plan>* plan);

// All rows of the plugin, by family.
void register_rows();
void register_elementwise();
void register_copy();
void register_creation();
void register_reduce();
void register_softmax();
void register_loss();
void register_layer_norm();
void register_update();
void register_optim();
void register_random();
// Rows that call libraries (cuBLASLt, cuDNN); they come before ours.
void register_libraries();
void register_gemm();
void register_batch_norm();
void register_pool();
void register_conv();
void register_index();
void register_scatter();
void register_generated();
void register_fused();
void register_columns();
void register_taps();
void register_order();
void register_linalg();
void register_fft();
void register_ctc();
void register_complex();
void register_complex_conv();
void register_draws();
void register_grid();
void register_regions();
void register_bits();

}  // namespace rutile::cuda
