// SPDX-License-Identifier: Apache-2.0
// The device functions of NVIDIA GPUs, over the CUDA runtime.
#include <cuda_runtime.h>

#include <array>
#include <mutex>

#include "rutile/core/device_plugin.h"
#include "rutile/core/stream_sharing.h"
#include "rutile/kernels/cuda/capture.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/libraries.h"
#include "rutile/kernels/cuda/runtime.h"
#include "rutile_build_id.h"

namespace rutile::cuda {
namespace {

constexpr int kMostDevices = 64;

Status error_of(cudaError_t e) {
  const ErrorCode code =
      e == cudaErrorMemoryAllocation ? ErrorCode::kOutOfMemory : ErrorCode::kRuntime;
  return Status(code, cat("CUDA: ", cudaGetErrorString(e), " (", cudaGetErrorName(e), ")"));
}
struct StreamHandle {
  cudaStream_t stream = nullptr;
  int device = 0;
};
StreamHandle* handle(Stream s) { return reinterpret_cast<StreamHandle*>(s); }
cudaEvent_t event_of(Event e) { return reinterpret_cast<cudaEvent_t>(e); }

// ---- Faults -------------------------------------------------------------------------------------

struct Faults {
  std::mutex mutex;
  FaultSlot slot;
  bool made = false;
};
Faults& faults_of(int device) {
  static std::array<Faults, kMostDevices> all;
  return all[static_cast<size_t>(device)];
}

Status make_faults(int device) {
  Faults& f = faults_of(device);
  const std::lock_guard lock(f.mutex);
  if (f.made) return Status();
  RUTILE_CUDA_TRY(use(device));
  void *taken = nullptr, *report = nullptr;
  RUTILE_CUDA_TRY(cudaMalloc(&taken, 256));
  RUTILE_CUDA_TRY(cudaMemset(taken, 0, 256));
  RUTILE_CUDA_TRY(cudaDeviceSynchronize());  // our streams do not wait for the one it ran on
  RUTILE_CUDA_TRY(cudaHostAlloc(&report, 256, cudaHostAllocMapped));
  f.slot.taken = static_cast<int*>(taken);
  f.slot.report = new (report) FaultReport();
  f.made = true;
  return Status();
}

// What a kernel reported since the last look; the work before is done. Returns when the slot serves
// again: a kernel launched right after must not find it taken.
Status take_fault(int device) {
  Faults& f = faults_of(device);
  if (!f.made || f.slot.report->kind == FaultKind::kNone) return Status();
  const std::lock_guard lock(f.mutex);
  const FaultReport r = *f.slot.report;
  if (r.kind == FaultKind::kNone) return Status();
  *f.slot.report = FaultReport();
  RUTILE_CUDA_TRY(cudaMemset(f.slot.taken, 0, sizeof(int)));
  RUTILE_CUDA_TRY(cudaDeviceSynchronize());
  return fault_status(r);
}

// ---- Devices and memory -------------------------------------------------------------------------

int count() {
  int n = 0;
  if (cudaGetDeviceCount(&n) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return n < kMostDevices ? n : kMostDevices;
}

Status describe(int device, DeviceInfo* out) {
  cudaDeviceProp p;
  RUTILE_CUDA_TRY(cudaGetDeviceProperties(&p, device));
  int clock = 0;
  (void)cudaDeviceGetAttribute(&clock, cudaDevAttrMemoryClockRate, device);
  out->name = p.name;
  out->total_bytes = static_cast<int64_t>(p.totalGlobalMem);
  out->compute_major = p.major;
  out->compute_minor = p.minor;
  out->multiprocessors = p.multiProcessorCount;
  // kHz, two transfers a clock, bus width in bits
  out->peak_bytes_per_second = 2e3 * clock * p.memoryBusWidth / 8;
  return Status();
}

Status allocate(int device, size_t bytes, void** out) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaMalloc(out, bytes));
}
Status release(int device, void* p) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaFree(p));
}
Status memory_info(int device, int64_t* free_bytes, int64_t* total_bytes) {
  RUTILE_CUDA_TRY(use(device));
  size_t left = 0, all = 0;
  RUTILE_CUDA_TRY(cudaMemGetInfo(&left, &all));
  *free_bytes = static_cast<int64_t>(left);
  *total_bytes = static_cast<int64_t>(all);
  return Status();
}
Status host_allocate(int device, size_t bytes, void** out) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaHostAlloc(out, bytes, cudaHostAllocPortable));
}
Status host_release(int device, void* p) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaFreeHost(p));
}

