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
