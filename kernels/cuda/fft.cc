// SPDX-License-Identifier: Apache-2.0
// Rows of Fourier transforms without a library.
#include "rutile/kernels/cuda/fft.h"

#include <cmath>
#include <numbers>

#include "rutile/core/complex.h"
#include "rutile/kernels/cuda/fft_row.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/table.h"
#include "rutile/ops/fft.h"

namespace rutile::cuda {
namespace {

struct FftPlan : Plan {
  FftArgs args;
  Table table;
};

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const FftPlan&>(plan);
  FftArgs a = p.args;
  a.x = k.in[0];
  a.y = k.out[0];
  a.workspace = k.workspace;
  return launch_status(launch_fft(a, k.stream));
}

// Fours first: they need the fewest passes for their work.
void set_factors(int64_t n, FftArgs* a) {
  const auto take = [&](int64_t p) {
    while (n % p == 0 && n > 1) {
      a->factor[a->factors++] = p;
      n /= p;
    }
  };
  take(4);
  for (int64_t p = 2; p * p <= n; ++p) take(p);
  if (n > 1) take(n);
}

std::vector<double> turns(int64_t n, bool inverse) {
  std::vector<double> t;
  t.reserve(2 * static_cast<size_t>(n));
  for (int64_t k = 0; k < n; ++k) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
    t.push_back(std::cos(angle));
    t.push_back(inverse ? std::sin(angle) : -std::sin(angle));
  }
  return t;
}

}  // namespace

kernels::FftSpec set_lines(const CallMeta& c, FftArgs* lines) {
  const kernels::FftCall call = kernels::fft_call(c);
  const kernels::FftSpec& s = call.spec;
  FftArgs& a = *lines;
  a.lines = call.lines.numel();
  a.n = s.n;
  a.given =
      s.kind == kernels::FftKind::kToReal ? std::min(s.given, s.n / 2 + 1) : std::min(s.given, s.n);
  a.results = s.kind == kernels::FftKind::kFromReal ? s.n / 2 + 1 : s.n;
  a.in_step = s.in_step;
  a.out_step = s.out_step;
  const bool from_real =
      s.kind == kernels::FftKind::kFromReal || s.kind == kernels::FftKind::kAllFromReal;
  a.in = from_real                             ? FftSide::kReal
         : s.kind == kernels::FftKind::kToReal ? FftSide::kHalf
                                               : FftSide::kComplex;
  a.out = s.kind == kernels::FftKind::kToReal ? FftSide::kReal : FftSide::kComplex;
  a.wide = s.in_double;
  a.scale = s.scale;
  const Strides strides[2] = {call.in_lines, call.out_lines};
  a.line_at = make_indexer<2>(call.lines, strides);
  return s;
}

bool takes_fft(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  const DType t = real_dtype(c.in(0).dtype);
  if (t == DType::kF32 || t == DType::kF64) return true;
  reason->text = "takes f32 and f64, and complex numbers of them";
  return false;
}

namespace {

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<FftPlan>();
  p->run = run;
  FftArgs& a = p->args;
  const kernels::FftSpec s = set_lines(c, &a);
  set_factors(s.n, &a);
  const size_t at = p->table.add(turns(s.n, s.inverse));
  RUTILE_RETURN_IF_ERROR(p->table.upload(c.in(0).device));
  a.turns = p->table.get<double>(at);
  p->workspace_bytes = static_cast<size_t>(a.lines * s.n) * 2 * (a.wide ? 16 : 8);
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_fft() {
  for (const OpDef* op : {&ops::kFft, &ops::kIfft, &ops::kRfft, &ops::kIrfft}) {
    add_row(*op, "stockham", prepare, takes_fft);
  }
}

}  // namespace rutile::cuda
