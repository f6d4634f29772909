// SPDX-License-Identifier: Apache-2.0
// The calls of cuFFT.
#include <cufft.h>

#include <mutex>

#include "rutile/core/strings.h"
#include "rutile/kernels/cuda/fft_library.h"
#include "rutile/kernels/cuda/library_api.h"

namespace rutile::cuda {
namespace {

struct Api : LibraryApi {
  Api() : LibraryApi("libcufft.so.12") {}
#include "rutile/kernels/cuda/cufft_functions.inc"
};
const Api& api() { return library_api<Api>(); }

const char* name_of(cufftResult r) {
  switch (r) {
    case CUFFT_INVALID_PLAN:
      return "an invalid plan";
    case CUFFT_ALLOC_FAILED:
      return "out of memory";
    case CUFFT_INVALID_TYPE:
      return "an invalid type";
    case CUFFT_INVALID_VALUE:
      return "an invalid value";
    case CUFFT_INTERNAL_ERROR:
      return "an internal error";
    case CUFFT_EXEC_FAILED:
      return "a kernel failed";
    case CUFFT_SETUP_FAILED:
      return "the library could not be set up";
    case CUFFT_INVALID_SIZE:
      return "an invalid size";
    case CUFFT_NOT_SUPPORTED:
      return "not supported";
    default:
      return "an error";
  }
}
Status status_of(cufftResult r) {
  if (r == CUFFT_SUCCESS) return Status();
  const ErrorCode code = r == CUFFT_ALLOC_FAILED ? ErrorCode::kOutOfMemory
                         : r == CUFFT_NOT_SUPPORTED || r == CUFFT_INVALID_SIZE
                             ? ErrorCode::kUnsupported
                             : ErrorCode::kRuntime;
  return Status(code, cat("cuFFT: ", name_of(r), " (result ", static_cast<int>(r), ")"));
}
#define RUTILE_FFT_TRY(call) RUTILE_RETURN_IF_ERROR(status_of(call))

cufftType type_of(FftWay way, bool wide) {
  switch (way) {
    case FftWay::kComplex:
      return wide ? CUFFT_Z2Z : CUFFT_C2C;
    case FftWay::kFromReal:
      return wide ? CUFFT_D2Z : CUFFT_R2C;
    default:
      return wide ? CUFFT_Z2D : CUFFT_C2R;
  }
}

class CufftPlan : public LibraryFft {
 public:
  CufftPlan(FftWay way, bool wide) : way_(way), wide_(wide) {}
  ~CufftPlan() override {
    if (made_) (void)api().cufftDestroy(plan_);
  }
  Status make(int64_t n, int64_t lines) {
    const Api& lib = api();
    RUTILE_FFT_TRY(lib.cufftCreate(&plan_));
    made_ = true;
    // Workspaces come from our allocator.
    RUTILE_FFT_TRY(lib.cufftSetAutoAllocation(plan_, 0));
    long long points = n;
    return status_of(lib.cufftMakePlanMany64(plan_, 1, &points, nullptr, 1, 0, nullptr, 1, 0,
                                             type_of(way_, wide_), lines, &bytes_));
  }
  size_t workspace_bytes() const override { return bytes_; }

  Status run(void* x, void* y, bool inverse, void* workspace, void* stream) const override {
    const Api& lib = api();
    // Stream and workspace belong to the plan until the kernels are queued.
    const std::lock_guard lock(mutex_);
    RUTILE_FFT_TRY(lib.cufftSetStream(plan_, static_cast<cudaStream_t>(stream)));
    if (bytes_ > 0) RUTILE_FFT_TRY(lib.cufftSetWorkArea(plan_, workspace));
    const int direction = inverse ? CUFFT_INVERSE : CUFFT_FORWARD;
    switch (type_of(way_, wide_)) {
      case CUFFT_C2C:
        return status_of(lib.cufftExecC2C(plan_, static_cast<cufftComplex*>(x),
                                          static_cast<cufftComplex*>(y), direction));
      case CUFFT_R2C:
        return status_of(
            lib.cufftExecR2C(plan_, static_cast<cufftReal*>(x), static_cast<cufftComplex*>(y)));
      case CUFFT_C2R:
        return status_of(
            lib.cufftExecC2R(plan_, static_cast<cufftComplex*>(x), static_cast<cufftReal*>(y)));
      case CUFFT_Z2Z:
        return status_of(lib.cufftExecZ2Z(plan_, static_cast<cufftDoubleComplex*>(x),
                                          static_cast<cufftDoubleComplex*>(y), direction));
      case CUFFT_D2Z:
        return status_of(lib.cufftExecD2Z(plan_, static_cast<cufftDoubleReal*>(x),
                                          static_cast<cufftDoubleComplex*>(y)));
      default:
        return status_of(lib.cufftExecZ2D(plan_, static_cast<cufftDoubleComplex*>(x),
                                          static_cast<cufftDoubleReal*>(y)));
    }
  }

 private:
  const FftWay way_;
  const bool wide_;
  bool made_ = false;
  cufftHandle plan_ = 0;
  size_t bytes_ = 0;
  mutable std::mutex mutex_;
};

}  // namespace

const std::string& cufft_failure() { return api().failure; }

Status LibraryFft::make(FftWay way, bool wide, int64_t n, int64_t lines,
                        std::unique_ptr<const LibraryFft>* out) {
  if (!api().failure.empty()) return Status(ErrorCode::kUnsupported, api().failure);
  auto made = std::make_unique<CufftPlan>(way, wide);
  RUTILE_RETURN_IF_ERROR(made->make(n, lines));
  *out = std::move(made);
  return Status();
}

}  // namespace rutile::cuda
