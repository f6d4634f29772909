// SPDX-License-Identifier: Apache-2.0
// Convolutions in one and three dimensions, and the transposed ones (Conv2d and ConvTranspose2d
// stand in layers.h). Parameters have PyTorch's names and first values.
//
//   auto conv = nn::make<nn::Conv1d>(64, 128, 3, nn::Conv1dOptions{.pad = 1});
//   Tensor y = conv(x);   // f32[8,64,100] -> f32[8,128,100]
#pragma once

#include "rutile/nn/layers.h"

namespace rutile::nn {

struct Conv1dOptions {
  int64_t stride = 1, pad = 0, dilation = 1, groups = 1;
  bool bias = true;
  WeightInit weight_init = {};
};
// x [n, in, l]; weight [out, in / groups, k].
class RUTILE_API Conv1d : public Cell {
 public:
  Conv1d(int64_t in, int64_t out, int64_t kernel, Conv1dOptions options = {});
  std::string type_name() const override { return "Conv1d"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  Conv1dOptions options_;
};

struct Conv3dOptions {
  Int3 stride{1}, pad{0}, dilation{1};
  int64_t groups = 1;
  bool bias = true;
  WeightInit weight_init = {};
};
// x [n, in, d, h, w]; weight [out, in / groups, kd, kh, kw].
class RUTILE_API Conv3d : public Cell {
 public:
  Conv3d(int64_t in, int64_t out, Int3 kernel, Conv3dOptions options = {});
  std::string type_name() const override { return "Conv3d"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  Conv3dOptions options_;
};

struct ConvTranspose1dOptions {
  int64_t stride = 1, pad = 0, output_pad = 0, dilation = 1, groups = 1;
  bool bias = true;
  WeightInit weight_init = {};
};
// x [n, in, l]; weight [in, out / groups, k].
class RUTILE_API ConvTranspose1d : public Cell {
 public:
  ConvTranspose1d(int64_t in, int64_t out, int64_t kernel, ConvTranspose1dOptions options = {});
  std::string type_name() const override { return "ConvTranspose1d"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  ConvTranspose1dOptions options_;
};

struct ConvTranspose3dOptions {
  Int3 stride{1}, pad{0}, output_pad{0}, dilation{1};
  int64_t groups = 1;
  bool bias = true;
  WeightInit weight_init = {};
};
// x [n, in, d, h, w]; weight [in, out / groups, kd, kh, kw].
class RUTILE_API ConvTranspose3d : public Cell {
 public:
  ConvTranspose3d(int64_t in, int64_t out, Int3 kernel, ConvTranspose3dOptions options = {});
  std::string type_name() const override { return "ConvTranspose3d"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  ConvTranspose3dOptions options_;
};

}  // namespace rutile::nn
