// SPDX-License-Identifier: Apache-2.0
// Inference through the compiled evaluation step, a JSON line at the end:
//
//   bench_infer resnet50 [--batch-size 1] [--image-size 224] [--precision fp32|bf16] [--steps 20]
//               [--mode graph|eager] [--passes-off LIST] [--threads N] [--parallel N] [--json FILE]
//
// --parallel: as many threads, each with --threads threads of its own (1 unless given), call the
// one compiled function at the same time.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "rutile/core/thread.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/random.h"

namespace rutile {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

struct Options {
  std::string work = "resnet50", precision = "fp32", mode = "graph", passes_off, json;
  int64_t inference = 1;  // as benchmarks/run.py calls both sides
  int64_t batch = 1, size = 224, steps = 20, threads = 0, parallel = 1;
};

Options parse(int argc, char** argv) {
  Options o;
  const std::map<std::string, std::string*> texts{{"--precision", &o.precision},
                                                  {"--passes-off", &o.passes_off},
                                                  {"--mode", &o.mode},
                                                  {"--json", &o.json}};
  const std::map<std::string, int64_t*> numbers{
      {"--inference", &o.inference}, {"--batch-size", &o.batch}, {"--image-size", &o.size},
      {"--steps", &o.steps},         {"--threads", &o.threads},  {"--parallel", &o.parallel}};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name[0] != '-') {
      o.work = name;
    } else if (i + 1 < argc && texts.count(name)) {
      *texts.at(name) = argv[++i];
    } else if (i + 1 < argc && numbers.count(name)) {
      *numbers.at(name) = std::atoll(argv[++i]);
    } else {
      throw_error(ErrorCode::kValue, cat("bench_infer: '", name, "' is no option with a value"));
    }
  }
  return o;
}

nn::CellPtr make_net(const Options& o, Shape* input) {
  if (o.work == "resnet50") {
    *input = {o.batch, 3, o.size, o.size};
    return nn::models::resnet50({.classes = o.size >= 64 ? 1000 : 10});
  }
  if (o.work == "lenet") {
    *input = {o.batch, 1, 32, 32};
    return nn::make<nn::models::LeNet>();
  }
  *input = {o.batch, 784};
  return nn::make<nn::models::Mlp>();
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

int run(const Options& o) {
  const int threads = o.threads > 0    ? static_cast<int>(o.threads)
                      : o.parallel > 1 ? 1
                                       : num_threads();
  ThreadCountScope scope(threads);
  ops::RandomNormalAttrs attrs;
  const nn::CellPtr net = make_net(o, &attrs.shape);
  net->eval();
  nn::StepOptions options{.passes_off = o.passes_off};
  if (o.mode == "eager") options.mode = nn::Mode::kEager;
  if (o.precision == "bf16") options.amp = DType::kBF16;
  nn::EvalStep step(net, options);
  const Tensor x = ops::random_normal(attrs);
  auto start = Clock::now();
  step(x);
  const double first = seconds_since(start);
  for (int i = 0; i < 3; ++i) step(x);
  std::vector<double> times;
  if (o.parallel == 1) {
    for (int64_t i = 0; i < o.steps; ++i) {
      start = Clock::now();
      step(x);
      times.push_back(seconds_since(start));
    }
  } else {
    start = Clock::now();
    std::vector<std::thread> callers;
    for (int64_t t = 0; t < o.parallel; ++t) {
      callers.emplace_back([&] {
        ThreadCountScope one(threads);
        for (int64_t i = 0; i < o.steps; ++i) step(x);
      });
    }
    for (std::thread& t : callers) t.join();
    times.push_back(seconds_since(start) / static_cast<double>(o.steps * o.parallel));
  }
  const double seconds = median(times);
  const double items = static_cast<double>(o.batch);
  const std::string line =
      cat("{\"items_per_second\": ", items / seconds,
          ", \"best_items_per_second\": ", items / *std::min_element(times.begin(), times.end()),
          ", \"step_ms\": ", seconds * 1e3, ", \"first_step_s\": ", first,
          ", \"kernels\": ", step.report() ? step.report()->kernels : 0, "}\n");
  std::fputs(line.c_str(), stdout);
  if (!o.json.empty()) std::ofstream(o.json) << line;
  return 0;
}

}  // namespace
}  // namespace rutile

int main(int argc, char** argv) {
  try {
    return rutile::run(rutile::parse(argc, argv));
  } catch (const rutile::Error& e) {
    std::fprintf(stderr, "%s\n", e.message().c_str());
    return 1;
  }
}
