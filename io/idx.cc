// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/idx.h"

#include <bit>
#include <cstring>

namespace rutile::io {
namespace {

constexpr size_t kMaxHeader = 4 + 4 * kMaxRank;

struct Header {
  DType dtype = DType::kU8;
  Shape shape;
  size_t bytes = 0;         // of the header itself
  uint64_t file_bytes = 0;  // header and elements
};

uint32_t big_endian(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 |
         static_cast<uint32_t>(p[2]) << 8 | p[3];
}

bool dtype_of_code(uint8_t code, DType* out) {
  switch (code) {
    case 0x08:
      *out = DType::kU8;
      return true;
    case 0x09:
      *out = DType::kI8;
      return true;
    case 0x0B:
      *out = DType::kI16;
      return true;
    case 0x0C:
      *out = DType::kI32;
      return true;
    case 0x0D:
      *out = DType::kF32;
      return true;
    case 0x0E:
      *out = DType::kF64;
      return true;
    default:
      return false;
  }
}

Header parse_header(const uint8_t* p, size_t bytes, const std::string& name) {
  if (bytes < 4) format_error(name, bytes, "the file ends inside the IDX magic number");
  Header h;
  if (p[0] != 0 || p[1] != 0 || !dtype_of_code(p[2], &h.dtype)) {
    format_error(name, 0,
                 cat("not an IDX file: it starts with ", p[0], " ", p[1], " ", p[2], " ", p[3],
                     " instead of 0 0 <type> <rank>"));
  }
  const int rank = p[3];
  if (rank > kMaxRank) {
    format_error(name, 3,
                 cat("the array has ", rank, " dimensions, at most ", kMaxRank, " are supported"));
  }
  h.bytes = 4 + 4 * static_cast<size_t>(rank);
  if (bytes < h.bytes) format_error(name, bytes, "the file ends inside the sizes");
  for (int i = 0; i < rank; ++i) h.shape.push_back(big_endian(p + 4 + 4 * i));
  int64_t numel = 0;
  if (Status s = checked_numel(h.shape, &numel); !s.ok()) format_error(name, 4, s.message());
  h.file_bytes = h.bytes + static_cast<uint64_t>(numel) * dtype_size(h.dtype);
  return h;
}

template <class Word>
void copy_swapped(const uint8_t* from, int64_t n, void* to) {
  uint8_t* out = static_cast<uint8_t*>(to);
  for (int64_t i = 0; i < n; ++i) {
    for (size_t b = 0; b < sizeof(Word); ++b) {
      const size_t at = std::endian::native == std::endian::little ? sizeof(Word) - 1 - b : b;
      out[at] = from[b];
    }
    from += sizeof(Word);
    out += sizeof(Word);
  }
}

}  // namespace

Tensor parse_idx(const Ref<Blob>& blob) {
  Ref<Blob> plain = blob;
  const std::string& name = blob->name();
  if (is_gzip(*blob)) {
    // The header first: it bounds what the rest may decompress to.
    const std::vector<uint8_t> start = gunzip_prefix(*blob, kMaxHeader);
    plain = gunzip(*blob, parse_header(start.data(), start.size(), name).file_bytes);
  }
  const Header h = parse_header(plain->data(), plain->size(), name);
  if (plain->size() != h.file_bytes) {
    format_error(name, std::min<uint64_t>(plain->size(), h.file_bytes),
                 cat("the header promises ", to_string(h.dtype), to_string(h.shape), ", ",
                     h.file_bytes, " bytes in all, but there are ", plain->size()));
  }
  uint8_t* elements = plain->data() + h.bytes;
  const TensorMeta meta(h.shape, h.dtype);
  if (dtype_size(h.dtype) == 1) return Tensor::view_of(plain, elements, meta);
  Tensor out = Tensor::empty(meta);
  if (meta.numel() == 0) return out;
  switch (dtype_size(h.dtype)) {
    case 2:
      copy_swapped<uint16_t>(elements, meta.numel(), out.mutable_data());
      break;
    case 4:
      copy_swapped<uint32_t>(elements, meta.numel(), out.mutable_data());
      break;
    default:
      copy_swapped<uint64_t>(elements, meta.numel(), out.mutable_data());
      break;
  }
  return out;
}

Tensor read_idx(const std::string& path) { return parse_idx(read_file(path)); }

}  // namespace rutile::io
