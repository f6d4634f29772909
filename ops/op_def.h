// SPDX-License-Identifier: Apache-2.0
// What an op is. One OpDef serves eager, trace, autograd, every device, Python, docs and tests.
// docs/add_an_op.md walks through one. Example (ops/conv.cc):
//
//   constinit const OpDef kConv2d = define({
//       .name = "conv2d", .inputs = {"x", "weight", "bias?"}, .attrs = attrs_of<Conv2dAttrs>(),
//       .infer = infer_conv2d, .grad = grad_conv2d, .saves = {"x", "weight"}, .amp = Amp::kLow,
//       .doc = "2-D convolution, NCHW."});
//
// Input names: "bias?" may be absent, "xs*" (the last one) takes any number. Outputs: "ys*" is any
// number, given by `count_outputs`.
#pragma once

#include <cstdint>
#include <span>

#include "rutile/core/error.h"
#include "rutile/core/meta.h"
#include "rutile/core/small_vector.h"
#include "rutile/core/tensor.h"
#include "rutile/ops/attrs.h"

namespace rutile {

struct OpDef;
struct OpRuntime;
class GradCtx;

inline constexpr int kMaxNamed = 12;

// A call as infer, kernels and passes see it: no data. Absent optional inputs are null.
struct CallMeta {
  const OpDef* op = nullptr;
  const void* attrs = nullptr;
  std::span<const TensorMeta* const> inputs;
  std::span<const TensorMeta> outputs;  // empty while infer runs

  int num_inputs() const { return static_cast<int>(inputs.size()); }
  bool has(int i) const { return i < num_inputs() && inputs[i] != nullptr; }
  const TensorMeta& in(int i) const { return *inputs[i]; }
  const TensorMeta& out(int i = 0) const { return outputs[i]; }
  template <class T>
  const T& as() const {
    return *static_cast<const T*>(attrs);
  }
};

// Shape, dtype and placement of the outputs. Must reject everything the op cannot do, with a
// message that says what it expected and what it got (call() adds op, shapes and Cell).
using InferFn = Status (*)(const CallMeta&, TensorMeta* out);
using CountFn = int (*)(const CallMeta&);
// What a call costs, from metas with outputs (ops/cost.h has the defaults and shared rules).
using CostFn = double (*)(const CallMeta&);
// Gradients of the inputs (undefined: none), written by calling ops.
using GradResult = SmallVector<Tensor, 4>;
using GradFn = GradResult (*)(GradCtx&);
// The op in terms of other ops: definition of fused ops, oracle of their kernels.
using TensorList = SmallVector<Tensor, 4>;
using ComposeFn = TensorList (*)(const void* attrs, std::span<const Tensor> inputs);
// For views: offset of output i's first element in its input's memory, in elements. A view's infer
// gives kUnsupported where the input's placement allows no view: call() then makes a row-major
// copy.
using ViewOffsetFn = int64_t (*)(const CallMeta&, int output);
// Finer than .saves: which of the saved bits are needed when only `needs` inputs want a gradient.
using SavesFn = uint32_t (*)(uint32_t needs_mask);

// What automatic mixed precision does with the op's float inputs.
enum class Amp : uint8_t {
  kKeep,     // takes them as they come
  kLow,      // casts f32 to the scope's low precision (matmul, convolution)
  kHigh,     // casts low precision to f32 (losses, exponentials, sums)
  kPromote,  // casts all to the widest among them
};

enum Effects : uint8_t { kPure = 0, kPrint = 1, kHostCall = 2, kCollective = 4 };

// The fields as written in a definition.
struct OpSpec {
  const char* name = nullptr;
  const char* inputs[kMaxNamed] = {};
  const char* outputs[kMaxNamed] = {"y"};
  const AttrsInfo* attrs = nullptr;
  InferFn infer = nullptr;
  CostFn flops = nullptr;  // null: 1 per element of an elementwise op's outputs, else 0
  CostFn bytes = nullptr;  // null: operands read + results written; a view moves none
  CountFn count_outputs = nullptr;
  GradFn grad = nullptr;
  const char* saves[kMaxNamed] = {};  // all that backward may read (inputs and outputs)
  SavesFn saves_if = nullptr;
  ComposeFn compose = nullptr;
  const char* alias_of[kMaxNamed] = {};  // output i shares the memory of this input
  const char* mutates[kMaxNamed] = {};   // inputs written in place (they are State)
  ViewOffsetFn view_offset = nullptr;    // set for views: no kernel runs
  Amp amp = Amp::kKeep;
  uint8_t effects = kPure;
  bool elementwise = false;       // output element i depends on input elements i only
  bool promote = false;           // call() casts the inputs to their common dtype first
  bool zero_preserving = false;   // f(0, ...) == 0: padding of blocked layouts stays zero
  bool dynamic = false;           // output shape known only after running
  bool checks_values = false;     // a run may fail for the values it reads (an index out of range)
  bool runs_bodies = false;       // control flow: Region attributes that the executor runs
  const char* no_grad = nullptr;  // why there is no gradient
  const char* doc = nullptr;
};

struct OpDef : OpSpec {
  int num_inputs = 0;  // named ones
  int num_outputs = 0;
  int min_inputs = 0;  // required, from the front
  bool variadic_in = false, variadic_out = false;
  uint32_t optional_mask = 0;
  uint32_t save_inputs = 0, save_outputs = 0;
  uint32_t mutate_mask = 0;
  int8_t alias[kMaxNamed] = {};  // input index or -1
  // Filled at registration; not part of the definition.
  mutable OpRuntime* runtime = nullptr;

