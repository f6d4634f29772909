// SPDX-License-Identifier: Apache-2.0
// Rows of Fourier transforms over cuFFT. Lines are copied into ones without gaps in the workspace
// and back: that cuts and fills them, and puts in the factor.
#include "rutile/core/complex.h"
#include "rutile/core/device_runtime.h"
#include "rutile/kernels/cuda/fft_library.h"
#include "rutile/kernels/cuda/fft_row.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/libraries.h"
#include "rutile/ops/fft.h"

namespace rutile::cuda {
namespace {

using kernels::FftKind;

struct CufftRow : Plan {
  FftPoints points;
  bool inverse = false;
  size_t given = 0, found = 0, room = 0;  // places in the workspace
  std::unique_ptr<const LibraryFft> library;
};

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const CufftRow&>(plan);
  if (p.points.lines.lines == 0) return Status();
  LibraryStream stream;
  RUTILE_RETURN_IF_ERROR(library_stream(k.stream, &stream));
  const auto at = [&](size_t place) { return static_cast<char*>(k.workspace) + place; };
  FftPoints a = p.points;
  a.lines.x = k.in[0];
  a.lines.y = k.out[0];
  a.points = at(p.given);
  RUTILE_RETURN_IF_ERROR(launch_status(launch_fft_pack(a, k.stream)));
  RUTILE_RETURN_IF_ERROR(
      p.library->run(at(p.given), at(p.found), p.inverse, at(p.room), stream.native));
  a.points = at(p.found);
  return launch_status(launch_fft_unpack(a, k.stream));
}

// The library's plans take memory past our allocator: what it only keeps makes room for them.
Status make_library(FftWay way, const FftArgs& a, Device device,
                    std::unique_ptr<const LibraryFft>* out) {
  RUTILE_RETURN_IF_ERROR(make_current(device.index));
  Status s = LibraryFft::make(way, a.wide, a.n, a.lines, out);
  if (s.code() != ErrorCode::kOutOfMemory) return s;
  allocator(device).empty_cache();
  return LibraryFft::make(way, a.wide, a.n, a.lines, out);
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<CufftRow>();
  p->run = run;
  FftArgs& a = p->points.lines;
  const kernels::FftSpec s = set_lines(c, &a);
  const bool from_real = a.in == FftSide::kReal;
  p->points.halves = from_real;
  // Of real numbers there is the forward way only; the other one gives the conjugates.
  p->points.conjugate = from_real && s.inverse;
  p->inverse = s.inverse;
  const FftWay way = from_real                    ? FftWay::kFromReal
                     : s.kind == FftKind::kToReal ? FftWay::kToReal
                                                  : FftWay::kComplex;
  if (a.lines > 0) RUTILE_RETURN_IF_ERROR(make_library(way, a, c.in(0).device, &p->library));
  const size_t real = a.wide ? 8 : 4, n = static_cast<size_t>(a.n);
  const auto take = [&](size_t bytes_of_a_line) {
    const size_t at = p->workspace_bytes;
    p->workspace_bytes += (static_cast<size_t>(a.lines) * bytes_of_a_line + 255) / 256 * 256;
    return at;
  };
  const size_t half = (n / 2 + 1) * 2 * real, whole = n * 2 * real;
  p->given = take(from_real ? n * real : way == FftWay::kToReal ? half : whole);
  p->found = take(from_real ? half : way == FftWay::kToReal ? n * real : whole);
  p->room = p->workspace_bytes;
  if (p->library) p->workspace_bytes += p->library->workspace_bytes();
  *plan = std::move(p);
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!takes_fft(c, reason)) return false;
  if (cufft_failure().empty()) return true;
  reason->text = cufft_failure();
  return false;
}

}  // namespace

void register_cufft() {
  for (const OpDef* op : {&ops::kFft, &ops::kIfft, &ops::kRfft, &ops::kIrfft}) {
    add_row(*op, "cufft", prepare, supports);
  }
}

}  // namespace rutile::cuda
