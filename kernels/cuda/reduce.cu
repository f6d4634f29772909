// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/reduce.h"

#include "rutile/kernels/cuda/pair.h"
#include "rutile/kernels/cuda/top_sum.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace {

// Accumulators: start, take, join another that comes behind, finish.

template <class C>
struct SumOf {
  C sum = 0;
  using Value = C;
  RUTILE_FN void take(const ReduceArgs&, C x, int64_t) { sum += x; }
  RUTILE_FN void join(const ReduceArgs&, const SumOf& o) { sum += o.sum; }
  RUTILE_FN void finish(const ReduceArgs& a, int64_t i) const {
    if constexpr (std::is_floating_point_v<C>) {
      store<C>(a.out_type, a.out, i, sum * static_cast<C>(a.scale));
    } else {
      store<C>(a.out_type, a.out, i, sum);
    }
  }
};

template <class C>
struct SquaresOf {
  C sum = 0;
  using Value = C;
  RUTILE_FN void take(const ReduceArgs&, C x, int64_t) { sum += x * x; }
  RUTILE_FN void join(const ReduceArgs&, const SquaresOf& o) { sum += o.sum; }
  RUTILE_FN void finish(const ReduceArgs& a, int64_t i) const {
    store<C>(a.out_type, a.out, i, kernels::StdMath::sqrt(sum));
  }
};

template <class C>
struct ProductOf {
  C product{1};
  using Value = C;
  RUTILE_FN void take(const ReduceArgs&, C x, int64_t) { product *= x; }
  RUTILE_FN void join(const ReduceArgs&, const ProductOf& o) { product *= o.product; }
  RUTILE_FN void finish(const ReduceArgs& a, int64_t i) const {
    store_number<C>(a.out_type, a.out, i, product);
  }
};

// NaN beats everything, the first of equals stays.
template <class C>
struct ExtremumOf {
  C best{};
  int64_t at = -1;
  using Value = C;
  RUTILE_FN bool loses(const ReduceArgs& a, C x, int64_t i) const {
    if (at < 0) return true;
    if (x != x) return best == best || i < at;
    if (best != best) return false;
    if (x == best) return i < at;
    return a.largest ? x > best : x < best;
  }
  RUTILE_FN void take(const ReduceArgs& a, C x, int64_t i) {
    if (!loses(a, x, i)) return;
    best = x;
    at = i;
  }
  RUTILE_FN void join(const ReduceArgs& a, const ExtremumOf& o) {
    if (o.at >= 0) take(a, o.best, o.at);
  }
  RUTILE_FN void finish(const ReduceArgs& a, int64_t i) const {
    if (a.index) {
      store<int64_t>(a.out_type, a.out, i, at);
    } else {
      store<C>(a.out_type, a.out, i, best);
    }
  }
};

template <class C>
struct LogicOf {
  int yes = 0, no = 0;
  using Value = C;
  RUTILE_FN void take(const ReduceArgs&, C x, int64_t) {
    yes |= x != C(0);
    no |= x == C(0);
  }
  RUTILE_FN void join(const ReduceArgs&, const LogicOf& o) {
    yes |= o.yes;
    no |= o.no;
  }
  RUTILE_FN void finish(const ReduceArgs& a, int64_t i) const {
    store<bool>(a.out_type, a.out, i, a.all ? no == 0 : yes != 0);
  }
};

template <class C>
struct LogSumExpOf {
  TopSum<C> t;
  using Value = C;
  RUTILE_FN void take(const ReduceArgs&, C x, int64_t) { t.take(x); }
  RUTILE_FN void join(const ReduceArgs&, const LogSumExpOf& o) { t = t.joined(o.t); }
  RUTILE_FN void finish(const ReduceArgs& a, int64_t i) const {
    store<C>(a.out_type, a.out, i, t.sum == C(0) ? t.top : t.top + kernels::StdMath::log(t.sum));
  }
};

struct Lane {
  int lane, lanes, result;  // within the block
};
RUTILE_DEVICE Lane lane_of(const ReduceArgs& a, int lanes, int results) {
  const int t = static_cast<int>(threadIdx.x);
  return a.columns ? Lane{t / results, lanes, t % results} : Lane{t % lanes, lanes, t / lanes};
}

// Lanes of each result meet; lane 0 has it all.
template <class R>
RUTILE_DEVICE void meet(const ReduceArgs& a, const Lane& l, R* shared, R* mine) {
  const int base = l.result * l.lanes;
  shared[base + l.lane] = *mine;
  __syncthreads();
  for (int half = l.lanes / 2; half > 0; half /= 2) {
    if (l.lane < half) {
      mine->join(a, shared[base + l.lane + half]);
      shared[base + l.lane] = *mine;
    }
    __syncthreads();
  }
}

