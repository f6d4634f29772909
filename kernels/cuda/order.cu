// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/order.h"

#include "rutile/kernels/cuda/order_bits.h"

namespace rutile::cuda {
namespace {

// The place in the sorted line, one thread a line.
__global__ void __launch_bounds__(kCoverThreads) choose(RUTILE_PARAM ChooseArgs a) {
  const int64_t line = thread_number();
  if (line >= a.lines) return;
  const int64_t base = a.line_at.find_one(line);
  const auto element = [&](int64_t i) {  // where in its line
    return a.values[line * a.length + i] - line * a.length;
  };
  const auto bits = [&](int64_t i) {
    return ordered_bits(a.type, a.x, base + element(i) * a.step);
  };
  int64_t place = a.place;
  if (a.choose == Choose::kMedian || a.choose == Choose::kNanMedian) {
    int64_t numbers = a.length;
    if (is_floating(a.type)) {
      int64_t low = 0;
      while (low < numbers) {  // NaNs stand last
        const int64_t middle = (low + numbers) / 2;
        if (bits(middle) == ~uint64_t{0}) {
          numbers = middle;
        } else {
          low = middle + 1;
        }
      }
    }
    const bool nan = numbers < a.length && (a.choose == Choose::kMedian || numbers == 0);
    place = nan ? numbers : (numbers - 1) / 2;
  } else if (a.choose == Choose::kMode) {
    int64_t longest = 0, first = 0;
    uint64_t run = 0;
    for (int64_t i = 0; i < a.length; ++i) {
      const uint64_t b = bits(i);
      if (i == 0 || b != run) {
        run = b;
        first = i;
      }
      if (i - first + 1 > longest) {
        longest = i - first + 1;
        place = i;
      }
    }
  }
  const int64_t chosen = element(place), from = base + chosen * a.step;
  put<int64_t>(a.indices, line, chosen);
  switch (dtype_size(a.type)) {
    case 1:
      return put<uint8_t>(a.y, line, at<uint8_t>(a.x, from));
    case 2:
      return put<uint16_t>(a.y, line, at<uint16_t>(a.x, from));
    case 4:
      return put<uint32_t>(a.y, line, at<uint32_t>(a.x, from));
    default:
      return put<uint64_t>(a.y, line, at<uint64_t>(a.x, from));
  }
}

__global__ void __launch_bounds__(kCoverThreads) search(RUTILE_PARAM SearchArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const uint64_t v = ordered_bits(a.type, a.values, a.value_at.find_one(i));
  const int64_t line = a.line_at.find_one(i / a.inner);
  int64_t low = 0, high = a.length;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const uint64_t b = ordered_bits(a.type, a.lines, line + middle * a.step);
    if (a.right ? b <= v : b < v) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  store<int64_t>(a.out_type, a.y, i, low);
}

RUTILE_FN int64_t row_at(const DistinctArgs& a, int64_t i) { return a.order ? a.order[i] : i; }

// NaN differs from everything.
RUTILE_FN bool same_rows(const DistinctArgs& a, int64_t i, int64_t j) {
  for (int64_t c = 0; c < a.columns; ++c) {
    const uint64_t u = ordered_bits(a.type, a.x, i * a.row_step + c * a.column_step);
    const uint64_t v = ordered_bits(a.type, a.x, j * a.row_step + c * a.column_step);
    if (u != v || (is_floating(a.type) && u == ~uint64_t{0})) return false;
  }
  return true;
}

__global__ void __launch_bounds__(kCoverThreads) distinct_first(RUTILE_PARAM DistinctArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  a.first[i] = i == 0 || !same_rows(a, row_at(a, i), row_at(a, i - 1)) ? 1 : 0;
}

__global__ void __launch_bounds__(kCoverThreads) distinct_clear(RUTILE_PARAM DistinctArgs a) {
  const int64_t i = thread_number();
  if (i == 0 && a.n == 0) *a.count = 0;
  if (i >= a.n) return;
  a.counts[i] = 0;
  if (a.places) {
    put<int64_t>(a.values, i, 0);
  } else {
    store_any<int64_t>(a.type, a.values, i, 0);
  }
}

// The last of each run counts it: from where its first stands.
__global__ void __launch_bounds__(kCoverThreads) distinct_write(RUTILE_PARAM DistinctArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const int64_t row = row_at(a, i), rank = a.rank[i] - 1;
  a.inverse[row] = rank;
  if (a.first[i]) {
    if (a.places) {
      put<int64_t>(a.values, rank, row);
    } else {
      const int64_t from = row * a.row_step;
      switch (dtype_size(a.type)) {
        case 1:
          put<uint8_t>(a.values, rank, at<uint8_t>(a.x, from));
          break;
        case 2:
          put<uint16_t>(a.values, rank, at<uint16_t>(a.x, from));
          break;
        case 4:
          put<uint32_t>(a.values, rank, at<uint32_t>(a.x, from));
          break;
        default:
          put<uint64_t>(a.values, rank, at<uint64_t>(a.x, from));
          break;
      }
    }
  }
  if (i + 1 == a.n) *a.count = rank + 1;
  if (i + 1 < a.n && !a.first[i + 1]) return;
  int64_t low = 0, high = i;  // ranks rise: the first with this one
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (a.rank[middle] - 1 < rank) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  a.counts[rank] = i - low + 1;
}

__global__ void __launch_bounds__(kCoverThreads) column_keys(RUTILE_PARAM ColumnKeysArgs a) {
  const int64_t i = thread_number();
  if (i >= a.rows.n) return;
  const int64_t row = row_at(a.rows, i);
  a.keys[i] =
      ordered_bits(a.rows.type, a.rows.x, row * a.rows.row_step + a.column * a.rows.column_step);
  a.values[i] = row;
}

}  // namespace

int launch_choose(const ChooseArgs& a, Stream stream) {
  return launch(choose, cover(a.lines), stream, a);
}
int launch_search(const SearchArgs& a, Stream stream) {
  return launch(search, cover(a.n), stream, a);
}
int launch_distinct_first(const DistinctArgs& a, Stream stream) {
  return launch(distinct_first, cover(a.n), stream, a);
}
int launch_distinct_clear(const DistinctArgs& a, Stream stream) {
  return launch(distinct_clear, cover(a.n > 0 ? a.n : 1), stream, a);
}
int launch_distinct_write(const DistinctArgs& a, Stream stream) {
  return launch(distinct_write, cover(a.n), stream, a);
}
int launch_column_keys(const ColumnKeysArgs& a, Stream stream) {
  return launch(column_keys, cover(a.rows.n), stream, a);
}

}  // namespace rutile::cuda
