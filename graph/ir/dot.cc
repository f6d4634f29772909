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

// What of a list stands in the picture: the first few, then how many more.
constexpr size_t kMaxListed = 6;

// The States that get their new value from a node, as lines of its label.
std::string writes_text(const std::vector<std::string>& states) {
  std::string text;
  for (size_t i = 0; i < std::min(states.size(), kMaxListed); ++i) {
    text += cat("\nnew value of ", states[i]);
  }
  if (states.size() > kMaxListed) text += cat("\nand of ", states.size() - kMaxListed, " more");
  return text;
}

std::string node_label(const Graph& g, const Node& n) {
  std::string label = n.op->name;
  if (n.op->attrs) {
    std::string attrs = attrs_to_string(*n.op->attrs, n.attrs.get());
    if (attrs.size() > kMaxAttrs) attrs = attrs.substr(0, kMaxAttrs) + "...";
    if (!attrs.empty()) label += cat("\n", attrs);
  }
  for (size_t i = 0; i < std::min(n.outputs.size(), kMaxListed); ++i) {
    label += cat("\n", meta_text(g.meta(n.outputs[i])));
  }
  if (n.outputs.size() > kMaxListed) {
    label += cat("\nand ", n.outputs.size() - kMaxListed, " more");
  }
  const std::string where = origin_text(g, n);
  return where.empty() ? label : cat(label, "\n", where);
}

std::string source_label(const Graph& g, ValueId v) {
  const Value& value = g.values[v];
  const char* kind = value.kind == ValueKind::kInput   ? "input"
                     : value.kind == ValueKind::kState ? "state"
                                                       : "constant";
  return cat(kind, value.name.empty() ? "" : " ", value.name, "\n", meta_text(value.meta));
}

void add_round(const std::string& name, const std::string& label, ValueKind kind,
               std::string* out) {
  const char* fill = kind == ValueKind::kState      ? "#f4eec2"
                     : kind == ValueKind::kConstant ? "#eeeeee"
                                                    : "#ffffff";
  *out += cat("  ", name, " [shape=ellipse, fillcolor=\"", fill, "\", label=\"", escaped(label),
              "\"];\n");
}

// Edges to a reader. A state or a constant is drawn again at each of its readers: edges across the
// whole graph would make a picture of nothing else, which Graphviz takes minutes for.
void add_operands(const Graph& g, const std::vector<ValueId>& values, const std::string& reader,
                  std::string* out) {
  size_t drawn = 0, left_out = 0;
  for (const ValueId v : values) {
    if (v == kNone) continue;
    std::string from = cat("v", v);
    if (const NodeId p = g.values[v].producer; p != kNone) {
      from = cat("n", p);
    } else if (g.values[v].kind != ValueKind::kInput) {
      if (drawn == kMaxListed) {
        ++left_out;
        continue;
      }
      from = cat(reader, "_", drawn++);
      add_round(from, source_label(g, v), g.values[v].kind, out);
    }
    *out += cat("  ", from, " -> ", reader, ";\n");
  }
  if (left_out == 0) return;
  add_round(cat(reader, "_more"), cat(left_out, " more states and constants"), ValueKind::kState,
            out);
  *out += cat("  ", reader, "_more -> ", reader, ";\n");
}

}  // namespace

std::string to_dot(const Graph& g, std::string_view title) {
  std::string out = cat("digraph \"", escaped(title.empty() ? "graph" : title),
                        "\" {\n  node [shape=box, style=\"filled,rounded\", "
                        "fontname=\"Helvetica\", fontsize=10];\n");
  for (const ValueId v : g.inputs) {
    add_round(cat("v", v), source_label(g, v), ValueKind::kInput, &out);
  }
  std::vector<std::vector<std::string>> writes(g.nodes.size());
  for (const StateSlot& s : g.states) {
    const NodeId p = s.out == s.in ? kNone : g.values[s.out].producer;
    if (p != kNone) writes[p].push_back(s.name);
  }
  for (const NodeId id : g.order) {
    const Node& n = g.nodes[id];
    out += cat("  n", id, " [fillcolor=\"", colour(n.phase), "\", label=\"",
               escaped(node_label(g, n) + writes_text(writes[id])), "\"];\n");
    add_operands(g, n.inputs, cat("n", id), &out);
  }
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    add_round(cat("out", i), cat("output ", i), ValueKind::kInput, &out);
    add_operands(g, {g.outputs[i]}, cat("out", i), &out);
  }
  return out + "}\n";
}

}  // namespace rutile::graph
