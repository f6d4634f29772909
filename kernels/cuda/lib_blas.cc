// SPDX-License-Identifier: Apache-2.0
// Rows of matmul and linear over cuBLASLt, bias and activation in its epilogue.
#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <vector>

#include "rutile/core/complex.h"
#include "rutile/core/device_runtime.h"
#include "rutile/core/device_settings.h"
#include "rutile/core/tensor.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/libraries.h"
#include "rutile/kernels/cuda/runtime.h"
#include "rutile/kernels/cuda/tune.h"
#include "rutile/kernels/matmul_shape.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/post_ops.h"

namespace rutile::cuda {
namespace {

constexpr const char* kFile = "libcublasLt.so.13";
constexpr size_t kWorkspace = size_t{32} << 20;  // what NVIDIA advises for Hopper

// The functions used, by their own names.
struct Api {
#define RUTILE_LT(name) decltype(&::name) name = nullptr;
#define RUTILE_LT_ALL                             \
  RUTILE_LT(cublasLtCreate)                       \
  RUTILE_LT(cublasLtMatmul)                       \
  RUTILE_LT(cublasLtMatmulDescCreate)             \
  RUTILE_LT(cublasLtMatmulDescDestroy)            \
  RUTILE_LT(cublasLtMatmulDescSetAttribute)       \
  RUTILE_LT(cublasLtMatrixLayoutCreate)           \
  RUTILE_LT(cublasLtMatrixLayoutDestroy)          \
  RUTILE_LT(cublasLtMatrixLayoutSetAttribute)     \
  RUTILE_LT(cublasLtMatmulPreferenceCreate)       \
  RUTILE_LT(cublasLtMatmulPreferenceDestroy)      \
  RUTILE_LT(cublasLtMatmulPreferenceSetAttribute) \
  RUTILE_LT(cublasLtMatmulAlgoGetHeuristic)       \
  RUTILE_LT(cublasLtGetStatusString)
  RUTILE_LT_ALL
#undef RUTILE_LT
  std::string failure;
};

const Api& api() {
  static const Api* const made = [] {
    auto* a = new Api();
    const Library& l = open_library(kFile);
    a->failure = l.failure;
#define RUTILE_LT(name)                                                    \
  a->name = reinterpret_cast<decltype(&::name)>(library_symbol(l, #name)); \
  if (l.handle && !a->name) a->failure = cat(kFile, " lacks ", #name, "; 13.0 or newer is needed");
    RUTILE_LT_ALL
#undef RUTILE_LT
    return a;
  }();
  return *made;
}

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
  if (use(device) != cudaSuccess) {
    return Status(ErrorCode::kRuntime, cat("CUDA: no device ", device));
  }
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

// Column-major for the library: its first factor is our b, its second our a, the result's rows are
// our columns.
struct Matrix {
  bool transposed = false;
  int64_t rows = 0, columns = 0, ld = 0, batch_stride = 0;
  cudaDataType_t type = CUDA_R_32F;
};

// A factor whose logical shape is rows x columns with these steps; false without a unit step.
bool set_matrix(int64_t rows, int64_t columns, int64_t row_step, int64_t column_step, Matrix* m) {
  const bool plain = row_step == 1 || rows == 1, turned = column_step == 1 || columns == 1;
  if (plain && (columns == 1 || column_step >= std::max<int64_t>(rows, 1))) {
    *m = {false, rows, columns, columns == 1 ? rows : column_step, 0, m->type};
    return true;
  }
  if (turned && (rows == 1 || row_step >= std::max<int64_t>(columns, 1))) {
    *m = {true, columns, rows, rows == 1 ? columns : row_step, 0, m->type};
    return true;
  }
  return false;
}

struct Product {
  Matrix first, second, result;
  int64_t batch = 1;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  bool bias = false;
  cudaDataType_t bias_type = CUDA_R_32F;
};

bool epilogue_of(ops::Activation act, bool bias, cublasLtEpilogue_t* out) {
  switch (act) {
    case ops::Activation::kNone:
      *out = bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
      return true;
    case ops::Activation::kRelu:
      *out = bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
      return true;
    case ops::Activation::kGeluTanh:
      *out = bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
      return true;
    default:
      return false;
  }
}

bool describe(const CallMeta& c, Product* p, Reason* reason) {
  const auto refuse = [&](const char* why) {
    reason->text = why;
    return false;
  };
  const kernels::MatmulShape s = kernels::matmul_shape(c);
  const bool linear = c.op == &ops::kLinear || c.op == &ops::kLinearAct;
  if (s.empty() || s.k == 0) return refuse("takes no empty products");
  if (s.batch.rank() > 1) return refuse("takes one batch dimension");
  if (!data_type(c.in(0).dtype, &p->first.type) || !data_type(c.out().dtype, &p->result.type)) {
    return refuse("takes f16, bf16, f32, f64, c64 and c128");
  }
  p->second.type = p->first.type;
  const bool same = p->result.type == p->first.type;
  if (!same && !(is_low_precision(c.in(0).dtype) && c.out().dtype == DType::kF32)) {
    return refuse("has no result of this type for these factors");
  }
  if (!set_matrix(s.n, s.k, s.b_n, s.b_k, &p->first) ||
      !set_matrix(s.k, s.m, s.a_k, s.a_m, &p->second)) {
    return refuse("a factor has no dimension of neighbours");
  }
  if ((s.c_n != 1 && s.n != 1) || (s.m != 1 && s.c_m < s.n)) return refuse("writes row-major");
  p->result = {false, s.n, s.m, s.m == 1 ? s.n : s.c_m, 0, p->result.type};
  if (s.batch.rank() == 1) {
    p->batch = s.batch[0];
    p->first.batch_stride = s.b_batch[0];
    p->second.batch_stride = s.a_batch[0];
    p->result.batch_stride = s.c_batch[0];
  }
  constexpr int64_t kMost = int64_t{1} << 31;
  for (const Matrix* m : {&p->first, &p->second, &p->result}) {
    if (m->rows >= kMost || m->columns >= kMost || m->ld >= kMost) return refuse("is too large");
  }
  ops::Activation act = ops::Activation::kNone;
  if (c.op == &ops::kLinearAct) {
    act = c.as<ops::LinearActAttrs>().act;
    if (c.has(3)) return refuse("adds no residual");
  }
  p->bias = linear && c.has(2);
  if (p->bias) {
    const TensorMeta& b = c.in(2);
    if (!b.is_contiguous() || !data_type(b.dtype, &p->bias_type)) return refuse("bias has gaps");
    if (b.dtype != c.out().dtype) return refuse("takes a bias of the result's type");
  }
  if (!epilogue_of(act, p->bias, &p->epilogue)) return refuse("has no such activation");
  if (is_complex(c.in(0).dtype) && p->epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
    return refuse("adds nothing to complex products");
  }
  return true;
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  Product p;
  if (!describe(c, &p, reason)) return false;
  if (api().failure.empty()) return true;
  reason->text = api().failure;
  return false;
}

// Descriptors of the library, owned.
struct LtPlan : Plan {
  int device = 0;
  bool wide = false;
  size_t bias_bytes = 0;  // 0: no bias
  size_t bias_at = 0;     // where in the workspace a bias goes that is not aligned
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t first = nullptr, second = nullptr, result = nullptr;
  // For pointers aligned to 16 bytes, and for any.
  cublasLtMatmulAlgo_t fast, any;
  size_t fast_bytes = 0, any_bytes = 0;
  bool has_fast = false, has_any = false;
  std::unique_ptr<Plan> tiles;  // ours, where the library has nothing for any pointers
  ~LtPlan() override {
    const Api& lt = api();
    if (desc) (void)lt.cublasLtMatmulDescDestroy(desc);
    for (cublasLtMatrixLayout_t l : {first, second, result}) {
      if (l) (void)lt.cublasLtMatrixLayoutDestroy(l);
    }
  }
};

Status make_layout(const Matrix& m, int64_t batch, cublasLtMatrixLayout_t* out) {
  const Api& lt = api();
  RUTILE_LT_TRY(lt.cublasLtMatrixLayoutCreate(out, m.type, static_cast<uint64_t>(m.rows),
                                              static_cast<uint64_t>(m.columns), m.ld));
  const auto count = static_cast<int32_t>(batch);
  RUTILE_LT_TRY(lt.cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                                    &count, sizeof(count)));
  return status_of(lt.cublasLtMatrixLayoutSetAttribute(
      *out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &m.batch_stride, sizeof(int64_t)));
}

Status make_desc(const Product& p, bool wide, cublasLtMatmulDesc_t* out) {
  const Api& lt = api();
  const bool single = p.first.type == CUDA_R_32F || p.first.type == CUDA_C_32F;
  const bool complex = p.first.type == CUDA_C_32F || p.first.type == CUDA_C_64F;
  const cublasComputeType_t compute = wide ? CUBLAS_COMPUTE_64F
                                      : single && device_settings().tf32_matmul
                                          ? CUBLAS_COMPUTE_32F_FAST_TF32
                                          : CUBLAS_COMPUTE_32F;
  // The type of the factors 1 and 0.
  const cudaDataType_t scale = complex ? p.first.type : wide ? CUDA_R_64F : CUDA_R_32F;
  RUTILE_LT_TRY(lt.cublasLtMatmulDescCreate(out, compute, scale));
  const auto set = [&](cublasLtMatmulDescAttributes_t what, const auto& value) {
    return status_of(lt.cublasLtMatmulDescSetAttribute(*out, what, &value, sizeof(value)));
  };
  const auto op = [](const Matrix& m) { return m.transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSA, op(p.first)));
  RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSB, op(p.second)));
  RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_EPILOGUE, p.epilogue));
  return p.bias ? set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, p.bias_type) : Status();
}

