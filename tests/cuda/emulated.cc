// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/cuda/emulated.h"

#include <cstdlib>
#include <mutex>

#include "rutile/kernels/cuda/fault.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/jit.h"
#include "rutile/kernels/cuda/libraries.h"

namespace rutile::cuda {
namespace {

int taken = 0;
FaultReport report;
int generated = 0, capturing = 0;  // scopes

}  // namespace

// What the plugin has from the CUDA runtime.
FaultSlot fault_slot(Stream) { return {&taken, &report, fault_source()}; }
Status launch_status(int code) {
  if (code == kTooManyBlocks) return too_many_blocks();
  return code == 0 ? Status() : Status(ErrorCode::kRuntime, cat("code ", code));
}
int launch_raw(const void*, const Grid&, Stream, void**) { return 1; }
Status make_current(int) { return Status(); }
Status library_stream(Stream stream, LibraryStream* out) {
  *out = {0, stream, capturing > 0};
  return Status();
}
CapturingScope::CapturingScope() { ++capturing; }
CapturingScope::~CapturingScope() { --capturing; }

// Rows over cuBLASLt, cuSOLVER and cuFFT run on stand-ins (tests/stubs), those over others do not
// run here.
void register_libraries() {
#if defined(RUTILE_STUB_LIBRARIES)
  ::setenv("RUTILE_CUDA_LIBRARIES", RUTILE_BIN_DIR "/stubs:" RUTILE_CUDA_LIB, 1);
  ::setenv("RUTILE_CUSOLVER_FROM", "0", 0);
  register_blas();
  register_solver();
  register_cufft();
#if defined(RUTILE_CUPTI_BUILT)
  register_cupti();
#endif
#endif
}
Status jit_ready(Device) {
  if (generated > 0) return Status();
  return Status(ErrorCode::kUnsupported, "the emulator compiles no kernels");
}
Status jit_load(const Generated&, Device device, std::shared_ptr<const JitModule>*) {
  return jit_ready(device);
}
GeneratedScope::GeneratedScope() {
  register_emulated_rows();
  ++generated;
}
GeneratedScope::~GeneratedScope() { --generated; }

void register_emulated_rows() {
  static std::once_flag once;
  std::call_once(once, register_rows);
}

Status take_emulated_fault() {
  taken = 0;
  const FaultReport r = report;
  report = FaultReport();
  return fault_status(r);
}

}  // namespace rutile::cuda
