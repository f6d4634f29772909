// SPDX-License-Identifier: Apache-2.0
// Passes: one function and one file each; pipeline.cc holds the order.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rutile/graph/ir/graph.h"
#include "rutile/graph/pass/remark.h"

namespace rutile::graph {

struct Pass {
  const char* name;
  Status (*run)(Graph&);
  bool optional;  // can be switched off: results stay within rounding
  const char* doc;
};

// Two pipelines over one IR. A graph that writes no State and has no gradients in it is for
// inference: there weights are folded and packed when they change, not in every call.
enum class Pipeline : uint8_t { kTraining, kInference };
RUTILE_API Pipeline pipeline_for(const Graph& g);
// Its passes in order.
RUTILE_API std::span<const Pass> pipeline(Pipeline which = Pipeline::kTraining);

struct PassReport {
  std::string name;
  int nodes_before = 0, nodes_after = 0;
  double ms = 0;
  std::string dropped;  // why the pass was dropped, its work undone; empty if it was not
  std::vector<Remark> remarks;
};
struct PipelineHooks {
  std::string_view name;                                       // of what is compiled, for the log
  std::function<void(const PassReport&, const Graph&)> after;  // behind every pass
};
// Runs the graph's pipeline without the passes named in `off` ("layout,fuse_elementwise"; "all":
// every optional one). The graph is verified after every pass. An optional pass that fails, or
// breaks the graph, is undone with a warning: it costs speed, never the user's program.
RUTILE_API Status run_pipeline(Graph& g, std::string_view off, std::vector<PassReport>* reports,
                               const PipelineHooks& hooks = {});

// Error kValue naming the known passes if `off` lists one that does not exist.
RUTILE_API Status check_pass_names(std::string_view off);

// Each stands in a file of its name, whose head says what it does, requires and guarantees.
Status bucket_allreduce(Graph& g);
Status canonicalize(Graph& g);
Status constant_fold(Graph& g);
Status cse(Graph& g);
Status dce(Graph& g);
Status prune_bodies(Graph& g);
Status fold_casts(Graph& g);
Status fuse_elementwise(Graph& g);
// Rows that it reduces and reads again: they lie in the cache from one pass to the next.
inline constexpr int64_t kMaxRowElements = 8192;
// Without reductions and with the bits of the single ops, as eager execution needs it.
Status fuse_elementwise_exactly(Graph& g);
Status fuse_norm_act(Graph& g);
Status fuse_conv_norm(Graph& g);
// Where `accepts` says that a kernel takes the call.
using AcceptsFn = bool (*)(const CallMeta&);
RUTILE_API Status fuse_conv_norm_where(Graph& g, AcceptsFn accepts);
Status fuse_epilogues(Graph& g);
RUTILE_API Status fuse_epilogues_where(Graph& g, AcceptsFn accepts);
Status fuse_optimizer(Graph& g);
Status keep_copies(Graph& g);
Status merge_sums(Graph& g);
Status norm_formulas(Graph& g);
// Of norms on such devices.
RUTILE_API Status norm_formulas_on(Graph& g, DeviceType device);
Status expand_composites(Graph& g);
Status fold_norm(Graph& g);
Status fuse_post_ops(Graph& g);
Status freeze(Graph& g);
Status join_slices(Graph& g);
Status layout(Graph& g);
Status schedule(Graph& g);
Status split_classifier(Graph& g);
// From so many bytes of logits on.
RUTILE_API Status split_classifier_above(Graph& g, int64_t bytes);

}  // namespace rutile::graph
