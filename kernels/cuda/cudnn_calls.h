// SPDX-License-Identifier: Apache-2.0
// What the rows over cuDNN share: plans made of described graphs, and what is known of a call. The
// library's own headers, which take long to compile, are seen by lib_cudnn.cc alone.
#pragma once

#include <memory>

#include "rutile/kernels/cuda/host.h"
#include "rutile/ops/attention.h"

namespace rutile::cuda {

struct CudnnGraph;
using DescribeFn = void (*)(const CallMeta&, CudnnGraph*);

// The graphs of cudnn_graphs.h.
struct CudnnDescriptions {
  DescribeFn conv, biased_conv, stats, norm_weight_grad, norm_input_grad, attention;
};
const CudnnDescriptions& cudnn_descriptions();

// False where the library cannot be used, with the reason.
bool has_cudnn(Reason* reason);
// Whether its graphs take the type.
bool cudnn_takes(DType t);
// Describes, checks and chooses; kUnsupported where cuDNN has no engine. `form` tells descriptions
// of one call apart. f32 uses tensor cores only where TF32 is asked for; all results are
// reproducible.
Status make_cudnn_plan(const CallMeta& c, const char* form, DescribeFn describe,
                       std::unique_ptr<Plan>* plan);

// True if the gradient of a weight comes wider than what it is made of. No engine that is compiled
// beforehand writes that: the graph ends with a conversion.
inline bool widens(const CallMeta& c) {
  return is_low_precision(c.in(0).dtype) && c.out().dtype == DType::kF32;
}

constexpr int attention_mask(const CallMeta& c) { return c.op == &ops::kAttention ? 3 : 6; }

// What is added to the scores instead of the mask: row-major, dense, of all rows and keys, one for
// batches and heads where the mask is the same for them.
inline TensorMeta added_mask(const CallMeta& c) {
  const int first = c.op == &ops::kAttention ? 0 : 1;
  const TensorMeta &q = c.in(first), &k = c.in(first + 1), &mask = c.in(attention_mask(c));
  const auto of_mask = [&](int d) {
    const int at = d - (4 - mask.rank());
    return at < 0 ? int64_t{1} : mask.dim(at);
  };
  return TensorMeta({of_mask(0), of_mask(1), q.dim(2), k.dim(2)}, DType::kF32, q.device);
}

void register_cudnn_convs();
void register_cudnn_attention();

}  // namespace rutile::cuda
