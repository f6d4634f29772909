// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/eigen_svd.inc"

namespace rutile::kernels {

Fault eigen_svd_f64(const Matrix& a, const Matrix& u, const Matrix& s, const Matrix& vh) {
  return svd<double>(a, u, s, vh);
}

}  // namespace rutile::kernels
