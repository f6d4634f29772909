// SPDX-License-Identifier: Apache-2.0
// The memory of a process does not grow with the number of steps or of shapes. RUTILE_MEMORY_STEPS
// sets how many steps run, every one with shapes of its own; without it they come from a few.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/activation.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

double rss_mb() {
  long pages = 0, resident = 0;
  if (FILE* f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
    std::fclose(f);
  }
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

struct Shapes {
  int64_t batch, channels, size, features;
};

// A small network, its loss and the gradients of its weights.
std::vector<Tensor> step(const std::vector<Tensor>& x) {
  GradScope scope;
  for (size_t i = 1; i < x.size(); ++i) scope.watch(x[i]);
  const Tensor y = ops::conv2d(x[0], x[1], {}, {.pad = {1, 1}});
  const Tensor h = ops::mish(ops::max_pool2d(ops::relu(y), {.kernel = {2, 2}, .stride = {2, 2}}));
  const Tensor pooled = ops::mean(h, {.axes = {2, 3}});
  const Tensor out = ops::softmax(ops::gelu(ops::matmul(pooled, x[2])));
  const Tensor loss = ops::huber_loss(out, ops::tanh(out));
  std::vector<Tensor> result = scope.gradient(loss, {x[1], x[2]});
  result.push_back(loss);
  return result;
}

Shapes shapes_of(std::mt19937& random) {
  const auto any = [&](int low, int high) {
    return static_cast<int64_t>(std::uniform_int_distribution<int>(low, high)(random));
  };
  return {any(1, 16), any(1, 24), any(8, 32), any(1, 64)};
}

std::vector<Tensor> inputs_of(const Shapes& s) {
  return {Tensor::full({s.batch, 3, s.size, s.size}, 0.5),
          Tensor::full({s.channels, 3, 3, 3}, 0.01), Tensor::full({s.channels, s.features}, 0.1)};
}

template <class Step>
void expect_flat(Step run) {
  const char* wanted = std::getenv("RUTILE_MEMORY_STEPS");
  const int steps = wanted ? std::max(100, std::atoi(wanted)) : 120;
  const int warm = wanted ? steps * 2 / 5 : 60;
  std::mt19937 random(1);
  std::vector<Shapes> few;
  for (int i = 0; i < 12; ++i) few.push_back(shapes_of(random));
  double before = 0, most = 0;
  for (int i = 0; i < steps; ++i) {
    run(inputs_of(wanted ? shapes_of(random) : few[static_cast<size_t>(i) % few.size()]));
    if (i < warm) before = std::max(before, rss_mb());
    most = std::max(most, rss_mb());
    if (wanted && i % 100 == 0) std::printf("step %d: %.1f MiB\n", i, rss_mb());
  }
  EXPECT_LE(most, before * 1.05 + 1) << "MiB resident after " << steps << " steps";
}

TEST(MemoryFlat, EagerStepsOfManyShapes) { expect_flat(step); }

TEST(MemoryFlat, CompiledStepsOfManyShapes) {
  Compiled f = compile(step);
  expect_flat([&](const std::vector<Tensor>& x) { f(x); });
}

}  // namespace
}  // namespace rutile::graph
