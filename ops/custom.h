// SPDX-License-Identifier: Apache-2.0
// Ops from outside. An op with fixed functions is defined as Rutile's own are (ops/op_def.h):
// define({...}), register_op, register_kernel. This is the other way: at run time, from closures,
// with the attributes one likes; and from shared libraries in C (ops/c_api.h). Such an op is
// called, traced, differentiated and shown in Python (rutile.ops) like any other.
//
//   CustomOp swish;
//   swish.name = "swish_beta";
//   swish.inputs = {"x"};
//   swish.attrs = {{"beta", 1.0}};
//   swish.compose = [](const CustomAttrs& a, std::span<const Tensor> in) {
//     return TensorList{in[0] * ops::sigmoid(in[0] * a.number("beta"))};
//   };
//   const OpDef& op = register_op(std::move(swish));
//   Tensor y = call_op(op, {x}, {{"beta", 2.0}})[0];
//
// An op with `compose` alone is inlined by the compiler and fused with what stands around it.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rutile/ops/call.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/op_def.h"

namespace rutile {

// Attributes of one call, by name. A name that the op has not is Error{kValue}, a value of another
// kind Error{kType}.
class RUTILE_API CustomAttrs {
 public:
  CustomAttrs(const OpDef& op, const void* attrs) : op_(op), attrs_(attrs) {}
  AttrValue get(std::string_view name) const;
  bool flag(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;  // of an integer too
  std::string text(std::string_view name) const;
  Dims dims(std::string_view name) const;

 private:
  const OpDef& op_;
  const void* attrs_;
};

// A call as `infer` and `kernel` see it. Absent optional inputs are null.
struct CustomCall {
  const CallMeta& meta;
  CustomAttrs attrs;
  int num_inputs() const { return meta.num_inputs(); }
  bool has(int i) const { return meta.has(i); }
  const TensorMeta& in(int i) const { return meta.in(i); }
  const TensorMeta& out(int i = 0) const { return meta.out(i); }
};

struct CustomAttr {
  std::string name;
  // The default; its type is the attribute's: bool, int64_t, double, std::string or Dims.
  AttrValue value;
};

struct CustomOp {
  std::string name;                 // snake_case
  std::vector<std::string> inputs;  // "x", "bias?" may be absent, "xs*" any number (the last)
  std::vector<std::string> outputs = {"y"};
  std::vector<CustomAttr> attrs = {};
  std::string doc = {};
  // One meta (shape, dtype) for each output; throws Error{kValue} or {kType} for what the op cannot
  // do. Not needed for elementwise ops, whose outputs are the broadcast inputs in the first one's
  // dtype, and where `compose` tells: it then runs on shapes alone, and must not read values.
  std::function<std::vector<TensorMeta>(const CustomCall&)> infer = {};
  // Computes on the CPU. All tensors are row-major; several threads may call it at once, and what
  // it throws ends the call. With OpSpec's rules for Plan::run otherwise.
  std::function<void(const CustomCall&, const KernelArgs&)> kernel = {};
  // The op in terms of others: instead of a kernel, or beside one, as the definition it is held
  // against and what backward differentiates where there is no `grad`.
  std::function<TensorList(const CustomAttrs&, std::span<const Tensor> in)> compose = {};
  // Gradients of the inputs, by calling ops; reads what `saves` names.
  std::function<GradResult(GradCtx&)> grad = {};
  std::vector<std::string> saves = {};
  bool elementwise = false;
  bool promote = false;  // inputs are cast to their common dtype first
  Amp amp = Amp::kKeep;
};

// Adds an op for the rest of the process. Error{kValue} for a name in use, and for a definition
// that does not fit together. Any thread.
RUTILE_API const OpDef& register_op(CustomOp op);

using NamedAttr = std::pair<std::string, AttrValue>;
// Calls any op of the table; attributes not named keep their defaults.
RUTILE_API TensorList call_op(const OpDef& op, std::span<const Tensor> in,
                              const std::vector<NamedAttr>& attrs = {},
                              std::source_location where = std::source_location::current());
RUTILE_API TensorList call_op(const OpDef& op, std::initializer_list<Tensor> in,
                              const std::vector<NamedAttr>& attrs = {},
                              std::source_location where = std::source_location::current());

// Loads a shared library of ops (ops/c_api.h) and registers what it defines: all of it or, with an
// error, nothing. A library that is loaded already gives its ops again. Error{kNotFound} for a file
// that is not there, Error{kValue} for one that is no op library or defines something impossible,
// Error{kUnsupported} for one made for another version of the C ABI.
RUTILE_API std::vector<const OpDef*> load_op_library(const std::string& path);

}  // namespace rutile
