// SPDX-License-Identifier: Apache-2.0
// Attention with several heads and the Transformer (Vaswani et al., 2017). Parameters have
// PyTorch's names and initial values; equal weights give equal results.
//
//   auto layer = nn::make<nn::TransformerEncoderLayer>(
//       64, 4, nn::TransformerOptions{.batch_first = true});
//   Tensor sequence = ops::zeros({8, 16, 64}), padding = ops::zeros({8, 16}, DType::kBool);
//   Tensor y = layer(sequence);
//   Tensor z = layer->run(sequence, {.key_padding = padding});   // true: not there
//
// Sequences are [t, n, width], or [n, t, width] with batch_first. A row that no key is left to
// gives 0 where PyTorch gives NaN.
#pragma once

#include "rutile/nn/layers.h"

namespace rutile::nn {

// What a row of q does not see. All may be given together.
struct AttentionMasks {
  Tensor attention =
      {};  // [t, s] or [n * heads, t, s]: bool (true: not seen) or added to the scores
  Tensor key_padding = {};  // [n, s]: bool (true: not there) or added
  bool causal = false;      // row i sees keys 0 to i
};

struct MultiheadAttentionOptions {
  double dropout = 0;  // of the weights, in training
  bool bias = true;
  int64_t kdim = 0, vdim = 0;  // widths of k and v; 0: that of q
  bool batch_first = false;
};
struct MultiheadAttentionResult {
  Tensor y;        // as q
  Tensor weights;  // [n, t, s], the mean over the heads; empty unless asked for
};
class RUTILE_API MultiheadAttention : public Cell {
 public:
  MultiheadAttention(int64_t width, int64_t heads, MultiheadAttentionOptions options = {});
  using Cell::operator();
  MultiheadAttentionResult run(const Tensor& q, const Tensor& k, const Tensor& v,
                               const AttentionMasks& masks = {}, bool weights = false);
  std::string type_name() const override { return "MultiheadAttention"; }
  std::string extra_repr() const override;
  // The three stand in in_proj_weight [3 width, width] unless kdim or vdim differ.
  ParameterPtr in_proj_weight, q_proj_weight, k_proj_weight, v_proj_weight, in_proj_bias;
  Ptr<Linear> out_proj;

 protected:
  // (q, k, v, attention mask?, key padding?, causal?, weights?): the last two by their presence.
  std::vector<Tensor> construct_many(const std::vector<Tensor>& inputs) override;
  Tensor construct(const Tensor& x) override;  // of itself

 private:
  std::vector<Tensor> project(const Tensor& q, const Tensor& k, const Tensor& v) const;
  int64_t width_, heads_;
  MultiheadAttentionOptions options_;
};

enum class TransformerActivation : uint8_t { kRelu, kGelu };
struct TransformerOptions {
  int64_t feedforward = 2048;
  double dropout = 0.1;
  TransformerActivation activation = TransformerActivation::kRelu;
  double eps = 1e-5;  // of the norms
  bool batch_first = false;
  bool norm_first = false;  // norms in front of attention and feedforward, not behind the sums
  bool bias = true;
};

class RUTILE_API TransformerEncoderLayer : public Cell {
 public:
  TransformerEncoderLayer(int64_t width, int64_t heads, TransformerOptions options = {});
  Tensor run(const Tensor& x, const AttentionMasks& masks = {});
  std::string type_name() const override { return "TransformerEncoderLayer"; }

 protected:
  Tensor construct(const Tensor& x) override;
  std::vector<Tensor> construct_many(const std::vector<Tensor>& inputs) override;

 private:
  Tensor feedforward(const Tensor& x);
  TransformerOptions options_;
  Ptr<MultiheadAttention> self_attn_;
  Ptr<Linear> linear1_, linear2_;
  Ptr<LayerNorm> norm1_, norm2_;
};

class RUTILE_API TransformerDecoderLayer : public Cell {
 public:
  TransformerDecoderLayer(int64_t width, int64_t heads, TransformerOptions options = {});
  // `memory` is what the encoder gave.
  Tensor run(const Tensor& x, const Tensor& memory, const AttentionMasks& masks = {},
             const AttentionMasks& memory_masks = {});
  std::string type_name() const override { return "TransformerDecoderLayer"; }

 protected:
  Tensor construct_pair(const Tensor& x, const Tensor& memory) override;
  std::vector<Tensor> construct_many(const std::vector<Tensor>& inputs) override;

 private:
  Tensor feedforward(const Tensor& x);
  TransformerOptions options_;
  Ptr<MultiheadAttention> self_attn_, multihead_attn_;
  Ptr<Linear> linear1_, linear2_;
  Ptr<LayerNorm> norm1_, norm2_, norm3_;
};

// Layers one after the other, with a norm behind the last one if asked for.
class RUTILE_API TransformerEncoder : public Cell {
 public:
  TransformerEncoder(int64_t width, int64_t heads, int64_t layers, TransformerOptions options = {},
                     bool norm = false);
  Tensor run(const Tensor& x, const AttentionMasks& masks = {});
  std::string type_name() const override { return "TransformerEncoder"; }

 protected:
  Tensor construct(const Tensor& x) override;
  std::vector<Tensor> construct_many(const std::vector<Tensor>& inputs) override;

 private:
  Ptr<CellList> layers_;
  Ptr<LayerNorm> norm_;
};
class RUTILE_API TransformerDecoder : public Cell {
 public:
  TransformerDecoder(int64_t width, int64_t heads, int64_t layers, TransformerOptions options = {},
                     bool norm = false);
  Tensor run(const Tensor& x, const Tensor& memory, const AttentionMasks& masks = {},
             const AttentionMasks& memory_masks = {});
  std::string type_name() const override { return "TransformerDecoder"; }

 protected:
  Tensor construct_pair(const Tensor& x, const Tensor& memory) override;
  std::vector<Tensor> construct_many(const std::vector<Tensor>& inputs) override;

 private:
  Ptr<CellList> layers_;
  Ptr<LayerNorm> norm_;
};

struct TransformerSizes {
  int64_t encoder_layers = 6, decoder_layers = 6;
};
// Encoder and decoder with their last norms. All matrices begin as xavier_uniform.
class RUTILE_API Transformer : public Cell {
 public:
  Transformer(int64_t width = 512, int64_t heads = 8, TransformerSizes sizes = {},
              TransformerOptions options = {});
  // (what the encoder reads, what the decoder reads); memory_masks are the decoder's on the
  // encoder's result.
  Tensor run(const Tensor& source, const Tensor& target, const AttentionMasks& source_masks = {},
             const AttentionMasks& target_masks = {}, const AttentionMasks& memory_masks = {});
  std::string type_name() const override { return "Transformer"; }
  const Ptr<TransformerEncoder>& encoder() const { return encoder_; }
  const Ptr<TransformerDecoder>& decoder() const { return decoder_; }

 protected:
  Tensor construct_pair(const Tensor& source, const Tensor& target) override;
  std::vector<Tensor> construct_many(const std::vector<Tensor>& inputs) override;

 private:
  Ptr<TransformerEncoder> encoder_;
  Ptr<TransformerDecoder> decoder_;
};

}  // namespace rutile::nn
