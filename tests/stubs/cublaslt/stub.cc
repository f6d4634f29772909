// SPDX-License-Identifier: Apache-2.0
// A stand-in for libcublasLt.so.13 on the host's memory: the calls that
// kernels/cuda/lib_cublaslt.cc makes, declared by NVIDIA's own header. It is stricter than the
// library: algorithms want the alignment they were found for, epilogues aligned operands and what
// the header says of them, a workspace is needed and overwritten, what is written and not read
// before is poisoned.
#include <cublasLt.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <vector>

#include "rutile/core/half.h"

#define STUB __attribute__((visibility("default")))

namespace {

constexpr size_t kRoom = 448;
constexpr uint64_t kMark = 0x5eed;

struct Desc {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  int32_t vector_type = -1;
  void *vector = nullptr, *side = nullptr;
  int64_t side_ld = 0;
};
struct Layout {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t ld, stride = 0;
  int32_t batch = 1;
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};
};
static_assert(sizeof(Desc) <= sizeof(cublasLtMatmulDescOpaque_t));
static_assert(sizeof(Layout) <= sizeof(cublasLtMatrixLayoutOpaque_t));
static_assert(sizeof(Preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t));

template <class T, class Opaque>
T get(const Opaque* o) {
  alignas(T) char room[sizeof(T)];
  std::memcpy(room, o, sizeof(T));
  return *reinterpret_cast<T*>(room);
}
template <class T, class Opaque>
void put(Opaque* o, const T& t) {
  std::memcpy(o, &t, sizeof(T));
}

using Number = std::complex<double>;

size_t size_of(cudaDataType_t t) {
  switch (t) {
    case CUDA_R_16F:
    case CUDA_R_16BF:
      return 2;
    case CUDA_R_32F:
      return 4;
    case CUDA_R_64F:
    case CUDA_C_32F:
      return 8;
    default:
      return 16;
  }
}
Number load(const void* p, int64_t i, cudaDataType_t t) {
  switch (t) {
    case CUDA_R_16F:
      return static_cast<float>(static_cast<const rutile::Half*>(p)[i]);
    case CUDA_R_16BF:
      return static_cast<float>(static_cast<const rutile::BFloat16*>(p)[i]);
    case CUDA_R_32F:
      return static_cast<const float*>(p)[i];
    case CUDA_R_64F:
      return static_cast<const double*>(p)[i];
    case CUDA_C_32F:
      return static_cast<const std::complex<float>*>(p)[i];
    default:
      return static_cast<const std::complex<double>*>(p)[i];
  }
}
void store(void* p, int64_t i, cudaDataType_t t, Number v) {
  switch (t) {
    case CUDA_R_16F:
      static_cast<rutile::Half*>(p)[i] = rutile::Half(static_cast<float>(v.real()));
      break;
    case CUDA_R_16BF:
      static_cast<rutile::BFloat16*>(p)[i] = rutile::BFloat16(static_cast<float>(v.real()));
      break;
    case CUDA_R_32F:
      static_cast<float*>(p)[i] = static_cast<float>(v.real());
      break;
    case CUDA_R_64F:
      static_cast<double*>(p)[i] = v.real();
      break;
    case CUDA_C_32F:
      static_cast<std::complex<float>*>(p)[i] = std::complex<float>(v);
      break;
    default:
      static_cast<std::complex<double>*>(p)[i] = v;
  }
}

bool has(const Desc& d, int flag) { return (d.epilogue & flag) != 0; }
bool has_side(const Desc& d) { return has(d, 128); }
bool has_vector(const Desc& d) { return has(d, 4) || has(d, 16) || has(d, 256) || has(d, 512); }

