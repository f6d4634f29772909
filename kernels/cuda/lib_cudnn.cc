// SPDX-License-Identifier: Apache-2.0
// Rows over cuDNN's graph API: convolutions and attention; what it does not take runs as the op's
// composition. One file, because its headers take longer to compile than all that is here.
#include <functional>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "rutile/core/device_runtime.h"
#include "rutile/core/device_settings.h"
#include "rutile/core/tensor.h"
#include "rutile/kernels/cuda/attention_mask.h"
#include "rutile/kernels/cuda/cudnn_graphs.h"
#include "rutile/kernels/cuda/elementwise.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/libraries.h"
#include "rutile/kernels/cuda/plan_store.h"
#include "rutile/kernels/cuda/realign.h"
#include "rutile/kernels/cuda/runtime.h"
#include "rutile/kernels/cuda/thread_handles.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // the library that the headers call
}

namespace rutile::cuda {
namespace {

using kernels::ConvKind;

constexpr const char* kFile = "libcudnn.so.9";
constexpr const char* kRuntime = "libcudart.so.13";

std::string load() {
  const Library& runtime = open_library(kRuntime);
  if (!runtime.handle) return runtime.failure;
  const Library& cudnn = open_library(kFile);
  if (!cudnn.handle) return cudnn.failure;
  fe::cudnn_dlhandle = cudnn.handle;
  const auto version = reinterpret_cast<size_t (*)()>(library_symbol(cudnn, "cudnnGetVersion"));
  if (!version) return cat(kFile, " is no cuDNN: it lacks cudnnGetVersion");
  if (version() < 90000) return cat("cuDNN ", version(), " is too old: 9.0 or newer is needed");
  // Those for CUDA 12 and for CUDA 13 have one name.
  const auto runtime_of =
      reinterpret_cast<size_t (*)()>(library_symbol(cudnn, "cudnnGetCudartVersion"));
  if (runtime_of && runtime_of() / 1000 != 13) {
    return cat("the ", kFile, " that was found is for CUDA ", runtime_of() / 1000,
               "; the one for CUDA 13 is in the package nvidia-cudnn-cu13, or name its folder in "
               "RUTILE_CUDA_LIBRARIES");
  }
  return "";
}

// Of operand i as the graph reads it.
size_t bytes_of_input(const CallMeta& c, int i) {
  const bool attention = c.op == &ops::kAttention || c.op == &ops::kAttentionGrad;
  const TensorMeta m = attention && i == attention_mask(c) ? added_mask(c) : c.in(i);
  return static_cast<size_t>(m.nbytes());
}

struct CudnnPlan : Plan, CudnnGraph {
  int device = 0;
  std::vector<size_t> input_bytes;
  std::vector<size_t> unread_at;  // in the workspace
  // Nothing promises that threads may execute one plan at a time.
  mutable std::mutex mutex;
};

Status status_of(fe::error_t e) {
  if (!e.is_bad()) return Status();
  return Status(ErrorCode::kUnsupported, cat("cuDNN: ", e.get_message()));
}

Status make_handle(cudnnHandle_t* out) {
  const RelaxedCapture relaxed;
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
  for (size_t i = 0; i < p.unread_at.size(); ++i) {
    pointers[unread_uid(i)] = static_cast<char*>(k.workspace) + p.unread_at[i];
  }
  const std::lock_guard lock(p.mutex);
  fe::error_t e = p.graph.execute(handle, pointers, k.workspace);
  return e.is_bad() ? Status(ErrorCode::kRuntime, cat("cuDNN: ", e.get_message())) : Status();
}

// Memory for what a graph reads and writes while its plans are timed.
struct Scratch {
  std::vector<Ref<Storage>> pieces;
  std::unordered_map<int64_t, void*> pointers;
  void add(int64_t uid, size_t bytes, Device device) {
    pieces.push_back(Storage::allocate(bytes + 256, device));
    pointers[uid] = pieces.back()->data();
  }
};

// Builds all plans there are and puts the fastest on this machine in front.
Status tune(CudnnPlan* p, const CallMeta& c, cudnnHandle_t handle) {
  RUTILE_RETURN_IF_ERROR(status_of(p->graph.build_plans(handle, fe::BuildPlanPolicy_t::ALL)));
  const Device device = c.in(0).device;
  Scratch scratch;
  const auto bytes_of = [](const TensorMeta& m) { return static_cast<size_t>(m.nbytes()); };
  for (size_t n = 0; n < p->inputs.size(); ++n) {
    scratch.add(input_uid(p->inputs[n]), p->input_bytes[n], device);
  }
  for (const int i : p->outputs) scratch.add(output_uid(i), bytes_of(c.out(i)), device);
  for (size_t i = 0; i < p->unread.size(); ++i) scratch.add(unread_uid(i), p->unread[i], device);
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
std::string key_of(const CallMeta& c, const char* form) {
  static const size_t version =
      reinterpret_cast<size_t (*)()>(library_symbol(open_library(kFile), "cudnnGetVersion"))();
  const DeviceInfo& info = device_runtime(c.in(0).device).info();
  const DeviceSettings s = device_settings();
  std::string key =
      cat(c.op->name, form, " | cuDNN ", version, ", headers ", CUDNN_FRONTEND_VERSION, " | ",
          info.name, " ", info.compute_major, ".", info.compute_minor, " ", info.multiprocessors,
          " | tf32 ", s.tf32_conv, ", tuned ", s.autotune, " | ");
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
  p->graph.deselect_numeric_notes(refused_notes(single && !device_settings().tf32_conv));
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

// Describes, checks and chooses; kUnsupported where cuDNN has no engine. `describe` adds the
// operations. f32 uses tensor cores only where TF32 is asked for; all results are reproducible.
Status make_cudnn_plan(const CallMeta& c, const char* form,
                       const std::function<void(CudnnGraph*)>& describe,
                       std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<CudnnPlan>();
  p->run = run;
  p->device = c.in(0).device.index;
  const std::string key = key_of(c, form);
  try {
    describe(p.get());
    for (const int i : p->inputs) p->input_bytes.push_back(bytes_of_input(c, i));
    if (!restore(p.get(), key)) {
      RUTILE_RETURN_IF_ERROR(build(p.get(), c, c.in(0).dtype == DType::kF32));
      std::vector<uint8_t> data;
      if (!p->graph.serialize(data).is_bad()) plan_store().put(key, data);
    }
  } catch (const std::exception& e) {
    return Status(ErrorCode::kUnsupported, cat("cuDNN: ", e.what()));
  }
  for (const size_t bytes : p->unread) {
    p->unread_at.push_back((p->workspace_bytes + 255) / 256 * 256);
    p->workspace_bytes = p->unread_at.back() + bytes;
  }
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

void add_bias(const CallMeta& c, std::unique_ptr<Plan> conv, std::unique_ptr<Plan>* plan) {
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
}

// A gradient in low precision in the workspace, then its conversion.
struct WidenedPlan : Plan {
  std::unique_ptr<Plan> conv;
  size_t at = 0;  // in the workspace
  ElementwiseArgs cast;
};

Status run_widened(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const WidenedPlan&>(plan);
  void* low = static_cast<char*>(k.workspace) + p.at;
  void* const outputs[] = {low};
  RUTILE_RETURN_IF_ERROR(p.conv->run(*p.conv, {k.in, outputs, k.workspace, k.stream}));
  ElementwiseArgs a = p.cast;
  a.in[0] = low;
  a.out = k.out[0];
  return launch_status(unary_kernel(ElementwiseOp::Cast, Compute::kFloat)(a, k.stream));
}

using DescribeFn = void (*)(const CallMeta&, CudnnGraph*);
void describe_alone(const CallMeta& c, CudnnGraph* p) { describe_conv(c, false, p); }

Status prepare_widened(const CallMeta& c, DescribeFn describe, std::unique_ptr<Plan>* plan) {
  TensorMeta low = c.out();
  low.dtype = c.in(0).dtype;
  const CallMeta narrow{c.op, c.attrs, c.inputs, {&low, 1}};
  auto p = std::make_unique<WidenedPlan>();
  RUTILE_RETURN_IF_ERROR(make_cudnn_plan(
      narrow, " alone", [&](CudnnGraph* g) { describe(narrow, g); }, &p->conv));
  p->run = run_widened;
  p->at = (p->conv->workspace_bytes + 255) / 256 * 256;
  p->workspace_bytes = p->at + static_cast<size_t>(low.nbytes());
  p->cast.n = low.numel();
  p->cast.out_type = DType::kF32;
  p->cast.in_type[0] = low.dtype;
  const Strides none = Strides::filled(low.rank(), 0),
                strides[4] = {low.strides, low.strides, none, none};
  p->cast.index = make_indexer<4>(low.shape, strides);
  *plan = std::move(p);
  return Status();
}

// In one graph if cuDNN can, else in two kernels.
Status prepare_conv(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const ConvKind kind = kernels::conv_kind(c.op);
  const bool biased = kind == ConvKind::kForward && c.has(2);
  const auto graph = [&](bool with_bias, std::unique_ptr<Plan>* to) {
    return make_cudnn_plan(
        c, with_bias ? " whole" : " alone", [&](CudnnGraph* p) { describe_conv(c, with_bias, p); },
        to);
  };
  Status s = graph(true, plan);
  if (s.ok()) return s;
  if (kind == ConvKind::kWeightGrad && widens(c)) return prepare_widened(c, describe_alone, plan);
  if (!biased) return s;
  std::unique_ptr<Plan> conv;
  RUTILE_RETURN_IF_ERROR(graph(false, &conv));
  add_bias(c, std::move(conv), plan);
  return Status();
}

// ---- Convolutions with a batch norm at both ends ------------------------------------------------

bool supports_norm_conv(const CallMeta& c, Reason* reason) {
  const int x = c.op == &ops::kConv2dStats ? 0 : c.op == &ops::kConv2dNormWeightGrad ? 1 : 2;
  if (!is_low_precision(c.in(x).dtype) || !c.in(x).is_channels_last()) {
    reason->text = "takes images in low precision that lie channels-last";
    return false;
  }
  return supports_conv(c, reason);
}

Status prepare_norm_conv(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const DescribeFn describe = c.op == &ops::kConv2dStats            ? describe_stats
                              : c.op == &ops::kConv2dNormWeightGrad ? describe_norm_weight_grad
                                                                    : describe_norm_input_grad;
  Status s = make_cudnn_plan(
      c, "", [&](CudnnGraph* p) { describe(c, p); }, plan);
  if (s.ok() || c.op != &ops::kConv2dNormWeightGrad || !widens(c)) return s;
  return prepare_widened(c, describe, plan);
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
  if (backward && c.has(7)) return refuse("takes no gradient of the logarithms");
  for (int i = q; i < q + 3; ++i) {
    const TensorMeta& m = c.in(i);
    if (m.numel() == 0 || m.strides[3] != 1) return refuse("takes rows without gaps");
    if (m.dim(3) % 8 != 0 || m.dim(3) > 128) return refuse("takes heads of 8 to 128 numbers");
  }
  return has_cudnn(reason);
}

// With a mask: kernels of ours around cuDNN's, which get it as numbers to add.
struct MaskedPlan : Plan {
  std::unique_ptr<Plan> attention;
  int mask = 0, num_inputs = 0;
  bool backward = false;
  size_t added_at = 0, sums_at = 0;  // in the workspace
  MaskArgs mask_args;
  EmptyRowArgs empty;
  RowSumArgs sums;
};

Status run_masked(const Plan& plan, const KernelArgs& k) {
  const auto& p = static_cast<const MaskedPlan&>(plan);
  char* const workspace = static_cast<char*>(k.workspace);
  void* in[8] = {};
  std::copy(k.in, k.in + p.num_inputs, in);
  MaskArgs mask = p.mask_args;
  mask.mask = k.in[p.mask];
  mask.added = in[p.mask] = workspace + p.added_at;
  RUTILE_RETURN_IF_ERROR(launch_status(launch_mask(mask, k.stream)));
  if (p.backward) {
    RowSumArgs sums = p.sums;
    sums.lse = static_cast<const float*>(k.in[5]);
    in[5] = sums.out = reinterpret_cast<float*>(workspace + p.sums_at);
    RUTILE_RETURN_IF_ERROR(launch_status(launch_row_sums(sums, k.stream)));
  }
  RUTILE_RETURN_IF_ERROR(p.attention->run(*p.attention, {in, k.out, k.workspace, k.stream}));
  if (p.backward) return Status();
  EmptyRowArgs empty = p.empty;
  empty.y = k.out[0];
  empty.lse = static_cast<float*>(k.out[1]);
  return launch_status(launch_empty_rows(empty, k.stream));
}

// Strides of the mask over all scores, 0 where it is the same.
Indexer<1> mask_indexer(const TensorMeta& mask, const TensorMeta& added) {
  const Strides strides[1] = {broadcast_strides(mask, added.shape)};
  return make_indexer<1>(added.shape, strides);
}

Status prepare_masked(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<MaskedPlan>();
  p->run = run_masked;
  p->backward = c.op == &ops::kAttentionGrad;
  p->mask = attention_mask(c);
  p->num_inputs = c.num_inputs();
  // cuDNN reads the logarithms where run_masked() writes them: dense.
  TensorMeta dense;
  SmallVector<const TensorMeta*, 8> inputs(c.inputs);
  if (p->backward) {
    dense = TensorMeta(c.in(5).shape, c.in(5).dtype, c.in(5).device);
    inputs[5] = &dense;
  }
  const CallMeta call{c.op, c.attrs, inputs, c.outputs};
  RUTILE_RETURN_IF_ERROR(make_cudnn_plan(
      call, " masked", [&](CudnnGraph* g) { describe_attention(call, g); }, &p->attention));
  const TensorMeta added = added_mask(c);
  p->mask_args.n = added.numel();
  p->mask_args.mask_type = c.in(p->mask).dtype;
  p->mask_args.added_type = added.dtype;
  p->mask_args.mask_at = mask_indexer(c.in(p->mask), added);
  const auto round_up = [](size_t n) { return (n + 255) / 256 * 256; };
  p->added_at = round_up(p->attention->workspace_bytes);
  p->sums_at = p->added_at + round_up(static_cast<size_t>(added.nbytes()));
  p->workspace_bytes = p->sums_at;
  if (p->backward) {
    p->workspace_bytes += static_cast<size_t>(dense.nbytes());
    p->sums.rows = dense.numel();
    const Strides rows[1] = {c.in(5).strides};
    p->sums.row = make_indexer<1>(dense.shape, rows);
  } else {
    const TensorMeta &y = c.out(0), &lse = c.out(1);
    p->empty.rows = lse.numel();
    p->empty.n = y.dim(3);
    p->empty.type = y.dtype;
    const Strides rows[2] = {lse.strides, Strides(part(y.strides, 0, 3))};
    p->empty.row = make_indexer<2>(lse.shape, rows);
  }
  *plan = std::move(p);
  return Status();
}

Status prepare_attention(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  if (c.has(attention_mask(c))) return prepare_masked(c, plan);
  return make_cudnn_plan(
      c, "", [&](CudnnGraph* p) { describe_attention(c, p); }, plan);
}

}  // namespace

// The headers try the names of several runtimes and take none where two are there; the driver's
// library has the shorter name only where software is built.
void* open_for_cudnn(const char* file, int mode) {
  const std::string_view name = file;
  if (name.starts_with("libcudart.so")) {
    return name == kRuntime ? open_library(kRuntime).handle : nullptr;
  }
  return dlopen(name == "libcuda.so" ? "libcuda.so.1" : file, mode);
}

void register_cudnn() {
  for (const OpDef* op : {&ops::kConv2d, &ops::kConv2dInputGrad, &ops::kConv2dWeightGrad,
                          &ops::kConv3d, &ops::kConv3dInputGrad, &ops::kConv3dWeightGrad}) {
    add_row(*op, "cudnn", prepare_conv, supports_conv, prefer_channels_last);
  }
  for (const OpDef* op :
       {&ops::kConv2dStats, &ops::kConv2dNormWeightGrad, &ops::kConv2dNormInputGrad}) {
    add_row(*op, "cudnn", prepare_norm_conv, supports_norm_conv, prefer_channels_last);
  }
  add_row(ops::kAttention, "cudnn", prepare_attention, supports_attention);
  add_row(ops::kAttentionGrad, "cudnn", prepare_attention, supports_attention);
}

}  // namespace rutile::cuda
