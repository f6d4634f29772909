// SPDX-License-Identifier: Apache-2.0
#include "rutile/debug/anomaly.h"

#include <string>

#include "rutile/debug/special_numbers.h"
#include "rutile/graph/exec/observers.h"
#include "rutile/ops/call.h"
#include "rutile/ops/control.h"

namespace rutile::debug {

namespace {

std::string line_of(const std::string& file, int line) { return cat(file, ":", line); }

// "its inputs are finite", or which one is not.
std::string about_inputs(const OpDef& op, std::span<const Tensor> in, const AnomalyOptions& o) {
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in[i].defined()) continue;
    const SpecialNumbers s = count_special(in[i].meta(), in[i].impl()->data, o.nan, o.inf);
    if (s.first < 0) continue;
    return cat("input ", op.input_name(static_cast<int>(i)), " has ", to_string(s, in[i].meta()),
               " already");
  }
  return "its inputs are finite";
}

[[noreturn]] void report_call(const OpDef& op, const std::string& found, std::span<const Tensor> in,
                              const AnomalyOptions& o, std::source_location where) {
  std::string text = cat("[", op.name, "] gives ", found, "; ", about_inputs(op, in, o));
  for (size_t i = 0; i < in.size() && i < 8; ++i) {
    text += cat(i ? ", " : " | ", op.input_name(static_cast<int>(i)), " ",
                in[i].defined() ? to_string(in[i].meta()) : "none");
  }
  const CallModes& modes = call_modes();
  const std::string cell = cell_path(modes.cell);
  if (!cell.empty()) text += cat(" | in Cell ", cell);
  std::string file;
  int line = 0;
  call_location(where, &file, &line);
  const OpDef* forward = modes.forward ? modes.forward->op : nullptr;
  text += forward ? cat(" | in the gradient of ", forward->name, ", called at ") : " | at ";
  throw_error(ErrorCode::kValue, text + line_of(file, line));
}

[[noreturn]] void report_step(const graph::Graph& g, const graph::Node& n,
                              const std::string& found) {
  std::string text = cat("[", n.op->name, "] gives ", found);
  for (size_t i = 0; i < n.inputs.size() && i < 8; ++i) {
    if (n.inputs[i] == graph::kNone) continue;
    text += cat(i ? ", " : " | ", n.op->input_name(static_cast<int>(i)), " ", g.meta(n.inputs[i]));
  }
  std::string cell, made_of;
  for (const int32_t k : n.origins) {
    const graph::Origin& o = g.origins[k];
    if (cell.empty()) cell = o.cell;
    made_of += cat(made_of.empty() ? " | made of " : ", ", o.op, " at ", line_of(o.file, o.line));
    if (!o.cell.empty() && o.cell != cell) made_of += cat(" in ", o.cell);
  }
  if (!cell.empty()) text += cat(" | in Cell ", cell);
  text += made_of;
  if (n.phase != graph::Phase::kForward)
    text += cat(" | in the ", graph::phase_name(n.phase), " part");
  throw_error(ErrorCode::kValue, text);
}

}  // namespace

class DetectAnomaly::Hooks final : public graph::Observer {
 public:
  explicit Hooks(AnomalyOptions o) : options_(o) {}

  void before(const OpDef& op, std::span<const Tensor>) override {
    if (!is_written_by_user(op)) ++depth_;
  }
  void after(const OpDef& op, const void*, std::span<const Tensor> in, std::span<const Tensor> out,
             std::source_location where) override {
    if (!is_written_by_user(op) && depth_ > 0) --depth_;  // 0: the scope began inside this op
    // Inside a composition numbers may be infinite that no user sees; a view makes none.
    if (depth_ > 0 || op.view_offset) return;
    for (const Tensor& t : out) {
      if (!t.defined()) continue;
      const SpecialNumbers s = count_special(t.meta(), t.impl()->data, options_.nan, options_.inf);
      if (s.first >= 0) report_call(op, to_string(s, t.meta()), in, options_, where);
    }
  }

  void after(const graph::RunningStep& step) override {
    if (!step.node() || step.step.copied > 0) return;
    const graph::Node& n = *step.node();
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      const TensorMeta& meta = step.graph.meta(n.outputs[i]);
      const SpecialNumbers s = count_special(meta, step.out(i), options_.nan, options_.inf);
      if (s.first >= 0) report_step(step.graph, n, to_string(s, meta));
    }
  }

 private:
  // The ops inside are those that the user called.
  static bool is_written_by_user(const OpDef& op) { return &op == &ops::kRecompute; }

  AnomalyOptions options_;
  int depth_ = 0;
};

DetectAnomaly::DetectAnomaly(AnomalyOptions options) : hooks_(std::make_shared<Hooks>(options)) {
  graph::start_observer(hooks_);
}
DetectAnomaly::~DetectAnomaly() { graph::end_observer(*hooks_); }

}  // namespace rutile::debug
