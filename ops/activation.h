// SPDX-License-Identifier: Apache-2.0
// Activations beside those of elementwise.h. Floats only where nothing else is said; the result has
// x's shape and dtype. NaN stays NaN.
//
//   Tensor y = ops::prelu(x, slope);        // x f32[8,16,7,7], slope f32[16]
//   Tensor g = ops::glu(x, 1);              // x f32[8,32] -> f32[8,16]
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

// Klambauer et al., "Self-normalizing neural networks", 2017: scale * elu(x, alpha) with the two
// numbers of the paper.
extern RUTILE_API const OpDef kSelu;
RUTILE_API Tensor selu(Arg x);

// x where x > 0, else alpha (exp(x / alpha) - 1): elu with a continuous slope. alpha is not 0.
struct CeluAttrs {
  double alpha = 1;
  RUTILE_REFLECT(alpha)
};
extern RUTILE_API const OpDef kCelu;
RUTILE_API Tensor celu(Arg x, CeluAttrs attrs = {});

extern RUTILE_API const OpDef kMish;
RUTILE_API Tensor mish(Arg x);  // x tanh(softplus(x)); Misra, 2019
extern RUTILE_API const OpDef kSoftsign;
RUTILE_API Tensor softsign(Arg x);  // x / (1 + |x|)
extern RUTILE_API const OpDef kLogSigmoid;
RUTILE_API Tensor logsigmoid(Arg x);  // log(sigmoid(x))
extern RUTILE_API const OpDef kTanhshrink;
RUTILE_API Tensor tanhshrink(Arg x);  // x - tanh(x)

// x limited to [min_val, max_val]; unlike clip's, the gradient at the ends is 0.
struct HardtanhAttrs {
  double min_val = -1, max_val = 1;
  RUTILE_REFLECT(min_val, max_val)
};
extern RUTILE_API const OpDef kHardtanh;
RUTILE_API Tensor hardtanh(Arg x, HardtanhAttrs attrs = {});

// x where x > threshold, else value. Integers too.
struct ThresholdAttrs {
  double threshold = 0, value = 0;
  RUTILE_REFLECT(threshold, value)
};
extern RUTILE_API const OpDef kThreshold;
RUTILE_API Tensor threshold(Arg x, ThresholdAttrs attrs);

// softshrink: x moved by lambd towards 0, which it does not cross. hardshrink: 0 where |x| <=
// lambd, else x. softshrink: lambd >= 0.
struct ShrinkAttrs {
  double lambd = 0.5;
  RUTILE_REFLECT(lambd)
};
extern RUTILE_API const OpDef kSoftshrink;
RUTILE_API Tensor softshrink(Arg x, ShrinkAttrs attrs = {});
extern RUTILE_API const OpDef kHardshrink;
RUTILE_API Tensor hardshrink(Arg x, ShrinkAttrs attrs = {});

// x where x > 0, else weight * x; weight has one element, or one for each channel (dimension 1).
// He et al., "Delving deep into rectifiers", 2015.
extern RUTILE_API const OpDef kPrelu;
RUTILE_API Tensor prelu(Arg x, Arg weight);

// x where x > 0, else a x with a slope drawn from [lower, upper) for each element; evaluation takes
// leaky_relu with their mean. Random numbers as in random.h. Xu et al., 2015.
struct RreluAttrs {
  double lower = 1.0 / 8, upper = 1.0 / 3;
  RUTILE_REFLECT(lower, upper)
};
extern RUTILE_API const OpDef kRrelu;
RUTILE_API Tensor rrelu(Arg key, Arg x, RreluAttrs attrs = {});
RUTILE_API Tensor rrelu(Arg x, RreluAttrs attrs = {});

// The first half along the axis times the sigmoid of the second. kValue for an odd size.
struct GluAttrs {
  int64_t axis = -1;
  RUTILE_REFLECT(axis)
};
extern RUTILE_API const OpDef kGlu;
RUTILE_API Tensor glu(Arg x, int64_t axis = -1);

// softmax(-x).
struct SoftminAttrs {
  int64_t axis = -1;
  RUTILE_REFLECT(axis)
};
extern RUTILE_API const OpDef kSoftmin;
RUTILE_API Tensor softmin(Arg x, int64_t axis = -1);

// softmax((logits + g) / tau), g from Gumbel's distribution: a soft sample of a class along the
// axis. hard: the one-hot class in the value, the soft sample's gradient. Jang et al., "Categorical
// reparameterization with Gumbel-softmax", 2017.
struct GumbelSoftmaxAttrs {
  double tau = 1;
  bool hard = false;
  int64_t axis = -1;
  RUTILE_REFLECT(tau, hard, axis)
};
extern RUTILE_API const OpDef kGumbelSoftmax;
RUTILE_API Tensor gumbel_softmax(Arg key, Arg logits, GumbelSoftmaxAttrs attrs);
RUTILE_API Tensor gumbel_softmax(Arg logits, GumbelSoftmaxAttrs attrs = {});

// softplus with a slope: log(1 + exp(beta x)) / beta, x itself where beta x > threshold.
RUTILE_API Tensor softplus(Arg x, double beta, double threshold = 20);

}  // namespace rutile::ops
