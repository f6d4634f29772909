// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/device_check.h"
#include "rutile/io/ckpt.h"
#include "rutile/io/safetensors.h"
#include "rutile/train/checkpoint.h"

namespace rutile::train {

nn::StateDict load_weights(const std::string& path) {
  nn::StateDict values;
  if (path.ends_with(".safetensors")) {
    const auto file = io::SafetensorsFile::open(path);
    for (const io::SafetensorsEntry& e : file.entries()) {
      const Tensor view = file.tensor(e);
      Tensor copy = Tensor::empty(view.shape(), view.dtype());
      const size_t bytes = static_cast<size_t>(view.numel()) * dtype_size(view.dtype());
      if (bytes > 0) view.copy_out(copy.mutable_data(), bytes);
      values.emplace(e.name, std::move(copy));
    }
    return values;
  }
  for (io::CkptEntry& e : io::load_ckpt(path)) {
    if (!e.is_text) values.emplace(std::move(e.name), std::move(e.tensor));
  }
  return values;
}

void save_weights(const std::string& path, const std::vector<nn::NamedState>& states) {
  check_devices();
  if (path.ends_with(".safetensors")) {
    std::vector<io::NamedTensor> tensors;
    for (const auto& [name, state] : states) tensors.emplace_back(name, state->concrete());
    return io::save_safetensors(path, tensors);
  }
  if (!path.ends_with(".ckpt")) {
    throw_error(ErrorCode::kValue,
                cat("cannot save '", path, "': weights are written as .ckpt or .safetensors"));
  }
  std::vector<io::CkptEntry> entries;
  for (const auto& [name, state] : states) entries.emplace_back(name, state->concrete());
  io::save_ckpt(path, entries);
}

}  // namespace rutile::train
