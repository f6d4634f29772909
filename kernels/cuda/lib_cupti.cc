// SPDX-License-Identifier: Apache-2.0
// What the GPU did and when, from CUPTI's activity records.
#include <cupti.h>
#include <cxxabi.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "rutile/core/device_activity.h"
#include "rutile/core/log.h"
#include "rutile/kernels/cuda/library_api.h"

namespace rutile::cuda {
namespace {

struct Api : LibraryApi {
  Api() : LibraryApi("libcupti.so.13") {}
#include "rutile/kernels/cuda/cupti_functions.inc"
};
const Api& api() { return library_api<Api>(); }

Status status_of(CUptiResult r) {
  if (r == CUPTI_SUCCESS) return Status();
  const char* text = nullptr;
  (void)api().cuptiGetResultString(r, &text);
  return Status(ErrorCode::kRuntime, cat("CUPTI: ", text ? text : "an error without a name"));
}
#define RUTILE_CUPTI_TRY(expr) RUTILE_RETURN_IF_ERROR(status_of(expr))

// Records are read while CUPTI hands a buffer over: names in them are its own.
struct Recording {
  std::mutex mutex;
  bool on = false;
  std::vector<DeviceActivity> all;
  std::vector<uint64_t> node;                    // of each of them; 0: of no graph
  std::unordered_map<uint32_t, uint64_t> ops;    // by correlation
  std::unordered_map<uint64_t, uint64_t> nodes;  // of graphs: what they were captured for
  CUpti_SubscriberHandle subscriber = nullptr;
  int64_t lost = 0;
  void clear() {
    all.clear();
    node.clear();
    ops.clear();
    nodes.clear();
    lost = 0;
  }
};
Recording& recording() {
  static auto* const r = new Recording();
  return *r;
}

// What this thread queues is for the last of them.
std::vector<uint64_t>& pushed() {
  static thread_local std::vector<uint64_t> ops;
  return ops;
}

// A launch of a graph has one correlation for all its kernels: what each is for is known by its
// node, which is a copy of the one that was captured. (CUPTI tells of both; the copies are made
// when a graph becomes executable.)
void CUPTIAPI graph_changed(void*, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                            const void* data) {
  if (domain != CUPTI_CB_DOMAIN_RESOURCE) return;
  const auto& resource = *static_cast<const CUpti_ResourceData*>(data);
  const auto& graph = *static_cast<const CUpti_GraphData*>(resource.resourceDescriptor);
  uint64_t node = 0, original = 0;
  if (api().cuptiGetGraphNodeId(graph.node, &node) != CUPTI_SUCCESS) return;
  Recording& r = recording();
  const std::lock_guard lock(r.mutex);
  if (id == CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED) {
    if (!pushed().empty()) r.nodes[node] = pushed().back();
    return;
  }
  if (api().cuptiGetGraphNodeId(graph.originalNode, &original) != CUPTI_SUCCESS) return;
  if (const auto at = r.nodes.find(original); at != r.nodes.end()) r.nodes[node] = at->second;
}

constexpr CUpti_CallbackId kGraphCallbacks[] = {CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED,
                                                CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED};

// Where another tool listens already, kernels of graphs have no op.
void subscribe(Recording& r) {
  if (api().cuptiSubscribe(&r.subscriber, graph_changed, nullptr) != CUPTI_SUCCESS) {
    r.subscriber = nullptr;
    return;
  }
  for (const CUpti_CallbackId id : kGraphCallbacks) {
    (void)api().cuptiEnableCallback(1, r.subscriber, CUPTI_CB_DOMAIN_RESOURCE, id);
  }
}
void unsubscribe(Recording& r) {
  if (r.subscriber) (void)api().cuptiUnsubscribe(std::exchange(r.subscriber, nullptr));
}

std::string kernel_name(const char* mangled) {
  if (!mangled) return "a kernel";
  int failed = 0;
  char* const text = abi::__cxa_demangle(mangled, nullptr, nullptr, &failed);
  std::string name = failed == 0 && text ? text : mangled;
  std::free(text);
  if (failed != 0) return name;
  constexpr std::string_view kNobody = "(anonymous namespace)::";
  for (size_t at = name.find(kNobody); at != std::string::npos; at = name.find(kNobody)) {
    name.erase(at, kNobody.size());
  }
  // The result's type of templates, and the parameters of all.
  int depth = 0;
  size_t begin = 0, end = name.size();
  for (size_t i = 0; i < name.size(); ++i) {
    depth += name[i] == '<' ? 1 : name[i] == '>' ? -1 : 0;
    if (depth == 0 && name[i] == ' ' && begin == 0) begin = i + 1;
    if (depth != 0 || name[i] != '(') continue;
    end = i;
    break;
  }
  return begin < end ? name.substr(begin, end - begin) : name;
}

const char* copy_name(uint8_t kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD:
      return "copy to device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH:
      return "copy to host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD:
      return "copy on device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_PTOP:
      return "copy between devices";
    default:
      return "copy";
  }
}

// What records of kernels, copies and fills have alike.
template <class Record>
DeviceActivity common(const Record& r, ActivityKind kind) {
  DeviceActivity a;
  a.kind = kind;
  a.start_ns = static_cast<int64_t>(r.start);
  a.end_ns = static_cast<int64_t>(r.end);
  a.device = static_cast<int>(r.deviceId);
  a.stream = r.streamId;
  a.launch = r.correlationId;
  a.graph = r.graphId != 0;
  return a;
}

DeviceActivity of_kernel(const CUpti_ActivityKernel10& k) {
  DeviceActivity a = common(k, ActivityKind::kKernel);
  a.name = kernel_name(k.name);
  a.detail = cat(k.gridX, "x", k.gridY, "x", k.gridZ, " blocks of ",
                 int64_t{k.blockX} * k.blockY * k.blockZ, " threads, ", k.registersPerThread,
                 " registers, ", k.staticSharedMemory + k.dynamicSharedMemory, " bytes shared");
  return a;
}

void take(const CUpti_Activity* record, Recording& to) {
  switch (record->kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
      const auto& k = *reinterpret_cast<const CUpti_ActivityKernel10*>(record);
      to.all.push_back(of_kernel(k));
      to.node.push_back(k.graphNodeId);
      break;
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
      const auto& c = *reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
      to.all.push_back(common(c, ActivityKind::kCopy));
      to.node.push_back(c.graphNodeId);
      to.all.back().name = copy_name(c.copyKind);
      to.all.back().bytes = static_cast<int64_t>(c.bytes);
      break;
    }
    case CUPTI_ACTIVITY_KIND_MEMSET: {
      const auto& m = *reinterpret_cast<const CUpti_ActivityMemset4*>(record);
      to.all.push_back(common(m, ActivityKind::kFill));
      to.node.push_back(m.graphNodeId);
      to.all.back().name = "fill";
      to.all.back().bytes = static_cast<int64_t>(m.bytes);
      break;
    }
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION: {
      const auto& e = *reinterpret_cast<const CUpti_ActivityExternalCorrelation*>(record);
      to.ops[e.correlationId] = e.externalId;
      break;
    }
    default:
      break;
  }
}

