// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/transform.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace rutile::dataset {

std::string to_string(const ImageMeta& m) {
  return cat(m.dtype, Shape{m.channels, m.height, m.width});
}

namespace {

constexpr int64_t kMaxSide = 1 << 15;

[[noreturn]] void refuse(std::string why) { throw_error(ErrorCode::kValue, std::move(why)); }

void check_side(const char* op, int64_t value, int64_t least) {
  if (value < least || value > kMaxSide) {
    refuse(cat(op, " takes sizes from ", least, " to ", kMaxSide, ", got ", value));
  }
}

class Normalize final : public Transform {
 public:
  Normalize(const char* name, std::vector<float> mean, std::vector<float> std)
      : name_(name), mean_(std::move(mean)), std_(std::move(std)) {
    if (mean_.empty() || mean_.size() != std_.size()) {
      refuse(cat("normalize takes a mean and a deviation for each channel, got ", mean_.size(),
                 " and ", std_.size()));
    }
    for (size_t c = 0; c < mean_.size(); ++c) {
      if (!std::isfinite(mean_[c]) || !std::isfinite(std_[c]) || std_[c] == 0) {
        refuse(cat("normalize takes finite means and deviations other than 0, got ", mean_[c],
                   " and ", std_[c]));
      }
      std::array<float, 256>& table = tables_.emplace_back();
      for (int v = 0; v < 256; ++v) table[v] = value(static_cast<float>(v) / 255.0f, c);
    }
  }
  const char* name() const override { return name_; }
  ImageMeta infer(const ImageMeta& in) const override {
    if (mean_.size() != 1 && static_cast<int64_t>(mean_.size()) != in.channels) {
      refuse(cat(name_, " has values for ", mean_.size(), " channels, the image is ", in));
    }
    return {DType::kF32, in.channels, in.height, in.width};
  }
  void run(const ImageMeta& meta, const void* in, void* out, Random&) const override {
    const int64_t n = meta.pixels();
    float* to = static_cast<float*>(out);
    for (int64_t c = 0; c < meta.channels; ++c, to += n) {
      const size_t row = mean_.size() == 1 ? 0 : static_cast<size_t>(c);
      if (meta.dtype == DType::kU8) {
        const float* table = tables_[row].data();
        const uint8_t* from = static_cast<const uint8_t*>(in) + c * n;
        for (int64_t i = 0; i < n; ++i) to[i] = table[from[i]];
      } else {
        const float* from = static_cast<const float*>(in) + c * n;
        for (int64_t i = 0; i < n; ++i) to[i] = value(from[i], row);
      }
    }
  }

 private:
  float value(float x, size_t c) const { return (x - mean_[c]) / std_[c]; }
  const char* name_;
  std::vector<float> mean_, std_;
  std::vector<std::array<float, 256>> tables_;
};

class ToFloat final : public Transform {
 public:
  const char* name() const override { return "to_float"; }
  ImageMeta infer(const ImageMeta& in) const override {
    if (in.dtype != DType::kU8) refuse(cat("to_float takes a u8 image, got ", in));
    return scale_.infer(in);
  }
  void run(const ImageMeta& meta, const void* in, void* out, Random& random) const override {
    scale_.run(meta, in, out, random);
  }

 private:
  Normalize scale_{"to_float", {0}, {1}};
};

class RepeatChannels final : public Transform {
 public:
  explicit RepeatChannels(int64_t channels) : channels_(channels) {
    check_side("repeat_channels", channels, 1);
  }
  const char* name() const override { return "repeat_channels"; }
  ImageMeta infer(const ImageMeta& in) const override {
    if (in.channels != 1 && in.channels != channels_) {
      refuse(cat("repeat_channels(", channels_, ") takes 1 or ", channels_, " channels, got ", in));
    }
    return {in.dtype, channels_, in.height, in.width};
  }
  void run(const ImageMeta& meta, const void* in, void* out, Random&) const override {
    const size_t bytes = meta.bytes();
    char* to = static_cast<char*>(out);
    for (int64_t c = 0; c < channels_ / meta.channels; ++c) std::memcpy(to + c * bytes, in, bytes);
  }

 private:
  int64_t channels_;
};

// Where an output coordinate falls between two input coordinates.
struct Tap {
  int64_t low, high;
  float weight;  // of `high`
};

void make_taps(int64_t in, int64_t out, std::vector<Tap>* taps) {
  taps->resize(static_cast<size_t>(out));
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (int64_t i = 0; i < out; ++i) {
    const float at = std::max(0.0f, (static_cast<float>(i) + 0.5f) * scale - 0.5f);
    const int64_t low = std::min(static_cast<int64_t>(at), in - 1);
    (*taps)[i] = {low, std::min(low + 1, in - 1), at - static_cast<float>(low)};
  }
}

template <class T>
T rounded(float v) {
  if constexpr (std::is_same_v<T, uint8_t>) {
    return static_cast<T>(v + 0.5f);
  } else {
    return v;
  }
}

class Resize final : public Transform {
 public:
  Resize(int64_t height, int64_t width) : height_(height), width_(width) {
    check_side("resize", height, 1);
    check_side("resize", width, 1);
  }
  const char* name() const override { return "resize"; }
  ImageMeta infer(const ImageMeta& in) const override {
    if (in.pixels() == 0) refuse(cat("resize takes an image with pixels, got ", in));
    return {in.dtype, in.channels, height_, width_};
  }
  void run(const ImageMeta& meta, const void* in, void* out, Random&) const override {
    if (meta.dtype == DType::kU8) {
      run_typed<uint8_t>(meta, static_cast<const uint8_t*>(in), static_cast<uint8_t*>(out));
    } else {
      run_typed<float>(meta, static_cast<const float*>(in), static_cast<float*>(out));
    }
  }

