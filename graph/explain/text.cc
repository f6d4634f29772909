// SPDX-License-Identifier: Apache-2.0
// The tables of an Explanation, at most 100 columns wide.
#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "rutile/graph/explain/tables.h"

namespace rutile::graph {

namespace {

constexpr size_t kColumns = 100;
constexpr size_t kKernels = 24, kNodes = 24, kRemarks = 30, kReorders = 20, kBuffers = 12,
                 kSources = 30;

double mib(double bytes) { return bytes / (1 << 20); }
double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

// A line that is cut off at the last column.
void line(std::string* out, const char* format, ...) __attribute__((format(printf, 2, 3)));
void line(std::string* out, const char* format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  const int n = std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  std::string_view s(text, std::min<size_t>(n < 0 ? 0 : static_cast<size_t>(n), sizeof text - 1));
  if (s.size() <= kColumns) {
    *out += cat(s, "\n");
  } else {
    *out += cat(s.substr(0, kColumns - 2), "..\n");
  }
}

// At most `width` characters, the end cut off.
std::string fit(const std::string& s, size_t width) {
  return s.size() <= width ? s : s.substr(0, width - 2) + "..";
}

void more(std::string* out, size_t all, size_t shown, const char* what) {
  if (all > shown) line(out, "  and %zu more %s", all - shown, what);
}

void add_head(const Explanation& e, std::string* out) {
  const Cost c = e.cost();
  line(out, "%s: %zu kernels, %d thread%s", e.name.c_str(), e.kernels.size(), e.peaks.threads,
       e.peaks.threads == 1 ? "" : "s");
  line(out, "  step      %10.3f ms, best %.3f of %d, in kernels %.3f", e.step_ms, e.best_ms, e.runs,
       e.kernel_ms());
  line(out,
       "  limit     %10.3f ms, %.0f %% of the step: each kernel's FLOPs / peak or bytes / rate",
       e.limit_ms(), percent(e.limit_ms(), e.step_ms));
  line(out, "  work      %10.3f GFLOP, %.3f GB", c.flops / 1e9, c.bytes / 1e9);
  if (!e.peaks.device.empty()) {
    line(out, "  stated    %s: products of f32 %.0f, of bf16 %.0f TFLOP/s, memory %.2f TB/s",
         e.peaks.device.c_str(), e.peaks.f32_flops / 1e12, e.peaks.bf16_flops / 1e12,
         e.peaks.memory_bandwidth() / 1e12);
  } else {
    line(out,
         "  measured  f32 %.0f GFLOP/s, bf16 %.0f GFLOP/s, copies %.1f GB/s from memory, up to "
         "%.1f",
         e.peaks.f32_flops / 1e9, e.peaks.bf16_flops / 1e9, e.peaks.memory_bandwidth() / 1e9,
         e.peaks.bandwidth(0) / 1e9);
  }
  line(out, "  compiled  trace %.1f ms, passes %.1f ms, lowering %.1f ms", e.report.trace_ms,
       e.report.pass_ms, e.report.lower_ms);
  if (e.frozen_kernels > 0) {
    line(out, "  frozen    %d kernels that run when weights change, %.2f MiB of results",
         e.frozen_kernels, mib(static_cast<double>(e.frozen_bytes)));
  }
  if (!e.launches.empty()) line(out, "  launches  %s", e.launches.c_str());
  if (!e.device_run.empty()) {
    line(out, "  device    %s", e.device_run.substr(0, e.device_run.find("; ")).c_str());
    line(out, "  gaps      %.3f ms of it with nothing to do, the longest %.3f; %.3f ms busy",
         e.gap_ms, e.longest_gap_ms, e.busy_ms);
  }
  double phases[4] = {};
  for (const KernelTime& k : e.kernels) phases[static_cast<int>(k.phase)] += k.ms;
  if (phases[1] > 0) {
    line(out, "  phases    forward %.0f %%, backward %.0f %%, optimizer %.0f %%",
         percent(phases[0], e.kernel_ms()), percent(phases[1], e.kernel_ms()),
         percent(phases[2], e.kernel_ms()));
  }
}

void add_passes(const Explanation& e, std::string* out) {
  line(out, "\n%-24s %17s %10s %7s %8s", "Passes", "nodes", "ms", "fused", "refused");
  for (const PassReport& p : e.report.passes) {
    const auto done =
        std::count_if(p.remarks.begin(), p.remarks.end(), [](const Remark& r) { return r.done; });
    line(out, "  %-22s %6d -> %7d %10.2f %7ld %8zu%s", p.name.c_str(), p.nodes_before,
         p.nodes_after, p.ms, static_cast<long>(done), p.remarks.size() - static_cast<size_t>(done),
         p.dropped.empty() ? "" : cat("  dropped: ", p.dropped).c_str());
  }
}

void add_fusions(const Explanation& e, std::string* out) {
  const std::vector<RemarkGroup> groups = remark_groups(e.report);
  for (const bool done : {true, false}) {
    const auto count = static_cast<size_t>(
        std::count_if(groups.begin(), groups.end(), [&](const auto& g) { return g.done == done; }));
    if (count == 0) continue;
    line(out, "\n%-40s %6s  %s", done ? "Fused" : "Not fused", "times", "first in");
    size_t shown = 0;
    for (const RemarkGroup& g : groups) {
      if (g.done != done || shown == kRemarks) continue;
      ++shown;
      line(out, "  %-38s %6d  %s", fit(g.what, 38).c_str(), g.count, g.where.c_str());
      if (!g.reason.empty()) line(out, "      %s", g.reason.c_str());
    }
    more(out, count, shown, "kinds");
  }
}

void add_reorders(const Explanation& e, std::string* out) {
  const std::vector<ReorderGroup> groups = reorder_groups(e);
  double bytes = 0, ms = 0;
  for (const ReorderGroup& g : groups) bytes += g.bytes, ms += g.ms;
  line(out, "\nReorders: %zu, %.1f MiB read and written, %.3f ms", e.reorders.size(), mib(bytes),
       ms);
  if (groups.empty()) return;
  line(out, "  %5s %9s %9s  %s", "times", "MiB", "ms", "from -> to, for; the first of them");
  for (size_t i = 0; i < std::min(groups.size(), kReorders); ++i) {
    const ReorderGroup& g = groups[i];
    line(out, "  %5d %9.2f %9.3f  %s -> %s, for %s", g.count, mib(g.bytes), g.ms,
         g.first.from.c_str(), g.first.to.c_str(), g.first.reader.c_str());
    line(out, "  %25s  %s", "", g.first.value.c_str());
  }
  more(out, groups.size(), kReorders, "kinds");
}

void add_memory(const Explanation& e, std::string* out) {
  const MemoryPlan& m = e.report.memory;
  line(out, "\nMemory: arena %.2f MiB, lower bound %.2f MiB, ratio %.3f (order: %s)",
       mib(static_cast<double>(m.peak)), mib(static_cast<double>(m.lower_bound)), m.ratio(),
       m.order.empty() ? "none" : m.order.c_str());
  line(out, "  states %.2f MiB, outputs %.2f MiB a run, %zu buffers",
       mib(static_cast<double>(e.state_bytes)), mib(static_cast<double>(e.report.output_bytes)),
       e.buffers.size());
  const std::vector<size_t> top = largest_buffers(e, kBuffers);
  if (top.empty()) return;
  line(out, "  %9s %13s  %s", "MiB", "steps", "largest buffers");
  for (const size_t i : top) {
    const BufferUse& b = e.buffers[i];
    line(out, "  %9.2f %6d-%-6d  %s", mib(static_cast<double>(b.place.bytes)), b.place.first,
         b.place.last, cat(fit(b.what, 44), b.where.empty() ? "" : " in ", b.where).c_str());
  }
}

void add_kernels(const Explanation& e, std::string* out) {
  const std::vector<KernelGroup> groups = kernel_groups(e);
  if (groups.empty()) return;
  line(out, "\n%-46s %6s %10s %6s %10s %6s  %s", "Kernels: op (kernel)", "calls", "ms", "%",
       "limit ms", "of it", "bound by");
  for (size_t i = 0; i < std::min(groups.size(), kKernels); ++i) {
    const KernelGroup& g = groups[i];
    line(out, "  %-44s %6d %10.3f %6.1f %10.3f %4.0f %%  %s",
         fit(cat(g.op, " (", g.kernel, ")"), 44).c_str(), g.calls, g.ms,
         percent(g.ms, e.kernel_ms()), g.limit_ms, percent(g.limit_ms, g.ms),
         g.arithmetic_ms > g.limit_ms / 2 ? "FLOPs" : "bytes");
  }
  more(out, groups.size(), kKernels, "kinds");
  line(out, "\n%-46s %6s %10s %6s %10s %6s  %s", "Slowest kernels", "ms", "limit ms", "of it",
       "GFLOP/s", "GB/s", "bound by");
  for (const size_t i : slowest_kernels(e, kNodes)) {
    const KernelTime& k = e.kernels[i];
    const double ms = std::max(k.ms, 1e-6);
    line(out, "  %-40s %10.3f %10.3f %4.0f %% %10.1f %6.1f  %s",
         fit(cat(k.op, " (", k.kernel, ")"), 40).c_str(), k.ms, k.limit_ms,
         percent(k.limit_ms, k.ms), k.cost.flops / ms / 1e6, k.cost.bytes / ms / 1e6,
         k.by_arithmetic ? "FLOPs" : "bytes");
    if (!k.where.empty()) line(out, "      in %s", k.where.c_str());
    line(out, "      %s", k.operands.c_str());
  }
}

void add_sources(const Explanation& e, std::string* out) {
  if (e.sources.empty()) return;
  line(out, "\nGenerated kernels: %zu sources", e.sources.size());
  for (size_t i = 0; i < std::min(e.sources.size(), kSources); ++i) {
    const GeneratedSource& g = e.sources[i];
    line(out, "  %s, %d steps", g.name.c_str(), g.steps);
    std::string rest = g.resources;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      line(out, "      %s", rest.substr(0, end).c_str());
      rest.erase(0, end + 1);
    }
  }
  more(out, e.sources.size(), kSources, "sources");
}

}  // namespace

std::string Explanation::text() const {
  std::string out;
  add_head(*this, &out);
  add_passes(*this, &out);
  add_fusions(*this, &out);
  add_reorders(*this, &out);
  add_memory(*this, &out);
  add_kernels(*this, &out);
  add_sources(*this, &out);
  return out;
}

}  // namespace rutile::graph
