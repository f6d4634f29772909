// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/register.h"

namespace rutile::kernels {

// Fast rows first: find_plan takes the first row that supports a call.
void register_elementwise_cpu();
void register_matmul_cpu();
void register_conv_weight_cpu();
void register_conv_depthwise_cpu();
void register_conv_winograd_cpu();
void register_conv_cpu();
void register_pool_cpu();
void register_attention_cpu();
void register_batch_norm_cpu();
void register_view_cpu();
void register_bitcast_cpu();
void register_index_cpu();
void register_optim_cpu();
void register_update_cpu();
void register_layer_norm_cpu();
void register_loss_cpu();
void register_softmax_cpu();
void register_reduce_cpu();
void register_random_cpu();
void register_scan_cpu();
void register_ctc_cpu();
void register_order_cpu();
void register_scatter_cpu();
void register_pad_grad_cpu();

void register_recurrent_cpu();
void register_resample_cpu();
void register_pool_index_cpu();
void register_grid_sample_cpu();
void register_group_norm_cpu();
void register_unfold_cpu();

void register_linalg_cpu();
void register_linalg_complex_cpu();
void register_roi_align_cpu();
void register_roi_align_ref();
void register_unique_cpu();
void register_gemv_cpu();
void register_int_divide_cpu();
void register_creation_cpu();
void register_search_cpu();
void register_require_cpu();
void register_nll_loss_cpu();

void register_complex_cpu();
void register_fft_cpu();

void register_collective_cpu();
void register_collective_device();

// Reference rows.
void register_linalg_ref();
void register_spectral_ref();
void register_resample_ref();
void register_pool_index_ref();
void register_grid_sample_ref();
void register_unfold_ref();
void register_matmul_ref();
void register_conv_ref();
void register_elementwise_ref();
void register_pool_ref();
void register_reduce_ref();
void register_random_ref();
void register_view_ref();
void register_optim_ref();
void register_layer_norm_ref();
void register_loss_ref();
void register_softmax_ref();
void register_index_ref();
void register_scan_ref();
void register_ctc_ref();
void register_order_ref();
void register_unique_ref();
void register_require_ref();
void register_record_ref();
void register_scatter_ref();
void register_distributions_ref();
void register_complex_ref();
void register_fft_ref();
void register_transfer_ref();
void register_collective_ref();

void register_all() {
  // fast; complex numbers first, so that the others need not know of them
  register_complex_cpu();
  register_elementwise_cpu();
  register_batch_norm_cpu();
  register_view_cpu();
  register_bitcast_cpu();
  register_index_cpu();
  register_optim_cpu();
  register_update_cpu();
  register_layer_norm_cpu();
  register_loss_cpu();
  register_softmax_cpu();
  register_reduce_cpu();
  register_random_cpu();
  register_scan_cpu();
  register_ctc_cpu();
  register_order_cpu();
  register_unique_cpu();
  register_search_cpu();
  register_require_cpu();
  register_nll_loss_cpu();
  register_scatter_cpu();
  register_pad_grad_cpu();
  register_gemv_cpu();
  register_int_divide_cpu();
  register_creation_cpu();
  register_matmul_cpu();
  register_conv_winograd_cpu();
  register_conv_weight_cpu();
  register_conv_depthwise_cpu();
  register_conv_cpu();
  register_pool_cpu();
  register_attention_cpu();
  register_recurrent_cpu();
  register_resample_cpu();
  register_pool_index_cpu();
  register_grid_sample_cpu();
  register_group_norm_cpu();
  register_unfold_cpu();
  register_linalg_cpu();
  register_linalg_complex_cpu();
  register_roi_align_cpu();
  register_fft_cpu();
  register_collective_cpu();
  // reference
  register_complex_ref();
  register_fft_ref();
  register_linalg_ref();
  register_spectral_ref();
  register_roi_align_ref();
  register_resample_ref();
  register_pool_index_ref();
  register_grid_sample_ref();
  register_unfold_ref();
  register_matmul_ref();
  register_conv_ref();
  register_elementwise_ref();
  register_pool_ref();
  register_reduce_ref();
  register_random_ref();
  register_view_ref();
  register_optim_ref();
  register_layer_norm_ref();
  register_loss_ref();
  register_softmax_ref();
  register_index_ref();
  register_scan_ref();
  register_ctc_ref();
  register_order_ref();
  register_unique_ref();
  register_require_ref();
  register_record_ref();
  register_collective_ref();
  register_collective_device();
  register_scatter_ref();
  register_distributions_ref();
  register_transfer_ref();
}

namespace {
[[maybe_unused]] const bool kRegistered = (register_all(), true);
}  // namespace

}  // namespace rutile::kernels