template <class R>
__global__ void __launch_bounds__(kReduceThreads)
    reduce(RUTILE_PARAM ReduceArgs a, int lanes, int results) {
  alignas(16) __shared__ char memory[kReduceThreads * sizeof(R)];
  R* shared = reinterpret_cast<R*>(memory);
  using C = typename R::Value;
  const Lane l = lane_of(a, lanes, results);
  const int64_t result = static_cast<int64_t>(blockIdx.x) * results + l.result;
  const int64_t begin = blockIdx.y * a.part;
  const int64_t end = begin + a.part < a.count ? begin + a.part : a.count;
  R mine;
  if (result < a.results) {
    const int64_t base = a.kept.find_one(result);
    constexpr int kAhead = 4;  // loads on their way at once
    const bool even = a.reduced.rank <= 1;
    const int64_t step = a.reduced.rank == 1 ? a.reduced.stride[0][0] : 0;
    for (int64_t i = begin + l.lane; i < end; i += kAhead * l.lanes) {
      C x[kAhead];
#pragma unroll
      for (int k = 0; k < kAhead; ++k) {
        const int64_t j = i + k * l.lanes;
        if (j < end) {
          x[k] = load_number<C>(a.in_type, a.in, base + (even ? j * step : a.reduced.find_one(j)));
        }
      }
#pragma unroll
      for (int k = 0; k < kAhead; ++k) {
        const int64_t j = i + k * l.lanes;
        if (j < end) mine.take(a, x[k], j);
      }
    }
  }
  meet(a, l, shared, &mine);
  if (l.lane != 0 || result >= a.results) return;
  if (a.parts == 1) {
    mine.finish(a, result);
  } else {
    static_cast<R*>(a.partial)[blockIdx.y * a.results + result] = mine;
  }
}

template <class R>
__global__ void __launch_bounds__(kReduceThreads) join_parts(RUTILE_PARAM ReduceArgs a) {
  alignas(16) __shared__ char memory[kReduceThreads * sizeof(R)];
  R* shared = reinterpret_cast<R*>(memory);
  constexpr int kResults = kReduceThreads / kWarp;
  const int t = static_cast<int>(threadIdx.x);
  const Lane l{t / kResults, kWarp, t % kResults};
  const int64_t result = static_cast<int64_t>(blockIdx.x) * kResults + l.result;
  R mine;
  if (result < a.results) {
    for (int64_t p = l.lane; p < a.parts; p += l.lanes) {
      mine.join(a, static_cast<const R*>(a.partial)[p * a.results + result]);
    }
  }
  meet(a, l, shared, &mine);
  if (l.lane == 0 && result < a.results) mine.finish(a, result);
}

template <class R>
int launch_reduce(const ReduceArgs& a, Stream stream) {
  const ReduceShape s = reduce_shape(a);
  const Grid grid{
      .x = (a.results + s.results - 1) / s.results, .y = a.parts, .threads = kReduceThreads};
  if (const int code = launch_blocks(reduce<R>, grid, stream, a, s.lanes, s.results)) return code;
  if (a.parts == 1) return 0;
  constexpr int kResults = kReduceThreads / kWarp;
  return launch_blocks(join_parts<R>,
                       {.x = (a.results + kResults - 1) / kResults, .threads = kReduceThreads},
                       stream, a);
}

}  // namespace

int accumulator_bytes(Reducer r, ReduceIn c) {
  switch (r) {
    case Reducer::kExtremum:
      return 16;
    case Reducer::kLogSumExp:
      return c == ReduceIn::kDouble ? 16 : 8;
    default:
      return c == ReduceIn::kComplexDouble ? 16 : 8;
  }
}

ReduceLaunch reduce_kernel(Reducer r, ReduceIn c) {
  const bool f = c == ReduceIn::kFloat, d = c == ReduceIn::kDouble;
  switch (r) {
    case Reducer::kSum:
      return f   ? launch_reduce<SumOf<float>>
             : d ? launch_reduce<SumOf<double>>
                 : launch_reduce<SumOf<uint64_t>>;
    case Reducer::kProduct:
      if (c == ReduceIn::kComplex) return launch_reduce<ProductOf<Pair<float>>>;
      if (c == ReduceIn::kComplexDouble) return launch_reduce<ProductOf<Pair<double>>>;
      return f   ? launch_reduce<ProductOf<float>>
             : d ? launch_reduce<ProductOf<double>>
                 : launch_reduce<ProductOf<uint64_t>>;
    case Reducer::kExtremum:
      if (c == ReduceIn::kUnsigned) return launch_reduce<ExtremumOf<uint64_t>>;
      return f   ? launch_reduce<ExtremumOf<float>>
             : d ? launch_reduce<ExtremumOf<double>>
                 : launch_reduce<ExtremumOf<int64_t>>;
    case Reducer::kLogic:
      return f   ? launch_reduce<LogicOf<float>>
             : d ? launch_reduce<LogicOf<double>>
                 : launch_reduce<LogicOf<int64_t>>;
    case Reducer::kSquares:
      return f ? launch_reduce<SquaresOf<float>> : launch_reduce<SquaresOf<double>>;
    case Reducer::kLogSumExp:
      return f ? launch_reduce<LogSumExpOf<float>> : launch_reduce<LogSumExpOf<double>>;
  }
  return nullptr;
}

}  // namespace rutile::cuda
