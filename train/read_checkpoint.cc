// SPDX-License-Identifier: Apache-2.0
// Reading apart from writing: a fuzzer links this file, core and io alone.
#include <charconv>

#include "rutile/io/safetensors.h"
#include "rutile/train/checkpoint.h"
#include "rutile/train/checkpoint_format.h"

namespace rutile::train {
namespace {

const std::string& required(const io::SafetensorsFile& file, const std::string& key) {
  const auto it = file.metadata().find(key);
  if (it == file.metadata().end()) {
    throw_error(ErrorCode::kValue,
                cat("'", file.path(),
                    "' is no checkpoint of a training run: its metadata have no '", key, "'"));
  }
  return it->second;
}

}  // namespace

Checkpoint parse_checkpoint(Ref<io::Blob> blob) {
  const std::string path = blob->name();
  const io::SafetensorsFile file = io::SafetensorsFile::parse(std::move(blob));
  if (const std::string& format = required(file, "format"); format != kFormat) {
    throw_error(ErrorCode::kValue,
                cat("'", path, "' is a '", format, "', this program reads '", kFormat, "'"));
  }
  Checkpoint c;
  c.path = path;
  c.metadata = file.metadata();
  const std::string& step = required(file, "step");
  if (std::from_chars(step.data(), step.data() + step.size(), c.step).ec != std::errc()) {
    throw_error(ErrorCode::kValue, cat("'", path, "' has a step of '", step, "'"));
  }
  Checksum sum;
  for (const io::SafetensorsEntry& entry : file.entries()) {
    Tensor copy = row_major(file.tensor(entry), true);
    add_to(&sum, copy);
    c.values.emplace(entry.name, std::move(copy));
  }
  if (const std::string found = hex(sum.value()); found != required(file, "checksum")) {
    throw_error(ErrorCode::kValue, cat("'", path, "' is damaged: its checksum is ", found, ", not ",
                                       required(file, "checksum")));
  }
  return c;
}

Checkpoint load_checkpoint(const std::string& path) { return parse_checkpoint(io::map_file(path)); }

}  // namespace rutile::train
