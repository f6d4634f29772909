// SPDX-License-Identifier: Apache-2.0
// Reads what print.cc writes. States have no State object: such a graph can be verified,
// transformed and printed, not run.
#include <charconv>
#include <map>

#include "rutile/core/placement.h"
#include "rutile/graph/ir/body.h"
#include "rutile/graph/ir/graph.h"
#include "rutile/graph/ir/text.h"

namespace rutile::graph {

namespace {

class Parser {
 public:
  Parser(std::string_view text, Graph& g) : s_(text), g_(g) {}
  Status run();

 private:
  Status error(std::string_view what) {
    return value_error(cat("graph text, line ", line_, ": ", what, " before '",
                           std::string(s_.substr(0, std::min<size_t>(20, s_.find('\n')))), "'"));
  }
  void skip() {
    while (!s_.empty() && (s_.front() == ' ' || s_.front() == '\n')) {
      line_ += s_.front() == '\n';
      s_.remove_prefix(1);
    }
  }
  bool eat(std::string_view token) {
    skip();
    if (!s_.starts_with(token)) return false;
    s_.remove_prefix(token.size());
    return true;
  }
  std::string_view word() {
    skip();
    size_t n = 0;
    while (n < s_.size() && (std::isalnum(static_cast<unsigned char>(s_[n])) || s_[n] == '_')) ++n;
    const std::string_view w = s_.substr(0, n);
    s_.remove_prefix(n);
    return w;
  }
  Status quoted(std::string* out) {
    if (!eat("\"")) return error("expects a quoted name");
    const size_t end = s_.find('"');
    if (end == std::string_view::npos) return error("expects a closing quote");
    *out = s_.substr(0, end);
    s_.remove_prefix(end + 1);
    return Status();
  }
  Status number(double* out) {
    skip();
    const auto [p, ec] = std::from_chars(s_.data(), s_.data() + s_.size(), *out);
    if (ec != std::errc()) return error("expects a number");
    s_.remove_prefix(static_cast<size_t>(p - s_.data()));
    return Status();
  }
  Status dims(Dims* out);
  Status meta(TensorMeta* out);
  Status value_ref(ValueId* out);
  Status value_name(int* out);
  Status attribute_text(std::string* out);
  Status attributes(const OpDef& op, AnyAttrs* attrs);
  Status body(AttrValue* value);
  Status source(int name);
  Status node(std::vector<int> names);
  Status node_tail(const OpDef& op, const std::vector<int>& names, std::vector<TensorMeta> metas);
  Status define_value(int name, ValueId v) {
    if (!names_.emplace(name, v).second) return error(cat("%", name, " is defined twice"));
    return Status();
  }

