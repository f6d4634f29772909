// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/control.h"

#include "rutile/graph/ir/body.h"
#include "rutile/graph/trace/tracer.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

RUTILE_SAMPLES(stop_gradient) {
  s.unary(kEveryType);
  s.error({}, ErrorCode::kValue, "expects 1 inputs, got 0");
}

// The op as ops::recompute() makes it: a body and what it gives.
RUTILE_SAMPLES(recompute) {
  const auto body = make_ref<Region>([](const std::vector<Tensor>& x) {
    return std::vector<Tensor>{ops::mul(x[0], x[1]), ops::exp(x[0])};
  });
  body->results = {TensorMeta({2, 3}, DType::kF64), TensorMeta({2, 3}, DType::kF64)};
  s.add({in({2, 3}).as(DType::kF64), in({2, 3}).as(DType::kF64)}, ops::RecomputeAttrs{body});
  s.error({in({2, 3})}, ErrorCode::kValue, "no valid number of outputs");
}

using Tensors = std::vector<Tensor>;

Ref<Region> body_of(const graph::Function& fn, const std::vector<TensorMeta>& operands) {
  return graph::make_body(std::move(*graph::trace(fn, operands)));
}

RUTILE_SAMPLES(cond) {
  const std::vector<TensorMeta> metas{TensorMeta({2, 3}, DType::kF64),
                                      TensorMeta({3}, DType::kF64)};
  const auto product = [](const Tensors& x) { return Tensors{ops::mul(x[0], x[1]), x[1]}; };
  const auto sum = [](const Tensors& x) { return Tensors{ops::add(x[0], x[1]), ops::exp(x[1])}; };
  const ops::CondAttrs both{body_of(product, metas), body_of(sum, metas)};
  for (const double holds : {0.0, 1.0}) {
    s.add({bool_in({}).values({holds}), in({2, 3}).as(DType::kF64), in({3}).as(DType::kF64)}, both);
  }
  s.error({bool_in({})}, ErrorCode::kValue, "no valid number of outputs");
  s.error({bool_in({2}), in({2, 3}).as(DType::kF64), in({3}).as(DType::kF64)}, both,
          ErrorCode::kValue, "the predicate is one bool");
  s.error({bool_in({}), in({2, 3}).as(DType::kF64)}, both, ErrorCode::kValue, "takes 2 operands");
  const auto other = [](const Tensors& x) { return Tensors{x[1], x[1]}; };
  s.error({bool_in({}), in({2, 3}).as(DType::kF64), in({3}).as(DType::kF64)},
          ops::CondAttrs{body_of(product, metas), body_of(other, metas)}, ErrorCode::kValue,
          "result 0 is f64[2,3]@cpu where the predicate holds");
}

// A carry, slices and an operand from outside; the carries come along for backward.
ops::LoopAttrs running_product(int64_t length) {
  const TensorMeta row({3}, DType::kF64);
  ops::LoopAttrs a;
  a.body = body_of(
      [](const Tensors& x) {
        const Tensor next = ops::tanh(ops::add(ops::mul(x[0], x[2]), x[1]));
        return Tensors{next, ops::mul(next, x[1]), x[0]};
      },
      {row, row, row});
  a.carries = a.scanned = a.saved = 1;
  a.length = length;
  return a;
}

RUTILE_SAMPLES(scan) {
  const auto row = in({3}).as(DType::kF64);
  for (const int64_t length : {4, 1, 0}) {
    for (const bool reverse : {false, true}) {
      ops::LoopAttrs a = running_product(length);
      a.reverse = reverse;
      s.add({row, in({length, 3}).as(DType::kF64), row}, a);
    }
  }
  ops::LoopAttrs counted = running_product(4);
  counted.counted = true;
  s.add({in({}).as(DType::kI64).values({2}), row, in({4, 3}).as(DType::kF64), row}, counted);
  s.error({}, ErrorCode::kValue, "no valid number of outputs");
  s.error({row, in({5, 3}).as(DType::kF64), row}, running_product(4), ErrorCode::kValue,
          "operand 1 should be f64[4,3]");
  s.error({row, row}, running_product(4), ErrorCode::kValue, "the body takes 3 operands, got 2");
  ops::LoopAttrs negative = running_product(4);
  negative.length = -1;
  s.error({row, in({4, 3}).as(DType::kF64), row}, negative, ErrorCode::kValue, "");
}

RUTILE_SAMPLES(while_loop) {
  const TensorMeta row({3}, DType::kF64);
  ops::LoopAttrs a;
  a.condition = body_of(
      [](const Tensors& x) {
        return Tensors{ops::less(ops::sum(ops::square(x[0])), Tensor::scalar(40.0, DType::kF64))};
      },
      {row, row});
  a.body = body_of(
      [](const Tensors& x) {
        return Tensors{ops::add(ops::mul(x[0], x[1]), x[1]), x[0]};
      },
      {row, row});
  a.carries = a.saved = 1;
  a.length = 6;
  s.add({in({3}).as(DType::kF64), in({3}).as(DType::kF64).uniform(1.2, 2)}, a);
  s.error({}, ErrorCode::kValue, "no valid number of outputs");
  s.error({in({3}).as(DType::kF64)}, a, ErrorCode::kValue, "the body takes 2 operands, got 1");
}

}  // namespace
}  // namespace rutile::samples