// ---- Streams and events -------------------------------------------------------------------------

Status stream_sync(int device, Stream s) {
  RUTILE_CUDA_TRY(use(device));
  RUTILE_CUDA_TRY(cudaStreamSynchronize(cuda_stream(s)));
  return take_fault(device);
}

Status event_create(int device, Event* out) {
  RUTILE_CUDA_TRY(use(device));
  cudaEvent_t e = nullptr;
  RUTILE_CUDA_TRY(cudaEventCreate(&e));
  *out = reinterpret_cast<Event>(e);
  return Status();
}
Status event_destroy(int device, Event e) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaEventDestroy(event_of(e)));
}
Status event_record(int device, Event e, Stream s) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaEventRecord(event_of(e), cuda_stream(s)));
}
Status stream_wait(int device, Stream s, Event e) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaStreamWaitEvent(cuda_stream(s), event_of(e), 0));
}
Status event_sync(int device, Event e) {
  RUTILE_CUDA_TRY(use(device));
  RUTILE_CUDA_TRY(cudaEventSynchronize(event_of(e)));
  return take_fault(device);
}
Status event_done(int device, Event e, bool* done) {
  RUTILE_CUDA_TRY(use(device));
  const cudaError_t r = cudaEventQuery(event_of(e));
  *done = r == cudaSuccess;
  if (r == cudaErrorNotReady) {
    (void)cudaGetLastError();
    return Status();
  }
  return status_of(r);
}
Status event_ms(int device, Event from, Event to, float* ms) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaEventElapsedTime(ms, event_of(from), event_of(to)));
}

uintptr_t native_stream(Stream s) { return reinterpret_cast<uintptr_t>(cuda_stream(s)); }
// DLPack's numbers: 1 is the legacy default stream, 2 that of the thread, as the runtime has them.
cudaStream_t other_stream(uintptr_t native) { return reinterpret_cast<cudaStream_t>(native); }
static_assert(sizeof(uintptr_t) == sizeof(cudaStream_t));
Status native_wait(int device, uintptr_t native, Event e) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaStreamWaitEvent(other_stream(native), event_of(e), 0));
}
Status native_record(int device, Event e, uintptr_t native) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaEventRecord(event_of(e), other_stream(native)));
}

Status copy(int device, void* to, const void* from, size_t bytes, CopyKind kind, Stream s) {
  RUTILE_CUDA_TRY(use(device));
  const cudaMemcpyKind way = kind == CopyKind::kToDevice ? cudaMemcpyHostToDevice
                             : kind == CopyKind::kToHost ? cudaMemcpyDeviceToHost
                                                         : cudaMemcpyDeviceToDevice;
  return status_of(cudaMemcpyAsync(to, from, bytes, way, cuda_stream(s)));
}
Status fill(int device, void* to, int byte, size_t bytes, Stream s) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaMemsetAsync(to, byte, bytes, cuda_stream(s)));
}

const DeviceFns kFns = {
    .type = DeviceType::kCuda,
    .count = count,
    .describe = describe,
    .allocate = allocate,
    .release = release,
    .memory_info = memory_info,
    .host_allocate = host_allocate,
    .host_release = host_release,
    .stream_create = make_stream,
    .stream_destroy = drop_stream,
    .stream_sync = stream_sync,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .stream_wait = stream_wait,
    .event_sync = event_sync,
    .event_done = event_done,
    .event_ms = event_ms,
    .copy = copy,
    .fill = fill,
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_destroy = graph_destroy,
    .capture_branch = capture_branch,
    .capture_loop = capture_loop,
    .copy_slice = copy_slice,
};

const StreamSharing kSharing = {
    .number = native_stream, .wait = native_wait, .record = native_record};

