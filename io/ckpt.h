// SPDX-License-Identifier: Apache-2.0
// MindSpore's weight files (.ckpt), both ways: a protobuf message
//
//   Checkpoint { repeated Value value = 1; }    Value { string tag = 1; TensorProto tensor = 2; }
//   TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3; }
//
// with elements row-major and little-endian. A tensor of more than 512 MiB stands in several
// values of one tag. Text has the type "str", dims [0] and UTF-32. A file may end with "crc_num"
// and the CRC-32 of what stands before, as ten bytes, big-endian.
//
//   io::save_ckpt("net.ckpt", {{"fc.weight", w}, {"epoch", Tensor::scalar(3)}, {"note", "v2"}});
//   for (const io::CkptEntry& e : io::load_ckpt("net.ckpt")) use(e.name, e.tensor);
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/io/file.h"

namespace rutile::io {

struct CkptEntry {
  CkptEntry(std::string n, Tensor t) : name(std::move(n)), tensor(std::move(t)) {}
  CkptEntry(std::string n, std::string t) : name(std::move(n)), text(std::move(t)), is_text(true) {}
  CkptEntry(std::string n, const char* t) : CkptEntry(std::move(n), std::string(t)) {}

  std::string name;
  Tensor tensor;     // a copy of the file's bytes; undefined for text
  std::string text;  // UTF-8
  bool is_text = false;
};

struct CkptOptions {
  bool crc = false;                            // append the checksum
  uint64_t chunk_bytes = uint64_t{512} << 20;  // elements of a tensor in one value at most
};

// Writes the entries in the given order, by atomic_write. Tensors may have any strides, layout and
// device. Error{kValue}: a name twice, text that is not UTF-8, chunk_bytes of 0.
RUTILE_API void save_ckpt(const std::string& path, const std::vector<CkptEntry>& entries,
                          const CkptOptions& options = {});

// All entries in the order of the file; a checksum that is there is verified. Error{kNotFound},
// Error{kValue} for a damaged file (with the offset) and for what is no such file,
// Error{kUnsupported} for element types that Rutile has not and for hash maps of parameters.
RUTILE_API std::vector<CkptEntry> load_ckpt(const std::string& path);
RUTILE_API std::vector<CkptEntry> parse_ckpt(const Ref<Blob>& blob);

}  // namespace rutile::io
