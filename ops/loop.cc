// SPDX-License-Identifier: Apache-2.0
// scan and while_loop: the op, its eager form and its gradient. ops/loop_trace.cc records it.
#include "rutile/ops/loop.h"

#include <algorithm>

#include "rutile/ops/body.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/integer_gradients.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

int count_loop(const CallMeta& call) {
  const auto& a = call.as<LoopAttrs>();
  if (!a.body) return -1;
  return static_cast<int>(a.body->results.size()) + (a.condition ? 1 : 0);
}

// Slices of scanned operands, and all others as they are.
Status check_operands(const CallMeta& call, const LoopAttrs& a) {
  const int first = a.counted ? 1 : 0;
  const size_t given = static_cast<size_t>(std::max(call.num_inputs() - first, 0));
  if (a.counted && (call.in(0).dtype != DType::kI64 || call.in(0).numel() != 1)) {
    return value_error(cat("the number of iterations is one i64, got ", call.in(0)));
  }
  if (a.body->operands.size() != given) {
    return value_error(cat("the body takes ", a.body->operands.size(), " operands, got ", given));
  }
  for (size_t i = 0; i < given; ++i) {
    const TensorMeta &want = a.body->operands[i], &got = call.in(static_cast<int>(i) + first);
    const auto at = static_cast<int64_t>(i);
    Shape shape;
    if (at >= a.carries && at < a.carries + a.scanned) shape.push_back(a.length);
    for (int d = 0; d < want.rank(); ++d) shape.push_back(want.dim(d));
    if (got.shape == shape && got.dtype == want.dtype) continue;
    return value_error(
        cat("operand ", i, " should be ", TensorMeta(shape, want.dtype), ", got ", got));
  }
  return Status();
}

Status infer_loop(const CallMeta& call, TensorMeta* out) {
  const auto& a = call.as<LoopAttrs>();
  const auto results = static_cast<int64_t>(a.body->results.size());
  const auto operands = static_cast<int64_t>(a.body->operands.size());
  const bool sliced = a.scanned > 0 || results > a.carries;
  if (a.carries < 0 || a.carries > std::min(results, operands) || a.scanned < 0 ||
      a.scanned > operands - a.carries || (a.length < 0 && sliced)) {
    return value_error(cat("has ", a.carries, " carries and ", a.scanned, " scanned of ", operands,
                           " operands, ", results, " results and length ", a.length));
  }
  RUTILE_RETURN_IF_ERROR(check_operands(call, a));
  for (int64_t i = 0; i < results; ++i) {
    const TensorMeta& r = a.body->results[static_cast<size_t>(i)];
    if (i < a.carries) {
      out[i] = plain_meta(r);
      continue;
    }
    if (r.rank() == kMaxRank)
      return value_error(cat("cannot stack ", r, ": a tensor has at most 8 dimensions"));
    Shape shape{a.length};
    for (int d = 0; d < r.rank(); ++d) shape.push_back(r.dim(d));
    out[i] = TensorMeta(shape, r.dtype, r.device);
  }
  if (a.condition) out[results] = TensorMeta({}, DType::kI64);
  return Status();
}

TensorList compose_loop(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const LoopAttrs*>(attrs);
  const char* name = a.condition ? "while_loop" : "scan";
  EagerLoop loop{name, {}, {}, a.length, a.reverse, {}};
  size_t first = 0;
  if (a.counted) loop.length = std::clamp<int64_t>(in[first++].item<int64_t>(), 0, a.length);
  const size_t n = static_cast<size_t>(a.carries), m = static_cast<size_t>(a.scanned);
  const std::span<const Tensor> rest = in.subspan(first + n + m);
  auto with_rest = [&](const std::vector<Tensor>& carry, const std::vector<Tensor>& xs) {
    std::vector<Tensor> all = carry;
    all.insert(all.end(), xs.begin(), xs.end());
    all.insert(all.end(), rest.begin(), rest.end());
    return all;
  };
  if (a.condition) {
    loop.condition = [&](const std::vector<Tensor>& carry) {
      return a.condition->function(with_rest(carry, {}))[0];
    };
  }
  loop.body = [&](const std::vector<Tensor>& carry, const std::vector<Tensor>& xs) {
    std::vector<Tensor> r = a.body->function(with_rest(carry, xs));
    ScanStep step;
    step.ys.assign(r.begin() + a.carries, r.end());
    r.resize(n);
    step.carry = std::move(r);
    return step;
  };
  for (size_t i = n; i < a.body->results.size(); ++i) loop.ys.push_back(a.body->results[i]);
  int64_t iterations = 0;
  const ScanStep done = loop.run(
      {in.begin() + static_cast<int64_t>(first), in.begin() + static_cast<int64_t>(first + n)},
      {in.begin() + static_cast<int64_t>(first + n), rest.begin()}, a.length, &iterations);
  std::vector<Tensor> out = done.carry;
  out.insert(out.end(), done.ys.begin(), done.ys.end());
  if (a.condition) out.push_back(Tensor::scalar(iterations, DType::kI64));
  return results_of(std::move(out), in);
}

