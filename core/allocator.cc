// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/allocator.h"

#include "rutile/core/cpu_allocator.h"
#include "rutile/core/device_runtime.h"
#include "rutile/core/error.h"

namespace rutile {
namespace {

void no_deleter(void*) {}

}  // namespace

Allocator& allocator(Device device) {
  if (device.type == DeviceType::kCpu) return cpu_allocator();
  return device_runtime(device).memory();
}

Ref<Storage> Storage::allocate(size_t bytes, Device device) {
  Ref<Storage> s(new Storage);
  s->device_ = device;
  if (bytes > 0) s->data_ = rutile::allocator(device).allocate(bytes);
  s->bytes_ = bytes;
  return s;
}

Ref<Storage> Storage::adopt(void* data, size_t bytes, Device device) {
  Ref<Storage> s(new Storage);
  s->device_ = device;
  s->data_ = data;
  s->bytes_ = bytes;
  return s;
}

Ref<Storage> Storage::borrow(void* data, size_t bytes, Device device, void (*deleter)(void*),
                             void* deleter_arg) {
  Ref<Storage> s(new Storage);
  s->data_ = data;
  s->bytes_ = bytes;
  s->device_ = device;
  s->deleter_ = deleter != nullptr ? deleter : no_deleter;
  s->deleter_arg_ = deleter_arg;
  return s;
}

Storage::~Storage() {
  if (deleter_ != nullptr) {
    deleter_(deleter_arg_);
  } else if (data_ != nullptr) {
    rutile::allocator(device_).deallocate(data_, bytes_);
  }
}

}  // namespace rutile
