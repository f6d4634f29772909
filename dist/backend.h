// SPDX-License-Identifier: Apache-2.0
// What a communication plugin (librutile_gloo.so, librutile_nccl.so) gives: a table of functions.
// It is opened with dlopen on first use, never closed, and only if it was built with this library.
// No function throws; every error is a Status.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rutile/core/device.h"
#include "rutile/ops/communicator.h"

namespace rutile::dist {

// How a plugin meets its peers: keys that all members of the group see.
struct Meeting {
  void* store = nullptr;
  Status (*set)(void* store, const std::string& key, const std::string& value) noexcept = nullptr;
  Status (*get)(void* store, const std::string& key, double seconds,
                std::string* value) noexcept = nullptr;
};

struct CommOptions {
  int rank = 0, size = 1;
  int device = 0;         // of this rank, where the plugin's memory is a device's
  bool one_host = false;  // all ranks are on this one, and RUTILE_SHM is not 0
  double connect_timeout = 300, timeout = 600;  // seconds; the latter for each collective
  std::string address;                          // of this machine, to listen at
  std::string interface;                        // instead of the address
  Meeting meeting;
};

// Memory is the device's; `stream` is a stream of the device's own library (core/native_stream.h)
// on which work is queued, null for the host. `count` counts elements
// that this rank gives. Calls of one communicator come one after the other, except abort(), and
// send() and recv(), which run beside all else; those of one direction and peer come in order.
struct CommFunctions {
  Status (*connect)(const CommOptions& options, void** comm) noexcept = nullptr;
  void (*destroy)(void* comm) noexcept = nullptr;
  // From any thread: what is running, here and with the peers, ends with an error soon.
  void (*abort)(void* comm) noexcept = nullptr;
  // From any thread: what is known of a failure of queued work. Null: it comes otherwise.
  Status (*poll)(void* comm) noexcept = nullptr;
  // Every rank's `bytes` bytes in the order of the ranks. After an error those that came stand in
  // `all`, and the others are as they were. Null: the plugin has none.
  Status (*exchange)(void* comm, const void* mine, size_t bytes, void* all) noexcept = nullptr;
  Status (*all_reduce)(void* comm, const void* in, void* out, int64_t count, DType dtype,
                       Reduce reduce, void* stream) noexcept = nullptr;
  Status (*reduce_scatter)(void* comm, const void* in, void* out, int64_t count, DType dtype,
                           Reduce reduce, void* stream) noexcept = nullptr;
  Status (*all_gather)(void* comm, const void* in, void* out, int64_t count, DType dtype,
                       void* stream) noexcept = nullptr;
  Status (*all_to_all)(void* comm, const void* in, void* out, int64_t count, DType dtype,
                       void* stream) noexcept = nullptr;
  Status (*broadcast)(void* comm, void* data, int64_t count, DType dtype, int root,
                      void* stream) noexcept = nullptr;
  Status (*send)(void* comm, const void* data, int64_t count, DType dtype, int peer,
                 void* stream) noexcept = nullptr;
  Status (*recv)(void* comm, void* data, int64_t count, DType dtype, int peer,
                 void* stream) noexcept = nullptr;
};

struct CommPlugin {
  uint32_t abi = 0;
  const char* build = "";  // RUTILE_BUILD_ID of "rutile_build_id.h"
  const char* name = "";
  DeviceType device = DeviceType::kCpu;
  CommFunctions functions;
};
inline constexpr uint32_t kCommAbi = 2;
using CommPluginFn = const CommPlugin* (*)() noexcept;  // extern "C" rutile_comm_plugin

// The plugin "gloo" or "nccl", looked for in plugin_folders() (core/plugin.h). Error{kUnsupported}:
// every path tried with the loader's own words, and what to install.
RUTILE_API Status load_comm_plugin(const std::string& name, const CommPlugin** plugin);
// The paths that are tried, in order.
RUTILE_API std::vector<std::string> comm_plugin_paths(const std::string& name);

}  // namespace rutile::dist
