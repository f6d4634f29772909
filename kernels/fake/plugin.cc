// SPDX-License-Identifier: Apache-2.0
#include <rutile_build_id.h>
#include "rutile/core/api.h"
#include "rutile/kernels/fake/activity.h"
#include "rutile/kernels/fake/device.h"

namespace rutile::fake {
Status start();
}  // namespace rutile::fake

extern "C" {

RUTILE_API const rutile::PluginInfo* rutile_plugin_info() noexcept {
  static constexpr rutile::PluginInfo kInfo{RUTILE_BUILD_ID, "fake"};
  return &kInfo;
}

RUTILE_API rutile::Status rutile_plugin_init(rutile::PluginHost& host) noexcept {
  rutile::Status s = rutile::fake::start();
  if (!s.ok()) return s;
  rutile::fake::register_rows();
  rutile::fake::register_activity();
  return host.add_device(&rutile::fake::device_fns());
}

// For tests.
RUTILE_API void rutile_fake_set_delay(int microseconds) {
  rutile::fake::longest_delay() = microseconds;
}
RUTILE_API void rutile_fake_set_memory(int device, int64_t bytes) {
  if (auto* d = rutile::fake::device_at(device)) d->memory.set_limit(static_cast<size_t>(bytes));
}
// Work of another library on a stream of this device (core/native_stream.h). 0: it went well.
RUTILE_API int rutile_fake_enqueue(void* stream, int (*work)(void*), void* argument) {
  auto* const w = static_cast<rutile::fake::Worker*>(stream);
  const rutile::Status s = w->add([work, argument] {
    return work(argument) == 0 ? rutile::Status()
                               : rutile::Status(rutile::ErrorCode::kRuntime, "a library's work");
  });
  return s.ok() ? 0 : 1;
}
// Where such work finds memory of the device; null for other memory.
RUTILE_API void* rutile_fake_memory(const void* p) {
  rutile::fake::FakeDevice* const d = rutile::fake::owner_of(p);
  return d ? d->memory.translate(p) : nullptr;
}
// The device's clock (timeline.h): on from now, or off; what work of this thread takes; the first
// `most` intervals, and how many there are.
RUTILE_API void rutile_fake_timeline(bool on) { rutile::fake::Timeline::get().set(on); }
RUTILE_API void rutile_fake_spend(double seconds, const char* what) {
  rutile::fake::Timeline::spend(seconds, what);
}
RUTILE_API size_t rutile_fake_intervals(rutile::fake::Interval* out, size_t most) {
  const std::vector<rutile::fake::Interval> all = rutile::fake::Timeline::get().intervals();
  for (size_t i = 0; i < most && i < all.size(); ++i) out[i] = all[i];
  return all.size();
}
// Kernels, graphs and copies that were queued so far.
RUTILE_API void rutile_fake_counts(int64_t out[3]) {
  const rutile::fake::Counts& c = rutile::fake::counts();
  out[0] = c.kernels;
  out[1] = c.graphs;
  out[2] = c.copies;
}

}  // extern "C"
