// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/allocator.h"

#include <atomic>

#include "rutile/core/cpu_allocator.h"
#include "rutile/core/error.h"

namespace rutile {
namespace {

constexpr int kNumDeviceTypes = 3;
std::atomic<Allocator*> g_allocators[kNumDeviceTypes];

void no_deleter(void*) {}

}  // namespace

Allocator& allocator(Device device) {
  if (device.type == DeviceType::kCpu) return cpu_allocator();
  Allocator* a = g_allocators[static_cast<int>(device.type)].load(std::memory_order_acquire);
  if (a == nullptr) {
    throw_error(ErrorCode::kUnsupported,
                cat("no allocator for device ", to_string(device), ": its plugin is not loaded"));
  }
  return *a;
}

void register_allocator(DeviceType type, Allocator* a) {
  RUTILE_CHECK(type != DeviceType::kCpu, "the host's allocator cannot be replaced");
  g_allocators[static_cast<int>(type)].store(a, std::memory_order_release);
}

Ref<Storage> Storage::allocate(size_t bytes, Device device) {
  Ref<Storage> s(new Storage);
  s->device_ = device;
  if (bytes > 0) s->data_ = rutile::allocator(device).allocate(bytes);
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
