// SPDX-License-Identifier: Apache-2.0
// Batching rules of convolutions, pooling, images, norms and attention. Slices become more images
// where all of them share the weights, more channels (in groups) where each has its own.
#include "rutile/ops/adaptive_pool.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/batching.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grid_sample.h"
#include "rutile/ops/group_norm.h"
#include "rutile/ops/interpolate.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/lp_pool.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/pool.h"
#include "rutile/ops/pool3d.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/unfold.h"
#include "rutile/ops/unpool.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

// [n, N, C, ...] as [N, n C, ...], and back with C channels.
Tensor as_channels(const Tensor& t) {
  Dims perm{1, 0};
  Shape s{t.dim(1), t.dim(0) * t.dim(2)};
  for (int d = 2; d < t.rank(); ++d) perm.push_back(d);
  for (int d = 3; d < t.rank(); ++d) s.push_back(t.dim(d));
  return reshape(transpose(t, perm), s);
}
Tensor from_channels(const Tensor& t, int64_t n) {
  Shape s{t.dim(0), n, t.dim(1) / n};
  Dims perm{1, 0};
  for (int d = 2; d < t.rank(); ++d) s.push_back(t.dim(d));
  for (int d = 2; d < s.rank(); ++d) perm.push_back(d);
  return transpose(reshape(t, s), perm);
}

AttrValue field_of(const BatchCall& c, std::string_view name) {
  return c.attrs.info()->get(c.attrs.get(), field_index(*c.attrs.info(), name));
}

AnyAttrs in_groups(const BatchCall& c) {
  return with_field(c.attrs, "groups", std::get<int64_t>(field_of(c, "groups")) * c.n);
}

AnyAttrs scaled(const AnyAttrs& attrs, std::string_view name, int at, int64_t n) {
  Dims shape = std::get<Dims>(attrs.info()->get(attrs.get(), field_index(*attrs.info(), name)));
  shape[at] *= n;
  return with_field(attrs, name, shape);
}

Tensor call_one(const BatchCall& c, const AnyAttrs& attrs, const std::vector<Tensor>& in) {
  return call_n(c.op, attrs.get(), in)[0];
}

// conv(x, weight, bias?)
TensorList conv_rule(const BatchCall& c) {
  Tensor bias = c.has(2) ? c.in[2] : Tensor();
  const bool own_bias = c.is_batched(2);
  const Tensor shared = own_bias ? Tensor() : bias;
  const int rank = c.rank(0);
  Tensor y;
  if (!c.is_batched(1)) {
    y = c.is_batched(0) ? with_shape(call_one(c, c.attrs, {folded(c.in[0]), c.in[1], shared}), c.n,
                                     c.one[0].shape)
                        : broadcast_to(call_one(c, c.attrs, {c.in[0], c.in[1], shared}),
                                       batched_shape(c.n, c.one[0].shape));
  } else {
    const bool one_group = std::get<int64_t>(field_of(c, "groups")) == 1;
    const bool images = c.is_batched(0) || !one_group;
    const Tensor x = images ? as_channels(c.spread(0)) : c.in[0];
    const AnyAttrs attrs = images ? in_groups(c) : c.attrs;
    y = from_channels(call_one(c, attrs, {x, folded(c.in[1]), Tensor()}), c.n);
    if (shared.defined()) bias = broadcast_to(shared, batched_shape(c.n, shared.shape()));
  }
  if (bias.defined() && (own_bias || c.is_batched(1))) {
    Shape column{c.n, 1, bias.dim(1)};
    while (column.rank() < rank + 1) column.push_back(1);
    y = y + reshape(bias, column);
  }
  return {cast(y, c.one[0].dtype)};
}

