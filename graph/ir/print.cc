// SPDX-License-Identifier: Apache-2.0
// Text form of a graph:
//
//   graph {
//     %0 = input "x" f32[2,3]
//     %1 = state "w" f32[3,4]
//     %2 = constant f32[] {0.5}
//     %3 : f32[2,4] = matmul(%0, %1) {transpose_b=true} @"fc" #forward
//     state %1 <- %9
//     return %3
//   }
//
// Control flow has its bodies, which are graphs, among its attributes:
//
//     %3 : f32[4] = scan(%0, %1) {body=graph {
//       %0 = input "x0" f32[4]
//       ...
//     }, carries=1}
//
// A placement other than row-major stands behind the shape: f32[8,64,7,7]<aBcd16b>,
// <channels_last>, <strides=[1,2]>.
#include "rutile/core/placement.h"
#include "rutile/graph/ir/body.h"
#include "rutile/graph/ir/graph.h"
#include "rutile/graph/ir/text.h"

namespace rutile::graph {

namespace {

std::string constant_text(const Tensor& t) {
  if (t.numel() > kMaxPrintedConstant) return "{...}";
  std::string out = "{";
  for (int64_t i = 0; i < t.numel(); ++i) {
    if (i) out += ", ";
    append_to(out, element_as_double(t, i));
  }
  return out + "}";
}

std::string print_attrs(const Node& n);

void print_node(const Graph& g, const Node& n, const std::vector<int>& names, std::string& out) {
  auto name = [&](ValueId v) { return v == kNone ? std::string("none") : cat("%", names[v]); };
  out += "  ";
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    out += cat(i ? ", " : "", name(n.outputs[i]), " : ", meta_text(g.meta(n.outputs[i])));
  }
  out += cat(" = ", n.op->name, "(");
  for (size_t i = 0; i < n.inputs.size(); ++i) out += cat(i ? ", " : "", name(n.inputs[i]));
  out += ")";
  if (n.op->attrs) {
    const std::string attrs =
        n.op->runs_bodies ? print_attrs(n) : attrs_to_string(*n.op->attrs, n.attrs.get());
    if (!attrs.empty()) out += cat(" {", attrs, "}");
  }
  if (!n.origins.empty() && !g.origins[n.origins.front()].cell.empty()) {
    out += cat(" @\"", g.origins[n.origins.front()].cell, "\"");
  }
  out += cat(" #", phase_name(n.phase), "\n");
}

// Bodies as graphs, two columns further in, in front of the other attributes.
std::string print_attrs(const Node& n) {
  AnyAttrs rest = n.attrs;
  std::string out;
  for (const BodyOf& b : bodies_of(n)) {
    std::string text = print(*body_graph(*b.region));
    text.pop_back();
    std::string indented;
    for (const char c : text) indented += c == '\n' ? std::string("\n  ") : std::string(1, c);
    out += cat(out.empty() ? "" : ", ", field_name(*n.op->attrs, b.field), "=", indented);
    if (!n.op->attrs->set(rest.get_mutable(), b.field, Ref<Region>()).ok()) return out;
  }
  const std::string others = attrs_to_string(*n.op->attrs, rest.get());
  return out + (out.empty() || others.empty() ? "" : ", ") + others;
}

}  // namespace

std::string meta_text(const TensorMeta& m) {
  std::string out = cat(dtype_name(m.dtype), m.shape);
  if (m.layout == kStrided && m.is_contiguous()) return out;
  const Placement p = placement_of(m);
  if (m.layout == kStrided && !m.is_channels_last()) return out + cat("<strides=", m.strides, ">");
  return out + cat("<", to_string(p), ">");
}

double element_as_double(const Tensor& t, int64_t i) {
  const size_t size = dtype_size(t.dtype());
  std::vector<unsigned char> all(static_cast<size_t>(t.numel()) * size);
  t.copy_out(all.data(), all.size());
  return Tensor::from_bytes(all.data() + static_cast<size_t>(i) * size, size, {}, t.dtype()).item();
}

std::string origin_text(const Graph& g, const Node& n) {
  if (n.origins.empty()) return "";
  const Origin& o = g.origins[n.origins.front()];
  const size_t slash = o.file.rfind('/');
  const std::string file = slash == std::string::npos ? o.file : o.file.substr(slash + 1);
  const std::string& name = o.cell.empty() ? o.op : o.cell;
  return file.empty() ? name : cat(name, " (", file, ":", o.line, ")");
}

std::string print(const Graph& g) {
  // Dense numbers in order of appearance, so that equal graphs print equally.
  std::vector<int> names(g.values.size(), -1);
  int next = 0;
  std::string out = "graph {\n";
  for (ValueId v : g.inputs) {
    names[v] = next++;
    out += cat("  %", names[v], " = input \"", g.values[v].name, "\" ", meta_text(g.meta(v)), "\n");
  }
  for (const StateSlot& s : g.states) {
    names[s.in] = next++;
    out += cat("  %", names[s.in], " = state \"", s.name, "\" ", meta_text(g.meta(s.in)), "\n");
  }
  const std::vector<int> uses = g.count_uses();
  for (size_t v = 0; v < g.values.size(); ++v) {
    if (g.values[v].kind != ValueKind::kConstant || uses[v] == 0) continue;
    names[v] = next++;
    out += cat("  %", names[v], " = constant ", meta_text(g.meta(static_cast<ValueId>(v))), " ",
               constant_text(g.values[v].constant), "\n");
  }
  for (NodeId id : g.order) {
    for (ValueId v : g.nodes[id].outputs) names[v] = next++;
    print_node(g, g.nodes[id], names, out);
  }
  for (const StateSlot& s : g.states) {
    if (s.out != s.in) out += cat("  state %", names[s.in], " <- %", names[s.out], "\n");
  }
  out += "  return";
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    out += cat(i ? ", %" : " %", names[g.outputs[i]]);
  }
  return out + "\n}\n";
}

}  // namespace rutile::graph
