// SPDX-License-Identifier: Apache-2.0
// Attention (Vaswani et al., "Attention is all you need", 2017):
//
//   y = softmax(scale * q k^T + mask) v
//
// q [b, h, t, d], k [b, h, s, d], v [b, h, s, e] give y [b, h, t, e]; without the h dimension too.
// One floating dtype; scores, softmax and sums are f32 (f64 for f64). The scores never lie in
// memory as a whole (Dao et al., "FlashAttention", 2022).
//
//   auto y = ops::scaled_dot_product_attention(q, k, v, {.causal = true});
//
// q, k and v may be views of one projection [b, t, 3, h, d]; the result is then in the order
// [b, t, h, e] in memory, so that folding the heads again copies nothing.
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct AttentionAttrs {
  bool causal = false;  // row i sees keys 0 to i only, also where t != s
  double scale = 0;     // 0: 1 / sqrt(d)
  RUTILE_REFLECT(causal, scale)
};
struct AttentionResult {
  Tensor y;
  Tensor lse;  // [b, h, t] f32 (f64): logarithm of the sum of exp(scores) of a row
};

// mask, broadcast to [b, h, t, s]: bool (true: the key takes part), or q's dtype or f32, added to
// the scores; may be empty. A row without any key gives y = 0 and lse = -inf. kValue for shapes
// that do not fit, d = 0 or a scale that is not finite; kType for dtypes.
extern RUTILE_API const OpDef kAttention;
RUTILE_API Tensor scaled_dot_product_attention(Arg q, const Tensor& k, const Tensor& v,
                                               AttentionAttrs attrs = {});
RUTILE_API Tensor scaled_dot_product_attention(Arg q, const Tensor& k, const Tensor& v,
                                               const Tensor& mask, AttentionAttrs attrs = {});
RUTILE_API AttentionResult attention_with_lse(Arg q, const Tensor& k, const Tensor& v,
                                              const Tensor& mask = {}, AttentionAttrs attrs = {});

// dq, dk, dv (dy, q, k, v, y, lse, mask?, dlse?): with p = exp(scores - lse) and
// ds = p * (dy v^T - sum(dy * y) + dlse), dq = scale * ds k, dk = scale * ds^T q, dv = p^T dy.
extern RUTILE_API const OpDef kAttentionGrad;

}  // namespace rutile::ops