// conv_input_grad(dy, weight)
TensorList conv_input_grad_rule(const BatchCall& c) {
  if (!c.is_batched(1)) {
    const AnyAttrs attrs = scaled(c.attrs, "input_shape", 0, c.n);
    return {with_shape(call_one(c, attrs, {folded(c.in[0]), c.in[1]}), c.n, c.one[0].shape)};
  }
  const AnyAttrs attrs = scaled(in_groups(c), "input_shape", 1, c.n);
  return {from_channels(call_one(c, attrs, {as_channels(c.spread(0)), folded(c.in[1])}), c.n)};
}

// conv_weight_grad(dy, x)
TensorList conv_weight_grad_rule(const BatchCall& c) {
  const AnyAttrs attrs = scaled(in_groups(c), "weight_shape", 0, c.n);
  const Tensor dw = call_one(c, attrs, {as_channels(c.spread(0)), as_channels(c.spread(1))});
  return {with_shape(dw, c.n, c.one[0].shape)};
}

// Images [N, C, (spatial)] or [C, (spatial)]: slices become images.
template <int rank>
TensorList image_rule(const BatchCall& c) {
  std::vector<Tensor> in = c.spread_all();
  if (c.rank(0) == rank) {
    for (Tensor& t : in) {
      if (t.defined()) t = folded(t);
    }
  }
  TensorList out = call_n(c.op, c.attrs.get(), in);
  for (int i = 0; i < out.size(); ++i) out[i] = with_shape(out[i], c.n, c.one[i].shape);
  return out;
}

// Any number of spatial dimensions, always with N and C.
TensorList images_rule(const BatchCall& c) {
  std::vector<Tensor> in = c.spread_all();
  for (Tensor& t : in) t = folded(t);
  TensorList out = call_n(c.op, c.attrs.get(), in);
  for (int i = 0; i < out.size(); ++i) out[i] = with_shape(out[i], c.n, c.one[i].shape);
  return out;
}

// As image_rule, of as many spatial dimensions as the attributes say.
TensorList places_rule(const BatchCall& c) {
  const AttrValue size = field_of(c, c.op.attrs == kPoolScatter.attrs ? "size" : "spatial");
  const auto* dims = std::get_if<Dims>(&size);
  const int64_t spatial = dims ? dims->rank() : std::get<int64_t>(size);
  if (spatial == 1) return image_rule<3>(c);
  return spatial == 2 ? image_rule<4>(c) : image_rule<5>(c);
}

// Norms over images: slices become channels, each with statistics of its own.
TensorList channels(const BatchCall& c, const AnyAttrs& attrs) {
  if (c.one[0].numel() == 0) return {};
  std::vector<Tensor> in;
  for (int i = 0; i < c.num(); ++i) {
    const Tensor t = c.spread(i);
    in.push_back(!t.defined() ? t : c.rank(i) == 1 ? folded(t) : as_channels(t));
  }
  TensorList out = call_n(c.op, attrs.get(), in);
  for (int i = 0; i < out.size(); ++i) {
    out[i] =
        c.one[i].rank() == 1 ? with_shape(out[i], c.n, c.one[i].shape) : from_channels(out[i], c.n);
  }
  return out;
}

TensorList channels_rule(const BatchCall& c) { return channels(c, c.attrs); }

TensorList group_norm_rule(const BatchCall& c) {
  const auto groups = std::get<int64_t>(field_of(c, "num_groups"));
  return channels(c, with_field(c.attrs, "num_groups", groups * c.n));
}

// Norms over the last dimensions take any leading ones; weights of each slice's own do not.
TensorList row_norm_rule(const BatchCall& c) {
  if (!c.is_batched(0)) return {};
  for (int i = 1; i < c.num(); ++i) {
    if (c.is_batched(i)) return {};
  }
  return call_n(c.op, c.attrs.get(), c.in);
}

