// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/bitcast.h"

namespace rutile::ops {
namespace {

Status infer_bitcast(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const DType to = c.as<BitcastAttrs>().dtype;
  const auto from_size = static_cast<int64_t>(dtype_size(x.dtype));
  const auto to_size = static_cast<int64_t>(dtype_size(to));
  Shape shape = x.shape;
  if (from_size != to_size) {
    if (shape.rank() == 0) {
      return value_error(cat("expects a type of ", from_size, " bytes for one ", x.dtype, ", got ",
                             to, " of ", to_size));
    }
    int64_t bytes = 0;
    RUTILE_RETURN_IF_ERROR(checked_numel({shape.back(), from_size}, &bytes));
    if (bytes % to_size != 0) {
      return value_error(cat("expects a last dimension whose bytes are a multiple of ", to_size,
                             " for ", to, ", got ", shape.back(), " times ", from_size));
    }
    shape[shape.rank() - 1] = bytes / to_size;
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, to, x.device);
  return Status();
}

}  // namespace

constinit const OpDef kBitcast = define({.name = "bitcast",
                                         .inputs = {"x"},
                                         .attrs = attrs_of<BitcastAttrs>(),
                                         .infer = infer_bitcast,
                                         .no_grad = "bits have no slope",
                                         .doc = "The bits of x read as another dtype."});
Tensor bitcast(Arg x, DType dtype) {
  const BitcastAttrs a{dtype};
  return call1(kBitcast, &a, {x.tensor}, x.where);
}

}  // namespace rutile::ops
