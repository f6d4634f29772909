// SPDX-License-Identifier: Apache-2.0
// The calls of cuSOLVER.
#include <cusolverDn.h>

#include <algorithm>
#include <memory>

#include "rutile/core/complex.h"
#include "rutile/core/strings.h"
#include "rutile/kernels/cuda/library_api.h"
#include "rutile/kernels/cuda/solver_library.h"
#include "rutile/kernels/cuda/thread_handles.h"

namespace rutile::cuda {
namespace {

struct Api : LibraryApi {
  Api() : LibraryApi("libcusolver.so.12") {}
#include "rutile/kernels/cuda/cusolver_functions.inc"
};
const Api& api() { return library_api<Api>(); }

const char* name_of(cusolverStatus_t s) {
  switch (s) {
    case CUSOLVER_STATUS_NOT_INITIALIZED:
      return "not initialised";
    case CUSOLVER_STATUS_ALLOC_FAILED:
      return "out of memory";
    case CUSOLVER_STATUS_INVALID_VALUE:
      return "an invalid value";
    case CUSOLVER_STATUS_ARCH_MISMATCH:
      return "not for this GPU";
    case CUSOLVER_STATUS_EXECUTION_FAILED:
      return "a kernel failed";
    case CUSOLVER_STATUS_INTERNAL_ERROR:
      return "an internal error";
    case CUSOLVER_STATUS_NOT_SUPPORTED:
      return "not supported";
    default:
      return "an error";
  }
}
Status status_of(cusolverStatus_t s, const char* what) {
  if (s == CUSOLVER_STATUS_SUCCESS) return Status();
  const ErrorCode code = s == CUSOLVER_STATUS_ALLOC_FAILED    ? ErrorCode::kOutOfMemory
                         : s == CUSOLVER_STATUS_NOT_SUPPORTED ? ErrorCode::kUnsupported
                                                              : ErrorCode::kRuntime;
  return Status(code,
                cat("cuSOLVER: ", what, ": ", name_of(s), " (status ", static_cast<int>(s), ")"));
}
#define RUTILE_SOLVER_TRY(call, what) RUTILE_RETURN_IF_ERROR(status_of((call), what))

struct Handle {
  cusolverDnHandle_t solver = nullptr;
  cusolverDnParams_t params = nullptr;
};
// A thread's own, of the device that is the thread's own.
Status handle_of(int device, Handle* out) {
  if (!api().failure.empty()) return Status(ErrorCode::kUnsupported, api().failure);
  return ThreadHandles<Handle>::get(device, out, [](Handle* made) {
    RUTILE_SOLVER_TRY(api().cusolverDnCreate(&made->solver), "cusolverDnCreate");
    return status_of(api().cusolverDnCreateParams(&made->params), "cusolverDnCreateParams");
  });
}

cudaDataType type_of(DType t) {
  switch (t) {
    case DType::kF64:
      return CUDA_R_64F;
    case DType::kC64:
      return CUDA_C_32F;
    case DType::kC128:
      return CUDA_C_64F;
    default:
      return CUDA_R_32F;
  }
}
// Of a matrix with this many rows.
int64_t leading(int64_t rows) { return std::max<int64_t>(rows, 1); }

// Calls f(bytes or a null pointer of the type's elements, the library's pair of functions).
template <class F>
cusolverStatus_t with_orgqr(DType t, F&& f) {
  const Api& lib = api();
  switch (t) {
    case DType::kF64:
      return f(double{}, lib.cusolverDnDorgqr_bufferSize, lib.cusolverDnDorgqr);
    case DType::kC64:
      return f(cuComplex{}, lib.cusolverDnCungqr_bufferSize, lib.cusolverDnCungqr);
    case DType::kC128:
      return f(cuDoubleComplex{}, lib.cusolverDnZungqr_bufferSize, lib.cusolverDnZungqr);
    default:
      return f(float{}, lib.cusolverDnSorgqr_bufferSize, lib.cusolverDnSorgqr);
  }
}

cusolverStatus_t room_of(const Handle& h, const SolverCall& s, SolverRoom* r) {
  const Api& lib = api();
  const cudaDataType t = type_of(s.type), real = type_of(real_dtype(s.type));
  const int64_t m = s.m, n = s.n;
  switch (s.step) {
    case SolverStep::kPotrf:
      return lib.cusolverDnXpotrf_bufferSize(
          h.solver, h.params, s.upper ? CUBLAS_FILL_MODE_UPPER : CUBLAS_FILL_MODE_LOWER, n, t, s.a,
          leading(n), t, &r->device, &r->host);
    case SolverStep::kGetrf:
      return lib.cusolverDnXgetrf_bufferSize(h.solver, h.params, m, n, t, s.a, leading(m), t,
                                             &r->device, &r->host);
    case SolverStep::kGetrs:
      return CUSOLVER_STATUS_SUCCESS;  // works in place
    case SolverStep::kGeqrf:
      return lib.cusolverDnXgeqrf_bufferSize(h.solver, h.params, m, n, t, s.a, leading(m), t, s.tau,
                                             t, &r->device, &r->host);
    case SolverStep::kOrgqr:
      return with_orgqr(s.type, [&](auto element, auto size, auto) {
        using E = decltype(element);
        int elements = 0;
        const cusolverStatus_t status =
            size(h.solver, static_cast<int>(m), static_cast<int>(n), static_cast<int>(s.k),
                 static_cast<const E*>(s.a), static_cast<int>(leading(m)),
                 static_cast<const E*>(s.tau), &elements);
        r->device = static_cast<size_t>(std::max(elements, 0)) * sizeof(E);
        return status;
      });
    case SolverStep::kSyevd:
      return lib.cusolverDnXsyevd_bufferSize(h.solver, h.params, CUSOLVER_EIG_MODE_VECTOR,
                                             CUBLAS_FILL_MODE_LOWER, n, t, s.a, leading(n), real,
                                             s.values, t, &r->device, &r->host);
    case SolverStep::kGesvd:
      return lib.cusolverDnXgesvd_bufferSize(h.solver, h.params, 'S', 'S', m, n, t, s.a, leading(m),
                                             real, s.values, t, s.b, leading(m), t, s.c, leading(n),
                                             t, &r->device, &r->host);
    default:
      return lib.cusolverDnXgeev_bufferSize(h.solver, h.params, CUSOLVER_EIG_MODE_NOVECTOR,
                                            CUSOLVER_EIG_MODE_VECTOR, n, t, s.a, leading(n), t,
                                            s.values, t, nullptr, leading(n), t, s.b, leading(n), t,
                                            &r->device, &r->host);
  }
}

cusolverStatus_t call(const Handle& h, const SolverCall& s, const SolverRoom& r, void* device,
                      void* host) {
  const Api& lib = api();
  const cudaDataType t = type_of(s.type), real = type_of(real_dtype(s.type));
  const int64_t m = s.m, n = s.n;
  switch (s.step) {
    case SolverStep::kPotrf:
      return lib.cusolverDnXpotrf(h.solver, h.params,
                                  s.upper ? CUBLAS_FILL_MODE_UPPER : CUBLAS_FILL_MODE_LOWER, n, t,
                                  s.a, leading(n), t, device, r.device, host, r.host, s.info);
    case SolverStep::kGetrf:
      return lib.cusolverDnXgetrf(h.solver, h.params, m, n, t, s.a, leading(m), s.pivots, t, device,
                                  r.device, host, r.host, s.info);
    case SolverStep::kGetrs:
      return lib.cusolverDnXgetrs(h.solver, h.params, s.transpose ? CUBLAS_OP_T : CUBLAS_OP_N, n,
                                  s.k, t, s.a, leading(n), s.pivots, t, s.b, leading(n), s.info);
    case SolverStep::kGeqrf:
      return lib.cusolverDnXgeqrf(h.solver, h.params, m, n, t, s.a, leading(m), t, s.tau, t, device,
                                  r.device, host, r.host, s.info);
    case SolverStep::kOrgqr:
      return with_orgqr(s.type, [&](auto element, auto, auto run) {
        using E = decltype(element);
        return run(h.solver, static_cast<int>(m), static_cast<int>(n), static_cast<int>(s.k),
                   static_cast<E*>(s.a), static_cast<int>(leading(m)), static_cast<const E*>(s.tau),
                   static_cast<E*>(device), static_cast<int>(r.device / sizeof(E)), s.info);
      });
    case SolverStep::kSyevd:
      return lib.cusolverDnXsyevd(h.solver, h.params, CUSOLVER_EIG_MODE_VECTOR,
                                  CUBLAS_FILL_MODE_LOWER, n, t, s.a, leading(n), real, s.values, t,
                                  device, r.device, host, r.host, s.info);
    case SolverStep::kGesvd:
      return lib.cusolverDnXgesvd(h.solver, h.params, 'S', 'S', m, n, t, s.a, leading(m), real,
                                  s.values, t, s.b, leading(m), t, s.c, leading(n), t, device,
                                  r.device, host, r.host, s.info);
    default:
      return lib.cusolverDnXgeev(h.solver, h.params, CUSOLVER_EIG_MODE_NOVECTOR,
                                 CUSOLVER_EIG_MODE_VECTOR, n, t, s.a, leading(n), t, s.values, t,
                                 nullptr, leading(n), t, s.b, leading(n), t, device, r.device, host,
                                 r.host, s.info);
  }
}

// The part of the work that the library does on the host reads it before the call returns.
char* host_room(size_t bytes) {
  thread_local std::unique_ptr<char[]> room;
  thread_local size_t size = 0;
  if (bytes > size) {
    room.reset(new (std::nothrow) char[bytes]);
    size = room ? bytes : 0;
  }
  return room.get();
}

}  // namespace

const char* solver_name(SolverStep step) {
  static constexpr const char* kNames[] = {"potrf", "getrf", "getrs", "geqrf",
                                           "orgqr", "syevd", "gesvd", "geev"};
  return kNames[static_cast<size_t>(step)];
}

const std::string& solver_failure() { return api().failure; }

Status solver_room(int device, const SolverCall& c, SolverRoom* out) {
  Handle h;
  RUTILE_RETURN_IF_ERROR(handle_of(device, &h));
  *out = {};
  return status_of(room_of(h, c, out), solver_name(c.step));
}

Status solver_run(int device, const SolverCall& c, const SolverRoom& room, void* workspace,
                  void* stream) {
  Handle h;
  RUTILE_RETURN_IF_ERROR(handle_of(device, &h));
  RUTILE_SOLVER_TRY(api().cusolverDnSetStream(h.solver, static_cast<cudaStream_t>(stream)),
                    "cusolverDnSetStream");
  char* host = nullptr;
  if (room.host > 0) {
    host = host_room(room.host);
    if (!host) {
      return Status(ErrorCode::kOutOfMemory,
                    cat("cuSOLVER: ", solver_name(c.step), " works in ", room.host,
                        " bytes of the host, which are not there"));
    }
  }
  return status_of(call(h, c, room, workspace, host), solver_name(c.step));
}

}  // namespace rutile::cuda
