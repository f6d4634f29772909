// SPDX-License-Identifier: Apache-2.0
// Collectives hand row-major memory to the group's communicator. The reference rows take any
// strides, by a copy.
#include "rutile/ops/collective.h"

#include <cstring>
#include <type_traits>
#include <vector>

#include "rutile/core/thread.h"
#include "rutile/kernels/collective_call.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

template <class A, CollectiveKind kKind>
Status run_collective(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  std::shared_ptr<Communicator> group;
  RUTILE_RETURN_IF_ERROR((find_group<A, kKind>(p, &group)));
  return group->run(collective_of<A, kKind>(p, args.in[0], args.out[0]));
}

// By element, into row-major memory.
void pack(const TensorMeta& m, const void* from, void* to) {
  const size_t size = dtype_size(m.dtype);
  char* at = static_cast<char*>(to);
  for (Walk w(m); !w.done(); w.next(), at += size) {
    std::memcpy(at, static_cast<const char*>(from) + w.offset() * static_cast<int64_t>(size), size);
  }
}

template <class A, CollectiveKind kKind>
Status run_strided(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  std::vector<char> plain(static_cast<size_t>(p.in[0].numel()) * dtype_size(p.in[0].dtype) + 1);
  pack(p.in[0], args.in[0], plain.data());
  void* in[] = {plain.data()};
  return run_collective<A, kKind>(plan, {in, args.out, nullptr});
}

// ---- Start and wait -----------------------------------------------------------------------------

template <class From, class To>
void convert_run(const void* from, void* to, int64_t n) {
  const auto* x = static_cast<const From*>(from);
  auto* y = static_cast<To*>(to);
  parallel_for(0, n, 1 << 16, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) y[i] = convert<To>(x[i]);
  });
}

using ConvertFn = void (*)(const void*, void*, int64_t);

struct StartPlan final : RefPlan {
  ConvertFn convert = nullptr;  // null: as they are
};

ConvertFn converter(DType from, DType to) {
  if (from == to) return nullptr;
  return dispatch_float(from, [&](auto f) {
    return dispatch_float(to, [](auto t) -> ConvertFn {
      return convert_run<typename decltype(f)::type, typename decltype(t)::type>;
    });
  });
}

Status run_start(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const StartPlan&>(plan);
  const auto& a = p.as<ops::AllReduceManyAttrs>();
  std::shared_ptr<Communicator> group;
  RUTILE_RETURN_IF_ERROR(find_communicator(a.group, &group));
  const size_t from_size = dtype_size(p.in[0].dtype), to_size = dtype_size(p.out[0].dtype);
  const int64_t parts = std::max<int64_t>(a.scatter, 1), line = p.out[0].numel() / parts;
  int64_t at = 0;
  for (int i = 0; i < p.in.size(); ++i) {
    const TensorMeta& m = p.in[i];
    const int64_t n = m.numel(), part = ops::part_of(n, parts);
    if (n == 0) continue;
    std::vector<char> plain;
    const char* from = static_cast<const char*>(args.in[i]);
    if (!m.is_contiguous()) {
      plain.resize(static_cast<size_t>(n) * from_size);
      pack(m, from, plain.data());
      from = plain.data();
    }
    for (int64_t r = 0; r < parts; ++r) {
      const int64_t first = std::min(r * part, n), own = std::min(part, n - first);
      char* const to =
          static_cast<char*>(args.out[0]) + static_cast<size_t>(r * line + at) * to_size;
      const char* const source = from + static_cast<size_t>(first) * from_size;
      if (p.convert) {
        p.convert(source, to, own);
      } else {
        std::memcpy(to, source, static_cast<size_t>(own) * from_size);
      }
      std::memset(to + static_cast<size_t>(own) * to_size, 0,
                  static_cast<size_t>(part - own) * to_size);
    }
    at += part;
  }
  return group->start(bucket_collective(a, p.out[0], *group, args.out[0]));
}

Status prepare_start(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<StartPlan>();
  for (int i = 0; i < c.num_inputs(); ++i) p->in.push_back(c.in(i));
  p->out.push_back(c.out());
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  p->convert = converter(c.in(0).dtype, c.out().dtype);
  p->run = run_ref<run_start>;
  *plan = std::move(p);
  return Status();
}

Status run_wait(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const auto& a = p.as<ops::AllReduceManyAttrs>();
  std::shared_ptr<Communicator> group;
  RUTILE_RETURN_IF_ERROR(find_communicator(a.group, &group));
  return group->wait(bucket_collective(a, p.out[0], *group, args.out[0]).out);
}

// ---- Rows ---------------------------------------------------------------------------------------

template <RunFn kRun>
KernelRow plain_row(const OpDef& op) {
  KernelRow row = ref_row<kRun>(op);
  row.name = "group";
  row.supports = row_major;
  row.reference = false;
  return row;
}

template <class A, CollectiveKind kKind>
KernelRow fast(const OpDef& op) {
  KernelRow row = plain_row<run_collective<A, kKind>>(op);
  constexpr bool kInPlace =
      kKind == CollectiveKind::kAllReduce || kKind == CollectiveKind::kBroadcast;
  if constexpr (kInPlace) {
    row.prepare = [](const CallMeta& c, std::unique_ptr<Plan>* plan) {
      Status s = prepare_ref<run_collective<A, kKind>>(c, plan);
      if (s.ok()) (*plan)->may_overwrite = 1;
      return s;
    };
  }
  return row;
}

KernelRow start_row(bool reference) {
  KernelRow row = ref_row<run_start>(ops::kAllReduceStart);
  row.name = reference ? "ref" : "group";
  row.prepare = prepare_start;
  row.reference = reference;
  return row;
}

KernelRow wait_row(bool reference) {
  KernelRow row = ref_row<run_wait>(ops::kAllReduceWait);
  row.name = reference ? "ref" : "group";
  row.reference = reference;
  return row;
}

template <class A, CollectiveKind kKind>
KernelRow strided(const OpDef& op) {
  KernelRow row = ref_row<run_strided<A, kKind>>(op);
  row.supports = sends_as_it_is;
  return row;
}

}  // namespace

void register_collective_cpu() {
#define RUTILE_ROW(A, K, op) register_kernel(fast<A, K>(op));
  RUTILE_COLLECTIVES(RUTILE_ROW)
#undef RUTILE_ROW
  register_kernel(start_row(false));
  register_kernel(wait_row(false));
}

void register_collective_ref() {
#define RUTILE_ROW(A, K, op) register_kernel(strided<A, K>(op));
  RUTILE_COLLECTIVES(RUTILE_ROW)
#undef RUTILE_ROW
  register_kernel(start_row(true));
  register_kernel(wait_row(true));
}

}  // namespace rutile::kernels
