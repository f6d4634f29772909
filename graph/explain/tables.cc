// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/explain/tables.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace rutile::graph {

namespace {

// The indices of the n largest of `count` things by `size`.
template <class Size>
std::vector<size_t> top(size_t count, size_t n, Size&& size) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return size(a) > size(b); });
  order.resize(std::min(n, count));
  return order;
}

// "conv2d in layer1.0.conv2 (resnet.cc:71)" -> "conv2d"
std::string first_word(const std::string& text) { return text.substr(0, text.find(' ')); }

}  // namespace

std::vector<KernelGroup> kernel_groups(const Explanation& e) {
  std::map<std::pair<std::string, std::string>, KernelGroup> groups;
  for (const KernelTime& k : e.kernels) {
    KernelGroup& g = groups[{k.op, k.kernel}];
    g.op = k.op;
    g.kernel = k.kernel;
    ++g.calls;
    g.ms += k.ms;
    g.limit_ms += k.limit_ms;
    if (k.by_arithmetic) g.arithmetic_ms += k.limit_ms;
    g.cost.flops += k.cost.flops;
    g.cost.bytes += k.cost.bytes;
  }
  std::vector<KernelGroup> sorted;
  for (auto& [key, g] : groups) sorted.push_back(std::move(g));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.ms > b.ms; });
  return sorted;
}

std::vector<RemarkGroup> remark_groups(const CompileReport& report) {
  std::vector<RemarkGroup> all;
  for (const PassReport& p : report.passes) {
    std::map<std::tuple<bool, std::string, std::string>, size_t> index;
    std::vector<RemarkGroup> of_pass;
    for (const Remark& r : p.remarks) {
      auto [it, fresh] = index.emplace(std::tuple{r.done, r.what, r.reason}, of_pass.size());
      if (fresh) of_pass.push_back({p.name, r.what, r.reason, r.where, r.done, 0});
      ++of_pass[it->second].count;
    }
    std::stable_sort(of_pass.begin(), of_pass.end(), [](const auto& a, const auto& b) {
      return a.done != b.done ? a.done : a.count > b.count;
    });
    all.insert(all.end(), of_pass.begin(), of_pass.end());
  }
  return all;
}

std::vector<ReorderGroup> reorder_groups(const Explanation& e) {
  std::map<std::tuple<std::string, std::string, std::string, std::string>, ReorderGroup> groups;
  for (const Reorder& r : e.reorders) {
    ReorderGroup& g = groups[{r.source, r.from, r.to, first_word(r.reader)}];
    if (g.count++ == 0) g.first = r;
    g.bytes += r.bytes;
    g.ms += r.ms;
  }
  std::vector<ReorderGroup> sorted;
  for (auto& [key, g] : groups) sorted.push_back(std::move(g));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  return sorted;
}

std::vector<size_t> largest_buffers(const Explanation& e, size_t n) {
  return top(e.buffers.size(), n, [&](size_t i) { return e.buffers[i].place.bytes; });
}
std::vector<size_t> slowest_kernels(const Explanation& e, size_t n) {
  return top(e.kernels.size(), n, [&](size_t i) { return e.kernels[i].ms; });
}

}  // namespace rutile::graph
