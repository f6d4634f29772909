// SPDX-License-Identifier: Apache-2.0
// Chains of elementwise ops and reductions as users write them, compiled:
//
//   bench_fusion [chain, or all] [rows] [columns] [time|print] [passes off]
//
// A JSON line per chain, forward alone and with gradients: kernels, best and median time, the bytes
// that a single pass would move a second, nanoseconds per element. "print" writes the graph
// instead. benchmarks/compare/torch_chains.py prints the same lines of PyTorch.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile {
namespace {

using Tensors = std::vector<Tensor>;
using Clock = std::chrono::steady_clock;

// Inputs of every chain: x and y [rows, columns], b and g [columns].
Tensor chain5(const Tensors& t) { return ops::relu(t[0] * t[3] + t[2]) * 0.5 - t[1]; }

Tensor mix(const Tensors& t, int rounds) {
  Tensor h = t[0];
  for (int i = 0; i < rounds; ++i) {
    h = ops::tanh(h * t[3] + t[2]);         // 3 ops
    h = ops::maximum(h, t[1] * 0.1) - 0.2;  // 3 ops
    h = ops::sigmoid(h) * t[1];             // 2 ops
    h = ops::exp(h * -0.5);                 // 2 ops
  }
  return h;
}
Tensor chain10(const Tensors& t) { return mix(t, 1); }
Tensor chain30(const Tensors& t) { return mix(t, 3); }
Tensor bias_gelu(const Tensors& t) { return ops::gelu(t[0] + t[2]) * t[1]; }
Tensor gelu_formula(const Tensors& t) {
  const Tensor& x = t[0];
  return x * 0.5 * (ops::tanh((x + x * x * x * 0.044715) * 0.7978845608) + 1.0);
}
Tensor loss10(const Tensors& t) { return ops::mean(ops::square(chain10(t) - t[0])); }
Tensor layer_norm(const Tensors& t) {
  const ops::SumAttrs last{.axes = {-1}, .keepdims = true};
  const Tensor d = t[0] - ops::mean(t[0], last);
  return d * ops::rsqrt(ops::mean(d * d, last) + 1e-5) * t[3] + t[2];
}
Tensor rms_norm(const Tensors& t) {
  const Tensor ms = ops::mean(ops::square(t[0]), {.axes = {-1}, .keepdims = true});
  return t[0] * ops::rsqrt(ms + 1e-6) * t[3];
}
Tensor softmax(const Tensors& t) {
  const Tensor e =
      ops::exp(t[0] - ops::stop_gradient(ops::max(t[0], {.axes = {-1}, .keepdims = true})));
  return e / ops::sum(e, {.axes = {-1}, .keepdims = true});
}
Tensor batch_norm(const Tensors& t) {
  const ops::SumAttrs first{.axes = {0}, .keepdims = true};
  const Tensor d = t[0] - ops::mean(t[0], first);
  return ops::relu(d * ops::rsqrt(ops::mean(ops::square(d), first) + 1e-5) * t[3] + t[2]);
}

struct Chain {
  const char* name;
  Tensor (*run)(const Tensors&);
  int tensors;  // read and written by one pass forward, of [rows, columns]
};
constexpr Chain kChains[] = {
    {"chain5", chain5, 3},         {"chain10", chain10, 3},           {"chain30", chain30, 3},
    {"bias_gelu", bias_gelu, 3},   {"gelu_formula", gelu_formula, 2}, {"loss10", loss10, 2},
    {"layer_norm", layer_norm, 2}, {"rms_norm", rms_norm, 2},         {"softmax", softmax, 2},
    {"batch_norm", batch_norm, 2},
};

double micros(Clock::time_point from) {
  return std::chrono::duration<double, std::micro>(Clock::now() - from).count();
}

void measure(const Chain& chain, bool backward, int64_t rows, int64_t columns, bool print,
             const std::string& off) {
  const auto fn = [&](const Tensors& t) -> Tensors {
    if (!backward) return {chain.run(t)};
    const auto loss = [&](const Tensors& in) {
      const Tensor y = chain.run(in);
      return y.numel() == 1 ? y : ops::sum(y * in[1]);
    };
    ValueAndGrad r = value_and_grad(loss, t);
    r.grads.push_back(r.value);
    return r.grads;
  };
  graph::Compiled f = graph::compile(fn, {.passes_off = off, .name = chain.name});
  Tensors in;
  for (const Shape& s :
       {Shape{rows, columns}, Shape{rows, columns}, Shape{columns}, Shape{columns}})
    in.push_back(ops::random_normal({.shape = s}));
  f(in);
  if (print) {
    std::printf("%s\n", graph::print(*f.session().program().graph).c_str());
    return;
  }
  const double n = static_cast<double>(rows * columns);
  const int repeats = static_cast<int>(std::clamp(4e7 / n, 9.0, 3000.0));
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    const Clock::time_point start = Clock::now();
    f(in);
    times.push_back(micros(start));
  }
  std::sort(times.begin(), times.end());
  const double us = times[times.size() / 2];
  std::printf(
      "{\"chain\": \"%s\", \"pass\": \"%s\", \"rows\": %lld, \"columns\": %lld, \"kernels\": %d, "
      "\"best_us\": %.1f, \"median_us\": %.1f, \"GB_per_s\": %.1f, \"ns_per_element\": %.3f}\n",
      chain.name, backward ? "both" : "forward", static_cast<long long>(rows),
      static_cast<long long>(columns), f.report().kernels, times[0], us,
      4e-3 * n * chain.tensors / us, us * 1e3 / n);
  std::fflush(stdout);
}

}  // namespace
}  // namespace rutile

int main(int argc, char** argv) {
  const std::string only = argc > 1 ? argv[1] : "all";
  const int64_t rows = argc > 2 ? std::atoll(argv[2]) : 2048;
  const int64_t columns = argc > 3 ? std::atoll(argv[3]) : 768;
  const std::string mode = argc > 4 ? argv[4] : "time";
  bool found = false;
  for (const rutile::Chain& c : rutile::kChains) {
    if (only != "all" && only != c.name) continue;
    found = true;
    for (const bool backward : {false, true}) {
      rutile::measure(c, backward, rows, columns, mode == "print", argc > 5 ? argv[5] : "");
    }
  }
  if (!found) std::fprintf(stderr, "bench_fusion: there is no chain '%s'\n", only.c_str());
  return found ? 0 : 1;
}
