// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/plan/planner.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace rutile::graph {

namespace {

constexpr int64_t kAlign = 64;
int64_t round_up(int64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

int64_t lower_bound_bytes(const std::vector<Interval>& intervals) {
  int steps = 0;
  for (const Interval& i : intervals) steps = std::max(steps, i.last + 1);
  std::vector<int64_t> change(static_cast<size_t>(steps) + 1, 0);
  for (const Interval& i : intervals) {
    change[i.first] += round_up(i.bytes);
    change[i.last + 1] -= round_up(i.bytes);
  }
  int64_t alive = 0, most = 0;
  for (int64_t c : change) most = std::max(most, alive += c);
  return most;
}

// Places the buffers in the given order, each at the lowest offset free over its whole life.
int64_t place(const std::vector<Interval>& intervals, const std::vector<int>& order,
              std::vector<int64_t>* offsets) {
  offsets->assign(intervals.size(), 0);
  std::vector<int> placed;  // by offset, ascending
  int64_t peak = 0;
  for (int i : order) {
    const Interval& a = intervals[i];
    const int64_t need = round_up(a.bytes);
    int64_t at = 0;
    for (int j : placed) {
      const Interval& b = intervals[j];
      if (b.last < a.first || a.last < b.first) continue;
      if ((*offsets)[j] >= at + need) break;
      at = std::max(at, (*offsets)[j] + round_up(b.bytes));
    }
    (*offsets)[i] = at;
    peak = std::max(peak, at + need);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i,
                                   [&](int x, int y) { return (*offsets)[x] < (*offsets)[y]; }),
                  i);
  }
  return peak;
}

// A plan this close to the bound is good enough, and so many pairs of buffers are looked at.
constexpr double kClose = 1.005;
constexpr int64_t kPairs = 4'000'000, kMostTries = 200;

bool is_close(const MemoryPlan& p) {
  return static_cast<double>(p.peak) <= kClose * static_cast<double>(p.lower_bound);
}

// The buffer on top of the plan found no place below: it chooses first in the next try.
void improve(const std::vector<Interval>& intervals, std::vector<int> order, MemoryPlan* best) {
  const auto n = static_cast<int64_t>(intervals.size());
  std::vector<int64_t> offsets = best->offsets;
  for (int64_t k = std::min(kMostTries, kPairs / std::max<int64_t>(n * n, 1)); k > 0; --k) {
    if (is_close(*best)) return;
    const auto end = [&](int i) { return offsets[i] + round_up(intervals[i].bytes); };
    const auto top =
        std::max_element(order.begin(), order.end(), [&](int a, int b) { return end(a) < end(b); });
    if (top == order.begin()) return;  // nothing would change
    std::rotate(order.begin(), top, top + 1);
    const int64_t peak = place(intervals, order, &offsets);
    if (peak >= best->peak) continue;
    best->peak = peak;
    best->offsets = offsets;
  }
}

}  // namespace

MemoryPlan plan_memory(const std::vector<Interval>& intervals) {
  using Less = std::function<bool(const Interval&, const Interval&)>;
  auto length = [](const Interval& i) { return i.last - i.first; };
  const std::pair<const char*, Less> orders[] = {
      {"size", [](const Interval& a, const Interval& b) { return a.bytes > b.bytes; }},
      {"length then size",
       [&](const Interval& a, const Interval& b) {
         return length(a) != length(b) ? length(a) > length(b) : a.bytes > b.bytes;
       }},
      {"area",
       [&](const Interval& a, const Interval& b) {
         return static_cast<double>(a.bytes) * (length(a) + 1) >
                static_cast<double>(b.bytes) * (length(b) + 1);
       }},
      {"start",
       [](const Interval& a, const Interval& b) {
         return a.first != b.first ? a.first < b.first : a.bytes > b.bytes;
       }},
  };
  MemoryPlan best;
  best.lower_bound = lower_bound_bytes(intervals);
  std::vector<int64_t> offsets;
  std::vector<int> best_order;
  for (const auto& [name, less] : orders) {
    std::vector<int> order(intervals.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return less(intervals[a], intervals[b]); });
    const int64_t peak = place(intervals, order, &offsets);
    if (best.offsets.size() != intervals.size() || peak < best.peak) {
      best.peak = peak;
      best.offsets = offsets;
      best.order = name;
      best_order = std::move(order);
    }
    if (best.peak == best.lower_bound) break;
  }
  const int64_t greedy = best.peak;
  improve(intervals, std::move(best_order), &best);
  if (best.peak < greedy) best.order += ", then what lay on top first";
  return best;
}

}  // namespace rutile::graph
