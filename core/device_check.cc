// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/device_check.h"

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "rutile/core/device_runtime.h"

namespace rutile {
namespace {

struct Checks {
  std::shared_mutex mutex;
  std::vector<const DeviceCheck*> all;
  std::atomic<size_t> count{0};  // most processes have none
};
Checks& checks() {
  static Checks& c = *new Checks;
  return c;
}

}  // namespace

DeviceCheck::DeviceCheck(Device device, DeviceCheckFn ask) : device_(device), ask_(std::move(ask)) {
  Checks& c = checks();
  const std::lock_guard lock(c.mutex);
  c.all.push_back(this);
  c.count = c.all.size();
}

DeviceCheck::~DeviceCheck() {
  Checks& c = checks();
  const std::lock_guard lock(c.mutex);
  std::erase(c.all, this);
  c.count = c.all.size();
}

Status run_device_checks(Device device) {
  Checks& c = checks();
  if (c.count == 0) return Status();
  const std::shared_lock lock(c.mutex);
  for (const DeviceCheck* check : c.all) {
    if (check->device_ == device) RUTILE_RETURN_IF_ERROR(check->ask_());
  }
  return Status();
}

void check_devices() {
  Status streams;
  try {
    synchronize_devices();
  } catch (const Error& e) {
    streams = Status(e.code(), e.message());
  }
  Checks& c = checks();
  const std::shared_lock lock(c.mutex);
  // First those who know more about it than a stream does.
  for (const DeviceCheck* check : c.all) throw_if_error(check->ask_());
  throw_if_error(streams);
}

}  // namespace rutile
