// SPDX-License-Identifier: Apache-2.0
// Fourier transforms by their definition, in double.
#include "rutile/ops/fft.h"

#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "rutile/core/complex.h"
#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/fft_call.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"

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

namespace {

using Z = std::complex<double>;

struct FftRefPlan : Plan {
  FftCall call;
  DType in, out;
};

Z load(DType t, const void* p, int64_t i) {
  return dispatch_all(t, [&](auto id) {
    return cast_complex<Z>(static_cast<const typename decltype(id)::type*>(p)[i]);
  });
}

Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const FftRefPlan&>(plan);
  const FftSpec& s = p.call.spec;
  const int64_t half = s.n / 2 + 1;
  std::vector<Z> x(static_cast<size_t>(s.n)), w(x.size());
  for (int64_t k = 0; k < s.n; ++k) {
    const double turn = 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(s.n);
    w[static_cast<size_t>(k)] = Z(std::cos(turn), s.inverse ? std::sin(turn) : -std::sin(turn));
  }
  Walk from(p.call.lines, p.call.in_lines), to(p.call.lines, p.call.out_lines);
  for (; !from.done(); from.next(), to.next()) {
    for (int64_t j = 0; j < s.n; ++j) {
      const bool there = j < s.given && (s.kind != FftKind::kToReal || j < half);
      x[static_cast<size_t>(j)] =
          there ? load(p.in, args.in[0], from.offset() + j * s.in_step) : Z(0);
    }
    if (s.kind == FftKind::kToReal) {  // the other half are the conjugates
      x[0] = x[0].real();
      if (s.n % 2 == 0) x[static_cast<size_t>(s.n / 2)] = x[static_cast<size_t>(s.n / 2)].real();
      for (int64_t j = half; j < s.n; ++j) {
        x[static_cast<size_t>(j)] = std::conj(x[static_cast<size_t>(s.n - j)]);
      }
    }
    const int64_t results = s.kind == FftKind::kFromReal ? half : s.n;
    for (int64_t k = 0; k < results; ++k) {
      Z sum = 0;
      for (int64_t j = 0; j < s.n; ++j) {
        sum += x[static_cast<size_t>(j)] * w[static_cast<size_t>(j * k % s.n)];
      }
      dispatch_all(p.out, [&](auto id) {
        using T = typename decltype(id)::type;
        static_cast<T*>(args.out[0])[to.offset() + k * s.out_step] = cast_complex<T>(sum * s.scale);
      });
    }
  }
  return Status();
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<FftRefPlan>();
  p->call = fft_call(c);
  p->in = c.in(0).dtype;
  p->out = c.out().dtype;
  p->run = run_ref<run>;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_fft_ref() {
  for (const OpDef* op : {&ops::kFft, &ops::kIfft, &ops::kRfft, &ops::kIrfft}) {
    register_kernel({.op = op, .name = "ref", .prepare = prepare, .reference = true});
  }
}

}  // namespace rutile::kernels
