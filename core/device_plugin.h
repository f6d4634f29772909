// SPDX-License-Identifier: Apache-2.0
// What a device plugin gives: plain functions for memory, streams, events and capture. Plugins are
// shared libraries of the same build (checked by its id), opened on first use and never closed:
//
//   extern "C" RUTILE_API const rutile::PluginInfo* rutile_plugin_info() noexcept;
//   extern "C" RUTILE_API rutile::Status rutile_plugin_init(rutile::PluginHost&) noexcept;
//
// Core builds the allocator, the streams of each device and the copies on these functions once for
// all devices (core/device_runtime.h); a plugin holds no policy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "rutile/core/device.h"
#include "rutile/core/error.h"

namespace rutile {

// Handles of the plugin; null is none.
using Stream = struct StreamTag*;
using Event = struct EventTag*;
using CapturedGraph = struct CapturedGraphTag*;

enum class StreamKind : uint8_t { kCompute, kCopy, kCommunication };
enum class CopyKind : uint8_t { kToDevice, kToHost, kOnDevice };

struct DeviceInfo {
  std::string name;  // "NVIDIA H200"
  int64_t total_bytes = 0;
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 0;
  double peak_bytes_per_second = 0;  // of its memory; 0: unknown
};

// Control flow within a capture. A part queues its work on the stream that it is given, which is
// its own: kernels, fills and copies on the device, and further control flow.
struct CapturePart {
  Status (*queue)(void* context, Stream s) = nullptr;  // null: nothing runs
  void* context = nullptr;
};
// Where a loop stands; in memory of the device, which alone reads and writes it.
struct LoopCounter {
  int64_t done = 0;   // iterations
  int64_t count = 0;  // the most that there are
};
struct CaptureLoop {
  LoopCounter* counter = nullptr;
  int64_t most = -1;                // iterations; -1: no limit
  const int64_t* wanted = nullptr;  // of the device: how many there are of `most`; null: all
  const void* holds = nullptr;      // of the device: a bool, which the body writes anew; null: true
};
// Slice `done` of the loop, or the one as far from the end of its `count`.
struct LoopSlice {
  const LoopCounter* counter = nullptr;
  int64_t bytes = 0;
  bool reverse = false;
  bool stores = false;  // into the slice; else out of it
};

// None of them throws. Work on a stream runs in order; functions that take a stream return when the
// work is queued, and an error of the work itself comes with a later call or stream_sync().
struct DeviceFns {
  DeviceType type = DeviceType::kCpu;
  int (*count)() = nullptr;
  Status (*describe)(int device, DeviceInfo* out) = nullptr;

  // Slow, unpooled memory, aligned to 256. kOutOfMemory where the device has none left.
  Status (*allocate)(int device, size_t bytes, void** out) = nullptr;
  Status (*release)(int device, void* p) = nullptr;
  Status (*memory_info)(int device, int64_t* free_bytes, int64_t* total_bytes) = nullptr;
  // Host memory that copies reach without staging ("pinned").
  Status (*host_allocate)(int device, size_t bytes, void** out) = nullptr;
  Status (*host_release)(int device, void* p) = nullptr;

  Status (*stream_create)(int device, StreamKind kind, Stream* out) = nullptr;
  Status (*stream_destroy)(int device, Stream s) = nullptr;
  Status (*stream_sync)(int device, Stream s) = nullptr;

  Status (*event_create)(int device, Event* out) = nullptr;
  Status (*event_destroy)(int device, Event e) = nullptr;
  Status (*event_record)(int device, Event e, Stream s) = nullptr;
  Status (*stream_wait)(int device, Stream s, Event e) = nullptr;  // later work waits, not the host
  Status (*event_sync)(int device, Event e) = nullptr;
  Status (*event_done)(int device, Event e, bool* done) = nullptr;
  Status (*event_ms)(int device, Event from, Event to, float* ms) = nullptr;

  // Host memory that is not pinned may make the call wait for the copy.
  Status (*copy)(int device, void* to, const void* from, size_t bytes, CopyKind kind,
                 Stream s) = nullptr;
  Status (*fill)(int device, void* to, int byte, size_t bytes, Stream s) = nullptr;

  // What is queued on `s` between begin and end becomes a graph instead of running. Null functions:
  // this device cannot capture.
  Status (*capture_begin)(int device, Stream s) = nullptr;
  Status (*capture_end)(int device, Stream s, CapturedGraph* out) = nullptr;
  Status (*graph_launch)(int device, CapturedGraph g, Stream s) = nullptr;
  Status (*graph_destroy)(int device, CapturedGraph g) = nullptr;

  // Within a capture on `s`: what the device decides when the graph runs. Null functions: it
  // cannot. `then` where the bool at `holds` is set when the graph gets there, `otherwise` where it
  // is not.
  Status (*capture_branch)(int device, Stream s, const void* holds, CapturePart then,
                           CapturePart otherwise) = nullptr;
  // `body` while fewer than `count` iterations are done and `holds` is set.
  Status (*capture_loop)(int device, Stream s, const CaptureLoop& loop, CapturePart body) = nullptr;
  // In the body of a loop: a slice of `slices`, which lie behind each other, to or from `one`.
  Status (*copy_slice)(int device, void* slices, void* one, const LoopSlice& slice,
                       Stream s) = nullptr;
};

struct PluginInfo {
  const char* build_id = "";  // equal to build_id() of the librutile.so that opens it
  const char* name = "";      // "cuda"
};

// What init() tells the library through.
class PluginHost {
 public:
  virtual ~PluginHost() = default;
  // `fns` lives for ever. Kernel rows are registered directly (ops/kernel_table.h).
  virtual Status add_device(const DeviceFns* fns) = 0;
};

}  // namespace rutile
