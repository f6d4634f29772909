// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "rutile/graph/explain/tables.h"
#include "rutile/graph/ir/text.h"

namespace rutile::graph {

namespace {

using Json = nlohmann::ordered_json;

Json passes_of(const CompileReport& r) {
  Json list = Json::array();
  for (const PassReport& p : r.passes) {
    Json j{{"name", p.name},
           {"nodes_before", p.nodes_before},
           {"nodes_after", p.nodes_after},
           {"ms", p.ms}};
    if (!p.dropped.empty()) j["dropped"] = p.dropped;
    list.push_back(std::move(j));
  }
  return list;
}

Json fusions_of(const CompileReport& r) {
  Json list = Json::array();
  for (const RemarkGroup& g : remark_groups(r)) {
    list.push_back({{"pass", g.pass},
                    {"done", g.done},
                    {"what", g.what},
                    {"reason", g.reason},
                    {"first_in", g.where},
                    {"times", g.count}});
  }
  return list;
}

Json memory_of(const Explanation& e) {
  const MemoryPlan& m = e.report.memory;
  Json j{{"peak", m.peak},          {"lower_bound", m.lower_bound},
         {"ratio", m.ratio()},      {"order", m.order},
         {"states", e.state_bytes}, {"outputs", e.report.output_bytes},
         {"buffers", Json::array()}};
  for (const BufferUse& b : e.buffers) {
    j["buffers"].push_back({{"offset", b.place.offset},
                            {"bytes", b.place.bytes},
                            {"first", b.place.first},
                            {"last", b.place.last},
                            {"what", b.what},
                            {"where", b.where}});
  }
  return j;
}

Json kernels_of(const Explanation& e) {
  Json list = Json::array();
  for (const KernelTime& k : e.kernels) {
    list.push_back({{"op", k.op},
                    {"kernel", k.kernel},
                    {"where", k.where},
                    {"operands", k.operands},
                    {"phase", phase_name(k.phase)},
                    {"ms", k.ms},
                    {"best_ms", k.best_ms},
                    {"limit_ms", k.limit_ms},
                    {"flops", k.cost.flops},
                    {"bytes", k.cost.bytes},
                    {"bound_by", k.by_arithmetic ? "flops" : "bytes"}});
  }
  return list;
}

Json peaks_of(const MachinePeaks& p) {
  Json j{{"threads", p.threads}, {"f32_flops", p.f32_flops}, {"bf16_flops", p.bf16_flops}};
  j["copies"] = Json::array();
  for (const auto& [bytes, rate] : p.copies) {
    j["copies"].push_back({{"bytes", bytes}, {"bytes_per_second", rate}});
  }
  return j;
}

}  // namespace

std::string Explanation::to_json() const {
  const Cost c = cost();
  Json j{{"name", name},
         {"runs", runs},
         {"step_ms", step_ms},
         {"best_ms", best_ms},
         {"kernel_ms", kernel_ms()},
         {"best_kernel_ms", best_kernel_ms()},
         {"limit_ms", limit_ms()},
         {"flops", c.flops},
         {"bytes", c.bytes},
         {"trace_ms", report.trace_ms},
         {"pass_ms", report.pass_ms},
         {"lower_ms", report.lower_ms},
         {"frozen_kernels", frozen_kernels},
         {"frozen_bytes", frozen_bytes},
         {"launches", launches}};
  if (!device_run.empty()) {
    j["device"] = {{"run", device_run},
                   {"busy_ms", busy_ms},
                   {"gap_ms", gap_ms},
                   {"longest_gap_ms", longest_gap_ms}};
  }
  j["peaks"] = peaks_of(peaks);
  j["passes"] = passes_of(report);
  j["fusions"] = fusions_of(report);
  j["reorders"] = Json::array();
  for (const Reorder& r : reorders) {
    j["reorders"].push_back({{"value", r.value},
                             {"from", r.from},
                             {"to", r.to},
                             {"reader", r.reader},
                             {"bytes", r.bytes},
                             {"ms", r.ms}});
  }
  j["memory"] = memory_of(*this);
  j["kernels"] = kernels_of(*this);
  j["sources"] = Json::array();
  for (const GeneratedSource& g : sources) {
    j["sources"].push_back(
        {{"name", g.name}, {"steps", g.steps}, {"resources", g.resources}, {"source", g.source}});
  }
  return j.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace rutile::graph
