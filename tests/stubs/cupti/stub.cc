// SPDX-License-Identifier: Apache-2.0
// A stand-in for CUPTI, declared by NVIDIA's header: a run of made-up work, handed over in buffers
// as small as its user allows, as CUPTI does it. What its rules forbid is counted.
#include <cupti.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

namespace {

struct Stub {
  CUpti_BuffersCallbackRequestFunc wanted = nullptr;
  CUpti_BuffersCallbackCompleteFunc full = nullptr;
  std::set<int> kinds;
  std::vector<uint64_t> ids;
  std::vector<std::vector<char>> records;
  uint32_t correlation = 0;
  uint64_t clock = 1'000'000;
  size_t lost = 0;
  CUpti_CallbackFunc callback = nullptr;
  std::set<CUpti_CallbackId> callbacks;
};
Stub& stub() {
  static Stub s;
  return s;
}

template <class Record>
void put(const Record& r) {
  std::vector<char> bytes(sizeof r);
  std::memcpy(bytes.data(), &r, sizeof r);
  stub().records.push_back(std::move(bytes));
}

// As in front of the record of an API call.
uint32_t launch() {
  Stub& s = stub();
  ++s.correlation;
  if (!s.ids.empty() && s.kinds.count(CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION)) {
    CUpti_ActivityExternalCorrelation e{};
    e.kind = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
    e.externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;
    e.externalId = s.ids.back();
    e.correlationId = s.correlation;
    put(e);
  }
  if (s.kinds.count(CUPTI_ACTIVITY_KIND_RUNTIME)) {
    CUpti_ActivityAPI a{};
    a.kind = CUPTI_ACTIVITY_KIND_RUNTIME;
    a.correlationId = s.correlation;
    put(a);
  }
  return s.correlation;
}

}  // namespace

