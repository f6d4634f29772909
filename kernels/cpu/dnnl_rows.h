// SPDX-License-Identifier: Apache-2.0
// Rows that oneDNN runs; nothing is registered in a build without it.
#pragma once

namespace rutile::kernels {

void register_matmul_dnnl();
void register_conv_dnnl();
void register_conv_gemm_dnnl();
void register_reorder_dnnl();

}  // namespace rutile::kernels