Tensor zeros_of(const TensorMeta& m) { return zeros(m.shape, m.dtype); }

// A loop over what the forward one kept, the other way round: it carries the gradients of the
// carries and sums those of what the body reads from outside.
class LoopGradient {
 public:
  explicit LoopGradient(GradCtx& ctx)
      : ctx_(ctx),
        a_(ctx.attrs<LoopAttrs>()),
        vjp_(ctx.vjp()),
        first_(a_.counted ? 1 : 0),
        carries_(static_cast<int>(a_.carries)),
        scanned_(static_cast<int>(a_.scanned)),
        results_(static_cast<int>(a_.body->results.size())) {
    if (a_.saved != a_.carries) {
      throw_error(
          ErrorCode::kValue,
          "[while_loop] its gradient in a traced function needs max_iterations, and no more of "
          "them than memory has room for: the carries of every iteration are kept for backward, "
          "in memory that is planned beforehand (RUTILE-E0107)");
    }
  }
  GradResult run();

 private:
  ScanStep step(const std::vector<Tensor>& carry, const std::vector<Tensor>& xs) const;
  const TensorMeta& operand(int i) const { return ctx_.in_meta(first_ + i); }
  bool wanted(int i) const { return has_gradient(operand(i).dtype) && ctx_.needs(first_ + i); }

  GradCtx& ctx_;
  const LoopAttrs a_;
  const VjpFn vjp_;
  const int first_, carries_, scanned_, results_;
  std::vector<Tensor> outside_;  // what the body reads from there
  std::vector<int> float_carries_, wanted_scanned_, wanted_outside_, given_;
};

ScanStep LoopGradient::step(const std::vector<Tensor>& carry, const std::vector<Tensor>& xs) const {
  std::vector<Tensor> operands(xs.begin(), xs.begin() + carries_ + scanned_);
  operands.insert(operands.end(), outside_.begin(), outside_.end());
  std::vector<Tensor> dys(static_cast<size_t>(results_));
  size_t next = 0;
  for (int i : float_carries_) dys[static_cast<size_t>(i)] = carry[next++];
  for (size_t k = 0; k < given_.size(); ++k) {
    dys[static_cast<size_t>(given_[k])] = xs[static_cast<size_t>(carries_ + scanned_) + k];
  }
  const std::vector<Tensor> g = vjp_(a_.body->function, operands, dys);
  auto gradient = [&](int i) {
    const auto at = static_cast<size_t>(i);
    return g[at].defined() ? g[at] : zeros_like(operands[at]);
  };
  ScanStep out;
  for (int i : float_carries_) out.carry.push_back(gradient(i));
  for (int i : wanted_outside_) {
    const Tensor& d = g[static_cast<size_t>(i)];
    out.carry.push_back(d.defined() ? add(carry[next], d) : carry[next]);
    ++next;
  }
  for (int i : wanted_scanned_) out.ys.push_back(gradient(i));
  return out;
}

GradResult LoopGradient::run() {
  const int operands = ctx_.num_inputs() - first_;
  std::vector<Tensor> init, xs;
  for (int i = 0; i < carries_; ++i) {
    if (!has_gradient(operand(i).dtype)) continue;
    float_carries_.push_back(i);
    const Tensor& d = ctx_.grad(i);
    init.push_back(d.defined() ? cast(d, operand(i).dtype) : zeros_of(operand(i)));
  }
  for (int i = carries_ + scanned_; i < operands; ++i) {
    outside_.push_back(ctx_.in(first_ + i));
    if (!wanted(i)) continue;
    wanted_outside_.push_back(i);
    init.push_back(zeros_of(operand(i)));
  }
  for (int i = 0; i < carries_; ++i) xs.push_back(ctx_.out(results_ - carries_ + i));
  for (int i = carries_; i < carries_ + scanned_; ++i) {
    xs.push_back(ctx_.in(first_ + i));
    if (wanted(i)) wanted_scanned_.push_back(i);
  }
  for (int i = carries_; i < results_; ++i) {
    if (!ctx_.grad(i).defined()) continue;
    given_.push_back(i);
    xs.push_back(cast(ctx_.grad(i), a_.body->results[static_cast<size_t>(i)].dtype));
  }
  const Tensor count = a_.counted ? ctx_.in(0) : a_.condition ? ctx_.out(results_) : Tensor();
  const ScanStep d = counted_scan(
      [this](const std::vector<Tensor>& c, const std::vector<Tensor>& x) { return step(c, x); },
      init, xs, count, {.length = a_.length, .reverse = !a_.reverse},
      std::source_location::current());
  GradResult result;
  result.resize(ctx_.num_inputs());
  size_t next = 0;
  for (int i : float_carries_) result[first_ + i] = d.carry[next++];
  for (int i : wanted_outside_) result[first_ + i] = d.carry[next++];
  for (size_t k = 0; k < wanted_scanned_.size(); ++k) {
    result[first_ + wanted_scanned_[k]] = d.ys[k];
  }
  return result;
}

