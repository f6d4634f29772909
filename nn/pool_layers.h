// SPDX-License-Identifier: Apache-2.0
// Pooling in one to three dimensions (MaxPool2d and AvgPool2d stand in layers.h). The options are
// the attributes of the op of that name; a kernel given beside them counts.
//
//   auto pool = nn::make<nn::MaxPool3d>(2, nn::MaxPool3dOptions{.stride = {1, 2, 2}});
//   Tensor y = pool(x);   // f32[8,64,16,56,56] -> f32[8,64,15,28,28]
#pragma once

#include "rutile/nn/layers.h"
#include "rutile/ops/lp_pool.h"
#include "rutile/ops/pool1d.h"
#include "rutile/ops/pool3d.h"
#include "rutile/ops/unpool.h"

namespace rutile::nn {

// Declares a Cell that pools windows of `kernel`.
#define RUTILE_WINDOW_CELL(Name, Size)                       \
  using Name##Options = ops::Name##Attrs;                    \
  class RUTILE_API Name : public Cell {                      \
   public:                                                   \
    explicit Name(Size kernel, Name##Options options = {});  \
    std::string type_name() const override { return #Name; } \
    std::string extra_repr() const override;                 \
                                                             \
   protected:                                                \
    Tensor construct(const Tensor& x) override;              \
                                                             \
   private:                                                  \
    Name##Options options_;                                  \
  };
RUTILE_WINDOW_CELL(MaxPool1d, int64_t)
RUTILE_WINDOW_CELL(MaxPool3d, Int3)
RUTILE_WINDOW_CELL(AvgPool1d, int64_t)
RUTILE_WINDOW_CELL(AvgPool3d, Int3)
RUTILE_WINDOW_CELL(LpPool1d, int64_t)
RUTILE_WINDOW_CELL(LpPool2d, Int2)
RUTILE_WINDOW_CELL(LpPool3d, Int3)
#undef RUTILE_WINDOW_CELL

// Declares a Cell that pools to `output_size`.
#define RUTILE_ADAPTIVE_CELL(Name, Size)                                  \
  class RUTILE_API Name : public Cell {                                   \
   public:                                                                \
    explicit Name(Size output_size) : output_size_(output_size) {}        \
    std::string type_name() const override { return #Name; }              \
    std::string extra_repr() const override { return cat(output_size_); } \
                                                                          \
   protected:                                                             \
    Tensor construct(const Tensor& x) override;                           \
                                                                          \
   private:                                                               \
    Size output_size_;                                                    \
  };
RUTILE_ADAPTIVE_CELL(AdaptiveAvgPool1d, int64_t)
RUTILE_ADAPTIVE_CELL(AdaptiveAvgPool2d, Int2)
RUTILE_ADAPTIVE_CELL(AdaptiveAvgPool3d, Int3)
RUTILE_ADAPTIVE_CELL(AdaptiveMaxPool1d, int64_t)
RUTILE_ADAPTIVE_CELL(AdaptiveMaxPool2d, Int2)
RUTILE_ADAPTIVE_CELL(AdaptiveMaxPool3d, Int3)
#undef RUTILE_ADAPTIVE_CELL

// Declares a Cell of two inputs: maxima, and the indices that max pooling gave with them.
#define RUTILE_UNPOOL_CELL(Name, Size)                                      \
  using Name##Options = ops::Name##Attrs;                                   \
  class RUTILE_API Name : public Cell {                                     \
   public:                                                                  \
    explicit Name(Size kernel, Name##Options options = {});                 \
    std::string type_name() const override { return #Name; }                \
    std::string extra_repr() const override;                                \
                                                                            \
   protected:                                                               \
    Tensor construct_pair(const Tensor& x, const Tensor& indices) override; \
                                                                            \
   private:                                                                 \
    Name##Options options_;                                                 \
  };
RUTILE_UNPOOL_CELL(MaxUnpool1d, int64_t)
RUTILE_UNPOOL_CELL(MaxUnpool2d, Int2)
RUTILE_UNPOOL_CELL(MaxUnpool3d, Int3)
#undef RUTILE_UNPOOL_CELL

}  // namespace rutile::nn
