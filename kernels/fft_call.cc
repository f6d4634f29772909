// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/fft_call.h"

#include <cmath>

#include "rutile/core/complex.h"
#include "rutile/ops/fft.h"

namespace rutile::kernels {

FftCall fft_call(const CallMeta& c) {
  FftCall r;
  const TensorMeta &x = c.in(0), &y = c.out();
  const auto& a = c.as<ops::FftAttrs>();
  int axis = 0;
  throw_if_error(normalize_axis(a.axis, x.rank(), &axis));
  for (int i = 0; i < x.rank(); ++i) {
    if (i == axis) continue;
    r.lines.push_back(x.shape[i]);
    r.in_lines.push_back(x.strides[i]);
    r.out_lines.push_back(y.strides[i]);
  }
  FftSpec& s = r.spec;
  const bool from_real = !is_complex(x.dtype), to_real = !is_complex(y.dtype);
  const bool half = c.op == &ops::kRfft;
  s.kind = half        ? FftKind::kFromReal
           : from_real ? FftKind::kAllFromReal
           : to_real   ? FftKind::kToReal
                       : FftKind::kComplex;
  s.inverse = c.op == &ops::kIfft || c.op == &ops::kIrfft;
  s.in_double = real_dtype(x.dtype) == DType::kF64;
  s.given = x.shape[axis];
  s.n = !half ? y.shape[axis] : a.n == -1 ? s.given : a.n;
  s.in_step = x.strides[axis];
  s.out_step = y.strides[axis];
  const double n = static_cast<double>(s.n);
  const bool divides = (a.norm == ops::FftNorm::kBackward) == s.inverse;
  s.scale = a.norm == ops::FftNorm::kOrtho ? 1 / std::sqrt(n) : divides ? 1 / n : 1;
  return r;
}

}  // namespace rutile::kernels
