// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/index.h"

#include "rutile/kernels/cuda/order_bits.h"
#include "rutile/kernels/cuda/pair.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kCoverThreads) gather(RUTILE_PARAM GatherArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const int64_t inner = i % a.inner, j = i / a.inner % a.indices, outer = i / a.inner / a.indices;
  int64_t at[2], in[2], out[2];
  a.index_at.find(j, at);
  a.inner_at.find(inner, in);
  a.outer_at.find(outer, out);
  const int64_t row =
      a.fault.resolve(load<int64_t>(a.index_type, a.index, at[0]), j, a.rows, a.wraps);
  if (row < 0) return;
  static_cast<T*>(a.y)[out[1] + at[1] + in[1]] =
      static_cast<const T*>(a.x)[out[0] + row * a.row_step + in[0]];
}

template <class T>
__global__ void __launch_bounds__(kCoverThreads) take(RUTILE_PARAM TakeArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  int64_t at[3];
  a.at.find(i, at);
  const int64_t row =
      a.fault.resolve(load<int64_t>(a.index_type, a.index, at[1]), i, a.rows, a.wraps);
  if (row < 0) return;
  static_cast<T*>(a.y)[at[2]] = static_cast<const T*>(a.x)[at[0] + row * a.row_step];
}

__global__ void __launch_bounds__(kCoverThreads) one_hot(RUTILE_PARAM OneHotArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const int64_t j = i / a.depth;
  const int64_t id = load<int64_t>(a.index_type, a.index, a.at.find_one(j));
  if (id < 0 || id >= a.depth) a.fault.raise(FaultKind::kIndex, id, j, a.depth, false);
  store<int64_t>(a.type, a.y, i, i % a.depth == id ? 1 : 0);
}

__global__ void __launch_bounds__(kCoverThreads) scatter_keys(RUTILE_PARAM ScatterKeysArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  int64_t at[2];
  a.at.find(i, at);
  const int64_t v = load<int64_t>(a.index_type, a.index, at[0]);
  const int64_t row = a.fault.resolve(v, i, a.rows, a.wraps);
  const bool nowhere = row < 0 || (a.ignored >= 0 && v == a.ignored);
  a.keys[i] = nowhere ? kNowhere : static_cast<uint64_t>(row * a.row_step + at[1]);
  a.values[i] = i;
}

// A block per run and 256 inner elements; blocks that begin no run have nothing to do.
template <class C>
__global__ void __launch_bounds__(kCoverThreads) scatter_sum(RUTILE_PARAM ScatterSumArgs a) {
  using Load = std::conditional_t<std::is_floating_point_v<C>, C, int64_t>;
  const int64_t begin = blockIdx.x;
  const uint64_t key = a.keys[begin];
  if (key == kNowhere || (begin > 0 && a.keys[begin - 1] == key)) return;
  const int64_t to = a.key_at.find_one(static_cast<int64_t>(key));
  for (int64_t e = static_cast<int64_t>(blockIdx.y) * kCoverThreads + threadIdx.x; e < a.inner;
       e += static_cast<int64_t>(gridDim.y) * kCoverThreads) {
    int64_t at[2];
    a.inner_at.find(e, at);
    C sum = 0;
    for (int64_t s = begin; s < a.n && a.keys[s] == key; ++s) {
      sum += static_cast<C>(load<Load>(a.x_type, a.x, a.value_at.find_one(a.values[s]) + at[0]));
    }
    sum += static_cast<C>(load<Load>(a.y_type, a.y, to + at[1]));
    store<Load>(a.y_type, a.y, to + at[1], static_cast<Load>(sum));
  }
}

__global__ void __launch_bounds__(kCoverThreads) sort_keys(RUTILE_PARAM SortKeysArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const int64_t at = a.line_at.find_one(i / a.length) + i % a.length * a.step;
  const uint64_t key = ordered_bits(a.type, a.x, at);
  a.keys[i] = a.descending ? ~key : key;
  a.values[i] = i;
}

__global__ void __launch_bounds__(kCoverThreads) line_keys(RUTILE_PARAM LineKeysArgs a) {
  const int64_t i = thread_number();
  if (i < a.n) a.keys[i] = static_cast<uint64_t>(a.values[i] / a.length);
}

template <class T>
__global__ void __launch_bounds__(kCoverThreads) sorted(RUTILE_PARAM SortedArgs a) {
  const int64_t i = thread_number();
  if (i >= a.lines * a.kept) return;
  const int64_t line = i / a.kept, k = i % a.kept;
  const int64_t from = a.values[line * a.length + k] - line * a.length;
  int64_t at[3];
  a.line_at.find(line, at);
  static_cast<T*>(a.y)[at[1] + k * a.y_step] = static_cast<const T*>(a.x)[at[0] + from * a.x_step];
  static_cast<int64_t*>(a.indices)[at[2] + k * a.indices_step] = from;
}

