// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/cuda/stub_device.h"

#include <cstdlib>
#include <fstream>

#include "rutile/core/build_id.h"
#include "rutile/core/device_runtime.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::cuda {
namespace {

constexpr const char* kSource = R"SOURCE(
#include <cstdlib>
#include <cstring>
#include "rutile/core/device_plugin.h"
using namespace rutile;
static const DeviceFns kFns = {
    .type = DeviceType::kCuda,
    .count = [] { return 1; },
    .describe = [](int, DeviceInfo* out) { out->name = "stub"; out->total_bytes = 1ll << 36;
                                           out->compute_major = 9; return Status(); },
    .allocate = [](int, size_t n, void** out) {
      *out = std::aligned_alloc(256, (n + 255) / 256 * 256); return Status(); },
    .release = [](int, void* p) { std::free(p); return Status(); },
    .memory_info = [](int, int64_t* f, int64_t* t) { *f = *t = 1ll << 36; return Status(); },
    .host_allocate = [](int, size_t n, void** out) {
      *out = std::aligned_alloc(256, (n + 255) / 256 * 256); return Status(); },
    .host_release = [](int, void* p) { std::free(p); return Status(); },
    .stream_create = [](int, StreamKind, Stream* s) {
      *s = reinterpret_cast<Stream>(new char); return Status(); },
    .stream_destroy = [](int, Stream) { return Status(); },
    .stream_sync = [](int, Stream) { return Status(); },
    .event_create = [](int, Event* e) { *e = reinterpret_cast<Event>(new char); return Status(); },
    .event_destroy = [](int, Event) { return Status(); },
    .event_record = [](int, Event, Stream) { return Status(); },
    .stream_wait = [](int, Stream, Event) { return Status(); },
    .event_sync = [](int, Event) { return Status(); },
    .event_done = [](int, Event, bool* done) { *done = true; return Status(); },
    .event_ms = [](int, Event, Event, float* ms) { *ms = 0; return Status(); },
    .copy = [](int, void* to, const void* from, size_t n, CopyKind, Stream) {
      std::memcpy(to, from, n); return Status(); },
    .fill = [](int, void* to, int byte, size_t n, Stream) {
      std::memset(to, byte, n); return Status(); },
};
extern "C" {
__attribute__((visibility("default"))) const PluginInfo* rutile_plugin_info() noexcept {
  static const PluginInfo info{BUILD_ID, "cuda"};
  return &info;
}
__attribute__((visibility("default"))) Status rutile_plugin_init(PluginHost& host) noexcept {
  return host.add_device(&kFns);
}
}
)SOURCE";

bool open_stub() {
  const rutile::testing::TempDir folder;
  std::ofstream(folder / "stub.cc") << kSource;
  const std::string command = cat("'" RUTILE_CXX "' -std=c++20 -O0 -w -fPIC -shared -DBUILD_ID='\"",
                                  build_id(), "\"' -I'" RUTILE_INCLUDE "' '", folder / "stub.cc",
                                  "' -o '", folder / "librutile_cuda.so", "'");
  EXPECT_EQ(std::system(command.c_str()), 0);
  setenv("RUTILE_PLUGIN_PATH", folder.path().c_str(), 1);
  DeviceRuntime* runtime = nullptr;
  const Status s = open_device({DeviceType::kCuda, 0}, &runtime);
  unsetenv("RUTILE_PLUGIN_PATH");
  EXPECT_TRUE(s.ok()) << s.message();
  return s.ok() && runtime->info().name == "stub";
}

}  // namespace

bool use_stub_device() {
  static const bool stub = open_stub();
  return stub;
}

}  // namespace rutile::cuda
