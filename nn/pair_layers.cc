// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/pair_layers.h"

#include <cmath>

#include "rutile/nn/init.h"
#include "rutile/nn/layer_util.h"
#include "rutile/ops/products_more.h"

namespace rutile::nn {
namespace {

// Within 1 / sqrt(in1) for weights [out, in1, in2].
Tensor bilinear_weight(const Shape& s) {
  const double bound = 1 / std::sqrt(static_cast<double>(s[1]));
  return init::uniform(s, -bound, bound);
}
Tensor standard_normal(const Shape& s) { return init::normal(s, 0, 1); }

}  // namespace

Bilinear::Bilinear(int64_t in1, int64_t in2, int64_t out, BilinearOptions o) {
  need_positive("Bilinear", "in1", in1);
  need_positive("Bilinear", "in2", in2);
  need_positive("Bilinear", "out", out);
  register_parameter("weight", first_weight({out, in1, in2}, o.weight_init, bilinear_weight),
                     &weight);
  if (o.bias) register_parameter("bias", default_bias(out, {out, in1}), &bias);
}
Tensor Bilinear::construct_pair(const Tensor& x1, const Tensor& x2) {
  return ops::bilinear(x1, x2, weight->read(), value_or_none(bias));
}
std::string Bilinear::extra_repr() const {
  const Shape& s = weight->meta().shape;
  return cat(s[1], ", ", s[2], ", ", s[0], bias ? "" : ", bias=false");
}

EmbeddingBag::EmbeddingBag(int64_t count, int64_t width, EmbeddingBagOptions o)
    : attrs_{o.mode, o.padding_idx, o.include_last_offset} {
  need_positive("EmbeddingBag", "count", count);
  need_positive("EmbeddingBag", "width", width);
  register_parameter("weight", first_weight({count, width}, o.weight_init, standard_normal),
                     &weight);
}
Tensor EmbeddingBag::construct(const Tensor& ids) {
  return ops::embedding_bag(ids, weight->read(), attrs_);
}
Tensor EmbeddingBag::construct_pair(const Tensor& ids, const Tensor& offsets) {
  return ops::embedding_bag(ids, weight->read(), attrs_, offsets);
}
std::string EmbeddingBag::extra_repr() const {
  return cat(weight->meta().dim(0), ", ", weight->meta().dim(1),
             ", mode=", EnumNames<BagMode>::value[static_cast<int>(attrs_.mode)]);
}

}  // namespace rutile::nn