// Which driver is there: the first thing that is missing, in words.
Status check_driver() {
  int driver = 0;
  const cudaError_t e = cudaDriverGetVersion(&driver);
  constexpr const char* kWanted = "needs one for CUDA 13.0 or newer (580 or newer)";
  if (e != cudaSuccess || driver == 0) {
    (void)cudaGetLastError();
    return Status(ErrorCode::kUnsupported,
                  cat("no NVIDIA driver was found (libcuda.so.1); Rutile ", kWanted));
  }
  if (driver < CUDART_VERSION / 1000 * 1000) {
    return Status(ErrorCode::kUnsupported, cat("the NVIDIA driver knows CUDA ", driver / 1000, ".",
                                               driver % 1000 / 10, "; Rutile ", kWanted));
  }
  int n = 0;
  const cudaError_t counted = cudaGetDeviceCount(&n);
  if (counted == cudaErrorNoDevice || (counted == cudaSuccess && n == 0)) {
    (void)cudaGetLastError();
    return Status(ErrorCode::kUnsupported, "the NVIDIA driver sees no GPU");
  }
  return status_of(counted);
}

}  // namespace

// Errors that are not sticky stay behind otherwise.
Status status_of(cudaError_t e) {
  if (e == cudaSuccess) return Status();
  (void)cudaGetLastError();
  return error_of(e);
}

Status make_stream(int device, StreamKind kind, Stream* out) {
  RUTILE_RETURN_IF_ERROR(make_faults(device));
  RUTILE_CUDA_TRY(use(device));
  int low = 0, high = 0;
  RUTILE_CUDA_TRY(cudaDeviceGetStreamPriorityRange(&low, &high));
  auto made = std::make_unique<StreamHandle>();
  made->device = device;
  // Copies and all-reduces are short and others wait for them.
  RUTILE_CUDA_TRY(cudaStreamCreateWithPriority(&made->stream, cudaStreamNonBlocking,
                                               kind == StreamKind::kCompute ? low : high));
  *out = reinterpret_cast<Stream>(made.release());
  return Status();
}
Status drop_stream(int device, Stream s) {
  RUTILE_CUDA_TRY(use(device));
  const std::unique_ptr<StreamHandle> owned(handle(s));
  return status_of(cudaStreamDestroy(owned->stream));
}

cudaError_t use(int device) {
  int current = -1;
  if (cudaGetDevice(&current) == cudaSuccess && current == device) return cudaSuccess;
  return cudaSetDevice(device);
}

cudaStream_t cuda_stream(Stream s) { return s ? handle(s)->stream : nullptr; }
int device_of(Stream s) { return s ? handle(s)->device : 0; }

Status make_current(int device) {
  if (const cudaError_t e = use(device); e != cudaSuccess) return status_of(e);
  return Status();
}
Status library_stream(Stream s, LibraryStream* out) {
  *out = {device_of(s), cuda_stream(s), false};
  RUTILE_RETURN_IF_ERROR(make_current(out->device));
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  RUTILE_CUDA_TRY(cudaStreamIsCapturing(cuda_stream(s), &capture));
  out->capturing = capture != cudaStreamCaptureStatusNone;
  return Status();
}

FaultSlot fault_slot(Stream s) {
  FaultSlot slot = faults_of(device_of(s)).slot;
  slot.source = fault_source();
  return slot;
}

int launch_raw(const void* kernel, const Grid& grid, Stream stream, void** args) {
  if (const cudaError_t e = use(device_of(stream)); e != cudaSuccess) return e;
  const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y));
  return cudaLaunchKernel(kernel, blocks, dim3(static_cast<unsigned>(grid.threads)), args,
                          static_cast<size_t>(grid.shared), cuda_stream(stream));
}

Status launch_status(int code) {
  return code < 0 ? too_many_blocks() : status_of(static_cast<cudaError_t>(code));
}

}  // namespace rutile::cuda

extern "C" {

RUTILE_API const rutile::PluginInfo* rutile_plugin_info() noexcept {
  static const rutile::PluginInfo info{RUTILE_BUILD_ID, "cuda"};
  return &info;
}

RUTILE_API rutile::Status rutile_plugin_init(rutile::PluginHost& host) noexcept {
  using namespace rutile;
  try {
    RUTILE_RETURN_IF_ERROR(cuda::check_driver());
    cuda::register_rows();
    set_stream_sharing(DeviceType::kCuda, &cuda::kSharing);
    return host.add_device(&cuda::kFns);
  } catch (const std::exception& e) {
    return Status(ErrorCode::kInternal, e.what());
  }
}
}
