// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rutile/kernels/cuda/host.h"

namespace rutile::cuda {

bool only_strided(const CallMeta& c, Reason* reason) {
  const auto strided = [](const TensorMeta& m) { return m.layout == kStrided; };
  const bool all = std::all_of(c.inputs.begin(), c.inputs.end(),
                               [&](const TensorMeta* m) { return !m || strided(*m); }) &&
                   std::all_of(c.outputs.begin(), c.outputs.end(), strided);
  if (!all) reason->text = "takes strided tensors only";
  return all;
}

bool only_real(const CallMeta& c, Reason* reason) {
  const auto complex = [](const TensorMeta& m) { return is_complex(m.dtype); };
  const bool any = std::any_of(c.inputs.begin(), c.inputs.end(),
                               [&](const TensorMeta* m) { return m && complex(*m); }) ||
                   std::any_of(c.outputs.begin(), c.outputs.end(), complex);
  if (any) reason->text = "takes no complex numbers";
  return !any && only_strided(c, reason);
}

void add_row(const OpDef& op, const char* name, PrepareFn prepare, SupportsFn supports,
             PreferFn prefer) {
  KernelRow row;
  row.op = &op;
  row.device = DeviceType::kCuda;
  row.name = name;
  row.supports = supports;
  row.prepare = prepare;
  row.prefer = prefer;
  register_kernel(row);
}

void register_rows() {
  register_elementwise();
  register_copy();
  register_creation();
  register_reduce();
  register_softmax();
  register_loss();
  register_layer_norm();
  register_update();
  register_optim();
  register_random();
  register_libraries();
  register_gemm();
  register_batch_norm();
  register_pool();
  register_conv();
  register_index();
  register_scatter();
  register_generated();
  register_fused();
  register_columns();
  register_taps();
  register_order();
  register_linalg();
  register_fft();
  register_ctc();
  register_complex();
  register_complex_conv();
  register_draws();
  register_grid();
  register_regions();
  register_bits();
}

}  // namespace rutile::cuda
