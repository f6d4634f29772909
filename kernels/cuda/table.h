// SPDX-License-Identifier: Apache-2.0
// Numbers that a plan's kernels read: gathered on the host while the plan is prepared, then kept on
// the device with it.
#pragma once

#include <cstring>
#include <vector>

#include "rutile/core/device_runtime.h"
#include "rutile/core/tensor.h"

namespace rutile::cuda {

class Table {
 public:
  // Their place in the table, for get().
  template <class T>
  size_t add(const std::vector<T>& values) {
    const size_t at = (bytes_.size() + 15) / 16 * 16;
    bytes_.resize(at + values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(bytes_.data() + at, values.data(), values.size() * sizeof(T));
    return at;
  }
  Status upload(Device device) {
    storage_ = Storage::allocate(bytes_.size() + 16, device);
    Status s = copy_bytes(storage_->data(), device, bytes_.data(), kCpu, bytes_.size());
    bytes_ = {};
    return s;
  }
  template <class T>
  const T* get(size_t at) const {
    return reinterpret_cast<const T*>(static_cast<const char*>(storage_->data()) + at);
  }

 private:
  std::vector<char> bytes_;
  Ref<Storage> storage_;
};

}  // namespace rutile::cuda
