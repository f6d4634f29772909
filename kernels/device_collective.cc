// SPDX-License-Identifier: Apache-2.0
// Collectives of a device's memory, the same rows for all devices: queued on its streams where the
// group has a way between such devices, else over the host, which waits.
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "rutile/core/device_runtime.h"
#include "rutile/kernels/collective_call.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"

namespace rutile::kernels {
namespace {

size_t bytes_of(const TensorMeta& m) {
  return static_cast<size_t>(m.numel()) * dtype_size(m.dtype);
}

// Copies that are there on return.
Status copy_and_wait(Device d, void* to, const void* from, size_t bytes, CopyKind kind, Stream s) {
  if (bytes == 0) return Status();
  const DeviceFns& fns = device_runtime(d).fns();
  RUTILE_RETURN_IF_ERROR(fns.copy(d.index, to, from, bytes, kind, s));
  return fns.stream_sync(d.index, s);
}

template <class A, CollectiveKind kKind>
Status run_device(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  std::shared_ptr<Communicator> group;
  RUTILE_RETURN_IF_ERROR((find_group<A, kKind>(p, &group)));
  Collective c = collective_of<A, kKind>(p, args.in[0], args.out[0]);
  const Device d = p.in[0].device;
  if (group->takes(d)) return group->queue(c, d, args.stream);
  std::vector<char> in(bytes_of(p.in[0]) + 1), out(bytes_of(p.out[0]) + 1);
  RUTILE_RETURN_IF_ERROR(
      copy_and_wait(d, in.data(), c.in, in.size() - 1, CopyKind::kToHost, args.stream));
  c.in = in.data();
  c.out = out.data();
  RUTILE_RETURN_IF_ERROR(group->run(c));
  return copy_and_wait(d, args.out[0], out.data(), out.size() - 1, CopyKind::kToDevice,
                       args.stream);
}

// ---- Start and wait -----------------------------------------------------------------------------

struct DeviceStart final : RefPlan {
  std::vector<std::shared_ptr<const Plan>> pack;  // null: the bytes as they are
  size_t inner_bytes = 0;                         // of their workspace
};

// Host copies of buckets that travel over the host.
struct Travelling {
  std::mutex mutex;
  std::unordered_map<const void*, std::vector<char>> by_flat;
};
Travelling& travelling() {
  static Travelling& t = *new Travelling;
  return t;
}

Status pack_inputs(const DeviceStart& p, const KernelArgs& args) {
  const Device d = p.in[0].device;
  const DeviceFns& fns = device_runtime(d).fns();
  const size_t size = dtype_size(p.out[0].dtype);
  const int64_t parts = std::max<int64_t>(p.as<ops::AllReduceManyAttrs>().scatter, 1);
  const int64_t line = p.out[0].numel() / parts;
  char* const flat = static_cast<char*>(args.out[0]);
  int64_t at = 0;
  for (int i = 0; i < p.in.size(); ++i) {
    const int64_t n = p.in[i].numel(), part = ops::part_of(n, parts);
    if (n == 0) continue;
    const char* from = static_cast<const char*>(args.in[i]);
    if (const auto& plan = p.pack[static_cast<size_t>(i)]) {
      // To its place, or where it is cut up.
      char* const to = parts == 1 ? flat + static_cast<size_t>(at) * size
                                  : static_cast<char*>(args.workspace) + p.inner_bytes;
      void *in[] = {args.in[i]}, *out[] = {to};
      RUTILE_RETURN_IF_ERROR(plan->run(*plan, {in, out, args.workspace, args.stream}));
      from = to;
    }
    for (int64_t r = 0; r < parts && from != flat + static_cast<size_t>(at) * size; ++r) {
      const int64_t first = std::min(r * part, n), own = std::min(part, n - first);
      char* const to = flat + static_cast<size_t>(r * line + at) * size;
      const auto bytes = static_cast<size_t>(own) * size;
      const auto rest = static_cast<size_t>(part - own) * size;
      if (bytes > 0) {
        RUTILE_RETURN_IF_ERROR(fns.copy(d.index, to, from + static_cast<size_t>(first) * size,
                                        bytes, CopyKind::kOnDevice, args.stream));
      }
      if (rest > 0) RUTILE_RETURN_IF_ERROR(fns.fill(d.index, to + bytes, 0, rest, args.stream));
    }
    at += part;
  }
  return Status();
}

Status run_start(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const DeviceStart&>(plan);
  const auto& a = p.as<ops::AllReduceManyAttrs>();
  std::shared_ptr<Communicator> group;
  RUTILE_RETURN_IF_ERROR(find_communicator(a.group, &group));
  RUTILE_RETURN_IF_ERROR(pack_inputs(p, args));
  const Device d = p.in[0].device;
  Collective c = bucket_collective(a, p.out[0], *group, args.out[0]);
  if (group->takes(d)) return group->queue_start(c, d, args.stream);
  std::vector<char> host(bytes_of(p.out[0]) + 1);
  RUTILE_RETURN_IF_ERROR(
      copy_and_wait(d, host.data(), c.in, host.size() - 1, CopyKind::kToHost, args.stream));
  c = bucket_collective(a, p.out[0], *group, host.data());
  {
    Travelling& t = travelling();
    const std::lock_guard lock(t.mutex);
    t.by_flat[args.out[0]] = std::move(host);
  }
  return group->start(c);
}

Status run_wait(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::AllReduceManyAttrs>();
  std::shared_ptr<Communicator> group;
  RUTILE_RETURN_IF_ERROR(find_communicator(a.group, &group));
  const Device d = p.in[0].device;
  if (group->takes(d)) {
    const Collective c = bucket_collective(a, p.out[0], *group, args.out[0]);
    return group->queue_wait(c.out, d, args.stream);
  }
  std::vector<char> host;
  {
    Travelling& t = travelling();
    const std::lock_guard lock(t.mutex);
    const auto it = t.by_flat.find(args.out[0]);
    if (it == t.by_flat.end()) {
      return Status(ErrorCode::kRuntime, "nothing was started that gives this tensor");
    }
    host = std::move(it->second);
    t.by_flat.erase(it);
  }
  RUTILE_RETURN_IF_ERROR(group->wait(bucket_collective(a, p.out[0], *group, host.data()).out));
  return copy_and_wait(d, args.out[0], host.data(), host.size() - 1, CopyKind::kToDevice,
                       args.stream);
}

// How one tensor gets into its part of the bucket.
Status plan_packing(const TensorMeta& from, DType to, std::shared_ptr<const Plan>* plan) {
  const bool plain = from.layout == kStrided && from.is_contiguous();
  if (plain && from.dtype == to) return Status();
  TensorMeta out(from.shape, to, from.device);
  const TensorMeta* in[] = {&from};
  const ops::CastAttrs cast{to};
  const bool casts = from.dtype != to;
  const OpDef& op = casts ? ops::kCast : ops::kContiguous;
  const CallMeta call{&op, casts ? &cast : nullptr, in, {&out, 1}};
  return make_plan(call, from.device.type, plan);
}

Status prepare_start(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<DeviceStart>();
  size_t packed = 0;
  for (int i = 0; i < c.num_inputs(); ++i) {
    p->in.push_back(c.in(i));
    RUTILE_RETURN_IF_ERROR(plan_packing(c.in(i), c.out().dtype, &p->pack.emplace_back()));
    if (const auto& inner = p->pack.back()) {
      p->inner_bytes = std::max(p->inner_bytes, (inner->workspace_bytes + 255) / 256 * 256);
      packed = std::max(packed, static_cast<size_t>(c.in(i).numel()) * dtype_size(c.out().dtype));
    }
  }
  const bool cut = c.as<ops::AllReduceManyAttrs>().scatter > 0;
  p->workspace_bytes = p->inner_bytes + (cut ? packed : 0);
  p->out.push_back(c.out());
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  p->run = run_ref<run_start>;
  *plan = std::move(p);
  return Status();
}

template <RunFn kRun>
KernelRow device_row(const OpDef& op, DeviceType device) {
  KernelRow row = ref_row<kRun>(op);
  row.device = device;
  row.name = "group";
  row.supports = row_major;
  row.reference = false;
  return row;
}

}  // namespace

void register_collective_device() {
  for (const DeviceType device : {DeviceType::kCuda, DeviceType::kFake}) {
#define RUTILE_ROW(A, K, op) register_kernel(device_row<run_device<A, K>>(op, device));
    RUTILE_COLLECTIVES(RUTILE_ROW)
#undef RUTILE_ROW
    KernelRow start = device_row<run_start>(ops::kAllReduceStart, device);
    start.prepare = prepare_start;
    start.supports = nullptr;  // packs any strides
    register_kernel(start);
    register_kernel(device_row<run_wait>(ops::kAllReduceWait, device));
  }
}

}  // namespace rutile::kernels
