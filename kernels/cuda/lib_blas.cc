// SPDX-License-Identifier: Apache-2.0
// Rows of matrix products over cuBLASLt: what follows the product is done before the result is
// written.
#include <algorithm>
#include <vector>

#include "rutile/core/complex.h"
#include "rutile/core/device_runtime.h"
#include "rutile/core/device_settings.h"
#include "rutile/core/tensor.h"
#include "rutile/kernels/cuda/blas_library.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/libraries.h"
#include "rutile/kernels/cuda/realign.h"
#include "rutile/kernels/cuda/tune.h"
#include "rutile/kernels/matmul_shape.h"
#include "rutile/ops/epilogues.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/post_ops.h"

namespace rutile::cuda {
namespace {

// Column-major for the library: its first factor is our b, its second our a, the result's rows are
// our columns.

// A factor whose logical shape is rows x columns with these steps; false without a unit step.
bool set_matrix(int64_t rows, int64_t columns, int64_t row_step, int64_t column_step,
                BlasMatrix* m) {
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

bool refuse(Reason* reason, const char* why) {
  reason->text = why;
  return false;
}

// The rows that exist for what follows the product alone: nothing else computes that.
bool is_joined(const OpDef* op) {
  return op == &ops::kLinearGelu || op == &ops::kMatmulGeluGrad || op == &ops::kMatmulSums;
}

bool activation_end(ops::Activation act, bool bias, BlasEnd* end) {
  switch (act) {
    case ops::Activation::kNone:
      *end = bias ? BlasEnd::kBias : BlasEnd::kNone;
      return true;
    case ops::Activation::kRelu:
      *end = bias ? BlasEnd::kReluBias : BlasEnd::kRelu;
      return true;
    case ops::Activation::kGeluTanh:
      *end = bias ? BlasEnd::kGeluBias : BlasEnd::kGelu;
      return true;
    default:
      return false;
  }
}

bool describe_end(const CallMeta& c, BlasProduct* p, Reason* reason) {
  const bool biased = kernels::is_linear(c.op) && c.has(2);
  if (biased) {
    const TensorMeta& b = c.in(2);
    if (!b.is_contiguous()) return refuse(reason, "bias has gaps");
    if (b.dtype != c.out().dtype) return refuse(reason, "takes a bias of the result's type");
    p->vector_type = b.dtype;
  }
  ops::Activation act = ops::Activation::kNone;
  if (c.op == &ops::kLinearAct) {
    act = c.as<ops::LinearActAttrs>().act;
    if (c.has(3)) return refuse(reason, "adds no residual");
  }
  if (!activation_end(act, biased, &p->end)) return refuse(reason, "has no such activation");
  if (is_joined(c.op)) {
    if (!is_low_precision(c.in(0).dtype)) return refuse(reason, "takes f16 and bf16");
    if (p->batch != 1) return refuse(reason, "takes one product");
  }
  if (c.op == &ops::kMatmulSums) {
    p->end = BlasEnd::kSumsOfSecond;
    p->vector_type = c.out(1).dtype;
  } else if (is_joined(c.op)) {
    const bool gradient = c.op == &ops::kMatmulGeluGrad;
    p->end = gradient ? BlasEnd::kGeluGrad : biased ? BlasEnd::kGeluAuxBias : BlasEnd::kGeluAux;
    const TensorMeta& side = gradient ? c.in(2) : c.out(1);
    if (!side.is_contiguous()) return refuse(reason, "keeps what GELU reads without gaps");
    p->side_ld = p->result.rows;
    if (p->side_ld % 8 != 0) return refuse(reason, "takes rows of a multiple of 8");
  }
  if (is_complex(c.in(0).dtype) && p->end != BlasEnd::kNone) {
    return refuse(reason, "adds nothing to complex products");
  }
  return true;
}

bool describe(const CallMeta& c, BlasProduct* p, Reason* reason) {
  const kernels::MatmulShape s = kernels::matmul_shape(c);
  if (s.empty() || s.k == 0) return refuse(reason, "takes no empty products");
  if (s.batch.rank() > 1) return refuse(reason, "takes one batch dimension");
  p->first.type = p->second.type = c.in(0).dtype;
  p->result.type = c.out().dtype;
  if (!blas_type(p->first.type) || !blas_type(p->result.type)) {
    return refuse(reason, "takes f16, bf16, f32, f64, c64 and c128");
  }
  const bool same = p->result.type == p->first.type;
  if (!same && !(is_low_precision(c.in(0).dtype) && c.out().dtype == DType::kF32)) {
    return refuse(reason, "has no result of this type for these factors");
  }
  if (!set_matrix(s.n, s.k, s.b_n, s.b_k, &p->first) ||
      !set_matrix(s.k, s.m, s.a_k, s.a_m, &p->second)) {
    return refuse(reason, "a factor has no dimension of neighbours");
  }
  if ((s.c_n != 1 && s.n != 1) || (s.m != 1 && s.c_m < s.n)) {
    return refuse(reason, "writes row-major");
  }
  p->result = {false, s.n, s.m, s.m == 1 ? s.n : s.c_m, 0, p->result.type};
  if (s.batch.rank() == 1) {
    p->batch = s.batch[0];
    p->first.batch_stride = s.b_batch[0];
    p->second.batch_stride = s.a_batch[0];
    p->result.batch_stride = s.c_batch[0];
  }
  constexpr int64_t kMost = int64_t{1} << 31;
  for (const BlasMatrix* m : {&p->first, &p->second, &p->result}) {
    if (m->rows >= kMost || m->columns >= kMost || m->ld >= kMost) {
      return refuse(reason, "is too large");
    }
  }
  p->tf32 = device_settings().tf32_matmul;
  return describe_end(c, p, reason);
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_strided(c, reason)) return false;
  BlasProduct p;
  if (!describe(c, &p, reason)) return false;
  if (blas_failure().empty()) return true;
  reason->text = blas_failure();
  return false;
}

struct LtPlan : Plan {
  Device device;
  std::unique_ptr<const LibraryProduct> product;
  size_t bias_bytes = 0;  // 0: no bias
  size_t bias_at = 0;     // where in the workspace a bias goes that is not aligned
  // Which operands are the product's vector and side matrix; -1: none.
  int vector_out = -1, side_in = -1, side_out = -1;
  std::vector<size_t> input_bytes;  // of rows that take aligned operands only
  // For matrices aligned to 16 bytes, and for any.
  BlasWay fast, any;
  bool has_fast = false, has_any = false;
  std::unique_ptr<Plan> tiles;  // ours, where the library has nothing for any pointers
};

// Algorithms are chosen by the alignment of the matrices; all of them may read 16 bytes of the bias
// at once.
Status place_bias(const LtPlan& p, const KernelArgs& k, void** bias) {
  *bias = k.in[2];
  if (aligned(*bias)) return Status();
  *bias = static_cast<char*>(k.workspace) + p.bias_at;
  const DeviceFns& fns = device_runtime(p.device).fns();
  return fns.copy(p.device.index, *bias, k.in[2], p.bias_bytes, CopyKind::kOnDevice, k.stream);
}

Status queue(const LtPlan& p, const KernelArgs& k, const BlasWay& way) {
  LibraryStream stream;
  RUTILE_RETURN_IF_ERROR(library_stream(k.stream, &stream));
  BlasPointers at{k.in[1], k.in[0], k.out[0], nullptr, nullptr, k.workspace};
  if (p.bias_bytes > 0) RUTILE_RETURN_IF_ERROR(place_bias(p, k, &at.vector));
  if (p.vector_out >= 0) at.vector = k.out[p.vector_out];
  if (p.side_out >= 0) at.side = k.out[p.side_out];
  if (p.side_in >= 0) at.side = k.in[p.side_in];
  return p.product->run(way, at, stream.native);
}

// Times all that was found on memory of its own; the first where nothing can be timed.
size_t fastest_of(const LtPlan& p, const CallMeta& c, const std::vector<BlasWay>& all) {
  DeviceRuntime& runtime = device_runtime(c.in(0).device);
  const DeviceFns& fns = runtime.fns();
  const int device = runtime.device().index;
  std::vector<Ref<Storage>> pieces;
  const auto piece = [&](size_t bytes) {
    pieces.push_back(Storage::allocate(bytes + 256, runtime.device()));
    return pieces.back()->data();
  };
  std::vector<void*> in, out;
  for (const TensorMeta* m : c.inputs) {
    in.push_back(m ? piece(static_cast<size_t>(m->nbytes())) : nullptr);
  }
  for (const TensorMeta& m : c.outputs) out.push_back(piece(static_cast<size_t>(m.nbytes())));
  const KernelArgs k{in.data(), out.data(), piece(kBlasWorkspace), runtime.stream()};
  Event begin = nullptr, end = nullptr;
  if (!fns.event_create(device, &begin).ok() || !fns.event_create(device, &end).ok()) return 0;
  const auto time = [&](int i, float* ms) {
    RUTILE_RETURN_IF_ERROR(fns.event_record(device, begin, k.stream));
    RUTILE_RETURN_IF_ERROR(queue(p, k, all[static_cast<size_t>(i)]));
    RUTILE_RETURN_IF_ERROR(fns.event_record(device, end, k.stream));
    RUTILE_RETURN_IF_ERROR(fns.event_sync(device, end));
    return fns.event_ms(device, begin, end, ms);
  };
  const int best = fastest(static_cast<int>(all.size()), time);
  (void)fns.event_destroy(device, begin);
  (void)fns.event_destroy(device, end);
  return best < 0 ? 0 : static_cast<size_t>(best);
}

Status choose(const LtPlan& p, const CallMeta& c, uint32_t alignment, BlasWay* way) {
  constexpr int kTried = 8;
  const bool tune = device_settings().autotune;
  std::vector<BlasWay> all;
  RUTILE_RETURN_IF_ERROR(p.product->ways(alignment, tune ? kTried : 1, &all));
  *way = all[tune && all.size() > 1 ? fastest_of(p, c, all) : 0];
  return Status();
}

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const LtPlan&>(plan);
  const bool fast = p.has_fast && aligned(k.in[0]) && aligned(k.in[1]) && aligned(k.out[0]);
  if (!fast && !p.has_any) return p.tiles->run(*p.tiles, k);
  return queue(p, k, fast ? p.fast : p.any);
}

// All that is done to a product at once wants operands of 16 bytes.
Status run_joined(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const LtPlan&>(plan);
  LibraryStream stream;
  RUTILE_RETURN_IF_ERROR(library_stream(k.stream, &stream));
  Realigned placed(p.device, k.stream, stream.capturing);
  void* in[3] = {};
  for (size_t i = 0; i < p.input_bytes.size(); ++i) {
    if (k.in[i]) RUTILE_RETURN_IF_ERROR(placed.place(k.in[i], p.input_bytes[i], &in[i]));
  }
  return queue(p, {in, k.out, k.workspace, k.stream}, p.fast);
}

void name_operands(const CallMeta& c, LtPlan* p) {
  if (kernels::is_linear(c.op) && c.has(2)) p->bias_bytes = static_cast<size_t>(c.in(2).nbytes());
  if (c.op == &ops::kLinearGelu) p->side_out = 1;
  if (c.op == &ops::kMatmulGeluGrad) p->side_in = 2;
  if (c.op == &ops::kMatmulSums) p->vector_out = 1;
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  BlasProduct product;
  Reason reason;
  if (!describe(c, &product, &reason)) return Status(ErrorCode::kUnsupported, reason.text);
  auto p = std::make_unique<LtPlan>();
  const bool joined = is_joined(c.op);
  p->run = joined ? run_joined : run;
  p->device = c.in(0).device;
  name_operands(c, p.get());
  RUTILE_RETURN_IF_ERROR(LibraryProduct::make(p->device.index, product, &p->product));
  Status fast = choose(*p, c, 16, &p->fast);
  p->has_fast = fast.ok();
  if (joined) {
    if (!p->has_fast) return fast;
    for (const TensorMeta* m : c.inputs) {
      p->input_bytes.push_back(m ? static_cast<size_t>(m->nbytes()) : 0);
    }
    p->workspace_bytes = p->fast.bytes;
  } else {
    Status any = choose(*p, c, static_cast<uint32_t>(size_of(c.in(0).dtype)), &p->any);
    p->has_any = any.ok();
    if (!p->has_any) {
      if (!p->has_fast || c.op == &ops::kLinearAct) return any;
      RUTILE_RETURN_IF_ERROR(prepare_tiles(c, &p->tiles));
    }
    p->bias_at = (std::max(p->fast.bytes, p->any.bytes) + 15) / 16 * 16;
    p->workspace_bytes = p->bias_at + p->bias_bytes;
  }
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_blas() {
  for (const OpDef* op : {&ops::kMatmul, &ops::kLinear, &ops::kLinearAct, &ops::kLinearGelu,
                          &ops::kMatmulGeluGrad, &ops::kMatmulSums}) {
    add_row(*op, "cublaslt", prepare, supports);
  }
}

}  // namespace rutile::cuda
