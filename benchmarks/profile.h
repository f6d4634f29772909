// SPDX-License-Identifier: Apache-2.0
// Where a compiled step spends its time, as tables.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "rutile/nn/train_step.h"

namespace rutile::bench {

inline constexpr size_t kSlowest = 30;
inline constexpr size_t kOperandsWidth = 120;

struct Row {
  int calls = 0;
  double ms = 0;
};

inline void print_rows(std::map<std::string, Row> rows, int steps, double total) {
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.ms > b.second.ms; });
  std::printf("%-44s %6s %10s %6s\n", "op (kernel)", "calls", "ms/step", "%");
  for (const auto& [name, r] : sorted) {
    std::printf("%-44s %6d %10.3f %6.1f\n", name.c_str(), r.calls / steps, r.ms / steps,
                100 * r.ms / total);
  }
}

// The slowest kernels of a step one by one, with the bytes of their operands a second.
inline void print_nodes(const graph::Graph& g, const std::map<graph::NodeId, double>& ms,
                        int steps) {
  std::vector<std::pair<graph::NodeId, double>> sorted(ms.begin(), ms.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second > b.second; });
  std::printf("%-26s %8s %7s  %s\n", "slowest", "ms/step", "GB/s", "operands");
  for (size_t i = 0; i < std::min<size_t>(sorted.size(), kSlowest); ++i) {
    const graph::Node& n = g.nodes[sorted[i].first];
    double bytes = 0;
    std::string operands;
    const auto add = [&](graph::ValueId v, const char* sign) {
      if (v == graph::kNone) return;
      bytes += static_cast<double>(g.meta(v).nbytes());
      if (operands.size() < kOperandsWidth) operands += cat(sign, g.meta(v));
    };
    for (graph::ValueId v : n.inputs) add(v, " ");
    for (graph::ValueId v : n.outputs) add(v, " -> ");
    const double each = sorted[i].second / steps;
    std::printf("%-26s %8.3f %7.1f %s\n", n.op->name, each, bytes / each / 1e6, operands.c_str());
  }
}

// Runs the step a few times and prints a row per kernel, the slowest nodes and the memory plan.
inline void print_profile(nn::TrainStep& step, const std::vector<Tensor>& inputs) {
  using Clock = std::chrono::steady_clock;
  constexpr int kSteps = 5;
  graph::Session& session = step.compiled()->session();
  const graph::Graph& g = *session.program().graph;
  std::map<std::string, Row> rows;
  std::map<graph::NodeId, double> nodes;
  double total = 0;
  for (int i = 0; i < kSteps; ++i) {
    Clock::time_point last = Clock::now();
    session.run_observed(inputs, [&](const graph::Step& s) {
      const double ms = std::chrono::duration<double, std::milli>(Clock::now() - last).count();
      const std::string op = s.node == graph::kNone ? "copy" : g.nodes[s.node].op->name;
      Row& r = rows[op + " (" + s.plan->kernel + ")"];
      ++r.calls;
      r.ms += ms;
      if (s.node != graph::kNone) nodes[s.node] += ms;
      total += ms;
      last = Clock::now();
    });
  }
  print_rows(rows, kSteps, total);
  print_nodes(g, nodes, kSteps);
  std::printf("%s\n", graph::memory_report(session.program()).c_str());
}

}  // namespace rutile::bench
