// SPDX-License-Identifier: Apache-2.0
// Which calls of the CUDA runtime make conditional nodes, in which order: the runtime's functions
// are stood in for by ones that keep its rules. Nothing is captured; kernels run at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#if defined(RUTILE_STUB_LIBRARIES)

#include <cuda_runtime.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rutile/kernels/cuda/capture.h"
#include "rutile/kernels/cuda/runtime.h"

namespace {

struct FakeGraph {
  std::string name;
  bool captured_into = false;
};
// What a stream is being captured into, and the node that its next one depends on.
struct FakeStream {
  FakeGraph* graph = nullptr;
  cudaGraphNode_t last = nullptr;
};
struct State {
  std::vector<std::string> calls;
  std::vector<std::unique_ptr<FakeGraph>> graphs;
  std::vector<cudaGraph_t> bodies;  // of the latest node
  std::map<unsigned long long, std::string> handles;
  std::vector<std::unique_ptr<unsigned>> values;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal;
  int streams = 0, nodes = 0;
  std::string fail_at;  // a call that fails

  cudaError_t call(std::string text) {
    calls.push_back(std::move(text));
    return calls.back().starts_with(fail_at) && !fail_at.empty() ? cudaErrorNotSupported
                                                                 : cudaSuccess;
  }
  cudaGraph_t graph(std::string name) {
    graphs.push_back(std::make_unique<FakeGraph>(FakeGraph{std::move(name)}));
    return reinterpret_cast<cudaGraph_t>(graphs.back().get());
  }
};
State& state() {
  static State s;
  return s;
}
FakeGraph& graph_of(cudaGraph_t g) { return *reinterpret_cast<FakeGraph*>(g); }
FakeStream& stream_of(cudaStream_t s) { return *reinterpret_cast<FakeStream*>(s); }

}  // namespace

extern "C" {

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, cudaStreamCaptureStatus* status,
                                     unsigned long long*, cudaGraph_t* graph,
                                     const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges,
                                     size_t* count) {
  FakeStream& f = stream_of(s);
  *status = f.graph ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  *graph = reinterpret_cast<cudaGraph_t>(f.graph);
  *nodes = &f.last;
  *edges = nullptr;
  *count = f.last ? 1 : 0;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  stream_of(s).graph = &graph_of(state().graph("step"));
  return state().call("begin");
}
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t s, cudaGraph_t g, const cudaGraphNode_t*,
                                          const cudaGraphEdgeData*, size_t, cudaStreamCaptureMode) {
  if (stream_of(s).graph || graph_of(g).captured_into) return cudaErrorIllegalState;
  if (const cudaError_t e = state().call("begin " + graph_of(g).name); e != cudaSuccess) return e;
  graph_of(g).captured_into = true;
  stream_of(s).graph = &graph_of(g);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* g) {
  if (!stream_of(s).graph) return cudaErrorIllegalState;
  *g = reinterpret_cast<cudaGraph_t>(stream_of(s).graph);
  stream_of(s).graph = nullptr;
  return state().call("end " + graph_of(*g).name);
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t s, cudaGraphNode_t* nodes,
                                                const cudaGraphEdgeData*, size_t count,
                                                unsigned flags) {
  if (count != 1 || flags != cudaStreamSetCaptureDependencies) return cudaErrorInvalidValue;
  stream_of(s).last = nodes[0];
  return state().call("go on behind it");
}
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle* out, cudaGraph_t g,
                                             unsigned, unsigned) {
  state().values.push_back(std::make_unique<unsigned>(7));
  *out = reinterpret_cast<uintptr_t>(state().values.back().get());
  state().handles[*out] = graph_of(g).name;
  return state().call("handle of " + graph_of(g).name);
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t* out, cudaGraph_t g, const cudaGraphNode_t*,
                             const cudaGraphEdgeData*, size_t, cudaGraphNodeParams* p) {
  if (p->type != cudaGraphNodeTypeConditional) return cudaErrorInvalidValue;
  if (state().handles[p->conditional.handle] != graph_of(g).name) return cudaErrorInvalidValue;
  const bool loop = p->conditional.type == cudaGraphCondTypeWhile;
  if (p->conditional.size != (loop ? 1u : 2u)) return cudaErrorInvalidValue;
  const unsigned value = *reinterpret_cast<unsigned*>(p->conditional.handle);
  if (value == 7) return cudaErrorInvalidValue;  // nothing in front of the node sets it
  state().bodies.clear();
  for (unsigned i = 0; i < p->conditional.size; ++i) {
    state().bodies.push_back(state().graph(std::string(loop     ? "loop"
                                                       : i == 0 ? "then"
                                                                : "else") +
                                           " in " + graph_of(g).name));
  }
  p->conditional.phGraph_out = state().bodies.data();
  *out = reinterpret_cast<cudaGraphNode_t>(static_cast<uintptr_t>(++state().nodes));
  return state().call(std::string(loop ? "while" : "if") + " = " + std::to_string(value));
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t g, unsigned long long) {
  *out = reinterpret_cast<cudaGraphExec_t>(g);
  return state().call("instantiate " + graph_of(g).name);
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) { return state().call("drop " + graph_of(g).name); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) { return state().call("launch"); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return state().call("drop the graph"); }
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, state().mode);
  return cudaSuccess;
}
}

