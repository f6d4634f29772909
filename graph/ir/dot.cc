// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/ir/dot.h"

#include "rutile/graph/ir/text.h"

namespace rutile::graph {

namespace {

constexpr size_t kMaxAttrs = 60;  // characters of attributes in a label

// Text inside a quoted label; "\n" stays a line break.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      out += c;
    }
  }
  return out;
}

const char* colour(Phase p) {
  switch (p) {
    case Phase::kForward:
      return "#cfe3f7";
    case Phase::kBackward:
      return "#f9ddc6";
    case Phase::kFrozen:
      return "#e3d9f2";
    default:
      return "#d3ecd0";
  }
}

std::string node_label(const Graph& g, const Node& n) {
  std::string label = n.op->name;
  if (n.op->attrs) {
    std::string attrs = attrs_to_string(*n.op->attrs, n.attrs.get());
    if (attrs.size() > kMaxAttrs) attrs = attrs.substr(0, kMaxAttrs) + "...";
    if (!attrs.empty()) label += cat("\n", attrs);
  }
  for (const ValueId v : n.outputs) label += cat("\n", meta_text(g.meta(v)));
  const std::string where = origin_text(g, n);
  return where.empty() ? label : cat(label, "\n", where);
}

void add_source(const Graph& g, ValueId v, std::string_view kind, std::string_view fill,
                std::string* out) {
  const Value& value = g.values[v];
  *out += cat("  v", v, " [shape=ellipse, fillcolor=\"", fill, "\", label=\"", kind,
              value.name.empty() ? "" : " ", escaped(value.name), "\\n", meta_text(value.meta),
              "\"];\n");
}

// Where the edges from a value begin.
std::string source_of(const Graph& g, ValueId v) {
  const NodeId p = g.values[v].producer;
  return p == kNone ? cat("v", v) : cat("n", p);
}

}  // namespace

std::string to_dot(const Graph& g, std::string_view title) {
  std::string out =
      cat("digraph \"", escaped(title.empty() ? "graph" : title),
          "\" {\n  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", "
          "fontsize=10];\n  edge [fontname=\"Helvetica\", fontsize=8];\n");
  for (const ValueId v : g.inputs) add_source(g, v, "input", "#ffffff", &out);
  const std::vector<int> uses = g.count_uses();
  for (const StateSlot& s : g.states) add_source(g, s.in, "state", "#f4eec2", &out);
  for (size_t v = 0; v < g.values.size(); ++v) {
    if (g.values[v].kind == ValueKind::kConstant && uses[v] > 0) {
      add_source(g, static_cast<ValueId>(v), "constant", "#eeeeee", &out);
    }
  }
  for (const NodeId id : g.order) {
    const Node& n = g.nodes[id];
    out += cat("  n", id, " [fillcolor=\"", colour(n.phase), "\", label=\"",
               escaped(node_label(g, n)), "\"];\n");
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      if (n.inputs[i] == kNone) continue;
      out += cat("  ", source_of(g, n.inputs[i]), " -> n", id, ";\n");
    }
  }
  for (const StateSlot& s : g.states) {
    if (s.out == s.in) continue;
    out += cat("  ", source_of(g, s.out), " -> v", s.in,
               " [style=dashed, constraint=false, label=\"new value\"];\n");
  }
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    out += cat("  out", i, " [shape=ellipse, fillcolor=\"#ffffff\", label=\"output ", i, "\"];\n  ",
               source_of(g, g.outputs[i]), " -> out", i, ";\n");
  }
  return out + "}\n";
}

}  // namespace rutile::graph
