// SPDX-License-Identifier: Apache-2.0
// Kernels of the pretended device: what the cpu's rows would run, queued on the stream.
#include "rutile/core/running_op.h"
#include "rutile/core/thread.h"
#include "rutile/kernels/fake/device.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::fake {
namespace {

// The call as it would be on the cpu; holds what its pointers point to.
class HostCall {
 public:
  explicit HostCall(const CallMeta& c) : call_{c.op, c.attrs, {}, {}} {
    for (const TensorMeta* m : c.inputs) inputs_.push_back(m ? moved(*m) : TensorMeta());
    for (const TensorMeta& m : c.outputs) outputs_.push_back(moved(m));
    for (int i = 0; i < c.num_inputs(); ++i) {
      pointers_.push_back(c.inputs[static_cast<size_t>(i)] ? &inputs_[i] : nullptr);
    }
    call_.inputs = pointers_;
    call_.outputs = outputs_;
  }
  HostCall(const HostCall&) = delete;
  HostCall& operator=(const HostCall&) = delete;
  const CallMeta& get() const { return call_; }

 private:
  static TensorMeta moved(TensorMeta m) {
    m.device = kCpu;
    return m;
  }
  SmallVector<TensorMeta, 6> inputs_;
  SmallVector<TensorMeta, 2> outputs_;
  SmallVector<const TensorMeta*, 6> pointers_;
  CallMeta call_;
};

using Pointers = SmallVector<void*, 8>;

struct FakePlan final : Plan {
  std::shared_ptr<const Plan> inner;
  const OpDef* op = nullptr;
  int num_in = 0, num_out = 0, threads = 1;

  static Status execute(const Plan& plan, const KernelArgs& args);
};

Status translate(void* const* from, int n, Pointers* to) {
  for (int i = 0; i < n; ++i) {
    void* p = from[i];
    if (p) {
      const FakeDevice* owner = owner_of(p);
      if (!owner) return Status(ErrorCode::kInternal, "a kernel was given memory of the host");
      p = owner->memory.translate(p);
    }
    to->push_back(p);
  }
  return Status();
}

Status FakePlan::execute(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const FakePlan&>(plan);
  if (!args.stream) return Status(ErrorCode::kInternal, "a kernel was given no stream");
  Pointers in, out, space;
  RUTILE_RETURN_IF_ERROR(translate(args.in, p.num_in, &in));
  RUTILE_RETURN_IF_ERROR(translate(args.out, p.num_out, &out));
  RUTILE_RETURN_IF_ERROR(translate(&args.workspace, 1, &space));
  Worker& w = worker(args.stream);
  if (!w.capturing()) ++counts().kernels;
  std::string queued = running_op_text();
  if (queued.empty()) queued = p.op->name;
  return w.add([inner = p.inner, op = p.op, threads = p.threads, in = std::move(in),
                out = std::move(out), space, queued = std::move(queued)] {
    ThreadCountScope scope(threads);
    Timeline::label(op->name);
    const Status s = inner->run(*inner, {in.data(), out.data(), space[0]});
    return s.ok() ? Status() : Status(s.code(), cat(s.message(), " | queued by ", queued));
  });
}

template <Rows kRows>
bool supports(const CallMeta& c, Reason* reason) {
  if (has_kernel(HostCall(c).get(), DeviceType::kCpu, kRows)) return true;
  reason->text = "no such row of the cpu takes it";
  return false;
}

template <Rows kRows>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* out) {
  auto p = std::make_unique<FakePlan>();
  RUTILE_RETURN_IF_ERROR(make_plan(HostCall(c).get(), DeviceType::kCpu, &p->inner, kRows));
  p->run = FakePlan::execute;
  p->workspace_bytes = p->inner->workspace_bytes;
  p->may_overwrite = p->inner->may_overwrite;
  p->kernel = p->inner->kernel;
  p->op = c.op;
  p->num_in = std::max(c.num_inputs(), c.op->num_inputs);
  p->num_out = static_cast<int>(c.outputs.size());
  p->threads = num_threads();
  *out = std::move(p);
  return Status();
}

// As the layout pass would ask the rows of the cpu.
Status prefer(const CallMeta& c, LayoutPrefs* prefs) {
  const HostCall call(c);
  for (const KernelRow& row : kernel_rows(*c.op, DeviceType::kCpu)) {
    if (row.prefer && !row.reference && row.prefer(call.get(), prefs).ok()) return Status();
  }
  return Status(ErrorCode::kUnsupported, "no preference");
}

}  // namespace

void register_rows() {
  for (const OpDef* op : all_ops()) {
    bool fast = false, reference = false;
    if (!kernel_rows(*op, DeviceType::kFake).empty()) continue;  // copies between devices
    for (const KernelRow& row : kernel_rows(*op, DeviceType::kCpu)) {
      (row.reference ? reference : fast) = true;
    }
    KernelRow row{.op = op, .device = DeviceType::kFake};
    if (fast) {
      row.name = "fake";
      row.supports = supports<Rows::kFast>;
      row.prepare = prepare<Rows::kFast>;
      row.prefer = prefer;
      register_kernel(row);
    }
    if (reference) {
      row.name = "fake_ref";
      row.supports = supports<Rows::kReference>;
      row.prepare = prepare<Rows::kReference>;
      row.prefer = nullptr;
      row.reference = true;
      register_kernel(row);
    }
  }
}

}  // namespace rutile::fake
