// SPDX-License-Identifier: Apache-2.0
// A stand-in for libcusolver.so.12 on the host's memory, over Eigen: the calls that
// kernels/cuda/lib_cusolver.cc makes, declared by NVIDIA's own header. It is stricter than the
// library: what a call may overwrite is overwritten, workspaces have to be of the size that was
// asked for, and vectors get signs, phases and an order that only LAPACK's rules allow.
#include <cusolverDn.h>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <Eigen/SVD>
#include <complex>
#include <cstring>
#include <limits>

#define STUB __attribute__((visibility("default")))

struct cusolverDnContext {
  cudaStream_t stream = nullptr;
  bool has_stream = false;
};
struct cusolverDnParams {
  int unused = 0;
};

namespace {

using Eigen::Dynamic;
using Index = Eigen::Index;
template <class T>
using Mat = Eigen::Matrix<T, Dynamic, Dynamic>;
template <class T>
using View = Eigen::Map<Mat<T>, 0, Eigen::OuterStride<>>;
template <class T>
View<T> view(void* p, int64_t rows, int64_t columns, int64_t leading) {
  return {static_cast<T*>(p), rows, columns, Eigen::OuterStride<>(leading)};
}
template <class T>
using Real = typename Eigen::NumTraits<T>::Real;

constexpr size_t kDeviceBytes = 192, kHostBytes = 48;

bool right_room(void* device, size_t device_bytes, void* host, size_t host_bytes) {
  if (device_bytes != kDeviceBytes || host_bytes != kHostBytes || !device || !host) return false;
  std::memset(device, 0xA5, device_bytes);
  std::memset(host, 0xA5, host_bytes);
  return true;
}
cusolverStatus_t sizes(cusolverDnHandle_t h, size_t* device, size_t* host) {
  if (!h) return CUSOLVER_STATUS_NOT_INITIALIZED;
  *device = kDeviceBytes;
  *host = kHostBytes;
  return CUSOLVER_STATUS_SUCCESS;
}

template <class F>
cusolverStatus_t by_type(cudaDataType t, F&& f) {
  switch (t) {
    case CUDA_R_32F:
      return f(float{});
    case CUDA_R_64F:
      return f(double{});
    case CUDA_C_32F:
      return f(std::complex<float>{});
    case CUDA_C_64F:
      return f(std::complex<double>{});
    default:
      return CUSOLVER_STATUS_NOT_SUPPORTED;
  }
}
cudaDataType real_of(cudaDataType t) {
  return t == CUDA_C_32F ? CUDA_R_32F : t == CUDA_C_64F ? CUDA_R_64F : t;
}
// A number of size 1 that differs from column to column.
template <class T>
T phase(Index column) {
  if constexpr (Eigen::NumTraits<T>::IsComplex) {
    return std::polar<Real<T>>(1, static_cast<Real<T>>(column + 1));
  } else {
    return column % 2 ? T(1) : T(-1);
  }
}
template <class T>
T nothing() {
  return T(std::numeric_limits<Real<T>>::quiet_NaN());
}

template <class T>
void factor_lu(View<T> a, int64_t* pivots, int* info) {
  *info = 0;
  for (Index k = 0; k < std::min(a.rows(), a.cols()); ++k) {
    Index best = k;
    const auto score = [&](Index i) {
      return std::abs(Eigen::numext::real(a(i, k))) + std::abs(Eigen::numext::imag(a(i, k)));
    };
    for (Index i = k + 1; i < a.rows(); ++i) {
      if (score(i) > score(best)) best = i;
    }
    pivots[k] = best + 1;
    if (best != k) a.row(k).swap(a.row(best));
    if (a(k, k) == T(0)) {
      if (*info == 0) *info = static_cast<int>(k + 1);
      continue;
    }
    const Index below = a.rows() - k - 1, right = a.cols() - k - 1;
    a.col(k).tail(below) /= a(k, k);
    a.bottomRightCorner(below, right) -= a.col(k).tail(below) * a.row(k).tail(right);
  }
}

template <class T>
void solve_lu(bool transpose, View<T> a, const int64_t* pivots, View<T> b) {
  if (!transpose) {
    for (Index k = 0; k < a.rows(); ++k) b.row(k).swap(b.row(pivots[k] - 1));
    a.template triangularView<Eigen::UnitLower>().solveInPlace(b);
    a.template triangularView<Eigen::Upper>().solveInPlace(b);
    return;
  }
  const Mat<T> t = a.transpose();
  t.template triangularView<Eigen::Lower>().solveInPlace(b);
  t.template triangularView<Eigen::UnitUpper>().solveInPlace(b);
  for (Index k = a.rows() - 1; k >= 0; --k) b.row(k).swap(b.row(pivots[k] - 1));
}

template <class T>
cusolverStatus_t expand_q(int m, int n, int k, T* a, int lda, const T* tau, T* work, int lwork,
                          int* info) {
  if (k > n || n > m || lda < std::max(1, m)) return CUSOLVER_STATUS_INVALID_VALUE;
  if (static_cast<size_t>(lwork) * sizeof(T) != kDeviceBytes / 16 * 16) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  std::memset(static_cast<void*>(work), 0xA5, static_cast<size_t>(lwork) * sizeof(T));
  auto view_a = view<T>(a, m, n, lda);
  const Mat<T> reflections = view_a;
  view_a.setIdentity();
  for (int i = k - 1; i >= 0; --i) {
    Eigen::Matrix<T, Dynamic, 1> v = Eigen::Matrix<T, Dynamic, 1>::Zero(m);
    v(i) = T(1);
    v.tail(m - i - 1) = reflections.col(i).tail(m - i - 1);
    const Mat<T> along = v.adjoint() * view_a;
    view_a -= tau[i] * v * along;
  }
  *info = 0;
  return CUSOLVER_STATUS_SUCCESS;
}
template <class T>
cusolverStatus_t expand_room(int* elements) {
  *elements = static_cast<int>(kDeviceBytes / sizeof(T));
  return CUSOLVER_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

STUB cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* h) {
  *h = new cusolverDnContext();
  return CUSOLVER_STATUS_SUCCESS;
}
STUB cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t h, cudaStream_t stream) {
  h->stream = stream;
  h->has_stream = true;
  return CUSOLVER_STATUS_SUCCESS;
}
STUB cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* p) {
  *p = new cusolverDnParams();
  return CUSOLVER_STATUS_SUCCESS;
}

