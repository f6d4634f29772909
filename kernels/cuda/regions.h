// SPDX-License-Identifier: Apache-2.0
// Pictures of regions (roi_align) and their gradient by the image.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/cuda/fault.h"

namespace rutile::cuda {

struct RegionArgs {
  int64_t images = 0, channels = 0, h = 0, w = 0;  // of the image
  int64_t boxes = 0, rows = 0, columns = 0;        // of the regions
  int64_t image[4] = {}, region[4] = {};           // strides
  int64_t box[2] = {}, image_step = 1;
  DType type = DType::kF32, box_type = DType::kF32, index_type = DType::kI64;
  double scale = 1;
  int64_t ratio = 0;
  bool aligned = true;
  const void *x = nullptr, *at = nullptr, *index = nullptr;
  void* y = nullptr;
  FaultSlot fault;
};
int launch_regions(const RegionArgs& a, Stream stream);
// Each pixel adds up what the bins around it have, in the order of the boxes.
int launch_regions_grad(const RegionArgs& a, Stream stream);

}  // namespace rutile::cuda
