// SPDX-License-Identifier: Apache-2.0
// Optimizers' updates: rules from kernels/update_rules.h, many tensors a launch. What a step needs
// is worked out on the device, where learning rate and step are.
#pragma once

#include "rutile/kernels/cuda/tensors.h"

namespace rutile::cuda {

// What a step needs, in the workspace.
struct StepNumbers {
  double scale = 1, decay = 0, shrink = 1, k[12] = {};
  int skip = 0;
};

struct UpdateScalars {
  const void *lr = nullptr, *step = nullptr, *skip = nullptr, *grad_scale = nullptr;
  DType lr_type = DType::kF32, step_type = DType::kF32, skip_type = DType::kBool,
        scale_type = DType::kF32;
  StepNumbers* numbers = nullptr;
};

// Parameter, three slots, gradient, a copy of the parameter in low precision or null.
using UpdateTensors = Tensors<6>;

struct UpdateArgs {
  UpdateTensors tensors;
  DType copy_type[UpdateTensors::kMost] = {};
  const StepNumbers* numbers = nullptr;
  double* sums = nullptr;   // of a rule with norms: two a block
  double* trust = nullptr;  // and a factor a tensor
};

struct UpdateKernel {
  int (*numbers)(const UpdateScalars&, const void* attrs, Stream) = nullptr;
  int (*apply)(const UpdateArgs&, bool wide, Stream) = nullptr;
  int (*measure)(const UpdateArgs&, bool wide, Stream) = nullptr;  // null: no norms
};
UpdateKernel update_kernel(int family);

}  // namespace rutile::cuda
