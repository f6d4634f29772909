// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/pass/remark.h"

#include "rutile/graph/ir/text.h"

namespace rutile::graph {

namespace {

thread_local std::vector<Remark>* listener = nullptr;

// "mul + add + relu"; equal neighbours are counted, absent nodes (kNone) left out.
std::string chain(const Graph& g, std::span<const NodeId> nodes) {
  constexpr int kMaxNames = 8;
  std::string text;
  int names = 0;
  for (size_t i = 0; i < nodes.size();) {
    if (nodes[i] == kNone) {
      ++i;
      continue;
    }
    const OpDef* op = g.nodes[nodes[i]].op;
    size_t n = 1;
    while (i + n < nodes.size() && nodes[i + n] != kNone && g.nodes[nodes[i + n]].op == op) ++n;
    if (++names > kMaxNames) return cat(text, " + ", nodes.size() - i, " more");
    text += cat(text.empty() ? "" : " + ", op->name);
    if (n > 1) text += cat(" x ", n);
    i += n;
  }
  return text;
}

void add(const Graph& g, std::span<const NodeId> nodes, bool done, std::string reason) {
  if (!listener) return;
  Remark r;
  r.done = done;
  r.what = chain(g, nodes);
  r.reason = std::move(reason);
  for (const NodeId id : nodes) {
    if (id != kNone && r.where.empty()) r.where = origin_text(g, g.nodes[id]);
  }
  listener->push_back(std::move(r));
}

}  // namespace

RemarkScope::RemarkScope(std::vector<Remark>* to) : outer_(listener) { listener = to; }
RemarkScope::~RemarkScope() { listener = outer_; }
bool remarks_wanted() { return listener != nullptr; }

void remark_done(const Graph& g, std::span<const NodeId> nodes, std::string detail) {
  add(g, nodes, true, std::move(detail));
}
void remark_refused(const Graph& g, std::span<const NodeId> nodes, std::string reason) {
  add(g, nodes, false, std::move(reason));
}

}  // namespace rutile::graph