// What the header says of the two operands of an epilogue.
bool valid_ends(const Desc& d, const Layout& result) {
  if (has_side(d)) {
    if (d.side_ld % 8 != 0 || d.side_ld < static_cast<int64_t>(result.rows)) return false;
    if (result.batch != 1 || reinterpret_cast<uintptr_t>(d.side) % 16 != 0) return false;
  }
  if (has_vector(d)) {
    if (d.vector_type != static_cast<int32_t>(result.type)) return false;
    if (reinterpret_cast<uintptr_t>(d.vector) % 16 != 0) return false;
  }
  const bool complex = result.type == CUDA_C_32F || result.type == CUDA_C_64F;
  return !complex || d.epilogue == CUBLASLT_EPILOGUE_DEFAULT;
}

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
double gelu_slope(double x) {
  const double t = std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

// Element (row, column) of a factor after its transposition.
Number factor(const void* p, const Layout& l, cublasOperation_t op, int64_t row, int64_t column,
              int64_t batch) {
  if (op != CUBLAS_OP_N) std::swap(row, column);
  return load(p, batch * l.stride + row + column * l.ld, l.type);
}

Number finish(const Desc& d, const Layout& result, Number v, int64_t row, int64_t column) {
  const auto type = result.type;
  if (has(d, 4)) v += load(d.vector, row, type);
  const int64_t at = row + column * d.side_ld;
  if (d.epilogue == CUBLASLT_EPILOGUE_DGELU) {
    return v * gelu_slope(load(d.side, at, type).real());
  }
  if (has(d, 32)) {
    if (has_side(d)) store(d.side, at, type, v);
    return gelu(v.real());
  }
  return has(d, 2) ? Number(std::max(v.real(), 0.0)) : v;
}

}  // namespace

