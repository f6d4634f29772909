// SPDX-License-Identifier: Apache-2.0
// Fourier transforms of all lines along an axis, several at a time, on several threads.
#include "rutile/ops/fft.h"

#include <algorithm>
#include <cmath>

#include "rutile/core/complex.h"
#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/eigen_fft.h"
#include "rutile/kernels/cpu/eigen_gemm.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/fft_call.h"
#include "rutile/kernels/register.h"
#include "rutile/kernels/walk.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr int kMaxLanes = 8;

struct FftPlan : Plan {
  FftCall call;
  std::unique_ptr<FftLines> lines;
  int64_t count = 0;  // of lines
  int threads = 1;
  size_t part_bytes = 0;  // workspace of a thread
  int64_t in_size = 0, out_size = 0;
};

// Lines [begin, end).
void run_lines(const FftPlan& p, const KernelArgs& args, int64_t begin, int64_t end, void* work) {
  Walk in(p.call.lines, p.call.in_lines, begin), out(p.call.lines, p.call.out_lines, begin);
  while (begin < end) {
    const void* from[kMaxLanes];
    void* to[kMaxLanes];
    int n = 0;
    for (; n < p.lines->lanes() && begin < end; ++n, ++begin, in.next(), out.next()) {
      from[n] = static_cast<const char*>(args.in[0]) + in.offset() * p.in_size;
      to[n] = static_cast<char*>(args.out[0]) + out.offset() * p.out_size;
    }
    p.lines->run(from, to, n, work);
  }
}

Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const FftPlan&>(plan);
  const int64_t lanes = p.lines->lanes(), groups = (p.count + lanes - 1) / lanes;
  parallel_for(0, p.threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      run_lines(p, args, std::min(p.count, groups * t / p.threads * lanes),
                std::min(p.count, groups * (t + 1) / p.threads * lanes),
                static_cast<char*>(args.workspace) + static_cast<size_t>(t) * p.part_bytes);
    }
  });
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  if (c.in(0).layout == kStrided) return true;
  return refuse(reason, "takes strided tensors only");
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<FftPlan>();
  p->call = fft_call(c);
  p->count = p->call.lines.numel();
  if (c.out().numel() == 0) {  // of lines of any length
    p->run = [](const Plan&, const KernelArgs&) { return Status(); };
    *plan = std::move(p);
    return Status();
  }
  try {
    p->lines = make_fft_lines(p->call.spec, p->count);
  } catch (const std::bad_alloc&) {
    return Status(ErrorCode::kOutOfMemory,
                  cat("has no memory for the tables of ", p->call.spec.n, " points"));
  }
  const int64_t lanes = p->lines->lanes(), groups = (p->count + lanes - 1) / lanes;
  const int wanted = threads_for(p->lines->ns() * static_cast<double>(groups));
  p->threads = static_cast<int>(std::clamp<int64_t>(groups, 1, wanted));
  p->part_bytes = (p->lines->workspace_bytes() + 63) / 64 * 64;
  p->workspace_bytes = p->part_bytes * static_cast<size_t>(p->threads);
  p->in_size = static_cast<int64_t>(dtype_size(c.in(0).dtype));
  p->out_size = static_cast<int64_t>(dtype_size(c.out().dtype));
  p->run = run;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_fft_cpu() {
  if (!eigen_runs()) return;
  for (const OpDef* op : {&ops::kFft, &ops::kIfft, &ops::kRfft, &ops::kIrfft}) {
    register_kernel({.op = op, .name = "eigen", .supports = supports, .prepare = prepare});
  }
}

}  // namespace rutile::kernels
