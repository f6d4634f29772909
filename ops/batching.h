// SPDX-License-Identifier: Apache-2.0
// Batching rules: what an op is of n slices at once. graph::vmap() runs a function by them; where
// an op has none it runs the op's composition, or a loop over the slices.
//
//   // conv2d of n images batches x [n,N,C,H,W] with one weight: the slices become more images.
#pragma once

#include <span>

#include "rutile/ops/call.h"

namespace rutile::ops {

// A call of `op` for n slices. An operand that differs from slice to slice is batched: its first
// dimension counts them. At least one is, but for random numbers.
struct BatchCall {
  const OpDef& op;
  const AnyAttrs& attrs;
  int64_t n = 0;
  std::span<const Tensor> in;       // undefined where absent
  std::span<const bool> batched;    // by operand
  std::span<const TensorMeta> one;  // the results for one slice

  int num() const { return static_cast<int>(in.size()); }
  bool has(int i) const { return i < num() && in[i].defined(); }
  bool is_batched(int i) const { return i < num() && batched[i]; }
  // The shape that a slice of operand i has.
  Shape slice(int i) const;
  int rank(int i) const { return in[i].rank() - (batched[i] ? 1 : 0); }
  // Operand i with the first dimension that counts slices, repeated where it does not differ.
  Tensor spread(int i) const;
  std::vector<Tensor> spread_all() const;
};

// The results, each with the first dimension that counts slices; none where the rule does not take
// this call.
using BatchRule = TensorList (*)(const BatchCall&);
RUTILE_API BatchRule batch_rule(const OpDef& op);  // null: there is none

// The tables of the other files.
struct BatchRow {
  const OpDef* op;
  BatchRule rule;
};
std::span<const BatchRow> index_batch_rules();
std::span<const BatchRow> layer_batch_rules();

// ---- For rules ----------------------------------------------------------------------------------

// n in front of a shape.
Shape batched_shape(int64_t n, const Shape& slice);
Tensor with_shape(const Tensor& t, int64_t n, const Shape& slice);
// [n, a, ...] as [n a, ...].
Tensor folded(const Tensor& t);
// The attributes with one field set.
AnyAttrs with_field(AnyAttrs attrs, std::string_view field, const AttrValue& value);
// Every operand spread, the op called with attributes that already count the new dimension.
TensorList call_spread(const BatchCall& c, const AnyAttrs& attrs);

}  // namespace rutile::ops