STUB cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t h, cusolverDnParams_t,
                                                  cublasFillMode_t, int64_t, cudaDataType,
                                                  const void*, int64_t, cudaDataType,
                                                  size_t* device, size_t* host) {
  return sizes(h, device, host);
}
STUB cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t h, cusolverDnParams_t,
                                       cublasFillMode_t uplo, int64_t n, cudaDataType type, void* A,
                                       int64_t lda, cudaDataType compute, void* device,
                                       size_t device_bytes, void* host, size_t host_bytes,
                                       int* info) {
  if (!h->has_stream || compute != type || lda < n) return CUSOLVER_STATUS_INVALID_VALUE;
  if (!right_room(device, device_bytes, host, host_bytes)) return CUSOLVER_STATUS_INVALID_VALUE;
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    auto a = view<T>(A, n, n, lda);
    const bool upper = uplo == CUBLAS_FILL_MODE_UPPER;
    Mat<T> l = a;
    if (upper) l.adjointInPlace();
    *info = 0;
    for (Index k = 0; k < n && *info == 0; ++k) {
      const Real<T> left = l.row(k).head(k).squaredNorm();
      const Real<T> pivot = Eigen::numext::real(l(k, k)) - left;
      if (pivot <= 0) {  // a NaN passes, as it may
        *info = static_cast<int>(k + 1);
        break;
      }
      l(k, k) = T(std::sqrt(pivot));
      for (Index i = k + 1; i < n; ++i) {
        const T along = l.row(k).head(k).dot(l.row(i).head(k));
        l(i, k) = (l(i, k) - along) / l(k, k);
      }
    }
    a.setConstant(nothing<T>());
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j <= i; ++j) {
        (upper ? a(j, i) : a(i, j)) = upper ? Eigen::numext::conj(l(i, j)) : l(i, j);
      }
    }
    return CUSOLVER_STATUS_SUCCESS;
  });
}

