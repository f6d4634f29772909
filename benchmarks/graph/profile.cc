// SPDX-License-Identifier: Apache-2.0
// Where a compiled training step spends its time, and what it could take at least:
//
//   bench_graph [resnet50|lenet|mlp|gpt] [batch] [size] [fp32|bf16] [passes off, comma-separated]
//   bench_graph kernels [network] [batch] [size] [fp32|bf16] [file.json]
//   bench_graph passes [network] [batch] [size] [fp32|bf16]
//   bench_graph limits [page]
//
// The first prints what explain() says of the step. The second is to be held against
// resnet50_convs_* of bench_ops: all kernels of the step, each in its fastest of five runs. The
// third prints what docs/passes.md holds: the step with each optional pass left out. The fourth
// puts each network's limit between the markers of docs/performance.md, or prints it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "rutile/benchmarks/graph/work.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/ops/random.h"

namespace rutile::bench {
namespace {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point t) {
  return std::chrono::duration<double, std::milli>(Clock::now() - t).count();
}

void profile(const std::string& network, int64_t batch, int64_t size, bool bf16,
             const std::string& off) {
  set_seed(1);
  const Work w = make_work(network, batch, size);
  nn::TrainStep step = make_step(w, bf16, off);
  const Clock::time_point t = Clock::now();
  step(w.x, w.y).loss.item();
  std::printf("first step %.2f s\n", ms_since(t) / 1e3);
  const graph::Explanation e = step.explain(w.x, w.y);
  std::printf("%.1f items/s\n%s", 1e3 * static_cast<double>(w.items) / e.step_ms, e.text().c_str());
}

void time_kernels(const std::string& network, int64_t batch, int64_t size, bool bf16,
                  const std::string& file) {
  set_seed(1);
  const Work w = make_work(network, batch, size);
  nn::TrainStep step = make_step(w, bf16, "");
  step(w.x, w.y).loss.item();
  graph::ExplainOptions five;
  five.runs = 5;
  const graph::Explanation e = step.explain(w.x, w.y, five);
  const double items = 1e3 * static_cast<double>(w.items);
  std::FILE* out = file.empty() ? stdout : std::fopen(file.c_str(), "w");
  if (!out) throw_error(ErrorCode::kIo, cat("cannot write ", file));
  std::fprintf(out, "{\"items_per_second\": %.6g, \"step_ms\": %.6g, \"whole_step_ms\": %.6g}\n",
               items / e.best_kernel_ms(), e.best_kernel_ms(), e.step_ms);
  if (out != stdout) std::fclose(out);
}

// The step with all passes, without each optional one and without all: by turns, the median.
void compare_passes(const std::string& name, int64_t batch, int64_t size, bool bf16) {
  std::printf(
      "| passes left out | kernels | nodes | arena MiB | step ms |\n"
      "|---|---:|---:|---:|---:|\n");
  set_seed(1);
  const Work first = make_work(name, batch, size);
  nn::TrainStep full = make_step(first, bf16, "");
  full(first.x, first.y);
  std::vector<std::string> offs{""};
  for (const graph::Pass& p : graph::pipeline()) {
    if (p.optional) offs.push_back(p.name);
  }
  offs.push_back("all");
  for (const std::string& off : offs) {
    std::vector<double> times, base;
    Work w = make_work(name, batch, size);
    nn::TrainStep step = make_step(w, bf16, off);
    step(w.x, w.y).loss.item();
    for (int i = 0; i < 7; ++i) {
      Clock::time_point t = Clock::now();
      step(w.x, w.y).loss.item();
      times.push_back(ms_since(t));
      t = Clock::now();
      full(first.x, first.y).loss.item();
      base.push_back(ms_since(t));
    }
    std::sort(times.begin(), times.end());
    std::sort(base.begin(), base.end());
    const graph::Program& p = step.compiled()->session().program();
    std::printf("| %s | %zu | %zu | %lld | %.1f (with all passes in turn: %.1f) |\n",
                off.empty() ? "none" : off.c_str(), p.steps.size(), p.graph->order.size(),
                static_cast<long long>(p.memory.peak >> 20), times[3], base[3]);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  auto arg = [&](int i, const char* fallback) {
    return std::string(argc > i ? argv[i] : fallback);
  };
  try {
    if (arg(1, "") == "limits") {
      rutile::bench::write_limits(arg(2, ""));
      return 0;
    }
    if (arg(1, "") == "passes") {
      rutile::bench::compare_passes(arg(2, "resnet50"), std::atoll(arg(3, "16").c_str()),
                                    std::atoll(arg(4, "224").c_str()), arg(5, "fp32") == "bf16");
      return 0;
    }
    if (arg(1, "") == "kernels") {
      rutile::bench::time_kernels(arg(2, "resnet50"), std::atoll(arg(3, "16").c_str()),
                                  std::atoll(arg(4, "224").c_str()), arg(5, "fp32") == "bf16",
                                  arg(6, ""));
      return 0;
    }
    rutile::bench::profile(arg(1, "resnet50"), std::atoll(arg(2, "16").c_str()),
                           std::atoll(arg(3, "224").c_str()), arg(4, "fp32") == "bf16", arg(5, ""));
  } catch (const rutile::Error& e) {
    std::fprintf(stderr, "bench_graph: %s\n", e.what());
    return 1;
  }
  return 0;
}
