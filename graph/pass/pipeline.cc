// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cmath>

#include "rutile/core/log.h"
#include "rutile/graph/ir/body.h"
#include "rutile/graph/pass/pass.h"

namespace rutile::graph {

namespace {

constexpr Pass kTraining[] = {
    {"dce", dce, true, "drops what nobody uses"},
    {"prune_bodies", prune_bodies, true, "loops and branches give what somebody reads"},
    {"canonicalize", canonicalize, true, "one form for equal meanings"},
    {"constant_fold", constant_fold, true, "computes constants once"},
    {"cse", cse, true, "equal ops on equal inputs run once"},
    {"merge_sums", merge_sums, true, "sums of many gradients become one product or copy"},
    {"split_classifier", split_classifier, true, "large logits are there a piece at a time"},
    {"fuse_norm_act", fuse_norm_act, true, "batch norm, add and ReLU in one kernel, both ways"},
    {"fuse_conv_norm", fuse_conv_norm, true, "batch norm within the convolutions on both sides"},
    {"fuse_post_ops", fuse_post_ops, true, "layer, residual and activation in one kernel"},
    {"fuse_epilogues", fuse_epilogues, true, "GELU and sums for biases at the end of products"},
    {"bucket_allreduce", bucket_allreduce, true, "gradients travel together while backward runs"},
    {"fuse_optimizer", fuse_optimizer, true, "one update kernel for all parameters"},
    {"keep_copies", keep_copies, true, "updates write the cast weights of the next step, too"},
    {"schedule", schedule, true, "States are updated as soon as their gradients are there"},
    {"expand_composites", expand_composites, false, "ops without a kernel become their definition"},
    {"constant_fold_last", constant_fold, true, "computes and moves what the definitions bring"},
    {"layout", layout, true, "convolutions and what stands between them in blocked layouts"},
    {"fold_casts", fold_casts, true, "weights are cast while they are reordered"},
    {"norm_formulas", norm_formulas, true, "on a GPU norms join what stands around them"},
    {"fuse_elementwise", fuse_elementwise, true, "chains of elementwise ops in one kernel"},
    {"join_slices", join_slices, true, "what is joined later is written where it belongs"},
    {"dce_last", dce, true, "drops what the passes left over"},
};

constexpr Pass kInference[] = {
    {"dce", dce, true, "drops what nobody uses"},
    {"prune_bodies", prune_bodies, true, "loops and branches give what somebody reads"},
    {"canonicalize", canonicalize, true, "one form for equal meanings"},
    {"constant_fold", constant_fold, true, "computes constants once"},
    {"cse", cse, true, "equal ops on equal inputs run once"},
    {"fold_norm", fold_norm, true, "batch norm becomes part of the weights before it"},
    {"fuse_norm_act", fuse_norm_act, true, "batch norm, add and ReLU in one kernel"},
    {"fuse_post_ops", fuse_post_ops, true, "layer, residual and activation in one kernel"},
    {"fuse_epilogues", fuse_epilogues, true, "GELU and sums for biases at the end of products"},
    {"expand_composites", expand_composites, false, "ops without a kernel become their definition"},
    {"constant_fold_last", constant_fold, true, "computes and moves what the definitions bring"},
    {"layout", layout, true, "convolutions and what stands between them in blocked layouts"},
    {"freeze", freeze, true, "weights are folded and packed when they change"},
    {"norm_formulas", norm_formulas, true, "on a GPU norms join what stands around them"},
    {"fuse_elementwise", fuse_elementwise, true, "chains of elementwise ops in one kernel"},
    {"join_slices", join_slices, true, "what is joined later is written where it belongs"},
    {"dce_last", dce, true, "drops what the passes left over"},
};

bool listed(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (list.substr(0, comma) == name) return true;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return false;
}

// Runs a pass and verifies what it left; a thrown Error counts as its status.
Status run_verified(const Pass& pass, Graph& g) {
  try {
    RUTILE_RETURN_IF_ERROR(pass.run(g));
  } catch (const Error& e) {
    return Status(e.code(), e.message());
  }
  return verify(g);
}

void log_pass(std::string_view name, const PassReport& r) {
  const std::string head = name.empty() ? r.name : cat(name, ": ", r.name);
  if (log_enabled(LogTopic::kPasses)) {
    const auto done =
        std::count_if(r.remarks.begin(), r.remarks.end(), [](const Remark& m) { return m.done; });
    std::string line = cat(head, ": ", r.nodes_before, " -> ", r.nodes_after, " nodes, ",
                           std::round(r.ms * 1000) / 1000, " ms");
    if (!r.remarks.empty()) line += cat(", ", done, " fused");
    log_line(LogTopic::kPasses, r.dropped.empty() ? line : cat(line, ", dropped: ", r.dropped));
  }
  if (!log_enabled(LogTopic::kFusion)) return;
  for (const Remark& m : r.remarks) {
    std::string line = cat(head, m.done ? ": fused " : ": refused ", m.what);
    if (!m.reason.empty()) line += cat(": ", m.reason);
    if (!m.where.empty()) line += cat(" | in ", m.where);
    log_line(LogTopic::kFusion, line);
  }
}

}  // namespace

std::span<const Pass> pipeline(Pipeline which) {
  if (which == Pipeline::kInference) return kInference;
  return kTraining;
}

Pipeline pipeline_for(const Graph& g) {
  const bool trains = writes_states(g) ||
                      std::any_of(g.order.begin(), g.order.end(),
                                  [&](NodeId id) { return g.nodes[id].phase != Phase::kForward; });
  return trains ? Pipeline::kTraining : Pipeline::kInference;
}

Status check_pass_names(std::string_view off) {
  std::vector<std::string_view> names;
  for (const Pipeline which : {Pipeline::kTraining, Pipeline::kInference}) {
    for (const Pass& p : pipeline(which)) {
      if (p.optional && std::find(names.begin(), names.end(), p.name) == names.end()) {
        names.emplace_back(p.name);
      }
    }
  }
  std::string known = "all";
  for (std::string_view name : names) known += cat(", ", name);
  while (off != "all" && !off.empty()) {
    const std::string_view name = off.substr(0, off.find(','));
    off.remove_prefix(std::min(name.size() + 1, off.size()));
    if (std::find(names.begin(), names.end(), name) == names.end())
      return value_error(cat("there is no pass '", name, "' to switch off; known: ", known));
  }
  return Status();
}

namespace {

Status run_passes(Graph& g, Pipeline which, std::string_view off, std::vector<PassReport>* reports,
                  const PipelineHooks& hooks);

// The passes of a training step work on every body: what it computes belongs to one iteration.
Status optimize_bodies(Graph& g, std::string_view off, std::vector<PassReport>* reports,
                       std::string_view name) {
  PassReport r;
  r.name = "bodies";
  const auto start = std::chrono::steady_clock::now();
  for (NodeId id : g.order) {
    for (const BodyOf& b : bodies_of(g.nodes[id])) {
      Graph body = *body_graph(*b.region);
      r.nodes_before += static_cast<int>(body.order.size());
      std::vector<PassReport> inner;
      RUTILE_RETURN_IF_ERROR(run_passes(body, Pipeline::kTraining, off, &inner, {name, {}}));
      r.nodes_after += static_cast<int>(body.order.size());
      for (PassReport& p : inner) {
        r.remarks.insert(r.remarks.end(), p.remarks.begin(), p.remarks.end());
      }
      Node& n = g.nodes[id];
      RUTILE_RETURN_IF_ERROR(
          n.op->attrs->set(n.attrs.get_mutable(), b.field, make_body(std::move(body))));
    }
  }
  if (r.nodes_before == 0) return Status();
  r.ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  log_pass(name, r);
  if (reports) reports->push_back(std::move(r));
  return verify(g);
}

Status run_passes(Graph& g, Pipeline which, std::string_view off, std::vector<PassReport>* reports,
                  const PipelineHooks& hooks) {
  for (const Pass& pass : pipeline(which)) {
    if (pass.optional && (off == "all" || listed(off, pass.name))) continue;
    PassReport r;
    r.name = pass.name;
    r.nodes_before = static_cast<int>(g.order.size());
    const auto start = std::chrono::steady_clock::now();
    Graph before;
    if (pass.optional) before = g;
    Status s;
    {
      RemarkScope remarks(&r.remarks);
      s = run_verified(pass, g);
    }
    if (!s.ok()) {
      if (!pass.optional) return Status(s.code(), cat("pass ", pass.name, ": ", s.message()));
      g = std::move(before);
      r.dropped = s.message();
      r.remarks.clear();
      log_warning(cat("pass ", pass.name, " was dropped (please report it): ", s.message()));
    }
    r.ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    r.nodes_after = static_cast<int>(g.order.size());
    log_pass(hooks.name, r);
    if (hooks.after) hooks.after(r, g);
    if (reports) reports->push_back(std::move(r));
  }
  return optimize_bodies(g, off, reports, hooks.name);
}

}  // namespace

Status run_pipeline(Graph& g, std::string_view off, std::vector<PassReport>* reports,
                    const PipelineHooks& hooks) {
  RUTILE_RETURN_IF_ERROR(verify(g));
  return run_passes(g, pipeline_for(g), off, reports, hooks);
}

}  // namespace rutile::graph
