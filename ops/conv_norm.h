// SPDX-License-Identifier: Apache-2.0
// Convolutions of networks made of convolution, batch norm and ReLU, with the norm at both ends:
// the compiler forms them in training steps for GPUs whose library has such kernels (pass
// fuse_conv_norm). Between two convolutions the normalised image is then never in memory:
//
//   y, sum, square_sum = conv2d_stats(x, weight, scale?, shift?)
//
// convolves u = relu(x * scale + shift) by channel (x itself without scale and shift), and gives
// what the statistics of the next norm are made of. Backward takes u from x again.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/conv.h"

namespace rutile::ops {

// (x, weight, scale?, shift?) -> (y, sum, square_sum): conv2d without a bias; the sums of y and of
// its square by channel, f32 (f64 for f64). scale and shift [I] are of x's dtype.
extern RUTILE_API const OpDef kConv2dStats;
struct Conv2dStats {
  Tensor y, sum, square_sum;
};
RUTILE_API Conv2dStats conv2d_stats(Arg x, Arg weight, const Tensor& scale = {},
                                    const Tensor& shift = {}, Conv2dAttrs attrs = {});

// (dy, x, scale, shift) -> dweight: conv2d_weight_grad(dy, relu(x * scale + shift)).
extern RUTILE_API const OpDef kConv2dNormWeightGrad;
RUTILE_API Tensor conv2d_norm_weight_grad(Arg dy, Arg x, const Tensor& scale, const Tensor& shift,
                                          Conv2dWeightGradAttrs attrs);

// (dy, weight, x, mean, rstd, gamma, beta) -> (d, dgamma, dbeta), where x went through batch norm
// and ReLU before the convolution: d is the gradient behind the norm (conv2d_input_grad, 0 where
// the ReLU gave 0), in x's dtype; dgamma and dbeta are the sums of d times the normalised x, and of
// d. The gradient by x is then gamma rstd (d - (dbeta + normalised dgamma) / n), by element.
extern RUTILE_API const OpDef kConv2dNormInputGrad;
struct Conv2dNormInputGrad {
  Tensor d, dgamma, dbeta;
};
RUTILE_API Conv2dNormInputGrad conv2d_norm_input_grad(Arg dy, Arg weight, const Tensor& x,
                                                      const Tensor& mean, const Tensor& rstd,
                                                      const Tensor& gamma, const Tensor& beta,
                                                      Conv2dAttrs attrs = {});

}  // namespace rutile::ops
