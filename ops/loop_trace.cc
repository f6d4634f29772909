// SPDX-License-Identifier: Apache-2.0
// Loops in a trace: a body is traced once as it is written, then once more as the op runs it: its
// operands are the carries, the States it writes, slices, and what it reads from outside; its
// results end with the carries it got, which backward needs. What nobody needs is dropped later.
#include <algorithm>

#include "rutile/ops/body.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/loop.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {

namespace {

class LoopTrace {
 public:
  LoopTrace(const OpDef& op, const std::vector<Tensor>& init, const std::vector<Tensor>& xs)
      : op_(op), carries_(plain(init)), xs_(plain(xs)) {}
  ScanStep run(const Condition& condition, const ScanBody& body, const Tensor& count, ScanOptions o,
               std::source_location where);

 private:
  void trace_condition(const Condition& condition);
  void trace_as_written(const ScanBody& body);
  void gather_operands();
  // The operands of an iteration, taken apart.
  struct Iteration {
    std::vector<Tensor> given;  // carries of the user, slices
    Inside inside;
  };
  Iteration iteration(const std::vector<Tensor>& operands, bool with_slices) const;
  bool keeps_carries(int64_t length) const;

  const OpDef& op_;
  std::vector<Tensor> carries_, xs_;
  std::vector<TensorMeta> slices_;
  size_t ys_ = 0;  // of the body
  TracedBody condition_, body_;
  Outside outside_;
  std::vector<size_t> carried_, read_;  // States, by their number in outside_
  std::vector<Tensor> rest_;            // operands behind carries and slices
};

void LoopTrace::trace_condition(const Condition& condition) {
  std::vector<TensorMeta> metas;
  for (const Tensor& t : carries_) metas.push_back(t.meta());
  condition_ = call_modes().trace->trace_body(
      [&](const std::vector<Tensor>& carry) {
        const Tensor holds = condition(carry);
        check_predicate(op_.name, holds.meta());
        return std::vector{holds};
      },
      metas);
  for (const TracedBody::StateUse& use : condition_.states) {
    if (!use.written) continue;
    throw_error(ErrorCode::kValue, cat("[", op_.name, "] the condition writes state ",
                                       use.state->name(), "; write it in the body"));
  }
  outside_.add(condition_);
}

void LoopTrace::trace_as_written(const ScanBody& body) {
  std::vector<TensorMeta> metas;
  for (const Tensor& t : carries_) metas.push_back(t.meta());
  for (const Tensor& x : xs_) {
    Shape shape;
    for (int d = 1; d < x.rank(); ++d) shape.push_back(x.dim(d));
    slices_.emplace_back(shape, x.dtype(), x.device());
    metas.push_back(slices_.back());
  }
  body_ = call_modes().trace->trace_body(
      [&](const std::vector<Tensor>& given) {
        const auto middle = given.begin() + static_cast<int64_t>(carries_.size());
        ScanStep step = body({given.begin(), middle}, {middle, given.end()});
        check_carries(op_.name, carries_, step.carry);
        ys_ = step.ys.size();
        std::vector<Tensor> results = std::move(step.carry);
        results.insert(results.end(), step.ys.begin(), step.ys.end());
        return results;
      },
      metas);
  outside_.add(body_);
}

void LoopTrace::gather_operands() {
  for (const Tensor& t : outside_.captured) rest_.push_back(plain(t));
  for (size_t i = 0; i < outside_.states.size(); ++i) {
    const TracedBody::StateUse& use = outside_.states[i];
    const Tensor value = plain(use.state->read());
    if (use.written) {
      carried_.push_back(i);
      carries_.push_back(value);
    } else {
      read_.push_back(i);
      rest_.push_back(value);
    }
  }
}

LoopTrace::Iteration LoopTrace::iteration(const std::vector<Tensor>& operands,
                                          bool with_slices) const {
  Iteration it;
  const size_t user = carries_.size() - carried_.size();
  auto at = [&](size_t i) { return operands.begin() + static_cast<int64_t>(i); };
  it.given.assign(at(0), at(user));
  it.inside.states.resize(outside_.states.size());
  for (size_t k = 0; k < carried_.size(); ++k) it.inside.states[carried_[k]] = *at(user + k);
  size_t next = carries_.size();
  if (with_slices) {
    it.given.insert(it.given.end(), at(next), at(next + slices_.size()));
    next += slices_.size();
  }
  it.inside.captured.assign(at(next), at(next + outside_.captured.size()));
  next += outside_.captured.size();
  for (size_t i : read_) it.inside.states[i] = *at(next++);
  return it;
}

// Carries are kept for a gradient that may come; dce drops them where none does. A bound that is no
// more than a fuse is not worth the room.
bool LoopTrace::keeps_carries(int64_t length) const {
  constexpr double kMostBytes = 1e12;
  double bytes = 0;
  for (const Tensor& t : carries_) bytes += static_cast<double>(t.meta().nbytes());
  return length >= 0 && bytes * static_cast<double>(length) <= kMostBytes &&
         length <= int64_t{1} << 40;
}

ScanStep LoopTrace::run(const Condition& condition, const ScanBody& body, const Tensor& count,
                        ScanOptions o, std::source_location where) {
  if (condition) trace_condition(condition);
  trace_as_written(body);
  const size_t user = carries_.size();
  gather_operands();
  const bool saves = keeps_carries(o.length);
  std::vector<TensorMeta> metas;
  for (const Tensor& t : carries_) metas.push_back(t.meta());
  metas.insert(metas.end(), slices_.begin(), slices_.end());
  for (const Tensor& t : rest_) metas.push_back(t.meta());
  LoopAttrs attrs;
  attrs.body = closed_body(
      [&](const std::vector<Tensor>& operands) {
        Iteration it = iteration(operands, true);
        std::vector<Tensor> results = run_body(body_, outside_, &it.inside, it.given);
        std::vector<Tensor> all(results.begin(), results.begin() + static_cast<int64_t>(user));
        for (size_t i : carried_) all.push_back(it.inside.states[i]);
        all.insert(all.end(), results.begin() + static_cast<int64_t>(user), results.end());
        for (size_t i = 0; saves && i < carries_.size(); ++i) all.push_back(operands[i]);
        return all;
      },
      metas);
  if (condition) {
    // A while_loop has no slices: both take the same operands.
    attrs.condition = closed_body(
        [&](const std::vector<Tensor>& operands) {
          Iteration it = iteration(operands, false);
          return run_body(condition_, outside_, &it.inside, it.given);
        },
        metas);
  }
  attrs.carries = static_cast<int64_t>(carries_.size());
  attrs.scanned = static_cast<int64_t>(xs_.size());
  attrs.saved = saves ? attrs.carries : 0;
  attrs.length = o.length;
  attrs.reverse = o.reverse;
  attrs.counted = count.defined();
  std::vector<Tensor> operands;
  if (count.defined()) operands.push_back(count);
  for (const std::vector<Tensor>* part : {&carries_, &xs_, &rest_}) {
    operands.insert(operands.end(), part->begin(), part->end());
  }
  const TensorList out = call_n(op_, &attrs, operands, where);
  for (size_t k = 0; k < carried_.size(); ++k) {
    outside_.states[carried_[k]].state->write(out[static_cast<int>(user + k)]);
  }
  ScanStep done;
  for (size_t i = 0; i < user; ++i) done.carry.push_back(out[static_cast<int>(i)]);
  for (size_t i = 0; i < ys_; ++i) done.ys.push_back(out[static_cast<int>(carries_.size() + i)]);
  return done;
}

int64_t common_length(const std::vector<Tensor>& xs, const ScanOptions& o) {
  int64_t length = o.length;
  for (size_t i = 0; i < xs.size(); ++i) {
    if (xs[i].rank() == 0) {
      throw_error(ErrorCode::kValue,
                  cat("[scan] runs along the first dimension of each of xs, but ", "xs[", i,
                      "] is ", xs[i].meta()));
    }
    if (length < 0) length = xs[i].dim(0);
    if (xs[i].dim(0) != length) {
      throw_error(ErrorCode::kValue,
                  cat("[scan] runs ", length, " iterations, but xs[", i, "] is ", xs[i].meta()));
    }
  }
  if (length < 0) throw_error(ErrorCode::kValue, "[scan] needs xs or a length");
  return length;
}

}  // namespace

