// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/libraries.h"

namespace rutile::cuda {

void register_libraries() {
  register_blas();
  register_solver();
  register_cufft();
#if defined(RUTILE_CUDNN)
  register_cudnn();
#endif
#if defined(RUTILE_CUPTI_BUILT)
  register_cupti();
#endif
}

}  // namespace rutile::cuda
