// SPDX-License-Identifier: Apache-2.0
// Layers. Names of parameters and initial values are PyTorch's.
//
//   auto conv = nn::make<nn::Conv2d>(3, 64, 7, nn::Conv2dOptions{.stride = 2, .pad = 3});
//   Tensor y = conv(x);   // f32[n,3,224,224] -> f32[n,64,112,112]
//
// Images are [n, channels, h, w]. Wrong shapes are the ops' errors, with the path of the Cell.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "rutile/nn/cell.h"
#include "rutile/ops/attrs.h"

namespace rutile::nn {

// ---- Containers ---------------------------------------------------------------------------------

// Calls its children one after the other; they are named "0", "1", ...
class RUTILE_API Sequential : public Cell {
 public:
  Sequential() = default;
  Sequential(std::initializer_list<CellPtr> cells);
  void append(CellPtr cell);
  void replace(int i, CellPtr cell);  // Error{kIndex} outside
  int size() const { return static_cast<int>(cells_.size()); }
  Cell& operator[](int i) { return *cells_.at(static_cast<size_t>(i)); }
  using Cell::operator();
  std::string type_name() const override { return "Sequential"; }

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  std::vector<CellPtr> cells_;
};

// A list of Cells that the owner calls.
class RUTILE_API CellList : public Cell {
 public:
  CellList() = default;
  CellList(std::initializer_list<CellPtr> cells);
  void append(CellPtr cell);
  int size() const { return static_cast<int>(cells_.size()); }
  const CellPtr& operator[](int i) const { return cells_.at(static_cast<size_t>(i)); }
  std::vector<CellPtr>::const_iterator begin() const { return cells_.begin(); }
  std::vector<CellPtr>::const_iterator end() const { return cells_.end(); }
  std::string type_name() const override { return "CellList"; }

 private:
  std::vector<CellPtr> cells_;
};

// ---- Layers with parameters
// -----------------------------------------------------------------------

// Makes the first value of a weight from its shape (functions of nn/init.h); none: PyTorch's
// default.
using WeightInit = std::function<Tensor(const Shape&)>;

struct LinearOptions {
  bool bias = true;
  WeightInit weight_init = {};
};
// y = x weight^T + bias; x [..., in], weight [out, in].
class RUTILE_API Linear : public Cell {
 public:
  Linear(int64_t in, int64_t out, LinearOptions options = {});
  std::string type_name() const override { return "Linear"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;  // bias null without

 protected:
  Tensor construct(const Tensor& x) override;
};

struct Conv2dOptions {
  Int2 stride{1, 1}, pad{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  bool bias = true;
  WeightInit weight_init = {};
};
// Cross-correlation; weight [out, in / groups, kh, kw].
class RUTILE_API Conv2d : public Cell {
 public:
  Conv2d(int64_t in, int64_t out, Int2 kernel, Conv2dOptions options = {});
  std::string type_name() const override { return "Conv2d"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  Conv2dOptions options_;
};

struct ConvTranspose2dOptions {
  Int2 stride{1, 1}, pad{0, 0}, output_pad{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  bool bias = true;
  WeightInit weight_init = {};
};
// Transposed convolution (ops::conv_transpose2d); weight [in, out / groups, kh, kw].
class RUTILE_API ConvTranspose2d : public Cell {
 public:
  ConvTranspose2d(int64_t in, int64_t out, Int2 kernel, ConvTranspose2dOptions options = {});
  std::string type_name() const override { return "ConvTranspose2d"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  ConvTranspose2dOptions options_;
};

struct NormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // weight of the batch in the running statistics
  bool affine = true;
};
// Ioffe and Szegedy, 2015. Training: statistics of the batch; evaluation: the running ones.
class RUTILE_API BatchNorm2d : public Cell {
 public:
  explicit BatchNorm2d(int64_t channels, NormOptions options = {});
  std::string type_name() const override { return "BatchNorm2d"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;
  const Ref<State>& running_mean() const { return running_mean_; }
  const Ref<State>& running_var() const { return running_var_; }

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  NormOptions options_;
  Ref<State> running_mean_, running_var_;
};

struct LayerNormOptions {
  double eps = 1e-5;
  bool bias = true;
};
// Ba et al., 2016, over the last dimensions of the given sizes.
class RUTILE_API LayerNorm : public Cell {
 public:
  explicit LayerNorm(const Shape& sizes, LayerNormOptions options = {});
  explicit LayerNorm(int64_t size, LayerNormOptions options = {});
  std::string type_name() const override { return "LayerNorm"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  Shape sizes_;
  LayerNormOptions options_;
};

struct EmbeddingOptions {
  int64_t padding_idx = -1;     // this row gets no gradient; -1: none
  WeightInit weight_init = {};  // none: normal with deviation 1
};
// ids [...] (i32, i64) to rows of weight [count, width]: [..., width].
class RUTILE_API Embedding : public Cell {
 public:
  Embedding(int64_t count, int64_t width, EmbeddingOptions options = {});
  std::string type_name() const override { return "Embedding"; }
  std::string extra_repr() const override;
  ParameterPtr weight;

