// SPDX-License-Identifier: Apache-2.0
// The op table as plain Python values.
#include "rutile/python/src/op_table.h"

#include "rutile/ops/op_def.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

const char* type_name(const AttrValue& v) {
  static constexpr const char* kNames[] = {"dtype", "bool",  "int", "float", "number",
                                           "ints",  "dtype", "str", "region"};
  static_assert(std::size(kNames) == std::variant_size_v<AttrValue>);
  return kNames[v.index()];
}

py::dict describe(const OpDef& op) {
  py::dict d;
  d["name"] = op.name;
  py::list inputs;
  for (int i = 0; i < op.num_inputs; ++i) {
    const bool several = op.variadic_in && i == op.num_inputs - 1;
    inputs.append(py::make_tuple(op.input_name(i), several                      ? "several"
                                                   : op.optional_mask >> i & 1u ? "optional"
                                                                                : "one"));
  }
  d["inputs"] = inputs;
  py::list attributes;
  const AnyAttrs defaults(op.attrs, nullptr);
  for (int i = 0; op.attrs && i < op.attrs->num_fields; ++i) {
    attributes.append(
        py::make_tuple(field_name(*op.attrs, i), type_name(op.attrs->get(defaults.get(), i))));
  }
  d["attributes"] = attributes;
  d["outputs"] = op.num_outputs;
  d["several_outputs"] = op.variadic_out;
  return d;
}

}  // namespace

void add_op_table(py::module_& m) {
  m.def(
      "op_table",
      [] {
        py::list rows;
        for (const OpDef* op : all_ops()) rows.append(describe(*op));
        return rows;
      },
      "The ops: name, inputs (name, one | optional | several), attributes (name, type), number of "
      "outputs.");
}

}  // namespace rutile::python
