// SPDX-License-Identifier: Apache-2.0
// Samples of fused elementwise programs.
#include "rutile/ops/fused.h"

#include <array>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using rutile::ops::FusedElementwiseAttrs;

constexpr ErrorCode kValue = ErrorCode::kValue, kIndex = ErrorCode::kIndex;

FusedElementwiseAttrs program(const char* text) { return {text}; }

// With reductions: of every kind and over every axis, whose result is written, or read again.
void add_reductions(SampleList& s) {
  const auto ends = program(
      "2: mul %0 %1; sum %2 axes=[0]; mean %2 axes=[1] keepdims=true; max %2; sum %2 -> "
      "%3 %4 %2 %5 %6");
  for (const Shape& x : {Shape{7, 5}, Shape{40, 300}, Shape{3, 2000}, Shape{2000, 3}}) {
    s.add({in(x), in({x[1]})}, ends)
        .dtypes(kFloats)
        .tolerance(DType::kBF16, 5e-2)
        .tolerance(DType::kF16, 2e-2)
        .no_gradient("types that must not change");
  }
  s.add({in({7, 5}), in({5})}, program("2: mul %0 %1; sum_to_shape %2 shape=[5]; min %2 -> %3 %4"));
  // Layer norm and softmax as formulas: what a row comes to is read by its elements.
  const auto norm = program(
      "3: mean %0 axes=[-1] keepdims=true; sub %0 %3; square %4; mean %5 axes=[-1] keepdims=true; "
      "rsqrt %6; mul %4 %7; mul %8 %1; add %9 %2; sum %8 axes=[0] -> %10 %7 %11");
  const auto soft = program(
      "1: max %0 axes=[-1] keepdims=true; sub %0 %1; exp %2; sum %3 axes=[-1] keepdims=true; "
      "div %3 %4 -> %5");
  for (const Shape& x : {Shape{7, 6}, Shape{50, 40}, Shape{9, 300}, Shape{3, 1500}}) {
    s.add({in(x), in({x[1]}), in({x[1]})}, norm)
        .dtypes({DType::kF32, DType::kF64})
        .no_gradient("an output that is a formula's middle");
    s.add({in(x)}, soft).dtypes({DType::kF32, DType::kF64});
  }
  s.add({in({2, 5, 4, 6}), in({6}), in({2, 1, 4, 6})}, norm).no_gradient("a long formula");
  // Channels: kept in the middle of memory, and last.
  const auto channels = program(
      "2: add %0 %1; relu %2; sum %3 axes=[0,2,3]; sum %3 axes=[2,3]; sum_to_shape %2 "
      "shape=[1,1,1,1] -> %3 %4 %5 %6");
  s.add({in({3, 37, 5, 4}), in({37, 1, 1})}, channels).no_gradient("a kink");
  s.add({in({3, 16, 5, 4}).channels_last(), in({16, 1, 1})}, channels).no_gradient("a kink");
  s.add({in({2, 32, 20, 20}), in({32, 1, 1})}, channels).no_gradient("a kink");
  s.add({in({70, 130}).transposed(), in({130})},
        program("2: mul %0 %1; sum %2 axes=[0]; sum %2 axes=[1] -> %2 %3 %4"));
  // Integers and bool.
  s.add({in({30, 50}).as(DType::kI32).ints(-5, 5), in({30, 50})},
        program(
            "2: sum %0 axes=[0]; max %0 axes=[1]; mean %0; greater %1 %1; sum %5 -> %2 %3 %4 %6"))
      .no_gradient("integers");
  // The rows of one element; a single row; rows that are read and are an output.
  s.add({in({6, 1, 4}), in({6, 1, 4})},
        program("2: mul %0 %1; sum %2 axes=[2] keepdims=true; sub %2 %3 -> %4 %3"));
  s.add({in({300})}, program("1: sum %0 keepdims=true; div %0 %1 -> %2"));
  s.add({in({20, 30}), in({20, 1}), in({1})},
        program("3: sum %0 axes=[1] keepdims=true; greater %3 %2; where %4 %3 %1; add %5 %2; mul "
                "%0 %6 -> %7 %6"));
}

