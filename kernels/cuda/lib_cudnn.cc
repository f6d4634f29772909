// SPDX-License-Identifier: Apache-2.0
// Plans of cuDNN's graph API: loading the library, choosing engines, keeping what was chosen in
// files, running. The rows are in lib_cudnn_conv.cc and lib_cudnn_attention.cc.
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "rutile/core/device_runtime.h"
#include "rutile/core/device_settings.h"
#include "rutile/core/tensor.h"
#include "rutile/kernels/cuda/cudnn_graphs.h"
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

}  // namespace

const CudnnDescriptions& cudnn_descriptions() {
  static constexpr CudnnDescriptions all = {
      .conv = [](const CallMeta& c, CudnnGraph* p) { describe_conv(c, false, p); },
      .biased_conv = [](const CallMeta& c, CudnnGraph* p) { describe_conv(c, true, p); },
      .stats = describe_stats,
      .norm_weight_grad = describe_norm_weight_grad,
      .norm_input_grad = describe_norm_input_grad,
      .attention = describe_attention,
  };
  return all;
}

bool cudnn_takes(DType t) {
  fe::DataType_t type;
  return cudnn_type(t, &type);
}

bool has_cudnn(Reason* reason) {
  if (cudnn_failure().empty()) return true;
  reason->text = cudnn_failure();
  return false;
}

Status make_cudnn_plan(const CallMeta& c, const char* form, DescribeFn describe,
                       std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<CudnnPlan>();
  p->run = run;
  p->device = c.in(0).device.index;
  const std::string key = key_of(c, form);
  try {
    describe(c, p.get());
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
  register_cudnn_convs();
  register_cudnn_attention();
}

}  // namespace rutile::cuda