STUB cusolverStatus_t cusolverDnXgetrf_bufferSize(cusolverDnHandle_t h, cusolverDnParams_t, int64_t,
                                                  int64_t, cudaDataType, const void*, int64_t,
                                                  cudaDataType, size_t* device, size_t* host) {
  return sizes(h, device, host);
}
STUB cusolverStatus_t cusolverDnXgetrf(cusolverDnHandle_t h, cusolverDnParams_t, int64_t m,
                                       int64_t n, cudaDataType type, void* A, int64_t lda,
                                       int64_t* pivots, cudaDataType compute, void* device,
                                       size_t device_bytes, void* host, size_t host_bytes,
                                       int* info) {
  if (!h->has_stream || compute != type || lda < m) return CUSOLVER_STATUS_INVALID_VALUE;
  if (!right_room(device, device_bytes, host, host_bytes)) return CUSOLVER_STATUS_INVALID_VALUE;
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    factor_lu<T>(view<T>(A, m, n, lda), pivots, info);
    return CUSOLVER_STATUS_SUCCESS;
  });
}
STUB cusolverStatus_t cusolverDnXgetrs(cusolverDnHandle_t h, cusolverDnParams_t,
                                       cublasOperation_t trans, int64_t n, int64_t nrhs,
                                       cudaDataType type, const void* A, int64_t lda,
                                       const int64_t* pivots, cudaDataType type_b, void* B,
                                       int64_t ldb, int* info) {
  if (!h->has_stream || type_b != type || lda < n || ldb < n || trans == CUBLAS_OP_C) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    solve_lu<T>(trans == CUBLAS_OP_T, view<T>(const_cast<void*>(A), n, n, lda), pivots,
                view<T>(B, n, nrhs, ldb));
    *info = 0;
    return CUSOLVER_STATUS_SUCCESS;
  });
}

STUB cusolverStatus_t cusolverDnXgeqrf_bufferSize(cusolverDnHandle_t h, cusolverDnParams_t, int64_t,
                                                  int64_t, cudaDataType, const void*, int64_t,
                                                  cudaDataType, const void*, cudaDataType,
                                                  size_t* device, size_t* host) {
  return sizes(h, device, host);
}
STUB cusolverStatus_t cusolverDnXgeqrf(cusolverDnHandle_t h, cusolverDnParams_t, int64_t m,
                                       int64_t n, cudaDataType type, void* A, int64_t lda,
                                       cudaDataType type_tau, void* tau, cudaDataType compute,
                                       void* device, size_t device_bytes, void* host,
                                       size_t host_bytes, int* info) {
  if (!h->has_stream || compute != type || type_tau != type || lda < m) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  if (!right_room(device, device_bytes, host, host_bytes)) return CUSOLVER_STATUS_INVALID_VALUE;
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    auto a = view<T>(A, m, n, lda);
    const Eigen::HouseholderQR<Mat<T>> f{Mat<T>(a)};
    a = f.matrixQR();
    const Mat<T> factors = f.hCoeffs().conjugate();
    std::copy(factors.data(), factors.data() + factors.size(), static_cast<T*>(tau));
    *info = 0;
    return CUSOLVER_STATUS_SUCCESS;
  });
}

