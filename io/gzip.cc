// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <algorithm>

#include "rutile/io/fd.h"
#include "rutile/io/file.h"

namespace rutile::io {
namespace {

class Inflater {
 public:
  explicit Inflater(const Blob& in) : in_(in) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&z_, kGzipOnly) != Z_OK) {
      throw_error(ErrorCode::kOutOfMemory, cat("no memory to decompress '", in.name(), "'"));
    }
  }
  ~Inflater() { inflateEnd(&z_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Fills `out` and returns how much came; less than `bytes` only at the end of the last member.
  size_t read(uint8_t* out, size_t bytes) {
    size_t done = 0;
    while (done < bytes && !finished_) {
      if (z_.avail_in == 0) feed();
      const uInt room = clamp(bytes - done);
      z_.next_out = out + done;
      z_.avail_out = room;
      const int rc = inflate(&z_, Z_NO_FLUSH);
      done += room - z_.avail_out;
      if (rc == Z_STREAM_END) {
        next_member();
      } else if (rc == Z_BUF_ERROR && z_.avail_in == 0 && fed_ == in_.size()) {
        format_error(in_.name(), position(), "the compressed data end too early");
      } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
        format_error(in_.name(), position(),
                     cat("the compressed data are corrupt (", z_.msg ? z_.msg : zError(rc), ")"));
      }
    }
    return done;
  }
  bool finished() const { return finished_; }
  uint64_t position() const { return fed_ - z_.avail_in; }

 private:
  static uInt clamp(size_t n) { return static_cast<uInt>(std::min<size_t>(n, size_t{1} << 30)); }
  void feed() {
    z_.next_in = in_.data() + fed_;
    z_.avail_in = clamp(in_.size() - fed_);
    fed_ += z_.avail_in;
  }
  void next_member() {
    if (z_.avail_in == 0) feed();
    // Zeros after the last member are padding, as gzip itself takes it.
    while (z_.avail_in > 0 && *z_.next_in == 0) {
      ++z_.next_in;
      if (--z_.avail_in == 0) feed();
    }
    if (z_.avail_in == 0) {
      finished_ = true;
    } else {
      inflateReset(&z_);
    }
  }

  const Blob& in_;
  z_stream z_{};
  size_t fed_ = 0;
  bool finished_ = false;
};

}  // namespace

bool is_gzip(const Blob& blob) {
  return blob.size() >= 2 && blob.data()[0] == 0x1f && blob.data()[1] == 0x8b;
}

Ref<Blob> gunzip(const Blob& in, uint64_t max_bytes) {
  max_bytes = std::min(max_bytes, kMaxFileBytes);
  Inflater inflater(in);
  MallocBuffer out(in.name());
  out.reserve(std::min<uint64_t>(max_bytes, uint64_t{in.size()} * 4) + 1);
  while (true) {
    out.size += inflater.read(out.data + out.size, out.capacity - out.size);
    if (out.size > max_bytes) {
      format_error(in.name(), inflater.position(),
                   cat("decompresses to more than ", max_bytes, " bytes"));
    }
    if (inflater.finished()) return out.release();
    if (out.size == out.capacity) {
      out.reserve(std::min<uint64_t>(max_bytes + 1, uint64_t{out.capacity} * 2));
    }
  }
}

std::vector<uint8_t> gunzip_prefix(const Blob& in, size_t bytes) {
  std::vector<uint8_t> out(bytes);
  out.resize(Inflater(in).read(out.data(), bytes));
  return out;
}

}  // namespace rutile::io
