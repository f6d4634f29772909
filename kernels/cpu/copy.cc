// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/copy.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/dispatch.h"

namespace rutile::kernels {
namespace {

constexpr double kByteNs = 0.02;
constexpr int64_t kPieceBytes = 1 << 14;  // long rows are divided into such pieces
constexpr int64_t kMostRepeats = 16;

// Each of n elements kTimes times (`times`, for 0).
template <int64_t kTimes, class T>
void repeat_each(const T* x, T* y, int64_t n, int64_t times) {
  if constexpr (kTimes > 0) times = kTimes;
  for (int64_t i = 0; i < n; ++i) {
    const T v = x[i];
    for (int64_t j = 0; j < times; ++j) y[i * times + j] = v;
  }
}

template <class T>
void transpose_plain(const T* from, int64_t fs, T* to, int64_t ts, int64_t rows, int64_t cols) {
  constexpr int64_t kTile = 16;
  for (int64_t c0 = 0; c0 < cols; c0 += kTile) {
    const int64_t c1 = std::min(c0 + kTile, cols);
    for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
      const int64_t r1 = std::min(r0 + kTile, rows);
      for (int64_t c = c0; c < c1; ++c) {
        for (int64_t r = r0; r < r1; ++r) to[c * ts + r] = from[r * fs + c];
      }
    }
  }
}

const TransposeKernels& transposes() {
  static const TransposeKernels kernels = [] {
    TransposeKernels k{transpose_plain<uint16_t>, transpose_plain<uint32_t>};
    if (isa() != Isa::kBaseline) k = RUTILE_CHOOSE_ISA(transpose_kernels);
    return k;
  }();
  return kernels;
}

}  // namespace

CopyPlan::CopyPlan(const Shape& shape, const Strides& from, const Strides& to, int element_size)
    : element_(element_size) {
  Dim dims[kMaxRank];
  int n = 0;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == 0) return;
    if (shape[i] > 1) dims[n++] = {shape[i], from[i] * element_size, to[i] * element_size};
  }
  // Slowest in the result first; then neighbours that step as one are joined.
  std::stable_sort(dims, dims + n, [](const Dim& a, const Dim& b) {
    return std::abs(a.to) != std::abs(b.to) ? std::abs(a.to) > std::abs(b.to)
                                            : std::abs(a.from) > std::abs(b.from);
  });
  int k = 0;
  for (int i = 0; i < n; ++i) {
    Dim& last = dims[k > 0 ? k - 1 : 0];
    if (k > 0 && last.to == dims[i].to * dims[i].size && last.from == dims[i].from * dims[i].size) {
      last = {last.size * dims[i].size, dims[i].from, dims[i].to};
    } else {
      dims[k++] = dims[i];
    }
  }
  if (k > 0) inner_ = dims[--k];
  if (inner_.size == 1) inner_ = {1, element_size, element_size};
  kind_ = Kind::kStrided;
  if (inner_.to == element_ && inner_.from == element_) kind_ = Kind::kRows;
  if (inner_.to == element_ && inner_.from == 0) kind_ = Kind::kFill;
  if (kind_ == Kind::kFill && k > 0 && inner_.size <= kMostRepeats &&
      dims[k - 1].from == element_ && dims[k - 1].to == inner_.size * element_) {
    second_ = dims[--k];
    kind_ = Kind::kRepeat;
  }
  if (kind_ == Kind::kStrided && inner_.to == element_) {
    for (int i = k - 1; i >= 0; --i) {
      if (dims[i].from != element_) continue;
      second_ = dims[i];
      for (int j = i; j + 1 < k; ++j) dims[j] = dims[j + 1];
      --k;
      kind_ = Kind::kTranspose;
      break;
    }
  }
  outer_rank_ = k;
  for (int i = 0; i < k; ++i) {
    outer_[i] = dims[i];
    outer_count_ *= dims[i].size;
  }
}

// Calls f(from, to) for the outer positions [begin, end).
template <class F>
void CopyPlan::for_outer(int64_t begin, int64_t end, const void* from, void* to, F&& f) const {
  int64_t index[kMaxRank] = {};
  const char* in = static_cast<const char*>(from);
  char* out = static_cast<char*>(to);
  int64_t rest = begin;
  for (int i = outer_rank_ - 1; i >= 0; --i) {
    index[i] = rest % outer_[i].size;
    rest /= outer_[i].size;
    in += index[i] * outer_[i].from;
    out += index[i] * outer_[i].to;
  }
  for (int64_t n = begin; n < end; ++n) {
    f(in, out);
    for (int i = outer_rank_ - 1; i >= 0; --i) {
      in += outer_[i].from;
      out += outer_[i].to;
      if (++index[i] < outer_[i].size) break;
      in -= outer_[i].size * outer_[i].from;
      out -= outer_[i].size * outer_[i].to;
      index[i] = 0;
    }
  }
}

void CopyPlan::run_rows(const void* from, void* to) const {
  const int64_t row = inner_.size * element_;
  if (outer_count_ >= num_threads() || row < 2 * kPieceBytes) {
    const int64_t grain = grain_for(kByteNs * static_cast<double>(row));
    parallel_for(0, outer_count_, grain, [&](int64_t begin, int64_t end) {
      for_outer(begin, end, from, to, [row](const char* in, char* out) {
        std::memcpy(out, in, static_cast<size_t>(row));
      });
    });
    return;
  }
  const int64_t pieces = (row + kPieceBytes - 1) / kPieceBytes;
  for_outer(0, outer_count_, from, to, [&](const char* in, char* out) {
    parallel_for(0, pieces, grain_for(kByteNs * kPieceBytes), [&](int64_t begin, int64_t end) {
      const int64_t b = begin * kPieceBytes, e = std::min(end * kPieceBytes, row);
      std::memcpy(out + b, in + b, static_cast<size_t>(e - b));
    });
  });
}

