// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/exec/program.h"

#include <cmath>

namespace rutile::graph {

std::string memory_report(const Program& p) {
  const auto rounded = [](double v) { return std::round(v * 1000) / 1000; };
  const auto mb = [&](int64_t b) { return rounded(static_cast<double>(b) / (1 << 20)); };
  return cat("arena ", mb(p.memory.peak), " MiB, lower bound ", mb(p.memory.lower_bound),
             " MiB, ratio ", rounded(p.memory.ratio()), " (order: ", p.memory.order, "), ",
             p.steps.size(), " kernels");
}

Device graph_device(const Graph& g) {
  for (const Value& v : g.values) {
    if (!(v.meta.device == kCpu)) return v.meta.device;
  }
  return kCpu;
}

std::string describe_failure(const Graph& g, const Step& step, const Status& status) {
  std::string text = status.message();
  if (step.node == kNone) return text;
  const Node& n = g.nodes[step.node];
  if (text.starts_with('[')) {  // a body's step, which has said all but where the body runs
    text += cat(" | in ", n.op->name);
  } else {
    text = cat("[", n.op->name, "] ", text);
    for (size_t i = 0; i < n.inputs.size() && i < 8; ++i) {
      if (n.inputs[i] == kNone) continue;
      text +=
          cat(i ? ", " : " | ", n.op->input_name(static_cast<int>(i)), " ", g.meta(n.inputs[i]));
    }
  }
  if (n.origins.empty()) return text;
  const Origin& o = g.origins[n.origins.front()];
  if (o.op != n.op->name) text += cat(" | in ", o.op);  // a part of what the user called
  if (!o.cell.empty()) text += cat(" | in Cell ", o.cell);
  return text + cat(" | at ", o.file, ":", o.line);
}

}  // namespace rutile::graph
