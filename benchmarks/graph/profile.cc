// SPDX-License-Identifier: Apache-2.0
// Where a compiled training step spends its time:
//
//   bench_graph [resnet50|lenet|mlp|gpt] [batch] [size] [fp32|bf16] [passes off, comma-separated]
//   bench_graph passes [network] [batch] [size] [fp32|bf16]
//
// The second prints what docs/passes.md holds: the step with each optional pass left out. The first
// prints a row per kernel (calls, ms per step, share), the slowest nodes, the memory plan and the
// passes.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "rutile/benchmarks/profile.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/nn/models/gpt.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/index.h"
#include "rutile/ops/random.h"

namespace rutile {
namespace {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point t) {
  return std::chrono::duration<double, std::milli>(Clock::now() - t).count();
}

struct Work {
  nn::CellPtr net;
  Tensor x, y;
  int64_t items = 0;
};

Work make_work(const std::string& name, int64_t batch, int64_t size) {
  Work w;
  w.items = batch;
  ops::RandomRandintAttrs labels;
  labels.shape = {batch};
  labels.high = 10;
  ops::RandomNormalAttrs image;
  if (name == "gpt") {
    w.net = nn::make<nn::models::Gpt>();
    labels.shape = {batch, size};
    labels.high = 65;
    w.x = ops::random_randint(labels);
    w.items = batch * size;
  } else if (name == "mlp") {
    w.net = nn::make<nn::models::Mlp>();
    image.shape = {batch, 784};
    w.x = ops::random_normal(image);
  } else if (name == "lenet") {
    w.net = nn::make<nn::models::LeNet>();
    image.shape = {batch, 1, 32, 32};
    w.x = ops::random_normal(image);
  } else {
    w.net = nn::models::resnet50({.classes = size >= 64 ? 1000 : 10});
    image.shape = {batch, 3, size, size};
    w.x = ops::random_normal(image);
  }
  w.y = ops::random_randint(labels);
  return w;
}

nn::TrainStep make_step(const Work& w, bool bf16, const std::string& off) {
  nn::StepOptions options;
  options.passes_off = off;
  if (bf16) options.amp = DType::kBF16;
  return {w.net, nn::CrossEntropyLoss(), std::make_shared<nn::optim::Momentum>(w.net->parameters()),
          options};
}

void profile(const std::string& name, int64_t batch, int64_t size, bool bf16,
             const std::string& off) {
  set_seed(1);
  Work w = make_work(name, batch, size);
  nn::TrainStep step = make_step(w, bf16, off);
  Clock::time_point t = Clock::now();
  step(w.x, w.y).loss.item();
  std::printf("first step %.2f s\n", ms_since(t) / 1e3);
  constexpr int kSteps = 5;
  std::vector<double> times;
  for (int i = 0; i < kSteps; ++i) {
    t = Clock::now();
    step(w.x, w.y).loss.item();
    times.push_back(ms_since(t));
  }
  std::sort(times.begin(), times.end());
  std::printf("step %.2f ms (best %.2f), %.1f items/s\n", times[kSteps / 2], times[0],
              1e3 * static_cast<double>(w.items) / times[kSteps / 2]);

  bench::print_profile(step, {w.x, w.y});
  const graph::CompileReport& report = *step.report();
  std::printf("trace %.0f ms, lower %.0f ms\n", report.trace_ms, report.lower_ms);
  for (const graph::PassReport& p : report.passes) {
    std::printf("  %-20s %5d -> %5d nodes %8.2f ms\n", p.name.c_str(), p.nodes_before,
                p.nodes_after, p.ms);
  }
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
}  // namespace rutile

int main(int argc, char** argv) {
  auto arg = [&](int i, const char* fallback) {
    return std::string(argc > i ? argv[i] : fallback);
  };
  try {
    if (arg(1, "") == "passes") {
      rutile::compare_passes(arg(2, "resnet50"), std::atoll(arg(3, "16").c_str()),
                             std::atoll(arg(4, "224").c_str()), arg(5, "fp32") == "bf16");
      return 0;
    }
    rutile::profile(arg(1, "resnet50"), std::atoll(arg(2, "16").c_str()),
                    std::atoll(arg(3, "224").c_str()), arg(4, "fp32") == "bf16", arg(5, ""));
  } catch (const rutile::Error& e) {
    std::fprintf(stderr, "bench_graph: %s\n", e.what());
    return 1;
  }
  return 0;
}
