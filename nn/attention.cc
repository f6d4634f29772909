// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/attention.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/view.h"

namespace rutile::nn {

MultiHeadSelfAttention::MultiHeadSelfAttention(int64_t width, int64_t heads, SelfAttentionOptions o)
    : heads_(heads), options_(o) {
  if (heads <= 0 || width % heads != 0) {
    throw_error(ErrorCode::kValue,
                cat("[MultiHeadSelfAttention] heads ", heads, " must divide the width ", width));
  }
  qkv_ = add<Linear>("qkv", width, 3 * width, LinearOptions{.bias = o.bias});
  proj_ = add<Linear>("proj", width, width, LinearOptions{.bias = o.bias});
}

Tensor MultiHeadSelfAttention::construct(const Tensor& x) {
  return proj_(self_attention(qkv_(x), heads_, options_.causal));
}

std::string MultiHeadSelfAttention::extra_repr() const {
  return cat("heads=", heads_, options_.causal ? "" : ", causal=false");
}

Tensor self_attention(const Tensor& qkv, int64_t heads, bool causal) {
  if (qkv.rank() != 3 || heads <= 0 || qkv.dim(2) % (3 * heads) != 0) {
    throw_error(ErrorCode::kValue, cat("[self_attention] expects [n, t, 3 * width] with ", heads,
                                       " heads dividing the width, got ", qkv.meta(), " | in Cell ",
                                       cell_path(call_modes().cell)));
  }
  const int64_t n = qkv.dim(0), t = qkv.dim(1), width = qkv.dim(2) / 3;
  std::vector<Tensor> parts = ops::split(qkv, 3, 2);
  for (Tensor& p : parts) {
    p = ops::permute(ops::reshape(p, {n, t, heads, width / heads}), {0, 2, 1, 3});
  }
  const Tensor y =
      ops::scaled_dot_product_attention(parts[0], parts[1], parts[2], {.causal = causal});
  return ops::reshape(ops::permute(y, {0, 2, 1, 3}), {n, t, width});
}

}  // namespace rutile::nn
