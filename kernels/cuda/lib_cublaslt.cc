// SPDX-License-Identifier: Apache-2.0
// The calls of cuBLASLt.
#include <cublasLt.h>

#include <bit>
#include <mutex>

#include "rutile/core/complex.h"
#include "rutile/kernels/cuda/blas_library.h"
#include "rutile/kernels/cuda/library_api.h"

namespace rutile::cuda {
namespace {

struct Api : LibraryApi {
  Api() : LibraryApi("libcublasLt.so.13") {}
#include "rutile/kernels/cuda/cublaslt_functions.inc"
};
const Api& api() { return library_api<Api>(); }

Status status_of(cublasStatus_t s) {
  if (s == CUBLAS_STATUS_SUCCESS) return Status();
  return Status(s == CUBLAS_STATUS_NOT_SUPPORTED ? ErrorCode::kUnsupported : ErrorCode::kRuntime,
                cat("cuBLASLt: ", api().cublasLtGetStatusString(s)));
}
#define RUTILE_LT_TRY(expr) RUTILE_RETURN_IF_ERROR(status_of(expr))

// One a device, which becomes the thread's own.
Status handle_of(int device, cublasLtHandle_t* out) {
  static std::mutex mutex;
  static std::array<cublasLtHandle_t, 64> all{};
  RUTILE_RETURN_IF_ERROR(make_current(device));
  const std::lock_guard lock(mutex);
  cublasLtHandle_t& h = all[static_cast<size_t>(device)];
  if (!h) RUTILE_LT_TRY(api().cublasLtCreate(&h));
  *out = h;
  return Status();
}

bool data_type(DType t, cudaDataType_t* out) {
  switch (t) {
    case DType::kF16:
      *out = CUDA_R_16F;
      return true;
    case DType::kBF16:
      *out = CUDA_R_16BF;
      return true;
    case DType::kF32:
      *out = CUDA_R_32F;
      return true;
    case DType::kF64:
      *out = CUDA_R_64F;
      return true;
    case DType::kC64:
      *out = CUDA_C_32F;
      return true;
    case DType::kC128:
      *out = CUDA_C_64F;
      return true;
    default:
      return false;
  }
}
cudaDataType_t type_of(DType t) {
  cudaDataType_t type = CUDA_R_32F;
  (void)data_type(t, &type);
  return type;
}

cublasLtEpilogue_t epilogue_of(BlasEnd end) {
  switch (end) {
    case BlasEnd::kNone:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case BlasEnd::kBias:
      return CUBLASLT_EPILOGUE_BIAS;
    case BlasEnd::kRelu:
      return CUBLASLT_EPILOGUE_RELU;
    case BlasEnd::kReluBias:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    case BlasEnd::kGelu:
      return CUBLASLT_EPILOGUE_GELU;
    case BlasEnd::kGeluBias:
      return CUBLASLT_EPILOGUE_GELU_BIAS;
    case BlasEnd::kGeluAux:
      return CUBLASLT_EPILOGUE_GELU_AUX;
    case BlasEnd::kGeluAuxBias:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case BlasEnd::kGeluGrad:
      return CUBLASLT_EPILOGUE_DGELU;
    case BlasEnd::kSumsOfSecond:
      return CUBLASLT_EPILOGUE_BGRADB;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}
bool has_vector(BlasEnd e) {
  return e == BlasEnd::kBias || e == BlasEnd::kReluBias || e == BlasEnd::kGeluBias ||
         e == BlasEnd::kGeluAuxBias || e == BlasEnd::kSumsOfSecond;
}
bool has_side(BlasEnd e) {
  return e == BlasEnd::kGeluAux || e == BlasEnd::kGeluAuxBias || e == BlasEnd::kGeluGrad;
}

class LtProduct final : public LibraryProduct {
 public:
  LtProduct(int device, const BlasProduct& p) : device_(device), p_(p) {}
  ~LtProduct() override {
    const Api& lt = api();
    if (desc_) (void)lt.cublasLtMatmulDescDestroy(desc_);
    for (cublasLtMatrixLayout_t l : {first_, second_, result_}) {
      if (l) (void)lt.cublasLtMatrixLayoutDestroy(l);
    }
  }
  Status make() {
    RUTILE_RETURN_IF_ERROR(make_desc());
    RUTILE_RETURN_IF_ERROR(make_layout(p_.first, &first_));
    RUTILE_RETURN_IF_ERROR(make_layout(p_.second, &second_));
    return make_layout(p_.result, &result_);
  }
  Status ways(uint32_t alignment, int most, std::vector<BlasWay>* out) const override;
  Status run(const BlasWay& way, const BlasPointers& p, void* stream) const override;

 private:
  bool wide() const { return real_dtype(p_.first.type) == DType::kF64; }
  Status make_desc();
  Status make_layout(const BlasMatrix& m, cublasLtMatrixLayout_t* out) const;

  const int device_;
  const BlasProduct p_;
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t first_ = nullptr, second_ = nullptr, result_ = nullptr;
};

Status LtProduct::make_layout(const BlasMatrix& m, cublasLtMatrixLayout_t* out) const {
  const Api& lt = api();
  RUTILE_LT_TRY(lt.cublasLtMatrixLayoutCreate(out, type_of(m.type), static_cast<uint64_t>(m.rows),
                                              static_cast<uint64_t>(m.columns), m.ld));
  const auto count = static_cast<int32_t>(p_.batch);
  RUTILE_LT_TRY(lt.cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                                    &count, sizeof(count)));
  return status_of(lt.cublasLtMatrixLayoutSetAttribute(
      *out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &m.batch_stride, sizeof(int64_t)));
}

Status LtProduct::make_desc() {
  const Api& lt = api();
  const cudaDataType_t type = type_of(p_.first.type);
  const bool single = type == CUDA_R_32F || type == CUDA_C_32F;
  const bool complex = is_complex(p_.first.type);
  const cublasComputeType_t compute = wide()              ? CUBLAS_COMPUTE_64F
                                      : single && p_.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                          : CUBLAS_COMPUTE_32F;
  // The type of the factors 1 and 0.
  const cudaDataType_t scale = complex ? type : wide() ? CUDA_R_64F : CUDA_R_32F;
  RUTILE_LT_TRY(lt.cublasLtMatmulDescCreate(&desc_, compute, scale));
  const auto set = [&](cublasLtMatmulDescAttributes_t what, const auto& value) {
    return status_of(lt.cublasLtMatmulDescSetAttribute(desc_, what, &value, sizeof(value)));
  };
  const auto op = [](const BlasMatrix& m) { return m.transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSA, op(p_.first)));
  RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSB, op(p_.second)));
  RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p_.end)));
  // Algorithms are chosen by the alignment of these two: what run() puts in is aligned.
  void* const somewhere = reinterpret_cast<void*>(uintptr_t{256});
  if (has_vector(p_.end)) {
    RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(p_.vector_type)));
    RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, somewhere));
  }
  if (!has_side(p_.end)) return Status();
  RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p_.side_ld));
  return set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, somewhere);
}