RUTILE_SAMPLES(fused_elementwise) {
  const auto chain = program("3: mul %0 %1; add %3 %2; tanh %4; square %5; sub %6 %0 -> %7");
  // Broadcasting in each way that the kernel knows: scalar, row, column, channels, middle.
  for (const auto& [a, b] : std::vector<std::array<Shape, 2>>{{Shape{7, 5}, Shape{7, 5}},
                                                              {Shape{}, Shape{}},
                                                              {Shape{5}, Shape{}},
                                                              {Shape{5}, Shape{7, 1}},
                                                              {Shape{1, 5}, Shape{1}}}) {
    s.add({in({7, 5}), in(a), in(b)}, chain).dtypes(kFloats).tolerance(DType::kF16, 8e-3);
  }
  s.add({in({2, 37, 5, 3}), in({37, 1, 1}), in({1, 37, 1, 1})}, chain);
  s.add({in({2, 6, 5, 3}).channels_last(), in({6, 1, 1}), in({2, 6, 5, 3}).channels_last()}, chain);
  s.add({in({2, 32, 4, 4}), in({32, 1, 1}), in({})}, chain).name("blocked without padding");
  s.add({in({4, 6}).transposed(), in({4, 6}).gaps(), in({4, 6}).expanded()}, chain);
  s.add({in({0, 5}), in({5}), in({})}, chain);
  for (const auto& [x, a, b] :
       std::vector<std::array<Shape, 3>>{{Shape{40, 1000}, Shape{1000}, Shape{40, 1}},
                                         {Shape{3000, 24}, Shape{24}, Shape{3000, 1}},
                                         {Shape{3, 40, 7, 7}, Shape{40, 1, 1}, Shape{3, 1, 7, 7}},
                                         {Shape{2, 64, 30, 30}, Shape{64, 1, 1}, Shape{}}}) {
    s.add({in(x), in(a), in(b)}, chain)
        .dtypes(kFloats)
        .name("long")
        .no_gradient("a long run for kernels");
  }
  s.add({in({2, 64, 9, 9}).channels_last(), in({64, 1, 1}), in({})}, chain)
      .name("long")
      .no_gradient("a long run for kernels");
  s.add({in({70, 130}).transposed(), in({70, 130}), in({130})}, chain)
      .name("long")
      .no_gradient("a long run for kernels");

  // Several outputs, one of them in the middle, one an input.
  s.add({in({3, 50}), in({50})}, program("2: add %0 %1; exp %2; mul %3 %2 -> %2 %4"));
  s.add({in({3, 50}), in({3, 50})}, program("2: add %0 %1; mul %2 %0; mul %2 %1 -> %2 %3 %4"));
  s.add({in({3, 50}), in({3, 50})}, program("2: mul %0 %1 -> %2 %2 %0"));
  // Nothing depends on the large input but the shape.
  s.add({in({3, 50}).expanded(), in({})}, program("2: add %0 %1; neg %2 -> %3"));
  s.add({in({}), in({})}, program("2: add %0 %1; exp %2; mul %3 %1 -> %4"));
  // Single values by themselves, and where only tiles will do.
  s.add({in({300}), in({}), in({})}, program("3: sub %1 %2; gelu_grad %3 %0 -> %4"));
  s.add({in({300}), in({}), in({})}, program("3: less %1 %2; where %3 %0 %1 -> %4"));
  s.add({in({20, 30}), in({20, 1}), in({30})},
        program("3: less %1 %2; where %3 %0 %1; less_equal %4 %0 -> %4 %5"))
      .dtypes(kFloats);
  // Conversions.
  s.add({in({3, 50}).as(DType::kBF16), in({50})},
        program("2: cast %0; mul %2 %1; cast %3 dtype=bf16; cast %4; exp %5; cast %6 dtype=bf16 -> "
                "%7 %3"))
      .tolerance(DType::kBF16, 3e-2)
      .no_gradient("types that must not change");
  s.add({in({3, 50}).as(DType::kI32).ints(0, 5), in({50})},
        program("2: cast %0; mul %2 %1; cast %3 dtype=i64; greater %4 %4; cast %5 dtype=f64 -> "
                "%4 %6"))
      .no_gradient("integers between");
  s.add({in({3, 50}).as(DType::kI32).ints(0, 5), bool_in({50})},
        program("2: exp %0; logical_not %2; logical_and %3 %1; bitwise_xor %4 %1 -> %5 %2"))
      .no_gradient("integers and bool");
  s.add({in({3, 50}), in({50})}, program("2: add %0 %1 -> %2")).dtypes(kEveryType);
  // Attributes.
  s.add({in({3, 50}).away_from({0, 0.5})},
        program("1: leaky_relu %0 alpha=0.2; clip %1 min=-0.1 max=0.5; gelu %2 approximate=tanh; "
                "elu %3 alpha=0.5 -> %4"))
      .dtypes(kFloats);

  s.error({in({3})}, program("nonsense"), kValue, "program");
  s.error({in({3})}, program("1: add %0 %1 -> %1"), kValue, "number below");
  s.error({in({3})}, program("1: relu %0 -> %2"), kValue, "number below");
  s.error({in({3})}, program("1: relu %0 alpha=1 -> %1"), kValue, "attribute");
  s.error({in({3})}, program("1: no_such_op %0 -> %1"), kValue, "no op");
  s.error({in({3})}, program("1: cumsum %0 -> %1"), kValue, "elementwise");
  s.error({in({3})}, program("1: sum %0 axes=[2] -> %1"), kIndex, "axis");
  s.error({in({3})}, program("1: add %0 -> %1"), kValue, "expects 2 inputs");
  s.error({in({3})}, program("2: add %0 %1 -> %2"), kValue, "expects 2 inputs");
  s.error({in({3})}, program("1: relu %0 ->"), kValue, "output");
  s.error({in({3})}, program("99: relu %0 -> %1"), kValue, "number below");
  s.error({in({3}), in({4})}, program("2: add %0 %1 -> %2"), kValue, "broadcast");
  add_reductions(s);
}

}  // namespace
}  // namespace rutile::samples
