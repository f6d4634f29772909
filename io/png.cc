// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/png.h"

#include <zlib.h>

#include <string_view>

#include "rutile/core/error.h"

namespace rutile::io {
namespace {

constexpr int64_t kMaxSide = 1 << 20;

void append_big(uint32_t v, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(v >> shift));
}

void append_chunk(std::string_view type, std::string_view data, std::string* out) {
  append_big(static_cast<uint32_t>(data.size()), out);
  const size_t at = out->size();
  out->append(type).append(data);
  const auto* p = reinterpret_cast<const Bytef*>(out->data() + at);
  append_big(static_cast<uint32_t>(::crc32_z(0, p, out->size() - at)), out);
}

}  // namespace

std::string encode_png(const uint8_t* pixels, int64_t width, int64_t height, int channels) {
  static constexpr char kColours[] = {0, 4, 2, 6};
  if (channels < 1 || channels > 4) {
    throw_error(ErrorCode::kValue, cat("a PNG image has 1 to 4 channels, got ", channels));
  }
  if (width <= 0 || height <= 0 || width > kMaxSide || height > kMaxSide) {
    throw_error(ErrorCode::kValue, cat("no PNG image has ", height, " x ", width, " pixels"));
  }
  const size_t row = static_cast<size_t>(width) * channels;
  std::string raw;
  raw.reserve((row + 1) * height);
  for (int64_t y = 0; y < height; ++y) {
    // Differences to the row above (filter 2) pack better than pixels; the first row has none.
    raw.push_back(y == 0 ? 0 : 2);
    const uint8_t* p = pixels + y * row;
    for (size_t i = 0; i < row; ++i) {
      raw.push_back(static_cast<char>(y == 0 ? p[i] : p[i] - p[i - row]));
    }
  }
  uLongf size = ::compressBound(raw.size());
  std::string packed(size, '\0');
  if (::compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                  reinterpret_cast<const Bytef*>(raw.data()), raw.size(), 6) != Z_OK) {
    throw_error(ErrorCode::kRuntime, "zlib cannot compress an image");
  }
  packed.resize(size);
  std::string head;
  append_big(static_cast<uint32_t>(width), &head);
  append_big(static_cast<uint32_t>(height), &head);
  head.append({8, kColours[channels - 1], 0, 0, 0});
  std::string file("\x89PNG\r\n\x1a\n");
  append_chunk("IHDR", head, &file);
  append_chunk("IDAT", packed, &file);
  append_chunk("IEND", "", &file);
  return file;
}

}  // namespace rutile::io
