// SPDX-License-Identifier: Apache-2.0
// Files: read or mapped into a Blob, written so that a crash leaves the old file or the new one.
//
//   io::atomic_write("weights.bin", [&](io::FileWriter& out) { out.write(data, bytes); });
//   Ref<io::Blob> blob = io::read_file("weights.bin");
//
// Functions throw Error: kNotFound for a file or folder that is not there, kIo for what the system
// refuses, kValue for contents that are not what the format says (with path and offset).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "rutile/core/api.h"
#include "rutile/core/ref.h"

namespace rutile::io {

// Bytes with the name that errors show. Memory that was read or a private mapping: writing to it
// (as the last owner of a tensor in it may) never reaches the file.
class RUTILE_API Blob final : public RefCounted {
 public:
  // Takes memory from malloc (`mapped` false) or from mmap.
  Blob(uint8_t* data, size_t size, bool mapped, std::string name)
      : data_(data), size_(size), mapped_(mapped), name_(std::move(name)) {}
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& name() const { return name_; }

 private:
  ~Blob() override;
  uint8_t* data_;
  size_t size_;
  bool mapped_;
  std::string name_;
};

inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 36;

// The whole file; an error, before anything is allocated, if it has more than `max_bytes`.
RUTILE_API Ref<Blob> read_file(const std::string& path, uint64_t max_bytes = kMaxFileBytes);
// Maps a file: its pages are read when touched. The file must not shrink meanwhile, which holds
// for files that atomic_write replaces.
RUTILE_API Ref<Blob> map_file(const std::string& path);
RUTILE_API Ref<Blob> copy_bytes(const void* data, size_t bytes, std::string name);

RUTILE_API bool is_gzip(const Blob& blob);
// Decompresses all members. More than `max_bytes` of output, a wrong checksum or a missing end is
// an error; memory grows with the output that really comes.
RUTILE_API Ref<Blob> gunzip(const Blob& in, uint64_t max_bytes);
// The first `bytes` bytes of the output, fewer if it ends before.
RUTILE_API std::vector<uint8_t> gunzip_prefix(const Blob& in, size_t bytes);

// Throws Error{kValue}: "'<name>' at offset <offset>: <what>".
[[noreturn]] RUTILE_API void format_error(const std::string& name, uint64_t offset,
                                          std::string_view what);

// Appends to a file that is being written; small writes are gathered.
class RUTILE_API FileWriter {
 public:
  explicit FileWriter(int fd) : fd_(fd) {}
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  uint64_t position() const { return position_; }
  void flush();

 private:
  int fd_;
  uint64_t position_ = 0;
  std::vector<uint8_t> buffer_;
};

// Replaces `path` by what `writer` writes: into a temporary file in the same folder, synced, then
// renamed. If anything fails (full disk, no permission, an exception of `writer`) the old file
// stays as it was, the temporary file is removed and one Error is thrown. What processes that were
// killed left behind is removed by the next save of the same file. A symbolic link is followed, the
// permissions of an existing file are kept.
RUTILE_API void atomic_write(const std::string& path,
                             const std::function<void(FileWriter&)>& writer);

}  // namespace rutile::io