using Found = std::vector<cublasLtMatmulHeuristicResult_t>;

// The algorithms that the library expects to be the fastest for pointers of this alignment.
Status candidates(const LtPlan& p, cublasLtHandle_t handle, uint32_t alignment, int most,
                  Found* all) {
  const Api& lt = api();
  cublasLtMatmulPreference_t made = nullptr;
  RUTILE_LT_TRY(lt.cublasLtMatmulPreferenceCreate(&made));
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>,
                        decltype(&::cublasLtMatmulPreferenceDestroy)>
      preference(made, lt.cublasLtMatmulPreferenceDestroy);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t what, const auto& value) {
    return status_of(lt.cublasLtMatmulPreferenceSetAttribute(made, what, &value, sizeof(value)));
  };
  RUTILE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspace));
  for (const auto what :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    RUTILE_RETURN_IF_ERROR(set(what, alignment));
  }
  all->resize(static_cast<size_t>(most));
  int found = 0;
  RUTILE_LT_TRY(lt.cublasLtMatmulAlgoGetHeuristic(handle, p.desc, p.first, p.second, p.result,
                                                  p.result, made, most, all->data(), &found));
  if (found == 0) return Status(ErrorCode::kUnsupported, "cuBLASLt has no algorithm for the call");
  all->resize(static_cast<size_t>(found));
  return Status();
}

