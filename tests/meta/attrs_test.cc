// SPDX-License-Identifier: Apache-2.0
// Every attribute struct of the op table survives dynamic access, copies, and the IR's text.
#include <gtest/gtest.h>

#include <set>

#include "rutile/graph/ir/graph.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile {
namespace {

using samples::Sample;

// The attributes of the op's samples, and the defaults.
std::vector<AnyAttrs> attrs_in_use(const OpDef& op) {
  std::vector<AnyAttrs> all{AnyAttrs(op.attrs, nullptr)};
  for (const Sample& s : samples::samples_of(op).samples) all.push_back(s.attrs);
  return all;
}

TEST(Attrs, SurviveGetAndSet) {
  for (const OpDef* op : all_ops()) {
    if (!op->attrs) continue;
    const AttrsInfo& info = *op->attrs;
    for (const AnyAttrs& a : attrs_in_use(*op)) {
      AnyAttrs b(&info, nullptr);
      for (int f = 0; f < info.num_fields; ++f) {
        const AttrValue v = info.get(a.get(), f);
        const Status s = info.set(b.get_mutable(), f, v);
        EXPECT_TRUE(s.ok()) << op->name << "." << field_name(info, f) << ": " << s.message();
      }
      const std::string text = attrs_to_string(info, a.get(), true);
      EXPECT_TRUE(info.equal(a.get(), b.get())) << op->name << " " << text;
      EXPECT_EQ(info.hash(a.get()), info.hash(b.get())) << op->name << " " << text;
      EXPECT_EQ(attrs_to_string(info, b.get(), true), text) << op->name;
      for (int f = 0; f < info.num_fields; ++f) {
        const AttrValue v = info.get(a.get(), f);
        if (std::holds_alternative<Ref<Region>>(v)) continue;  // has no text
        AttrValue back;
        const Status s = parse_attr_value(to_string(v), &back);
        ASSERT_TRUE(s.ok()) << op->name << " " << to_string(v) << ": " << s.message();
        AnyAttrs c(&info, b.get());
        EXPECT_TRUE(info.set(c.get_mutable(), f, back).ok() && info.equal(c.get(), a.get()))
            << op->name << "." << field_name(info, f) << " reads " << to_string(v) << " as "
            << to_string(back);
      }
      const AnyAttrs copy = b;
      EXPECT_TRUE(info.equal(copy.get(), a.get())) << op->name << " " << text;
    }
  }
}

TEST(Attrs, FieldsHaveUniqueNamesThatAreFound) {
  for (const OpDef* op : all_ops()) {
    if (!op->attrs) continue;
    std::set<std::string_view> seen;
    for (int f = 0; f < op->attrs->num_fields; ++f) {
      const std::string_view name = field_name(*op->attrs, f);
      EXPECT_TRUE(seen.insert(name).second) << op->name << "." << name;
      EXPECT_EQ(field_index(*op->attrs, name), f) << op->name << "." << name;
    }
    EXPECT_EQ(field_index(*op->attrs, "no_such_field"), -1) << op->name;
  }
}

TEST(Attrs, RefuseValuesOfAnotherType) {
  for (const OpDef* op : all_ops()) {
    if (!op->attrs) continue;
    const AttrsInfo& info = *op->attrs;
    for (int f = 0; f < info.num_fields; ++f) {
      AnyAttrs a(&info, nullptr);
      const AttrValue v = info.get(a.get(), f);
      const bool text = std::holds_alternative<std::string>(v);
      const AttrValue wrong = text ? AttrValue(Dims{1, 2, 3}) : AttrValue(std::string("nonsense"));
      const Status s = info.set(a.get_mutable(), f, wrong);
      EXPECT_FALSE(s.ok()) << op->name << "." << field_name(info, f) << " takes "
                           << to_string(wrong);
      EXPECT_FALSE(s.message().empty()) << op->name << "." << field_name(info, f);
      EXPECT_TRUE(info.equal(a.get(), AnyAttrs(&info, nullptr).get()))
          << op->name << "." << field_name(info, f) << " changed by a refused value";
    }
  }
}

// The first field of type Ref<Region>, which has no text.
bool has_region(const OpDef& op) {
  for (int f = 0; op.attrs && f < op.attrs->num_fields; ++f) {
    AnyAttrs a(op.attrs, nullptr);
    if (std::holds_alternative<Ref<Region>>(op.attrs->get(a.get(), f))) return true;
  }
  return false;
}

// A graph of one node, from metas alone.
bool one_node(const Sample& s, graph::Graph* g) {
  std::vector<graph::ValueId> inputs;
  std::vector<TensorMeta> metas;
  for (const samples::Input& in : s.inputs) {
    metas.emplace_back(in.shape, in.dtype.set ? in.dtype.value : s.dtypes[0]);
  }
  std::vector<const TensorMeta*> pointers;
  for (size_t i = 0; i < metas.size(); ++i) {
    pointers.push_back(s.inputs[i].absent ? nullptr : &metas[i]);
    inputs.push_back(s.inputs[i].absent ? graph::kNone : g->add_input(metas[i], cat("x", i)));
    if (s.op->promote && !(metas[i].dtype == metas[0].dtype)) return false;
  }
  SmallVector<TensorMeta, 1> out;
  if (!infer_call(CallMeta{s.op, s.attrs.get(), pointers, {}}, &out).ok()) return false;
  const graph::NodeId n =
      g->add_node(*s.op, s.attrs, inputs, {out.data(), static_cast<size_t>(out.size())});
  g->order.push_back(n);
  g->outputs = g->nodes[static_cast<size_t>(n)].outputs;
  return true;
}

TEST(Attrs, SurviveTheTextOfAGraph) {
  for (const OpDef* op : all_ops()) {
    if (has_region(*op) || op->mutate_mask) continue;
    for (const Sample& s : samples::samples_of(*op).samples) {
      graph::Graph g;
      if (!one_node(s, &g)) continue;
      const std::string text = graph::print(g);
      graph::Graph back;
      const Status status = graph::parse(text, &back);
      ASSERT_TRUE(status.ok()) << status.message() << "\n" << text;
      EXPECT_EQ(graph::print(back), text);
      ASSERT_EQ(back.order.size(), 1u) << text;
      const graph::Node& n = back.nodes[static_cast<size_t>(back.order[0])];
      EXPECT_EQ(n.op, op);
      if (op->attrs) {
        EXPECT_TRUE(op->attrs->equal(n.attrs.get(), s.attrs.get())) << text;
      }
    }
  }
}

}  // namespace
}  // namespace rutile