constexpr size_t kBuffer = 8 << 20, kAligned = 8;

void CUPTIAPI buffer_wanted(uint8_t** buffer, size_t* size, size_t* most) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(kAligned, kBuffer));
  *size = *buffer ? kBuffer : 0;
  *most = 0;  // as many records as fit
}

void CUPTIAPI buffer_full(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t used) {
  Recording& r = recording();
  const std::lock_guard lock(r.mutex);
  CUpti_Activity* record = nullptr;
  while (used > 0 && api().cuptiActivityGetNextRecord(buffer, used, &record) == CUPTI_SUCCESS) {
    take(record, r);
  }
  size_t lost = 0;
  if (api().cuptiActivityGetNumDroppedRecords(nullptr, 0, &lost) == CUPTI_SUCCESS) {
    r.lost += static_cast<int64_t>(lost);
  }
  std::free(buffer);
}

// Calls of the API are recorded for the ops that they belong to.
constexpr CUpti_ActivityKind kKinds[] = {
    CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
    CUPTI_ACTIVITY_KIND_RUNTIME,
    CUPTI_ACTIVITY_KIND_DRIVER,
    CUPTI_ACTIVITY_KIND_MEMCPY,
    CUPTI_ACTIVITY_KIND_MEMSET,
    CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
};

int64_t host_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// How far the host's clock is before CUPTI's: of several pairs the one that was read fastest.
Status clock_offset(int64_t* out) {
  int64_t least = 0;
  for (int i = 0; i < 5; ++i) {
    uint64_t there = 0;
    const int64_t before = host_now();
    RUTILE_CUPTI_TRY(api().cuptiGetTimestamp(&there));
    const int64_t after = host_now();
    if (i > 0 && after - before >= least) continue;
    least = after - before;
    *out = before + least / 2 - static_cast<int64_t>(there);
  }
  return Status();
}

void stop_kinds() {
  for (const CUpti_ActivityKind kind : kKinds) (void)api().cuptiActivityDisable(kind);
}

Status start() {
  if (!api().failure.empty()) return Status(ErrorCode::kUnsupported, api().failure);
  Recording& r = recording();
  {
    const std::lock_guard lock(r.mutex);
    if (r.on) return Status(ErrorCode::kRuntime, "what the device does is being recorded already");
    r.on = true;
    r.clear();
  }
  static const CUptiResult registered =
      api().cuptiActivityRegisterCallbacks(buffer_wanted, buffer_full);
  Status s = status_of(registered);
  for (const CUpti_ActivityKind kind : kKinds) {
    if (s.ok()) s = status_of(api().cuptiActivityEnable(kind));
  }
  if (s.ok()) {
    subscribe(r);
    return s;
  }
  stop_kinds();
  const std::lock_guard lock(r.mutex);
  r.on = false;
  return s;
}

Status stop(std::vector<DeviceActivity>* all, int64_t* lost) {
  int64_t offset = 0;
  Status s = clock_offset(&offset), flushed = status_of(api().cuptiActivityFlushAll(0));
  if (s.ok()) s = std::move(flushed);
  stop_kinds();
  Recording& r = recording();
  unsubscribe(r);
  const std::lock_guard lock(r.mutex);
  r.on = false;
  *all = std::move(r.all);
  *lost = r.lost;
  for (size_t i = 0; i < all->size(); ++i) {
    DeviceActivity& a = (*all)[i];
    a.start_ns += offset;
    a.end_ns += offset;
    if (const auto node = r.nodes.find(r.node[i]); r.node[i] != 0 && node != r.nodes.end()) {
      a.op = node->second;
    } else if (const auto op = r.ops.find(static_cast<uint32_t>(a.launch)); op != r.ops.end()) {
      a.op = op->second;
    }
  }
  r.clear();
  return s;
}

void push(uint64_t op) {
  pushed().push_back(op);
  (void)api().cuptiActivityPushExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, op);
}
void pop() {
  if (!pushed().empty()) pushed().pop_back();
  uint64_t op = 0;
  (void)api().cuptiActivityPopExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, &op);
}

constexpr ActivityFns kFns = {.start = start, .stop = stop, .push = push, .pop = pop};

}  // namespace

void register_cupti() { set_device_activity(DeviceType::kCuda, &kFns); }

}  // namespace rutile::cuda
