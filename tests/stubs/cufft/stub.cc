// SPDX-License-Identifier: Apache-2.0
// A stand-in for libcufft.so.12 on the host's memory: the calls that kernels/cuda/lib_cufft.cc
// makes, declared by NVIDIA's own header. It is stricter than the library: a workspace is needed
// and overwritten, so is the input of the way to real numbers, and points that are their own
// conjugates have to be real.
#include <cufft.h>

#include <complex>
#include <cstring>
#include <map>
#include <numbers>
#include <vector>

#define STUB __attribute__((visibility("default")))

namespace {

constexpr size_t kRoom = 320;
struct Plan {
  cufftType type = CUFFT_C2C;
  int64_t n = 0, lines = 0;
  bool made = false, has_stream = false, own_room = true;
  void* room = nullptr;
};
std::map<cufftHandle, Plan>& plans() {
  static auto* const all = new std::map<cufftHandle, Plan>();
  return *all;
}
cufftResult find(cufftHandle h, cufftType type, Plan** out) {
  const auto at = plans().find(h);
  if (at == plans().end() || !at->second.made) return CUFFT_INVALID_PLAN;
  Plan& p = at->second;
  if (p.type != type) return CUFFT_INVALID_TYPE;
  if (!p.has_stream || p.own_room || !p.room) return CUFFT_EXEC_FAILED;
  std::memset(p.room, 0xA5, kRoom);
  p.room = nullptr;  // a call needs one of its own
  *out = &p;
  return CUFFT_SUCCESS;
}

template <class R>
std::vector<std::complex<R>> transform(const std::vector<std::complex<double>>& x, bool inverse) {
  const size_t n = x.size();
  std::vector<std::complex<R>> y(n);
  for (size_t k = 0; k < n; ++k) {
    std::complex<double> sum = 0;
    for (size_t j = 0; j < n; ++j) {
      const double angle =
          2 * std::numbers::pi * static_cast<double>(j * k % n) / static_cast<double>(n);
      sum += x[j] * std::polar(1.0, inverse ? angle : -angle);
    }
    y[k] = std::complex<R>(sum);
  }
  return y;
}

template <class R>
cufftResult complex_to_complex(cufftHandle h, cufftType type, void* in, void* out, int direction) {
  Plan* p = nullptr;
  if (const cufftResult r = find(h, type, &p); r != CUFFT_SUCCESS) return r;
  auto *x = static_cast<std::complex<R>*>(in), *y = static_cast<std::complex<R>*>(out);
  for (int64_t line = 0; line < p->lines; ++line, x += p->n, y += p->n) {
    const auto points = transform<R>({x, x + p->n}, direction == CUFFT_INVERSE);
    std::copy(points.begin(), points.end(), y);
  }
  return CUFFT_SUCCESS;
}
template <class R>
cufftResult from_real(cufftHandle h, cufftType type, void* in, void* out) {
  Plan* p = nullptr;
  if (const cufftResult r = find(h, type, &p); r != CUFFT_SUCCESS) return r;
  auto* x = static_cast<R*>(in);
  auto* y = static_cast<std::complex<R>*>(out);
  const int64_t half = p->n / 2 + 1;
  for (int64_t line = 0; line < p->lines; ++line, x += p->n, y += half) {
    const auto points = transform<R>({x, x + p->n}, false);
    std::copy(points.begin(), points.begin() + half, y);
  }
  return CUFFT_SUCCESS;
}
template <class R>
cufftResult to_real(cufftHandle h, cufftType type, void* in, void* out) {
  Plan* p = nullptr;
  if (const cufftResult r = find(h, type, &p); r != CUFFT_SUCCESS) return r;
  auto* x = static_cast<std::complex<R>*>(in);
  auto* y = static_cast<R*>(out);
  const int64_t n = p->n, half = n / 2 + 1;
  for (int64_t line = 0; line < p->lines; ++line, x += half, y += n) {
    if (x[0].imag() != 0 || (n % 2 == 0 && x[n / 2].imag() != 0)) return CUFFT_INVALID_VALUE;
    std::vector<std::complex<double>> all(static_cast<size_t>(n));
    for (int64_t k = 0; k < n; ++k) {
      all[static_cast<size_t>(k)] =
          k < half ? std::complex<double>(x[k]) : std::conj(std::complex<double>(x[n - k]));
    }
    const auto points = transform<R>(all, true);
    for (int64_t k = 0; k < n; ++k) y[k] = points[static_cast<size_t>(k)].real();
    std::fill(x, x + half, std::complex<R>(-1, -1));
  }
  return CUFFT_SUCCESS;
}

}  // namespace

extern "C" {

STUB cufftResult cufftCreate(cufftHandle* h) {
  static cufftHandle last = 0;
  *h = ++last;
  plans()[*h] = {};
  return CUFFT_SUCCESS;
}
STUB cufftResult cufftDestroy(cufftHandle h) {
  return plans().erase(h) == 1 ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}
STUB cufftResult cufftSetAutoAllocation(cufftHandle h, int wanted) {
  plans().at(h).own_room = wanted != 0;
  return CUFFT_SUCCESS;
}
STUB cufftResult cufftMakePlanMany64(cufftHandle h, int rank, long long* n, long long* inembed,
                                     long long, long long, long long* onembed, long long, long long,
                                     cufftType type, long long batch, size_t* bytes) {
  if (rank != 1 || n[0] < 1 || batch < 1) return CUFFT_INVALID_SIZE;
  if (inembed || onembed) return CUFFT_NOT_SUPPORTED;
  Plan& p = plans().at(h);
  p.type = type;
  p.n = n[0];
  p.lines = batch;
  p.made = true;
  *bytes = kRoom;
  return CUFFT_SUCCESS;
}
STUB cufftResult cufftSetWorkArea(cufftHandle h, void* room) {
  plans().at(h).room = room;
  return CUFFT_SUCCESS;
}
STUB cufftResult cufftSetStream(cufftHandle h, cudaStream_t) {
  plans().at(h).has_stream = true;
  return CUFFT_SUCCESS;
}
STUB cufftResult cufftExecC2C(cufftHandle h, cufftComplex* x, cufftComplex* y, int direction) {
  return complex_to_complex<float>(h, CUFFT_C2C, x, y, direction);
}
STUB cufftResult cufftExecR2C(cufftHandle h, cufftReal* x, cufftComplex* y) {
  return from_real<float>(h, CUFFT_R2C, x, y);
}
STUB cufftResult cufftExecC2R(cufftHandle h, cufftComplex* x, cufftReal* y) {
  return to_real<float>(h, CUFFT_C2R, x, y);
}
STUB cufftResult cufftExecZ2Z(cufftHandle h, cufftDoubleComplex* x, cufftDoubleComplex* y,
                              int direction) {
  return complex_to_complex<double>(h, CUFFT_Z2Z, x, y, direction);
}
STUB cufftResult cufftExecD2Z(cufftHandle h, cufftDoubleReal* x, cufftDoubleComplex* y) {
  return from_real<double>(h, CUFFT_D2Z, x, y);
}
STUB cufftResult cufftExecZ2D(cufftHandle h, cufftDoubleComplex* x, cufftDoubleReal* y) {
  return to_real<double>(h, CUFFT_Z2D, x, y);
}
}
