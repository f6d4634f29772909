// SPDX-License-Identifier: Apache-2.0
// One compiled training step of a small network, timed:
//
//   bench_networks unet [--steps N] [--precision fp32|bf16] [--threads N] [--mode graph|eager]
//                       [--json FILE] [--passes-off LIST] [--profile]
//
// `bench_networks list` names the networks. The JSON line is like that of benchmarks/compare;
// losses are those of the first steps. --profile prints a row per kernel.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>

#include "rutile/benchmarks/networks/networks.h"
#include "rutile/core/thread.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/random.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string network, precision = "fp32", mode = "graph", json, passes_off;
  int steps = 20, threads = 0;
  bool profile = false;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  std::map<std::string, std::string*> texts{{"--precision", &a.precision},
                                            {"--mode", &a.mode},
                                            {"--json", &a.json},
                                            {"--passes-off", &a.passes_off}};
  std::map<std::string, int*> numbers{{"--steps", &a.steps}, {"--threads", &a.threads}};
  for (int i = 1; i < argc; ++i) {
    const std::string key = argv[i];
    if (key == "--profile") {
      a.profile = true;
    } else if (texts.contains(key) && i + 1 < argc) {
      *texts[key] = argv[++i];
    } else if (numbers.contains(key) && i + 1 < argc) {
      *numbers[key] = std::max(1, std::atoi(argv[++i]));
    } else if (a.network.empty() && key[0] != '-') {
      a.network = key;
    } else {
      throw_error(ErrorCode::kValue, cat("unknown argument ", key));
    }
  }
  return a;
}

nn::LossFn loss_of(const Network& n) {
  if (n.loss == Loss::kMse) return nn::MSELoss();
  if (n.loss == Loss::kBceWithLogits) return nn::BCEWithLogitsLoss();
  return nn::CrossEntropyLoss();
}

std::shared_ptr<nn::optim::Optimizer> optimizer_of(const Network& n, const nn::Cell& net) {
  if (n.rule == Rule::kAdamW) return std::make_shared<nn::optim::AdamW>(net.parameters());
  return std::make_shared<nn::optim::Momentum>(
      net.parameters(), nn::optim::MomentumOptions{.lr = 0.01, .momentum = 0.9});
}

struct Batch {
  Tensor x, y;
};

Batch batch_of(const Network& n) {
  Batch b;
  const double bound = std::sqrt(3.0);
  b.x = n.vocab ? named_ids("x", n.x, n.vocab) : named_values("x", n.x, -bound, bound);
  b.y = n.classes ? named_ids("y", n.y, n.classes) : named_values("y", n.y, 0, 1);
  if (n.loss == Loss::kBceWithLogits) b.y = ops::cast(b.y, DType::kF32);
  return b;
}

constexpr int kLosses = 8;  // compared with the other side's

void write_json(const Arguments& a, const Network& n, std::vector<double> ms, double first_s,
                const std::vector<double>& losses) {
  std::sort(ms.begin(), ms.end());
  const double median = ms[ms.size() / 2];
  const auto items = static_cast<double>(n.x[0]);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::string list;
  for (const double v : losses) list += cat(list.empty() ? "" : ", ", v);
  const std::string line =
      cat("{\"work\": \"", n.name, "\", \"precision\": \"", a.precision, "\", \"mode\": \"", a.mode,
          "\", \"items_per_second\": ", 1e3 * items / median,
          ", \"best_items_per_second\": ", 1e3 * items / ms[0], ", \"step_ms\": ", median,
          ", \"best_step_ms\": ", ms[0], ", \"first_step_s\": ", first_s,
          ", \"peak_rss_mb\": ", usage.ru_maxrss / 1024, ", \"losses\": [", list, "]}");
  if (a.json.empty()) {
    std::cout << line << "\n";
  } else {
    std::ofstream(a.json) << line << "\n";
  }
}

void run(const Arguments& a) {
  if (a.threads) set_num_threads(a.threads);
  set_seed(1);
  const Network& n = find_network(a.network);
  nn::CellPtr net = n.make();
  set_named_values(*net);
  const Batch b = batch_of(n);
  nn::StepOptions options;
  options.mode = a.mode == "eager" ? nn::Mode::kEager : nn::Mode::kGraph;
  options.passes_off = a.passes_off;
  if (a.precision == "bf16") options.amp = DType::kBF16;
  nn::TrainStep step(net, loss_of(n), optimizer_of(n, *net), options);
  std::vector<double> ms, losses;
  double first_s = 0;
  const int warm_up = std::max(kLosses - 1, a.steps / 5);
  for (int i = 0; i < 1 + warm_up + a.steps; ++i) {
    const Clock::time_point start = Clock::now();
    const double loss = step(b.x, b.y).loss.item();
    const double each = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    if (i == 0) first_s = each / 1e3;
    if (i < kLosses) losses.push_back(loss);
    if (i > warm_up) ms.push_back(each);
  }
  write_json(a, n, ms, first_s, losses);
  if (a.profile) std::cout << step.explain(b.x, b.y).text();
}

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  try {
    const auto arguments = rutile::bench::parse(argc, argv);
    if (arguments.network == "list") {
      for (const auto& n : rutile::bench::networks()) std::cout << n.name << "\n";
      return 0;
    }
    rutile::bench::run(arguments);
  } catch (const rutile::Error& e) {
    std::cerr << "bench_networks: " << e.what() << "\n";
    return 1;
  }
  return 0;
}