void CopyPlan::run_transpose(const void* from, void* to) const {
  // The result's rows are `inner_`; bands of 64 rows of it are the unit of work.
  constexpr int64_t kBand = 64;
  const int64_t bands = (second_.size + kBand - 1) / kBand;
  const int64_t unit = kBand * inner_.size * element_;
  auto run = [&](auto* kernel, auto id) {
    using T = typename decltype(id)::type;
    parallel_for(0, outer_count_ * bands, grain_for(kByteNs * static_cast<double>(unit)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t n = begin; n < end;) {
                     const int64_t first = n % bands, last = std::min(bands, first + end - n);
                     const int64_t c0 = first * kBand, c1 = std::min(last * kBand, second_.size);
                     for_outer(n / bands, n / bands + 1, from, to, [&](const char* in, char* out) {
                       kernel(reinterpret_cast<const T*>(in + c0 * second_.from),
                              inner_.from / element_, reinterpret_cast<T*>(out + c0 * second_.to),
                              second_.to / element_, inner_.size, c1 - c0);
                     });
                     n += last - first;
                   }
                 });
  };
  switch (element_) {
    case 1:
      return run(transpose_plain<uint8_t>, std::type_identity<uint8_t>{});
    case 2:
      return run(transposes().transpose2, std::type_identity<uint16_t>{});
    case 4:
      return run(transposes().transpose4, std::type_identity<uint32_t>{});
    case 8:
      return run(transpose_plain<uint64_t>, std::type_identity<uint64_t>{});
    default:
      return run(transpose_plain<Bytes16>, std::type_identity<Bytes16>{});
  }
}

template <class T>
void CopyPlan::run_repeat(const void* from, void* to) const {
  const int64_t times = inner_.size, n = second_.size;
  const auto each = times == 2   ? repeat_each<2, T>
                    : times == 3 ? repeat_each<3, T>
                    : times == 4 ? repeat_each<4, T>
                                 : repeat_each<0, T>;
  const double ns = kByteNs * static_cast<double>(element_ * times);
  parallel_for(0, outer_count_ * n, grain_for(ns), [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t o = begin / n, at = begin % n, count = std::min(end - begin, n - at);
      for_outer(o, o + 1, from, to, [&](const char* in, char* out) {
        each(reinterpret_cast<const T*>(in) + at, reinterpret_cast<T*>(out) + at * times, count,
             times);
      });
      begin += count;
    }
  });
}

template <class T>
void CopyPlan::run_strided(const void* from, void* to) const {
  const int64_t n = inner_.size, fs = inner_.from / element_, ts = inner_.to / element_;
  auto line = [n, fs, ts](const char* in, char* out, int64_t begin, int64_t end) {
    const T* x = reinterpret_cast<const T*>(in);
    T* y = reinterpret_cast<T*>(out);
    if (fs == 0) {
      const T v = *x;
      if (ts == 1) return std::fill(y + begin, y + end, v);
      for (int64_t i = begin; i < end; ++i) y[i * ts] = v;
    } else if (fs == -1 && ts == 1) {  // reversed; with constant strides the compiler makes vectors
      for (int64_t i = begin; i < end; ++i) y[i] = x[-i];
    } else if (ts == 1) {
      for (int64_t i = begin; i < end; ++i) y[i] = x[i * fs];
    } else {
      for (int64_t i = begin; i < end; ++i) y[i * ts] = x[i * fs];
    }
  };
  const int64_t grain = grain_for(4 * kByteNs * static_cast<double>(element_));
  if (outer_count_ >= num_threads() || n < grain) {
    parallel_for(0, outer_count_, std::max<int64_t>(1, grain / n), [&](int64_t begin, int64_t end) {
      for_outer(begin, end, from, to, [&](const char* in, char* out) { line(in, out, 0, n); });
    });
    return;
  }
  for_outer(0, outer_count_, from, to, [&](const char* in, char* out) {
    parallel_for(0, n, grain, [&](int64_t begin, int64_t end) { line(in, out, begin, end); });
  });
}

void CopyPlan::run(const void* from, void* to) const {
  const auto with = [&](auto id) {
    using T = typename decltype(id)::type;
    return kind_ == Kind::kRepeat ? run_repeat<T>(from, to) : run_strided<T>(from, to);
  };
  switch (kind_) {
    case Kind::kNothing:
      return;
    case Kind::kRows:
      return run_rows(from, to);
    case Kind::kTranspose:
      return run_transpose(from, to);
    case Kind::kFill:
    case Kind::kRepeat:
    case Kind::kStrided:
      break;
  }
  switch (element_) {
    case 1:
      return with(std::type_identity<uint8_t>{});
    case 2:
      return with(std::type_identity<uint16_t>{});
    case 4:
      return with(std::type_identity<uint32_t>{});
    case 8:
      return with(std::type_identity<uint64_t>{});
    default:
      return with(std::type_identity<Bytes16>{});
  }
}

}  // namespace rutile::kernels