 protected:
  Tensor construct(const Tensor& ids) override;

 private:
  int64_t padding_idx_;
};

struct SelfAttentionOptions {
  bool causal = true;
  bool bias = true;
};
// Vaswani et al., 2017: x [n, t, width], heads of width / heads each; children qkv and proj.
class RUTILE_API MultiHeadSelfAttention : public Cell {
 public:
  MultiHeadSelfAttention(int64_t width, int64_t heads, SelfAttentionOptions options = {});
  std::string type_name() const override { return "MultiHeadSelfAttention"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  int64_t heads_;
  SelfAttentionOptions options_;
  Ptr<Linear> qkv_, proj_;
};
// The part between the two projections: qkv [n, t, 3 * width] to [n, t, width].
RUTILE_API Tensor self_attention(const Tensor& qkv, int64_t heads, bool causal = true);

// ---- Layers without
// ---------------------------------------------------------------------------------

// Zeroes elements with probability p in training and scales the rest by 1 / (1 - p).
class RUTILE_API Dropout : public Cell {
 public:
  explicit Dropout(double p = 0.5);
  std::string type_name() const override { return "Dropout"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  double p_;
};

struct Pool2dOptions {
  Int2 stride{0, 0};  // 0: the kernel
  Int2 pad{0, 0};
  bool ceil_mode = false;
  Int2 dilation{1, 1};            // MaxPool2d
  bool count_include_pad = true;  // AvgPool2d
  int64_t divisor_override = 0;   // AvgPool2d; 0: the window's elements
};
class RUTILE_API MaxPool2d : public Cell {
 public:
  explicit MaxPool2d(Int2 kernel, Pool2dOptions options = {});
  std::string type_name() const override { return "MaxPool2d"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  Int2 kernel_;
  Pool2dOptions options_;
};
class RUTILE_API AvgPool2d : public Cell {
 public:
  explicit AvgPool2d(Int2 kernel, Pool2dOptions options = {});
  std::string type_name() const override { return "AvgPool2d"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  Int2 kernel_;
  Pool2dOptions options_;
};

// Declares a Cell without attributes.
#define RUTILE_PLAIN_CELL(Name)                              \
  class RUTILE_API Name : public Cell {                      \
   public:                                                   \
    std::string type_name() const override { return #Name; } \
                                                             \
   protected:                                                \
    Tensor construct(const Tensor& x) override;              \
  };
RUTILE_PLAIN_CELL(ReLU)
RUTILE_PLAIN_CELL(Sigmoid)
RUTILE_PLAIN_CELL(Tanh)
RUTILE_PLAIN_CELL(SiLU)
RUTILE_PLAIN_CELL(Identity)
RUTILE_PLAIN_CELL(GlobalAvgPool)  // [n, c, h, w] -> [n, c, 1, 1]
RUTILE_PLAIN_CELL(Flatten)        // [n, ...] -> [n, product]
#undef RUTILE_PLAIN_CELL

class RUTILE_API GELU : public Cell {
 public:
  explicit GELU(bool tanh_approximation = false) : tanh_(tanh_approximation) {}
  std::string type_name() const override { return "GELU"; }

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  bool tanh_;
};

class RUTILE_API Softmax : public Cell {
 public:
  explicit Softmax(int64_t axis = -1) : axis_(axis) {}
  std::string type_name() const override { return "Softmax"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  int64_t axis_;
};

}  // namespace rutile::nn
