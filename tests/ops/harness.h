// SPDX-License-Identifier: Apache-2.0
// What is checked of every op, from its samples. Authors of ops write samples/<family>.cc only; see
// samples/sample.h. sample_test.cc makes one test per kind of check and op: Samples/Gradient.add.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "rutile/ops/kernel_table.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::harness {

using samples::Sample;
using samples::SampleList;
using samples::Tolerance;

// What went wrong with one op. Checks go on after a finding, until there are enough to understand.
class Findings {
 public:
  void add(std::string text) {
    if (++count_ <= kShown) text_ += cat("\n  ", text);
  }
  bool enough() const { return count_ >= kShown; }
  int count() const { return count_; }
  // All findings, one a line; empty if there are none.
  std::string text() const { return count_ ? cat(count_, " findings:", text_) : ""; }

 private:
  static constexpr int kShown = 6;
  int count_ = 0;
  std::string text_;
};

using Check = void (*)(const OpDef&, Findings&);
struct CheckKind {
  const char* name;
  Check run;
};
std::span<const CheckKind> check_kinds();

// Calls body(sample, dtype) for every sample and type of its sweep; what it throws is a finding.
using Body = std::function<void(const Sample&, DType)>;
void for_each_case(const OpDef& op, Findings& findings, const Body& body);
// The same for one type per sample: the first floating one, otherwise the first.
void for_each_sample(const OpDef& op, Findings& findings, const Body& body);
// More elements than checks in a slow (sanitizer) build should repeat for every type.
bool is_long(const Sample& s);

// "conv2d(f32[2,3], none) stride=[2,2]", for findings.
std::string describe_call(const OpDef& op, const AnyAttrs& attrs,
                          const std::vector<TensorMeta>& metas);
// Runs the op as a user does. Mutated inputs are copied first: their new values are outputs.
std::vector<Tensor> run_op(const OpDef& op, const void* attrs, std::span<const Tensor> in);
// The oracle: the reference row, or the composition with reference kernels inside.
std::vector<Tensor> run_oracle(const OpDef& op, const void* attrs, std::span<const Tensor> in);

// Shape, dtype and elements; NaN equals NaN. `what` starts the finding's text.
void compare(const std::string& what, std::span<const Tensor> got, std::span<const Tensor> want,
             const Sample& sample, Findings& findings);
void compare_bits(const std::string& what, std::span<const Tensor> got,
                  std::span<const Tensor> want, Findings& findings);
// ||got - want|| <= rtol ||want|| + atol sqrt(n), for results that went through lower precision.
void compare_norm(const std::string& what, const Tensor& got, const Tensor& want, Tolerance tol,
                  Findings& findings);

// Inputs with every tensor of rank 4 in the layout ("acdb" means channels-last).
std::vector<Tensor> placed(std::span<const Tensor> in, const char* tag);
// The floating tensors cast to another floating type on the host.
std::vector<Tensor> with_float_type(std::span<const Tensor> in, DType t);
// Which inputs take part in gradient checks.
std::vector<size_t> differentiable(const Sample& s, std::span<const Tensor> in);

void check_infer(const OpDef& op, Findings& findings);
void check_call(const OpDef& op, Findings& findings);
void check_kernels(const OpDef& op, Findings& findings);
void check_overwrite(const OpDef& op, Findings& findings);
void check_compose(const OpDef& op, Findings& findings);
void check_gradient(const OpDef& op, Findings& findings);
void check_second_order(const OpDef& op, Findings& findings);
void check_saves(const OpDef& op, Findings& findings);
void check_graph(const OpDef& op, Findings& findings);
void check_graph_gradient(const OpDef& op, Findings& findings);
void check_batching(const OpDef& op, Findings& findings);
void check_low_precision(const OpDef& op, Findings& findings);
void check_amp(const OpDef& op, Findings& findings);
void check_errors(const OpDef& op, Findings& findings);
void check_fuzz(const OpDef& op, Findings& findings);

}  // namespace rutile::harness
