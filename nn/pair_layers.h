// SPDX-License-Identifier: Apache-2.0
// Layers of two inputs: bilinear forms and bags of embeddings.
//
//   auto score = nn::make<nn::Bilinear>(16, 32, 4);
//   Tensor y = (*score)(a, b);                       // f32[8,16], f32[8,32] -> f32[8,4]
//   auto bags = nn::make<nn::EmbeddingBag>(1000, 64);
//   Tensor z = (*bags)(ids, offsets);                // i64[20], i64[5] -> f32[5,64]
#pragma once

#include "rutile/nn/cell.h"
#include "rutile/nn/layers.h"
#include "rutile/ops/places.h"

namespace rutile::nn {

struct BilinearOptions {
  bool bias = true;
  WeightInit weight_init = {};  // none: uniform within 1 / sqrt(in1)
};
// y_k = x1 weight_k x2 + bias_k; weight [out, in1, in2], x1 [.., in1], x2 [.., in2] -> [.., out].
class RUTILE_API Bilinear : public Cell {
 public:
  Bilinear(int64_t in1, int64_t in2, int64_t out, BilinearOptions options = {});
  std::string type_name() const override { return "Bilinear"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;  // bias null without

 protected:
  Tensor construct_pair(const Tensor& x1, const Tensor& x2) override;
};

struct EmbeddingBagOptions {
  BagMode mode = BagMode::kMean;
  int64_t padding_idx = -1;          // this row counts nothing; -1: none
  bool include_last_offset = false;  // the last offset is the end, not a bag
  WeightInit weight_init = {};       // none: normal with deviation 1
};
// ids [b, k] (i32, i64), or ids [k] with the offsets [b] at which bags start, to sums, means or
// maxima of rows of weight [count, width]: [b, width].
class RUTILE_API EmbeddingBag : public Cell {
 public:
  EmbeddingBag(int64_t count, int64_t width, EmbeddingBagOptions options = {});
  std::string type_name() const override { return "EmbeddingBag"; }
  std::string extra_repr() const override;
  ParameterPtr weight;

 protected:
  Tensor construct(const Tensor& ids) override;
  Tensor construct_pair(const Tensor& ids, const Tensor& offsets) override;

 private:
  ops::EmbeddingBagAttrs attrs_;
};

}  // namespace rutile::nn
