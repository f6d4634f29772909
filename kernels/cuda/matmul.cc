// SPDX-License-Identifier: Apache-2.0
// Rows of matmul and linear that need no library.
#include "rutile/ops/matmul.h"
#include "rutile/kernels/cuda/gemm.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/matmul_shape.h"

namespace rutile::cuda {

Status prepare_tiles(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<GemmArgs>(launch_gemm, [](GemmArgs* a, const KernelArgs& k) {
    a->a = k.in[0];
    a->b = k.in[1];
    a->bias = a->biased ? k.in[2] : nullptr;
    a->c = k.out[0];
  });
  const kernels::MatmulShape s = kernels::matmul_shape(c);
  GemmArgs& a = p->args;
  a.in_type = c.in(0).dtype;
  a.out_type = c.out().dtype;
  a.m = s.m, a.n = s.n, a.k = s.k;
  a.batch = s.batch.numel();
  a.a_m = s.a_m, a.a_k = s.a_k, a.b_k = s.b_k, a.b_n = s.b_n, a.c_m = s.c_m, a.c_n = s.c_n;
  const Strides strides[3] = {s.a_batch, s.b_batch, s.c_batch};
  a.index = make_indexer<3>(s.batch, strides);
  if (c.op == &ops::kLinear && c.has(2)) {
    a.bias_type = c.in(2).dtype;
    a.biased = true;
    a.bias_n = c.in(2).strides[0];
  }
  *plan = std::move(p);
  return Status();
}

void register_gemm() {
  add_row(ops::kMatmul, "tiles", prepare_tiles, only_strided);
  add_row(ops::kLinear, "tiles", prepare_tiles, only_strided);
}

}  // namespace rutile::cuda