#define STUB_ORGQR(letter, name, T)                                                               \
  STUB cusolverStatus_t cusolverDn##letter##name##_bufferSize(                                    \
      cusolverDnHandle_t, int, int, int, const T*, int, const T*, int* lwork) {                   \
    return expand_room<T>(lwork);                                                                 \
  }                                                                                               \
  STUB cusolverStatus_t cusolverDn##letter##name(cusolverDnHandle_t h, int m, int n, int k, T* A, \
                                                 int lda, const T* tau, T* work, int lwork,       \
                                                 int* info) {                                     \
    if (!h->has_stream) return CUSOLVER_STATUS_INVALID_VALUE;                                     \
    return expand_q(m, n, k, as_number(A), lda, as_number(tau), as_number(work), lwork, info);    \
  }
}  // extern "C"

static float* as_number(float* p) { return p; }
static const float* as_number(const float* p) { return p; }
static double* as_number(double* p) { return p; }
static const double* as_number(const double* p) { return p; }
static std::complex<float>* as_number(cuComplex* p) {
  return reinterpret_cast<std::complex<float>*>(p);
}
static const std::complex<float>* as_number(const cuComplex* p) {
  return reinterpret_cast<const std::complex<float>*>(p);
}
static std::complex<double>* as_number(cuDoubleComplex* p) {
  return reinterpret_cast<std::complex<double>*>(p);
}
static const std::complex<double>* as_number(const cuDoubleComplex* p) {
  return reinterpret_cast<const std::complex<double>*>(p);
}

extern "C" {
STUB_ORGQR(S, orgqr, float)
STUB_ORGQR(D, orgqr, double)
STUB_ORGQR(C, ungqr, cuComplex)
STUB_ORGQR(Z, ungqr, cuDoubleComplex)

STUB cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t h, cusolverDnParams_t,
                                                  cusolverEigMode_t, cublasFillMode_t, int64_t,
                                                  cudaDataType, const void*, int64_t, cudaDataType,
                                                  const void*, cudaDataType, size_t* device,
                                                  size_t* host) {
  return sizes(h, device, host);
}
STUB cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t h, cusolverDnParams_t,
                                       cusolverEigMode_t jobz, cublasFillMode_t uplo, int64_t n,
                                       cudaDataType type, void* A, int64_t lda, cudaDataType type_w,
                                       void* W, cudaDataType compute, void* device,
                                       size_t device_bytes, void* host, size_t host_bytes,
                                       int* info) {
  if (!h->has_stream || compute != type || type_w != real_of(type) || lda < n ||
      jobz != CUSOLVER_EIG_MODE_VECTOR || uplo != CUBLAS_FILL_MODE_LOWER) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  if (!right_room(device, device_bytes, host, host_bytes)) return CUSOLVER_STATUS_INVALID_VALUE;
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    auto a = view<T>(A, n, n, lda);
    const Eigen::SelfAdjointEigenSolver<Mat<T>> f{Mat<T>(a)};
    // 1e30 in a corner stands for what does not converge.
    *info = std::abs(a(0, 0)) > Real<T>(9e29) ? 1 : 0;
    a = f.eigenvectors();
    for (Index k = 0; k < n; ++k) {
      a.col(k) *= phase<T>(k);
      static_cast<Real<T>*>(W)[k] = f.eigenvalues()(k);
    }
    return CUSOLVER_STATUS_SUCCESS;
  });
}