  std::string_view s_;
  Graph& g_;
  static constexpr int kMaxDepth = 32;
  int line_ = 1, depth_ = 0;
  std::map<int, ValueId> names_;
};

Status Parser::dims(Dims* out) {
  if (!eat("[")) return error("expects [");
  while (!eat("]")) {
    double v = 0;
    RUTILE_RETURN_IF_ERROR(number(&v));
    if (out->rank() == kMaxRank) return error("a tensor has at most 8 dimensions");
    out->push_back(static_cast<int64_t>(v));
    eat(",");
  }
  return Status();
}

Status Parser::meta(TensorMeta* out) {
  DType t{};
  if (!parse_dtype(word(), &t)) return error("expects a dtype");
  Dims shape;
  RUTILE_RETURN_IF_ERROR(dims(&shape));
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, t);
  if (!eat("<")) return Status();
  if (eat("strides=")) {
    Dims strides;
    RUTILE_RETURN_IF_ERROR(dims(&strides));
    if (strides.rank() != shape.rank()) return error("expects a stride per dimension");
    out->strides = strides;
  } else {
    Placement p;
    if (!parse_placement(word(), &p)) return error("expects a placement");
    RUTILE_RETURN_IF_ERROR(place(shape, t, kCpu, p, out));
  }
  return eat(">") ? Status() : error("expects >");
}

Status Parser::value_name(int* out) {
  double v = 0;
  if (!eat("%")) return error("expects a value");
  RUTILE_RETURN_IF_ERROR(number(&v));
  *out = static_cast<int>(v);
  return Status();
}

Status Parser::value_ref(ValueId* out) {
  *out = kNone;
  if (eat("none")) return Status();
  int name = 0;
  RUTILE_RETURN_IF_ERROR(value_name(&name));
  auto it = names_.find(name);
  if (it == names_.end()) return error(cat("%", name, " is not defined"));
  *out = it->second;
  return Status();
}

// The text of one attribute value, up to the ',' or '}' that ends it.
Status Parser::attribute_text(std::string* out) {
  skip();
  int depth = 0;
  bool in_quotes = false;
  size_t n = 0;
  for (; n < s_.size(); ++n) {
    const char c = s_[n];
    if (c == '"') in_quotes = !in_quotes;
    if (in_quotes) continue;
    if (c == '[') ++depth;
    if (c == ']') --depth;
    if (depth == 0 && (c == ',' || c == '}')) break;
  }
  if (n == s_.size()) return error("expects }");
  *out = s_.substr(0, n);
  s_.remove_prefix(n);
  return Status();
}

Status Parser::attributes(const OpDef& op, AnyAttrs* attrs) {
  *attrs = AnyAttrs(op.attrs, nullptr);
  if (!eat("{")) return Status();
  while (!eat("}")) {
    const std::string name(word());
    const int field = op.attrs ? field_index(*op.attrs, name) : -1;
    if (field < 0) return error(cat(op.name, " has no attribute ", name));
    if (!eat("=")) return error("expects =");
    AttrValue value;
    skip();
    if (s_.starts_with("graph {")) {
      RUTILE_RETURN_IF_ERROR(body(&value));
    } else {
      std::string text;
      RUTILE_RETURN_IF_ERROR(attribute_text(&text));
      RUTILE_RETURN_IF_ERROR(parse_attr_value(text, &value));
    }
    RUTILE_RETURN_IF_ERROR(op.attrs->set(attrs->get_mutable(), field, value));
    eat(",");
  }
  return Status();
}

Status Parser::body(AttrValue* value) {
  if (depth_ == kMaxDepth) return error("bodies are nested too deeply");
  Graph g;
  Parser inner(s_, g);
  inner.line_ = line_;
  inner.depth_ = depth_ + 1;
  RUTILE_RETURN_IF_ERROR(inner.run());
  s_ = inner.s_;
  line_ = inner.line_;
  *value = make_body(std::move(g));
  return Status();
}

Status Parser::source(int name) {
  TensorMeta m;
  std::string label;
  if (eat("input")) {
    RUTILE_RETURN_IF_ERROR(quoted(&label));
    RUTILE_RETURN_IF_ERROR(meta(&m));
    return define_value(name, g_.add_input(m, label));
  }
  if (eat("state")) {
    RUTILE_RETURN_IF_ERROR(quoted(&label));
    RUTILE_RETURN_IF_ERROR(meta(&m));
    return define_value(name, g_.add_state(nullptr, m, label));
  }
  if (!eat("constant")) return error("expects input, state or constant");
  RUTILE_RETURN_IF_ERROR(meta(&m));
  if (!eat("{")) return error("expects the elements in {}");
  if (eat("...")) return error("a constant too large to be printed cannot be parsed");
  std::vector<double> elements;
  while (!eat("}")) {
    RUTILE_RETURN_IF_ERROR(number(&elements.emplace_back()));
    eat(",");
  }
  if (static_cast<int64_t>(elements.size()) != m.numel()) return error("wrong number of elements");
  Tensor t = Tensor::empty(TensorMeta(m.shape, m.dtype));
  const size_t size = dtype_size(m.dtype);
  for (size_t i = 0; i < elements.size(); ++i) {
    const Scalar v =
        is_floating(m.dtype) ? Scalar(elements[i]) : Scalar(static_cast<int64_t>(elements[i]));
    Tensor::full({}, v, m.dtype).copy_out(static_cast<char*>(t.mutable_data()) + i * size, size);
  }
  return define_value(name, g_.add_constant(t));
}

Status Parser::node_tail(const OpDef& op, const std::vector<int>& names,
                         std::vector<TensorMeta> metas) {
  if (!eat("(")) return error("expects (");
  std::vector<ValueId> in;
  while (!eat(")")) {
    RUTILE_RETURN_IF_ERROR(value_ref(&in.emplace_back()));
    eat(",");
  }
  AnyAttrs attrs;
  RUTILE_RETURN_IF_ERROR(attributes(op, &attrs));
  Origin origin;
  origin.op = op.name;
  if (eat("@")) RUTILE_RETURN_IF_ERROR(quoted(&origin.cell));
  Phase phase = Phase::kForward;
  if (eat("#")) {
    const std::string_view w = word();
    for (Phase p : {Phase::kBackward, Phase::kOptimizer, Phase::kFrozen}) {
      if (w == phase_name(p)) phase = p;
    }
  }
  const NodeId id = g_.add_node(op, std::move(attrs), std::move(in), metas,
                                {g_.add_origin(std::move(origin))}, phase);
  g_.order.push_back(id);
  for (size_t i = 0; i < names.size(); ++i) {
    RUTILE_RETURN_IF_ERROR(define_value(names[i], g_.nodes[id].outputs[i]));
  }
  return Status();
}

Status Parser::node(std::vector<int> names) {
  std::vector<TensorMeta> metas;
  RUTILE_RETURN_IF_ERROR(meta(&metas.emplace_back()));
  while (eat(",")) {
    RUTILE_RETURN_IF_ERROR(value_name(&names.emplace_back()));
    if (!eat(":")) return error("expects :");
    RUTILE_RETURN_IF_ERROR(meta(&metas.emplace_back()));
  }
  if (!eat("=")) return error("expects =");
  const std::string op_name(word());
  const OpDef* op = find_op(op_name);
  if (!op) return error(cat("there is no op ", op_name));
  return node_tail(*op, names, std::move(metas));
}

Status Parser::run() {
  if (!eat("graph") || !eat("{")) return error("expects graph {");
  while (!eat("return")) {
    if (eat("state")) {
      ValueId in = kNone, out = kNone;
      RUTILE_RETURN_IF_ERROR(value_ref(&in));
      if (!eat("<-")) return error("expects <-");
      RUTILE_RETURN_IF_ERROR(value_ref(&out));
      bool found = false;
      for (StateSlot& s : g_.states) {
        if (s.in != in) continue;
        s.out = out;
        found = true;
      }
      if (!found) return error("no such state");
      continue;
    }
    int name = 0;
    RUTILE_RETURN_IF_ERROR(value_name(&name));
    if (eat("=")) {
      RUTILE_RETURN_IF_ERROR(source(name));
    } else if (eat(":")) {
      RUTILE_RETURN_IF_ERROR(node({name}));
    } else {
      return error("expects = or :");
    }
  }
  while (!eat("}")) {
    RUTILE_RETURN_IF_ERROR(value_ref(&g_.outputs.emplace_back()));
    eat(",");
  }
  return Status();
}

}  // namespace

Status parse(std::string_view text, Graph* g) {
  *g = Graph();
  return Parser(text, *g).run();
}

}  // namespace rutile::graph
