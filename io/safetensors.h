// SPDX-License-Identifier: Apache-2.0
// safetensors (github.com/huggingface/safetensors): 8 bytes of header length, a JSON header, then
// the tensors' bytes without gaps. The files are those of the Python package `safetensors`, both
// ways.
//
//   io::save_safetensors("net.safetensors", {{"fc.weight", w}, {"fc.bias", b}}, {{"epoch", "3"}});
//   auto file = io::SafetensorsFile::open("net.safetensors");
//   Tensor w = file.tensor("fc.weight");   // a view of the mapped file: nothing is copied
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/io/file.h"

namespace rutile::io {

struct SafetensorsEntry {
  std::string name;
  std::string type;            // as in the file: "F32", "BF16", "F8_E4M3"
  std::optional<DType> dtype;  // absent for types that Rutile has not (8-bit floats and smaller)
  Shape shape;
  uint64_t begin = 0, end = 0;  // bytes, counted from the end of the header
};

// An open file. Opening reads the header only, checks all of it (length at most 100 MB, no
// duplicate names, sizes that match shapes, offsets without gaps or overlaps) and throws
// Error{kValue} with path and offset otherwise. Copies share the mapping; const members may run on
// several threads.
class RUTILE_API SafetensorsFile {
 public:
  static SafetensorsFile open(const std::string& path);
  static SafetensorsFile parse(Ref<Blob> blob);

  // In the order of their bytes.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Null if there is no such tensor.
  const SafetensorsEntry* find(std::string_view name) const;
  // A view of the file's bytes, valid after the file object is gone. Elements at an address that
  // their type cannot have are copied. Throws kNotFound for an unknown name (naming close ones),
  // kUnsupported for a type that Rutile has not.
  Tensor tensor(std::string_view name) const;
  Tensor tensor(const SafetensorsEntry& entry) const;
  const std::string& path() const { return blob_->name(); }

 private:
  SafetensorsFile() = default;
  Ref<Blob> blob_;
  uint64_t data_begin_ = 0;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::map<std::string, std::string> metadata_;
};

using NamedTensor = std::pair<std::string, Tensor>;

// Writes the tensors in the given order, by atomic_write. Tensors may have any strides, layout and
// device. Errors: a name twice, a dtype that the format has not (c128), text that is not UTF-8.
RUTILE_API void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                                 const std::map<std::string, std::string>& metadata = {});

}  // namespace rutile::io