STUB cusolverStatus_t cusolverDnXgesvd_bufferSize(cusolverDnHandle_t h, cusolverDnParams_t,
                                                  signed char, signed char, int64_t, int64_t,
                                                  cudaDataType, const void*, int64_t, cudaDataType,
                                                  const void*, cudaDataType, const void*, int64_t,
                                                  cudaDataType, const void*, int64_t, cudaDataType,
                                                  size_t* device, size_t* host) {
  return sizes(h, device, host);
}
STUB cusolverStatus_t cusolverDnXgesvd(cusolverDnHandle_t h, cusolverDnParams_t, signed char jobu,
                                       signed char jobvt, int64_t m, int64_t n, cudaDataType type,
                                       void* A, int64_t lda, cudaDataType type_s, void* S,
                                       cudaDataType type_u, void* U, int64_t ldu,
                                       cudaDataType type_vt, void* VT, int64_t ldvt,
                                       cudaDataType compute, void* device, size_t device_bytes,
                                       void* host, size_t host_bytes, int* info) {
  if (!h->has_stream || m < n || jobu != 'S' || jobvt != 'S' || compute != type ||
      type_s != real_of(type) || type_u != type || type_vt != type || lda < m || ldu < m ||
      ldvt < n) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  if (!right_room(device, device_bytes, host, host_bytes)) return CUSOLVER_STATUS_INVALID_VALUE;
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    auto a = view<T>(A, m, n, lda), u = view<T>(U, m, n, ldu), vt = view<T>(VT, n, n, ldvt);
    const Eigen::JacobiSVD<Mat<T>, Eigen::HouseholderQRPreconditioner> f(
        Mat<T>(a), Eigen::ComputeThinU | Eigen::ComputeThinV);
    u = f.matrixU();
    vt = f.matrixV().adjoint();
    for (Index k = 0; k < n; ++k) {
      u.col(k) *= phase<T>(k);
      vt.row(k) *= Eigen::numext::conj(phase<T>(k));
      static_cast<Real<T>*>(S)[k] = f.singularValues()(k);
    }
    a.setConstant(nothing<T>());
    *info = 0;
    return CUSOLVER_STATUS_SUCCESS;
  });
}

STUB cusolverStatus_t cusolverDnXgeev_bufferSize(cusolverDnHandle_t h, cusolverDnParams_t,
                                                 cusolverEigMode_t, cusolverEigMode_t, int64_t,
                                                 cudaDataType, const void*, int64_t, cudaDataType,
                                                 const void*, cudaDataType, const void*, int64_t,
                                                 cudaDataType, const void*, int64_t, cudaDataType,
                                                 size_t* device, size_t* host) {
  return sizes(h, device, host);
}
STUB cusolverStatus_t cusolverDnXgeev(cusolverDnHandle_t h, cusolverDnParams_t,
                                      cusolverEigMode_t left, cusolverEigMode_t right, int64_t n,
                                      cudaDataType type, void* A, int64_t lda, cudaDataType type_w,
                                      void* W, cudaDataType type_vl, void*, int64_t,
                                      cudaDataType type_vr, void* VR, int64_t ldvr,
                                      cudaDataType compute, void* device, size_t device_bytes,
                                      void* host, size_t host_bytes, int* info) {
  if (!h->has_stream || left != CUSOLVER_EIG_MODE_NOVECTOR || right != CUSOLVER_EIG_MODE_VECTOR ||
      compute != type || type_w != type || type_vl != type || type_vr != type || lda < n ||
      ldvr < n) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  if (!right_room(device, device_bytes, host, host_bytes)) return CUSOLVER_STATUS_INVALID_VALUE;
  const auto find = [&](auto element) {
    using T = decltype(element);
    auto a = view<T>(A, n, n, lda), v = view<T>(VR, n, n, ldvr);
    const Eigen::ComplexEigenSolver<Mat<T>> f{Mat<T>(a)};
    for (Index k = 0; k < n; ++k) {
      const Index from = (k + 1) % n;  // another order
      static_cast<T*>(W)[k] = f.eigenvalues()(from);
      v.col(k) = f.eigenvectors().col(from) * (Real<T>(2) * phase<T>(k));
    }
    a.setConstant(nothing<T>());
    *info = 0;
    return CUSOLVER_STATUS_SUCCESS;
  };
  if (type == CUDA_C_32F) return find(std::complex<float>{});
  return type == CUDA_C_64F ? find(std::complex<double>{}) : CUSOLVER_STATUS_NOT_SUPPORTED;
}
}
