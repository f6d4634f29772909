// SPDX-License-Identifier: Apache-2.0
// Shape inference that ops with a key of the generator share. Private to ops/.
#pragma once

#include "rutile/ops/op_def.h"

namespace rutile::ops {

inline Status check_key(const TensorMeta& key) {
  if (key.dtype != DType::kU64) return type_error(cat("key expects u64, got ", key.dtype));
  if (key.numel() != 1) return value_error(cat("key expects one element, got ", key.shape));
  return Status();
}

// What the generating ops share: an output of the attributes' shape and dtype.
template <class A>
Status infer_drawn(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<A>();
  RUTILE_RETURN_IF_ERROR(check_key(c.in(0)));
  int64_t n = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.shape, &n));
  *out = TensorMeta(a.shape, a.dtype, c.in(0).device);
  return Status();
}
template <class A>
Status infer_drawn_float(const CallMeta& c, TensorMeta* out) {
  const DType t = c.as<A>().dtype;
  if (!is_floating(t)) return type_error(cat("gives floats, dtype is ", t));
  return infer_drawn<A>(c, out);
}

}  // namespace rutile::ops