namespace rutile::cuda {

// What the plugin has.
Status status_of(cudaError_t e) {
  return e == cudaSuccess ? Status() : Status(ErrorCode::kRuntime, cat("code ", int{e}));
}
cudaError_t use(int) { return cudaSuccess; }
cudaStream_t cuda_stream(Stream s) { return reinterpret_cast<cudaStream_t>(s); }
Status make_stream(int, StreamKind, Stream* out) {
  EXPECT_EQ(state().mode, cudaStreamCaptureModeRelaxed) << "of the thread that captures";
  *out = reinterpret_cast<Stream>(new FakeStream());
  ++state().streams;
  return Status();
}
Status drop_stream(int, Stream s) {
  EXPECT_EQ(stream_of(cuda_stream(s)).graph, nullptr) << "while it is captured";
  delete &stream_of(cuda_stream(s));
  --state().streams;
  return Status();
}

namespace {

using testing::ElementsAre;

struct Scope {
  FakeStream stream;
  Stream s = reinterpret_cast<Stream>(&stream);
  Scope() {
    state() = {};
    EXPECT_TRUE(capture_begin(0, s).ok());
  }
};

template <class F>
CapturePart part(F& f) {
  return {[](void* context, Stream s) { return (*static_cast<F*>(context))(s); }, &f};
}

TEST(ConditionalNodes, ABranchWithALoopInIt) {
  Scope scope;
  const bool yes = true;
  LoopCounter counter;
  auto body = [&](Stream) { return status_of(state().call("body")); };
  auto then = [&](Stream s) {
    EXPECT_NE(s, scope.s) << "a stream of its own";
    CaptureLoop loop;
    loop.counter = &counter;
    loop.most = 5;
    RUTILE_RETURN_IF_ERROR(capture_loop(0, s, loop, part(body)));
    return status_of(state().call("behind the loop"));
  };
  ASSERT_TRUE(capture_branch(0, scope.s, &yes, part(then), {}).ok());
  CapturedGraph g = nullptr;
  ASSERT_TRUE(capture_end(0, scope.s, &g).ok());
  EXPECT_THAT(
      state().calls,
      ElementsAre("begin", "handle of step", "if = 1", "go on behind it", "begin then in step",
                  "handle of then in step", "while = 1", "go on behind it",
                  "begin loop in then in step", "body", "end loop in then in step",
                  "behind the loop", "end then in step", "begin else in step", "end else in step",
                  "end step", "instantiate step", "drop step"));
  EXPECT_EQ(counter.count, 5);
  EXPECT_EQ(counter.done, 1) << "the body counts, behind what it does";
  EXPECT_EQ(state().streams, 0);
  EXPECT_EQ(state().mode, cudaStreamCaptureModeThreadLocal);
}

// What fails leaves no stream behind, none in capture, and says so.
TEST(ConditionalNodes, Failures) {
  const bool yes = true;
  for (const char* at :
       {"handle", "if", "go on", "begin then", "queue", "end then", "begin else"}) {
    SCOPED_TRACE(at);
    Scope scope;
    state().fail_at = at;
    auto queue = [&](Stream) { return status_of(state().call("queue")); };
    EXPECT_FALSE(capture_branch(0, scope.s, &yes, part(queue), part(queue)).ok());
    EXPECT_EQ(state().streams, 0);
    EXPECT_EQ(state().mode, cudaStreamCaptureModeThreadLocal);
    CapturedGraph g = nullptr;
    EXPECT_TRUE(capture_end(0, scope.s, &g).ok());
  }
  FakeStream idle;
  EXPECT_FALSE(capture_branch(0, reinterpret_cast<Stream>(&idle), &yes, {}, {}).ok())
      << "outside of a capture";
}

}  // namespace
}  // namespace rutile::cuda

#endif