// Algorithms are chosen by the alignment of the matrices; all of them may read 16 bytes of the bias
// at once.
Status place_bias(const LtPlan& p, const KernelArgs& k, const void** bias) {
  *bias = k.in[2];
  if (aligned(*bias)) return Status();
  void* const copy = static_cast<char*>(k.workspace) + p.bias_at;
  *bias = copy;
  return launch_status(cudaMemcpyAsync(copy, k.in[2], p.bias_bytes, cudaMemcpyDeviceToDevice,
                                       cuda_stream(k.stream)));
}

Status queue(const LtPlan& p, const KernelArgs& k, const cublasLtMatmulAlgo_t& algo, size_t bytes) {
  const Api& lt = api();
  cublasLtHandle_t handle = nullptr;
  RUTILE_RETURN_IF_ERROR(handle_of(p.device, &handle));
  // A descriptor of its own for the pointer of the bias: plans are shared by threads.
  cublasLtMatmulDescOpaque_t own = *p.desc;
  if (p.bias_bytes > 0) {
    const void* bias = nullptr;
    RUTILE_RETURN_IF_ERROR(place_bias(p, k, &bias));
    RUTILE_LT_TRY(lt.cublasLtMatmulDescSetAttribute(&own, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                                    sizeof(bias)));
  }
  const double one[] = {1, 0}, zero[] = {0, 0};  // complex ones have two parts
  const float one_f[] = {1, 0}, zero_f[] = {0, 0};
  const void* alpha = p.wide ? static_cast<const void*>(one) : one_f;
  const void* beta = p.wide ? static_cast<const void*>(zero) : zero_f;
  return status_of(lt.cublasLtMatmul(handle, &own, alpha, k.in[1], p.first, k.in[0], p.second, beta,
                                     k.out[0], p.result, k.out[0], p.result, &algo, k.workspace,
                                     bytes, cuda_stream(k.stream)));
}

