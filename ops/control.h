// SPDX-License-Identifier: Apache-2.0
// Ops that steer: stop_gradient and recompute steer differentiation, cond, while_loop, scan and
// fori_loop what runs. A body is a function of tensors; it may read Parameters and tensors from
// outside, write States and run further bodies. Eagerly bodies run as they are written. In a trace
// each is traced once and becomes one op (ops named cond, while_loop, scan): what it reads from
// outside is an operand, and States that it writes are carried along. Everything has gradients, of
// any order; backward runs the bodies again on the operands and carries that the op keeps.
#pragma once

#include <functional>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/ops/attrs.h"
#include "rutile/ops/call.h"

namespace rutile::ops {

extern const OpDef kStopGradient;
// x itself; no gradient flows through it.
RUTILE_API Tensor stop_gradient(Arg x);

struct RecomputeAttrs {
  Ref<Region> body;
  RUTILE_REFLECT(body)
};
extern const OpDef kRecompute;
// fn(inputs), keeping none of its intermediate results for the gradient: backward runs fn again
// (Chen et al., "Training deep nets with sublinear memory cost", 2016). fn may read Parameters and
// tensors from outside; they get their gradients. The second run sees the States as the first one
// did (the same dropout masks) and writes none of them.
//
//   std::vector<Tensor> y = ops::recompute([&](auto& x) { return std::vector{block(x[0])}; }, {x});
RUTILE_API std::vector<Tensor> recompute(
    const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& fn,
    const std::vector<Tensor>& inputs);

using Body = Region::Function;

struct CondAttrs {
  Ref<Region> then_body, else_body;  // of all operands behind the predicate
  RUTILE_REFLECT(then_body, else_body)
};
extern RUTILE_API const OpDef kCond;
// then_body(operands) where `pred` holds, else else_body(operands): only that one runs. `pred` is
// one bool (Error{kValue} otherwise). In a trace both bodies must return as many tensors, of equal
// shapes and dtypes.
//
//   Tensor y = ops::cond(ops::greater(ops::sum(x), 0.0),
//                        [&](auto&) { return std::vector{x * 2.0}; },
//                        [&](auto&) { return std::vector{x}; })[0];
RUTILE_API std::vector<Tensor> cond(Arg pred, const Body& then_body, const Body& else_body,
                                    const std::vector<Tensor>& operands = {});

struct LoopAttrs {
  Ref<Region> condition, body;  // of an iteration's carries, slices of xs, then the other operands
  int64_t carries = 0, scanned = 0;
  int64_t saved = 0;     // of the body's last results: its carries, kept for backward
  int64_t length = -1;   // most iterations; -1: no limit (while_loop)
  bool reverse = false;  // from the last slice to the first
  bool counted = false;  // the first operand is the number of iterations, i64
  RUTILE_REFLECT(condition, body, carries, scanned, saved, length, reverse, counted)
};
extern RUTILE_API const OpDef kScan;
extern RUTILE_API const OpDef kWhileLoop;

struct ScanStep {
  std::vector<Tensor> carry, ys;
};
using ScanBody =
    std::function<ScanStep(const std::vector<Tensor>& carry, const std::vector<Tensor>& xs)>;
struct ScanOptions {
  int64_t length = -1;   // needed where there are no xs
  bool reverse = false;  // from the last slice to the first; ys stand where their xs stood
};
// carry, y[i] = body(carry, x[i]) for each i along the first dimension of all xs. The carry keeps
// its shapes and dtypes. Returns the last carry and the ys stacked along a new first dimension.
//
//   // Running sums of x [t, n].
//   auto [last, ys] = ops::scan([](auto& c, auto& x) -> ops::ScanStep {
//     const Tensor sum = c[0] + x[0];
//     return {{sum}, {sum}};
//   }, {ops::zeros({n})}, {x});
RUTILE_API ScanStep scan(const ScanBody& body, const std::vector<Tensor>& init,
                         const std::vector<Tensor>& xs, ScanOptions o = {},
                         std::source_location where = std::source_location::current());

struct WhileOptions {
  // Stops after so many iterations. In a trace the gradient needs it: the carries of each iteration
  // are kept in memory for that many. 0: none.
  int64_t max_iterations = 0;
};
using Condition = std::function<Tensor(const std::vector<Tensor>& carry)>;
// carry = body(carry) while condition(carry), one bool, holds. The carry keeps its shapes and
// dtypes. The condition writes no States.
RUTILE_API std::vector<Tensor> while_loop(
    const Condition& condition, const Body& body, const std::vector<Tensor>& init,
    WhileOptions o = {}, std::source_location where = std::source_location::current());

using ForBody = std::function<std::vector<Tensor>(const Tensor& i, const std::vector<Tensor>&)>;
// carry = body(i, carry) for i = lower, ..., upper - 1; i is a 0-d i64 tensor.
RUTILE_API std::vector<Tensor> fori_loop(
    int64_t lower, int64_t upper, const ForBody& body, const std::vector<Tensor>& init,
    std::source_location where = std::source_location::current());

}  // namespace rutile::ops