 private:
  template <class T>
  void run_typed(const ImageMeta& meta, const T* in, T* out) const {
    thread_local std::vector<Tap> rows, columns;
    make_taps(meta.height, height_, &rows);
    make_taps(meta.width, width_, &columns);
    for (int64_t c = 0; c < meta.channels; ++c, in += meta.pixels()) {
      for (const Tap& y : rows) {
        const T* a = in + y.low * meta.width;
        const T* b = in + y.high * meta.width;
        for (const Tap& x : columns) {
          const float top = (1 - x.weight) * a[x.low] + x.weight * a[x.high];
          const float bottom = (1 - x.weight) * b[x.low] + x.weight * b[x.high];
          *out++ = rounded<T>((1 - y.weight) * top + y.weight * bottom);
        }
      }
    }
  }
  int64_t height_, width_;
};

class RandomCrop final : public Transform {
 public:
  RandomCrop(int64_t height, int64_t width, int64_t padding)
      : height_(height), width_(width), padding_(padding) {
    check_side("random_crop", height, 1);
    check_side("random_crop", width, 1);
    check_side("random_crop's padding", padding, 0);
  }
  const char* name() const override { return "random_crop"; }
  ImageMeta infer(const ImageMeta& in) const override {
    if (in.height + 2 * padding_ < height_ || in.width + 2 * padding_ < width_) {
      refuse(cat("random_crop(", height_, ", ", width_, ") with padding ", padding_,
                 " takes larger images than ", in));
    }
    return {in.dtype, in.channels, height_, width_};
  }
  void run(const ImageMeta& meta, const void* in, void* out, Random& random) const override {
    const int64_t top = random.below(meta.height + 2 * padding_ - height_ + 1) - padding_;
    const int64_t left = random.below(meta.width + 2 * padding_ - width_ + 1) - padding_;
    const int64_t size = static_cast<int64_t>(dtype_size(meta.dtype));
    // Columns [from, to) of the window lie inside the image.
    const int64_t from = std::clamp<int64_t>(-left, 0, width_);
    const int64_t to = std::clamp<int64_t>(meta.width - left, from, width_);
    const char* plane = static_cast<const char*>(in);
    char* row = static_cast<char*>(out);
    for (int64_t c = 0; c < meta.channels; ++c, plane += meta.pixels() * size) {
      for (int64_t y = top; y < top + height_; ++y, row += width_ * size) {
        if (y < 0 || y >= meta.height) {
          std::memset(row, 0, static_cast<size_t>(width_ * size));
          continue;
        }
        std::memset(row, 0, static_cast<size_t>(from * size));
        std::memcpy(row + from * size, plane + (y * meta.width + left + from) * size,
                    static_cast<size_t>((to - from) * size));
        std::memset(row + to * size, 0, static_cast<size_t>((width_ - to) * size));
      }
    }
  }

 private:
  int64_t height_, width_, padding_;
};

class RandomFlip final : public Transform {
 public:
  explicit RandomFlip(float probability) : probability_(probability) {
    if (!(probability >= 0 && probability <= 1)) {
      refuse(cat("random_flip takes a probability in [0, 1], got ", probability));
    }
  }
  const char* name() const override { return "random_flip"; }
  ImageMeta infer(const ImageMeta& in) const override { return in; }
  void run(const ImageMeta& meta, const void* in, void* out, Random& random) const override {
    if (random.uniform() >= probability_) {
      std::memcpy(out, in, meta.bytes());
    } else if (meta.dtype == DType::kU8) {
      mirror<uint8_t>(meta, in, out);
    } else {
      mirror<float>(meta, in, out);
    }
  }

 private:
  template <class T>
  static void mirror(const ImageMeta& meta, const void* in, void* out) {
    const T* from = static_cast<const T*>(in);
    T* to = static_cast<T*>(out);
    for (int64_t row = 0; row < meta.channels * meta.height; ++row, from += meta.width) {
      to = std::reverse_copy(from, from + meta.width, to);
    }
  }
  float probability_;
};

}  // namespace

TransformPtr to_float() { return std::make_shared<ToFloat>(); }

TransformPtr normalize(std::vector<float> mean, std::vector<float> std) {
  return std::make_shared<Normalize>("normalize", std::move(mean), std::move(std));
}

TransformPtr repeat_channels(int64_t channels) {
  return std::make_shared<RepeatChannels>(channels);
}

TransformPtr resize(int64_t height, int64_t width) {
  return std::make_shared<Resize>(height, width);
}

TransformPtr random_crop(int64_t height, int64_t width, int64_t padding) {
  return std::make_shared<RandomCrop>(height, width, padding);
}

TransformPtr random_flip(float probability) { return std::make_shared<RandomFlip>(probability); }

}  // namespace rutile::dataset
