// SPDX-License-Identifier: Apache-2.0
// The checks find what they are for: each op here has one planted defect.
#include "rutile/tests/ops/harness.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "rutile/kernels/walk.h"
#include "rutile/ops/elementwise.h"

namespace rutile::harness {
namespace {

using testing::HasSubstr;

// ---- y = 2 x in f32, in variants ----------------------------------------------------------------

Status infer_same(const CallMeta& c, TensorMeta* out) {
  out[0] = TensorMeta(c.in(0).shape, c.in(0).dtype);
  if (c.in(0).layout != kStrided) out[0].layout = c.in(0).layout;
  return c.in(0).dtype == DType::kF32 ? Status() : type_error("expects f32");
}
Status infer_forgets_dtype(const CallMeta& c, TensorMeta* out) {
  out[0].shape = c.in(0).shape;
  out[0].strides = contiguous_strides(c.in(0).shape);
  return Status();
}
Status infer_throws(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).rank() == 4) throw std::runtime_error("no Error");
  return infer_same(c, out);
}

GradResult grad_right(GradCtx& ctx) { return {ops::mul(ctx.grad(), 2.0)}; }
GradResult grad_wrong(GradCtx& ctx) { return {ops::mul(ctx.grad(), 2.1)}; }

struct WalkPlan : Plan {
  TensorMeta in, out;
};

const float* input(const KernelArgs& a) { return static_cast<const float*>(a.in[0]); }
float* output(const KernelArgs& a) { return static_cast<float*>(a.out[0]); }

template <RunFn kRun, uint32_t kOverwrite = 0>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<WalkPlan>();
  p->in = c.in(0);
  p->out = c.out();
  p->run = kRun;
  p->may_overwrite = c.in(0).is_contiguous() ? kOverwrite : 0;
  *plan = std::move(p);
  return Status();
}

Status run_right(const Plan& plan, const KernelArgs& a) {
  const auto& p = static_cast<const WalkPlan&>(plan);
  float* y = output(a);
  for (kernels::Walk w(p.in); !w.done(); w.next()) *y++ = 2 * input(a)[w.offset()];
  return Status();
}
Status run_inexact(const Plan& plan, const KernelArgs& a) {
  (void)run_right(plan, a).ok();
  if (static_cast<const WalkPlan&>(plan).out.numel() > 3) output(a)[3] += 1e-3f;
  return Status();
}
Status run_too_far(const Plan& plan, const KernelArgs& a) {
  (void)run_right(plan, a).ok();
  output(a)[static_cast<const WalkPlan&>(plan).out.numel()] = 0;
  return Status();
}
Status run_incomplete(const Plan& plan, const KernelArgs& a) {
  const int64_t n = static_cast<const WalkPlan&>(plan).out.numel();
  for (int64_t i = 0; i + 1 < n; ++i) output(a)[i] = 2 * input(a)[i];
  return Status();
}
// Right with separate memory: the second half is computed from the first half's inputs last.
Status run_two_passes(const Plan& plan, const KernelArgs& a) {
  const int64_t n = static_cast<const WalkPlan&>(plan).out.numel();
  for (int64_t i = 0; i < n; ++i) output(a)[i] = input(a)[i];
  for (int64_t i = 0; i < n; ++i) output(a)[i] += input(a)[i];
  if (a.in[0] == a.out[0] && n > 0) output(a)[0] += 1;
  return Status();
}
Status run_into_input(const Plan& plan, const KernelArgs& a) {
  (void)run_right(plan, a).ok();
  if (static_cast<const WalkPlan&>(plan).in.numel() > 0) static_cast<float*>(a.in[0])[0] = 7;
  return Status();
}
// Doubles whole blocks and adds one: the padding becomes one.
Status run_blocked(const Plan& plan, const KernelArgs& a) {
  const auto& p = static_cast<const WalkPlan&>(plan);
  const int64_t n = layout_elements(p.in.layout, p.in.shape);
  for (int64_t i = 0; i < n; ++i) output(a)[i] = input(a)[i] == 0 ? 1 : 2 * input(a)[i];
  return Status();
}

bool contiguous_only(const CallMeta& c, Reason* reason) {
  reason->text = "takes contiguous tensors";
  return c.in(0).layout == kStrided && c.in(0).is_contiguous();
}
bool blocked_only(const CallMeta& c, Reason* reason) {
  reason->text = "takes blocked tensors";
  return c.in(0).layout != kStrided;
}

#define RUTILE_DEFECT(constant, op_name, infer_fn, grad_fn) \
  constinit const OpDef constant = define(                  \
      {.name = op_name, .inputs = {"x"}, .infer = infer_fn, .grad = grad_fn, .doc = "Twice x."})
RUTILE_DEFECT(kSound, "sound", infer_same, grad_right);
RUTILE_DEFECT(kForgets, "forgets_dtype", infer_forgets_dtype, grad_right);
RUTILE_DEFECT(kThrows, "infer_throws", infer_throws, grad_right);
RUTILE_DEFECT(kInexact, "inexact", infer_same, grad_right);
RUTILE_DEFECT(kTooFar, "too_far", infer_same, grad_right);
RUTILE_DEFECT(kIncomplete, "incomplete", infer_same, grad_right);
RUTILE_DEFECT(kOverwrites, "overwrites", infer_same, grad_right);
RUTILE_DEFECT(kWritesInput, "writes_input", infer_same, grad_right);
RUTILE_DEFECT(kPadding, "dirty_padding", infer_same, grad_right);

