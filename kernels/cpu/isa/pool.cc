// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/isa/pool_planes.h"

#include "rutile/core/thread.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

// Calls f(begin, end, thread) for the thread's part of [0, n).
template <class F>
void on_threads(int64_t n, int threads, F&& f) {
  parallel_for(0, threads, 1, [&](int64_t t0, int64_t t1) {
    for (int64_t t = t0; t < t1; ++t) f(n * t / threads, n * (t + 1) / threads, t);
  });
}

bool few_channels(const PoolShape& s) { return s.channels < 16; }

template <class T>
void max(const PoolShape& s, const void* x, void* y, int32_t* indices, float* workspace,
         int threads) {
  on_threads(s.images * s.rows.out, threads, [&](int64_t begin, int64_t end, int64_t t) {
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(y);
    if (s.channels == 1) {
      max_planes(s, from, to, indices, workspace + t * s.workspace, begin, end);
    } else if (few_channels(s)) {
      max_lanes<T, 8>(s, from, to, indices, begin, end);
    } else {
      max_lanes<T, 16>(s, from, to, indices, begin, end);
    }
  });
}

template <class T>
void max_grad(const PoolShape& s, const void* dy, const int32_t* indices, void* dx,
              float* workspace, int threads) {
  const int64_t tasks = s.channels == 1 ? s.images : s.images * s.rows.in;
  on_threads(tasks, threads, [&](int64_t begin, int64_t end, int64_t t) {
    const T* from = static_cast<const T*>(dy);
    T* to = static_cast<T*>(dx);
    if (s.channels == 1) {
      max_grad_planes(s, from, indices, to, workspace + t * s.workspace, begin, end);
    } else if (few_channels(s)) {
      max_grad_lanes<T, 8>(s, from, indices, to, begin, end);
    } else {
      max_grad_lanes<T, 16>(s, from, indices, to, begin, end);
    }
  });
}

template <class T>
void average(const PoolShape& s, const void* x, void* y, float* workspace, int threads) {
  on_threads(s.images * s.rows.out, threads, [&](int64_t begin, int64_t end, int64_t t) {
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(y);
    if (s.channels == 1) {
      average_planes(s, from, to, workspace + t * s.workspace, begin, end);
    } else if (few_channels(s)) {
      average_lanes<T, 8>(s, from, to, begin, end);
    } else {
      average_lanes<T, 16>(s, from, to, begin, end);
    }
  });
}

template <class T>
void average_grad(const PoolShape& s, const void* dy, void* dx, float* workspace, int threads) {
  on_threads(s.images * s.rows.in, threads, [&](int64_t begin, int64_t end, int64_t t) {
    const T* from = static_cast<const T*>(dy);
    T* to = static_cast<T*>(dx);
    if (s.channels == 1) {
      average_grad_planes(s, from, to, workspace + t * s.workspace, begin, end);
    } else if (few_channels(s)) {
      average_grad_lanes<T, 8>(s, from, to, begin, end);
    } else {
      average_grad_lanes<T, 16>(s, from, to, begin, end);
    }
  });
}

template <class T>
void global(const PoolShape& s, const void* x, void* y, int threads) {
  on_threads(s.images, threads, [&](int64_t begin, int64_t end, int64_t) {
    const T* from = static_cast<const T*>(x);
    T* to = static_cast<T*>(y);
    if (s.channels == 1) {
      global_planes(s, from, to, begin, end);
    } else if (few_channels(s)) {
      global_lanes<T, 8>(s, from, to, begin, end);
    } else {
      global_lanes<T, 16>(s, from, to, begin, end);
    }
  });
}

template <class T>
void global_grad(const PoolShape& s, const void* dy, void* dx, int threads) {
  on_threads(s.images, threads, [&](int64_t begin, int64_t end, int64_t) {
    const T* from = static_cast<const T*>(dy);
    T* to = static_cast<T*>(dx);
    if (s.channels == 1) {
      global_grad_planes(s, from, to, begin, end);
    } else if (few_channels(s)) {
      global_grad_lanes<T, 8>(s, from, to, begin, end);
    } else {
      global_grad_lanes<T, 16>(s, from, to, begin, end);
    }
  });
}

template <class T>
PoolKernels kernels() {
  return {max<T>, max_grad<T>, average<T>, average_grad<T>, global<T>, global_grad<T>};
}

}  // namespace

PoolKernels pool_f32() { return kernels<float>(); }
PoolKernels pool_bf16() { return kernels<BFloat16>(); }

}  // namespace rutile::kernels::RUTILE_ISA
