// SPDX-License-Identifier: Apache-2.0
// What passes say of their choices: what became one kernel, what did not and why, and where in the
// user's program it stands. run_pipeline() collects it; CompileReport, explain() and
// RUTILE_LOG=fusion show it. A pass calls remark_done(g, {norm, add, relu}) and
// remark_refused(g, {norm}, "its result is read twice").
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

struct Remark {
  bool done = false;
  std::string what;    // "batch_norm + add + relu"
  std::string reason;  // why it was refused; of what was done: more about it, may be empty
  std::string where;   // "layer1.0.bn1 (resnet.cc:71)", empty if unknown
};

// Collects the remarks of the calling thread while it lives; scopes nest, the inner one gets them.
class RUTILE_API RemarkScope {
 public:
  explicit RemarkScope(std::vector<Remark>* to);
  ~RemarkScope();
  RemarkScope(const RemarkScope&) = delete;
  RemarkScope& operator=(const RemarkScope&) = delete;

 private:
  std::vector<Remark>* outer_;
};
// False where nobody listens: guards reasons that are dear to find.
RUTILE_API bool remarks_wanted();

// `nodes` in order of execution; more than a few are counted ("momentum x 161").
RUTILE_API void remark_done(const Graph& g, std::span<const NodeId> nodes, std::string detail = {});
RUTILE_API void remark_refused(const Graph& g, std::span<const NodeId> nodes, std::string reason);
inline void remark_done(const Graph& g, std::initializer_list<NodeId> nodes,
                        std::string detail = {}) {
  remark_done(g, {nodes.begin(), nodes.size()}, std::move(detail));
}
inline void remark_refused(const Graph& g, std::initializer_list<NodeId> nodes,
                           std::string reason) {
  remark_refused(g, {nodes.begin(), nodes.size()}, std::move(reason));
}

}  // namespace rutile::graph
