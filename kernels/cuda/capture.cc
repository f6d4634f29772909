// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/capture.h"

#include "rutile/kernels/cuda/control.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/runtime.h"

namespace rutile::cuda {
namespace {

// launch_loop_start() and others take the two numbers as an array.
static_assert(offsetof(LoopCounter, done) == 0 && offsetof(LoopCounter, count) == 8 &&
              sizeof(LoopCounter) == 16);
static_assert(std::is_same_v<ConditionalHandle, cudaGraphConditionalHandle>);

cudaGraphExec_t graph_of(CapturedGraph g) { return reinterpret_cast<cudaGraphExec_t>(g); }

// The graph that the stream is being captured into, and what its next node will depend on.
struct Capturing {
  cudaGraph_t graph = nullptr;
  const cudaGraphNode_t* behind = nullptr;
  const cudaGraphEdgeData* edges = nullptr;
  size_t count = 0;

  Status of(Stream s) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    RUTILE_CUDA_TRY(cudaStreamGetCaptureInfo(cuda_stream(s), &status, nullptr, &graph, &behind,
                                             &edges, &count));
    if (status == cudaStreamCaptureStatusActive) return Status();
    return Status(ErrorCode::kRuntime, "the stream is not being captured, or its capture failed");
  }
};

// The body of a conditional node, captured on a stream of its own.
Status capture_part(int device, cudaGraph_t body, const CapturePart& part,
                    Status (*last)(const LoopArgs*, Stream), const LoopArgs* args) {
  Stream s = nullptr;
  {
    const RelaxedCapture relaxed;
    RUTILE_RETURN_IF_ERROR(make_stream(device, StreamKind::kCompute, &s));
  }
  Status status = status_of(cudaStreamBeginCaptureToGraph(cuda_stream(s), body, nullptr, nullptr, 0,
                                                          cudaStreamCaptureModeThreadLocal));
  if (status.ok()) {
    if (part.queue) status = part.queue(part.context, s);
    if (status.ok() && last) status = last(args, s);
    cudaGraph_t same = nullptr;
    Status ended = status_of(cudaStreamEndCapture(cuda_stream(s), &same));
    if (status.ok()) status = std::move(ended);
  }
  const RelaxedCapture relaxed;
  (void)drop_stream(device, s);
  return status;
}

// A conditional node behind what `s` was given so far; what it is given later runs behind the node.
// Its bodies are to be filled; the driver owns them.
Status add_conditional(Stream s, cudaGraphConditionalHandle handle,
                       cudaGraphConditionalNodeType type, unsigned bodies, cudaGraph_t* out) {
  Capturing now;
  RUTILE_RETURN_IF_ERROR(now.of(s));
  cudaGraphNodeParams params = {};
  params.type = cudaGraphNodeTypeConditional;
  params.conditional.handle = handle;
  params.conditional.type = type;
  params.conditional.size = bodies;
  cudaGraphNode_t node = nullptr;
  RUTILE_CUDA_TRY(cudaGraphAddNode(&node, now.graph, now.behind, now.edges, now.count, &params));
  RUTILE_CUDA_TRY(cudaStreamUpdateCaptureDependencies(cuda_stream(s), &node, nullptr, 1,
                                                      cudaStreamSetCaptureDependencies));
  for (unsigned i = 0; i < bodies; ++i) out[i] = params.conditional.phGraph_out[i];
  return Status();
}

Status make_handle(Stream s, cudaGraphConditionalHandle* out) {
  Capturing now;
  RUTILE_RETURN_IF_ERROR(now.of(s));
  // A kernel in front of the node sets it in every run.
  return status_of(cudaGraphConditionalHandleCreate(out, now.graph, 0, 0));
}

}  // namespace

Status capture_begin(int device, Stream s) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaStreamBeginCapture(cuda_stream(s), cudaStreamCaptureModeThreadLocal));
}

Status capture_end(int device, Stream s, CapturedGraph* out) {
  RUTILE_CUDA_TRY(use(device));
  cudaGraph_t graph = nullptr;
  RUTILE_CUDA_TRY(cudaStreamEndCapture(cuda_stream(s), &graph));
  cudaGraphExec_t made = nullptr;
  const cudaError_t e = cudaGraphInstantiate(&made, graph, 0);
  (void)cudaGraphDestroy(graph);
  RUTILE_CUDA_TRY(e);
  *out = reinterpret_cast<CapturedGraph>(made);
  return Status();
}

Status graph_launch(int device, CapturedGraph g, Stream s) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaGraphLaunch(graph_of(g), cuda_stream(s)));
}

Status graph_destroy(int device, CapturedGraph g) {
  RUTILE_CUDA_TRY(use(device));
  return status_of(cudaGraphExecDestroy(graph_of(g)));
}

Status capture_branch(int device, Stream s, const void* holds, CapturePart then,
                      CapturePart otherwise) {
  RUTILE_CUDA_TRY(use(device));
  cudaGraphConditionalHandle handle = 0;
  RUTILE_RETURN_IF_ERROR(make_handle(s, &handle));
  RUTILE_RETURN_IF_ERROR(launch_status(launch_branch(handle, holds, s)));
  cudaGraph_t bodies[2] = {};
  RUTILE_RETURN_IF_ERROR(add_conditional(s, handle, cudaGraphCondTypeIf, 2, bodies));
  RUTILE_RETURN_IF_ERROR(capture_part(device, bodies[0], then, nullptr, nullptr));
  return capture_part(device, bodies[1], otherwise, nullptr, nullptr);
}

Status capture_loop(int device, Stream s, const CaptureLoop& loop, CapturePart body) {
  RUTILE_CUDA_TRY(use(device));
  LoopArgs args;
  RUTILE_RETURN_IF_ERROR(make_handle(s, &args.handle));
  args.done = &loop.counter->done;
  args.most = loop.most;
  args.wanted = loop.wanted;
  args.holds = static_cast<const bool*>(loop.holds);
  RUTILE_RETURN_IF_ERROR(launch_status(launch_loop_start(args, s)));
  cudaGraph_t graph = nullptr;
  RUTILE_RETURN_IF_ERROR(add_conditional(s, args.handle, cudaGraphCondTypeWhile, 1, &graph));
  const auto next = [](const LoopArgs* a, Stream stream) {
    return launch_status(launch_loop_next(*a, stream));
  };
  return capture_part(device, graph, body, next, &args);
}

Status copy_slice(int device, void* slices, void* one, const LoopSlice& slice, Stream s) {
  RUTILE_CUDA_TRY(use(device));
  SliceArgs args;
  args.done = &slice.counter->done;
  args.slices = static_cast<char*>(slices);
  args.one = static_cast<char*>(one);
  args.bytes = slice.bytes;
  args.reverse = slice.reverse;
  args.stores = slice.stores;
  return launch_status(launch_slice(args, s));
}

}  // namespace rutile::cuda
