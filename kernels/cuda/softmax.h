// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/fault.h"
#include "rutile/kernels/cuda/group.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

struct SoftmaxArgs {
  const void* in[2] = {};  // x; or the gradient and y
  void* out = nullptr;
  DType in_type[2] = {DType::kF32, DType::kF32}, out_type = DType::kF32;
  int64_t rows = 0, n = 0;
  Indexer<3> index;      // of a row's first element: in[0], in[1], out
  int64_t step[3] = {};  // along the row
  GroupShape group;
  bool log = false;
};
int launch_softmax(const SoftmaxArgs& a, Stream stream);
int launch_softmax_grad(const SoftmaxArgs& a, Stream stream);

// The classes of each label are a row.
struct CrossEntropyArgs {
  const void *x = nullptr, *labels = nullptr, *weight = nullptr;
  const void *lse_in = nullptr, *grad = nullptr;  // backward
  void *loss = nullptr, *lse = nullptr, *dx = nullptr;
  void *terms = nullptr, *weights = nullptr;  // workspace: loss and weight of each label
  void* totals = nullptr;                     // workspace: the sum of both, and of all weights
  DType x_type = DType::kF32, label_type = DType::kI64, weight_type = DType::kF32;
  DType loss_type = DType::kF32, lse_type = DType::kF32, grad_type = DType::kF32,
        dx_type = DType::kF32;
  int64_t rows = 0, classes = 0;
  // Of a label: x or dx at class 0, the label, lse, loss or its gradient.
  Indexer<4> index;
  int64_t step = 0, weight_step = 0;  // along the classes
  int64_t dx_step = 0;
  Indexer<1> dx_index;
  GroupShape group;
  double smoothing = 0;
  int64_t ignore = -100;
  enum Reduce : uint8_t { kNone, kMean, kSum } reduce = kMean;
  FaultSlot fault;
};
int launch_cross_entropy(const CrossEntropyArgs& a, Stream stream);
int launch_cross_entropy_grad(const CrossEntropyArgs& a, Stream stream);

}  // namespace rutile::cuda