ScanStep counted_scan(const ScanBody& body, const std::vector<Tensor>& init,
                      const std::vector<Tensor>& xs, const Tensor& count, ScanOptions o,
                      std::source_location where) {
  if (call_modes().trace) return LoopTrace(kScan, init, xs).run({}, body, count, o, where);
  const int64_t stacked = o.length;
  if (count.defined()) o.length = std::clamp<int64_t>(count.item<int64_t>(), 0, o.length);
  EagerLoop loop{"scan", {}, body, o.length, o.reverse, {}};
  if (o.length == 0) loop.ys = loop.metas_of_ys(init, xs);
  int64_t iterations = 0;
  return loop.run(init, xs, stacked, &iterations);
}

ScanStep scan(const ScanBody& body, const std::vector<Tensor>& init, const std::vector<Tensor>& xs,
              ScanOptions o, std::source_location where) {
  o.length = common_length(xs, o);
  return counted_scan(body, init, xs, {}, o, where);
}

std::vector<Tensor> while_loop(const Condition& condition, const Body& body,
                               const std::vector<Tensor>& init, WhileOptions o,
                               std::source_location where) {
  if (o.max_iterations < 0) {
    throw_error(ErrorCode::kValue, cat("[while_loop] max_iterations is ", o.max_iterations));
  }
  const int64_t length = o.max_iterations > 0 ? o.max_iterations : -1;
  const ScanBody step = [&](const std::vector<Tensor>& carry, const std::vector<Tensor>&) {
    return ScanStep{body(carry), {}};
  };
  if (call_modes().trace) {
    return LoopTrace(kWhileLoop, init, {})
        .run(condition, step, {}, {.length = length}, where)
        .carry;
  }
  int64_t iterations = 0;
  return EagerLoop{"while_loop", condition, step, length, false, {}}
      .run(init, {}, 0, &iterations)
      .carry;
}

namespace {

// It counts where the body computes.
Tensor first_number(int64_t lower, const std::vector<Tensor>& init) {
  if (init.empty() || !init.front().defined() || init.front().device() == kCpu) {
    return Tensor::scalar(lower, DType::kI64);
  }
  const DeviceScope there(init.front().device());
  return full({}, lower, DType::kI64);
}

}  // namespace

std::vector<Tensor> fori_loop(int64_t lower, int64_t upper, const ForBody& body,
                              const std::vector<Tensor>& init, std::source_location where) {
  std::vector<Tensor> carry{first_number(lower, init)};
  carry.insert(carry.end(), init.begin(), init.end());
  const ScanBody step = [&](const std::vector<Tensor>& c, const std::vector<Tensor>&) {
    ScanStep next;
    next.carry = body(c[0], {c.begin() + 1, c.end()});
    check_carries("fori_loop", std::span(c).subspan(1), next.carry);
    next.carry.insert(next.carry.begin(), c[0] + 1);
    return next;
  };
  const int64_t length = std::max<int64_t>(upper - lower, 0);
  std::vector<Tensor> done = scan(step, carry, {}, {.length = length}, where).carry;
  done.erase(done.begin());
  return done;
}

}  // namespace rutile::ops