void sample(samples::SampleList& s) {
  s.add({samples::in({2, 5, 3, 2})});
  s.add({samples::in({2, 3}).gaps()});
  s.error({samples::in({2}).as(DType::kI32)}, ErrorCode::kType, "expects f32");
}
void sample_wrong_errors(samples::SampleList& s) {
  s.add({samples::in({2})});
  s.error({samples::in({2}).as(DType::kI32)}, ErrorCode::kValue, "expects f32");
  s.error({samples::in({2}).as(DType::kI32)}, ErrorCode::kType, "expects f64");
  s.error({samples::in({2})}, ErrorCode::kType, "expects f32");
}

using PrepareFn = Status (*)(const CallMeta&, std::unique_ptr<Plan>*);

void add_op(const OpDef& op, PrepareFn fast, bool (*supports)(const CallMeta&, Reason*)) {
  register_op(op);
  if (fast) {
    register_kernel({.op = &op, .name = "fast", .supports = supports, .prepare = fast});
  }
  register_kernel({.op = &op, .name = "ref", .prepare = prepare<run_right>, .reference = true});
  samples::register_samples(op.name, sample);
}

// Wrong gradients need f64, which the others refuse.
Status infer_f64(const CallMeta& c, TensorMeta* out) {
  out[0] = TensorMeta(c.in(0).shape, c.in(0).dtype);
  return Status();
}
TensorList compose_twice(const void*, std::span<const Tensor> in) { return {ops::mul(in[0], 2.0)}; }
constinit const OpDef kWrongGrad = define({.name = "wrong_gradient",
                                           .inputs = {"x"},
                                           .infer = infer_f64,
                                           .grad = grad_wrong,
                                           .compose = compose_twice,
                                           .doc = "Twice x."});
constinit const OpDef kWrongErrors = define({.name = "wrong_errors",
                                             .inputs = {"x"},
                                             .infer = infer_same,
                                             .compose = compose_twice,
                                             .doc = "Twice x."});

class HarnessTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    add_op(kSound, prepare<run_right>, contiguous_only);
    add_op(kForgets, nullptr, nullptr);
    add_op(kThrows, nullptr, nullptr);
    add_op(kInexact, prepare<run_inexact>, contiguous_only);
    add_op(kTooFar, prepare<run_too_far>, contiguous_only);
    add_op(kIncomplete, prepare<run_incomplete>, contiguous_only);
    add_op(kOverwrites, prepare<run_two_passes, 1>, contiguous_only);
    add_op(kWritesInput, prepare<run_into_input>, contiguous_only);
    add_op(kPadding, prepare<run_blocked>, blocked_only);
    for (const OpDef* op : {&kWrongGrad, &kWrongErrors}) register_op(*op);
    samples::register_samples("wrong_gradient", sample);
    samples::register_samples("wrong_errors", sample_wrong_errors);
  }
  static std::string findings(Check check, const OpDef& op) {
    Findings f;
    check(op, f);
    return f.text();
  }
};

TEST_F(HarnessTest, ASoundOpPasses) {
  for (const CheckKind& kind : check_kinds()) {
    const std::string name = kind.name;
    if (name.find("Gradient") != name.npos || name == "SecondOrder") continue;  // they need f64
    EXPECT_EQ(findings(kind.run, kSound), "") << name;
  }
}

TEST_F(HarnessTest, FindsFieldsThatInferForgets) {
  EXPECT_THAT(findings(check_infer, kForgets), HasSubstr("infer leaves fields unset"));
}
TEST_F(HarnessTest, FindsForeignExceptions) {
  EXPECT_THAT(findings(check_fuzz, kThrows), HasSubstr("throws what is no rutile::Error"));
}
TEST_F(HarnessTest, FindsWrongElements) {
  EXPECT_THAT(findings(check_kernels, kInexact), HasSubstr("row fast, as given: 1 of 60 elements"));
  EXPECT_THAT(findings(check_call, kInexact), HasSubstr("1 of 60 elements differ"));
}
TEST_F(HarnessTest, FindsWritesBehindTheOutput) {
  EXPECT_THAT(findings(check_kernels, kTooFar), HasSubstr("writes outside output 0"));
}
TEST_F(HarnessTest, FindsElementsThatNobodyWrites) {
  EXPECT_THAT(findings(check_kernels, kIncomplete), HasSubstr("first at [1,4,2,1]: "));
}
TEST_F(HarnessTest, FindsPlansThatMayNotOverwrite) {
  EXPECT_EQ(findings(check_kernels, kOverwrites), "");
  EXPECT_THAT(findings(check_overwrite, kOverwrites), HasSubstr("over input 0"));
}
TEST_F(HarnessTest, FindsWritesIntoInputs) {
  EXPECT_THAT(findings(check_infer, kWritesInput), HasSubstr("inputs after the call"));
}
TEST_F(HarnessTest, FindsDirtyPadding) {
  EXPECT_THAT(findings(check_kernels, kPadding), HasSubstr("padding that is not zero"));
}
TEST_F(HarnessTest, FindsWrongGradients) {
  EXPECT_THAT(findings(check_gradient, kWrongGrad), HasSubstr("central differences give"));
}
TEST_F(HarnessTest, FindsWrongErrors) {
  const std::string text = findings(check_errors, kWrongErrors);
  EXPECT_THAT(text, HasSubstr("3 findings"));
  EXPECT_THAT(text, HasSubstr("expected value"));
  EXPECT_THAT(text, HasSubstr("does not say \"expects f64\""));
  EXPECT_THAT(text, HasSubstr("is accepted"));
}

}  // namespace
}  // namespace rutile::harness
