// SPDX-License-Identifier: Apache-2.0
#include <rutile_build_id.h>
#include "rutile/core/api.h"
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
  return host.add_device(&rutile::fake::device_fns());
}

// For tests.
RUTILE_API void rutile_fake_set_delay(int microseconds) {
  rutile::fake::longest_delay() = microseconds;
}
RUTILE_API void rutile_fake_set_memory(int device, int64_t bytes) {
  if (auto* d = rutile::fake::device_at(device)) d->memory.set_limit(static_cast<size_t>(bytes));
}
// Kernels, graphs and copies that were queued so far.
RUTILE_API void rutile_fake_counts(int64_t out[3]) {
  const rutile::fake::Counts& c = rutile::fake::counts();
  out[0] = c.kernels;
  out[1] = c.graphs;
  out[2] = c.copies;
}

}  // extern "C"