// [b, ...]: slices become more of the batch. A mask that all share may stay as it is.
TensorList attention(const BatchCall& c, int mask) {
  const int query = c.op.num_inputs > 4 ? 1 : 0;
  std::vector<Tensor> in;
  for (int i = 0; i < c.num(); ++i) {
    if (!c.has(i)) {
      in.emplace_back();
      continue;
    }
    const bool smaller = i == mask && (c.rank(i) < c.rank(query) || c.slice(i)[0] == 1);
    if (smaller && !c.is_batched(i)) {
      in.push_back(c.in[i]);
      continue;
    }
    if (!smaller) {
      in.push_back(folded(c.spread(i)));
      continue;
    }
    // One mask for each slice: the same for all of the batch behind it.
    Shape row{c.n, 1}, all{c.n, c.slice(query)[0]};
    const int extra = c.rank(query) - c.rank(i);
    for (int d = 1; d < c.rank(query); ++d) {
      row.push_back(d < extra ? 1 : c.slice(i)[d - extra]);
      all.push_back(row[d + 1]);
    }
    in.push_back(folded(broadcast_to(reshape(c.in[i], row), all)));
  }
  TensorList out = call_n(c.op, c.attrs.get(), in);
  for (int i = 0; i < out.size(); ++i) out[i] = with_shape(out[i], c.n, c.one[i].shape);
  return out;
}

TensorList attention_rule(const BatchCall& c) { return attention(c, 3); }
TensorList attention_grad_rule(const BatchCall& c) { return attention(c, 6); }

}  // namespace

std::span<const BatchRow> layer_batch_rules() {
  static const BatchRow kRows[] = {
      {&kConv2d, conv_rule},
      {&kConv2dInputGrad, conv_input_grad_rule},
      {&kConv2dWeightGrad, conv_weight_grad_rule},
      {&kConv3d, conv_rule},
      {&kConv3dInputGrad, conv_input_grad_rule},
      {&kConv3dWeightGrad, conv_weight_grad_rule},
      {&kMaxPool2d, image_rule<4>},
      {&kMaxPool2dGrad, image_rule<4>},
      {&kMaxPool2dGather, image_rule<4>},
      {&kAvgPool2d, image_rule<4>},
      {&kAvgPool2dGrad, image_rule<4>},
      {&kGlobalAvgPool, image_rule<4>},
      {&kGlobalAvgPoolGrad, image_rule<4>},
      {&kAdaptiveAvgPool2d, image_rule<4>},
      {&kAdaptiveAvgPool2dGrad, image_rule<4>},
      {&kAdaptiveMaxPool2d, image_rule<4>},
      {&kLpPool2d, image_rule<4>},
      {&kUnfold, image_rule<4>},
      {&kFold, image_rule<3>},
      {&kAdaptiveAvgPool1d, image_rule<3>},
      {&kAdaptiveMaxPool1d, image_rule<3>},
      {&kLpPool1d, image_rule<3>},
      {&kMaxPool3d, image_rule<5>},
      {&kAvgPool3d, image_rule<5>},
      {&kAvgPool3dGrad, image_rule<5>},
      {&kAdaptiveAvgPool3d, image_rule<5>},
      {&kAdaptiveMaxPool3d, image_rule<5>},
      {&kLpPool3d, image_rule<5>},
      {&kPoolScatter, places_rule},
      {&kPoolGather, places_rule},
      {&kInterpolate, images_rule},
      {&kInterpolateGrad, images_rule},
      {&kGridSample, images_rule},
      {&kGridSampleInputGrad, images_rule},
      {&kGridSampleGridGrad, images_rule},
      {&kBatchNorm, channels_rule},
      {&kBatchNormGrad, channels_rule},
      {&kBatchNormInference, channels_rule},
      {&kInstanceNorm, channels_rule},
      {&kGroupNorm, group_norm_rule},
      {&kGroupNormGrad, group_norm_rule},
      {&kLayerNorm, row_norm_rule},
      {&kRmsNorm, row_norm_rule},
      {&kAttention, attention_rule},
      {&kAttentionGrad, attention_grad_rule},
  };
  return kRows;
}

}  // namespace rutile::ops
