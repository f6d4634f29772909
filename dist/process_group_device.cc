// SPDX-License-Identifier: Apache-2.0
// A group's collectives between devices. They are carried out by a DeviceLane; the host's way
// compares meanwhile what the ranks call, and waits for those that are late.
#include "rutile/core/device_runtime.h"
#include "rutile/dist/process_group.h"

namespace rutile::dist {

bool ProcessGroup::takes(Device device) const {
  return device.type == DeviceType::kCpu || (device_ && device_->device() == device);
}

Status ProcessGroup::health() {
  const std::lock_guard lock(mutex_);
  if (!failure_.ok()) return copy_of(failure_);
  if (told_ == "interrupted") return Status(ErrorCode::kInterrupted, told_);
  return told_.empty() ? Status() : Status(ErrorCode::kRuntime, told_);
}

// The number of a collective that runs on the device, and the others' opinion of it, later. One
// that is captured does not run now.
Status ProcessGroup::announce(const Collective& c, Stream stream, uint64_t* number) {
  RUTILE_RETURN_IF_ERROR(health());
  const std::lock_guard lock(mutex_);
  *number = collectives_ + 1;
  if (stream != device_runtime(o_.device).stream()) return Status();
  ++collectives_;
  count(c);
  if (!o_.check || !o_.plugin->functions.exchange || abandoned_) return Status();
  Lane& lane = lanes_[0];
  lane.queue.push_back({c, *number, ++lane.started, nullptr, true});
  changed_.notify_all();
  return Status();
}

Status ProcessGroup::queue(const Collective& c, Device, Stream stream) {
  const std::lock_guard ordered(device_order_);
  uint64_t number = 0;
  RUTILE_RETURN_IF_ERROR(announce(c, stream, &number));
  return device_->queue(c, number, stream);
}

Status ProcessGroup::queue_start(const Collective& c, Device, Stream stream) {
  const std::lock_guard ordered(device_order_);
  uint64_t number = 0;
  RUTILE_RETURN_IF_ERROR(announce(c, stream, &number));
  return device_->start(c, number, stream);
}

Status ProcessGroup::queue_wait(const void* out, Device, Stream stream) {
  return device_->wait(out, stream);
}

std::vector<Collective> ProcessGroup::take_captured(Device) { return device_->take_captured(); }

Status ProcessGroup::replayed(const std::vector<Collective>& all, Device, Stream stream) {
  const std::lock_guard ordered(device_order_);
  uint64_t number = 0;
  for (const Collective& c : all) RUTILE_RETURN_IF_ERROR(announce(c, stream, &number));
  return all.empty() ? Status() : device_->replayed(all.back(), number, stream);
}

}  // namespace rutile::dist
