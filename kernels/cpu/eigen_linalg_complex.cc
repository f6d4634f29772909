// SPDX-License-Identifier: Apache-2.0
// Linear algebra of complex numbers.
#include <complex>

namespace rutile::kernels {
namespace {
using Single = std::complex<float>;
using Double = std::complex<double>;
constexpr bool kComplex = true;
}  // namespace
}  // namespace rutile::kernels

#include "rutile/kernels/cpu/eigen_linalg.inc"

namespace rutile::kernels {

void register_linalg_complex_cpu() { register_rows(); }

}  // namespace rutile::kernels
