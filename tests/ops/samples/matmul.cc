// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/matmul.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using ops::MatmulAttrs;

MatmulAttrs transposed(bool a, bool b) {
  MatmulAttrs m;
  m.transpose_a = a;
  m.transpose_b = b;
  return m;
}

MatmulAttrs giving(DType t) {
  MatmulAttrs m;
  m.out_dtype = t;
  return m;
}

void matmul_shapes(SampleList& s) {
  s.add({in({3, 4}), in({4, 5})}).dtypes(kNumbers);
  s.add({in({4, 3}), in({4, 5})}, transposed(true, false)).dtypes(kNumbers);
  s.add({in({3, 4}), in({5, 4})}, transposed(false, true)).dtypes(kFloats);
  s.add({in({4, 3}), in({5, 4})}, transposed(true, true)).dtypes(kFloats);
  s.add({in({1, 1}), in({1, 1})}).dtypes(kFloats).name("one element");
  s.add({in({1, 7}), in({7, 1})}).dtypes(kFloats).name("row times column");
  s.add({in({7, 1}), in({1, 6})}).dtypes(kFloats).name("outer product");
  s.add({in({5}), in({5})}).dtypes(kNumbers).name("dot");
  s.add({in({5}), in({5, 3})}).dtypes(kFloats).name("vector times matrix");
  s.add({in({3, 5}), in({5})}).dtypes(kFloats).name("matrix times vector");
  s.add({in({5}), in({2, 3, 5, 4})}).dtypes(kFloats).name("vector times batch");
  s.add({in({2, 3, 4, 5}), in({5})}).dtypes(kFloats).name("batch times vector");
  s.add({in({5, 3}), in({5})}, transposed(true, false)).name("transposed times vector");
  s.add({in({5}), in({3, 5})}, transposed(false, true)).name("vector times transposed");
  s.add({in({37, 129}), in({129, 65})}).dtypes(kFloats).tolerance(DType::kF32, 1e-4);
  s.add({in({257, 64}), in({64, 96})})
      .dtypes({DType::kF32, DType::kBF16})
      .no_gradient("a large one for kernels; small ones check the gradient");
}

void matmul_batches(SampleList& s) {
  s.add({in({2, 3, 4}), in({2, 4, 5})}).dtypes(kFloats);
  s.add({in({2, 3, 4}), in({4, 5})}).dtypes(kFloats).name("one right matrix");
  s.add({in({3, 4}), in({2, 4, 5})}).dtypes(kFloats).name("one left matrix");
  s.add({in({2, 4, 3}), in({4, 5})}, transposed(true, false)).dtypes(kFloats);
  s.add({in({2, 3, 4}), in({5, 4})}, transposed(false, true)).dtypes(kFloats);
  s.add({in({6, 1, 3, 4}), in({5, 4, 2})}).dtypes(kNumbers).name("broadcast both");
  s.add({in({2, 1, 3, 4}), in({1, 5, 2, 4})}, transposed(false, true)).dtypes(kFloats);
  s.add({in({2, 3, 1, 4}), in({2, 3, 4, 1})}).dtypes(kFloats).name("rows of one");
  s.add({in({2, 2, 1, 2, 3, 4}), in({2, 4, 3})}).name("rank 6");
}

void matmul_memory(SampleList& s) {
  s.add({in({6, 4}).transposed(), in({4, 5})}).dtypes(kFloats).name("transposed view");
  s.add({in({3, 4}), in({4, 6}).transposed()}).dtypes(kFloats).name("transposed right view");
  s.add({in({2, 3, 4}).transposed(), in({2, 4, 6}).transposed()}).dtypes(kFloats);
  s.add({in({3, 4}).gaps(), in({4, 5}).gaps()}).dtypes(kFloats).name("gaps");
  s.add({in({3, 4}).expanded(), in({4, 5})}).dtypes(kFloats).name("expanded rows");
  s.add({in({4, 3, 5}).expanded(), in({4, 5, 2}).expanded()}).dtypes(kFloats).name("expanded");
  s.add({in({5}).gaps(), in({5}).expanded()}).dtypes(kFloats).name("vectors with steps");
}

void matmul_empty(SampleList& s) {
  s.add({in({0, 4}), in({4, 5})}).dtypes(kFloats).name("no rows");
  s.add({in({3, 4}), in({4, 0})}).dtypes(kFloats).name("no columns");
  s.add({in({3, 0}), in({0, 5})}).dtypes(kNumbers).name("no products");
  s.add({in({0}), in({0})}).dtypes(kFloats).name("empty dot");
  s.add({in({0, 3, 4}), in({4, 5})}).dtypes(kFloats).name("no batch");
  s.add({in({2, 3, 0}), in({0, 5})}).dtypes(kFloats).name("batch of no products");
}

}  // namespace