GradResult grad_loop(GradCtx& ctx) { return LoopGradient(ctx).run(); }

// For the metas of what no iteration gives: the body runs once on zeros, and writes no States.
class DiscardingWrites final : public StateHook {
 public:
  explicit DiscardingWrites(StateHook* outer) : outer_(outer) {}
  Tensor read_state(State& s) override {
    for (const auto& [state, value] : written_) {
      if (state == &s) return value;
    }
    ScopedValue<StateHook*> direct(call_modes().states, outer_);
    return s.read();
  }
  void write_state(State& s, const Tensor& value) override {
    written_.insert(written_.begin(), {&s, value});
  }

 private:
  StateHook* outer_;
  std::vector<std::pair<State*, Tensor>> written_;
};

// The pieces of x along its first dimension.
std::vector<Tensor> slices(const Tensor& x) {
  std::vector<Tensor> parts = x.dim(0) == 1 ? std::vector{x} : split(x, x.dim(0), 0);
  Shape shape;
  for (int d = 1; d < x.rank(); ++d) shape.push_back(x.dim(d));
  for (Tensor& p : parts) p = reshape(p, shape);
  return parts;
}

}  // namespace

ScanStep EagerLoop::run(std::vector<Tensor> carry, const std::vector<Tensor>& xs, int64_t stacked,
                        int64_t* iterations) const {
  std::vector<std::vector<Tensor>> parts, made;
  for (const Tensor& x : xs) {
    parts.push_back(x.dim(0) > 0 ? slices(x) : std::vector<Tensor>());
  }
  int64_t i = 0;
  for (; length < 0 || i < length; ++i) {
    if (condition && !predicate(name, condition(carry))) break;
    const auto at = static_cast<size_t>(reverse ? length - 1 - i : i);
    std::vector<Tensor> x;
    for (const std::vector<Tensor>& p : parts) x.push_back(p[at]);
    ScanStep step = body(carry, x);
    check_carries(name, carry, step.carry);
    carry = std::move(step.carry);
    if (i == 0) made.resize(step.ys.size());
    if (step.ys.size() != made.size()) {
      throw_error(ErrorCode::kValue, cat("[", name, "] the body returned ", made.size(),
                                         " outputs, then ", step.ys.size()));
    }
    for (size_t k = 0; k < made.size(); ++k) made[k].push_back(std::move(step.ys[k]));
  }
  *iterations = i;
  ScanStep result{std::move(carry), {}};
  for (size_t k = 0; k < std::max(made.size(), ys.size()); ++k) {
    const TensorMeta meta = k < made.size() ? made[k][0].meta() : ys[k];
    if (k < made.size() && reverse) std::reverse(made[k].begin(), made[k].end());
    Shape shape{stacked - i};
    for (int d = 0; d < meta.rank(); ++d) shape.push_back(meta.dim(d));
    std::vector<Tensor> whole;
    if (k < made.size()) whole.push_back(stack(made[k]));
    if (stacked > i || whole.empty()) whole.push_back(zeros(shape, meta.dtype));
    result.ys.push_back(whole.size() == 1 ? whole[0] : concat(whole));
  }
  return result;
}

std::vector<TensorMeta> EagerLoop::metas_of_ys(const std::vector<Tensor>& carry,
                                               const std::vector<Tensor>& xs) const {
  std::vector<Tensor> x;
  for (const Tensor& t : xs) {
    Shape shape;
    for (int d = 1; d < t.rank(); ++d) shape.push_back(t.dim(d));
    x.push_back(zeros(shape, t.dtype()));
  }
  CallModes& modes = call_modes();
  DiscardingWrites discarding(modes.states);
  ScopedValue<StateHook*> states(modes.states, &discarding);
  ScopedValue<TapeHook*> no_tape(modes.tape, nullptr);
  std::vector<TensorMeta> metas;
  for (const Tensor& y : body(carry, x).ys) metas.push_back(y.meta());
  return metas;
}

namespace {

consteval OpDef loop_op(const char* name, const char* doc) {
  return define({
      .name = name,
      .inputs = {"xs*"},
      .outputs = {"ys*"},
      .attrs = attrs_of<LoopAttrs>(),
      .infer = infer_loop,
      .flops = [](const CallMeta&) { return 0.0; },  // graph::cost_of adds the bodies
      .count_outputs = count_loop,
      .grad = grad_loop,
      .saves = {"xs", "ys"},
      .compose = compose_loop,
      .runs_bodies = true,
      .doc = doc,
  });
}

}  // namespace

constinit const OpDef kScan =
    loop_op("scan", "Runs a body for each slice of its operands, handing a carry on.");
constinit const OpDef kWhileLoop =
    loop_op("while_loop", "Runs a body while a condition on its carry holds.");

}  // namespace rutile::ops
