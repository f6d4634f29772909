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
  char* to = static_cast<char*>(args.out[0]);
  for (int i = 0; i < p.in.size(); ++i) {
    const TensorMeta& m = p.in[i];
    if (m.numel() == 0) continue;
    const auto& plan = p.pack[static_cast<size_t>(i)];
    if (plan) {
      void *in[] = {args.in[i]}, *out[] = {to};
      RUTILE_RETURN_IF_ERROR(plan->run(*plan, {in, out, args.workspace, args.stream}));
    } else {
      RUTILE_RETURN_IF_ERROR(
          fns.copy(d.index, to, args.in[i], bytes_of(m), CopyKind::kOnDevice, args.stream));
    }
    to += static_cast<size_t>(m.numel()) * size;
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
  Collective c{.kind = CollectiveKind::kAllReduce,
               .reduce = a.reduce,
               .dtype = p.out[0].dtype,
               .shape = p.out[0].shape,
               .in = args.out[0],
               .out = args.out[0]};
  if (group->takes(d)) return group->queue_start(c, d, args.stream);
  std::vector<char> host(bytes_of(p.out[0]) + 1);
  RUTILE_RETURN_IF_ERROR(
      copy_and_wait(d, host.data(), c.in, host.size() - 1, CopyKind::kToHost, args.stream));
  c.in = c.out = host.data();
  {
    Travelling& t = travelling();
    const std::lock_guard lock(t.mutex);
    t.by_flat[args.out[0]] = std::move(host);
  }
  return group->start(c);
}

Status run_wait(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  std::shared_ptr<Communicator> group;
  RUTILE_RETURN_IF_ERROR(find_communicator(p.as<ops::AllReduceManyAttrs>().group, &group));
  const Device d = p.in[0].device;
  if (group->takes(d)) return group->queue_wait(args.out[0], d, args.stream);
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
  RUTILE_RETURN_IF_ERROR(group->wait(host.data()));
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
  for (int i = 0; i < c.num_inputs(); ++i) {
    p->in.push_back(c.in(i));
    RUTILE_RETURN_IF_ERROR(plan_packing(c.in(i), c.out().dtype, &p->pack.emplace_back()));
    if (const auto& inner = p->pack.back()) {
      p->workspace_bytes = std::max(p->workspace_bytes, inner->workspace_bytes);
    }
  }
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