Status LtProduct::ways(uint32_t alignment, int most, std::vector<BlasWay>* out) const {
  const Api& lt = api();
  cublasLtHandle_t handle = nullptr;
  RUTILE_RETURN_IF_ERROR(handle_of(device_, &handle));
  cublasLtMatmulPreference_t made = nullptr;
  RUTILE_LT_TRY(lt.cublasLtMatmulPreferenceCreate(&made));
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>,
                        decltype(&::cublasLtMatmulPreferenceDestroy)>
      preference(made, lt.cublasLtMatmulPreferenceDestroy);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t what, const auto& value) {
    return status_of(lt.cublasLtMatmulPreferenceSetAttribute(made, what, &value, sizeof(value)));
  };
  RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kBlasWorkspace));
  for (const auto what :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    RUTILE_RETURN_IF_ERROR(set(what, alignment));
  }
  std::vector<cublasLtMatmulHeuristicResult_t> all(static_cast<size_t>(most));
  int found = 0;
  RUTILE_LT_TRY(lt.cublasLtMatmulAlgoGetHeuristic(handle, desc_, first_, second_, result_, result_,
                                                  made, most, all.data(), &found));
  if (found == 0) return Status(ErrorCode::kUnsupported, "cuBLASLt has no algorithm for the call");
  out->clear();
  for (size_t i = 0; i < static_cast<size_t>(found); ++i) {
    out->push_back({std::bit_cast<std::array<uint64_t, 8>>(all[i].algo), all[i].workspaceSize});
  }
  return Status();
}

Status LtProduct::run(const BlasWay& way, const BlasPointers& p, void* stream) const {
  const Api& lt = api();
  cublasLtHandle_t handle = nullptr;
  RUTILE_RETURN_IF_ERROR(handle_of(device_, &handle));
  // A descriptor of its own for the pointers: products are shared by threads.
  cublasLtMatmulDescOpaque_t own = *desc_;
  const auto set = [&](cublasLtMatmulDescAttributes_t what, const void* pointer) {
    return status_of(lt.cublasLtMatmulDescSetAttribute(&own, what, &pointer, sizeof(pointer)));
  };
  if (has_vector(p_.end)) {
    RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.vector));
  }
  if (has_side(p_.end)) {
    RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.side));
  }
  const auto algorithm = std::bit_cast<cublasLtMatmulAlgo_t>(way.algorithm);
  const double one[] = {1, 0}, zero[] = {0, 0};  // complex ones have two parts
  const float one_f[] = {1, 0}, zero_f[] = {0, 0};
  const void* alpha = wide() ? static_cast<const void*>(one) : one_f;
  const void* beta = wide() ? static_cast<const void*>(zero) : zero_f;
  return status_of(lt.cublasLtMatmul(handle, &own, alpha, p.first, first_, p.second, second_, beta,
                                     p.result, result_, p.result, result_, &algorithm, p.workspace,
                                     way.bytes, static_cast<cudaStream_t>(stream)));
}

}  // namespace

bool blas_type(DType t) {
  cudaDataType_t type;
  return data_type(t, &type);
}

const std::string& blas_failure() { return api().failure; }

Status LibraryProduct::make(int device, const BlasProduct& product,
                            std::unique_ptr<const LibraryProduct>* out) {
  if (!api().failure.empty()) return Status(ErrorCode::kUnsupported, api().failure);
  RUTILE_RETURN_IF_ERROR(make_current(device));
  auto made = std::make_unique<LtProduct>(device, product);
  RUTILE_RETURN_IF_ERROR(made->make());
  *out = std::move(made);
  return Status();
}

}  // namespace rutile::cuda
