// SPDX-License-Identifier: Apache-2.0
// Layers without parameters that change the size of images or move their elements.
//
//   auto up = nn::make<nn::Upsample>(nn::UpsampleOptions{.scale_factor = 2});
//   auto pad = nn::make<nn::ReflectionPad2d>(1);
//   Tensor y = pad(up(x));   // f32[8,3,32,32] -> f32[8,3,66,66]
#pragma once

#include "rutile/nn/layers.h"
#include "rutile/ops/interpolate.h"
#include "rutile/ops/unfold.h"
#include "rutile/ops/view.h"

namespace rutile::nn {

using UpsampleOptions = ops::InterpolateAttrs;
class RUTILE_API Upsample : public Cell {
 public:
  explicit Upsample(UpsampleOptions options) : options_(options) {}
  std::string type_name() const override { return "Upsample"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  UpsampleOptions options_;
};

// Declares a Cell with one number.
#define RUTILE_NUMBER_CELL(Name)                                \
  class RUTILE_API Name : public Cell {                         \
   public:                                                      \
    explicit Name(int64_t n) : n_(n) {}                         \
    std::string type_name() const override { return #Name; }    \
    std::string extra_repr() const override { return cat(n_); } \
                                                                \
   protected:                                                   \
    Tensor construct(const Tensor& x) override;                 \
                                                                \
   private:                                                     \
    int64_t n_;                                                 \
  };
RUTILE_NUMBER_CELL(PixelShuffle)    // the upscale factor
RUTILE_NUMBER_CELL(PixelUnshuffle)  // the downscale factor
RUTILE_NUMBER_CELL(ChannelShuffle)  // groups
#undef RUTILE_NUMBER_CELL

using UnfoldOptions = ops::UnfoldAttrs;
class RUTILE_API Unfold : public Cell {
 public:
  explicit Unfold(Int2 kernel, UnfoldOptions options = {});
  std::string type_name() const override { return "Unfold"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  UnfoldOptions options_;
};

using FoldOptions = ops::FoldAttrs;
class RUTILE_API Fold : public Cell {
 public:
  Fold(Int2 output_size, Int2 kernel, FoldOptions options = {});
  std::string type_name() const override { return "Fold"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  FoldOptions options_;
};

// Pads the last `spatial` dimensions. `widths`: one number for all sides, or two for each
// dimension, the last one's first: {left, right, top, bottom, front, back}. Error{kValue} for
// another number of them.
class RUTILE_API Pad : public Cell {
 public:
  Pad(int spatial, const Dims& widths, PadMode mode, double value = 0);
  std::string type_name() const override { return "Pad"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  int spatial_;
  Dims widths_;
  PadMode mode_;
  double value_;
};

// Declares padding of one mode for images of 1 to 3 dimensions; a plain number is for all sides.
#define RUTILE_PAD_CELL(Name, spatial, mode)                          \
  class RUTILE_API Name : public Pad {                                \
   public:                                                            \
    explicit Name(const Dims& widths) : Pad(spatial, widths, mode) {} \
    explicit Name(int64_t width) : Pad(spatial, {width}, mode) {}     \
    std::string type_name() const override { return #Name; }          \
  };
RUTILE_PAD_CELL(ReflectionPad1d, 1, PadMode::kReflect)
RUTILE_PAD_CELL(ReflectionPad2d, 2, PadMode::kReflect)
RUTILE_PAD_CELL(ReflectionPad3d, 3, PadMode::kReflect)
RUTILE_PAD_CELL(ReplicationPad1d, 1, PadMode::kReplicate)
RUTILE_PAD_CELL(ReplicationPad2d, 2, PadMode::kReplicate)
RUTILE_PAD_CELL(ReplicationPad3d, 3, PadMode::kReplicate)
RUTILE_PAD_CELL(CircularPad1d, 1, PadMode::kCircular)
RUTILE_PAD_CELL(CircularPad2d, 2, PadMode::kCircular)
RUTILE_PAD_CELL(CircularPad3d, 3, PadMode::kCircular)
RUTILE_PAD_CELL(ZeroPad1d, 1, PadMode::kConstant)
RUTILE_PAD_CELL(ZeroPad2d, 2, PadMode::kConstant)
RUTILE_PAD_CELL(ZeroPad3d, 3, PadMode::kConstant)
#undef RUTILE_PAD_CELL

// The same with any value.
#define RUTILE_CONSTANT_PAD_CELL(Name, spatial)                                                 \
  class RUTILE_API Name : public Pad {                                                          \
   public:                                                                                      \
    Name(const Dims& widths, double value) : Pad(spatial, widths, PadMode::kConstant, value) {} \
    Name(int64_t width, double value) : Name(Dims{width}, value) {}                             \
    std::string type_name() const override { return #Name; }                                    \
  };
RUTILE_CONSTANT_PAD_CELL(ConstantPad1d, 1)
RUTILE_CONSTANT_PAD_CELL(ConstantPad2d, 2)
RUTILE_CONSTANT_PAD_CELL(ConstantPad3d, 3)
#undef RUTILE_CONSTANT_PAD_CELL

}  // namespace rutile::nn
