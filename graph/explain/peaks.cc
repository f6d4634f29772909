// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/explain/peaks.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>

#include "rutile/core/thread.h"
#include "rutile/ops/call.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"

namespace rutile::graph {

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

// The best of several runs: others on the machine only ever make a run slower.
template <class F>
double best_seconds(double budget, F&& run) {
  constexpr int kLeast = 3, kMost = 200;
  run();
  double best = 1e30;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < kMost && (i < kLeast || seconds_since(start) < budget); ++i) {
    const Clock::time_point t = Clock::now();
    run();
    best = std::min(best, seconds_since(t));
  }
  return std::max(best, 1e-9);
}

// Cubes of two sizes: the smaller one shows caches at their best, the larger one the cores.
double matmul_flops(DType type) {
  double best = 0;
  for (const int64_t n : {512, 1024}) {
    const Tensor a = ops::full({n, n}, 0.5, type), b = ops::full({n, n}, 0.25, type);
    const double s = best_seconds(0.15, [&] { ops::matmul(a, b); });
    best = std::max(best, 2.0 * static_cast<double>(n * n * n) / s);
  }
  return best;
}

// Half of `bytes` is read, half is written.
double copy_rate(int64_t bytes) {
  const int64_t n = bytes / 2;
  std::vector<char> from(static_cast<size_t>(n), 1), to(static_cast<size_t>(n), 2);
  const auto copy = [&](int64_t begin, int64_t end) {
    std::memcpy(to.data() + begin, from.data() + begin, static_cast<size_t>(end - begin));
  };
  const double together = best_seconds(0.04, [&] { parallel_for(0, n, 4096, copy); });
  const double alone = bytes > (1 << 22) ? together : best_seconds(0.02, [&] { copy(0, n); });
  return static_cast<double>(bytes) / std::min(together, alone);
}

MachinePeaks measure() {
  ScopedValue<CallModes> plain(call_modes(), CallModes());
  MachinePeaks p;
  p.threads = num_threads();
  p.f32_flops = matmul_flops(DType::kF32);
  p.bf16_flops = matmul_flops(DType::kBF16);
  for (const int shift : {15, 18, 20, 22, 24, 26, 28}) {
    const int64_t bytes = int64_t{1} << shift;
    p.copies.emplace_back(static_cast<double>(bytes), copy_rate(bytes));
  }
  // A larger copy that was faster shows what the smaller one could have reached.
  for (size_t i = p.copies.size() - 1; i-- > 0;) {
    p.copies[i].second = std::max(p.copies[i].second, p.copies[i + 1].second);
  }
  return p;
}

}  // namespace

double MachinePeaks::bandwidth(double bytes) const {
  if (copies.empty()) return 1;
  if (bytes <= copies.front().first) return copies.front().second;
  for (size_t i = 1; i < copies.size(); ++i) {
    const auto& [small, fast] = copies[i - 1];
    const auto& [large, slow] = copies[i];
    if (bytes > large) continue;
    const double part = std::log(bytes / small) / std::log(large / small);
    return fast * std::pow(slow / fast, part);
  }
  return copies.back().second;
}

double MachinePeaks::flops(DType type) const {
  if (type == DType::kF64) return f32_flops / 2;
  return is_low_precision(type) ? std::max(bf16_flops, f32_flops) : f32_flops;
}

double MachinePeaks::seconds(const Cost& cost, DType type) const {
  return std::max(cost.flops / flops(type), cost.bytes / bandwidth(cost.bytes));
}

MachinePeaks stated_peaks(const DeviceInfo& info) {
  struct Stated {
    const char* name;
    int major;
    double bf16, tf32, memory;  // TFLOP/s dense, TB/s
  };
  // From NVIDIA's data sheets; what has several forms is its SXM form.
  static constexpr Stated kStated[] = {
      {"B200", 10, 2250, 1100, 8.0}, {"GB200", 10, 2500, 1250, 8.0}, {"GH200", 9, 990, 494, 4.9},
      {"H200", 9, 989, 494, 4.8},    {"H100", 9, 989, 494, 3.35},    {"A100", 8, 312, 156, 2.039},
      {"L40S", 8, 362, 183, 0.864},
  };
  const Stated* found = nullptr;
  for (const Stated& s : kStated) {
    if (!found && info.name.find(s.name) != std::string::npos) found = &s;
  }
  const bool named = found != nullptr;
  for (const Stated& s : kStated) {
    if (!found && s.major == info.compute_major) found = &s;
  }
  if (!found) found = &kStated[std::size(kStated) - 2];
  MachinePeaks p;
  p.device = info.name;
  p.bf16_flops = 1e12 * found->bf16;
  p.f32_flops = 1e12 * found->tf32;
  const bool told = !named && info.peak_bytes_per_second > 0;
  p.copies = {{1.0, told ? info.peak_bytes_per_second : 1e12 * found->memory}};
  return p;
}

const MachinePeaks& machine_peaks() {
  static std::mutex mutex;
  static std::map<int, MachinePeaks> known;
  std::lock_guard lock(mutex);
  auto [it, fresh] = known.try_emplace(num_threads());
  if (fresh) it->second = measure();
  return it->second;
}

}  // namespace rutile::graph
