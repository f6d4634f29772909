// SPDX-License-Identifier: Apache-2.0
// Operations on one image, applied by the pipeline in the order given:
//
//   std::vector<TransformPtr> transforms = {random_crop(32, 32, 4), random_flip(),
//                                           normalize({0.5f, 0.5f, 0.5f}, {0.2f, 0.2f, 0.2f})};
//
// An image is u8 or f32, [C,H,W], row-major. Crops, flips and resizing keep the dtype.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rutile/core/api.h"
#include "rutile/core/dtype.h"
#include "rutile/core/rng.h"
#include "rutile/core/shape.h"

namespace rutile::dataset {

struct ImageMeta {
  DType dtype = DType::kU8;
  int64_t channels = 1, height = 0, width = 0;
  int64_t pixels() const { return height * width; }
  size_t bytes() const { return static_cast<size_t>(channels * pixels()) * dtype_size(dtype); }
  bool operator==(const ImageMeta&) const = default;
};
RUTILE_API std::string to_string(const ImageMeta& m);  // "u8[3,32,32]"

// The numbers that one operation draws for one sample of one epoch. They depend on nothing else
// (seed apart), so that the number of workers and a resumed run change nothing.
class Random {
 public:
  explicit Random(PhiloxKey key) : key_(key) {}
  uint32_t bits() {
    if (used_ == 4) {
      words_ = philox(key_, block_++);
      used_ = 0;
    }
    return words_[used_++];
  }
  float uniform() { return uniform_f32(bits()); }  // [0, 1)
  // [0, n), n below 2^32.
  int64_t below(int64_t n) {
    return static_cast<int64_t>(uint64_t{bits()} * static_cast<uint64_t>(n) >> 32);
  }

 private:
  PhiloxKey key_;
  uint64_t block_ = 0;
  std::array<uint32_t, 4> words_{};
  int used_ = 4;
};

// Users may write their own; objects are shared by all workers and do not change.
class RUTILE_API Transform {
 public:
  virtual ~Transform() = default;
  virtual const char* name() const = 0;
  // What comes out for what goes in; throws Error{kValue} for an image that does not fit.
  virtual ImageMeta infer(const ImageMeta& in) const = 0;
  // Writes infer(meta) bytes to `out`, which does not overlap `in`.
  virtual void run(const ImageMeta& meta, const void* in, void* out, Random& random) const = 0;
};
using TransformPtr = std::shared_ptr<const Transform>;

// u8 to f32 in [0, 1].
RUTILE_API TransformPtr to_float();
// (x - mean) / std for each channel, to f32; u8 is scaled to [0, 1] first. One value serves all
// channels.
RUTILE_API TransformPtr normalize(std::vector<float> mean, std::vector<float> std);
// Repeats the one channel of a grey image; an image that has `channels` already stays as it is.
RUTILE_API TransformPtr repeat_channels(int64_t channels);
// Bilinear with half-pixel centres and without antialiasing, as PyTorch's
// interpolate(mode="bilinear", align_corners=False); u8 is rounded to nearest.
RUTILE_API TransformPtr resize(int64_t height, int64_t width);
// A window at a random place of the image with `padding` zeros added on each side.
RUTILE_API TransformPtr random_crop(int64_t height, int64_t width, int64_t padding = 0);
// Mirrors left to right with this probability.
RUTILE_API TransformPtr random_flip(float probability = 0.5f);

}  // namespace rutile::dataset