// Running results along a line: a value, what joins two stretches (the first lies before), and what
// is written.

template <class C>
struct RunningSum {
  using Load = std::conditional_t<std::is_floating_point_v<C>, C, int64_t>;
  C v = 0;
  RUTILE_FN static RunningSum of(Load x, int64_t) { return {static_cast<C>(x)}; }
  RUTILE_FN static RunningSum join(const RunningSum& a, const RunningSum& b) { return {a.v + b.v}; }
  RUTILE_FN void write(const ScanArgs& a, int64_t y, int64_t) const {
    store<Load>(a.out_type, a.y, y, static_cast<Load>(v));
  }
};
template <class C>
struct RunningProduct {
  using Load = std::conditional_t<std::is_floating_point_v<C> || kIsPair<C>, C, int64_t>;
  C v{1};
  RUTILE_FN static RunningProduct of(Load x, int64_t) { return {static_cast<C>(x)}; }
  RUTILE_FN static RunningProduct join(const RunningProduct& a, const RunningProduct& b) {
    return {a.v * b.v};
  }
  RUTILE_FN void write(const ScanArgs& a, int64_t y, int64_t) const {
    store_number<Load>(a.out_type, a.y, y, static_cast<Load>(v));
  }
};
// The newer of two equal ones wins, NaN wins over all.
template <class C, bool kMax>
struct RunningExtreme {
  using Load = C;
  C v = 0;
  int64_t at = -1;
  RUTILE_FN static RunningExtreme of(C x, int64_t i) { return {x, i}; }
  RUTILE_FN static RunningExtreme join(const RunningExtreme& a, const RunningExtreme& b) {
    if (a.at < 0) return b;
    if (b.at < 0) return a;
    if (b.v != b.v) return b;
    if (a.v != a.v) return a;
    return (kMax ? b.v >= a.v : b.v <= a.v) ? b : a;
  }
  RUTILE_FN void write(const ScanArgs& a, int64_t y, int64_t index) const {
    store<C>(a.out_type, a.y, y, v);
    static_cast<int64_t*>(a.indices)[index] = at;
  }
};
template <class C>
struct RunningLogSum {
  using Load = C;
  C v = -static_cast<C>(__builtin_inf());
  RUTILE_FN static RunningLogSum of(C x, int64_t) { return {x}; }
  RUTILE_FN static RunningLogSum join(const RunningLogSum& a, const RunningLogSum& b) {
    using M = kernels::StdMath;
    if (a.v != a.v || b.v != b.v) return {a.v + b.v};
    const C top = a.v > b.v ? a.v : b.v, d = a.v > b.v ? b.v - a.v : a.v - b.v;
    return {kernels::fn::is_inf(top) ? top : top + M::log1p(M::exp(d))};
  }
  RUTILE_FN void write(const ScanArgs& a, int64_t y, int64_t) const {
    store<C>(a.out_type, a.y, y, v);
  }
};

// A block per line: each thread joins its own stretch, then goes over it again from what lies
// before.
template <class R>
__global__ void __launch_bounds__(kCoverThreads) scan(RUTILE_PARAM ScanArgs a) {
  using Load = typename R::Load;
  alignas(16) __shared__ char memory[kCoverThreads * sizeof(R)];
  R* shared = reinterpret_cast<R*>(memory);
  int64_t at[3];
  a.line_at.find(blockIdx.x, at);
  const int t = static_cast<int>(threadIdx.x);
  const int64_t each = (a.length + kCoverThreads - 1) / kCoverThreads;
  const int64_t begin = t * each, end = begin + each < a.length ? begin + each : a.length;
  const auto place = [&](int64_t k) { return a.reverse ? a.length - 1 - k : k; };
  const auto read = [&](int64_t k) {
    return R::of(load_number<Load>(a.in_type, a.x, at[0] + place(k) * a.x_step), place(k));
  };
  R mine;
  for (int64_t k = begin; k < end; ++k) mine = R::join(mine, read(k));
  shared[t] = mine;
  __syncthreads();
  for (int ahead = 1; ahead < kCoverThreads; ahead *= 2) {
    const R before = t >= ahead ? shared[t - ahead] : R();
    __syncthreads();
    shared[t] = R::join(before, shared[t]);
    __syncthreads();
  }
  R sum = t > 0 ? shared[t - 1] : R();
  for (int64_t k = begin; k < end; ++k) {
    const R after = R::join(sum, read(k));
    (a.exclusive ? sum : after)
        .write(a, at[1] + place(k) * a.y_step, at[2] + place(k) * a.indices_step);
    sum = after;
  }
}