extern "C" {

// ---- What tests call

__attribute__((visibility("default"))) void stub_cupti_kernel(const char* name, uint64_t from,
                                                              uint64_t to, int graph_kernels) {
  Stub& s = stub();
  const uint32_t id = launch();
  if (!s.kinds.count(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL)) return;
  for (int i = 0; i < (graph_kernels > 0 ? graph_kernels : 1); ++i) {
    CUpti_ActivityKernel10 k{};
    k.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    k.name = name;
    k.start = from + static_cast<uint64_t>(i) * (to - from);
    k.end = k.start + (to - from);
    k.gridX = 12, k.gridY = 2, k.gridZ = 1;
    k.blockX = 64, k.blockY = 4, k.blockZ = 1;
    k.registersPerThread = 40;
    k.staticSharedMemory = 1000, k.dynamicSharedMemory = 24;
    k.streamId = 13;
    k.correlationId = id;
    k.graphId = graph_kernels > 0 ? 5 : 0;
    put(k);
  }
}
// A graph of so many kernels is captured and made executable: its nodes and their copies are told
// of. Then it is launched.
__attribute__((visibility("default"))) void stub_cupti_node(uint64_t id, uint64_t copy_of) {
  Stub& s = stub();
  const CUpti_CallbackId what =
      copy_of != 0 ? CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED : CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED;
  if (!s.callback || !s.callbacks.count(what)) return;
  CUpti_GraphData graph{};
  graph.node = reinterpret_cast<CUgraphNode>(id);
  graph.originalNode = reinterpret_cast<CUgraphNode>(copy_of);
  CUpti_ResourceData resource{};
  resource.resourceDescriptor = &graph;
  s.callback(nullptr, CUPTI_CB_DOMAIN_RESOURCE, what, &resource);
}
__attribute__((visibility("default"))) void stub_cupti_graph(const uint64_t* nodes, int count) {
  Stub& s = stub();
  const uint32_t id = launch();
  for (int i = 0; i < count; ++i) {
    CUpti_ActivityKernel10 k{};
    k.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    k.name = "in_a_graph";
    k.start = s.clock + static_cast<uint64_t>(i) * 10;
    k.end = k.start + 5;
    k.correlationId = id;
    k.graphId = 5;
    k.graphNodeId = nodes[i];
    put(k);
  }
}
__attribute__((visibility("default"))) int stub_cupti_listens() {
  return stub().callback != nullptr;
}
__attribute__((visibility("default"))) void stub_cupti_copy(int kind, uint64_t bytes, uint64_t from,
                                                            uint64_t to) {
  const uint32_t id = launch();
  if (!stub().kinds.count(CUPTI_ACTIVITY_KIND_MEMCPY)) return;
  CUpti_ActivityMemcpy6 c{};
  c.kind = CUPTI_ACTIVITY_KIND_MEMCPY;
  c.copyKind = static_cast<uint8_t>(kind);
  c.bytes = bytes;
  c.start = from, c.end = to;
  c.streamId = 14;
  c.correlationId = id;
  put(c);
}
__attribute__((visibility("default"))) void stub_cupti_fill(uint64_t bytes, uint64_t from,
                                                            uint64_t to) {
  const uint32_t id = launch();
  if (!stub().kinds.count(CUPTI_ACTIVITY_KIND_MEMSET)) return;
  CUpti_ActivityMemset4 m{};
  m.kind = CUPTI_ACTIVITY_KIND_MEMSET;
  m.bytes = bytes;
  m.start = from, m.end = to;
  m.correlationId = id;
  put(m);
}
__attribute__((visibility("default"))) void stub_cupti_lose(size_t n) { stub().lost = n; }
__attribute__((visibility("default"))) int stub_cupti_kinds() {
  return static_cast<int>(stub().kinds.size());
}

// ---- CUPTI

#define STUB __attribute__((visibility("default"))) CUptiResult CUPTIAPI

STUB cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc wanted,
                                    CUpti_BuffersCallbackCompleteFunc full) {
  if (!wanted || !full) return CUPTI_ERROR_INVALID_PARAMETER;
  stub().wanted = wanted;
  stub().full = full;
  return CUPTI_SUCCESS;
}
STUB cuptiActivityEnable(CUpti_ActivityKind kind) {
  stub().kinds.insert(kind);
  return CUPTI_SUCCESS;
}
STUB cuptiActivityDisable(CUpti_ActivityKind kind) {
  stub().kinds.erase(kind);
  return CUPTI_SUCCESS;
}
// Three records a buffer, and one buffer that nothing was written to.
STUB cuptiActivityFlushAll(uint32_t) {
  Stub& s = stub();
  size_t next = 0;
  do {
    uint8_t* buffer = nullptr;
    size_t size = 0, most = 0, used = 0;
    s.wanted(&buffer, &size, &most);
    if (!buffer || reinterpret_cast<uintptr_t>(buffer) % 8 != 0)
      return CUPTI_ERROR_INVALID_PARAMETER;
    for (int i = 0; i < 3 && next < s.records.size(); ++i, ++next) {
      std::memcpy(buffer + used, s.records[next].data(), s.records[next].size());
      used += s.records[next].size();
    }
    s.full(nullptr, 0, buffer, size, used);
    if (used == 0) break;
  } while (true);
  s.records.clear();
  return CUPTI_SUCCESS;
}
STUB cuptiActivityGetNextRecord(uint8_t* buffer, size_t valid, CUpti_Activity** record) {
  uint8_t* at = buffer;
  if (*record) {
    at = reinterpret_cast<uint8_t*>(*record);
    switch ((*record)->kind) {
      case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
        at += sizeof(CUpti_ActivityKernel10);
        break;
      case CUPTI_ACTIVITY_KIND_MEMCPY:
        at += sizeof(CUpti_ActivityMemcpy6);
        break;
      case CUPTI_ACTIVITY_KIND_MEMSET:
        at += sizeof(CUpti_ActivityMemset4);
        break;
      case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
        at += sizeof(CUpti_ActivityExternalCorrelation);
        break;
      default:
        at += sizeof(CUpti_ActivityAPI);
    }
  }
  if (at >= buffer + valid) return CUPTI_ERROR_MAX_LIMIT_REACHED;
  *record = reinterpret_cast<CUpti_Activity*>(at);
  return CUPTI_SUCCESS;
}
STUB cuptiActivityGetNumDroppedRecords(CUcontext, uint32_t, size_t* dropped) {
  *dropped = stub().lost;
  stub().lost = 0;
  return CUPTI_SUCCESS;
}
STUB cuptiActivityPushExternalCorrelationId(CUpti_ExternalCorrelationKind, uint64_t id) {
  stub().ids.push_back(id);
  return CUPTI_SUCCESS;
}
STUB cuptiActivityPopExternalCorrelationId(CUpti_ExternalCorrelationKind, uint64_t* last) {
  if (stub().ids.empty()) return CUPTI_ERROR_QUEUE_EMPTY;
  *last = stub().ids.back();
  stub().ids.pop_back();
  return CUPTI_SUCCESS;
}
STUB cuptiGetTimestamp(uint64_t* t) {
  *t = stub().clock;
  return CUPTI_SUCCESS;
}
STUB cuptiGetResultString(CUptiResult, const char** text) {
  *text = "an error of the stand-in";
  return CUPTI_SUCCESS;
}
STUB cuptiSubscribe(CUpti_SubscriberHandle* out, CUpti_CallbackFunc callback, void*) {
  if (stub().callback) return CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED;
  stub().callback = callback;
  *out = reinterpret_cast<CUpti_SubscriberHandle>(&stub());
  return CUPTI_SUCCESS;
}
STUB cuptiUnsubscribe(CUpti_SubscriberHandle) {
  stub().callback = nullptr;
  stub().callbacks.clear();
  return CUPTI_SUCCESS;
}
STUB cuptiEnableCallback(uint32_t enable, CUpti_SubscriberHandle, CUpti_CallbackDomain domain,
                         CUpti_CallbackId id) {
  if (!stub().callback || domain != CUPTI_CB_DOMAIN_RESOURCE) return CUPTI_ERROR_INVALID_PARAMETER;
  if (enable) {
    stub().callbacks.insert(id);
  } else {
    stub().callbacks.erase(id);
  }
  return CUPTI_SUCCESS;
}
STUB cuptiGetGraphNodeId(CUgraphNode node, uint64_t* id) {
  *id = reinterpret_cast<uint64_t>(node);
  return node ? CUPTI_SUCCESS : CUPTI_ERROR_INVALID_PARAMETER;
}
}
