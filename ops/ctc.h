// SPDX-License-Identifier: Apache-2.0
// Connectionist temporal classification: the probability of a sequence of labels whose places in
// time are not known (Graves et al., "Connectionist temporal classification", 2006).
//
//   // log_probs f32[50,16,20] of log_softmax, targets i64[16,30], lengths i64[16]
//   Tensor loss = ops::ctc_loss(log_probs, targets, input_lengths, target_lengths);  // 0-d
#pragma once

#include "rutile/ops/attrs.h"
#include "rutile/ops/call.h"

namespace rutile::ops {

struct CtcLossAttrs {
  int64_t blank = 0;
  Reduction reduction = Reduction::kMean;
  bool zero_infinity = false;  // 0 for targets that do not fit into their input, gradient too
  RUTILE_REFLECT(blank, reduction, zero_infinity)
};

// -log of the summed probability of all alignments: of every sequence of one class per step that
// gives the target when repeats are merged and blanks removed afterwards.
//
// log_probs: logarithms of probabilities, floats [t, n, classes], or [t, classes] for one sequence.
// targets: i32 or i64 classes, [n, s] of which target_lengths[i] count, or all sequences one after
// the other, [sum(target_lengths)]; [s] for one sequence. input_lengths (at most t) and
// target_lengths (at most s): i32 or i64 [n], for one sequence 0-d or [1].
// mean: the mean over n of each loss divided by its target's length (at least 1). Infinity where a
// target does not fit into its input. Computed in f32 for low precision; the loss is then f32.
// Errors: kIndex for a length or a class out of range, kValue for shapes. The gradient is that of
// the formula by log_probs as they are (probabilities that do not sum to 1 included), 0 behind
// input_lengths; it is differentiated once more.
extern RUTILE_API const OpDef kCtcLoss;
RUTILE_API Tensor ctc_loss(Arg log_probs, Arg targets, Arg input_lengths, Arg target_lengths,
                           CtcLossAttrs a = {});

struct CtcNllAttrs {
  int64_t blank = 0;
  RUTILE_REFLECT(blank)
};
// Its kernels: the losses [n] (0-d) before the reduction, and their gradient.
extern RUTILE_API const OpDef kCtcNll;
extern RUTILE_API const OpDef kCtcNllGrad;
// The gradient of that one, of dx = dy * s: from the gradient `ddx` of dx that by log_probs with
// nll as it is, and by dy the sums [n] of ddx * s over each sequence (0 where nll is infinite).
extern RUTILE_API const OpDef kCtcNllGradGrad;

}  // namespace rutile::ops