  // Name without the '?' or '*'.
  RUTILE_API std::string_view input_name(int i) const;
  RUTILE_API std::string_view output_name(int i) const;
  // Input whose memory output `i` shares, -1 if none. "ys*" aliasing "xs*" go in pairs; all of
  // "ys*" share a single input.
  constexpr int alias_input(int i) const {
    if (i < num_outputs) return alias[i];
    const int first = variadic_out ? alias[num_outputs - 1] : -1;
    const bool pairs = variadic_in && first == num_inputs - 1;
    return pairs ? first + i - (num_outputs - 1) : first;
  }
};

namespace detail {
// Equality of names up to a trailing '?' or '*'.
constexpr bool same_name(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  auto ends = [](char c) { return c == 0 || c == '?' || c == '*'; };
  return ends(*a) && ends(*b);
}
constexpr int find_name(const char* const* names, int n, const char* name) {
  for (int i = 0; i < n; ++i) {
    if (same_name(names[i], name)) return i;
  }
  return -1;
}
// Turns the names of a definition into indices; the first name that is no input or output, or null.
constexpr const char* resolve_names(OpDef& d) {
  auto last = [](const char* n) {
    char c = 0;
    while (*n) c = *n++;
    return c;
  };
  while (d.num_inputs < kMaxNamed && d.inputs[d.num_inputs]) {
    const int i = d.num_inputs++;
    const char c = last(d.inputs[i]);
    if (c == '*') d.variadic_in = true;
    if (c == '?') d.optional_mask |= 1u << i;
    if (c != '*' && c != '?') d.min_inputs = i + 1;
  }
  while (d.num_outputs < kMaxNamed && d.outputs[d.num_outputs]) {
    if (last(d.outputs[d.num_outputs++]) == '*') d.variadic_out = true;
  }
  for (int i = 0; i < kMaxNamed && d.saves[i]; ++i) {
    const int in = find_name(d.inputs, d.num_inputs, d.saves[i]);
    const int out = find_name(d.outputs, d.num_outputs, d.saves[i]);
    if (in < 0 && out < 0) return d.saves[i];
    if (in >= 0) d.save_inputs |= 1u << in;
    if (in < 0) d.save_outputs |= 1u << out;
  }
  for (int i = 0; i < kMaxNamed && d.mutates[i]; ++i) {
    const int in = find_name(d.inputs, d.num_inputs, d.mutates[i]);
    if (in < 0) return d.mutates[i];
    d.mutate_mask |= 1u << in;
  }
  for (int i = 0; i < kMaxNamed; ++i) {
    d.alias[i] = -1;
    if (!d.alias_of[i]) continue;
    d.alias[i] = static_cast<int8_t>(find_name(d.inputs, d.num_inputs, d.alias_of[i]));
    if (d.alias[i] < 0) return d.alias_of[i];
  }
  return nullptr;
}
inline void no_such_input_or_output_in_the_definition() {}  // not constexpr on purpose
inline void an_op_needs_a_name_a_doc_and_infer() {}
inline void an_op_needs_a_gradient_or_a_reason() {}
}  // namespace detail

// Checks a definition and turns its names into indices; a typo does not compile.
consteval OpDef define(OpSpec s) {
  OpDef d;
  static_cast<OpSpec&>(d) = s;
  if (detail::resolve_names(d)) detail::no_such_input_or_output_in_the_definition();
#ifndef __SANITIZE_ADDRESS__  // g++ 12 with -fsanitize=undefined cannot compare functions with null
  if (!s.name || !s.doc || !s.infer) detail::an_op_needs_a_name_a_doc_and_infer();
  if (!s.grad && !s.compose && !s.no_grad) detail::an_op_needs_a_gradient_or_a_reason();
#endif
  return d;
}

// The op table. Order is that of op_list.inc, then registration from outside.
RUTILE_API std::span<const OpDef* const> all_ops();
RUTILE_API const OpDef* find_op(std::string_view name);  // null if there is none
// Adds an op from outside; the definition must live for ever. Throws for a name in use.
RUTILE_API void register_op(const OpDef& op);

// Runs a body on operands and gives the gradients of sum(result_i * grads_i) by them. An undefined
// gradient of a result counts as zero.
using VjpFn = std::vector<Tensor> (*)(const Region::Function& body,
                                      const std::vector<Tensor>& operands,
                                      std::span<const Tensor> grads);

// What a gradient rule sees. Reading something that is not in .saves is an internal error.
class RUTILE_API GradCtx {
 public:
  GradCtx(const OpDef& op, const void* attrs, std::span<const Tensor> inputs,
          std::span<const Tensor> outputs, std::span<const Tensor> grads,
          std::span<const TensorMeta> input_metas, uint32_t given, uint32_t needs,
          VjpFn vjp = nullptr)
      : op_(op),
        attrs_(attrs),
        inputs_(inputs),
        outputs_(outputs),
        grads_(grads),
        input_metas_(input_metas),
        given_(given),
        needs_(needs),
        vjp_(vjp) {}
  const OpDef& op() const { return op_; }
  template <class T>
  const T& attrs() const {
    return *static_cast<const T*>(attrs_);
  }
  const void* raw_attrs() const { return attrs_; }
  int num_inputs() const { return static_cast<int>(input_metas_.size()); }
  const Tensor& in(int i) const;
  // An optional input was given.
  bool has_in(int i) const { return i < num_inputs() && (i >= 32 || (given_ >> i & 1u)); }
  const TensorMeta& in_meta(int i) const { return input_metas_[i]; }
  const Tensor& out(int i = 0) const;
  // Gradient of output i; undefined when nothing depends on it. Output 0's is defined unless the
  // op has several outputs.
  const Tensor& grad(int i = 0) const { return grads_[i]; }
  int num_outputs() const { return static_cast<int>(grads_.size()); }
  bool needs(int i) const { return i < 32 ? (needs_ >> i & 1u) : true; }
  uint32_t needs_mask() const { return needs_; }
  // Gradients of a body at its operands, undefined where there is none: for ops that run bodies.
  // The function may be called until the rule returns.
  VjpFn vjp() const { return vjp_; }

 private:
  const OpDef& op_;
  const void* attrs_;
  std::span<const Tensor> inputs_, outputs_, grads_;
  std::span<const TensorMeta> input_metas_;
  uint32_t given_, needs_;
  VjpFn vjp_;
};

}  // namespace rutile
