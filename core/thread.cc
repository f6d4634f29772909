// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/thread.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <string>

#include <pthread.h>

#if RUTILE_OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <cfenv>
#endif

#include "rutile/core/error.h"
#include "rutile/core/log.h"
#include "rutile/core/system_info.h"

namespace rutile {
namespace {

std::atomic<int> g_threads{0};       // 0: not asked for yet
thread_local int t_threads = 0;      // a ThreadCountScope's number; 0: the process's
thread_local bool t_inside = false;  // running a chunk of a parallel_for

// Threads from the environment; 0 if unset or not a number.
int threads_from_environment() {
  const char* text = std::getenv("RUTILE_NUM_THREADS");
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  const long n = std::strtol(text, &end, 10);
  if (*end == '\0' && n >= 1 && n <= 65536) return static_cast<int>(n);
  log_warning(cat("RUTILE_NUM_THREADS='", text, "' is not a positive number and is ignored"));
  return 0;
}

// A child made by fork has the forking thread alone: the pool that OpenMP remembers is not there,
// and a region of several threads would wait for it forever.
[[maybe_unused]] const int g_after_fork = pthread_atfork(nullptr, nullptr, [] {
  g_threads.store(1);
  t_threads = 0;
});

#if RUTILE_OPENMP
// Rounding mode and flush-to-zero of the calling thread, carried over to the workers.
class FpEnvironment {
 public:
#if defined(__x86_64__)
  FpEnvironment() : control_(_mm_getcsr() & kControl) {}
  void apply() const {
    const unsigned now = _mm_getcsr();
    if ((now & kControl) != control_) _mm_setcsr((now & ~kControl) | control_);
  }

 private:
  static constexpr unsigned kControl = 0xffc0;  // all but the sticky exception flags
  unsigned control_;
#else
  FpEnvironment() { std::fegetenv(&env_); }
  void apply() const { std::fesetenv(&env_); }

 private:
  std::fenv_t env_;
#endif
};
#endif

}  // namespace

int default_num_threads() {
  const int asked = threads_from_environment();
  if (asked > 0) return asked;
  int n = affinity_cores();
  const double quota = cgroup_cpu_quota();
  if (quota > 0) n = std::min(n, std::max(1, static_cast<int>(std::ceil(std::min(quota, 1e6)))));
  return n;
}

int num_threads() {
  if (t_inside) return 1;
  if (t_threads > 0) return t_threads;
  int n = g_threads.load(std::memory_order_relaxed);
  if (n == 0) [[unlikely]] {
    int expected = 0;
    n = default_num_threads();
    if (!g_threads.compare_exchange_strong(expected, n)) n = expected;
  }
  return n;
}

void set_num_threads(int n) {
  if (n < 1) throw_error(ErrorCode::kValue, cat("set_num_threads expects at least 1, got ", n));
  g_threads.store(n);
}

ThreadCountScope::ThreadCountScope(int n) : saved_(t_threads) {
  if (n < 1) throw_error(ErrorCode::kValue, cat("ThreadCountScope expects at least 1, got ", n));
  t_threads = n;
}
ThreadCountScope::~ThreadCountScope() { t_threads = saved_; }

namespace detail {

void parallel_for_impl(int64_t begin, int64_t end, int64_t grain,
                       void (*fn)(void*, int64_t, int64_t), void* arg) {
  const int64_t range = end - begin;
  const int64_t by_grain = grain > 1 ? range / grain + (range % grain != 0) : range;
  const int64_t chunks = std::min<int64_t>(num_threads(), by_grain);
  if (chunks <= 1) {
    fn(arg, begin, end);
    return;
  }
  const int64_t size = range / chunks, longer = range % chunks;  // the first ones take the rest
  const auto run_chunk = [&](int64_t i) {
    const int64_t b = begin + i * size + std::min(i, longer);
    fn(arg, b, b + size + (i < longer ? 1 : 0));
  };
#if RUTILE_OPENMP
  const FpEnvironment environment;
#pragma omp parallel num_threads(static_cast <int>(chunks))
  {
    const bool outer = t_inside;
    t_inside = true;
    environment.apply();
    // The runtime may give fewer threads than asked for.
    for (int64_t i = omp_get_thread_num(); i < chunks; i += omp_get_num_threads()) run_chunk(i);
    t_inside = outer;
  }
#else
  const bool outer = t_inside;
  t_inside = true;
  for (int64_t i = 0; i < chunks; ++i) run_chunk(i);  // the same chunks, hence the same numbers
  t_inside = outer;
#endif
}

}  // namespace detail
}  // namespace rutile
