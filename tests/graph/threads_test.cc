// SPDX-License-Identifier: Apache-2.0
// Small steps wake no thread: every parallel region of this process, oneDNN's too, is counted.
#include <gtest/gtest.h>

#include "rutile/autograd/tape.h"
#include "rutile/core/thread.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

#if RUTILE_OPENMP && defined(__GNUC__) && !defined(__clang__)
#include <dlfcn.h>

#include <atomic>

// What compilers call for `#pragma omp parallel`, old ones (oneDNN's) the second: these come before
// libgomp's.
#define EXPORTED extern "C" __attribute__((visibility("default")))
namespace {

std::atomic<int> g_regions{0};

template <class F>
F counted(const char* name) {
  g_regions.fetch_add(1, std::memory_order_relaxed);
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

}  // namespace

EXPORTED void GOMP_parallel(void (*fn)(void*), void* data, unsigned threads, unsigned flags) {
  counted<void (*)(void (*)(void*), void*, unsigned, unsigned)>("GOMP_parallel")(fn, data, threads,
                                                                                 flags);
}
EXPORTED void GOMP_parallel_start(void (*fn)(void*), void* data, unsigned threads) {
  counted<void (*)(void (*)(void*), void*, unsigned)>("GOMP_parallel_start")(fn, data, threads);
}

namespace rutile::graph {
namespace {

using Tensors = std::vector<Tensor>;

Tensor noise(const Shape& shape) { return ops::random_normal({.shape = shape}); }

// Parallel regions of one call on two threads, after one that compiled.
int regions_of(const std::function<Tensors(const Tensors&)>& fn, const Tensors& in) {
  const ThreadCountScope threads(2);
  Compiled f = compile(fn);
  f(in);
  g_regions = 0;
  f(in);
  return g_regions;
}

Tensors gradients(const std::function<Tensor(const Tensors&)>& loss, const Tensors& in) {
  return value_and_grad(loss, in).grads;
}

TEST(Threads, AStepOfASmallNetworkWakesNobody) {
  const auto loss = [](const Tensors& t) {
    const Tensor h = ops::relu(ops::linear(t[0], t[1], t[2]));
    return ops::mean(ops::square(ops::log_softmax(ops::matmul(h, t[3]))));
  };
  const auto step = [&](const Tensors& t) { return gradients(loss, t); };
  EXPECT_EQ(regions_of(step, {noise({16, 32}), noise({64, 32}), noise({64}), noise({64, 10})}), 0);
}

TEST(Threads, NorDoesOneOfSmallConvolutions) {
  const auto loss = [](const Tensors& t) {
    const Tensor h = ops::relu(ops::conv2d(t[0], t[1], {}, {.pad = {1, 1}}));
    return ops::mean(ops::conv2d(h, t[2], {}, {.stride = {2, 2}}));
  };
  const auto step = [&](const Tensors& t) { return gradients(loss, t); };
  EXPECT_EQ(regions_of(step, {noise({1, 3, 8, 8}), noise({8, 3, 3, 3}), noise({16, 8, 3, 3})}), 0);
}

TEST(Threads, LargeWorkWakesThem) {
  const auto chain = [](const Tensors& t) { return Tensors{ops::exp(t[0] + t[0])}; };
  EXPECT_EQ(regions_of(chain, {noise({512, 512})}), 1);
  const auto product = [](const Tensors& t) { return Tensors{ops::matmul(t[0], t[0])}; };
  EXPECT_GE(regions_of(product, {noise({512, 512})}), 1);
}

}  // namespace
}  // namespace rutile::graph
#endif
