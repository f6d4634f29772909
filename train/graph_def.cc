// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/graph_def.h"

#include <map>
#include <vector>

#include "rutile/io/protobuf.h"

namespace rutile::train {
namespace {

using graph::Graph;
using graph::Node;
using graph::ValueId;
using io::ProtoWriter;

constexpr int kProducer = 22;  // the least version that all readers take

// Characters that names of nodes may have; '.' of paths becomes '/'.
std::string scope_name(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += plain || c == '_' || c == '-' || c == '/' ? c : c == '.' ? '/' : '_';
  }
  return out;
}

class Writer {
 public:
  explicit Writer(const Graph& g) : g_(g), names_(g.values.size()) {}

  std::string run() {
    for (const ValueId v : g_.inputs) source(v, "Placeholder", "inputs/");
    for (const graph::StateSlot& s : g_.states) source(s.in, "Parameter", "");
    for (size_t v = 0; v < g_.values.size(); ++v) {
      if (g_.values[v].kind == graph::ValueKind::kConstant) {
        source(static_cast<ValueId>(v), "Const", "constants/");
      }
    }
    for (const graph::NodeId id : g_.order) node(g_.nodes[id]);
    std::string versions;
    ProtoWriter(&versions).varint(1, kProducer);
    ProtoWriter(&out_).bytes(4, versions);
    return std::move(out_);
  }

 private:
  std::string unique(std::string name) {
    if (name.empty()) name = "value";
    const int n = ++taken_[name];
    return n == 1 ? name : unique(cat(name, "_", n - 1));
  }

  void source(ValueId v, const char* op, const char* scope) {
    const graph::Value& value = g_.values[v];
    names_[v] = unique(cat(scope, scope_name(value.name.empty() ? "value" : value.name)));
    write(names_[v], op, {}, {&value.meta}, "");
  }

  std::string scope_of(const Node& n) const {
    std::string scope;
    if (n.phase == graph::Phase::kBackward) scope = "backward/";
    if (n.phase == graph::Phase::kOptimizer) return "optimizer/";
    if (n.phase == graph::Phase::kFrozen) scope = "frozen/";
    for (const int32_t o : n.origins) {
      if (!g_.origins[o].cell.empty()) return cat(scope, scope_name(g_.origins[o].cell), "/");
    }
    return scope;
  }

  void node(const Node& n) {
    const std::string name = unique(cat(scope_of(n), n.op->name));
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      names_[n.outputs[i]] = i == 0 ? name : cat(name, ":", i);
    }
    std::vector<std::string> inputs;
    for (const ValueId v : n.inputs) {
      if (v != graph::kNone) inputs.push_back(names_[v]);
    }
    std::vector<const TensorMeta*> metas;
    for (const ValueId v : n.outputs) metas.push_back(&g_.meta(v));
    const std::string attrs = n.op->attrs ? attrs_to_string(*n.op->attrs, n.attrs.get()) : "";
    write(name, n.op->name, inputs, metas, attrs);
  }

  static void attr(const char* key, const std::string& value, std::string* out) {
    std::string entry;
    ProtoWriter w(&entry);
    w.bytes(1, key);
    w.bytes(2, value);
    ProtoWriter(out).bytes(5, entry);
  }

  void write(const std::string& name, const char* op, const std::vector<std::string>& inputs,
             const std::vector<const TensorMeta*>& outputs, const std::string& attrs) {
    std::string message, shapes, list, dtypes;
    ProtoWriter w(&message);
    w.bytes(1, name);
    w.bytes(2, op);
    for (const std::string& i : inputs) w.bytes(3, i);
    for (const TensorMeta* m : outputs) {
      std::string shape;
      for (int i = 0; i < m->rank(); ++i) {
        std::string size;
        ProtoWriter(&size).varint(1, static_cast<uint64_t>(m->shape[i]));
        ProtoWriter(&shape).bytes(2, size);
      }
      ProtoWriter(&shapes).bytes(7, shape);
      dtypes += cat(dtypes.empty() ? "" : ", ", to_string(*m));
    }
    ProtoWriter(&list).bytes(1, shapes);
    attr("_output_shapes", list, &message);
    std::string text;
    ProtoWriter(&text).bytes(2, dtypes);
    attr("outputs", text, &message);
    if (!attrs.empty()) {
      text.clear();
      ProtoWriter(&text).bytes(2, attrs);
      attr("attributes", text, &message);
    }
    ProtoWriter(&out_).bytes(1, message);
  }

  const Graph& g_;
  std::vector<std::string> names_;
  std::map<std::string, int> taken_;
  std::string out_;
};

}  // namespace

std::string graph_def(const Graph& g) { return Writer(g).run(); }

}  // namespace rutile::train
