// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/eigen_svd.inc"

namespace rutile::kernels {

Fault eigen_svd_c128(const Matrix& a, const Matrix& u, const Matrix& s, const Matrix& vh) {
  return svd<std::complex<double>>(a, u, s, vh);
}

Fault eigen_svdvals_c128(const Matrix& a, const Matrix& s) {
  return svd_values<std::complex<double>>(a, s);
}

}  // namespace rutile::kernels