extern "C" {

STUB cublasStatus_t cublasLtCreate(cublasLtHandle_t* out) {
  *out = reinterpret_cast<cublasLtHandle_t>(new char);
  return CUBLAS_STATUS_SUCCESS;
}
STUB const char* cublasLtGetStatusString(cublasStatus_t s) {
  return s == CUBLAS_STATUS_INVALID_VALUE ? "an invalid value" : "not supported";
}

STUB cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* out, cublasComputeType_t compute,
                                             cudaDataType_t scale) {
  *out = new cublasLtMatmulDescOpaque_t{};
  Desc d;
  d.compute = compute;
  d.scale = scale;
  put(*out, d);
  return CUBLAS_STATUS_SUCCESS;
}
STUB cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
  delete d;
  return CUBLAS_STATUS_SUCCESS;
}
STUB cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t o,
                                                   cublasLtMatmulDescAttributes_t what,
                                                   const void* value, size_t bytes) {
  Desc d = get<Desc>(o);
  const auto take = [&](auto* to) {
    if (bytes != sizeof(*to)) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(to, value, bytes);
    put(o, d);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (what) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(&d.a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return take(&d.b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(&d.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(&d.vector);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return take(&d.vector_type);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return take(&d.side);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return take(&d.side_ld);
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

STUB cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* out, cudaDataType type,
                                               uint64_t rows, uint64_t columns, int64_t ld) {
  *out = new cublasLtMatrixLayoutOpaque_t{};
  put(*out, Layout{type, rows, columns, ld});
  return ld >= static_cast<int64_t>(rows) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
STUB cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) {
  delete l;
  return CUBLAS_STATUS_SUCCESS;
}
STUB cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t o,
                                                     cublasLtMatrixLayoutAttribute_t what,
                                                     const void* value, size_t bytes) {
  Layout l = get<Layout>(o);
  if (what == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT && bytes == sizeof(l.batch)) {
    std::memcpy(&l.batch, value, bytes);
  } else if (what == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET && bytes == sizeof(l.stride)) {
    std::memcpy(&l.stride, value, bytes);
  } else {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  put(o, l);
  return CUBLAS_STATUS_SUCCESS;
}

STUB cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* out) {
  *out = new cublasLtMatmulPreferenceOpaque_t{};
  put(*out, Preference());
  return CUBLAS_STATUS_SUCCESS;
}
STUB cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
  delete p;
  return CUBLAS_STATUS_SUCCESS;
}
STUB cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t o,
                                                         cublasLtMatmulPreferenceAttributes_t what,
                                                         const void* value, size_t bytes) {
  Preference p = get<Preference>(o);
  const int operand = what - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
  if (what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES && bytes == sizeof(p.workspace)) {
    std::memcpy(&p.workspace, value, bytes);
  } else if (operand >= 0 && operand < 4 && bytes == sizeof(uint32_t)) {
    std::memcpy(&p.alignment[operand], value, bytes);
  } else {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  put(o, p);
  return CUBLAS_STATUS_SUCCESS;
}

STUB cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
    cublasLtMatrixLayout_t, cublasLtMatrixLayout_t result, cublasLtMatmulPreference_t preference,
    int most, cublasLtMatmulHeuristicResult_t found[], int* count) {
  *count = 0;
  const Desc d = get<Desc>(desc);
  const Preference p = get<Preference>(preference);
  const uint32_t alignment = *std::min_element(p.alignment, p.alignment + 4);
  const Layout l = get<Layout>(result);
  if (!valid_ends(d, l) || p.workspace < kRoom) return CUBLAS_STATUS_NOT_SUPPORTED;
  // What is done to products in low precision wants aligned operands.
  const bool more = has_side(d) || has(d, 512);
  if (more && alignment < 16) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (int i = 0; i < std::min(most, 2); ++i) {
    found[i] = {};
    found[i].algo.data[0] = kMark;
    found[i].algo.data[1] = alignment;
    found[i].algo.data[2] = static_cast<uint64_t>(d.epilogue);
    found[i].workspaceSize = kRoom;
    ++*count;
  }
  return CUBLAS_STATUS_SUCCESS;
}

STUB cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha,
                                   const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                                   cublasLtMatrixLayout_t b_layout, const void*, const void*,
                                   cublasLtMatrixLayout_t, void* out,
                                   cublasLtMatrixLayout_t out_layout,
                                   const cublasLtMatmulAlgo_t* algo, void* workspace, size_t bytes,
                                   cudaStream_t) {
  const Desc d = get<Desc>(desc);
  const Layout x = get<Layout>(a_layout), y = get<Layout>(b_layout), z = get<Layout>(out_layout);
  const uint64_t alignment = algo->data[1];
  if (algo->data[0] != kMark || algo->data[2] != static_cast<uint64_t>(d.epilogue) ||
      bytes < kRoom || !workspace || !valid_ends(d, z)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  for (const void* p : {a, b, static_cast<const void*>(out)}) {
    if (reinterpret_cast<uintptr_t>(p) % alignment != 0) return CUBLAS_STATUS_INVALID_VALUE;
  }
  std::memset(workspace, 0xA5, kRoom);
  if (load(alpha, 0, d.scale) != Number(1)) return CUBLAS_STATUS_INVALID_VALUE;
  const auto rows = static_cast<int64_t>(z.rows), columns = static_cast<int64_t>(z.columns);
  const auto inner = static_cast<int64_t>(d.a == CUBLAS_OP_N ? x.columns : x.rows);
  const auto inner_of_b = static_cast<int64_t>(d.b == CUBLAS_OP_N ? y.rows : y.columns);
  if (inner != inner_of_b) return CUBLAS_STATUS_INVALID_VALUE;
  for (int64_t n = 0; n < z.batch; ++n) {
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t i = 0; i < rows; ++i) {
        Number sum = 0;
        for (int64_t k = 0; k < inner; ++k) {
          sum += factor(a, x, d.a, i, k, n) * factor(b, y, d.b, k, j, n);
        }
        store(out, n * z.stride + i + j * z.ld, z.type, finish(d, z, sum, i, j));
      }
    }
  }
  if (d.epilogue != CUBLASLT_EPILOGUE_BGRADB) return CUBLAS_STATUS_SUCCESS;
  for (int64_t j = 0; j < columns; ++j) {
    Number sum = 0;
    for (int64_t k = 0; k < inner; ++k) sum += factor(b, y, d.b, k, j, 0);
    store(d.vector, j, z.type, sum);
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
