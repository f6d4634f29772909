// SPDX-License-Identifier: Apache-2.0
// Rows over cuDNN's graph API: convolutions (a bias is added by a kernel of ours behind it) and
// attention without a mask, whose other calls run as the op's composition. One file, because its
// headers take longer to compile than all that is here.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#include <cudnn_frontend.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "rutile/core/device_runtime.h"
#include "rutile/core/device_settings.h"
#include "rutile/core/tensor.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cuda/elementwise.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/libraries.h"
#include "rutile/kernels/cuda/plan_store.h"
#include "rutile/kernels/cuda/realign.h"
#include "rutile/kernels/cuda/runtime.h"
#include "rutile/kernels/cuda/thread_handles.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // the library that the headers call
}

namespace rutile::cuda {
namespace {

namespace fe = cudnn_frontend;
using kernels::ConvKind;

constexpr const char* kFile = "libcudnn.so.9";
constexpr const char* kRuntime = "libcudart.so.13";

std::string load() {
  // The headers look this one up themselves, by name: it has to be there already.
  const Library& runtime = open_library(kRuntime);
  if (!runtime.handle) return runtime.failure;
  setenv("CUDNN_FRONTEND_CUDART_LIB_NAME", kRuntime, 0);
  const Library& cudnn = open_library(kFile);
  if (!cudnn.handle) return cudnn.failure;
  fe::cudnn_dlhandle = cudnn.handle;
  const auto version = reinterpret_cast<size_t (*)()>(library_symbol(cudnn, "cudnnGetVersion"));
  if (!version) return cat(kFile, " is no cuDNN: it lacks cudnnGetVersion");
  if (version() < 90000) return cat("cuDNN ", version(), " is too old: 9.0 or newer is needed");
  return "";
}

struct CudnnPlan : Plan {
  int device = 0;
  fe::graph::Graph graph;
  std::vector<int> inputs, outputs;  // numbers of the operands that the graph reads and writes
  std::vector<size_t> input_bytes;
  // Nothing promises that threads may execute one plan at a time.
  mutable std::mutex mutex;
};
// The graph's names of an op's operands.
constexpr int64_t input_uid(int i) { return 1 + i; }
constexpr int64_t output_uid(int i) { return 101 + i; }

Status status_of(fe::error_t e) {
  if (!e.is_bad()) return Status();
  return Status(ErrorCode::kUnsupported, cat("cuDNN: ", e.get_message()));
}

Status make_handle(cudnnHandle_t* out) {
  const cudnnStatus_t s = fe::detail::create_handle(out);
  if (s == CUDNN_STATUS_SUCCESS) return Status();
  return Status(ErrorCode::kRuntime, cat("cuDNN: ", fe::detail::get_error_string(s)));
}

// Of a device, which becomes the thread's own, and thread: handles are not shared by threads.
Status handle_of(int device, cudnnHandle_t* out) {
  if (use(device) != cudaSuccess) {
    return Status(ErrorCode::kRuntime, cat("CUDA: no device ", device));
  }
  return ThreadHandles<cudnnHandle_t>::get(device, out, make_handle);
}

Status run(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const CudnnPlan&>(plan);
  cudnnHandle_t handle = nullptr;
  RUTILE_RETURN_IF_ERROR(handle_of(p.device, &handle));
  if (const cudnnStatus_t s = fe::detail::set_stream(handle, cuda_stream(k.stream));
      s != CUDNN_STATUS_SUCCESS) {
    return Status(ErrorCode::kRuntime, cat("cuDNN: ", fe::detail::get_error_string(s)));
  }
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  RUTILE_RETURN_IF_ERROR(launch_status(cudaStreamIsCapturing(cuda_stream(k.stream), &capture)));
  // Graphs are made for operands that are aligned to 16 bytes, as fresh results are.
  Realigned placed({DeviceType::kCuda, static_cast<uint8_t>(p.device)}, k.stream,
                   capture != cudaStreamCaptureStatusNone);
  std::unordered_map<int64_t, void*> pointers;
  for (size_t n = 0; n < p.inputs.size(); ++n) {
    const int i = p.inputs[n];
    RUTILE_RETURN_IF_ERROR(placed.place(k.in[i], p.input_bytes[n], &pointers[input_uid(i)]));
  }
  for (const int i : p.outputs) pointers[output_uid(i)] = k.out[i];
  const std::lock_guard lock(p.mutex);
  fe::error_t e = p.graph.execute(handle, pointers, k.workspace);
  return e.is_bad() ? Status(ErrorCode::kRuntime, cat("cuDNN: ", e.get_message())) : Status();
}

// Memory for what a graph reads and writes while its plans are timed.
struct Scratch {
  std::vector<Ref<Storage>> pieces;
  std::unordered_map<int64_t, void*> pointers;
  void add(int64_t uid, const TensorMeta& m, Device device) {
    pieces.push_back(Storage::allocate(static_cast<size_t>(m.nbytes()) + 256, device));
    pointers[uid] = pieces.back()->data();
  }
};

// Builds all plans there are and puts the fastest on this machine in front.
Status tune(CudnnPlan* p, const CallMeta& c, cudnnHandle_t handle) {
  RUTILE_RETURN_IF_ERROR(status_of(p->graph.build_plans(handle, fe::BuildPlanPolicy_t::ALL)));
  const Device device = c.in(0).device;
  Scratch scratch;
  for (const int i : p->inputs) scratch.add(input_uid(i), c.in(i), device);
  for (const int i : p->outputs) scratch.add(output_uid(i), c.out(i), device);
  const auto bytes = static_cast<size_t>(p->graph.get_autotune_workspace_size());
  const Ref<Storage> workspace = Storage::allocate(bytes + 256, device);
  DeviceRuntime& runtime = device_runtime(device);
  if (const cudnnStatus_t s = fe::detail::set_stream(handle, cuda_stream(runtime.stream()));
      s != CUDNN_STATUS_SUCCESS) {
    return Status(ErrorCode::kRuntime, cat("cuDNN: ", fe::detail::get_error_string(s)));
  }
  Status s = status_of(p->graph.autotune(handle, scratch.pointers, workspace->data()));
  RUTILE_RETURN_IF_ERROR(runtime.fns().stream_sync(device.index, runtime.stream()));
  return s;
}

// ---- Plans in files -----------------------------------------------------------------------------

const PlanStore& plan_store() {
  static const PlanStore* const store = new PlanStore(plan_folder("cudnn"));
  return *store;
}

// All that decides what cuDNN chooses.
std::string key_of(const CallMeta& c) {
  static const size_t version =
      reinterpret_cast<size_t (*)()>(library_symbol(open_library(kFile), "cudnnGetVersion"))();
  const DeviceInfo& info = device_runtime(c.in(0).device).info();
  const DeviceSettings s = device_settings();
  std::string key =
      cat(c.op->name, " | cuDNN ", version, ", headers ", CUDNN_FRONTEND_VERSION, " | ", info.name,
          " ", info.compute_major, ".", info.compute_minor, " ", info.multiprocessors, " | tf32 ",
          s.tf32_conv, ", tuned ", s.autotune, " | ");
  if (c.op->attrs) key += attrs_to_string(*c.op->attrs, c.attrs, /*all=*/true);
  const auto add = [&key](const TensorMeta* m) {
    key += m ? cat(" ", dtype_name(m->dtype), to_string(m->shape), to_string(m->strides)) : " none";
  };
  for (const TensorMeta* m : c.inputs) add(m);
  key += " ->";
  for (const TensorMeta& m : c.outputs) add(&m);
  return key;
}

// False where there is no plan that this cuDNN takes; the graph is as new then.
bool restore(CudnnPlan* p, const std::string& key) {
  std::vector<uint8_t> data;
  if (!plan_store().find(key, &data)) return false;
  cudnnHandle_t handle = nullptr;
  if (!handle_of(p->device, &handle).ok()) return false;
  try {
    int64_t bytes = 0;
    fe::graph::Graph graph;
    if (graph.deserialize(handle, data).is_bad()) return false;
    if (graph.get_workspace_size(bytes).is_bad()) return false;
    p->graph = std::move(graph);
    p->workspace_bytes = static_cast<size_t>(bytes);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

Status build(CudnnPlan* p, const CallMeta& c, bool single) {
  cudnnHandle_t handle = nullptr;
  RUTILE_RETURN_IF_ERROR(handle_of(p->device, &handle));
  RUTILE_RETURN_IF_ERROR(status_of(p->graph.validate()));
  RUTILE_RETURN_IF_ERROR(status_of(p->graph.build_operation_graph(handle)));
  RUTILE_RETURN_IF_ERROR(
      status_of(p->graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK})));
  std::vector<fe::NumericalNote_t> refused{fe::NumericalNote_t::NONDETERMINISTIC};
  if (single && !device_settings().tf32_conv) {
    refused.push_back(fe::NumericalNote_t::TENSOR_CORE);
    refused.push_back(fe::NumericalNote_t::DOWN_CONVERT_INPUTS);
  }
  p->graph.deselect_numeric_notes(refused);
  RUTILE_RETURN_IF_ERROR(status_of(p->graph.check_support(handle)));
  if (device_settings().autotune) {
    RUTILE_RETURN_IF_ERROR(tune(p, c, handle));
  } else {
    RUTILE_RETURN_IF_ERROR(status_of(p->graph.build_plans(handle)));
  }
  int64_t bytes = 0;
  RUTILE_RETURN_IF_ERROR(status_of(p->graph.get_workspace_size(bytes)));
  p->workspace_bytes = static_cast<size_t>(bytes);
  return Status();
}

const std::string& cudnn_failure() {
  static const std::string why = load();
  return why;
}
bool has_cudnn(Reason* reason) {
  if (cudnn_failure().empty()) return true;
  reason->text = cudnn_failure();
  return false;
}

bool cudnn_type(DType t, fe::DataType_t* out) {
  switch (t) {
    case DType::kF16:
      *out = fe::DataType_t::HALF;
      return true;
    case DType::kBF16:
      *out = fe::DataType_t::BFLOAT16;
      return true;
    case DType::kF32:
      *out = fe::DataType_t::FLOAT;
      return true;
    case DType::kF64:
      *out = fe::DataType_t::DOUBLE;
      return true;
    default:
      return false;
  }
}

// An operand as it lies.
std::shared_ptr<fe::graph::Tensor_attributes> cudnn_tensor(CudnnPlan* p, const TensorMeta& m,
                                                           int64_t uid) {
  fe::DataType_t type = fe::DataType_t::FLOAT;
  (void)cudnn_type(m.dtype, &type);
  return p->graph.tensor(fe::graph::Tensor_attributes()
                             .set_dim(std::vector<int64_t>(m.shape.begin(), m.shape.end()))
                             .set_stride(std::vector<int64_t>(m.strides.begin(), m.strides.end()))
                             .set_data_type(type)
                             .set_uid(uid));
}

// A result as it lies.
void finish(const std::shared_ptr<fe::graph::Tensor_attributes>& t, const TensorMeta& m, int i,
            CudnnPlan* p) {
  fe::DataType_t type = fe::DataType_t::FLOAT;
  (void)cudnn_type(m.dtype, &type);
  t->set_output(true)
      .set_dim(std::vector<int64_t>(m.shape.begin(), m.shape.end()))
      .set_stride(std::vector<int64_t>(m.strides.begin(), m.strides.end()))
      .set_data_type(type)
      .set_uid(output_uid(i));
  p->outputs.push_back(i);
}

// Describes, checks and chooses; kUnsupported where cuDNN has no engine. `describe` adds the
// operations. f32 uses tensor cores only where TF32 is asked for; all results are reproducible.
Status make_cudnn_plan(const CallMeta& c, const std::function<void(CudnnPlan*)>& describe,
                       std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<CudnnPlan>();
  p->run = run;
  p->device = c.in(0).device.index;
  const std::string key = key_of(c);
  const bool wide = c.in(0).dtype == DType::kF64;
  p->graph.set_compute_data_type(wide ? fe::DataType_t::DOUBLE : fe::DataType_t::FLOAT)
      .set_intermediate_data_type(wide ? fe::DataType_t::DOUBLE : fe::DataType_t::FLOAT);
  try {
    describe(p.get());
    if (!restore(p.get(), key)) {
      RUTILE_RETURN_IF_ERROR(build(p.get(), c, c.in(0).dtype == DType::kF32));
      std::vector<uint8_t> data;
      if (!p->graph.serialize(data).is_bad()) plan_store().put(key, data);
    }
  } catch (const std::exception& e) {
    return Status(ErrorCode::kUnsupported, cat("cuDNN: ", e.what()));
  }
  for (const int i : p->inputs) p->input_bytes.push_back(static_cast<size_t>(c.in(i).nbytes()));
  *plan = std::move(p);
  return Status();
}

// ---- Convolutions -------------------------------------------------------------------------------

bool supports_conv(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  fe::DataType_t type;
  if (!cudnn_type(c.in(0).dtype, &type) || !cudnn_type(c.out().dtype, &type)) {
    reason->text = "takes floating types";
    return false;
  }
  if (kernels::conv_shape(c).empty()) {
    reason->text = "takes no empty images";
    return false;
  }
  return has_cudnn(reason);
}

// The attributes that the three operations share.
template <class A>
A attributes(const kernels::ConvShape& s) {
  const auto last = [&](int64_t d, int64_t h, int64_t w) {
    return s.spatial == 3 ? std::vector<int64_t>{d, h, w} : std::vector<int64_t>{h, w};
  };
  A a;
  a.set_pre_padding(last(s.pad_d, s.pad_h, s.pad_w))
      .set_post_padding(last(s.pad_d, s.pad_h, s.pad_w))
      .set_stride(last(s.stride_d, s.stride_h, s.stride_w))
      .set_dilation(last(s.dil_d, s.dil_h, s.dil_w));
  return a;
}

void describe_conv(const CallMeta& c, CudnnPlan* p) {
  const kernels::ConvShape s = kernels::conv_shape(c);
  const ConvKind kind = kernels::conv_kind(c.op);
  const auto first = cudnn_tensor(p, c.in(0), input_uid(0));
  const auto second = cudnn_tensor(p, c.in(1), input_uid(1));
  std::shared_ptr<fe::graph::Tensor_attributes> out;
  if (kind == ConvKind::kForward) {
    out = p->graph.conv_fprop(first, second, attributes<fe::graph::Conv_fprop_attributes>(s));
  } else if (kind == ConvKind::kInputGrad) {
    out = p->graph.conv_dgrad(first, second, attributes<fe::graph::Conv_dgrad_attributes>(s));
  } else {
    out = p->graph.conv_wgrad(first, second, attributes<fe::graph::Conv_wgrad_attributes>(s));
  }
  p->inputs = {0, 1};
  finish(out, c.out(), 0, p);
}

// The convolution, then y += bias.
struct BiasedPlan : Plan {
  std::unique_ptr<Plan> conv;
  ElementwiseArgs add;
  ElementwiseLaunch launch = nullptr;
};

Status run_biased(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const BiasedPlan&>(plan);
  RUTILE_RETURN_IF_ERROR(p.conv->run(*p.conv, k));
  ElementwiseArgs a = p.add;
  a.out = k.out[0];
  a.in[0] = k.out[0];
  a.in[1] = k.in[2];
  return launch_status(p.launch(a, k.stream));
}

Status prepare_conv(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  std::unique_ptr<Plan> conv;
  RUTILE_RETURN_IF_ERROR(make_cudnn_plan(
      c, [&](CudnnPlan* p) { describe_conv(c, p); }, &conv));
  if (kernels::conv_kind(c.op) != ConvKind::kForward || !c.has(2)) {
    *plan = std::move(conv);
    return Status();
  }
  const TensorMeta &y = c.out(), &bias = c.in(2);
  auto p = std::make_unique<BiasedPlan>();
  p->run = run_biased;
  p->workspace_bytes = conv->workspace_bytes;
  p->conv = std::move(conv);
  p->launch = binary_kernel(ElementwiseOp::Add,
                            y.dtype == DType::kF64 ? Compute::kDouble : Compute::kFloat);
  p->add.n = y.numel();
  p->add.inputs = 2;
  p->add.out_type = p->add.in_type[0] = y.dtype;
  p->add.in_type[1] = bias.dtype;
  Strides channel = Strides::filled(y.rank(), 0);
  channel[1] = bias.strides[0];
  const Strides strides[4] = {y.strides, y.strides, channel, Strides::filled(y.rank(), 0)};
  p->add.index = make_indexer<4>(y.shape, strides);
  *plan = std::move(p);
  return Status();
}

// ---- Attention ----------------------------------------------------------------------------------

bool supports_attention(const CallMeta& c, Reason* reason) {
  const auto refuse = [&](const char* why) {
    reason->text = why;
    return false;
  };
  if (!only_strided(c, reason)) return false;
  const bool backward = c.op == &ops::kAttentionGrad;
  const int q = backward ? 1 : 0;
  if (!is_low_precision(c.in(q).dtype)) return refuse("takes f16 and bf16");
  if (c.in(q).rank() != 4) return refuse("takes heads");
  if (c.has(backward ? 6 : 3)) return refuse("takes no mask");
  if (backward && c.has(7)) return refuse("takes no gradient of the logarithms");
  for (int i = q; i < q + 3; ++i) {
    const TensorMeta& m = c.in(i);
    if (m.numel() == 0 || m.strides[3] != 1) return refuse("takes rows without gaps");
    if (m.dim(3) % 8 != 0 || m.dim(3) > 128) return refuse("takes heads of 8 to 128 numbers");
  }
  return has_cudnn(reason);
}

float scale_of(const CallMeta& c, int64_t d) {
  const double s = c.as<ops::AttentionAttrs>().scale;
  return static_cast<float>(s != 0 ? s : 1 / std::sqrt(static_cast<double>(d)));
}

// [b, h, t] as cuDNN's [b, h, t, 1].
TensorMeta column(const TensorMeta& m) {
  TensorMeta out = m;
  out.shape.push_back(1);
  out.strides.push_back(1);
  return out;
}

void describe_forward(const CallMeta& c, CudnnPlan* p) {
  const auto q = cudnn_tensor(p, c.in(0), input_uid(0)), k = cudnn_tensor(p, c.in(1), input_uid(1)),
             v = cudnn_tensor(p, c.in(2), input_uid(2));
  fe::graph::SDPA_attributes a;
  a.set_generate_stats(true)
      .set_causal_mask(c.as<ops::AttentionAttrs>().causal)
      .set_attn_scale(scale_of(c, c.in(0).dim(3)));
  const auto [y, lse] = p->graph.sdpa(q, k, v, a);
  p->inputs = {0, 1, 2};
  finish(y, c.out(0), 0, p);
  finish(lse, column(c.out(1)), 1, p);
}

void describe_backward(const CallMeta& c, CudnnPlan* p) {
  const auto tensor = [&](int i) { return cudnn_tensor(p, c.in(i), input_uid(i)); };
  const auto dy = tensor(0), q = tensor(1), k = tensor(2), v = tensor(3), y = tensor(4);
  const auto lse = cudnn_tensor(p, column(c.in(5)), input_uid(5));
  fe::graph::SDPA_backward_attributes a;
  a.set_causal_mask(c.as<ops::AttentionAttrs>().causal)
      .set_attn_scale(scale_of(c, c.in(1).dim(3)))
      .set_deterministic_algorithm(true);
  const auto [dq, dk, dv] = p->graph.sdpa_backward(q, k, v, y, dy, lse, a);
  p->inputs = {0, 1, 2, 3, 4, 5};
  finish(dq, c.out(0), 0, p);
  finish(dk, c.out(1), 1, p);
  finish(dv, c.out(2), 2, p);
}

Status prepare_attention(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const bool backward = c.op == &ops::kAttentionGrad;
  return make_cudnn_plan(
      c, [&](CudnnPlan* p) { backward ? describe_backward(c, p) : describe_forward(c, p); }, plan);
}

}  // namespace

void register_cudnn() {
  for (const OpDef* op : {&ops::kConv2d, &ops::kConv2dInputGrad, &ops::kConv2dWeightGrad,
                          &ops::kConv3d, &ops::kConv3dInputGrad, &ops::kConv3dWeightGrad}) {
    add_row(*op, "cudnn", prepare_conv, supports_conv);
  }
  add_row(ops::kAttention, "cudnn", prepare_attention, supports_attention);
  add_row(ops::kAttentionGrad, "cudnn", prepare_attention, supports_attention);
}

}  // namespace rutile::cuda