RUTILE_SAMPLES(matmul) {
  matmul_shapes(s);
  matmul_batches(s);
  matmul_memory(s);
  matmul_empty(s);
  for (const DType t : {DType::kBF16, DType::kF16}) {
    s.add({in({9, 33}).as(t), in({33, 6}).as(t)}, giving(DType::kF32)).name("f32 result");
    s.add({in({9, 33}).as(t).transposed(), in({33, 6}).as(DType::kF32)}).name("promotes");
  }
  s.add({in({2, 3}).as(DType::kF32), in({3, 2}).as(DType::kF64)}).name("promotes to f64");
  s.add({in({2, 3}).as(DType::kI32), in({3, 2}).as(DType::kF32)}).name("integer and float");
  s.add({in({5, 7}), in({7, 3})}).dtypes(kComplexes);
  s.add({in({2, 1, 5, 7}), in({3, 4, 7})}, MatmulAttrs{.transpose_b = true})
      .dtypes({DType::kC64})
      .name("batches");
  s.add({in({7, 5}), in({7})}, MatmulAttrs{.transpose_a = true}).dtypes({DType::kC64});
  s.add({in({4, 5}).gaps(), in({5, 3}).transposed()}).dtypes({DType::kC64});
  s.add({in({2, 0}), in({0, 3})}).dtypes({DType::kC64});
  s.error({in({}), in({2})}, ErrorCode::kValue, "scalar");
  s.error({in({3, 4}), in({3, 4})}, ErrorCode::kValue, "inner sizes differ: 4 and 3");
  s.error({in({2, 3, 4}), in({3, 4, 5})}, ErrorCode::kValue, "broadcast");
  s.error({in({4}), in({4, 2})}, transposed(true, false), ErrorCode::kValue, "1-D");
  s.error({in({4}), in({5})}, ErrorCode::kValue, "inner sizes");
  s.error({bool_in({2, 2}), bool_in({2, 2})}, ErrorCode::kType, "expects numbers");
  s.error({in({2, 2}), in({2, 2})}, giving(DType::kI32), ErrorCode::kType, "cannot give i32");
}

RUTILE_SAMPLES(linear) {
  s.add({in({3, 4}), in({5, 4}), in({5})}).dtypes(kNumbers);
  s.add({in({3, 4}), in({5, 4})}).dtypes(kFloats).name("without bias");
  s.add({in({4}), in({5, 4}), in({5})}).dtypes(kFloats).name("one vector");
  s.add({in({2, 3, 4}), in({5, 4}), in({5})}).dtypes(kFloats).name("rank 3");
  s.add({in({2, 3, 2, 4}), in({1, 4}), in({1})}).dtypes(kFloats).name("one feature");
  s.add({in({6, 1}), in({7, 1}), in({7})}).dtypes(kFloats).name("from one feature");
  s.add({in({33, 100}), in({65, 100}), in({65})}).dtypes(kFloats).tolerance(DType::kF32, 1e-4);
  s.add({in({4, 6}).transposed(), in({5, 6}).transposed(), in({5}).gaps()}).dtypes(kFloats);
  s.add({in({2, 6, 4}).transposed(), in({5, 4}).gaps(), in({5})}).dtypes(kFloats);
  s.add({in({0, 4}), in({5, 4}), in({5})}).dtypes(kFloats).name("no rows");
  s.add({in({3, 0}), in({5, 0}), in({5})}).dtypes(kFloats).name("no features");
  s.add({in({3, 4}), in({0, 4}), in({0})}).dtypes(kFloats).name("nothing out");
  s.add({in({3, 4}).as(DType::kBF16), in({5, 4}), in({5})}).name("promotes");
  s.error({in({}), in({2, 2})}, ErrorCode::kValue, "scalar");
  s.error({in({3, 4}), in({4})}, ErrorCode::kValue, "weight expects shape [out, in]");
  s.error({in({3, 4}), in({5, 3})}, ErrorCode::kValue, "weight expects 3 input features, got 4");
  s.error({in({3, 4}), in({5, 4}), in({4})}, ErrorCode::kValue, "bias expects shape [5]");
  s.error({bool_in({3, 4}), bool_in({5, 4})}, ErrorCode::kType, "expects numbers");
}

}  // namespace rutile::samples
