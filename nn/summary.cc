// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/summary.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>

#include "rutile/autograd/tape.h"
#include "rutile/nn/cell_observer.h"
#include "rutile/ops/cost.h"

namespace rutile::nn {

namespace {

class Recorder final : public CellObserver, public RunHook {
 public:
  explicit Recorder(Summary* summary) : summary_(summary) {}

  void enter(Cell& cell) override {
    const std::string parent = open_.empty() ? "" : rows()[open_.back()].path;
    std::string path = open_.empty() ? "" : cell.name();
    if (!parent.empty()) path = cat(parent, ".", path);
    const auto [it, fresh] = index_.emplace(path, rows().size());
    if (fresh) {
      SummaryRow r;
      r.path = path;
      r.name = open_.empty() ? "" : cell.name();
      r.type = cell.type_name();
      r.depth = static_cast<int>(open_.size());
      for (const ParameterPtr& p : cell.parameters()) {
        r.parameters += p->numel();
        if (p->requires_grad()) r.trainable += p->numel();
      }
      rows().push_back(std::move(r));
    }
    open_.push_back(it->second);
  }

  void leave(Cell&, const std::vector<Tensor>& outputs) override {
    SummaryRow& r = rows()[open_.back()];
    open_.pop_back();
    ++r.calls;
    r.outputs.clear();
    for (const Tensor& t : outputs) r.outputs.push_back(t.meta());
  }

  // An op that runs as its composition is counted by its own cost, not by its parts'.
  void before(const OpDef&, std::span<const Tensor>) override { ++ops_; }
  void after(const OpDef& op, const void* attrs, std::span<const Tensor> in,
             std::span<const Tensor> out, std::source_location) override {
    if (--ops_ > 0 || out.empty()) return;  // empty: it failed
    std::vector<const TensorMeta*> metas;
    std::vector<TensorMeta> results;
    for (const Tensor& t : in) metas.push_back(t.defined() ? &t.meta() : nullptr);
    double bytes = 0;
    for (const Tensor& t : out) {
      results.push_back(t.meta());
      if (!op.view_offset) bytes += static_cast<double>(t.meta().nbytes());
    }
    const Cost cost = cost_of(CallMeta{&op, attrs, metas, results});
    for (const size_t i : open_) {
      rows()[i].flops += cost.flops;
      rows()[i].bytes += bytes;
    }
  }

 private:
  std::vector<SummaryRow>& rows() { return summary_->rows; }
  Summary* summary_;
  std::vector<size_t> open_;
  std::map<std::string, size_t> index_;
  int ops_ = 0;
};

std::string with_commas(int64_t n) {
  std::string s = std::to_string(n);
  for (int i = static_cast<int>(s.size()) - 3; i > 0; i -= 3) {
    s.insert(static_cast<size_t>(i), ",");
  }
  return s;
}

std::string short_number(double v, double step, const char* const* units) {
  int unit = 0;
  while (v >= step && units[unit + 1]) {
    v /= step;
    ++unit;
  }
  char text[48];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f%s%s" : "%.2f%s%s", v, *units[unit] ? " " : "",
                units[unit]);
  return text;
}
std::string flops_text(double v) {
  static const char* const kUnits[] = {"", "K", "M", "G", "T", nullptr};
  return short_number(v, 1000, kUnits);
}
std::string bytes_text(double v) {
  static const char* const kUnits[] = {"B", "KiB", "MiB", "GiB", nullptr};
  return short_number(v, 1024, kUnits);
}

constexpr size_t kColumns = 5;
using Line = std::array<std::string, kColumns>;

Line line_of(const SummaryRow& r) {
  std::string outputs;
  for (const TensorMeta& m : r.outputs) {
    outputs += cat(outputs.empty() ? "" : ", ", m.dtype, m.shape);
  }
  const std::string label = r.name.empty() ? r.type : cat(r.name, ": ", r.type);
  return {std::string(2 * static_cast<size_t>(r.depth), ' ') + label, outputs,
          r.parameters > 0 ? with_commas(r.parameters) : "", flops_text(r.flops),
          bytes_text(r.bytes)};
}

}  // namespace

std::string Summary::text() const {
  std::vector<Line> lines{{"Cell", "Output", "Parameters", "FLOPs", "Memory"}};
  for (const SummaryRow& r : rows) lines.push_back(line_of(r));
  std::array<size_t, kColumns> width{};
  for (const Line& l : lines) {
    for (size_t c = 0; c < kColumns; ++c) width[c] = std::max(width[c], l[c].size());
  }
  std::string out;
  for (const Line& l : lines) {
    std::string row;
    for (size_t c = 0; c < kColumns; ++c) {
      const std::string pad(width[c] - l[c].size(), ' ');
      row += cat(c == 0 ? "" : "  ", c < 2 ? cat(l[c], pad) : cat(pad, l[c]));
    }
    while (!row.empty() && row.back() == ' ') row.pop_back();
    out += row + "\n";
  }
  if (rows.empty()) return out;
  const SummaryRow& all = rows[0];
  out += cat("Parameters: ", with_commas(all.parameters), ", ", with_commas(all.trainable),
             " of them trained\n");
  return out;
}

Summary summary(Cell& net, const std::vector<Tensor>& inputs) {
  Summary result;
  Recorder recorder(&result);
  EvalModeScope eval(net);
  NoGradScope no_grad;
  ScopedValue<CellObserver*> cells(cell_observer(), &recorder);
  ScopedValue<RunHook*> ops(call_modes().run, &recorder);
  net.call(inputs);
  return result;
}

Summary summary(Cell& net, const std::vector<TensorMeta>& inputs) {
  std::vector<Tensor> zeros;
  for (const TensorMeta& m : inputs) zeros.push_back(Tensor::zeros(m.shape, m.dtype));
  return summary(net, zeros);
}

}  // namespace rutile::nn