// Times all that was found on memory of its own; the first where nothing can be timed.
size_t fastest_of(const LtPlan& p, const CallMeta& c, const Found& all) {
  DeviceRuntime& runtime = device_runtime(c.in(0).device);
  const DeviceFns& fns = runtime.fns();
  const int device = runtime.device().index;
  std::vector<Ref<Storage>> pieces;
  const auto piece = [&](size_t bytes) {
    pieces.push_back(Storage::allocate(bytes + 256, runtime.device()));
    return pieces.back()->data();
  };
  std::vector<void*> in;
  for (const TensorMeta* m : c.inputs) {
    in.push_back(m ? piece(static_cast<size_t>(m->nbytes())) : nullptr);
  }
  void* out[] = {piece(static_cast<size_t>(c.out().nbytes()))};
  const KernelArgs k{in.data(), out, piece(kWorkspace), runtime.stream()};
  Event begin = nullptr, end = nullptr;
  if (!fns.event_create(device, &begin).ok() || !fns.event_create(device, &end).ok()) return 0;
  const auto time = [&](int i, float* ms) {
    const auto& way = all[static_cast<size_t>(i)];
    RUTILE_RETURN_IF_ERROR(fns.event_record(device, begin, k.stream));
    RUTILE_RETURN_IF_ERROR(queue(p, k, way.algo, way.workspaceSize));
    RUTILE_RETURN_IF_ERROR(fns.event_record(device, end, k.stream));
    RUTILE_RETURN_IF_ERROR(fns.event_sync(device, end));
    return fns.event_ms(device, begin, end, ms);
  };
  const int best = fastest(static_cast<int>(all.size()), time);
  (void)fns.event_destroy(device, begin);
  (void)fns.event_destroy(device, end);
  return best < 0 ? 0 : static_cast<size_t>(best);
}

Status choose(const LtPlan& p, const CallMeta& c, cublasLtHandle_t handle, uint32_t alignment,
              cublasLtMatmulAlgo_t* algo, size_t* bytes) {
  constexpr int kTried = 8;
  const bool tune = device_settings().autotune;
  Found all;
  RUTILE_RETURN_IF_ERROR(candidates(p, handle, alignment, tune ? kTried : 1, &all));
  const auto& best = all[tune && all.size() > 1 ? fastest_of(p, c, all) : 0];
  *algo = best.algo;
  *bytes = best.workspaceSize;
  return Status();
}

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const LtPlan&>(plan);
  const bool fast = p.has_fast && aligned(k.in[0]) && aligned(k.in[1]) && aligned(k.out[0]);
  if (!fast && !p.has_any) return p.tiles->run(*p.tiles, k);
  return queue(p, k, fast ? p.fast : p.any, fast ? p.fast_bytes : p.any_bytes);
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  Product product;
  Reason reason;
  if (!describe(c, &product, &reason)) return Status(ErrorCode::kUnsupported, reason.text);
  auto p = std::make_unique<LtPlan>();
  p->run = run;
  p->device = c.in(0).device.index;
  p->wide = real_dtype(c.in(0).dtype) == DType::kF64;
  if (product.bias) p->bias_bytes = static_cast<size_t>(c.in(2).nbytes());
  cublasLtHandle_t handle = nullptr;
  RUTILE_RETURN_IF_ERROR(handle_of(p->device, &handle));
  RUTILE_RETURN_IF_ERROR(make_desc(product, p->wide, &p->desc));
  RUTILE_RETURN_IF_ERROR(make_layout(product.first, product.batch, &p->first));
  RUTILE_RETURN_IF_ERROR(make_layout(product.second, product.batch, &p->second));
  RUTILE_RETURN_IF_ERROR(make_layout(product.result, product.batch, &p->result));
  p->has_fast = choose(*p, c, handle, 16, &p->fast, &p->fast_bytes).ok();
  const auto size = static_cast<uint32_t>(dtype_size(c.in(0).dtype));
  Status any = choose(*p, c, handle, size, &p->any, &p->any_bytes);
  p->has_any = any.ok();
  if (!p->has_any) {
    if (!p->has_fast || c.op == &ops::kLinearAct) return any;
    RUTILE_RETURN_IF_ERROR(prepare_tiles(c, &p->tiles));
  }
  p->bias_at = (std::max(p->fast_bytes, p->any_bytes) + 15) / 16 * 16;
  p->workspace_bytes = p->bias_at + p->bias_bytes;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_blas() {
  add_row(ops::kMatmul, "cublaslt", prepare, supports);
  add_row(ops::kLinear, "cublaslt", prepare, supports);
  add_row(ops::kLinearAct, "cublaslt", prepare, supports);
}

}  // namespace rutile::cuda