// y[at of an element] takes what the run of equal keys leaves, one after another.
template <class C>
__global__ void __launch_bounds__(kCoverThreads) scatter_join(RUTILE_PARAM ScatterJoinArgs a) {
  using Load = std::conditional_t<std::is_floating_point_v<C>, C, int64_t>;
  const bool unsigned64 = a.type == DType::kU64;  // larger than Load holds
  const int64_t begin = blockIdx.x;
  const uint64_t key = a.keys[begin];
  if (key == kNowhere || (begin > 0 && a.keys[begin - 1] == key)) return;
  int64_t end = begin + 1;
  while (end < a.n && a.keys[end] == key) ++end;
  for (int64_t e = static_cast<int64_t>(blockIdx.y) * kCoverThreads + threadIdx.x; e < a.inner;
       e += static_cast<int64_t>(gridDim.y) * kCoverThreads) {
    const int64_t to = static_cast<int64_t>(key) + e;
    C v = static_cast<C>(load<Load>(a.type, a.y, to));
    for (int64_t s = begin; s < end; ++s) {
      const C next =
          static_cast<C>(load<Load>(a.type, a.x, a.value_at.find_one(a.values[s] * a.inner + e)));
      switch (a.join) {
        case ScatterJoin::kAdd:
          v = v + next;
          break;
        case ScatterJoin::kMul:
          v = v * next;
          break;
        case ScatterJoin::kMax:
          if (unsigned64) {
            v = next > v ? next : v;
            break;
          }
          v = static_cast<C>(kernels::fn::max(static_cast<Load>(v), static_cast<Load>(next)));
          break;
        default:
          if (unsigned64) {
            v = next < v ? next : v;
            break;
          }
          v = static_cast<C>(kernels::fn::min(static_cast<Load>(v), static_cast<Load>(next)));
          break;
      }
    }
    store<Load>(a.type, a.y, to, static_cast<Load>(v));
  }
}
// The last of a run wins.
template <class T>
__global__ void __launch_bounds__(kCoverThreads) scatter_last(RUTILE_PARAM ScatterJoinArgs a) {
  const int64_t s = blockIdx.x;
  const uint64_t key = a.keys[s];
  if (key == kNowhere || (s + 1 < a.n && a.keys[s + 1] == key)) return;
  for (int64_t e = static_cast<int64_t>(blockIdx.y) * kCoverThreads + threadIdx.x; e < a.inner;
       e += static_cast<int64_t>(gridDim.y) * kCoverThreads) {
    static_cast<T*>(a.y)[static_cast<int64_t>(key) + e] =
        static_cast<const T*>(a.x)[a.value_at.find_one(a.values[s] * a.inner + e)];
  }
}

// Offset of the place that a row of coordinates names, by steps; -1 for one out of range.
RUTILE_FN int64_t resolve_row(const CoordinatesArgs& a, int64_t row) {
  int64_t offset = 0;
  const int64_t from = a.row_at.find_one(row);
  for (int d = 0; d < a.depth; ++d) {
    const int64_t v = load<int64_t>(a.index_type, a.index, from + d * a.index_step);
    const int64_t at = a.fault.resolve(v, row * a.depth + d, a.size[d], true);
    if (at < 0) return -1;
    offset += at * a.step[d];
  }
  return offset;
}
__global__ void __launch_bounds__(kCoverThreads) coordinate_keys(RUTILE_PARAM CoordinatesArgs a) {
  const int64_t i = thread_number();
  if (i >= a.rows) return;
  const int64_t at = resolve_row(a, i);
  a.keys[i] = at < 0 ? kNowhere : static_cast<uint64_t>(at);
  a.values[i] = i;
}
template <class T>
__global__ void __launch_bounds__(kCoverThreads) gather_nd(RUTILE_PARAM CoordinatesArgs a) {
  const int64_t i = thread_number();
  if (i >= a.rows * a.inner) return;
  const int64_t at = resolve_row(a, i / a.inner);
  if (at < 0) return;
  static_cast<T*>(a.y)[i] = static_cast<const T*>(a.x)[at + a.inner_at.find_one(i % a.inner)];
}

}  // namespace

