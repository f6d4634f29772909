// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rutile/core/rng.h"
#include "rutile/dataset/images.h"
#include "rutile/dataset/text.h"

namespace rutile::dataset {
namespace {

enum Stream : uint64_t { kPatterns, kSamples };

void check_count(int64_t value, int64_t most, const char* what) {
  if (value < 1 || value > most) {
    throw_error(ErrorCode::kValue,
                cat("synthetic data need 1 to ", most, " ", what, ", got ", value));
  }
}

class ImageMaker final : public Source {
 public:
  explicit ImageMaker(const SyntheticImages& o)
      : o_(o), samples_(fold_in({o.seed}, kSamples)), patterns_(fold_in({o.seed}, kPatterns)) {
    check_count(o.samples, int64_t{1} << 40, "samples");
    check_count(o.classes, 1 << 24, "classes");
    if (o.shape.rank() != 3) {
      throw_error(ErrorCode::kValue, cat("synthetic images need a shape [C,H,W], got ", o.shape));
    }
    for (const int64_t d : o.shape) check_count(d, 1 << 14, "channels, rows and columns");
  }
  int64_t size() const override { return o_.samples; }
  int64_t classes() const override { return o_.classes; }

  void read(int64_t index, Sample* out) const override {
    const PhiloxKey key = fold_in(samples_, static_cast<uint64_t>(o_.first + index));
    const int64_t label =
        static_cast<int64_t>(uint64_t{philox(key, ~uint64_t{0})[0]} * o_.classes >> 32);
    const PhiloxKey pattern = fold_in(patterns_, static_cast<uint64_t>(label));
    const int64_t channels = o_.shape[0], height = o_.shape[1], width = o_.shape[2];
    auto* pixels = static_cast<uint8_t*>(out->add_owned(DType::kU8, o_.shape));
    uint8_t* p = pixels;
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t y = 0; y < height; ++y, p += width) {
        const int64_t cell_row = y * kCells / height;
        if (y > 0 && cell_row == (y - 1) * kCells / height) {
          std::copy(p - width, p, p);
          continue;
        }
        for (int64_t x = 0; x < width; ++x) {
          const int64_t cell = (c * kCells + cell_row) * kCells + x * kCells / width;
          p[x] = static_cast<uint8_t>(kDarkest + (byte(pattern, cell) & kContrast));
        }
      }
    }
    add_noise(key, pixels, channels * height * width);
    out->add_scalar(static_cast<int32_t>(label));
  }
  std::string describe(int64_t index) const override {
    return cat("synthetic image ", o_.first + index);
  }

 private:
  static constexpr int64_t kCells = 4;  // a pattern has 4x4 cells a channel
  static constexpr int kDarkest = 48, kContrast = 63, kNoise = 127;

  static uint8_t byte(PhiloxKey key, int64_t i) {
    return static_cast<uint8_t>(philox(key, static_cast<uint64_t>(i / 16))[i / 4 % 4] >> i % 4 * 8);
  }
  // kDarkest + kContrast + kNoise stay below 256.
  static void add_noise(PhiloxKey key, uint8_t* p, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) {
      const auto words = philox(key, static_cast<uint64_t>(i / 16));
      uint8_t noise[16];
      std::memcpy(noise, words.data(), sizeof(noise));
      const int64_t end = std::min<int64_t>(16, n - i);
      for (int64_t j = 0; j < end; ++j)
        p[i + j] = static_cast<uint8_t>(p[i + j] + (noise[j] & kNoise));
    }
  }

  SyntheticImages o_;
  PhiloxKey samples_, patterns_;
};

class TokenMaker final : public Source {
 public:
  explicit TokenMaker(const SyntheticTokens& o) : o_(o), samples_(fold_in({o.seed}, kSamples)) {
    check_count(o.samples, int64_t{1} << 40, "samples");
    check_count(o.vocabulary, 1 << 24, "symbols");
    check_count(o.window, 1 << 24, "positions");
    const auto words = philox(fold_in({o.seed}, kPatterns), 0);
    step_ = 1 + words[0] % static_cast<uint32_t>(o.vocabulary);
  }
  int64_t size() const override { return o_.samples; }
  int64_t classes() const override { return o_.vocabulary; }
  void read(int64_t index, Sample* out) const override {
    const PhiloxKey key = fold_in(samples_, static_cast<uint64_t>(o_.first + index));
    const auto symbols = static_cast<uint64_t>(o_.vocabulary);
    auto* x = static_cast<int32_t*>(out->add_owned(DType::kI32, {o_.window}));
    auto* y = static_cast<int32_t*>(out->add_owned(DType::kI32, {o_.window}));
    uint64_t token = philox(key, ~uint64_t{0})[0] * symbols >> 32;
    for (int64_t i = 0; i < o_.window; ++i) {
      x[i] = static_cast<int32_t>(token);
      const auto words = philox(key, static_cast<uint64_t>(i));
      token = words[0] % 8 == 0 ? words[1] * symbols >> 32 : (token * 3 + step_) % symbols;
      y[i] = static_cast<int32_t>(token);
    }
  }
  std::string describe(int64_t index) const override {
    return cat("synthetic text ", o_.first + index);
  }

 private:
  SyntheticTokens o_;
  PhiloxKey samples_;
  uint64_t step_;
};

}  // namespace

SourcePtr synthetic_images(const SyntheticImages& options) {
  return std::make_shared<ImageMaker>(options);
}

SourcePtr synthetic_tokens(const SyntheticTokens& options) {
  return std::make_shared<TokenMaker>(options);
}

}  // namespace rutile::dataset