int launch_gather(const GatherArgs& a, Stream stream) {
  return by_size(a.size,
                 [&](auto t) { return launch(gather<decltype(t)>, cover(a.n), stream, a); });
}
int launch_take(const TakeArgs& a, Stream stream) {
  return by_size(a.size, [&](auto t) { return launch(take<decltype(t)>, cover(a.n), stream, a); });
}
int launch_one_hot(const OneHotArgs& a, Stream stream) {
  return launch(one_hot, cover(a.n), stream, a);
}
int launch_scatter_keys(const ScatterKeysArgs& a, Stream stream) {
  return launch(scatter_keys, cover(a.n), stream, a);
}
int launch_scatter_sum(const ScatterSumArgs& a, Stream stream) {
  const int64_t rows = (a.inner + kCoverThreads - 1) / kCoverThreads;
  const Grid grid{.x = a.n, .y = rows < 64 ? rows : 64, .threads = kCoverThreads};
  if (a.y_type == DType::kF64) return launch(scatter_sum<double>, grid, stream, a);
  if (is_floating(a.y_type)) return launch(scatter_sum<float>, grid, stream, a);
  return launch(scatter_sum<uint64_t>, grid, stream, a);
}
int launch_sort_keys(const SortKeysArgs& a, Stream stream) {
  return launch(sort_keys, cover(a.n), stream, a);
}
int launch_line_keys(const LineKeysArgs& a, Stream stream) {
  return launch(line_keys, cover(a.n), stream, a);
}
int launch_sorted(const SortedArgs& a, Stream stream) {
  return by_size(a.size, [&](auto t) {
    return launch(sorted<decltype(t)>, cover(a.lines * a.kept), stream, a);
  });
}
int launch_scan(const ScanArgs& a, Stream stream) {
  const Grid grid{.x = a.lines, .threads = kCoverThreads};
  const DType t = a.out_type;
  const bool wide = t == DType::kF64, floats = is_floating(t);
  switch (a.kind) {
    case ScanKind::kSum:
      if (wide) return launch_blocks(scan<RunningSum<double>>, grid, stream, a);
      if (floats) return launch_blocks(scan<RunningSum<float>>, grid, stream, a);
      return launch_blocks(scan<RunningSum<uint64_t>>, grid, stream, a);
    case ScanKind::kProduct:
      if (t == DType::kC64)
        return launch_blocks(scan<RunningProduct<Pair<float>>>, grid, stream, a);
      if (t == DType::kC128)
        return launch_blocks(scan<RunningProduct<Pair<double>>>, grid, stream, a);
      if (wide) return launch_blocks(scan<RunningProduct<double>>, grid, stream, a);
      if (floats) return launch_blocks(scan<RunningProduct<float>>, grid, stream, a);
      return launch_blocks(scan<RunningProduct<uint64_t>>, grid, stream, a);
    case ScanKind::kMax:
      if (wide) return launch_blocks(scan<RunningExtreme<double, true>>, grid, stream, a);
      if (floats) return launch_blocks(scan<RunningExtreme<float, true>>, grid, stream, a);
      if (t == DType::kU64)
        return launch_blocks(scan<RunningExtreme<uint64_t, true>>, grid, stream, a);
      return launch_blocks(scan<RunningExtreme<int64_t, true>>, grid, stream, a);
    case ScanKind::kMin:
      if (wide) return launch_blocks(scan<RunningExtreme<double, false>>, grid, stream, a);
      if (floats) return launch_blocks(scan<RunningExtreme<float, false>>, grid, stream, a);
      if (t == DType::kU64)
        return launch_blocks(scan<RunningExtreme<uint64_t, false>>, grid, stream, a);
      return launch_blocks(scan<RunningExtreme<int64_t, false>>, grid, stream, a);
    default:
      return wide ? launch_blocks(scan<RunningLogSum<double>>, grid, stream, a)
                  : launch_blocks(scan<RunningLogSum<float>>, grid, stream, a);
  }
}
int launch_coordinate_keys(const CoordinatesArgs& a, Stream stream) {
  return launch(coordinate_keys, cover(a.rows), stream, a);
}
int launch_gather_nd(const CoordinatesArgs& a, Stream stream) {
  return by_size(a.size_of, [&](auto t) {
    return launch(gather_nd<decltype(t)>, cover(a.rows * a.inner), stream, a);
  });
}
int launch_scatter_join(const ScatterJoinArgs& a, Stream stream) {
  const int64_t rows = (a.inner + kCoverThreads - 1) / kCoverThreads;
  const Grid grid{.x = a.n, .y = rows < 64 ? rows : 64, .threads = kCoverThreads};
  if (a.join == ScatterJoin::kLast) {
    return by_size(static_cast<int>(dtype_size(a.type)),
                   [&](auto t) { return launch(scatter_last<decltype(t)>, grid, stream, a); });
  }
  if (a.type == DType::kF64) return launch(scatter_join<double>, grid, stream, a);
  if (is_floating(a.type)) return launch(scatter_join<float>, grid, stream, a);
  return launch(scatter_join<uint64_t>, grid, stream, a);
}

}  // namespace rutile::cuda
